//! The server on a listener: hyper's connections, each in one task.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

#[cfg(feature = "tls-server")]
use base64::Engine;
#[cfg(feature = "tls-server")]
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use mcp_types::{BoxFuture, ErrorObject};
#[cfg(feature = "tls-server")]
use mcp_types::{ClientCertificate, Principal};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::task::JoinSet;

use super::socket::Moving;
use super::{HttpOptions, HttpServer, ResponseBody, ResponseFuture, State, body};
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
    /// [`Error::Listen`] when nothing can listen there.
    pub async fn listen(self, address: impl ToSocketAddrs) -> Result<(), Error> {
        let listener = TcpListener::bind(address).await;
        let listener =
            listener.map_err(|source| Error::Listen { reason: what_to_do(&source), source })?;
        serve_http(self, listener, std::future::pending()).await
    }
}

/// What helps where nothing can listen.
fn what_to_do(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program has this port: take another, or end that one",
        io::ErrorKind::AddrNotAvailable => {
            "the address is none of this computer: take `127.0.0.1` to serve this one, `0.0.0.0` to \
             serve others as well"
        }
        io::ErrorKind::PermissionDenied => "take a port from 1024 on",
        _ => "write an address and a port, such as `127.0.0.1:8000`",
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
    let door = AtPath::new(server.clone());
    let plain = |stream, builder: http1::Builder, watcher: Watcher| -> BoxFuture<'static, ()> {
        let connection = builder.serve_connection(TokioIo::new(stream), door.clone());
        // A peer that breaks off, or speaks no HTTP, has been answered as far as it can be.
        Box::pin(async move { drop(watcher.watch(connection).await) })
    };
    let closed = || server.close_streams();
    accept(&server.0.options, listener, shutdown, closed, plain).await
}

/// The same for the two endpoints of HTTP+SSE, which stand at the root of the host.
///
/// # Errors
///
/// As [`serve_http`].
#[cfg(feature = "sse")]
pub async fn serve_sse(
    server: super::SseServer,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let plain = |stream, builder: http1::Builder, watcher: Watcher| -> BoxFuture<'static, ()> {
        let server = server.clone();
        let served = hyper::service::service_fn(move |request: Request<Incoming>| {
            tower_service::Service::call(&mut server.clone(), request)
        });
        let connection = builder.serve_connection(TokioIo::new(stream), served);
        Box::pin(async move { drop(watcher.watch(connection).await) })
    };
    let closed = || server.close_streams();
    accept(server.options(), listener, shutdown, closed, plain).await
}

/// The same over TLS. HTTP/1.1 is spoken, whatever else `tls` would offer.
///
/// A client has as long for its handshake as for the head of a request
/// ([`HttpOptions::head_time`](super::HttpOptions::head_time)).
///
/// Where `tls` asks for client certificates (`WebPkiClientVerifier` of rustls), the one that a client
/// proved to hold is a [`ClientCertificate`] in the extensions of its HTTP requests, as an `Arc`, and
/// of its exchanges, and its holder is their [`Principal`], until a layer names another: it owns
/// sessions and tasks, and a rate is its own. Where `tls` demands one, a client without it gets no
/// connection.
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
    let door = AtPath::new(server.clone());
    let secret = |stream, builder: http1::Builder, watcher: Watcher| -> BoxFuture<'static, ()> {
        let handshake = tokio::time::timeout(patience, acceptor.accept(stream));
        let mut server = door.clone();
        Box::pin(async move {
            let Ok(Ok(stream)) = handshake.await else { return };
            let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            server.caller = shown.map(|certificate| Shown::new(certificate));
            let connection = builder.serve_connection(TokioIo::new(stream), server);
            drop(watcher.watch(connection).await);
        })
    };
    let closed = || server.close_streams();
    accept(&server.0.options, listener, shutdown, closed, secret).await
}

/// The certificate that a connection was opened with, and who holds it.
#[cfg(feature = "tls-server")]
#[derive(Clone)]
struct Shown {
    certificate: std::sync::Arc<ClientCertificate>,
    principal: Principal,
}

#[cfg(feature = "tls-server")]
impl Shown {
    fn new(der: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, der);
        let certificate = ClientCertificate::new(BASE64_URL_SAFE_NO_PAD.encode(digest));
        Self { principal: certificate.principal(), certificate: certificate.into() }
    }
}

/// Accepts connections and has each served in a task of its own; `closed` ends the streams that
/// would last, once no more connections are taken.
async fn accept(
    options: &HttpOptions,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    closed: impl FnOnce(),
    serve: impl Fn(Moving, http1::Builder, Watcher) -> BoxFuture<'static, ()>,
) -> Result<(), Error> {
    let mut shutdown = pin!(shutdown);
    let graceful = GracefulShutdown::new();
    let (drain, most) = (options.drain, options.connections);
    let patience = options.write_time;
    // Dropped with this future, and all that they serve with them.
    let mut connections = JoinSet::new();
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MOST_BUFFERED).writev(false);
    builder.timer(TokioTimer::new()).header_read_timeout(options.head_time);
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
        let stream = Moving::new(stream, patience);
        connections.spawn(serve(stream, builder.clone(), graceful.watcher()));
    }
    drop(listener);
    closed();
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
struct AtPath {
    server: HttpServer,
    #[cfg(feature = "tls-server")]
    caller: Option<Shown>,
}

impl AtPath {
    fn new(server: HttpServer) -> Self {
        Self {
            server,
            #[cfg(feature = "tls-server")]
            caller: None,
        }
    }
}

impl Service<Request<Incoming>> for AtPath {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = ResponseFuture<Incoming>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        #[cfg(feature = "tls-server")]
        let request = {
            let mut request = request;
            if let Some(caller) = &self.caller {
                request.extensions_mut().insert(caller.certificate.clone());
                request.extensions_mut().insert(caller.principal.clone());
            }
            request
        };
        let shared = &self.server.0;
        let path = request.uri().path();
        if path == shared.options.path
            || shared.is_document(path)
            || shared.is_probe(path)
            || shared.guard.check(request.uri(), request.headers()).is_err()
        {
            return self.server.serve(request);
        }
        let text = format!("there is nothing here, the endpoint is `{}`", shared.options.path);
        let error = ErrorObject::invalid_request(text);
        let answer = body::error(StatusCode::NOT_FOUND, None, &error);
        ResponseFuture { body: None, state: State::answered(answer), asked: None, page: None }
    }
}
