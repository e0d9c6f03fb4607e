//! The routes on a socket of their own.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::routes::AuthorizationRoutes;

/// Connections that are served at once, how long one may take for the head of a request, and how long
/// for all that it wants.
const MOST: usize = 256;
const HEAD: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);

/// Serves the routes on `listener` until `shutdown` completes. Without TLS: for loopback, or behind a
/// proxy that has it.
///
/// # Errors
///
/// When the listener itself is broken. A connection that fails is no error.
pub async fn listen(
    routes: AuthorizationRoutes,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut shutdown = pin!(shutdown);
    // Dropped with this future, and all that they serve with them.
    let mut connections = JoinSet::new();
    loop {
        let accepted = poll_fn(|cx| {
            while let Poll::Ready(Some(_)) = connections.poll_join_next(cx) {}
            match shutdown.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => listener.poll_accept(cx).map(Some),
            }
        });
        let stream = match accepted.await {
            None => return Ok(()),
            Some(Ok((stream, _))) => stream,
            Some(Err(_)) => {
                // Of one connection, or out of descriptors: some are given back soon.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if connections.len() >= MOST {
            continue;
        }
        let routes = routes.clone();
        connections.spawn(async move {
            let service = service_fn(|request| async {
                Ok::<_, Infallible>(routes.serve::<hyper::body::Incoming>(request).await)
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(64 << 10);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            // A peer that breaks off, or speaks no HTTP, has been answered as far as it can be.
            let _ = tokio::time::timeout(LONGEST, connection).await;
        });
    }
}
