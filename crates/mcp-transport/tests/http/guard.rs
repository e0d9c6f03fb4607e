//! What is refused before anybody looks at the message.

use std::cell::RefCell;
use std::time::Duration;

use mcp_transport::framing::FrameLimits;
use mcp_transport::http::server::HttpOptions;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::common::modern;
use crate::raw::{POST, modern_head, tools};

#[tokio::test]
async fn a_page_that_rebinds_its_name_reaches_nothing() {
    let served = tools(HttpOptions::default()).await;
    let body = modern(1, "tools/list", "");
    let head = modern_head("tools/list", "");
    let own = format!("{head}Host: {0}\nOrigin: http://{0}\n", served.address);
    served.ask(&own, &body).await.with_status(200);
    for line in [
        "Host: evil.example.com",
        "Host: evil.example.com\nOrigin: http://evil.example.com",
        "Host: localhost\nOrigin: http://evil.example.com",
        "Host: localhost\nOrigin: null",
        "Host: localhost\nHost: evil.example.com",
    ] {
        let reply = served.ask(&format!("{head}{line}\n"), &body).await;
        assert_eq!((reply.status, reply.code()), (403, -32600), "{line}");
        assert!(reply.body.starts_with(r#"{"jsonrpc":"2.0","id":null,"#));
        // Whatever is asked for, and wherever.
        for target in ["GET /mcp", "DELETE /mcp", "OPTIONS /mcp", "POST /elsewhere", "GET /"] {
            let head = format!("{target} HTTP/1.1\n{line}\n");
            assert_eq!(served.ask(&head, "").await.status, 403, "{head}");
        }
    }
    let allowed =
        HttpOptions::default().allow_host("evil.example.com").allow_origin("http://friend");
    let served = tools(allowed).await;
    for line in ["Host: evil.example.com:80", "Host: localhost\nOrigin: http://friend"] {
        served.ask(&format!("{head}{line}\n"), &body).await.with_status(200);
    }
}

thread_local! {
    /// What this thread logged.
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps events, each thread its own; the process's, as one of a single test comes and goes.
struct Log;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{}={value:?} ", field.name());
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        LOG.with_borrow_mut(|log| log.push(line.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Whoever put the server behind a name sees in the log why it answers nobody.
#[tokio::test]
async fn the_operator_reads_whom_the_guard_refused() {
    tracing::subscriber::set_global_default(Log).unwrap();
    let served = tools(HttpOptions::default()).await;
    let (head, body) = (modern_head("tools/list", ""), modern(1, "tools/list", ""));
    served.ask(&format!("{head}Host: localhost\n"), &body).await.with_status(200);
    assert_eq!(LOG.take(), [""; 0]);
    let foreign = format!("{head}Host: mcp.example.com\nOrigin: http://a.example\u{e9}\n");
    served.ask(&foreign, &body).await.with_status(403);
    let log = LOG.take();
    assert_eq!(log.len(), 1, "{log:?}");
    for part in [r#"host=Some("mcp.example.com")"#, r#"origin=Some("http://a.example\xc3\xa9")"#] {
        assert!(log[0].contains(part), "{log:?}");
    }
    assert!(log[0].contains("its operator can allow it"), "{log:?}");
}

#[tokio::test]
async fn a_page_that_is_invited_gets_its_answers_from_the_browser() {
    let served = tools(HttpOptions::default().allow_origin("https://app.example.com")).await;
    let (head, body) = (modern_head("tools/list", ""), modern(1, "tools/list", ""));
    let asked = "OPTIONS /mcp HTTP/1.1\nAccess-Control-Request-Method: POST\n\
                 Access-Control-Request-Headers: content-type,mcp-param-region\n";
    for (origin, invited) in [("https://app.example.com", true), ("http://localhost", false)] {
        let from = format!("Origin: {origin}\n");
        let reply = served.ask(&format!("{asked}{from}"), "").await;
        assert_eq!(reply.status, if invited { 204 } else { 405 });
        let page = invited.then_some(origin);
        assert_eq!(reply.header("access-control-allow-origin"), page);
        let wanted = invited.then_some("content-type,mcp-param-region");
        assert_eq!(reply.header("access-control-allow-headers"), wanted);
        let reply = served.ask(&format!("{head}{from}"), &body).await;
        assert_eq!(reply.header("access-control-allow-origin"), page);
        assert_eq!(reply.header("vary"), invited.then_some("Origin"));
        assert!(reply.with_status(200).contains("echo"));
    }
    // A page that is not invited learns nothing of the others.
    let reply = served.ask(&format!("{asked}Origin: https://evil.example.com\n"), "").await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (403, None));
}

#[tokio::test]
async fn methods_paths_and_media_types_are_held_to_the_protocol() {
    let served = tools(HttpOptions::default()).await;
    let body = modern(1, "tools/list", "");
    let good = modern_head("tools/list", "");
    for method in ["PUT", "PATCH", "OPTIONS"] {
        let reply = served.ask(&good.replace("POST", method), "").await;
        assert_eq!(reply.status, 405, "{method}");
        assert!(reply.header("allow").is_some_and(|allow| allow.contains("POST")));
    }
    for (head, status) in [
        (good.replace("/mcp", "/"), 404),
        (good.replace("/mcp", "/mcp/more"), 404),
        (good.replace("/mcp", "/mcp?query=1"), 200),
        (good.replace("Content-Type: application/json", "Content-Type: text/plain"), 415),
        (good.replace("Content-Type: application/json\n", ""), 415),
        (good.replace(", text/event-stream", ""), 406),
        (good.replace("application/json, text/event-stream", "text/html"), 406),
    ] {
        let reply = served.ask(&head, &body).await;
        assert_eq!(reply.status, status, "{head}");
        if status != 200 {
            assert_eq!(reply.code(), -32600, "{head}");
        }
    }
}

#[tokio::test]
async fn a_body_has_a_bound_of_size_however_it_arrives() {
    let mut options = HttpOptions::default();
    options.frame = FrameLimits { line: 1000, depth: 8, ..FrameLimits::default() };
    let served = tools(options).await;
    let good = modern_head("tools/list", "");
    let mut raw = served.connect().await;
    // What is announced is refused before it is sent.
    let head = format!("{good}Host: localhost\nContent-Length: 1001\n").replace('\n', "\r\n");
    raw.send(format!("{head}\r\n").as_bytes()).await;
    assert_eq!(raw.reply().await.status, 413);
    assert!(raw.is_closed().await);
    // What is not announced is counted.
    let mut raw = served.connect().await;
    let head = format!("{good}Host: localhost\nTransfer-Encoding: chunked\n").replace('\n', "\r\n");
    raw.send(format!("{head}\r\n").as_bytes()).await;
    for _ in 0..11 {
        raw.send(format!("64\r\n{}\r\n", " ".repeat(100)).as_bytes()).await;
    }
    assert_eq!(raw.reply().await.status, 413);
    let deep = format!("{}{}", "[".repeat(9), "]".repeat(9));
    let reply = served.ask(&good, &format!(r#"{{"id":5,"x":{deep}}}"#)).await;
    assert_eq!((reply.status, reply.code()), (400, -32600));
    assert!(reply.body.contains(r#""id":5"#), "{}", reply.body);
}

#[tokio::test]
async fn all_bodies_under_way_have_a_bound() {
    let mut options = HttpOptions::default();
    options.bodies = 300_000;
    let served = tools(options).await;
    let head =
        format!("{}Host: localhost\nContent-Length: 300000\n\n", modern_head("tools/list", ""));
    let mut first = served.connect().await;
    first.send(head.replace('\n', "\r\n").as_bytes()).await;
    first.send(&vec![b' '; 200_000]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut second = served.connect().await;
    second.send(head.replace('\n', "\r\n").as_bytes()).await;
    second.send(&vec![b' '; 200_000]).await;
    assert_eq!(second.reply().await.status, 503);
    // What was read whole is counted no more, and small bodies never were.
    first.send(&vec![b' '; 100_000]).await;
    assert_eq!(first.reply().await.code(), -32700);
    let mut third = served.connect().await;
    third.send(head.replace('\n', "\r\n").as_bytes()).await;
    third.send(&vec![b' '; 300_000]).await;
    assert_eq!(third.reply().await.code(), -32700);
}

#[tokio::test]
async fn a_body_in_pieces_is_one_body() {
    let served = tools(HttpOptions::default()).await;
    let mut raw = served.connect().await;
    let head =
        format!("{}Host: localhost\nTransfer-Encoding: chunked\n", modern_head("tools/list", ""));
    raw.send(format!("{}\r\n", head.replace('\n', "\r\n")).as_bytes()).await;
    for piece in modern(1, "tools/list", "").as_bytes().chunks(20) {
        raw.send(format!("{:x}\r\n{}\r\n", piece.len(), str::from_utf8(piece).unwrap()).as_bytes())
            .await;
        tokio::task::yield_now().await;
    }
    raw.send(b"0\r\n\r\n").await;
    assert!(raw.reply().await.with_status(200).contains("echo"));
}

#[tokio::test]
async fn a_body_has_a_bound_of_time() {
    let mut options = HttpOptions::default();
    options.body_time = Duration::from_millis(50);
    let served = tools(options).await;
    let mut raw = served.connect().await;
    raw.send(
        format!("{POST}Host: localhost\nContent-Length: 100\n\n").replace('\n', "\r\n").as_bytes(),
    )
    .await;
    raw.send(b"{").await;
    assert_eq!(raw.reply().await.status, 408);
    assert!(raw.is_closed().await);
}

#[tokio::test]
async fn a_head_has_a_bound_of_time() {
    let mut options = HttpOptions::default();
    options.head_time = Duration::from_millis(50);
    let served = tools(options).await;
    let mut raw = served.connect().await;
    raw.send(b"POST /mcp HTTP/1.1\r\nHost: local").await;
    assert!(raw.is_closed().await);
}

#[tokio::test]
async fn a_listener_has_a_bound_of_connections() {
    let mut options = HttpOptions::default();
    options.connections = 2;
    let served = tools(options).await;
    let (mut first, mut second) = (served.connect().await, served.connect().await);
    let (head, body) = (modern_head("tools/list", ""), modern(1, "tools/list", ""));
    for raw in [&mut first, &mut second] {
        raw.request(&head, &body).await;
        raw.reply().await.with_status(200);
    }
    let mut third = served.connect().await;
    assert!(third.is_closed().await);
    drop(first);
    // The end of a connection is noticed when its bytes are looked at, which takes a moment.
    for _ in 0..100 {
        let mut raw = served.connect().await;
        raw.request(&head, &body).await;
        if !raw.is_closed().await {
            return;
        }
    }
    panic!("a place that became free was not given to anybody");
}

/// Who starts a server is told what helps, also by `main`, which shows errors for programs.
#[tokio::test]
async fn an_address_that_cannot_be_listened_at_is_told_with_what_to_do() {
    use mcp_transport::http::server::HttpServer;

    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = other.local_addr().unwrap().to_string();
    for (address, advice) in [
        (busy.as_str(), "another program has this port"),
        ("192.0.2.1:8000", "the address is none of this computer"),
        ("127.0.0.1:99999", "such as `127.0.0.1:8000`"),
        ("127.0.0.1", "such as `127.0.0.1:8000`"),
    ] {
        let error = HttpServer::new(crate::common::Tools).listen(address).await.unwrap_err();
        assert!(error.to_string().contains(advice), "{error}");
        assert!(format!("{error:?}").contains(advice), "{error:?}");
    }
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn a_router_of_axum_serves_the_same() {
    use mcp_transport::http::server::HttpServer;
    use tower_service::Service as _;

    let other = axum::Router::new().route("/other", axum::routing::get(|| async { "other" }));
    let mut router = HttpServer::new(crate::common::Tools).into_router().merge(other);
    let mut status = async |host: &str, target: &str, body: &str| {
        let request = http::Request::post(target)
            .header("host", host)
            .header("content-type", "application/json")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/list");
        let body = axum::body::Body::from(body.to_owned());
        router.call(request.body(body).unwrap()).await.unwrap().status().as_u16()
    };
    let body = modern(1, "tools/list", "");
    assert_eq!(status("localhost", "/mcp", &body).await, 200);
    assert_eq!(status("evil.example.com", "/mcp", &body).await, 403);
    assert_eq!(status("localhost", "/other", "").await, 405);
    assert_eq!(status("localhost", "/elsewhere", "").await, 404);
}

/// A balancer asks by address and has no token; it hears whether to send anybody here, and no more.
#[tokio::test]
async fn whoever_asks_hears_whether_the_server_is_ready() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    let up = Arc::new(AtomicBool::new(true));
    let asked = up.clone();
    let options = HttpOptions::default()
        .probe("/live", || async { true })
        .probe("/ready", move || std::future::ready(asked.load(Ordering::Relaxed)))
        .probe("/mcp", || async { true });
    let served = tools(options).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\nHost: 10.0.0.7:8000\n");
    let reply = served.ask(&get("/ready"), "").await;
    assert_eq!((reply.status, &*reply.body), (200, r#"{"ready":true}"#));
    up.store(false, Ordering::Relaxed);
    let reply = served.ask(&get("/ready?verbose"), "").await;
    assert_eq!((reply.status, &*reply.body), (503, r#"{"ready":false}"#));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    served.ask(&get("/live"), "").await.with_status(200);
    // Nothing else is open to foreign hosts, the endpoint least of all.
    for path in ["/mcp", "/readyness", "/live/", "/"] {
        served.ask(&get(path), "").await.with_status(403);
    }
    let reply = served.ask("POST /ready HTTP/1.1\nHost: localhost\n", "{}").await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
}
