//! `etdi diff`: two sides, in files and alive.

use serde_json::{Value, json};

use super::{Author, ETDI, WEATHER};

fn with_weather<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &["--"], &WEATHER].concat()
}

#[test]
fn a_server_is_compared_with_what_it_was() {
    let author = Author::new();
    let (exit, saved) = author.json(&with_weather(&["diff", "--save", "before.json"]));
    assert_eq!((exit, &saved["data"]["saved"]), (0, &json!("before.json")));
    let (exit, same) =
        author.json(&with_weather(&["diff", "before.json", "--fail-on", "compatible"]));
    assert_eq!((exit, &same["data"]["differences"]), (0, &json!([])));

    // As it was before somebody had the idea.
    let mut before: Value = serde_json::from_str(&author.read("before.json")).unwrap();
    let tool = &mut before["tools"][0];
    let said = tool["description"].as_str().unwrap().to_owned();
    tool["description"] = json!("Something else.");
    author.write("earlier.json", &before.to_string());
    let (exit, changed) = author.json(&with_weather(&["diff", "earlier.json"]));
    assert_eq!((exit, &changed["ok"]), (6, &json!(false)));
    let one = &changed["data"]["differences"][0];
    assert_eq!((&one["class"], &one["path"]), (&json!("dangerous"), &json!("description")));
    assert_eq!(one["after"], json!(said));
    assert_eq!(
        author.run(&with_weather(&["diff", "--fail-on", "never", "earlier.json"])).status.code(),
        Some(0)
    );
    // A program without arguments is a side by itself.
    let script = format!("#!/bin/sh\nexec {} {} {}\n", WEATHER[0], WEATHER[1], WEATHER[2]);
    author.write("server", &script);
    let mut made = std::process::Command::new("chmod");
    made.arg("+x").arg(author.folder().join("server"));
    assert!(made.status().unwrap().success());
    assert_eq!(author.json(&["diff", "./server", "before.json"]).0, 0);
}

#[test]
fn what_tools_list_answers_is_a_side() {
    let author = Author::new();
    let tool = |name: &str, required: &[&str]| {
        json!({ "name": name, "inputSchema": {
            "type": "object", "properties": { "a": { "type": "string" } }, "required": required,
        } })
    };
    author.write("array.json", &json!([tool("x", &[]), tool("y", &[])]).to_string());
    let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": { "tools": [tool("x", &["a"])] } });
    author.write("answer.json", &answer.to_string());
    let (exit, found) = author.json(&["diff", "array.json", "answer.json"]);
    assert_eq!((exit, &found["data"]["breaking"]), (0, &json!(2)), "{found}");
    let words = ["diff", "array.json", "answer.json", "--fail-on", "breaking"];
    assert_eq!(author.json(&words).0, 6);

    let text = author.run(&words);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("breaking   tool `y`: removed"), "{text}");

    // The same name twice: a client may take the second.
    author
        .write("twice.json", &json!([tool("x", &[]), tool("y", &[]), tool("x", &[])]).to_string());
    let (exit, found) = author.json(&["diff", "array.json", "twice.json"]);
    assert_eq!((exit, &found["data"]["dangerous"]), (6, &json!(1)), "{found}");
}

/// A name that drives the terminal would hide the difference that it is in.
#[test]
fn what_a_server_says_does_not_drive_the_terminal() {
    let author = Author::new();
    let tool =
        |text: &str| json!([{ "name": "x\u{1b}[2K", "description": text, "inputSchema": {} }]);
    author.write("before.json", &tool("reads").to_string());
    author.write("after.json", &tool("reads \u{1b}[8m and sends").to_string());
    let shown = author.run(&["diff", "before.json", "after.json"]);
    assert_eq!(shown.status.code(), Some(6));
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.contains("and sends") && !text.contains("\u{1b}[2K") && !text.contains("\u{1b}[8m")
    );
}

#[test]
fn sides_that_are_none_are_named() {
    let author = Author::new();
    author.write("empty.json", "{}");
    author.write("text.json", "{ not json");
    for words in [
        &["diff"][..],
        &["diff", "empty.json"],
        &["diff", "empty.json", "empty.json"],
        &["diff", "text.json", "text.json"],
        &["diff", "a", "b", "--", ETDI],
    ] {
        assert_eq!(author.json(words).0, 1, "{words:?}");
    }
    let (exit, _) = author.json(&["diff", "/nowhere/server", "/nowhere/other"]);
    assert_eq!(exit, 4);
}
