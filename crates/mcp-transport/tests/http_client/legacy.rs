//! The revisions with a handshake: sessions, questions on streams, streams that break.

use std::time::Instant;

use mcp_types::*;

use crate::server::*;
use crate::*;

/// A server with a session that says `reply` to everything after the handshake.
async fn server(reply: impl Fn(&Heard) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |heard| match &*heard.what() {
        "POST initialize" => Reply::result(heard, SHAKEN).with("mcp-session-id", "s-1"),
        "POST notifications/initialized" => Reply::empty(202),
        "GET" if heard.header("last-event-id").is_none() => Reply::empty(405),
        "DELETE" => Reply::empty(204),
        _ => reply(heard),
    })
    .await
}

fn legacy(url: &str) -> HttpConnection {
    let mut options = options();
    options.config.era = Some(mcp_transport::Era::Legacy);
    options.config.client_capabilities.roots = RawText::new("{}").ok();
    connect_http_with(url, options).unwrap()
}

fn answer(heard: &Heard, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, heard.json()["id"])
}

#[tokio::test]
async fn a_session_is_begun_carried_and_ended() {
    let server = server(|heard| Reply::result(heard, DONE)).await;
    let connection = legacy(&server.url);
    // A discovery is answered from the handshake.
    let found = soon(send(&connection, discover())).await.unwrap();
    let Outcome::Complete(ServerResult::Discover(found)) = found else { panic!("{found:?}") };
    assert_eq!(found.server_info().unwrap().name, "old");
    assert_eq!(said(&soon(send(&connection, tool("t"))).await), "done");
    soon(server.until(|heard| heard.len() == 4)).await;
    soon(connection.close()).await;
    assert!(failed(&soon(send(&connection, tool("t"))).await).1.contains("closed on this side"));

    let heard = server.heard();
    let mut what = server.what();
    assert_eq!(what[..2], ["POST initialize", "POST notifications/initialized"]);
    what[2..4].sort();
    assert_eq!(what[2..], ["GET", "POST tools/call", "DELETE"]);
    assert_eq!(heard[0].header("mcp-session-id"), None);
    assert_eq!(heard[0].header("mcp-protocol-version"), None);
    assert_eq!(heard[0].json()["params"]["protocolVersion"], "2025-11-25");
    for heard in &heard[1..] {
        assert_eq!(heard.header("mcp-session-id"), Some("s-1"), "{}", heard.line);
        assert_eq!(heard.header("mcp-protocol-version"), Some("2025-11-25"), "{}", heard.line);
        assert_eq!(heard.header("mcp-method"), None);
    }
}

#[tokio::test]
async fn the_last_clone_ends_the_session() {
    let server = server(|heard| Reply::result(heard, DONE)).await;
    let connection = legacy(&server.url);
    assert_eq!(said(&soon(send(&connection, tool("t"))).await), "done");
    drop(connection);
    server.until(|heard| heard.last().is_some_and(|heard| heard.what() == "DELETE")).await;
}

#[tokio::test]
async fn what_is_no_session_id_is_none() {
    for id in ["", "with space", "ümlaut"] {
        let server = Server::start(move |heard| match &*heard.what() {
            "POST initialize" => Reply::result(heard, SHAKEN).with("mcp-session-id", id),
            "POST tools/call" => Reply::result(heard, DONE),
            _ => Reply::empty(202),
        })
        .await;
        assert_eq!(said(&soon(send(&legacy(&server.url), tool("t"))).await), "done");
        assert!(server.heard().iter().all(|heard| heard.header("mcp-session-id").is_none()));
    }
}

#[tokio::test]
async fn a_handshake_that_is_refused_or_strange_is_told() {
    for (result, text) in [
        (
            r#"{"protocolVersion":"1999-01-01","capabilities":{},"serverInfo":{"name":"x","version":"1"}}"#,
            "1999-01-01",
        ),
        (r#"{"capabilities":{}}"#, "handshake does not fit"),
    ] {
        let server = Server::start(move |heard| Reply::result(heard, result)).await;
        let answer = soon(send(&legacy(&server.url), tool("t"))).await;
        assert!(failed(&answer).1.contains(text), "{answer:?}");
    }
    let server = Server::start(|heard| Reply::error(heard, 200, -32602, "null")).await;
    let answer = soon(send(&legacy(&server.url), tool("t"))).await;
    assert!(failed(&answer).1.contains("refused the handshake"), "{answer:?}");
    assert_eq!(server.what(), ["POST initialize"]);
}

/// Two calls are asked at the same time; each question comes to the call on whose stream it was.
#[tokio::test]
async fn a_question_on_a_stream_is_about_its_call() {
    let answered = Arc::new(Mutex::new(Vec::<(String, Arc<tokio::sync::Notify>)>::new()));
    let waiting = answered.clone();
    let server = server(move |heard| {
        let json = heard.json();
        if heard.what() == "POST answer" {
            assert_eq!(json["result"]["roots"][0]["uri"], json["id"]);
            let waiting = waiting.lock().unwrap();
            let (_, go) = waiting.iter().find(|(id, _)| json["id"] == **id).unwrap();
            go.notify_one();
            return Reply::empty(202);
        }
        let name = json["params"]["name"].as_str().unwrap();
        let go = Arc::new(tokio::sync::Notify::new());
        waiting.lock().unwrap().push((format!("file:///{name}"), go.clone()));
        let ask = format!(r#"{{"jsonrpc":"2.0","id":"file:///{name}","method":"roots/list"}}"#);
        let end = answer(heard, &DONE.replace("done", name));
        // The first call is asked while the second is in flight: the latest is the wrong guess.
        let rest = Piece::Wait(Duration::from_millis(if name == "a" { 100 } else { 300 }));
        Reply::events([rest, event(ask), Piece::Until(go), event(end)])
    })
    .await;
    let connection = legacy(&server.url);
    let mut calls = Vec::new();
    for name in ["a", "b"] {
        let connection = connection.clone();
        calls.push(tokio::spawn(async move {
            let asked = send(&connection, tool(name)).await.unwrap();
            let Outcome::InputRequired(asked) = asked else { panic!("{asked:?}") };
            let key = asked.input_requests.unwrap().into_keys().next().unwrap();
            let mut again = Exchange::new(tool(name));
            again.context.request_state = asked.request_state;
            let roots = format!(r#"{{"roots":[{{"uri":"file:///{name}"}}]}}"#);
            let roots = RawText::new(roots).unwrap();
            again.context.input_responses = Some(Members::from_iter([(key, roots)]));
            connection.clone().call(again).await
        }));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (call, name) in calls.into_iter().zip(["a", "b"]) {
        assert_eq!(said(&soon(call).await.unwrap()), name);
    }
    let calls = server.what().iter().filter(|what| *what == "POST tools/call").count();
    assert_eq!(calls, 2, "a call is not made twice");
}

#[tokio::test]
async fn a_stream_that_breaks_is_taken_up_where_it_was_read_to() {
    let broken = Arc::new(Mutex::new(Vec::new()));
    let times = broken.clone();
    let server = server(move |heard| {
        times.lock().unwrap().push(Instant::now());
        match heard.header("last-event-id") {
            None => Reply::events([
                Piece::Text("id: e-1\nretry: 300\ndata:\n\n".into()),
                Piece::Text("id: e-2\ndata: never ended".into()),
                Piece::Break,
            ]),
            Some("e-1") => Reply::events([Piece::Text("id: e-3\ndata:\n\n".into())]),
            Some("e-3") => {
                let result = format!(r#"{{"jsonrpc":"2.0","id":2,"result":{DONE}}}"#);
                Reply::events([event(result)])
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
    let connection = legacy(&server.url);
    assert_eq!(said(&soon(send(&connection, tool("t"))).await), "done");
    let times = broken.lock().unwrap();
    assert_eq!(times.len(), 3);
    for pair in times.windows(2) {
        let rest = pair[1] - pair[0];
        assert!(
            rest >= Duration::from_millis(300) && rest < Duration::from_millis(900),
            "{rest:?}"
        );
    }
}

#[tokio::test]
async fn a_stream_that_cannot_be_taken_up_fails_its_call_alone() {
    let server = server(|heard| match heard.json()["params"]["name"].as_str() {
        Some("no id") => Reply::events([Piece::Text(": alive\n\n".into()), Piece::Break]),
        Some("no answer") => Reply::events([Piece::Text("data: {}\n\n".into())]),
        Some("refused") => Reply::events([Piece::Text("id: 1\nretry: 1\ndata:\n\n".into())]),
        Some(_) => Reply::result(heard, DONE),
        None => Reply::empty(405),
    })
    .await;
    let connection = legacy(&server.url);
    for (name, origin, text) in [
        ("no id", Origin::Connection, "broke off"),
        ("no answer", Origin::Protocol, "ended its answer before"),
        ("refused", Origin::Protocol, "answered 405 Method Not Allowed to a question for the rest"),
    ] {
        let answer = soon(send(&connection, tool(name))).await;
        let (seen, said) = failed(&answer);
        assert!(seen == origin && said.contains(text), "{name}: {said} ({seen:?})");
    }
    assert_eq!(said(&soon(send(&connection, tool("t"))).await), "done");
}

#[tokio::test]
async fn a_session_that_the_server_forgot_is_begun_anew_once_for_all() {
    let sessions = Arc::new(Mutex::new(0));
    let count = sessions.clone();
    let server = Server::start(move |heard| {
        let mut count = count.lock().unwrap();
        let session = heard.header("mcp-session-id");
        match &*heard.what() {
            "POST initialize" => {
                assert_eq!(session, None);
                *count += 1;
                Reply::result(heard, SHAKEN).with("mcp-session-id", &format!("s-{count}"))
            }
            "POST notifications/initialized" => Reply::empty(202),
            "POST tools/call" if session == Some("s-2") => Reply::result(heard, DONE),
            "POST tools/call" => Reply::empty(404),
            _ => Reply::empty(405),
        }
    })
    .await;
    let connection = legacy(&server.url);
    let calls = (0..10).map(|_| {
        tokio::spawn({
            let connection = connection.clone();
            async move { send(&connection, tool("t")).await }
        })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(said(&soon(call).await.unwrap()), "done");
    }
    assert_eq!(*sessions.lock().unwrap(), 2);
    // A server that forgets again at once is not begged.
    *sessions.lock().unwrap() = 7;
    let server = Server::start(|heard| match &*heard.what() {
        "POST initialize" => Reply::result(heard, SHAKEN).with("mcp-session-id", "s"),
        "POST notifications/initialized" => Reply::empty(202),
        _ => Reply::empty(404),
    })
    .await;
    let answer = soon(send(&legacy(&server.url), tool("t"))).await;
    assert!(failed(&answer).1.contains("answered 404 Not Found"), "{answer:?}");
    let handshakes = server.what().iter().filter(|what| *what == "POST initialize").count();
    assert_eq!(handshakes, 2);
}

#[tokio::test]
async fn a_dropped_future_is_told_to_the_server_and_its_stream_cut_off() {
    let server = server(|heard| match &*heard.what() {
        "POST tools/call" => Reply::events([Piece::Text(": alive\n\n".into()), Piece::Hang]),
        _ => Reply::empty(202),
    })
    .await;
    let connection = legacy(&server.url);
    let calling = connection.clone();
    let call = tokio::spawn(async move { send(&calling, tool("t")).await });
    let called = |heard: &[Heard]| heard.iter().any(|heard| heard.what() == "POST tools/call");
    soon(server.until(called)).await;
    call.abort();
    soon(server.until_gone(1)).await;
    let told = |heard: &[Heard]| {
        heard.iter().any(|heard| {
            heard.what() == "POST notifications/cancelled"
                && heard.json()["params"]["requestId"] == 2
        })
    };
    soon(server.until(told)).await;
}

#[tokio::test]
async fn what_the_server_says_of_its_own_accord_is_heard() {
    let server = Server::start(|heard| match (&*heard.what(), heard.header("last-event-id")) {
        ("POST initialize", _) => Reply::result(heard, SHAKEN).with("mcp-session-id", "s"),
        ("GET", None) => Reply::events([
            Piece::Text("id: g-1\nretry: 10\n".into()),
            event(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#),
            event(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#),
        ]),
        ("GET", Some("g-1")) => Reply::events([
            event(r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#),
            Piece::Hang,
        ]),
        ("POST tools/call", _) => Reply::result(heard, DONE),
        _ => Reply::empty(202),
    })
    .await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = told.clone();
    let mut options = options();
    options.config.era = Some(mcp_transport::Era::Legacy);
    options.on_notification =
        Some(Arc::new(move |note| notes.lock().unwrap().push(note.method().to_owned())));
    let connection = connect_http_with(&server.url, options).unwrap();
    assert_eq!(said(&soon(send(&connection, tool("t"))).await), "done");
    let answered = |heard: &[Heard]| {
        heard.iter().any(|heard| heard.what() == "POST answer" && heard.json()["id"] == "p")
            && heard.iter().filter(|heard| heard.what() == "GET").count() == 2
    };
    soon(server.until(answered)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let wanted = ["notifications/tools/list_changed", "notifications/prompts/list_changed"];
    assert_eq!(*told.lock().unwrap(), wanted);
    soon(connection.close()).await;
}

#[tokio::test]
async fn many_calls_at_once_keep_their_answers_apart() {
    let server = server(|heard| {
        let name = heard.json()["params"]["name"].as_str().unwrap().to_owned();
        let result = answer(heard, &DONE.replace("done", &name));
        if name.ends_with('1') { Reply::events([event(result)]) } else { Reply::json(result) }
    })
    .await;
    let connection = legacy(&server.url);
    let calls = (0..50).map(|n| {
        tokio::spawn({
            let connection = connection.clone();
            async move { send(&connection, tool(&n.to_string())).await }
        })
    });
    for (n, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(said(&soon(call).await.unwrap()), n.to_string());
    }
}

#[tokio::test]
async fn a_server_that_asks_and_asks_waits_for_its_answers() {
    let ping = event(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    let written = Arc::new(Mutex::new(0));
    let count = written.clone();
    let server = server(move |heard| match &*heard.what() {
        "POST tools/call" if heard.json()["params"]["name"] == "quick" => {
            Reply::result(heard, DONE)
        }
        "POST tools/call" => Reply::events(vec![ping.clone(); 200_000]),
        _ => {
            *count.lock().unwrap() += 1;
            Reply { pieces: vec![Piece::Hang], ..Reply::json("") }
        }
    })
    .await;
    let connection = legacy(&server.url);
    let asking = connection.clone();
    let call = tokio::spawn(async move { send(&asking, tool("t")).await });
    soon(async {
        while *written.lock().unwrap() < 8 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    // Others are served meanwhile, and no more answers are on their way than may be.
    assert_eq!(said(&soon(send(&connection, tool("quick"))).await), "done");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(*written.lock().unwrap(), 8);
    assert!(!call.is_finished());
    soon(connection.close()).await;
}

#[tokio::test]
async fn a_server_that_wants_us_back_at_once_keeps_us_busy_with_little() {
    let server = Server::start(|heard| match &*heard.what() {
        "POST initialize" => Reply::result(heard, SHAKEN).with("mcp-session-id", "s"),
        "GET" => Reply::events([
            Piece::Text("id: 1\nretry: 0\n".into()),
            event(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#),
        ]),
        "POST tools/call" => Reply::result(heard, DONE),
        _ => Reply::empty(202),
    })
    .await;
    let connection = legacy(&server.url);
    assert_eq!(said(&soon(send(&connection, tool("t"))).await), "done");
    tokio::time::sleep(Duration::from_millis(600)).await;
    let asked = server.what().iter().filter(|what| *what == "GET").count();
    assert!((2..=20).contains(&asked), "{asked}");
    soon(connection.close()).await;
}
