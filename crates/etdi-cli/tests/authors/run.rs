//! `etdi run`: the same server on every transport.

use serde_json::json;

use super::{Author, ETDI, WEATHER};

/// A handshake of the revisions that have one.
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;

fn tools(author: &Author, target: &[&str]) -> Vec<String> {
    let (exit, listed) = author.json(&[&["list", "--"], target].concat());
    assert_eq!(exit, 0, "{listed}");
    let tools = listed["data"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_program_is_served_over_http_and_back_over_streams() {
    let author = Author::new();
    let direct = tools(&author, &WEATHER);
    let serving =
        author.serving(&[&["run", "-t", "http", "--port", "0", "--"], &WEATHER[..]].concat());
    assert!(serving.url.starts_with("http://127.0.0.1:") && serving.url.ends_with("/mcp"));
    assert_eq!(tools(&author, &[&serving.url]), direct);
    // And a client that only starts programs reaches the URL by another one.
    assert_eq!(tools(&author, &[ETDI, "run", "--", &serving.url]), direct);
    let call =
        ["call", "--yes", "weather_today", "city=Oslo", "--", ETDI, "run", "--", &serving.url];
    let (exit, called) = author.json(&call);
    let said = called["data"]["result"]["content"][0]["text"].as_str().unwrap_or_default();
    assert!(exit == 0 && said.starts_with("sunny in Oslo"), "{called}");
}

#[test]
fn older_clients_find_it_in_their_own_way() {
    let author = Author::new();
    let sse = author.serving(&[&["run", "-t", "sse", "--port", "0", "--"], &WEATHER[..]].concat());
    assert!(sse.url.ends_with("/sse"), "{}", sse.url);
    assert_eq!(tools(&author, &[&sse.url]), tools(&author, &WEATHER));

    let words = ["run", "-t", "http", "--port", "0", "--path", "weather/", "--stateless", "--"];
    let http = author.serving(&[&words, &WEATHER[..]].concat());
    assert!(http.url.ends_with("/weather"), "{}", http.url);
    let (status, answer) = http.post(&[], INITIALIZE);
    assert!(status == 200 && answer.contains("2025-06-18"), "{answer}");
    assert!(!answer.to_lowercase().contains("mcp-session-id"), "it keeps sessions: {answer}");
}

/// Without the checks of host and origin, a page that resolves its own name to this computer, or any
/// page at all, calls the tools of a server that was meant for its user alone.
#[test]
fn a_page_in_a_browser_is_not_served() {
    let author = Author::new();
    let words = ["run", "-t", "http", "--port", "0", "--allow-host", "tools.example", "--"];
    let serving = author.serving(&[&words, &WEATHER[..]].concat());
    for headers in [("Host", "rebound.example"), ("Origin", "https://rebound.example")] {
        let (status, answer) = serving.post(&[headers], INITIALIZE);
        assert_eq!(status, 403, "{answer}");
    }
    assert_eq!(serving.post(&[("Host", "tools.example")], INITIALIZE).0, 200);
}

#[test]
fn its_program_ends_with_it() {
    let author = Author::new();
    let script = format!("echo $$ > pid; exec {ETDI} __demo-server weather");
    let words = ["run", "-t", "http", "--port", "0", "--", "/bin/sh", "-c", &script];
    let serving = author.serving(&words);
    assert_eq!(tools(&author, &[&serving.url]).len(), 1);
    let id = author.read("pid");
    assert_eq!(serving.end(), Some(143));
    let alive = std::process::Command::new("kill").args(["-0", id.trim()]).output().unwrap();
    assert!(!alive.status.success(), "the server outlived the command");
}

#[test]
fn a_server_that_ends_ends_it() {
    let author = Author::new();
    let words = ["run", "-t", "http", "--port", "0", "--", "/bin/sh", "-c", "read line; exit 3"];
    let serving = author.serving(&words);
    let listing = author.json(&["list", "--", &serving.url]);
    assert_ne!(listing.0, 0);
    let (exit, last) = serving.ended();
    assert_eq!((exit, &last["error"]["code"]), (Some(4), &json!("SERVER_ENDED")));

    let (exit, refused) = author.json(&["run", "-t", "http", "--", "/nowhere/server"]);
    assert_eq!((exit, &refused["error"]["code"]), (4, &json!("NOT_STARTED")));
    let taken =
        author.serving(&[&["run", "-t", "http", "--port", "0", "--"], &WEATHER[..]].concat());
    let port = taken.url.rsplit_once(':').unwrap().1.split('/').next().unwrap();
    let words = [&["run", "-t", "http", "--port", port, "--"], &WEATHER[..]].concat();
    let (exit, refused) = author.json(&words);
    assert_eq!((exit, &refused["error"]["code"]), (4, &json!("PORT_TAKEN")));
}
