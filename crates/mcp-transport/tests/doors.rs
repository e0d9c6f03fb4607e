//! Unix sockets, WebSockets and plain HTTP: both eras, who may come in, what a foreign peer may send.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use common::{INITIALIZE, Tools, modern};
use futures_util::{SinkExt, StreamExt};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use mcp_transport::http::server::{HttpOptions, HttpServer, RestServer, SseServer, serve_https};
use mcp_transport::http::{
    Admission, Gate, HttpConnectOptions, Refused, connect_http, connect_http_with,
};
use mcp_transport::websocket::{self, WebSocketServer};
use mcp_transport::{RateLayer, connect, unix};
use mcp_types::*;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tower_layer::Layer;
use tower_service::Service;

async fn echo(
    connection: &mut (impl Service<Exchange, Response = Outcome, Error = ErrorObject> + Clone),
) {
    let mut call = CallToolRequestParams::new("echo");
    call.arguments = Some(RawText::new(r#"{"message":"hi"}"#).unwrap());
    let outcome = connection.call(Exchange::new(ClientRequest::CallTool(call))).await.unwrap();
    let Outcome::Complete(ServerResult::CallTool(result)) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(&result.content[0], ContentBlock::Text(text) if text.text == "hi"));
}

/// Serves calls alone of which it knows the HTTP request.
#[derive(Clone)]
struct Headed;

impl Service<Exchange> for Headed {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let parts = exchange.context.extensions.get::<http::request::Parts>();
        let headed = parts.is_some_and(|parts| parts.headers.contains_key("host"));
        match &exchange.request {
            ClientRequest::CallTool(_) if !headed => {
                Box::pin(std::future::ready(Err(ErrorObject::internal("no parts"))))
            }
            _ => Tools.call(exchange),
        }
    }
}

#[tokio::test]
async fn tools_see_the_request_that_opened_a_stream_or_a_socket() {
    let address = routed(axum::Router::new().fallback_service(SseServer::new(Headed))).await;
    echo(&mut connect_http(&format!("http://{address}/sse"), us()).unwrap()).await;
    let address = door(WebSocketServer::new(Headed)).await;
    let socket = websocket::open(&format!("ws://{address}/mcp"), HeaderMap::new()).await.unwrap();
    echo(&mut connect(socket, us())).await;
    let address = routed(axum::Router::new().fallback_service(RestServer::new(Headed))).await;
    let head = "POST /tools/echo HTTP\r\nContent-Type: application/json";
    let said = rest(address, head, r#"{"message":"hi"}"#).await;
    assert_eq!(said.0, 200, "{}", said.2);
}

fn us() -> Implementation {
    Implementation::new("test", "1.0.0")
}

#[tokio::test]
async fn a_unix_socket_serves_its_owner_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("door");
    let door = unix::listen(&path).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // It is listened on, so nobody takes its place.
    assert_eq!(unix::listen(&path).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(door.most_connections(2).serve(Tools, async {
        let _ = stopped.await;
    }));
    let mut one = connect(unix::open(&path).await.unwrap(), us());
    let mut two = connect(unix::open(&path).await.unwrap(), us());
    echo(&mut one).await;
    echo(&mut two).await;
    // A third waits until one leaves.
    let mut three = connect(unix::open(&path).await.unwrap(), us());
    let waiting = tokio::time::timeout(Duration::from_millis(100), echo(&mut three)).await;
    assert!(waiting.is_err());
    one.close().await;
    tokio::time::timeout(Duration::from_secs(5), echo(&mut three)).await.unwrap();
    stop.send(()).unwrap();
    serving.await.unwrap();
    assert!(!path.exists());
    let refused = unix::open(&path).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_socket_that_an_ended_server_left_is_replaced_and_a_file_is_not() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("door");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(unix::listen(&path).unwrap());
    std::fs::write(&path, "precious").unwrap();
    assert_eq!(unix::listen(&path).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

/// A WebSocket server on a port of its own.
async fn door(server: WebSocketServer<impl ExchangeService>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(server.clone());
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades(),
            );
        }
    });
    address
}

#[tokio::test]
async fn both_eras_go_over_a_websocket() {
    let address = door(WebSocketServer::new(Tools)).await;
    let url = format!("ws://{address}/mcp");
    let mut ours = connect(websocket::open(&url, HeaderMap::new()).await.unwrap(), us());
    echo(&mut ours).await;
    ours.close().await;

    // A peer that knows nothing of us, with line breaks between its tokens.
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut socket, response) = client_async(&url, stream).await.unwrap();
    assert!(response.headers().get("sec-websocket-protocol").is_none());
    for message in [INITIALIZE.replace(",\"", ",\r\n\""), modern(1, "tools/list", "")] {
        let (mut socket, _) =
            client_async(&url, TcpStream::connect(address).await.unwrap()).await.unwrap();
        socket.send(Message::text(message)).await.unwrap();
        let answer = socket.next().await.unwrap().unwrap().into_text().unwrap();
        assert!(answer.contains(r#""result":{"#), "{answer}");
    }
    socket.send(Message::Ping("x".into())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong("x".into()));
    // Binary messages are none of the protocol; the connection ends.
    socket.send(Message::binary("{}")).await.unwrap();
    assert!(!matches!(socket.next().await, Some(Ok(Message::Text(_) | Message::Binary(_)))));
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_websocket() {
    let address = door(WebSocketServer::new(Tools)).await;
    let url = format!("ws://{address}/");
    let (mut socket, _) =
        client_async(&url, TcpStream::connect(address).await.unwrap()).await.unwrap();
    let _ = socket.send(Message::text("x".repeat(5 << 20))).await;
    let next = tokio::time::timeout(Duration::from_secs(5), socket.next()).await.unwrap();
    assert!(!matches!(next, Some(Ok(Message::Text(_)))), "{next:?}");
}

#[tokio::test]
async fn foreign_pages_hosts_and_requests_get_no_websocket() {
    let address = door(WebSocketServer::new(Tools).allow_origin("https://app.example.com")).await;
    let good = [
        ("Host", "localhost"),
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ];
    let table: &[(&[(&str, &str)], &str)] = &[
        (&[], "101"),
        (&[("Origin", "http://localhost")], "101"),
        (&[("Origin", "https://app.example.com")], "101"),
        (&[("Origin", "https://evil.example.com")], "403"),
        (&[("Origin", "null")], "403"),
        (&[("Host", "evil.example.com")], "403"),
        (&[("Sec-WebSocket-Version", "8")], "426"),
        (&[("Upgrade", "h2c")], "426"),
        (&[("Sec-WebSocket-Key", "short")], "400"),
        (&[("Sec-WebSocket-Protocol", "chat")], "400"),
        (&[("Sec-WebSocket-Protocol", "chat, mcp")], "101"),
    ];
    for (changed, status) in table {
        let mut request = String::from("GET /mcp HTTP/1.1\r\n");
        let kept = good.iter().filter(|(name, _)| !changed.iter().any(|(other, _)| name == other));
        for (name, value) in kept.chain(*changed) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, format!("HTTP/1.1 {status}").as_bytes(), "{changed:?}");
    }
}

#[tokio::test]
async fn connections_are_counted_and_refusals_are_told() {
    let address = door(WebSocketServer::new(Tools).most_connections(1)).await;
    let url = format!("ws://{address}/mcp");
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("Bearer x"));
    let first = websocket::open(&url, headers).await.unwrap();
    let refused = websocket::open(&url, HeaderMap::new()).await.unwrap_err().to_string();
    assert!(refused.contains("503") && refused.contains("too many"), "{refused}");
    drop(first);
    let wrong = websocket::open("http://localhost/", HeaderMap::new()).await.unwrap_err();
    assert_eq!(wrong.kind(), std::io::ErrorKind::InvalidInput);
}

/// Lets in whoever says the word, at once or after a while, and says that it was they.
struct Word;

impl Gate for Word {
    fn admit(&self, request: &Parts) -> Admission {
        let said = request.headers.get("authorization").map(|said| said.as_bytes().to_vec());
        Admission::Later(Box::pin(async move {
            tokio::task::yield_now().await;
            if said.as_deref() != Some(b"word") {
                let why = Refused::new(http::StatusCode::UNAUTHORIZED, "say the word");
                return Err(
                    why.header(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Word"))
                );
            }
            let mut known = Extensions::new();
            known.insert(Principal::new("words", "somebody"));
            Ok(known)
        }))
    }
}

/// Serves nobody whom the gate did not find.
#[derive(Clone)]
struct Found;

impl Service<Exchange> for Found {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Tools.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let found = exchange.context.extensions.get::<Principal>();
        assert!(found.is_some_and(|who| who.subject == "somebody"), "{found:?}");
        Tools.call(exchange)
    }
}

#[tokio::test]
async fn a_gate_says_who_opens_a_socket() {
    let address = door(WebSocketServer::new(Found).gate(Arc::new(Word))).await;
    let url = format!("ws://{address}/mcp");
    let said = |word: &'static str| {
        HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_static(word))])
    };
    for headers in [HeaderMap::new(), said("another")] {
        let refused = websocket::open(&url, headers).await.unwrap_err().to_string();
        assert!(refused.contains("401") && refused.contains("say the word"), "{refused}");
    }
    echo(&mut connect(websocket::open(&url, said("word")).await.unwrap(), us())).await;
}

/// Sends one request to a plain door; gives the status, the media type and the body.
async fn rest(address: std::net::SocketAddr, head: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length =
        if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let request = format!("{head}\r\n{length}Connection: close\r\n\r\n{body}")
        .replace(" HTTP\r\n", " HTTP/1.1\r\nHost: localhost\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let media = head.lines().find_map(|line| line.strip_prefix("content-type: "));
    (head[9..12].parse().unwrap(), media.unwrap_or_default().into(), body.into())
}

#[tokio::test]
async fn tools_are_plain_http_resources() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let server = RestServer::new(RateLayer::new(0.001, 1000).layer(Tools));
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(server.clone());
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    const JSON: &str = "Content-Type: application/json";
    let post = |name: &str| format!("POST /tools/{name} HTTP\r\n{JSON}");
    let ok = |(status, media, body): (u16, String, String)| {
        assert_eq!((status, &*media), (200, "application/json"), "{body}");
        body
    };
    let echo = ok(rest(address, &post("echo"), r#"{"message":"hi"}"#).await);
    assert!(echo.contains(r#""text":"hi""#), "{echo}");
    assert!(ok(rest(address, "POST /tools/who HTTP", "").await).contains("nobody"));
    let list = ok(rest(address, "GET /tools HTTP", "").await);
    assert!(list.contains(r#""name":"echo""#), "{list}");
    assert_eq!(ok(rest(address, "GET /health HTTP", "").await), r#"{"status":"ok"}"#);

    let echo = post("echo");
    let large = format!("{echo}\r\nContent-Length: 5242880");
    for (head, body, status, says) in [
        ("POST /tools/gone HTTP", "", 404, "there is no tool `gone`"),
        ("POST /tools/panic HTTP", "", 500, ""),
        ("POST /tools/ask HTTP", "", 400, "speaks MCP"),
        ("POST /tools/echo HTTP", "{}", 415, "Content-Type"),
        ("POST /tools/echo HTTP\r\nContent-Type: text/plain", "{}", 415, "Content-Type"),
        (&echo, "[]", 400, "a JSON object"),
        (&echo, "{", 400, ""),
        (&large, "", 413, "larger than"),
        ("GET /tools/echo HTTP", "", 405, "asked by POST"),
        ("POST /tools HTTP", "", 405, "asked by GET"),
        ("GET /elsewhere HTTP", "", 404, "GET /tools"),
        ("GET /tools HTTP\r\nOrigin: https://evil.example.com", "", 403, "Origin"),
        ("GET /tools HTTP/1.1\r\nHost: evil.example.com", "", 403, "Host"),
    ] {
        let (found, media, body) = rest(address, head, body).await;
        assert_eq!((found, &*media), (status, "application/problem+json"), "{head}: {body}");
        assert!(body.contains(says) && body.contains(&format!("\"status\":{status}")), "{body}");
    }
    // Each refusal of an unknown tool asked for the listing too.
    let mut last = (200, String::new(), String::new());
    for _ in 0..1000 {
        last = rest(address, "GET /health HTTP", "").await;
        if last.0 != 200 {
            break;
        }
    }
    assert!(last.0 == 503 && last.2.contains("too many requests"), "{last:?}");
    let (status, _, body) = rest(address, "GET /tools HTTP", "").await;
    assert!(status == 429 && body.contains(r#""code":429"#), "{body}");
}

/// Serves a router on a port of its own.
async fn routed(router: axum::Router) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

/// A stream of HTTP+SSE, read line by line.
struct Events {
    stream: tokio::io::BufReader<TcpStream>,
    /// What came in chunks and was not looked at yet.
    text: Vec<u8>,
}

impl Events {
    async fn open(address: std::net::SocketAddr, path: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut events = Self { stream: tokio::io::BufReader::new(stream), text: Vec::new() };
        while !events.head().await.is_empty() {}
        events
    }

    /// A line of the head, or before a chunk.
    async fn head(&mut self) -> String {
        let mut line = String::new();
        let count = self.stream.read_line(&mut line).await.unwrap();
        assert!(count > 0, "the stream ended");
        line.trim().to_owned()
    }

    /// One line of the events, which may come in several chunks.
    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.text.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                return String::from_utf8(line).unwrap().trim().to_owned();
            }
            let size = usize::from_str_radix(&self.head().await, 16).unwrap();
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk).await.unwrap();
            self.text.extend_from_slice(&chunk[..size]);
        }
    }

    /// The data of the next event of this kind.
    async fn next(&mut self, event: &str) -> String {
        let mut here = false;
        loop {
            let line = tokio::time::timeout(Duration::from_secs(10), self.line()).await.unwrap();
            here |= line == format!("event: {event}");
            if let Some(data) = line.strip_prefix("data: ").filter(|_| here) {
                return data.to_owned();
            }
        }
    }
}

#[tokio::test]
async fn the_first_transport_stands_under_any_path() {
    let inner = axum::Router::new()
        .nest_service("/one", SseServer::new(Tools))
        .nest_service("/two", SseServer::new(Tools).stream_path("events").message_path("/post/"));
    let router = axum::Router::new()
        .nest("/outer", axum::Router::new().nest("/inner", inner))
        .nest_service("/proxied", SseServer::new(Tools).outer_path("/public/"))
        .fallback_service(SseServer::new(Tools));
    let address = routed(router).await;
    for (path, starts) in [
        ("/sse", "/messages?sessionId="),
        ("/outer/inner/one/sse", "/outer/inner/one/messages?sessionId="),
        ("/outer/inner/two/events", "/outer/inner/two/post?sessionId="),
        ("/proxied/sse", "/public/messages?sessionId="),
    ] {
        let mut events = Events::open(address, path).await;
        let endpoint = events.next("endpoint").await;
        assert!(endpoint.starts_with(starts), "{path}: {endpoint}");
        if path.starts_with("/proxied") {
            continue;
        }
        let post = format!("POST {endpoint} HTTP\r\nContent-Type: application/json");
        let broken = INITIALIZE.replace(",\"", ",\n\"");
        assert_eq!(rest(address, &post, &broken).await.0, 202);
        let answer = events.next("message").await;
        assert!(answer.contains(r#""protocolVersion":"2025-06-18""#), "{answer}");
        // Longer than what is kept for a reader.
        let long = "x".repeat(200 << 10);
        let call = common::legacy(
            7,
            "tools/call",
            &format!(r#""name":"echo","arguments":{{"message":"{long}"}}"#),
        );
        assert_eq!(rest(address, &post, &call).await.0, 202);
        assert!(events.next("message").await.contains(&long));
        // Once the stream is gone, so is its session.
        drop(events);
        let mut status = 202;
        for _ in 0..100 {
            status = rest(address, &post, &common::legacy(8, "ping", "")).await.0;
            if status == 404 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(status, 404);
    }
    for (head, status) in [
        ("POST /messages HTTP\r\nContent-Type: application/json", 400),
        ("POST /messages?sessionId=guess HTTP\r\nContent-Type: application/json", 404),
        ("POST /messages?sessionId=guess HTTP\r\nContent-Type: text/plain", 415),
        ("POST /sse HTTP\r\nContent-Type: application/json", 405),
        ("GET /messages HTTP", 405),
        ("GET /sse HTTP\r\nAccept: application/json", 406),
        ("GET /sse HTTP\r\nOrigin: https://evil.example.com", 403),
    ] {
        assert_eq!(rest(address, head, "{}").await.0, status, "{head}");
    }
}

#[tokio::test]
async fn our_client_falls_back_to_the_first_transport() {
    let address = routed(axum::Router::new().fallback_service(SseServer::new(Tools))).await;
    let mut client = connect_http(&format!("http://{address}/sse"), us()).unwrap();
    echo(&mut client).await;
    // The transport is the first one; the revision spoken over it is agreed on as ever.
    assert_eq!(client.version().unwrap().as_str(), "2025-11-25");
    client.close().await;
}

/// Knows callers by what they say of themselves.
struct Said;

impl Gate for Said {
    fn admit(&self, request: &Parts) -> Admission {
        let said = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
        let mut principal = Principal::new("https://id.example", said("x-user").unwrap_or("ada"));
        principal.client = said("x-client").map(str::to_owned);
        let scopes = said("x-scopes").unwrap_or_default();
        principal.scopes = scopes.split(' ').map(str::to_owned).collect();
        let mut found = Extensions::new();
        found.insert(principal);
        Admission::Now(Ok(found))
    }
}

/// What is posted is served as whoever opened the stream: nobody may post with less than that.
#[tokio::test]
async fn scopes_that_were_taken_back_do_not_live_on_in_a_stream() {
    let mut options = HttpOptions::default();
    options.gate = Some(Arc::new(Said));
    let server = SseServer::with(Tools, options);
    let address = routed(axum::Router::new().fallback_service(server)).await;
    let path = "/sse HTTP/1.1\r\nX-Client: one\r\nX-Scopes: admin read\r\nX-Rest:";
    let mut events = Events::open(address, path).await;
    let endpoint = events.next("endpoint").await;
    for (who, status) in [
        ("X-Client: one\r\nX-Scopes: admin read", 202),
        ("X-Client: one\r\nX-Scopes: admin more read", 202),
        ("X-Client: one\r\nX-Scopes: read", 404),
        ("X-Client: one", 404),
        ("X-Client: two\r\nX-Scopes: admin read", 404),
        ("X-User: eve\r\nX-Client: one\r\nX-Scopes: admin read", 404),
    ] {
        let post = format!("POST {endpoint} HTTP\r\nContent-Type: application/json\r\n{who}");
        assert_eq!(rest(address, &post, INITIALIZE).await.0, status, "{who}");
    }
}

/// Says by which certificate, and as whom, the caller of a tool is known.
#[derive(Clone)]
struct WhoAsks;

impl Service<Exchange> for WhoAsks {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut exchange: Exchange) -> ExchangeFuture {
        let known = &exchange.context.extensions;
        let certificate = known.get::<ClientCertificate>().map(|one| one.thumbprint.clone());
        let principal = known.get::<Principal>().map(|who| who.subject.clone());
        let text = format!("{certificate:?} {principal:?}");
        if let ClientRequest::CallTool(params) = &mut exchange.request {
            params.arguments = Some(RawText::of(&serde_json::json!({"message": text})).unwrap());
        }
        Tools.call(exchange)
    }
}

/// RFC 8705: the thumbprint of the certificate is what a token's `cnf` is held against.
#[tokio::test]
async fn a_client_is_known_by_its_certificate() {
    use base64::Engine;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::server::WebPkiClientVerifier;
    let made = |name: &str| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = made.signing_key.serialize_der();
        (made.cert.der().clone(), move || {
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.clone()))
        })
    };
    let roots = |certificate: &CertificateDer<'static>| {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        roots
    };
    let ring = || std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let (ours, our_key) = made("localhost");
    let (ada, ada_key) = made("ada");
    let (eve, eve_key) = made("eve");

    let serve = async |demanded: bool| {
        let verifier = WebPkiClientVerifier::builder_with_provider(roots(&ada).into(), ring());
        let verifier = if demanded { verifier } else { verifier.allow_unauthenticated() };
        let tls = rustls::ServerConfig::builder_with_provider(ring())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![ours.clone()], our_key())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/mcp", listener.local_addr().unwrap().port());
        let server = HttpServer::new(WhoAsks);
        tokio::spawn(serve_https(server, listener, tls, std::future::pending()));
        url
    };
    let call =
        async |url: &str, shown: Option<(&CertificateDer<'static>, PrivateKeyDer<'static>)>| {
            let tls = rustls::ClientConfig::builder_with_provider(ring())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots(&ours));
            let tls = match shown {
                Some((certificate, key)) => {
                    tls.with_client_auth_cert(vec![certificate.clone()], key).unwrap()
                }
                None => tls.with_no_client_auth(),
            };
            let mut options = HttpConnectOptions::new(us());
            options.tls = Some(std::sync::Arc::new(tls));
            let mut client = connect_http_with(url, options).unwrap();
            let params = CallToolRequestParams::new("echo");
            let answer = client.call(Exchange::new(ClientRequest::CallTool(params))).await;
            client.close().await;
            answer.map(|outcome| match outcome {
                Outcome::Complete(ServerResult::CallTool(result)) => match &result.content[0] {
                    ContentBlock::Text(text) => text.text.to_string(),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            })
        };
    let digest = ring::digest::digest(&ring::digest::SHA256, &ada);
    let thumbprint = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(digest);

    let demanding = serve(true).await;
    let said = call(&demanding, Some((&ada, ada_key()))).await.unwrap();
    let expected = format!("Some({thumbprint:?}) Some({thumbprint:?})");
    assert_eq!(said, expected);
    assert!(call(&demanding, None).await.is_err());
    assert!(call(&demanding, Some((&eve, eve_key()))).await.is_err());

    // Where it is not demanded, nobody is known without one, and a false one is still refused.
    let asking = serve(false).await;
    let said = call(&asking, None).await.unwrap();
    assert_eq!(said, "None None");
    assert!(call(&asking, Some((&eve, eve_key()))).await.is_err());
}

#[tokio::test]
async fn a_server_speaks_tls_to_those_who_shake_hands() {
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let ring = || std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(ring())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let trusting = rustls::ClientConfig::builder_with_provider(ring())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut options = HttpOptions::default();
    options.head_time = Duration::from_millis(300);
    let (stop, stopped) = oneshot::channel::<()>();
    let server = HttpServer::with(Tools, options);
    let serving = tokio::spawn(serve_https(server, listener, tls, async { _ = stopped.await }));
    // Whoever does not shake hands is let go, and holds up nobody.
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();

    let mut options = HttpConnectOptions::new(us());
    options.tls = Some(std::sync::Arc::new(trusting));
    let url = format!("https://localhost:{}/mcp", address.port());
    let mut client = connect_http_with(&url, options).unwrap();
    echo(&mut client).await;
    client.close().await;

    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), silent.read_to_end(&mut rest));
    assert!(ended.await.is_ok() && rest.is_empty());
    // An alert of TLS at the most, and no HTTP.
    let _ =
        tokio::time::timeout(Duration::from_secs(5), plain.read_to_end(&mut rest)).await.unwrap();
    assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(15), serving).await.unwrap().unwrap().unwrap();
}
