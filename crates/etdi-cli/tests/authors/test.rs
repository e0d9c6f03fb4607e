//! `etdi test`: steps of a file, in every revision, and the reports.

use serde_json::{Value, json};

use super::{Author, ETDI, WEATHER};

fn steps(author: &Author, expect: Value) {
    let file = json!({ "server": WEATHER, "steps": [
        { "name": "Oslo", "tool": "weather_today", "arguments": { "city": "Oslo" }, "expect": expect },
    ] });
    author.write("steps.json", &file.to_string());
}

#[test]
fn steps_are_taken_in_both_ways_to_speak() {
    let author = Author::new();
    steps(
        &author,
        json!({ "text_contains": ["sunny", "Oslo"], "text_lacks": "rain", "max_ms": 60_000 }),
    );
    let (exit, report) = author.json(&["test", "steps.json"]);
    assert_eq!((exit, &report["data"]["passed"]), (0, &json!(2)), "{report}");
    let runs = report["data"]["runs"].as_array().unwrap();
    let revisions: Vec<&str> = runs.iter().map(|run| run["revision"].as_str().unwrap()).collect();
    assert_eq!(revisions, ["2026-07-28", "2025-11-25"]);
    for (wanted, spoken) in
        [("newest", "2026-07-28"), ("handshake", "2025-11-25"), ("agreed", "2026-07-28")]
    {
        let (exit, report) = author.json(&["test", "steps.json", "--revisions", wanted]);
        assert_eq!(exit, 0);
        assert_eq!(report["data"]["runs"].as_array().unwrap().len(), 1);
        assert_eq!(report["data"]["runs"][0]["revision"], spoken);
    }
    // The bridge speaks both, whatever is behind it: here a server that is only asked with a handshake.
    let bridge = [&["test", "steps.json", "--", ETDI, "run", "--"], &WEATHER[..]].concat();
    assert_eq!(author.json(&bridge).0, 0);
    let http =
        author.serving(&[&["run", "-t", "http", "--port", "0", "--"], &WEATHER[..]].concat());
    assert_eq!(author.json(&["test", "steps.json", "--", &http.url]).0, 0);
}

#[test]
fn what_is_not_as_expected_is_reported() {
    let author = Author::new();
    steps(&author, json!({ "text_contains": "rain", "structured": { "/degrees": 3 } }));
    let (exit, report) = author.json(&["test", "steps.json", "--junit", "report.xml"]);
    assert_eq!((exit, &report["data"]["failed"], &report["ok"]), (2, &json!(2), &json!(false)));
    let failures = report["data"]["runs"][0]["steps"][0]["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 2, "{failures:?}");
    let junit = author.read("report.xml");
    assert!(
        junit.contains("tests=\"2\" failures=\"2\"") && junit.contains("lacks `rain`"),
        "{junit}"
    );
    let output = author.run(&["test", "steps.json", "--github"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().filter(|line| line.starts_with("::error file=steps.json")).count(), 4);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("0 of 2 steps as expected"), "{text}");
}

#[test]
fn a_file_that_says_nothing_is_no_test() {
    let author = Author::new();
    for text in [
        "",
        "{}",
        r#"{"steps": []}"#,
        r#"{"steps": [{}]}"#,
        r#"{"steps": [{"tool": "a", "prompt": "b"}]}"#,
        r#"{"steps": [{"tool": "a", "expects": {}}]}"#,
        r#"{"steps": [{"tool": "a", "expect": {"text_contain": "x"}}]}"#,
        r#"{"steps": [{"tool": "a", "expect": {"structured": {"x": 1}}}]}"#,
        r#"{"steps": [{"prompt": "a", "arguments": {"x": 1}}]}"#,
        r#"{"steps": [{"tool": "a"}]}"#,
    ] {
        author.write("steps.json", text);
        let (exit, refused) = author.json(&["test", "steps.json"]);
        assert_eq!(exit, 1, "{text}: {refused}");
    }
    assert_eq!(author.json(&["test", "nowhere.json"]).0, 1);
    author.write("steps.json", r#"{"server": ["/nowhere/server"], "steps": [{"tool": "a"}]}"#);
    assert_eq!(author.json(&["test", "steps.json"]).0, 4);
}
