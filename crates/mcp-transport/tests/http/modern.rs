//! The stateless era: one POST, one exchange.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::Body as _;
use mcp_transport::http::server::HttpOptions;
use mcp_types::*;

use crate::common::{modern, same, text};
use crate::raw::{modern_head, served, tools};

fn call(name: &str, arguments: &str) -> (String, String) {
    let params = format!(r#""name":"{name}","arguments":{arguments}"#);
    (modern_head("tools/call", name), modern(1, "tools/call", &params))
}

const ECHOED: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[{"type":"text","text":"hi"}],"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"tools","version":"1.0.0"}}}}"#;

#[tokio::test]
async fn a_call_is_answered_with_one_json_text() {
    let served = tools(HttpOptions::default()).await;
    let (head, body) = call("echo", r#"{"message":"hi"}"#);
    let reply = served.ask(&head, &body).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(reply.header("content-length").is_some());
    assert!(reply.header("mcp-session-id").is_none());
    same(&reply.with_status(200), ECHOED);
}

#[tokio::test]
async fn requests_follow_one_another_on_a_connection() {
    let served = tools(HttpOptions::default()).await;
    let mut raw = served.connect().await;
    let (head, body) = call("echo", r#"{"message":"hi"}"#);
    for _ in 0..3 {
        raw.request(&head, &body).await;
    }
    for _ in 0..3 {
        same(&raw.reply().await.with_status(200), ECHOED);
    }
}

#[tokio::test]
async fn a_discovery_names_the_revisions_of_this_era() {
    let served = tools(HttpOptions::default()).await;
    let head = modern_head("server/discover", "");
    let body = served.ask(&head, &modern(7, "server/discover", "")).await.with_status(200);
    assert!(body.contains(r#""supportedVersions":["2026-07-28"]"#), "{body}");
    assert_eq!(body.matches("serverInfo").count(), 1, "{body}");
}

#[tokio::test]
async fn a_header_that_differs_from_the_body_is_refused() {
    let served = tools(HttpOptions::default()).await;
    let (good, body) = call("echo", "{}");
    let without = |line: &str| {
        let lines = good.lines().filter(|known| !known.starts_with(line));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    for head in [
        without("Mcp-Method"),
        without("Mcp-Name"),
        without("MCP-Protocol-Version"),
        good.replace("tools/call", "TOOLS/CALL"),
        good.replace("tools/call", "tools/list"),
        good.replace("Mcp-Name: echo", "Mcp-Name: Echo"),
        good.replace("Mcp-Name: echo", "Mcp-Name: =?base64?ZWNob?="),
        good.replace("2026-07-28", "2025-11-25"),
        good.replace("2026-07-28", "v999.0.0"),
        format!("{good}Mcp-Name: echo\n"),
        format!("{good}Mcp-Method: tools/list\n"),
    ] {
        let reply = served.ask(&head, &body).await;
        assert_eq!((reply.status, reply.code()), (400, -32020), "{head}");
        assert!(reply.body.contains(r#""id":1"#), "{}", reply.body);
    }
    for head in [
        good.replace("Mcp-Name: echo", "mcp-name:   echo  "),
        good.replace("Mcp-Name: echo", "MCP-NAME: =?base64?ZWNobw==?="),
        format!("{good}Mcp-Session-Id: whatever\nLast-Event-ID: 7\n"),
    ] {
        served.ask(&head, &body).await.with_status(200);
    }
}

#[tokio::test]
async fn a_revision_that_is_not_served_is_named_with_those_that_are() {
    let served = tools(HttpOptions::default()).await;
    let head = modern_head("tools/list", "").replace("2026-07-28", "v999.0.0");
    let body = modern(1, "tools/list", "").replace("2026-07-28", "v999.0.0");
    let reply = served.ask(&head, &body).await;
    assert_eq!((reply.status, reply.code()), (400, -32022));
    assert!(reply.body.contains(r#""data":{"requested":"v999.0.0","supported":["2026-07-28"]}"#));
    // The headers say one thing, the body another: that is no question of what is served.
    let reply = served.ask(&modern_head("tools/list", ""), &body).await;
    assert_eq!((reply.status, reply.code()), (400, -32020));
}

#[tokio::test]
async fn errors_travel_with_the_status_of_their_code() {
    let served = tools(HttpOptions::default()).await;
    for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "no/such"] {
        let reply = served.ask(&modern_head(method, ""), &modern(3, method, "")).await;
        assert_eq!((reply.status, reply.code()), (404, -32601), "{method}");
        assert!(reply.body.contains(r#""id":3"#), "{}", reply.body);
    }
    let head = modern_head("tools/list", "");
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("[]", -32600),
        ("7", -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{}}}"#, -32602),
    ] {
        let reply = served.ask(&head, body).await;
        assert_eq!((reply.status, reply.code()), (400, code), "{body}");
    }
    // Text that is outlined like a request and is no JSON inside, of a known method and of none.
    for method in ["tools/list", "no/such"] {
        for inner in [r#"{"a":}"#, r#"{"a":1,}"#, "{\"a\":\"\u{1}\"}", r#"{[]"a"}"#, r#"{]]}"#] {
            let body =
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{inner}}}"#);
            let reply = served.ask(&modern_head(method, ""), &body).await;
            assert_eq!((reply.status, reply.code()), (400, -32700), "{body}");
        }
    }
    let (head, body) = call("panic", "{}");
    let reply = served.ask(&head, &body).await;
    assert_eq!((reply.status, reply.code()), (500, -32603));
    let (head, body) = call("panic later", "{}");
    let reply = served.ask(&head, &body).await;
    assert_eq!((reply.status, reply.code()), (500, -32603));
    let (head, body) = call("echo", r#"{"message":"hi"}"#);
    same(&served.ask(&head, &body).await.with_status(200), ECHOED);
}

#[tokio::test]
async fn a_notification_is_taken_and_not_answered() {
    let served = tools(HttpOptions::default()).await;
    let head = modern_head("notifications/cancelled", "");
    let body = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    assert_eq!(served.ask(&head, body).await.with_status(202), "");
}

#[tokio::test]
async fn what_a_call_says_meanwhile_makes_its_answer_a_stream() {
    let served = tools(HttpOptions::default()).await;
    let (head, body) = call("progress", "{}");
    let body = body.replace(r#""_meta":{"#, r#""_meta":{"progressToken":"p","#);
    let reply = served.ask(&head, &body).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!(reply.header("x-accel-buffering"), Some("no"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let events = reply.events();
    assert_eq!(events.len(), 201);
    same(
        &events[199],
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":200}}"#,
    );
    assert!(events[200].contains(r#""text":"done""#));
}

#[tokio::test]
async fn log_messages_leave_from_the_level_that_the_client_wants() {
    let served = tools(HttpOptions::default()).await;
    let (head, body) = call("log", "{}");
    let reply = served.ask(&head, &body).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let level = r#""_meta":{"io.modelcontextprotocol/logLevel":"error","#;
    let reply = served.ask(&head, &body.replace(r#""_meta":{"#, level)).await;
    let events = reply.events();
    assert_eq!(events.len(), 2);
    assert!(events[0].contains(r#""level":"error""#));
}

#[tokio::test]
async fn a_client_that_wants_one_text_gets_one() {
    let mut options = HttpOptions::default();
    options.json_only = true;
    let served = tools(options).await;
    let (head, body) = call("progress", "{}");
    let head = head.replace(", text/event-stream", "");
    let body = body.replace(r#""_meta":{"#, r#""_meta":{"progressToken":"p","#);
    let reply = served.ask(&head, &body).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(reply.with_status(200).contains(r#""text":"done""#));
}

#[tokio::test]
async fn a_call_that_takes_its_time_becomes_a_stream_that_lives() {
    let mut options = HttpOptions::default();
    options.keep_alive = Some(Duration::from_millis(20));
    let served = tools(options).await;
    let (head, body) = call("sleep", "{}");
    let reply = served.ask(&head, &body).await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert!(reply.body.starts_with(":\n\n"), "{}", reply.body);
    assert!(reply.body.contains("slept"));
    let other = tools(HttpOptions::default()).await;
    let reply = other.ask(&head, &body).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
}

/// Tells what it sees of the HTTP request.
#[derive(Clone)]
struct Sees;

impl tower_service::Service<Exchange> for Sees {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let extensions = &exchange.context.extensions;
        let mirrored = extensions.get::<MirroredParams>().map(|mirrored| {
            ["region", "Twice", "bad", "none"].map(|name| match mirrored.get(name) {
                Some(Ok(value)) => value.to_owned(),
                Some(Err(Unreadable)) => "unreadable".to_owned(),
                None => "absent".to_owned(),
            })
        });
        let parts = extensions.get::<http::request::Parts>();
        let trace =
            parts.and_then(|parts| parts.headers.get("traceparent")).map(|v| v.to_str().unwrap());
        let who = extensions.get::<Principal>().map(|who| who.subject.as_str());
        let answer = text(format!("{mirrored:?} {trace:?} {who:?}"));
        Box::pin(std::future::ready(answer))
    }
}

#[tokio::test]
async fn what_the_request_says_travels_with_the_exchange() {
    let served = served(Sees, HttpOptions::default()).await;
    let (head, body) = call("echo", "{}");
    let more = "Mcp-Param-Region: =?base64?w7xiZXI=?=\nMCP-PARAM-TWICE: a\nMcp-Param-Twice: a\n\
                Mcp-Param-Bad: =?base64?w7?=\nTraceparent: 00-1\n";
    let reply = served.ask(&format!("{head}{more}"), &body).await.with_status(200);
    let seen =
        r#"Some([\"über\", \"unreadable\", \"unreadable\", \"absent\"]) Some(\"00-1\") None"#;
    assert!(reply.contains(seen), "{reply}");
    let head = modern_head("tools/list", "");
    let reply = served.ask(&head, &modern(1, "tools/list", "")).await.with_status(200);
    assert!(reply.contains("None None None"), "only calls repeat arguments: {reply}");

    let server = mcp_transport::http::server::HttpServer::new(Sees);
    let request = http::Request::post("http://localhost/mcp")
        .header("content-type", "application/json")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/list")
        .extension(Principal::new("https://issuer", "alice"));
    let request = request.body(modern(1, "tools/list", "")).unwrap();
    let mut answer = server.serve(request).await.unwrap().into_body();
    let frame = std::future::poll_fn(|cx| Pin::new(&mut answer).poll_frame(cx)).await;
    let bytes = frame.unwrap().unwrap().into_data().unwrap();
    let reply = str::from_utf8(&bytes).unwrap();
    assert!(reply.contains(r#"Some(\"alice\")"#), "{reply}");
}

#[tokio::test]
async fn a_subscription_is_asked_for_in_few_words() {
    let served = tools(HttpOptions::default()).await;
    let body = modern(1, "subscriptions/listen", r#""notifications":{"toolsListChanged":true}"#);
    let head = modern_head("subscriptions/listen", "");
    let padded = body.replacen('{', &format!("{{{}", " ".repeat(300_000)), 1);
    let reply = served.ask(&head, &padded).await;
    assert_eq!((reply.status, reply.code()), (413, -32600));
    assert_ne!(served.ask(&head, &body).await.status, 413);
}
