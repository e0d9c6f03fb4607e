//! What a server is, found out from what it says first.

use mcp_types::*;

use crate::server::*;
use crate::*;

/// A server that says `first` to a discovery and shakes hands with whoever wants to.
async fn server(first: impl Fn(&Heard) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |heard| match &*heard.what() {
        "POST server/discover" => first(heard),
        "POST initialize" => Reply::result(heard, SHAKEN),
        "POST notifications/initialized" => Reply::empty(202),
        "POST tools/call" => Reply::result(heard, DONE),
        _ => Reply::empty(405),
    })
    .await
}

#[tokio::test]
async fn the_answer_to_a_discovery_tells_the_era() {
    let html = |status| move |_: &Heard| Reply::new(status, "text/html", "<p>nothing here");
    let error = |status, code, data: &'static str| {
        move |heard: &Heard| Reply::error(heard, status, code, data)
    };
    let nameless = |_: &Heard| {
        let text = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no session"}}"#;
        Reply::new(400, "application/json", text)
    };
    let old = r#"{"supported":["2025-06-18"],"requested":"x"}"#;
    type Script = Box<dyn Fn(&Heard) -> Reply + Send + Sync>;
    let table: Vec<(&str, Script, &str)> = vec![
        ("discovered", Box::new(|heard| Reply::result(heard, DISCOVERED)), "2026-07-28"),
        (
            "discovered on a stream",
            Box::new(|heard| {
                let id = &heard.json()["id"];
                let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{DISCOVERED}}}"#);
                Reply::events([Piece::Text(": hello\n\n".into()), event(answer)])
            }),
            "2026-07-28",
        ),
        ("400, empty", Box::new(|_| Reply::empty(400)), "2025-11-25"),
        ("400, no id", Box::new(nameless), "2025-11-25"),
        ("404, a page", Box::new(html(404)), "2025-11-25"),
        ("405, a page", Box::new(html(405)), "2025-11-25"),
        ("406, a page", Box::new(html(406)), "2025-11-25"),
        ("415, a page", Box::new(html(415)), "2025-11-25"),
        ("500, a page", Box::new(html(500)), "2025-11-25"),
        ("200, a page", Box::new(html(200)), "2025-11-25"),
        ("202", Box::new(|_| Reply::empty(202)), "2025-11-25"),
        ("unknown method", Box::new(error(200, -32601, "null")), "2025-11-25"),
        ("unknown method, 404", Box::new(error(404, -32601, "null")), "2025-11-25"),
        ("invalid, 400", Box::new(error(400, -32602, "null")), "2025-11-25"),
        ("names older revisions", Box::new(error(400, -32022, old)), "2025-11-25"),
        ("mismatch", Box::new(error(400, -32020, "null")), "an error"),
        ("not ours", Box::new(error(400, -32022, r#"{"supported":["2099-01-01"]}"#)), "an error"),
        ("401", Box::new(html(401)), "an error"),
        ("403", Box::new(html(403)), "an error"),
        ("429", Box::new(html(429)), "an error"),
        ("502", Box::new(html(502)), "an error"),
        ("503", Box::new(html(503)), "an error"),
    ];
    for (what, first, expected) in table {
        let server = server(first).await;
        let connection = connect(&server.url);
        let answer = soon(send(&connection, tool("t"))).await;
        let shaken = server.what().iter().any(|what| what == "POST initialize");
        match expected {
            "an error" => {
                assert!(answer.is_err() && !shaken, "{what}: {answer:?}");
                assert_eq!(connection.version(), None, "{what}");
            }
            version => {
                assert_eq!(said(&answer), "done", "{what}");
                assert_eq!(connection.version().unwrap().as_str(), version, "{what}");
                assert_eq!(shaken, version != "2026-07-28", "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_first_request_that_is_refused_is_sent_again_in_a_revision_that_is_named() {
    let server = server(|heard| match heard.json()["id"].as_i64() {
        Some(1) => Reply::error(heard, 400, -32022, r#"{"supported":["2026-07-28"]}"#),
        _ => Reply::result(heard, DISCOVERED),
    })
    .await;
    let connection = connect(&server.url);
    assert!(soon(send(&connection, discover())).await.is_ok());
    assert_eq!(server.what(), ["POST server/discover"; 2]);
    for heard in server.heard() {
        let version = &heard.json()["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
        assert_eq!(heard.header("mcp-protocol-version"), version.as_str());
    }
}

#[tokio::test]
async fn a_server_that_refuses_for_ever_is_not_asked_for_ever() {
    let refuse =
        |heard: &Heard| Reply::error(heard, 400, -32022, r#"{"supported":["2026-07-28"]}"#);
    let server = server(refuse).await;
    assert_eq!(failed(&soon(send(&connect(&server.url), discover())).await).0, Origin::Protocol);
    assert_eq!(server.what().len(), 2);
}

#[tokio::test]
async fn a_wanted_era_is_not_left() {
    let server = server(|_| Reply::empty(404)).await;
    let mut wanted = options();
    wanted.config.era = Some(mcp_transport::Era::Modern);
    let connection = connect_http_with(&server.url, wanted.clone()).unwrap();
    let answer = soon(send(&connection, tool("t"))).await;
    assert!(failed(&answer).1.contains("a revision without a handshake was wanted"), "{answer:?}");
    assert_eq!(server.what(), ["POST server/discover"]);

    wanted.config.era = Some(mcp_transport::Era::Legacy);
    let connection = connect_http_with(&server.url, wanted).unwrap();
    assert_eq!(said(&soon(send(&connection, tool("t"))).await), "done");
    assert_eq!(server.what()[1], "POST initialize");
}

#[tokio::test]
async fn many_first_exchanges_open_once_and_a_failed_opening_is_tried_again() {
    let count = Arc::new(Mutex::new(0));
    let server = server(move |heard| {
        let mut count = count.lock().unwrap();
        *count += 1;
        if *count == 1 { Reply::empty(503) } else { Reply::result(heard, DISCOVERED) }
    })
    .await;
    let connection = connect(&server.url);
    let answer = soon(send(&connection, tool("t"))).await;
    assert_eq!(failed(&answer).0, Origin::Connection);
    let calls = (0..20).map(|_| {
        tokio::spawn({
            let connection = connection.clone();
            async move { send(&connection, tool("t")).await }
        })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(said(&soon(call).await.unwrap()), "done");
    }
    let probes = server.what().iter().filter(|what| *what == "POST server/discover").count();
    assert_eq!(probes, 2);
}

#[tokio::test]
async fn an_error_names_every_step_and_no_secret() {
    let server = Server::start(|heard| match &*heard.what() {
        "GET" => Reply::new(404, "text/html", "no\u{1b}[31m stream"),
        _ => Reply::new(404, "text/html", "a".repeat(900)),
    })
    .await;
    let url = format!("{}?key=secret", server.url);
    let answer = soon(send(&connect(&url), tool("t"))).await;
    let (origin, text) = failed(&answer);
    assert_eq!(origin, Origin::Connection);
    assert!(text.starts_with(&format!("`{}` answered 404 Not Found: aaa", server.url)), "{text}");
    assert!(text.contains("a GET: ") && text.contains("no\\u{1b}[31m stream"), "{text}");
    assert!(text.contains("before, a discovery: ") && !text.contains("secret"), "{text}");
    assert!(text.ends_with("; is the path of the URL right? most servers have `/mcp`"), "{text}");
    assert!(text.len() < 1000, "{text}");
    assert_eq!(server.what(), ["POST server/discover", "POST initialize", "GET"]);

    let nobody = connect("http://127.0.0.1:1/mcp");
    let answer = soon(send(&nobody, tool("t"))).await;
    let (origin, text) = failed(&answer);
    assert_eq!(origin, Origin::Connection);
    assert!(text.contains("`http://127.0.0.1:1/mcp` cannot be reached: "), "{text}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for() {
    let hung = || Reply { pieces: vec![Piece::Hang], ..Reply::json("") };
    let mute = Server::start(move |_| hung()).await;
    let half = Server::start(move |heard| match &*heard.what() {
        "POST server/discover" => Reply::empty(404),
        _ => hung(),
    })
    .await;
    let unnamed = Server::start(move |heard| match &*heard.what() {
        "GET" => Reply::events([Piece::Text(": alive\n\n".into()), Piece::Hang]),
        _ => Reply::empty(405),
    })
    .await;
    for server in [mute, half, unnamed] {
        let mut options = options();
        options.config.opening_timeout = Duration::from_millis(200);
        let connection = connect_http_with(&server.url, options).unwrap();
        let answer = soon(send(&connection, tool("t"))).await;
        let (origin, text) = failed(&answer);
        assert!(text.contains("did not answer in time"), "{text} {:?}", server.what());
        assert_eq!(origin == Origin::Timeout, !text.contains("405"), "{text}");
        server.until_gone(1).await;
    }
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let other = Server::start(|_| Reply::empty(200)).await;
    let target = other.url.clone();
    let server = Server::start(move |_| Reply::empty(307).with("location", &target)).await;
    let answer = soon(send(&connect(&server.url), tool("t"))).await;
    let (origin, text) = failed(&answer);
    assert_eq!(origin, Origin::Connection);
    assert!(text.contains("redirects are not followed") && text.contains(&other.url), "{text}");
    assert_eq!((server.what().len(), other.what().len()), (1, 0));
}

#[test]
fn what_is_no_url_of_a_server_is_refused_at_once() {
    for (url, reason) in [
        ("127.0.0.1:80/mcp", "invalid"),
        ("/mcp", "`http://`"),
        ("ftp://host/mcp", "`http://`"),
        ("http://", "empty"),
        ("http://user:word@host/mcp", "a user name in the URL"),
        ("http://ho st/", "invalid"),
    ] {
        let error = connect_http_with(url, options()).unwrap_err().to_string();
        assert!(error.contains(reason) && !error.contains("word"), "{url}: {error}");
    }
    assert!(connect_http_with("http://host/mcp#part", options()).is_ok());
}

/// The transport of 2024-11-05: answers come on the stream that a GET opened.
#[tokio::test]
async fn a_server_of_the_first_revision_is_asked_beside_its_stream() {
    let (answers, waiting) = tokio::sync::mpsc::unbounded_channel::<String>();
    let waiting = Mutex::new(Some(waiting));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/sse", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (answers, log) = (answers.clone(), log.clone());
            let waiting = waiting.lock().unwrap().take();
            // The stream is the first GET's; whichever connection that has takes the receiver.
            tokio::spawn(first_revision(stream, answers, log, waiting));
        }
    });
    let connection = connect(&url);
    let notes = Notes::default();
    assert_eq!(said(&soon(connection.clone().call(notes.exchange(tool("t")))).await), "done");
    assert_eq!(said(&soon(send(&connection, tool("t"))).await), "done");
    assert_eq!(connection.version().unwrap().as_str(), "2024-11-05");
    let wanted = [
        "POST /sse server/discover",
        "POST /sse initialize",
        "GET /sse ",
        "POST /messages?id=7 initialize",
        "POST /messages?id=7 notifications/initialized",
        "POST /messages?id=7 tools/call",
        "POST /messages?id=7 tools/call",
    ];
    assert_eq!(*seen.lock().unwrap(), wanted);
    soon(connection.close()).await;
}

/// Serves one connection of the first revision by hand, because its answers cross connections.
async fn first_revision(
    mut stream: tokio::net::TcpStream,
    answers: tokio::sync::mpsc::UnboundedSender<String>,
    log: Arc<Mutex<Vec<String>>>,
    mut waiting: Option<tokio::sync::mpsc::UnboundedReceiver<String>>,
) {
    use tokio::io::AsyncWriteExt;

    let mut buffer = Vec::new();
    while let Some(heard) = read(&mut stream, &mut buffer).await {
        let json = heard.json();
        let method = json["method"].as_str().unwrap_or_default();
        log.lock().unwrap().push(format!("{} {method}", heard.line));
        let id = &json["id"];
        if heard.line.starts_with("GET") {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n\
                        event: endpoint\ndata: /messages?id=7\n\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut waiting = waiting.take().unwrap();
            while let Some(text) = waiting.recv().await {
                let text = format!("event: message\ndata: {text}\n\n");
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            return;
        }
        let result = match method {
            "initialize" => SHAKEN.replace("2025-11-25", "2024-11-05"),
            _ => DONE.to_owned(),
        };
        let old = heard.line.contains("/sse");
        let head = if old { "405 Method Not Allowed" } else { "202 Accepted" };
        let head = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        if !old && !id.is_null() {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
            answers.send(text).unwrap();
        }
    }
}

#[tokio::test]
async fn a_stream_that_names_another_servers_url_is_not_believed() {
    let other = Server::start(|_| Reply::empty(202)).await;
    let target = other.url.clone();
    let server = Server::start(move |heard| match heard.line.starts_with("GET") {
        true => Reply::events([
            Piece::Text(format!("event: endpoint\ndata: {target}\n\n")),
            Piece::Hang,
        ]),
        false => Reply::empty(405),
    })
    .await;
    let answer = soon(send(&connect(&server.url), tool("t"))).await;
    assert!(failed(&answer).1.contains("none of its own"), "{answer:?}");
    assert!(other.heard().is_empty());
}
