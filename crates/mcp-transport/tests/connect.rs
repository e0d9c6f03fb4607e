//! A connection as a service: both eras of servers, ours and scripted ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{Lines, Tools};
use mcp_transport::{ConnectOptions, Connection, Era, PeerRequests, connect_with, duplex, serve};
use mcp_types::*;
use tower_service::Service;

fn options(era: Option<Era>) -> ConnectOptions {
    let mut options = ConnectOptions::new(Implementation::new("connect", "1.0.0"));
    options.config.era = era;
    options.config.client_capabilities.elicitation = Some(ClientCapabilitiesElicitation::new());
    options
}

fn to_tools(era: Option<Era>) -> Connection {
    let (server, client) = duplex();
    tokio::spawn(serve(Tools, server));
    connect_with(client, options(era))
}

fn to_lines(era: Option<Era>) -> (Connection, Lines) {
    let (io, lines) = Lines::pair();
    (connect_with(io, options(era)), lines)
}

type Answered = Result<Outcome, ErrorObject>;

fn discover() -> Exchange {
    Exchange::new(ClientRequest::Discover(RequestParams::new()))
}

fn call(tool: &str) -> Exchange {
    let mut params = CallToolRequestParams::new(tool);
    params.arguments = RawText::new(r#"{"message":"hi"}"#).ok();
    Exchange::new(ClientRequest::CallTool(params))
}

fn said(outcome: Result<Outcome, ErrorObject>) -> String {
    match outcome {
        Ok(Outcome::Complete(ServerResult::CallTool(result))) => match result.content.first() {
            Some(ContentBlock::Text(text)) => text.text.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Keeps what it is told.
#[derive(Default)]
struct Heard(Mutex<Vec<ServerNotification>>);

impl NotificationSink for Heard {
    fn poll_notify(
        &self,
        _: &mut Context<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        self.0.lock().unwrap().extend(notification.take());
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn both_eras_give_the_same_service() {
    for (era, version) in [
        (None, ProtocolVersion::V2026_07_28),
        (Some(Era::Modern), ProtocolVersion::V2026_07_28),
        (Some(Era::Legacy), ProtocolVersion::V2025_11_25),
    ] {
        let mut server = to_tools(era);
        let Ok(Outcome::Complete(ServerResult::Discover(found))) = server.call(discover()).await
        else {
            panic!("no discovery")
        };
        assert_eq!(found.server_info().unwrap().name, "tools");
        assert_eq!(found.instructions.as_deref(), Some("call a tool"));
        assert_eq!(server.version(), Some(version));
        assert_eq!(said(server.call(call("echo")).await), "hi");
        assert_eq!(said(server.call(call("who")).await), "connect");
        let unknown = server.call(call("unknown")).await.unwrap_err();
        assert_eq!((unknown.code, unknown.origin), (-32602, Origin::Service));
        let again = server.call(discover()).await;
        assert!(matches!(again, Ok(Outcome::Complete(ServerResult::Discover(_)))));
    }
}

#[tokio::test]
async fn a_call_may_come_first() {
    for era in [None, Some(Era::Modern), Some(Era::Legacy)] {
        let mut server = to_tools(era);
        let (first, second) =
            tokio::join!(server.clone().call(call("echo")), server.call(call("who")));
        assert_eq!((said(first), said(second)), ("hi".into(), "connect".into()));
    }
}

#[tokio::test]
async fn the_metadata_of_a_discovery_goes_both_ways() {
    for era in [Some(Era::Modern), Some(Era::Legacy)] {
        let mut exchange = discover();
        exchange.context.meta.insert("dev.example/sent", RawText::new("[1]").unwrap());
        let Ok(Outcome::Complete(ServerResult::Discover(found))) =
            to_tools(era).call(exchange).await
        else {
            panic!("no discovery")
        };
        assert_eq!(found.meta.unwrap().get("dev.example/back").unwrap().get(), "[1]");
    }
}

#[tokio::test]
async fn progress_reaches_whoever_called_under_their_own_token() {
    for era in [Some(Era::Modern), Some(Era::Legacy)] {
        let heard = Arc::new(Heard::default());
        let mut exchange = call("progress");
        exchange.notifier = Notifier::new(heard.clone(), exchange.id());
        exchange.context.progress_token = Some("mine".into());
        assert_eq!(said(to_tools(era).call(exchange).await), "done");
        let heard = heard.0.lock().unwrap();
        assert_eq!(heard.len(), 200);
        for (n, notification) in heard.iter().enumerate() {
            let ServerNotification::Progress(progress) = notification else {
                panic!("{notification:?}")
            };
            assert_eq!(progress.progress, (n + 1) as f64);
            assert_eq!(progress.progress_token, "mine".into());
        }
    }
}

#[tokio::test]
async fn log_messages_reach_whoever_asked_for_them() {
    let heard = Arc::new(Heard::default());
    let mut exchange = call("log");
    exchange.notifier = Notifier::new(heard.clone(), exchange.id());
    exchange.context.log_level = Some(LoggingLevel::Error);
    assert_eq!(said(to_tools(None).call(exchange).await), "logged");
    assert_eq!(heard.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_at_the_server() {
    let (mut server, mut lines) = to_lines(Some(Era::Modern));
    let mut calling = server.call(call("never"));
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{}}}"#;
    tokio::select! {
        _ = &mut calling => panic!("nobody answers"),
        () = async {
            assert!(lines.next().await.unwrap().contains("server/discover"));
            lines.send(answer).await;
            let sent = lines.next().await.unwrap();
            assert!(sent.contains(r#""id":2"#) && sent.contains("tools/call"), "{sent}");
        } => {}
    }
    drop(calling);
    let cancelled = lines.next().await.unwrap();
    assert!(
        cancelled.contains("notifications/cancelled") && cancelled.contains(r#""requestId":2"#)
    );
    // The late answer is nobody's, and the next call is answered.
    lines.send(r#"{"jsonrpc":"2.0","id":2,"result":{"content":[]}}"#).await;
    let next = tokio::spawn(server.call(call("echo")));
    lines.next().await.unwrap();
    lines
        .send(r#"{"jsonrpc":"2.0","id":3,"result":{"content":[{"type":"text","text":"next"}]}}"#)
        .await;
    assert_eq!(said(next.await.unwrap()), "next");
}

/// A call that is in flight as request 2, and the server's end.
async fn calling_modern() -> (tokio::task::JoinHandle<Answered>, Lines) {
    let (mut server, mut lines) = to_lines(Some(Era::Modern));
    let calling = tokio::spawn(server.call(call("echo")));
    lines.next().await.unwrap();
    lines.send(r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{}}}"#).await;
    assert!(lines.next().await.unwrap().contains(r#""id":2"#));
    (calling, lines)
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_the_protocol_fails_its_call() {
    for answer in [
        r#"{"jsonrpc":"2.0","id":2,"result":{"content":[]},"error":{"code":1,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":2}"#,
        r#"{"jsonrpc":"2.0","id":2,"error":"no"}"#,
        r#"{"jsonrpc":"1.0","id":2,"result":{"content":[]}}"#,
        r#"{"jsonrpc":"2.0","id":2.5,"result":{"content":[]}}"#,
        r#"{"jsonrpc":"2.0","id":null,"result":{"content":[]}}"#,
        r#"{"jsonrpc":"2.0","id":{"n":2},"result":{"content":[]}}"#,
        r#"{"jsonrpc":"2.0","id":2,"id":2,"result":{"content":[]}}"#,
        r#"{"jsonrpc":"2.0","result":{"content":[]}}"#,
        r#"[{"jsonrpc":"2.0","id":2,"result":{"content":[]}}]"#,
    ] {
        let (calling, mut lines) = calling_modern().await;
        lines.send(answer).await;
        let error = calling.await.unwrap().unwrap_err();
        assert_eq!(error.origin, Origin::Protocol, "{answer}: {error}");
        assert!(error.message.contains("the server"), "{answer}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_could_not_read_the_request_fails_it_without_naming_it() {
    for id in [r#""id":null,"#, ""] {
        let (calling, mut lines) = calling_modern().await;
        let refusal = r#""error":{"code":-32700,"message":"cannot read that"}"#;
        lines.send(&format!(r#"{{"jsonrpc":"2.0",{id}{refusal}}}"#)).await;
        let error = calling.await.unwrap().unwrap_err();
        assert_eq!((error.code, &*error.message), (-32700, "cannot read that"));
    }
}

/// Servers that were written by hand often answer whatever comes.
#[tokio::test]
async fn a_server_may_answer_a_notification() {
    for answer in [
        r#"{"jsonrpc":"2.0","id":null,"result":{}}"#,
        r#"{"jsonrpc":"2.0","result":null}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no such method"}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"where is the id"}}"#,
    ] {
        let (mut server, mut lines) = to_lines(Some(Era::Legacy));
        let calling = tokio::spawn(server.call(call("echo")));
        lines.next().await.unwrap();
        lines.send(&HANDSHAKE.replace(r#""id":2"#, r#""id":1"#)).await;
        assert!(lines.next().await.unwrap().contains("notifications/initialized"));
        lines.next().await.unwrap();
        lines.send(answer).await;
        lines
            .send(
                r#"{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"fine"}]}}"#,
            )
            .await;
        assert_eq!(said(calling.await.unwrap()), "fine", "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_answer_fails_nothing() {
    let (calling, mut lines) = calling_modern().await;
    for line in [
        "a stray line",
        "[INFO] started",
        "[1,2]",
        "[{}]",
        r#"{"level":"info","id":2,"error":"none"}"#,
        r#"{"jsonrpc":"2.0","id":2,"method":"ping","params":[]}"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{},"error":{"code":1,"message":"late"}}"#,
    ] {
        lines.send(line).await;
    }
    lines
        .send(r#"{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"fine"}]}}"#)
        .await;
    assert_eq!(said(calling.await.unwrap()), "fine");
}

#[tokio::test]
async fn an_answer_to_one_of_several_calls_that_names_none_fails_the_connection() {
    let (mut server, mut lines) = to_lines(Some(Era::Legacy));
    let both = [server.call(call("echo")), server.call(call("echo"))].map(tokio::spawn);
    lines.next().await.unwrap();
    lines.send(&HANDSHAKE.replace(r#""id":2"#, r#""id":1"#)).await;
    for _ in 0..3 {
        lines.next().await.unwrap();
    }
    lines.send(r#"{"jsonrpc":"2.0","id":true,"result":{}}"#).await;
    for calling in both {
        assert_eq!(calling.await.unwrap().unwrap_err().origin, Origin::Protocol);
    }
}

#[tokio::test]
async fn a_batch_is_split_in_the_one_revision_that_has_them() {
    let (mut server, mut lines) = to_lines(Some(Era::Legacy));
    let both = [server.call(call("echo")), server.call(call("echo"))].map(tokio::spawn);
    lines.next().await.unwrap();
    let handshake = HANDSHAKE.replace(r#""id":2"#, r#""id":1"#);
    lines.send(&handshake.replace("2024-11-05", "2025-03-26")).await;
    for _ in 0..3 {
        lines.next().await.unwrap();
    }
    let answer = |id: i64| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"both"}}]}}}}"#
        )
    };
    lines.send(&format!("[{},{}]", answer(3), answer(2))).await;
    for calling in both {
        assert_eq!(said(calling.await.unwrap()), "both");
    }
}

const HANDSHAKE: &str = r#"{"jsonrpc":"2.0","id":2,"result":{"protocolVersion":"2024-11-05","capabilities":{},"serverInfo":{"name":"old","version":"1"}}}"#;

#[tokio::test]
async fn a_server_that_does_not_know_the_probe_gets_a_handshake() {
    let (mut server, mut lines) = to_lines(None);
    let calling = tokio::spawn(server.call(call("echo")));
    assert!(lines.next().await.unwrap().contains("server/discover"));
    lines
        .send(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"not initialized"}}"#)
        .await;
    let handshake = lines.next().await.unwrap();
    assert!(handshake.contains(r#""method":"initialize""#) && handshake.contains("2025-11-25"));
    assert!(handshake.contains(r#""clientInfo":{"name":"connect""#), "{handshake}");
    lines.send(HANDSHAKE).await;
    assert_eq!(
        lines.next().await.unwrap(),
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#
    );
    let sent = lines.next().await.unwrap();
    assert!(sent.contains("tools/call") && !sent.contains("modelcontextprotocol"), "{sent}");
    lines
        .send(r#"{"jsonrpc":"2.0","id":3,"result":{"content":[{"type":"text","text":"old"}]}}"#)
        .await;
    assert_eq!(said(calling.await.unwrap()), "old");
    assert_eq!(server.version(), Some(ProtocolVersion::V2024_11_05));
}

#[tokio::test]
async fn an_answer_without_an_id_is_an_answer_to_the_probe() {
    let (mut server, mut lines) = to_lines(None);
    let calling = tokio::spawn(server.call(discover()));
    lines.next().await.unwrap();
    lines
        .send(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"what is this"}}"#)
        .await;
    assert!(lines.next().await.unwrap().contains(r#""method":"initialize""#));
    lines.send(HANDSHAKE).await;
    assert!(calling.await.unwrap().is_ok());
}

#[tokio::test]
async fn clones_of_one_exchange_are_calls_of_their_own() {
    let mut server = to_tools(None);
    let exchange = call("echo");
    let (first, second) =
        tokio::join!(server.clone().call(exchange.clone()), server.call(exchange));
    assert_eq!((said(first), said(second)), ("hi".into(), "hi".into()));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_silent_gets_a_handshake_too() {
    let (mut server, mut lines) = to_lines(None);
    let calling = tokio::spawn(server.call(discover()));
    assert!(lines.next().await.unwrap().contains("server/discover"));
    assert!(lines.next().await.unwrap().contains("initialize"), "after the probe's time");
    lines.send(HANDSHAKE).await;
    assert!(calling.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_server_that_we_cannot_talk_to_is_named() {
    let (mut server, mut lines) = to_lines(Some(Era::Legacy));
    let calling = tokio::spawn(server.call(discover()));
    assert!(lines.next().await.unwrap().contains("initialize"));
    lines
        .send(&HANDSHAKE.replace(r#""id":2"#, r#""id":1"#).replace("2024-11-05", "1999-01-01"))
        .await;
    let error = calling.await.unwrap().unwrap_err();
    assert_eq!(error.origin, Origin::Protocol);
    assert!(error.message.contains("1999-01-01"), "{error}");
}

#[tokio::test]
async fn a_lost_connection_fails_what_is_in_flight_and_what_comes() {
    let (mut server, mut lines) = to_lines(None);
    let calling = tokio::spawn(server.call(call("echo")));
    lines.next().await;
    drop(lines);
    assert_eq!(calling.await.unwrap().unwrap_err().origin, Origin::Connection);
    assert_eq!(server.call(call("echo")).await.unwrap_err().origin, Origin::Connection);
}

/// More than may be unsent before others wait, at a server that goes away before it is sent.
#[tokio::test]
async fn nobody_waits_for_room_at_a_connection_that_is_lost() {
    let (mut connection, mut lines) = to_lines(Some(Era::Modern));
    let mut other = connection.clone();
    let opening = tokio::spawn(other.call(discover()));
    lines.next().await.unwrap();
    lines.send(r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{}}}"#).await;
    opening.await.unwrap().unwrap();
    let mut params = CallToolRequestParams::new("echo");
    params.arguments = RawText::new(format!(r#"{{"message":"{}"}}"#, "x".repeat(300 << 10))).ok();
    let large = connection.call(Exchange::new(ClientRequest::CallTool(params)));
    // It wants room as many times as it is asked, and is kept once.
    let nobody = Arc::new(Nobody);
    for _ in 0..100 {
        let wake = Waker::from(nobody.clone());
        assert!(connection.poll_ready(&mut Context::from_waker(&wake)).is_pending());
    }
    assert_eq!(Arc::strong_count(&nobody), 2);
    drop(lines);
    assert!(large.await.is_err());
    let room = std::future::poll_fn(|cx| connection.poll_ready(cx));
    tokio::time::timeout(Duration::from_secs(5), room).await.expect("it is over").unwrap();
    assert!(connection.call(call("echo")).await.is_err());
}

#[tokio::test]
async fn closing_waits_for_the_end() {
    let mut server = to_tools(None);
    assert_eq!(said(server.call(call("echo")).await), "hi");
    server.close().await;
    assert_eq!(server.call(call("echo")).await.unwrap_err().origin, Origin::Connection);
}

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

/// Whether two wakers are of one task cannot be told for sure, so whoever waits long must not be kept for
/// each time that it is polled.
#[tokio::test]
async fn who_waits_for_the_end_is_kept_once() {
    let connection = to_tools(None);
    let mut ended = pin!(connection.ended());
    let wakes: Vec<_> = (0..100).map(|_| Arc::new(Nobody)).collect();
    for wake in &wakes {
        let waker = Waker::from(wake.clone());
        assert!(ended.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(wakes.iter().filter(|wake| Arc::strong_count(wake) > 1).count(), 1);
    tokio::join!(connection.close(), ended);
    connection.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_answered_times_out() {
    let mut options = options(None);
    options.config.request_timeout = Some(Duration::from_secs(3));
    let (io, client) = duplex();
    tokio::spawn(serve(Tools, io));
    let mut server = connect_with(client, options);
    let error = server.call(call("never")).await.unwrap_err();
    assert_eq!(error.origin, Origin::Timeout);
}

#[tokio::test]
async fn a_question_ends_the_call_and_the_answer_goes_on_with_it() {
    for (era, attempt) in [(Era::Modern, 0), (Era::Legacy, 1)] {
        let mut server = to_tools(Some(era));
        let Ok(Outcome::InputRequired(asked)) = server.call(call("ask")).await else {
            panic!("no question")
        };
        let (key, question) = asked.input_requests.unwrap().into_iter().next().unwrap();
        assert!(matches!(question, InputRequest::Elicit(_)));
        let mut again = call("ask");
        let answer = RawText::new(r#"{"action":"accept","content":{"name":"Ada"}}"#).unwrap();
        again.context.input_responses = Some(Members::from_iter([(key, answer)]));
        again.context.request_state = asked.request_state;
        let said = said(server.call(again).await);
        assert!(
            said.contains("Ada") && said.ends_with(&format!("kept attempt {attempt}")),
            "{said}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_names_the_place() {
    let (mut server, mut lines) = to_lines(Some(Era::Legacy));
    let calling = tokio::spawn(server.call(call("echo")));
    lines.next().await.unwrap();
    lines.send(&HANDSHAKE.replace(r#""id":2"#, r#""id":1"#)).await;
    lines.next().await.unwrap();
    lines.next().await.unwrap();
    lines.send("a stray line").await;
    lines.send(r#"{"jsonrpc":"2.0","id":2,"result":{"content":7}}"#).await;
    let error = calling.await.unwrap().unwrap_err();
    assert_eq!(error.origin, Origin::Protocol);
    assert!(error.message.contains("`result.content`"), "{error}");
}

/// A call that is in flight as request 2 at a server with a handshake, and the server's end. The
/// connection is open as long as the call's future is kept.
async fn calling_legacy() -> (tokio::task::JoinHandle<(Connection, Answered)>, Lines) {
    let (mut server, mut lines) = to_lines(Some(Era::Legacy));
    let calling = tokio::spawn(async move {
        let answered = server.call(call("echo")).await;
        (server, answered)
    });
    lines.next().await.unwrap();
    lines.send(&HANDSHAKE.replace(r#""id":2"#, r#""id":1"#)).await;
    for _ in 0..2 {
        lines.next().await.unwrap();
    }
    (calling, lines)
}

/// A question of a server, as long as `text` makes it.
fn question(id: &str, text: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":"{id}","method":"elicitation/create","params":{{"mode":"form","message":"{text}","requestedSchema":{{"type":"object","properties":{{}}}}}}}}"#
    )
}

/// The server asks and never reads the answers: they must not pile up in the client.
#[tokio::test]
async fn a_server_that_asks_and_never_reads_loses_its_connection() {
    let id = "x".repeat(60_000);
    let ping = format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"ping"}}"#);
    for asks in ["ping", "nobody/knows"] {
        let (calling, mut lines) = calling_legacy().await;
        let line = ping.replace("ping", asks);
        let mut taken = 0;
        while taken < 100 << 20 && lines.try_send(&line).await {
            taken += line.len();
        }
        assert!(taken < 70 << 20, "{asks}: the client took {taken} bytes");
        let error = calling.await.unwrap().1.unwrap_err();
        assert_eq!(error.origin, Origin::Protocol, "{asks}: {error}");
        assert!(error.message.contains("does not read"), "{asks}: {error}");
    }
}

/// Questions that wait for an answer are kept in the client, so there is an end to them.
#[tokio::test]
async fn a_server_asks_only_so_much_at_once() {
    for (text, count, kept) in [("more".to_owned(), 1_000, 65), ("x".repeat(1 << 20), 60, 16)] {
        let (calling, lines) = calling_legacy().await;
        let (mut reads, mut writes) = lines.split();
        let asking = tokio::spawn(async move {
            for id in 0..count {
                writes.send(&question(&id.to_string(), &text)).await;
            }
            writes.send(r#"{"jsonrpc":"2.0","id":"last","method":"ping"}"#).await;
            writes
        });
        let mut refused = 0;
        loop {
            let line = reads.next().await.unwrap();
            if line.contains(r#""id":"last""#) {
                break;
            }
            assert!(line.contains("wait for an answer already"), "{line}");
            refused += 1;
        }
        assert_eq!(refused, count - kept);
        assert!(matches!(calling.await.unwrap().1, Ok(Outcome::InputRequired(_))));
        asking.await.unwrap();
    }
}

/// What a layer declares is declared to the server, beside what the connection says of itself.
#[tokio::test]
async fn a_layer_and_the_connection_declare_together() {
    for (era, method) in [(Era::Modern, "server/discover"), (Era::Legacy, "initialize")] {
        let (mut server, mut lines) = to_lines(Some(era));
        let mut exchange = discover();
        exchange.context.declare(&RawText::new(r#"{"roots":{}}"#).unwrap());
        let calling = tokio::spawn(async move { server.call(exchange).await });
        let line = lines.next().await.unwrap();
        assert!(line.contains(method), "{line}");
        assert!(line.contains(r#""roots":{}"#) && line.contains(r#""elicitation":{"#), "{line}");
        calling.abort();
    }
}

struct Roots;

impl InputHandler for Roots {
    fn handle(&self, request: InputRequest) -> BoxFuture<'_, Result<RawText, ErrorObject>> {
        assert!(matches!(request, InputRequest::ListRoots(_)));
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(RawText::new(r#"{"roots":[{"uri":"file:///work"}]}"#).unwrap())
        })
    }
}

/// Published servers ask for the roots as soon as they are told that the client is ready.
#[tokio::test]
async fn what_a_server_asks_outside_of_any_call_is_answered() {
    let (io, mut lines) = Lines::pair();
    let mut options = options(Some(Era::Legacy));
    options.config.peer_requests = Some(PeerRequests(Arc::new(Roots)));
    let mut server = connect_with(io, options);
    let opening = tokio::spawn(async move { (server.call(discover()).await, server) });
    lines.next().await.unwrap();
    lines.send(&HANDSHAKE.replace(r#""id":2"#, r#""id":1"#)).await;
    assert!(lines.next().await.unwrap().contains("notifications/initialized"));
    lines.send(r#"{"jsonrpc":"2.0","id":"r","method":"roots/list"}"#).await;
    let answer = r#"{"jsonrpc":"2.0","id":"r","result":{"roots":[{"uri":"file:///work"}]}}"#;
    assert_eq!(lines.next().await.unwrap(), answer);
    drop(opening.await.unwrap());
}

/// A subscription to a server of an older revision is a stream all the same.
#[tokio::test]
async fn a_subscription_hears_what_an_older_server_says_of_its_own_accord() {
    let (mut server, mut lines) = to_lines(Some(Era::Legacy));
    let heard = Arc::new(Heard::default());
    let mut filter = SubscriptionFilter::new();
    filter.tools_list_changed = Some(true);
    filter.resource_subscriptions = Some(vec!["file:///a".into()]);
    let params = SubscriptionsListenRequestParams::new(filter);
    let mut exchange = Exchange::new(ClientRequest::SubscriptionsListen(params));
    exchange.notifier = Notifier::new(heard.clone(), exchange.id());
    let listening = tokio::spawn(async move { server.call(exchange).await });
    lines.next().await.unwrap();
    let capabilities =
        r#""capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true}}"#;
    let handshake = HANDSHAKE.replace(r#""id":2"#, r#""id":1"#);
    let handshake = handshake.replace(r#""capabilities":{}"#, capabilities);
    assert!(handshake.contains(capabilities), "{handshake}");
    lines.send(&handshake).await;
    lines.next().await.unwrap();
    let asked = lines.next().await.unwrap();
    assert!(asked.contains(r#""method":"resources/subscribe","params":{"uri":"file:///a"}"#));
    lines.send(r#"{"jsonrpc":"2.0","id":2,"result":{}}"#).await;
    lines.send(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#).await;
    lines.send(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#).await;
    assert!(lines.next().await.unwrap().contains(r#""id":"p""#));
    let told = heard.0.lock().unwrap().clone();
    assert!(
        matches!(
            &*told,
            [
                ServerNotification::SubscriptionsAcknowledged(_),
                ServerNotification::ToolListChanged(_)
            ]
        ),
        "{told:?}"
    );
    listening.abort();
    assert!(lines.next().await.unwrap().contains(r#""method":"resources/unsubscribe""#));
}
