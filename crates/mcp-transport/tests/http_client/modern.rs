//! The revisions without a handshake: one exchange, one POST.

use mcp_types::*;

use crate::server::*;
use crate::*;

/// A modern server that says `reply` to everything but a discovery.
async fn server(reply: impl Fn(&Heard) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |heard| match &*heard.what() {
        "POST server/discover" => Reply::result(heard, DISCOVERED),
        _ => reply(heard),
    })
    .await
}

fn answer(heard: &Heard, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, heard.json()["id"])
}

fn progress(heard: &Heard, at: u32) -> String {
    let token = &heard.json()["params"]["_meta"]["progressToken"];
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{at}}}}}"#
    )
}

#[tokio::test]
async fn headers_repeat_the_body() {
    let server = server(|heard| match &*heard.what() {
        "POST resources/read" => Reply::result(heard, r#"{"contents":[]}"#),
        "POST prompts/get" => Reply::result(heard, r#"{"messages":[]}"#),
        "POST tools/call" => Reply::result(heard, DONE),
        _ => Reply::result(heard, "{}"),
    })
    .await;
    let mut options = options();
    options.headers.insert("x-key", "k".parse().unwrap());
    options.headers.insert("mcp-method", "forged".parse().unwrap());
    options.headers.insert("accept", "text/html".parse().unwrap());
    let connection = connect_http_with(&server.url, options).unwrap();
    let uri = "file:///path/to/file%20name.txt";
    let task = ClientRequest::Extension {
        method: "tasks/get".into(),
        params: RawText::new(r#"{"taskId":"t 1"}"#).ok(),
    };
    for (request, method, name) in [
        (tool("echo"), "tools/call", Some("echo")),
        (tool("grün"), "tools/call", Some("=?base64?Z3LDvG4=?=")),
        (
            ClientRequest::ReadResource(ReadResourceRequestParams::new(uri)),
            "resources/read",
            Some(uri),
        ),
        (ClientRequest::GetPrompt(GetPromptRequestParams::new("p")), "prompts/get", Some("p")),
        (task, "tasks/get", Some("t 1")),
        (
            ClientRequest::Extension { method: "dev.example/x".into(), params: None },
            "dev.example/x",
            None,
        ),
    ] {
        let answer = soon(send(&connection, request)).await;
        assert!(answer.is_ok(), "{method}: {answer:?}");
        let heard = server.heard().pop().unwrap();
        assert_eq!(heard.line, "POST /mcp");
        assert_eq!((heard.header("mcp-method"), heard.header("mcp-name")), (Some(method), name));
        assert_eq!(heard.header("mcp-protocol-version"), Some("2026-07-28"));
        assert_eq!(heard.header("content-type"), Some("application/json"));
        assert_eq!(heard.header("accept"), Some("application/json, text/event-stream"));
        assert_eq!(heard.header("x-key"), Some("k"));
        let times = heard.headers.iter().filter(|(name, _)| name == "mcp-method").count();
        assert_eq!(times, 1);
        let meta = &heard.json()["params"]["_meta"];
        assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
        assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "tester");
        assert!(meta["io.modelcontextprotocol/clientCapabilities"].is_object());
    }
}

#[tokio::test]
async fn arguments_are_repeated_as_the_listing_wants() {
    let mark = |kind: &str| {
        format!(
            r#"{{"type":"object","properties":{{"region":{{"type":"{kind}","x-mcp-header":"Region"}},"query":{{"type":"string"}}}}}}"#
        )
    };
    let (good, bad) = (mark("string"), mark("number"));
    let tools = format!(
        r#"{{"tools":[{{"name":"bad","inputSchema":{bad}}},{{"name":"good","inputSchema":{good}}}]}}"#
    );
    let server = server(move |heard| match &*heard.what() {
        "POST tools/list" => Reply::result(heard, &tools),
        "POST tools/call" if heard.header("mcp-param-region").is_none() => {
            Reply::error(heard, 400, -32020, "null")
        }
        _ => Reply::result(heard, DONE),
    })
    .await;
    let call = || tool_with("good", r#"{"region":"us-west1","query":"SELECT"}"#);

    // Who calls without having listed learns from the refusal.
    let connection = connect(&server.url);
    assert_eq!(said(&soon(send(&connection, call())).await), "done");
    let wanted = ["POST server/discover", "POST tools/call", "POST tools/list", "POST tools/call"];
    assert_eq!(server.what(), wanted);

    let connection = connect(&server.url);
    let listing = soon(send(&connection, list())).await.unwrap();
    let Outcome::Complete(ServerResult::ListTools(listing)) = listing else {
        panic!("{listing:?}")
    };
    assert_eq!(listing.tools.iter().map(|tool| &tool.name[..]).collect::<Vec<_>>(), ["good"]);
    let [set_aside] = listing.tools.bad() else { panic!("{:?}", listing.tools.bad()) };
    assert_eq!(set_aside.index, 0);
    assert!(set_aside.error.to_string().starts_with("`inputSchema.properties.region`: "));
    assert_eq!(said(&soon(send(&connection, call())).await), "done");
    let heard = server.heard().pop().unwrap();
    assert_eq!(heard.header("mcp-param-region"), Some("us-west1"));
    assert_eq!(heard.header("mcp-param-query"), None);

    // A refusal that a listing does not mend is told, once.
    let before = server.what().len();
    let answer = soon(send(&connection, tool_with("good", r#"{"region":null}"#))).await;
    assert_eq!(answer.unwrap_err().code, -32020);
    let after = server.what().split_off(before);
    assert_eq!(after, ["POST tools/call", "POST tools/list", "POST tools/call"]);
}

#[tokio::test]
async fn what_comes_before_the_answer_goes_to_the_exchange() {
    let server = server(|heard| {
        let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}"#;
        let foreign = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":99,"progress":9}}"#;
        let question = r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}"#;
        let elsewhere = r#"{"jsonrpc":"2.0","id":4711,"result":{}}"#;
        Reply::events([
            Piece::Text(": alive\n\nid: 1\ndata:\n\n".into()),
            event(progress(heard, 1)),
            event(log),
            event(foreign),
            event(question),
            event(elsewhere),
            event("{garbage"),
            Piece::Text(format!("event: other\ndata: {}\n\n", progress(heard, 7))),
            // Everything in one piece with the answer.
            Piece::Text(format!(
                "data: {}\n\ndata: {}\n\n",
                progress(heard, 2),
                answer(heard, DONE)
            )),
        ])
    })
    .await;
    let connection = connect(&server.url);
    let notes = Notes::default();
    let mut exchange = notes.exchange(tool("t"));
    exchange.context.progress_token = Some("mine".into());
    assert_eq!(said(&soon(connection.clone().call(exchange)).await), "done");
    let seen: Vec<String> = notes
        .taken()
        .iter()
        .map(|note| match note {
            ServerNotification::Progress(progress) => {
                format!("{} {}", progress.progress_token, progress.progress)
            }
            other => other.method().to_owned(),
        })
        .collect();
    assert_eq!(seen, ["mine 1", "notifications/message", "mine 2"]);
    // The stream's end came with its answer, so the connection was used again.
    assert_eq!(said(&soon(send(&connection, tool("t"))).await), "done");
}

#[tokio::test]
async fn a_dropped_future_cuts_the_request_off() {
    for hung in [
        Reply::events([Piece::Text(": alive\n\n".into()), Piece::Hang]),
        Reply { pieces: vec![Piece::Hang], ..Reply::json("") },
    ] {
        let server = server(move |_| hung.clone()).await;
        let connection = connect(&server.url);
        let calling = connection.clone();
        let call = tokio::spawn(async move { send(&calling, tool("t")).await });
        soon(server.until(|heard| heard.len() == 2)).await;
        call.abort();
        server.until_gone(1).await;
        // Nothing is said about it: the end of the stream says it.
        assert_eq!(server.what().len(), 2);
    }
}

#[tokio::test]
async fn a_request_without_a_head_is_cut_off_too() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let call = tokio::spawn(async move { send(&connect(&url), tool("t")).await });
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    let mut buffer = Vec::new();
    assert!(soon(read(&mut stream, &mut buffer)).await.is_some());
    call.abort();
    assert!(soon(read(&mut stream, &mut buffer)).await.is_none());
}

#[tokio::test]
async fn input_required_is_an_outcome_and_its_answer_a_new_request() {
    let server = server(|heard| {
        let params = &heard.json()["params"];
        match params["requestState"].as_str() {
            None => Reply::result(
                heard,
                r#"{"resultType":"input_required","requestState":"s","inputRequests":{"q":{"method":"roots/list"}}}"#,
            ),
            Some(state) => {
                assert_eq!((state, params["inputResponses"]["q"]["roots"].is_array()), ("s", true));
                Reply::result(heard, DONE)
            }
        }
    })
    .await;
    let connection = connect(&server.url);
    let asked = soon(send(&connection, tool("t"))).await.unwrap();
    let Outcome::InputRequired(asked) = asked else { panic!("{asked:?}") };
    let mut again = Exchange::new(tool("t"));
    again.context.request_state = asked.request_state;
    let roots = RawText::new(r#"{"roots":[]}"#).unwrap();
    again.context.input_responses = Some(Members::from_iter([("q", roots)]));
    assert_eq!(said(&soon(connection.clone().call(again)).await), "done");
    let ids: Vec<_> = server.heard().iter().map(|heard| heard.json()["id"].clone()).collect();
    assert_eq!(ids, [1, 2, 3]);
}

#[tokio::test]
async fn a_subscription_lasts_until_somebody_ends_it() {
    let go = Arc::new(tokio::sync::Notify::new());
    let wait = go.clone();
    let listen = || {
        ClientRequest::SubscriptionsListen(SubscriptionsListenRequestParams::new(
            SubscriptionFilter::new(),
        ))
    };
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{}}"#;
    let server = server(move |heard| {
        let end = match heard.json()["id"].as_i64() {
            Some(2) => event(answer(heard, r#"{"resultType":"complete"}"#)),
            Some(3) => Piece::Break,
            _ => Piece::Hang,
        };
        Reply::events([event(changed), Piece::Until(wait.clone()), end])
    })
    .await;
    let mut options = options();
    options.config.request_timeout = Some(Duration::from_millis(200));
    let connection = connect_http_with(&server.url, options).unwrap();
    for (ends_well, expected) in [(true, 2), (false, 3)] {
        let notes = Notes::default();
        let call = tokio::spawn(connection.clone().call(notes.exchange(listen())));
        soon(server.until(|heard| heard.len() == expected)).await;
        // Far longer than a call may be silent.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!call.is_finished());
        go.notify_one();
        let answer = soon(call).await.unwrap();
        match ends_well {
            true => assert!(matches!(
                answer,
                Ok(Outcome::Complete(ServerResult::SubscriptionsListen(_)))
            )),
            false => assert_eq!(failed(&answer).0, Origin::Connection),
        }
        assert_eq!(notes.taken().len(), 1);
    }
    // Closing on this side ends what is in flight.
    let call = tokio::spawn(connection.clone().call(Exchange::new(listen())));
    soon(server.until(|heard| heard.len() == 4)).await;
    go.notify_one();
    soon(connection.close()).await;
    assert!(failed(&soon(call).await.unwrap()).1.contains("closed on this side"));
    server.until_gone(1).await;
}

#[tokio::test]
async fn silence_and_length_have_a_limit_and_progress_is_a_sign_of_life() {
    let pause = || Piece::Wait(Duration::from_millis(150));
    let server = server(move |heard| {
        let name = heard.json()["params"]["name"].as_str().unwrap().to_owned();
        let steps = (0..6).flat_map(|at| match &*name {
            "works" | "works on" => [pause(), event(progress(heard, at))],
            _ => [pause(), Piece::Text(": alive\n\n".into())],
        });
        let end = if name == "works" { event(answer(heard, DONE)) } else { Piece::Hang };
        Reply::events(steps.chain([end]))
    })
    .await;
    let mut options = options();
    options.config.request_timeout = Some(Duration::from_millis(400));
    options.config.longest_request = Some(Duration::from_millis(1100));
    let connection = connect_http_with(&server.url, options).unwrap();
    let call = |name: &str| {
        let exchange = Notes::default().exchange(tool(name));
        soon(connection.clone().call(exchange))
    };
    assert_eq!(said(&call("works").await), "done");
    for name in ["idles", "works on"] {
        let started = std::time::Instant::now();
        assert_eq!(failed(&call(name).await).0, Origin::Timeout, "{name}");
        let least = if name == "idles" { 400 } else { 1100 };
        assert!(started.elapsed() >= Duration::from_millis(least), "{name}");
        assert!(started.elapsed() < Duration::from_millis(least + 600), "{name}");
    }
    server.until_gone(2).await;
}

#[tokio::test]
async fn an_answer_beyond_a_limit_is_not_kept() {
    let server = server(|heard| {
        let long = "x".repeat(70_000);
        match heard.json()["params"]["name"].as_str().unwrap() {
            "body" => Reply { pieces: vec![Piece::Text(long); 40], ..Reply::json("") },
            "event" => Reply::events((0..40).map(|_| Piece::Text(format!("data: {long}\n")))),
            "head" => Reply::json("{}").with("x-long", &long.repeat(4)),
            "deep" => Reply::json(format!("{}1{}", "[".repeat(300), "]".repeat(300))),
            "cut" => Reply::json(r#"{"jsonrpc":"2.0","id":2,"result":"#),
            "late" => Reply::events([Piece::Text("data: {}\n\n".into())]),
            _ => Reply::result(heard, DONE),
        }
    })
    .await;
    let mut options = options();
    options.frame.line = 100_000;
    let connection = connect_http_with(&server.url, options).unwrap();
    for (name, origin, text) in [
        ("body", Origin::Protocol, "answered with more than 100000 bytes"),
        ("event", Origin::Protocol, "sent an event of more than 100000 bytes"),
        ("head", Origin::Connection, "broke off before it answered"),
        ("deep", Origin::Protocol, "the message nests deeper than 100 levels"),
        ("cut", Origin::Protocol, "answered 200 OK: {\"jsonrpc\""),
        ("late", Origin::Protocol, "ended its answer before the message"),
    ] {
        let answer = soon(send(&connection, tool(name))).await;
        let (seen, said) = failed(&answer);
        assert!(seen == origin && said.contains(text), "{name}: {said} ({seen:?})");
        assert!(said.len() < 400, "{said}");
    }
    assert_eq!(said(&soon(send(&connection, tool("t"))).await), "done");
}

#[tokio::test]
async fn an_error_is_the_servers_or_the_connections() {
    let server = server(|heard| match heard.json()["params"]["name"].as_str().unwrap() {
        // What a server says itself is not taken for what was found here.
        "unknown" => Reply::error(heard, 404, -32601, r#"{"httpStatus":404}"#),
        "nameless" => Reply::new(
            400,
            "application/json",
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"bad"}}"#,
        ),
        "gateway" => Reply::new(502, "text/html", "<h1>Bad\n\u{7}Gateway"),
        "mute" => Reply::empty(202),
        "misfit" => Reply::result(heard, r#"{"content":7}"#),
        _ => Reply { pieces: vec![Piece::Text("{\"js".into()), Piece::Break], ..Reply::json("") },
    })
    .await;
    let connection = connect(&server.url);
    for (name, origin, text) in [
        ("unknown", Origin::Service, "no"),
        ("nameless", Origin::Service, "bad"),
        ("gateway", Origin::Connection, "/mcp` answered 502 Bad Gateway: <h1>Bad \\u{7}Gateway"),
        ("mute", Origin::Protocol, "answered 202 Accepted"),
        ("misfit", Origin::Protocol, "does not fit: `result.content`: "),
        ("torn", Origin::Connection, "broke off: "),
    ] {
        let answer = soon(send(&connection, tool(name))).await;
        let (seen, said) = failed(&answer);
        assert!(seen == origin && said.contains(text), "{name}: {said} ({seen:?})");
        let status = mcp_transport::http::http_status(answer.as_ref().unwrap_err());
        let expected = [("gateway", 502), ("mute", 202)].iter().find(|(what, _)| *what == name);
        assert_eq!(status, expected.map(|(_, status)| *status), "{name}");
    }
}

#[tokio::test]
async fn a_server_that_has_become_another_is_found_out_anew() {
    let old = Arc::new(Mutex::new(false));
    let is_old = old.clone();
    let server = Server::start(move |heard| match (&*heard.what(), *is_old.lock().unwrap()) {
        ("POST server/discover", false) => Reply::result(heard, DISCOVERED),
        ("POST tools/call", false) => Reply::result(heard, DONE),
        ("POST tools/call", true) if heard.header("mcp-session-id") == Some("s") => {
            Reply::result(heard, DONE)
        }
        ("POST initialize", true) => Reply::result(heard, SHAKEN).with("mcp-session-id", "s"),
        ("POST notifications/initialized", true) => Reply::empty(202),
        _ => Reply::empty(404),
    })
    .await;
    let connection = connect(&server.url);
    assert_eq!(said(&soon(send(&connection, tool("t"))).await), "done");
    *old.lock().unwrap() = true;
    assert_eq!(failed(&soon(send(&connection, tool("t"))).await).0, Origin::Connection);
    assert_eq!(said(&soon(send(&connection, tool("t"))).await), "done");
    assert_eq!(connection.version().unwrap().as_str(), "2025-11-25");
}
