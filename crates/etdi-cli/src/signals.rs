//! A command that is ended by a signal ends the servers that it started, in good order, before it
//! ends itself.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Does `work`; a SIGINT or a SIGTERM ends it, and gives the exit code that shells expect then.
///
/// The servers of dropped sessions end as those of closed ones do: the end of their input, a grace,
/// a SIGTERM to their group, a SIGKILL. Whoever cannot wait for that sends a second signal, after
/// which the end of the runtime kills them at once.
///
/// # Errors
///
/// The exit code, 128 and the signal's number.
pub async fn unless_ended<T>(work: impl Future<Output = T>) -> Result<T, i32> {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return Ok(work.await) };
    let mut poll_signals = move |cx: &mut Context<'_>| {
        let mut came = |signal: &mut Signal| signal.poll_recv(cx).is_ready();
        if came(&mut interrupt) {
            Poll::Ready(130)
        } else if came(&mut terminate) {
            Poll::Ready(143)
        } else {
            Poll::Pending
        }
    };
    let code = {
        let mut work = pin!(work);
        let ended = poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => poll_signals(cx).map(Err),
        });
        match ended.await {
            Ok(done) => return Ok(done),
            Err(code) => code,
        }
    };
    let mut servers_end = pin!(servers_end());
    poll_fn(|cx| match servers_end.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => poll_signals(cx).map(drop),
    })
    .await;
    Err(code)
}

/// How long all steps of a shutdown may take together.
const LONGEST: Duration = Duration::from_secs(10);

/// Waits for the tasks of the connections, which end when their servers have.
async fn servers_end() {
    let tasks = Handle::current().metrics();
    let all = async {
        while tasks.num_alive_tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // The end of the runtime kills what is left.
    let _ = tokio::time::timeout(LONGEST, all).await;
}
