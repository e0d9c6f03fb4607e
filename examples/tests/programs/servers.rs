//! Programs that are several servers, or one by hand.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use mcp_client::{display_name, structured, text_of};
use mcp_transport::Era;
use serde_json::{Value, json};

use super::served::{Served, client, client_with};
use super::{connect, example, publisher};

#[tokio::test]
async fn two_servers_one_app() {
    let app = Served::start("two_servers_one_app", &["127.0.0.1:0"]);
    let (modern, legacy) = (Some(Era::Modern), Some(Era::Legacy));
    for (path, era) in [
        ("/math/mcp", modern),
        ("/math/mcp", legacy),
        ("/api/v1/math", modern),
        ("/api/v1/math", legacy),
        ("/math/sse", legacy),
        ("/math/sse", None),
    ] {
        let math = client_with(&app.at(path), |options| options.config.era = era);
        let sum: i64 = math.call("add_two", &json!({ "n": 5 })).await.unwrap();
        assert_eq!(sum, 7, "{path}");
        math.service().close().await;
    }
    for (path, era) in
        [("/echo/mcp", Era::Modern), ("/echo/mcp", Era::Legacy), ("/echo/sse", Era::Legacy)]
    {
        let echo = client(&app.at(path), era);
        let said = echo.call_tool("echo", &json!({ "message": "hi" })).await.unwrap();
        // The application's layer has numbered the request.
        assert!(text_of(&said).starts_with("Tool echo: hi (request "), "{said:?}");
        let read = echo.read_resource("echo://hi").await.unwrap();
        assert!(format!("{read:?}").contains("Resource echo: hi"));
        let prompt = echo.get_prompt("echo_prompt", [("message", "hi")]).await.unwrap();
        assert!(format!("{prompt:?}").contains("process this message: hi"));
        assert!(echo.call_tool("add_two", &json!({ "n": 5 })).await.is_err());
        echo.service().close().await;
    }

    // By host name, and nothing under a name that nobody allowed.
    let discover = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let ask = |path: &str, host: &str| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
             Mcp-Method: tools/list\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{discover}",
            discover.len()
        );
        app.raw(&head)
    };
    assert!(ask("/mcp", "math.localhost").contains(r#""name":"add_two""#));
    assert!(ask("/mcp", "echo.localhost:80").contains(r#""name":"echo""#));
    assert!(ask("/mcp", "localhost").starts_with("HTTP/1.1 404"));
    assert!(ask("/math/mcp", "evil.example").starts_with("HTTP/1.1 403"));
    let health = app.raw("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(health.starts_with("HTTP/1.1 200") && health.ends_with(" requests"), "{health}");

    // It ends although clients hold streams open.
    let mut subscribed = client(&app.at("/echo/mcp"), Era::Modern).subscribe(Default::default());
    assert!(subscribed.next_change().await.unwrap().is_some());
    let mut stream = TcpStream::connect(app.at("").trim_start_matches("http://")).unwrap();
    let get = "GET /math/sse HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
    stream.write_all(get.as_bytes()).unwrap();
    assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
    assert_eq!(app.interrupt(), Some(0));
}

#[tokio::test]
async fn everything_also_over_standard_streams() {
    let client = connect("everything", &[]);
    // One of its schemas is written over several lines.
    let tools = client.all_tools().await.unwrap();
    assert!(tools.iter().any(|tool| tool.name == "json_schema_2020_12_tool"));
    let text = client.call_tool("test_simple_text", &json!({})).await.unwrap();
    assert!(text_of(&text).contains("simple text"));
    client.service().close().await;
}

#[tokio::test]
async fn low_level() {
    let client = connect("low_level", &[]);
    let tools = client.all_tools().await.unwrap();
    assert_eq!(display_name(&tools[0]), "query");
    let prompt = client.get_prompt("example-prompt", [("arg1", "cats")]).await.unwrap();
    assert!(format!("{prompt:?}").contains("Example prompt text about cats"));
    assert!(client.get_prompt("example-prompt", [("arg2", "cats")]).await.is_err());
    let answer: Value = client.call("query", &json!({ "query": "how many" })).await.unwrap();
    assert_eq!(answer, json!({ "answer": "answer 1 to `how many`", "query": "how many" }));
    let wrong = client.call_tool("query", &json!({ "query": 7 })).await.unwrap();
    assert_eq!(wrong.is_error, Some(true));
    client.service().close().await;
}

#[tokio::test]
async fn gateway() {
    let far = Served::start("two_servers_one_app", &["127.0.0.1:0"]);
    let upstreams = [
        format!("calc={}", example("calculator").display()),
        format!("far={}", far.at("/math/mcp")),
        "gone=http://127.0.0.1:9/mcp".to_owned(),
    ];
    let words = upstreams.iter().map(String::as_str).collect::<Vec<_>>();
    let near = connect("gateway", &words);
    let tools = near.all_tools().await.unwrap();
    let names = tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>();
    assert_eq!(names, ["calc__add", "calc__divide", "far__add_two"]);
    let sum: f64 = near.call("calc__add", &json!({ "a": 1, "b": 2 })).await.unwrap();
    assert_eq!(sum, near.call::<_, f64>("far__add_two", &json!({ "n": 1 })).await.unwrap());
    near.service().close().await;

    let over_http = Served::start("gateway", &["--http", "127.0.0.1:0", &upstreams[0]]);
    for era in [Era::Modern, Era::Legacy] {
        let client = client(&over_http.url, era);
        let failed =
            client.call_tool("calc__divide", &json!({ "dividend": 1, "divisor": 0 })).await;
        assert_eq!(text_of(&failed.unwrap()), "the divisor is zero");
        client.service().close().await;
    }
}

#[tokio::test]
async fn gateway_that_lets_only_signed_tools_through() {
    let (key, file) = publisher();
    let keys = tempfile::NamedTempFile::new().unwrap();
    let mut ring = etdi::core::key::KeyRing::new();
    ring.insert(key.verifying_key().clone());
    std::fs::write(keys.path(), ring.to_jwks()).unwrap();
    let keys = keys.path().to_string_lossy();
    let notes =
        format!("notes={} --key {}", example("signed_notes").display(), file.path().display());
    let calc = format!("calc={}", example("calculator").display());
    let words = ["--trust", &keys, "--server", "pkg:cargo/signed-notes", &notes, &calc];
    let client = connect("gateway", &words);
    let found = client.call_tool("notes__search_notes", &json!({ "query": "milk" })).await.unwrap();
    assert_eq!(structured::<Value>(&found).unwrap()["result"][0]["text"], "buy milk");
    // Nobody has signed the other one's tools.
    let refused = client.call_tool("calc__add", &json!({ "a": 1, "b": 2 })).await;
    assert!(refused.is_err(), "{refused:?}");
    client.service().close().await;
}
