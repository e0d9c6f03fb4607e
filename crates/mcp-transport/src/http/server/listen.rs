//! The server on a listener: hyper's connections, each in one task.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use mcp_types::{BoxFuture, ErrorObject};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::task::JoinSet;

use super::socket::Moving;
use super::{HttpServer, ResponseBody, ResponseFuture, State, body};
use crate::Error;

impl HttpServer {
    /// Serves on `address` under the path of [`HttpOptions::path`](super::HttpOptions::path), until
    /// the future is dropped.
    ///
    /// An address that is not of this machine alone needs
    /// [`HttpOptions::allow_host`](super::HttpOptions::allow_host) too.
    ///
    /// # Errors
    ///
    /// When nothing can listen there.
    pub async fn listen(self, address: impl ToSocketAddrs) -> Result<(), Error> {
        let listener = TcpListener::bind(address).await?;
        serve_http(self, listener, std::future::pending()).await
    }
}

/// Serves what connects to `listener`, until `shutdown` completes; then no more connections are
/// taken, and those that there are may end what they are doing for the time of
/// [`HttpOptions::drain`](super::HttpOptions::drain).
///
/// # Errors
///
/// When the listener itself is broken. A connection that fails is no error.
pub async fn serve_http(
    server: HttpServer,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let plain = |stream, door: Door, watcher: Watcher| -> BoxFuture<'static, ()> {
        let connection = door.builder.serve_connection(TokioIo::new(stream), door.server);
        // A peer that breaks off, or speaks no HTTP, has been answered as far as it can be.
        Box::pin(async move { drop(watcher.watch(connection).await) })
    };
    accept(server, listener, shutdown, plain).await
}

/// The same over TLS. HTTP/1.1 is spoken, whatever else `tls` would offer.
///
/// A client has as long for its handshake as for the head of a request
/// ([`HttpOptions::head_time`](super::HttpOptions::head_time)).
///
/// # Errors
///
/// As [`serve_http`].
#[cfg(feature = "tls-server")]
pub async fn serve_https(
    server: HttpServer,
    listener: TcpListener,
    mut tls: rustls::ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(tls));
    let patience = server.0.options.head_time;
    let secret = move |stream, door: Door, watcher: Watcher| -> BoxFuture<'static, ()> {
        let handshake = tokio::time::timeout(patience, acceptor.accept(stream));
        Box::pin(async move {
            let Ok(Ok(stream)) = handshake.await else { return };
            let connection = door.builder.serve_connection(TokioIo::new(stream), door.server);
            drop(watcher.watch(connection).await);
        })
    };
    accept(server, listener, shutdown, secret).await
}

/// What a connection is served with.
struct Door {
    builder: http1::Builder,
    server: AtPath,
}

/// Accepts connections and has each served in a task of its own.
async fn accept(
    server: HttpServer,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    serve: impl Fn(Moving, Door, Watcher) -> BoxFuture<'static, ()>,
) -> Result<(), Error> {
    let mut shutdown = pin!(shutdown);
    let graceful = GracefulShutdown::new();
    let (drain, most) = (server.0.options.drain, server.0.options.connections);
    let patience = server.0.options.write_time;
    // Dropped with this future, and all that they serve with them.
    let mut connections = JoinSet::new();
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MOST_BUFFERED);
    builder.timer(TokioTimer::new()).header_read_timeout(server.0.options.head_time);
    let door = AtPath(server);
    loop {
        let accepted = poll_fn(|cx| {
            while let Poll::Ready(Some(_)) = connections.poll_join_next(cx) {}
            match shutdown.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => listener.poll_accept(cx).map(Some),
            }
        });
        let stream = match accepted.await {
            None => break,
            Some(Ok((stream, _))) => stream,
            Some(Err(error)) if is_of_one_connection(&error) => continue,
            Some(Err(_)) => {
                // Out of descriptors, most likely: some are given back soon.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if connections.len() >= most {
            continue;
        }
        prepare(&stream);
        let with = Door { builder: builder.clone(), server: door.clone() };
        connections.spawn(serve(Moving::new(stream, patience), with, graceful.watcher()));
    }
    drop(listener);
    door.0.close_streams();
    let _ = tokio::time::timeout(drain, graceful.shutdown()).await;
    Ok(())
}

/// Bytes that a connection holds of what arrives, heads included, before anybody takes them.
const MOST_BUFFERED: usize = 64 << 10;

fn prepare(stream: &TcpStream) {
    // Slower on a socket that refuses this, and no less right.
    let _ = stream.set_nodelay(true);
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// The server under its path; there is nothing elsewhere.
#[derive(Clone)]
struct AtPath(HttpServer);

impl Service<Request<Incoming>> for AtPath {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = ResponseFuture<Incoming>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let shared = &self.0.0;
        if request.uri().path() == shared.options.path
            || shared.guard.check(request.uri(), request.headers()).is_err()
        {
            return self.0.serve(request);
        }
        let text = format!("there is nothing here, the endpoint is `{}`", shared.options.path);
        let error = ErrorObject::invalid_request(text);
        let answer = body::error(StatusCode::NOT_FOUND, None, &error);
        ResponseFuture { body: None, state: State::answered(answer), page: None }
    }
}
