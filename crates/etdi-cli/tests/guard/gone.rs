//! A program that changed and lists other tools than before, and how its user gets on with it.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::Test;
use crate::client::shown;
use crate::terminal::Terminal;
use crate::through::User;

pub(crate) const TESTS: &[Test] = &[
    ("a changed program that renames a tool is let in by what is printed", renamed),
    ("one tool of a changed program says what keeps it out", one_of_several),
    ("a program that is approved under another spelling is said to be", spelled),
    ("a bare name that is another program elsewhere is said to be", by_path),
];

/// A user who has approved all tools of a script, which then became another one.
fn changed() -> User {
    let user = User::new();
    let script = user.0.place.path().join("run.sh");
    let words: Vec<_> = user.0.command().iter().map(|word| format!("'{word}'")).collect();
    std::fs::write(&script, format!("exec {}\n", words.join(" "))).unwrap();
    user.write(&json!({"command": "/bin/sh", "args": [shown(&script)]}));
    user.0.describe("Pays once.");
    user.run(&["guard", "install", "cursor"], 0);
    user.run(&["approve", "--yes", "cursor:shop"], 0);
    assert_eq!(user.client().tools(), ["pay", "slow", "sample"]);
    let text = std::fs::read_to_string(&script).unwrap();
    std::fs::write(&script, format!("# changed\n{text}")).unwrap();
    std::fs::write(user.0.place.path().join("late"), "").unwrap();
    user
}

/// The words of a command that was printed to be typed next.
fn words(next: &Value) -> Vec<String> {
    let words = next.as_str().unwrap().strip_prefix("etdi ").unwrap().split(' ');
    words.map(str::to_owned).collect()
}

fn renamed() {
    let user = changed();
    let failed = user.run(&["call", "slow", "cursor:shop"], 6);
    assert_eq!(failed["error"]["code"], "EXECUTABLE_CHANGED", "{failed}");
    assert_eq!(failed["error"]["next"], "etdi approve -- cursor:shop");
    // A yes before anybody could see the change is none.
    let failed = user.run(&["approve", "--yes", "cursor:shop"], 6);
    assert_eq!(failed["error"]["code"], "EXECUTABLE_CHANGED", "{failed}");
    let tools = failed["error"]["details"]["tools"].as_array().unwrap();
    assert!(tools.iter().any(|tool| tool["name"] == "pay" && tool["code"] == "NOT_LISTED"));
    assert_eq!(
        failed["error"]["details"]["keep_the_program_out"],
        json!(["pay", "sample", "slow"])
    );
    // What is printed next is what works, for a person who reads what is asked.
    let next = words(&failed["error"]["next"]);
    let next: Vec<&str> = next.iter().map(String::as_str).collect();
    let mut terminal = Terminal::start(user.etdi(&next));
    for question in ["approve?", "approve?", "approve?", "withdraw its approval?"] {
        terminal.sees(question);
        terminal.types("y\n");
    }
    let (status, shown) = terminal.ends();
    assert!(status.success() && !shown.contains("still refused"), "{shown}");
    assert_eq!(user.client().tools(), ["late", "slow", "sample"]);
    let kept = user.run(&["approvals", "list"], 0);
    let kept = kept["data"]["approvals"].as_array().unwrap();
    let pay = kept.iter().find(|one| one["key"]["tool"] == "pay").unwrap();
    assert!(!pay["withdrawn"].is_null(), "what is gone is remembered: {pay}");
}

fn one_of_several() {
    let user = changed();
    user.0.allow();
    let done = user.run(&["approve", "slow", "--yes", "--despite-alarm", "cursor:shop"], 0);
    assert_eq!(done["data"]["keep_the_program_out"], json!(["pay", "sample"]), "{done}");
    user.run(&["call", "slow", "cursor:shop"], 6);
    // One that is gone can be named like any other.
    let words = ["approve", "pay", "sample", "--yes", "--despite-alarm", "cursor:shop"];
    let done = user.run(&words, 0);
    assert_eq!(done["data"]["keep_the_program_out"], json!([]), "{done}");
    assert_eq!(user.client().tools(), ["slow", "sample"]);
}

fn by_path() {
    let user = User::new();
    user.0.describe("Pays once.");
    let place = user.0.place.path();
    let words: Vec<_> = user.0.command().iter().map(|word| format!("'{word}'")).collect();
    let folder = |name: &str| {
        use std::os::unix::fs::PermissionsExt;
        let folder = place.join(name);
        std::fs::create_dir(&folder).unwrap();
        let script = format!("#!/bin/sh\n# {name}\nexec {}\n", words.join(" "));
        std::fs::write(folder.join("shop"), script).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.join("shop"), mode).unwrap();
        folder
    };
    let (of_terminal, of_client) = (folder("terminal"), folder("client"));
    let etdi = |words: &[&str], first: &std::path::Path| {
        let path = format!("{}:/usr/bin:/bin", shown(first));
        let output = user.etdi(words).env("PATH", path).stdin(Stdio::null()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let approve = ["approve", "--yes", "--", "shop"];
    assert_eq!(etdi(&approve, &of_terminal).0, 0);
    // The guard of a client with another `PATH`.
    let (exit, said) = etdi(&["guard", "--", "shop"], &of_client);
    assert_eq!(exit, 6, "{said}");
    for folder in [&of_terminal, &of_client] {
        assert!(said.contains(&format!("`{}`", shown(&folder.join("shop")))), "{said}");
    }
    // An `etdi` in that folder is not what is started then.
    let this = shown(std::path::Path::new(env!("CARGO_BIN_EXE_etdi")));
    let next = format!("try:   PATH={}:\"$PATH\" {this} approve -- shop", shown(&of_client));
    assert!(said.contains(&next), "{said}");
    // What is printed, typed with the terminal's own `PATH`.
    user.0.allow();
    let approve = ["approve", "--yes", "--despite-alarm", "--", "shop"];
    assert_eq!(etdi(&approve, &of_client).0, 0);
    assert_eq!(etdi(&["guard", "--", "shop"], &of_client).0, 0);
}

fn spelled() {
    let user = User::new();
    user.0.describe("Pays once.");
    let script = user.0.place.path().join("run.sh");
    let words: Vec<_> = user.0.command().iter().map(|word| format!("'{word}'")).collect();
    std::fs::write(&script, format!("exec {}\n", words.join(" "))).unwrap();
    let approve = |script: &str| {
        let words = ["approve", "--yes", "--", "/bin/sh", script];
        let output = user.etdi(&words).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(!approve(shown(&script)).contains("spelled"));
    user.0.allow();
    let said = approve("./run.sh");
    assert!(said.contains(&format!("is approved as `/bin/sh {}`", shown(&script))), "{said}");
}
