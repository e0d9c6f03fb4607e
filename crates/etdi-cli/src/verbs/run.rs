//! `etdi run`: a server on another transport, and in every revision.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;

use mcp_transport::http::server::{HttpOptions, HttpServer, SseServer, serve_http, serve_sse};
use mcp_transport::{ClientPeer, ServeOptions};
use mcp_types::ExchangeService;
use serde_json::json;
use tokio::net::TcpListener;

use crate::args::{ListenArguments, RunArguments, Transport};
use crate::exit::{Exit, Failure};
use crate::output::{Output, Report};
use crate::verbs::target::{block_on, quoted};
use crate::verbs::upstream::{Upstream, Way};

const NEXT: &str = "etdi run --help";

/// The code of a port at which another listens.
const TAKEN: &str = "PORT_TAKEN";

/// Serves a server until its client, or the server, goes away.
///
/// # Errors
///
/// When the server cannot be started, nothing can listen where it should, or the server ends while
/// clients may still come.
pub fn run(arguments: &RunArguments, output: Output) -> Result<Report, Failure> {
    block_on(async {
        // Over streams there is one client, to whom the server may turn outside of its calls.
        let client = (arguments.transport == Transport::Stdio).then(ClientPeer::new);
        let build = arguments.build.clone();
        let way = Way { client: client.clone(), build, guarded: true, ..Way::default() };
        let upstream = Upstream::reach(&arguments.command, way, output)?;
        let served = async {
            match client {
                Some(client) => stdio(upstream.caller(), Some(client)).await,
                None => {
                    let listen = &arguments.listen;
                    http(upstream.caller(), arguments.transport, listen, "run", output).await
                }
            }
        };
        let outcome = unless_ended(served, upstream.ended()).await;
        upstream.close().await;
        match outcome {
            Some(Err(failure)) if failure.code == TAKEN => {
                let words: Vec<_> = arguments.command.iter().map(|word| quoted(word)).collect();
                let sse = if arguments.transport == Transport::Sse { "sse" } else { "http" };
                let next = format!("etdi run -t {sse} --port 0 -- {}", words.join(" "));
                Err(Failure { next, ..failure })
            }
            Some(served) => served.map(|()| Report::new(json!({}), "")),
            None => {
                let words: Vec<_> = arguments.command.iter().map(|word| quoted(word)).collect();
                let message = "the server has ended, so nobody is served any more";
                let next = format!("{} < /dev/null", words.join(" "));
                Err(Failure::new(Exit::Unreachable, message, next).with_code("SERVER_ENDED"))
            }
        }
    })
}

/// What `work` gives, or nothing when `end` comes first.
pub async fn unless_ended<T>(
    work: impl Future<Output = T>,
    end: impl Future<Output = ()>,
) -> Option<T> {
    let (mut work, mut end) = (pin!(work), pin!(end));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => end.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Serves `service` over the standard streams until the client goes away.
///
/// # Errors
///
/// When the streams cannot be served.
pub async fn stdio(
    service: impl ExchangeService,
    client: Option<ClientPeer>,
) -> Result<(), Failure> {
    let io = mcp_transport::stdio().map_err(broken)?;
    let mut options = ServeOptions::default();
    options.client = client;
    mcp_transport::serve_with(service, io, options).await.map_err(broken)
}

fn broken(error: mcp_transport::Error) -> Failure {
    Failure::new(Exit::Unreachable, error.to_string(), NEXT).with_code("NOT_SERVED")
}

/// Serves `service` over HTTP until the future is dropped. `verb` is the command that says where.
///
/// # Errors
///
/// When nothing can listen where it should.
pub async fn http(
    service: impl ExchangeService,
    transport: Transport,
    listen: &ListenArguments,
    verb: &str,
    output: Output,
) -> Result<(), Failure> {
    let bound = Bound::at(listen, transport, verb, output).await?;
    output.finish(verb, Ok(bound.report()));
    serve(service, transport, listen, bound).await
}

/// A port that was taken.
#[derive(Debug)]
pub struct Bound {
    /// Where clients reach what is served there.
    pub url: String,
    listener: TcpListener,
    address: std::net::SocketAddr,
    path: String,
}

impl Bound {
    /// Takes it.
    ///
    /// # Errors
    ///
    /// When nothing can listen there.
    pub async fn at(
        listen: &ListenArguments,
        transport: Transport,
        verb: &str,
        output: Output,
    ) -> Result<Self, Failure> {
        let host = listen.host.trim_start_matches('[').trim_end_matches(']');
        let bound = TcpListener::bind((host, listen.port)).await;
        let listener = bound.map_err(|error| not_there(listen, verb, &error))?;
        let address = listener.local_addr().map_err(|error| not_there(listen, verb, &error))?;
        if !address.ip().is_loopback() {
            let names = match listen.allow_host.is_empty() {
                true => {
                    "; requests to other names than `localhost` are refused until `--allow-host` names them"
                }
                false => "",
            };
            output.warn(&format!(
                "`{}` can be reached from other computers, and nobody has to log in{names}",
                address.ip()
            ));
        }
        let default = if transport == Transport::Sse { "/sse" } else { "/mcp" };
        let path = format!("/{}", listen.path.as_deref().unwrap_or(default).trim_matches('/'));
        let place =
            if address.ip().is_unspecified() { "localhost".to_owned() } else { shown(address) };
        let url = format!("http://{place}:{}{path}", address.port());
        Ok(Self { url, listener, address, path })
    }

    /// What the command says of it.
    pub fn report(&self) -> Report {
        let Self { url, address, path, .. } = self;
        Report::new(
            json!({ "url": url, "address": address.to_string(), "path": path }),
            format!("serving at {url}, until Ctrl-C"),
        )
    }
}

/// Serves `service` at a port until the future is dropped.
///
/// # Errors
///
/// When that fails.
pub async fn serve(
    service: impl ExchangeService,
    transport: Transport,
    listen: &ListenArguments,
    bound: Bound,
) -> Result<(), Failure> {
    let mut options = HttpOptions::default();
    options.stateless = listen.stateless;
    for host in &listen.allow_host {
        options = options.allow_host(host);
    }
    for origin in &listen.allow_origin {
        options = options.allow_origin(origin);
    }
    let forever = std::future::pending();
    let Bound { listener, path, .. } = bound;
    match transport {
        Transport::Sse => {
            let server = SseServer::with(service, options).stream_path(path);
            serve_sse(server, listener, forever).await.map_err(broken)
        }
        _ => {
            options.path = path;
            serve_http(HttpServer::with(service, options), listener, forever).await.map_err(broken)
        }
    }
}

fn shown(address: std::net::SocketAddr) -> String {
    match address {
        std::net::SocketAddr::V4(address) => address.ip().to_string(),
        std::net::SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

fn not_there(listen: &ListenArguments, verb: &str, error: &io::Error) -> Failure {
    let message = format!("nothing can listen at `{}:{}`: {error}", listen.host, listen.port);
    let (next, code) = match (verb, error.kind()) {
        ("dev", io::ErrorKind::AddrInUse) => ("etdi dev --http --port 0".to_owned(), TAKEN),
        (_, io::ErrorKind::AddrInUse) => (format!("etdi {verb} --help"), TAKEN),
        _ => (format!("etdi {verb} --help"), "NOT_SERVED"),
    };
    Failure::new(Exit::Unreachable, message, next).with_code(code)
}
