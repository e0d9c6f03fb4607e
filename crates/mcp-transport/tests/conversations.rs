//! Whole dialogues as text: `>` is said to the server, `<` is what it says, `#` is a remark.
//!
//! `UPDATE=1 cargo test -p mcp-transport --test conversations` writes what the server says now.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::Path;
use std::time::Instant;

use common::pair::Served;

#[test]
fn conversations() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversations");
    let mut count = 0;
    for era in std::fs::read_dir(folder).unwrap() {
        for file in std::fs::read_dir(era.unwrap().path()).unwrap() {
            check(&file.unwrap().path());
            count += 1;
        }
    }
    assert!(count > 0, "there are conversations");
}

fn check(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut served = Served::new();
    let (mut said, mut expected, mut now) = (Vec::new(), Vec::new(), String::new());
    for line in text.lines() {
        match line.split_at_checked(2) {
            Some(("< ", answer)) => expected.push(json(answer)),
            Some(("> ", message)) => {
                now.push_str(&format!("{line}\n"));
                for answer in served.step(Instant::now(), Some(&message.into())) {
                    now.push_str(&format!("< {answer}\n"));
                    said.push(json(&answer));
                }
                // What was expected so far is what was said so far, or the place shows.
            }
            _ => now.push_str(&format!("{line}\n")),
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, now).unwrap();
        return;
    }
    for (said, expected) in said.iter().zip(&expected) {
        assert_eq!(said, expected, "{}", path.display());
    }
    assert_eq!(said.len(), expected.len(), "{}", path.display());
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect(text)
}
