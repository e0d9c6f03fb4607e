//! A command that is ended by a signal ends the servers that it started, in good order, before it
//! ends itself.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Does `work`; a SIGINT, a SIGTERM or a hang-up ends it, and gives the exit code that shells expect then.
///
/// The servers of dropped sessions end as those of closed ones do: the end of their input, a grace,
/// a SIGTERM to their group, a SIGKILL. Whoever cannot wait for that sends a second signal, after
/// which the end of the runtime kills them at once.
///
/// From the first call on a signal also ends the process while nobody can hear of it: the work is
/// held up by a stream that is not read or not written, or is done and being printed.
///
/// # Errors
///
/// The exit code, 128 and the signal's number.
pub async fn unless_ended<T>(work: impl Future<Output = T>) -> Result<T, i32> {
    if watch().is_err() {
        return Ok(work.await);
    }
    let listening = Listening::start();
    let code = {
        let mut work = pin!(work);
        let ended = poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => poll_code(cx).map(Err),
        });
        match ended.await {
            Ok(done) => return Ok(done),
            Err(code) => code,
        }
    };
    let mut servers_end = pin!(servers_end());
    poll_fn(|cx| match servers_end.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => poll_code(cx).map(drop),
    })
    .await;
    drop(listening);
    Err(code)
}

/// Does `work`, unless somebody at the keyboard interrupts it: that ends the work and nothing else. Within
/// [`unless_ended`].
///
/// # Errors
///
/// When it was interrupted.
pub async fn interruptible<T>(work: impl Future<Output = T>) -> Result<T, Interrupted> {
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => {
            let mut said = said();
            match said.code.take_if(|code| *code == INTERRUPT) {
                Some(_) => Poll::Ready(Err(Interrupted)),
                None => {
                    said.listener = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        }
    })
    .await
}

/// Somebody at the keyboard does not want to wait.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted;

/// The exit code of a SIGINT.
const INTERRUPT: i32 = 128 + 2;

/// What is done before a signal ends the process.
static AT_END: Mutex<Option<Box<dyn FnOnce() + Send>>> = Mutex::new(None);

/// Has `hook` run before a signal ends the process; the last one counts.
pub fn on_end(hook: impl FnOnce() + Send + 'static) {
    *AT_END.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(hook));
}

/// Ends the process with a code.
pub fn end(code: i32) -> ! {
    let hook = AT_END.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(hook) = hook {
        hook();
    }
    std::process::exit(code)
}

/// What a signal has to say, and who hears it.
struct Said {
    watched: bool,
    listening: bool,
    code: Option<i32>,
    listener: Option<Waker>,
}

static SAID: Mutex<Said> =
    Mutex::new(Said { watched: false, listening: false, code: None, listener: None });

fn said() -> MutexGuard<'static, Said> {
    SAID.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The exit code of a signal that came.
fn poll_code(cx: &Context<'_>) -> Poll<i32> {
    let mut said = said();
    match said.code.take() {
        Some(code) => Poll::Ready(code),
        None => {
            said.listener = Some(cx.waker().clone());
            Poll::Pending
        }
    }
}

/// As long as it lives, whoever is told of a signal does something about it.
struct Listening;

impl Listening {
    fn start() -> Self {
        said().listening = true;
        Self
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        said().listening = false;
    }
}

/// How long a signal waits to be heard.
const PATIENCE: Duration = Duration::from_millis(500);

/// Waits for signals on a thread of its own, once: that of the work may be held up.
fn watch() -> std::io::Result<()> {
    let mut said = said();
    if said.watched {
        return Ok(());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let kinds = kinds.into_iter().filter(|kind| *kind != SignalKind::hangup() || !ignores_hangup());
    let mut signals = {
        let _runtime = runtime.enter();
        let watched = kinds.map(|kind| Ok((signal(kind)?, 128 + kind.as_raw_value())));
        watched.collect::<std::io::Result<Vec<(Signal, i32)>>>()?
    };
    let watching = async move {
        loop {
            let code = poll_fn(|cx| {
                let came = signals
                    .iter_mut()
                    .find_map(|(signal, code)| signal.poll_recv(cx).is_ready().then_some(*code));
                came.map_or(Poll::Pending, Poll::Ready)
            });
            tell(code.await).await;
        }
    };
    let thread = std::thread::Builder::new().name("etdi-signals".to_owned());
    thread.spawn(move || runtime.block_on(watching))?;
    said.watched = true;
    Ok(())
}

/// Whether whoever started the process wants it to outlive its terminal, as `nohup` does. Known on
/// Linux only; elsewhere a hang-up ends the process.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 1 == 1)
}

/// Tells of a signal; ends the process when nobody hears it.
async fn tell(code: i32) {
    {
        let mut said = said();
        if !said.listening {
            drop(said);
            end(code);
        }
        said.code = Some(code);
        if let Some(listener) = said.listener.take() {
            listener.wake();
        }
    }
    let late = tokio::time::Instant::now() + PATIENCE;
    while said().code.is_some() {
        if tokio::time::Instant::now() >= late {
            end(code);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How long all steps of a shutdown may take together.
const LONGEST: Duration = Duration::from_secs(10);

/// Waits for the tasks of dropped connections, which end when their servers have.
pub async fn servers_end() {
    let tasks = Handle::current().metrics();
    let all = async {
        while tasks.num_alive_tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // The end of the runtime kills what is left.
    let _ = tokio::time::timeout(LONGEST, all).await;
}
