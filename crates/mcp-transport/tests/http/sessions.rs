//! The revisions with a handshake: sessions, streams, and coming back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mcp_transport::http::server::HttpOptions;
use mcp_types::*;

use crate::common::{INITIALIZE, INITIALIZED, legacy, same};
use crate::raw::{POST, Served, served, tools};
use crate::resume::rest;
use crate::slow::{Slow, until};

/// The head of a POST in a session.
pub(crate) fn post(session: &str) -> String {
    format!("{POST}MCP-Protocol-Version: 2025-11-25\nMcp-Session-Id: {session}\n")
}

pub(crate) fn get(session: &str) -> String {
    format!("GET /mcp HTTP/1.1\nAccept: text/event-stream\nMcp-Session-Id: {session}\n")
}

pub(crate) fn call(id: u32, name: &str) -> String {
    legacy(id, "tools/call", &format!(r#""name":"{name}","arguments":{{"message":"hi"}}"#))
}

pub(crate) const NEW: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"lines","version":"1"}}}"#;

/// Begins a session.
pub(crate) async fn begin(served: &Served) -> String {
    let reply = served.ask(POST, NEW).await;
    let id = reply.header("mcp-session-id").expect("a session").to_owned();
    reply.with_status(200);
    assert_eq!(served.ask(&post(&id), INITIALIZED).await.with_status(202), "");
    id
}

pub(crate) const ECHOED: &str =
    r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"hi"}]}}"#;

#[tokio::test]
async fn a_session_begins_serves_and_ends() {
    let served = tools(HttpOptions::default()).await;
    let reply = served.ask(POST, INITIALIZE).await;
    let id = reply.header("mcp-session-id").unwrap().to_owned();
    assert_eq!(id.len(), 32);
    assert!(id.bytes().all(|byte| byte.is_ascii_graphic()));
    same(
        &reply.with_status(200),
        r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"tools","version":"1.0.0"},"instructions":"call a tool"}}"#,
    );
    assert_ne!(begin(&served).await, begin(&served).await);
    let reply = served.ask(&post(&id), &call(1, "echo")).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    same(&reply.with_status(200), ECHOED);
    let who = served.ask(&post(&id), &call(2, "who")).await.with_status(200);
    assert!(who.contains(r#""text":"lines""#), "{who}");
    same(
        &served.ask(&post(&id), &legacy(3, "ping", "")).await.with_status(200),
        r#"{"jsonrpc":"2.0","id":3,"result":{}}"#,
    );
    // A header of a revision that this client may speak is as good as none.
    let without = post(&id).replace("MCP-Protocol-Version: 2025-11-25\n", "");
    same(&served.ask(&without, &call(1, "echo")).await.with_status(200), ECHOED);

    let end = get(&id).replace("GET", "DELETE");
    assert_eq!(served.ask(&end, "").await.with_status(204), "");
    for head in [post(&id), get(&id), end] {
        let reply = served.ask(&head, &call(1, "echo")).await;
        assert_eq!((reply.status, reply.code()), (404, -32600), "{head}");
    }
}

#[tokio::test]
async fn what_names_no_session_is_refused() {
    let served = tools(HttpOptions::default()).await;
    for head in [POST.to_owned(), get("x").replace("Mcp-Session-Id: x\n", "")] {
        let reply = served.ask(&head, &call(1, "echo")).await;
        assert_eq!((reply.status, reply.code()), (400, -32600), "{head}");
    }
    let id = begin(&served).await;
    for (head, status) in [
        (post(&id).replace("2025-11-25", "1900-01-01"), 400),
        (post("no-such-session"), 404),
        (get(&id).replace("text/event-stream", "text/html"), 406),
        (get(&id).replace("GET", "PUT"), 405),
        (get(&id) + "MCP-Protocol-Version: 2026-07-28\n", 405),
    ] {
        assert_eq!(served.ask(&head, &call(1, "echo")).await.status, status, "{head}");
    }
    let bad = r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#;
    let reply = served.ask(POST, bad).await;
    assert_eq!((reply.header("mcp-session-id"), reply.code()), (None, -32602));
}

#[tokio::test]
async fn a_session_belongs_to_whoever_began_it() {
    let server = mcp_transport::http::server::HttpServer::new(crate::common::Tools);
    let ask = async |who: Option<&str>, session: Option<&str>, body: &str| {
        let mut request = http::Request::post("/mcp")
            .header("host", "localhost")
            .header("content-type", "application/json");
        if let Some(session) = session {
            request = request.header("mcp-session-id", session);
        }
        if let Some(who) = who {
            request = request.extension(Principal::new("https://issuer", who));
        }
        server.serve(request.body(body.to_owned()).unwrap()).await.unwrap()
    };
    for owner in [Some("alice"), None] {
        let reply = ask(owner, None, NEW).await;
        let id = reply.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        for who in [Some("alice"), Some("bob"), None] {
            let status = ask(who, Some(&id), &call(1, "echo")).await.status();
            assert_eq!(status, if who == owner { 200 } else { 404 }, "{owner:?} {who:?}");
        }
    }
}

#[tokio::test]
async fn progress_makes_a_stream_with_numbers() {
    let served = tools(HttpOptions::default()).await;
    let id = begin(&served).await;
    let body = call(1, "progress").replace(r#""name""#, r#""_meta":{"progressToken":"p"},"name""#);
    let mut raw = served.connect().await;
    raw.request(&post(&id), &body).await;
    let head = raw.head().await;
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let mut all = String::new();
    while let Some(chunk) = raw.chunk().await {
        all += &chunk;
    }
    let events: Vec<_> = all.split_terminator("\n\n").collect();
    assert_eq!(events.len(), 202, "{all}");
    assert!(events[0].ends_with("\nretry: 1000\ndata: "), "{}", events[0]);
    let ids: std::collections::BTreeSet<_> =
        events.iter().map(|event| event.lines().next().unwrap()).collect();
    assert_eq!(ids.len(), 202, "no number is given twice");
    assert!(events[201].contains(r#""text":"done""#));
}

#[tokio::test]
async fn a_question_travels_on_the_stream_of_its_request() {
    let served = tools(HttpOptions::default()).await;
    let id = begin(&served).await;
    let mut raw = served.connect().await;
    raw.request(&post(&id), &call(7, "ask")).await;
    assert_eq!(raw.head().await.status, 200);
    let (_, question) = raw.event().await.unwrap();
    assert!(question.contains(r#""id":1,"method":"elicitation/create""#), "{question}");
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"action":"accept","content":{"name":"x"}}}"#;
    assert_eq!(served.ask(&post(&id), answer).await.with_status(202), "");
    let (_, result) = raw.event().await.unwrap();
    assert!(result.contains("kept attempt 1"), "{result}");
    assert_eq!(raw.chunk().await, None);
}

#[tokio::test]
async fn a_cancelled_call_ends_without_an_answer() {
    let served = tools(HttpOptions::default()).await;
    let id = begin(&served).await;
    let mut raw = served.connect().await;
    raw.request(&post(&id), &call(7, "never")).await;
    // The same id is taken as long as the call lasts.
    let mut reply = served.ask(&post(&id), &call(7, "echo")).await;
    while reply.status == 200 {
        reply = served.ask(&post(&id), &call(7, "echo")).await;
    }
    assert_eq!((reply.status, reply.code()), (400, -32600));
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    assert_eq!(served.ask(&post(&id), cancel).await.with_status(202), "");
    assert_eq!(raw.reply().await.with_status(200), "");
    same(
        &served.ask(&post(&id), &call(7, "echo")).await.with_status(200),
        &ECHOED.replace(r#""id":1"#, r#""id":7"#),
    );
}

#[tokio::test]
async fn the_end_of_a_session_ends_what_it_does() {
    let served = tools(HttpOptions::default()).await;
    let id = begin(&served).await;
    let (mut raw, mut stream) = (served.connect().await, served.connect().await);
    raw.request(&post(&id), &call(7, "never")).await;
    stream.request(&get(&id), "").await;
    assert_eq!(stream.head().await.status, 200);
    while served.ask(&post(&id), &call(7, "echo")).await.status == 200 {}
    served.ask(&get(&id).replace("GET", "DELETE"), "").await.with_status(204);
    assert_eq!(raw.reply().await.with_status(200), "");
    while stream.chunk().await.is_some() {}
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_a_modern_call() {
    let slow = Slow::default();
    let served = served(slow.clone(), HttpOptions::default()).await;
    for name in ["quiet", "loud"] {
        let mut raw = served.connect().await;
        let head = crate::raw::modern_head("tools/call", name);
        raw.request(&head, &crate::common::modern(1, "tools/call", &format!(r#""name":"{name}""#)))
            .await;
        if name == "loud" {
            assert_eq!(raw.head().await.header("content-type"), Some("text/event-stream"));
        } else {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(raw);
    }
    until(&slow.dropped, 2).await;
    assert_eq!(slow.ran.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_nothing_in_a_session() {
    let slow = Slow::default();
    let mut options = HttpOptions::default();
    options.session_idle = Duration::from_millis(200);
    let served = served(slow.clone(), options).await;
    let id = begin(&served).await;
    for name in ["quiet", "loud"] {
        let mut raw = served.connect().await;
        raw.request(&post(&id), &call(1 + u32::from(name == "loud"), name)).await;
        if name == "loud" {
            assert_eq!(raw.head().await.header("content-type"), Some("text/event-stream"));
        } else {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(raw);
    }
    // A call in flight keeps its session alive, however long it takes.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(slow.dropped.load(Ordering::SeqCst), 0);
    slow.go.add_permits(2);
    until(&slow.ran, 2).await;
    // And an idle session ends.
    until_gone(&served, &id).await;
}

async fn until_gone(served: &Served, id: &str) {
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        if served.ask(&post(id), INITIALIZED).await.status == 404 {
            return;
        }
    }
    panic!("the session is still there");
}

#[tokio::test]
async fn there_are_so_many_sessions_and_no_more() {
    let mut options = HttpOptions::default();
    options.sessions = 2;
    let slow = Slow::default();
    let served = served(slow.clone(), options).await;
    let (first, second) = (begin(&served).await, begin(&served).await);
    tokio::time::sleep(Duration::from_millis(5)).await;
    served.ask(&post(&first), INITIALIZED).await.with_status(202);
    tokio::time::sleep(Duration::from_millis(5)).await;
    // The one that was idle longest makes room.
    let third = begin(&served).await;
    assert_eq!(served.ask(&post(&second), INITIALIZED).await.status, 404);
    // One that somebody has worked with does not, as long as there are others.
    served.ask(&post(&first), &legacy(1, "tools/list", "")).await.with_status(200);
    tokio::time::sleep(Duration::from_millis(5)).await;
    served.ask(&post(&third), INITIALIZED).await.with_status(202);
    tokio::time::sleep(Duration::from_millis(5)).await;
    let fourth = begin(&served).await;
    assert_eq!(served.ask(&post(&third), INITIALIZED).await.status, 404);
    // Those that are busy do not.
    let (mut one, mut two) = (served.connect().await, served.connect().await);
    for (raw, id) in [(&mut one, &first), (&mut two, &fourth)] {
        raw.request(&post(id), &call(1, "loud")).await;
        raw.head().await;
    }
    let reply = served.ask(POST, NEW).await;
    assert_eq!((reply.status, reply.header("mcp-session-id")), (503, None));
    assert!(reply.header("retry-after").is_some());
}

#[tokio::test]
async fn one_session_has_so_many_requests_and_streams() {
    let mut options = HttpOptions::default();
    options.limits.in_flight = 1;
    options.streams_per_session = 2;
    let served = tools(options).await;
    let id = begin(&served).await;
    let mut raw = served.connect().await;
    raw.request(&post(&id), &call(7, "never")).await;
    let mut reply = served.ask(&post(&id), &call(8, "echo")).await;
    while reply.status == 200 {
        reply = served.ask(&post(&id), &call(8, "echo")).await;
    }
    assert_eq!(reply.status, 429);
    let mut open = Vec::new();
    for status in [200, 200, 409] {
        let mut raw = served.connect().await;
        raw.request(&get(&id), "").await;
        assert_eq!(raw.head().await.status, status);
        open.push(raw);
    }
}

#[tokio::test]
async fn all_streams_that_last_have_a_bound() {
    let mut options = HttpOptions::default();
    options.streams = 1;
    let served = tools(options).await;
    let (first, second) = (begin(&served).await, begin(&served).await);
    let mut raw = served.connect().await;
    raw.request(&get(&first), "").await;
    assert_eq!(raw.head().await.status, 200);
    assert_eq!(served.ask(&get(&second), "").await.status, 503);
    drop(raw);
    for _ in 0..100 {
        let mut raw = served.connect().await;
        raw.request(&get(&second), "").await;
        if raw.head().await.status == 200 {
            return;
        }
    }
    panic!("a place that became free was not given to anybody");
}

#[tokio::test]
async fn batches_are_split_and_joined_in_the_revision_that_has_them() {
    let served = tools(HttpOptions::default()).await;
    let old = NEW.replace("2025-11-25", "2025-03-26");
    let reply = served.ask(POST, &old).await;
    let id = reply.header("mcp-session-id").unwrap().to_owned();
    let head = post(&id).replace("2025-11-25", "2025-03-26");
    let batch = format!("[{},{INITIALIZED},{}]", call(1, "echo"), legacy(2, "ping", ""));
    let reply = served.ask(&head, &batch).await;
    let body = reply.with_status(200);
    let answers: Vec<serde_json::Value> = serde_json::from_str(&body).expect(&body);
    assert_eq!(answers.len(), 2);
    let silent = served.ask(&head, &format!("[{INITIALIZED}]")).await;
    assert_eq!(silent.with_status(202), "");
    let id = begin(&served).await;
    let reply = served.ask(&post(&id), &batch).await;
    assert_eq!(reply.code(), -32600);
}

#[tokio::test]
async fn without_sessions_each_message_stands_for_itself() {
    let mut options = HttpOptions::default();
    options.stateless = true;
    let served = tools(options).await;
    let reply = served.ask(POST, NEW).await;
    assert_eq!(reply.header("mcp-session-id"), None);
    assert!(reply.with_status(200).contains(r#""protocolVersion":"2025-11-25""#));
    let head = format!("{POST}MCP-Protocol-Version: 2025-11-25\n");
    same(&served.ask(&head, &call(1, "echo")).await.with_status(200), ECHOED);
    same(&served.ask(&post("whatever"), &call(1, "echo")).await.with_status(200), ECHOED);
    same(&served.ask(POST, &call(1, "echo")).await.with_status(200), ECHOED);
    assert_eq!(served.ask(&head, INITIALIZED).await.with_status(202), "");
    let pong = served.ask(&head, &legacy(3, "ping", "")).await.with_status(200);
    same(&pong, r#"{"jsonrpc":"2.0","id":3,"result":{}}"#);
    let level = legacy(4, "logging/setLevel", r#""level":"error""#);
    assert!(served.ask(&head, &level).await.with_status(200).contains("result"));
    let reply = served.ask(&head, &legacy(5, "no/such", "")).await;
    assert_eq!((reply.status, reply.code()), (200, -32601));
    // Nobody could take the answer to a question.
    let reply = served.ask(&head, &call(6, "ask")).await;
    assert_eq!((reply.status, reply.code()), (200, -32600));
    assert_eq!(
        served.ask(POST, &format!("[{}]", call(1, "echo"))).await.with_status(200).trim(),
        format!("[{ECHOED}]")
    );
    for method in ["GET", "DELETE"] {
        let reply = served.ask(&get("x").replace("GET", method), "").await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    }
}

#[tokio::test]
async fn a_panic_ends_its_own_call_alone() {
    let served = tools(HttpOptions::default()).await;
    let id = begin(&served).await;
    for name in ["panic", "panic later"] {
        assert_eq!(served.ask(&post(&id), &call(2, name)).await.code(), -32603);
    }
    same(&served.ask(&post(&id), &call(1, "echo")).await.with_status(200), ECHOED);
}

#[tokio::test]
async fn a_shutdown_waits_for_calls_and_ends_streams() {
    let slow = Slow::default();
    let mut served = served(slow.clone(), HttpOptions::default()).await;
    let id = begin(&served).await;
    let (mut raw, mut stream) = (served.connect().await, served.connect().await);
    raw.request(&post(&id), &call(1, "loud")).await;
    raw.head().await;
    stream.request(&get(&id), "").await;
    stream.head().await;
    served.stop();
    while stream.chunk().await.is_some() {}
    slow.go.add_permits(1);
    assert!(rest(&mut raw).await.last().unwrap().1.contains("slow"));
    served.ended().await;
}

#[tokio::test]
async fn whoever_begins_many_sessions_ends_their_own() {
    let mut options = HttpOptions::default();
    options.sessions = 3;
    let server = mcp_transport::http::server::HttpServer::with(crate::common::Tools, options);
    let ask = async |who: &str, session: Option<&str>, body: &str| {
        let mut request = http::Request::post("/mcp")
            .header("host", "localhost")
            .header("content-type", "application/json")
            .extension(Principal::new("https://issuer", who));
        if let Some(session) = session {
            request = request.header("mcp-session-id", session);
        }
        let reply = server.serve(request.body(body.to_owned()).unwrap()).await.unwrap();
        let id = reply.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        (reply.status(), id)
    };
    let ada = ask("ada", None, NEW).await.1.unwrap();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(ask("eve", None, NEW).await.0, 200);
    }
    assert_eq!(ask("ada", Some(&ada), &call(1, "echo")).await.0, 200);
}

#[tokio::test]
async fn what_sessions_keep_of_their_clients_has_a_bound() {
    let served = tools(HttpOptions::default()).await;
    let saying = |length: usize| {
        let said = format!(r#"{{"experimental":{{"x":{{"y":"{}"}}}}}}"#, "a".repeat(length));
        NEW.replace(r#"{"elicitation":{}}"#, &said)
    };
    assert_eq!(served.ask(POST, &saying(70_000)).await.status, 413);
    let (id, fat) = (begin(&served).await, saying(60_000));
    let mut first = None;
    for _ in 0..600 {
        let reply = served.ask(POST, &fat).await;
        let begun = reply.header("mcp-session-id").unwrap().to_owned();
        first.get_or_insert(begun);
    }
    // Those that say much made room for each other.
    assert_eq!(served.ask(&post(&first.unwrap()), &call(1, "echo")).await.status, 404);
    assert_eq!(served.ask(&post(&id), &call(1, "echo")).await.status, 200);
}
