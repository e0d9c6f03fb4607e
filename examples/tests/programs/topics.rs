//! The programs of a topic, lesson by lesson.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use mcp_client::types::{
    CompleteReference, ContentBlock, LoggingLevel, PromptReference, ServerNotification,
};
use mcp_client::{DisplayName as _, text_of};
use mcp_transport::Era;
use serde_json::{Value, json};

use super::served::{Served, client, client_with};
use super::{connect, example, run};

#[tokio::test]
async fn tools_basics() {
    // A weather service that knows one city.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut head) = (stream.unwrap(), [0; 1024]);
            let read = stream.read(&mut head).unwrap();
            let known = head[..read].starts_with(b"GET /Bern HTTP/1.1\r\n");
            let status = if known { "200 OK" } else { "404 Not Found" };
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nsunny");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let client = connect("tools", &["basics", &url]);
    let tools = client.all_tools().await.unwrap();
    let titles = tools.iter().map(|tool| tool.display_name()).collect::<Vec<_>>();
    assert_eq!(titles, ["BMI Calculator", "Weather Fetcher"]);
    let bmi: f64 =
        client.call("calculate_bmi", &json!({ "weight_kg": 72, "height_m": 1.8 })).await.unwrap();
    assert!((bmi - 22.2).abs() < 0.1, "{bmi}");
    for (city, said) in
        [("Bern", "sunny"), ("Atlantis", "not known"), ("../Bern", "letters and hyphens")]
    {
        let weather = client.call_tool("fetch_weather", &json!({ "city": city })).await.unwrap();
        assert!(text_of(&weather).contains(said), "{city}: {weather:?}");
    }
    client.service().close().await;
}

#[tokio::test]
async fn tools_structured() {
    let client = connect("tools", &["structured"]);
    let cases = [
        ("get_weather", json!({ "city": "Bern" }), "/humidity", json!(65.0)),
        ("get_location", json!({ "address": "1 Strand" }), "/name", json!("1 Strand, London")),
        ("get_statistics", json!({ "data_type": "age" }), "/result/age_mean", json!(42.5)),
        ("get_user", json!({ "user_id": 1 }), "/result/name", json!("Alice")),
        ("list_cities", json!({}), "/result", json!(["London", "Paris", "Tokyo"])),
        ("get_temperature", json!({ "city": "Bern" }), "/result", json!(22.5)),
    ];
    for (tool, arguments, place, expected) in cases {
        let result = client.call_tool(tool, &arguments).await.unwrap();
        let data: Value = result.structured_content.unwrap().parse().unwrap();
        assert_eq!(data.pointer(place), Some(&expected), "{tool}: {data}");
    }
    let config = client.call_tool("get_config", &json!({})).await.unwrap();
    assert!(config.structured_content.is_none() && text_of(&config).contains("value2"));
    client.service().close().await;
}

#[tokio::test]
async fn tools_content() {
    let folder = tempfile::tempdir().unwrap();
    image::RgbImage::new(300, 200).save(folder.path().join("big.png")).unwrap();
    std::fs::write(folder.path().join("note.txt"), "buy milk").unwrap();
    std::os::unix::fs::symlink("/etc", folder.path().join("out")).unwrap();
    let client = connect("tools", &["content", &folder.path().to_string_lossy()]);
    let arguments = json!({ "image_path": "big.png" });
    let thumbnail = client.call_tool("create_thumbnail", &arguments).await.unwrap();
    let [ContentBlock::Image(image)] = &thumbnail.content[..] else { panic!("{thumbnail:?}") };
    let png = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &image.data);
    let small = image::load_from_memory(&png.unwrap()).unwrap();
    assert_eq!((small.width(), small.height()), (100, 67));
    let read =
        async |path: &str| client.call_tool("read_file", &json!({ "path": path })).await.unwrap();
    assert_eq!(text_of(&read("note.txt").await), "buy milk");
    for path in ["../note.txt", "/etc/passwd", "out/passwd", "nothing"] {
        assert_eq!(read(path).await.is_error, Some(true), "{path}");
    }
    client.service().close().await;
}

#[tokio::test]
async fn tools_context() {
    let client = connect("tools", &["context"]);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let files = json!({ "files": ["one.txt", "two.txt"] });
    let call = client.tool_call("long_task").arguments(&files).unwrap();
    let call = call.log_level(LoggingLevel::Info).on_notification(move |told| {
        hears.lock().unwrap().push(match told {
            ServerNotification::Progress(report) => format!("{}", report.progress),
            ServerNotification::Message(message) => message.data.to_string(),
            _ => String::new(),
        });
    });
    assert_eq!(text_of(&call.send().await.unwrap()), "processing complete: 2 of 2");
    let expected = [r#""processing one.txt""#, "0", r#""processing two.txt""#, "1", "2"];
    assert_eq!(*heard.lock().unwrap(), expected);
    let lost = client.call_tool("long_task", &json!({ "files": ["three.txt"] })).await.unwrap();
    assert_eq!(lost.is_error, Some(true));
    client.service().close().await;
}

#[tokio::test]
async fn tools_checked_and_vault() {
    let client = connect("tools", &["checked"]);
    let comment = async |author: &str, text: &str| {
        let result = client.call_tool("comment", &json!({ "author": author, "text": text })).await;
        text_of(&result.unwrap())
    };
    let said = comment("Ada", "<script>'); DROP TABLE comments").await;
    assert_eq!(said, "<p>&lt;script&gt;&#39;); DROP TABLE comments</p>");
    assert!(comment("Ada'; drop table x", "hi").await.contains("may not occur"));
    let authors: Vec<String> = client.call("authors", &json!({ "names": "A*" })).await.unwrap();
    assert_eq!(authors, ["Ada"]);
    client.service().close().await;

    let client = connect("tools", &["vault"]);
    let secret = |secret: &str| json!({ "name": "door", "secret": secret });
    let stored = client.call_tool("store_secret", &secret("sesame")).await.unwrap();
    assert_eq!(text_of(&stored), "stored door");
    for (text, right) in [("sesame", true), ("Sesame", false)] {
        assert_eq!(client.call::<_, bool>("check_secret", &secret(text)).await.unwrap(), right);
    }
    client.service().close().await;
}

#[test]
fn tools_show() {
    let (code, stdout, stderr) = run("tools", &["show", &example("calculator").to_string_lossy()]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("add (add)\n  Adds two numbers."), "{stdout}");
}

#[tokio::test]
async fn resources() {
    let client = connect("resources", &[]);
    for (uri, said) in [
        ("config://app", "App configuration here"),
        ("greeting://Ada", "Hello, Ada!"),
        ("users://42/profile", r#"{\"id\":42,\"name\":\"User 42\"}"#),
        ("image://png/signature", "iVBORw0KGgo="),
        ("file:///public/menu.txt", "the contents of public/menu.txt"),
    ] {
        let read = client.read_resource(uri).await.unwrap();
        assert!(format!("{read:?}").contains(said), "{uri}: {read:?}");
    }
    for uri in
        ["users://me/profile", "file:///private/diary.txt", "file:///public/../private/diary.txt"]
    {
        assert!(client.read_resource(uri).await.is_err(), "{uri}");
    }
    client.service().close().await;
    let admin = connect("resources", &["admin"]);
    assert!(admin.read_resource("file:///private/diary.txt").await.is_ok());
    admin.service().close().await;
    let (code, stdout, stderr) = run("resources", &["show"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("Application Configuration <config://app>"), "{stdout}");
    assert!(stdout.contains("modelcontextprotocol has specification"), "{stdout}");
}

#[tokio::test]
async fn prompts() {
    let client = connect("prompts", &[]);
    let review = || CompleteReference::Prompt(PromptReference::new("review_code"));
    let nothing: [(&str, &str); 0] = [];
    let languages = client.complete(review(), "language", "ru", nothing).await.unwrap();
    assert_eq!(languages.values, ["rust", "ruby"]);
    let debug = client.get_prompt("debug_error", [("error", "it burns")]).await.unwrap();
    assert_eq!(debug.messages.len(), 3);
    assert!(client.get_prompt("debug_error", nothing).await.is_err());
    client.service().close().await;
    let (code, stdout, stderr) = run("prompts", &["show", "review_code", "code=1+1"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("Please review this code:"), "{stdout}");
}

#[test]
fn inputs() {
    let (code, stdout, stderr) = run("inputs", &["ask"]);
    assert_eq!(code, Some(0), "{stderr}");
    for line in [
        "prompt example-prompt",
        "resource hours: 1 piece",
        "asked: Confirm booking for 4 on Friday?",
        "Booked as number 1! Notes: by the window",
        "asked to open: https://pay.example.com/deposit",
        "No deposit, no table",
    ] {
        assert!(stdout.lines().any(|found| found == line), "{line} in {stdout}");
    }
    assert!(stdout.contains("example-model (1 roots)"), "{stdout}");
}

#[tokio::test]
async fn http_modes() {
    for (mode, sessions) in [("stateful", true), ("stateless", false), ("json", false)] {
        let served = Served::start("http_modes", &[mode, "127.0.0.1:0"]);
        for era in [Era::Modern, Era::Legacy] {
            let client = client(&served.url, era);
            let said = client.call_tool("echo", &json!({ "message": "hi" })).await.unwrap();
            assert_eq!(text_of(&said), "Echo: hi", "{mode}");
            client.service().close().await;
        }
        assert_eq!(gets_a_session(&served), sessions, "{mode}");
        let (code, stdout, stderr) = run("http_modes", &["call", &served.url]);
        assert_eq!((code, &*stdout), (Some(0), "Echo: Hello from the client!\n"), "{stderr}");
        assert_eq!(served.interrupt(), Some(0));
    }
}

/// Whether a client of an older revision is given a session.
fn gets_a_session(served: &Served) -> bool {
    let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}"#;
    let answer = served.raw(&format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    ));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.to_ascii_lowercase().contains("mcp-session-id:")
}

#[tokio::test]
async fn http_modes_behind_a_key() {
    let mut served = Served::start("http_modes", &["keyed", "127.0.0.1:0"]);
    let key = served.next_line();
    let (code, stdout, stderr) = run("http_modes", &["call", &served.url, &key]);
    let expected = "Echo for the holder of the key: Hello from the client!\n";
    assert_eq!((code, &*stdout), (Some(0), expected), "{stderr}");
    let (code, _, stderr) = run("http_modes", &["call", &served.url, "a-guess"]);
    assert_eq!(code, Some(1), "{stderr}");
    let stranger = client_with(&served.url, |_| {});
    assert!(stranger.all_tools().await.is_err());

    let post = |key: &str| {
        served.raw(&format!(
            "POST /tools/secure_echo HTTP/1.1\r\nHost: localhost\r\nx-api-key: {key}\r\n\
             Content-Type: application/json\r\nContent-Length: 16\r\nConnection: close\r\n\r\n\
             {{\"message\":\"hi\"}}"
        ))
    };
    let answer = post(&key);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("Echo for the holder of the key: hi"), "{answer}");
    assert!(post("a-guess").starts_with("HTTP/1.1 401"));
}

#[test]
fn signed_calls() {
    let (code, stdout, stderr) = run("signed_calls", &[]);
    assert_eq!(code, Some(0), "{stderr}");
    let lines = stdout.lines().collect::<Vec<_>>();
    let [plain, unsigned, _, secured, _, transferred] = lines[..] else { panic!("{stdout}") };
    assert_eq!((plain, secured), ("Processed: x", "Securely processed: y"));
    assert!(unsigned.contains("wants signed calls"), "{unsigned}");
    assert_eq!(transferred, "Transferred 100 cents to ada");
}
