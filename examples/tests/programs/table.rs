//! The table of `README.md`: every program that it names is there, and every command runs.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use mcp_client::Client;
use mcp_transport::Era;
use mcp_transport::process::Command;

use super::served::{Served, client};
use super::{example, publisher};

const README: &str = include_str!("../../README.md");

/// Programs that end by themselves, by their first word; all others are servers.
const END: &[(&str, &str)] = &[
    ("careful_client", ""),
    ("http_modes", "call"),
    ("inputs", "ask"),
    ("prompts", "show"),
    ("resources", "show"),
    ("secure_echo", "demo"),
    ("signed_calls", ""),
    ("simple_auth", "all"),
    ("tools", "show"),
];

/// The rows of the table whose first column is `first`, without their backticks.
fn rows(first: &str) -> Vec<Vec<&'static str>> {
    let lines = README.lines().skip_while(|line| !line.starts_with(&format!("| {first} |")));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &'static str| row.trim_matches('|').split(" | ");
    rows.map(|row| cells(row).map(|cell| cell.trim().trim_matches('`')).collect()).collect()
}

#[test]
fn all_programs_are_listed_and_no_others() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let there = names.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned());
    let listed = rows("program").into_iter().map(|row| row[0].to_owned());
    assert_eq!(listed.collect::<BTreeSet<_>>(), there.collect());
}

#[tokio::test]
async fn every_row_has_a_program_that_runs() {
    let rows = rows("document");
    let mut commands = BTreeSet::new();
    for row in &rows {
        let [document, _, ours, command] = row[..] else { panic!("{row:?}") };
        assert!(["1", "2", "3", "4"].contains(&document), "{row:?}");
        if ours.starts_with("with the ") {
            assert_eq!(command, "—", "{row:?}");
            continue;
        }
        let words = command.strip_prefix("cargo run -p examples --example ").unwrap();
        let (name, words) = words.split_once(" -- ").unwrap_or((words, ""));
        assert_eq!(name, ours, "{row:?}");
        commands.insert((name, words));
    }
    assert!(rows.len() > 60 && commands.len() > 20, "{} rows", rows.len());
    for (name, words) in commands {
        runs(name, words).await;
    }
}

/// Runs one command with something in place of what its words stand for.
async fn runs(name: &str, words: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (_, key) = publisher();
    let needs_server = words.contains("http://127.0.0.1:8000/mcp");
    let mode = if words.contains("KEY") { "keyed" } else { "stateful" };
    let mut other = needs_server.then(|| Served::start("http_modes", &[mode, "127.0.0.1:0"]));
    let words = split(words).into_iter().map(|word| match word.as_str() {
        "KEY" => other.as_mut().unwrap().next_line(),
        "127.0.0.1:8000" => "127.0.0.1:0".to_owned(),
        "http://127.0.0.1:8000/mcp" => other.as_ref().unwrap().url.clone(),
        "pictures" => folder.path().to_string_lossy().into_owned(),
        "KEY.pem" => key.path().to_string_lossy().into_owned(),
        word if word.ends_with(".db") => {
            let path = folder.path().join(word);
            let made = rusqlite::Connection::open(&path).unwrap();
            made.execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
            path.to_string_lossy().into_owned()
        }
        word => match word.strip_prefix("target/debug/examples/") {
            Some(name) => example(name).to_string_lossy().into_owned(),
            None => word.to_owned(),
        },
    });
    let words = words.collect::<Vec<_>>();
    let first = words.first().map_or("", String::as_str);
    let ends = END.iter().any(|(one, word)| *one == name && (word.is_empty() || *word == first));
    if ends {
        ends_well(name, &words, folder.path());
    } else if words.iter().any(|word| word == "127.0.0.1:0") {
        let folder = folder.path().to_string_lossy();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let served = Served::start_with(name, &words, &[("NOTES", &*folder)]);
        if name.starts_with("secure_") || name == "simple_auth" {
            // Nobody is let in without showing something.
            let call = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            assert!(served.raw(call).starts_with("HTTP/1.1 401"), "{name} {words:?}");
        } else if first != "keyed" {
            let client = client(&served.url, Era::Modern);
            client.discover().await.unwrap();
            client.service().close().await;
        }
    } else {
        let command = Command::new(example(name)).args(&words).current_dir(folder.path());
        let info = mcp_client::types::Implementation::new("test", "1.0.0");
        let client = Client::new(mcp_transport::connect(command.spawn().unwrap(), info));
        let about = client.discover().await.unwrap();
        assert!(about.server_info().is_some(), "{name} {words:?}");
        client.service().close().await;
    }
}

fn ends_well(name: &str, words: &[String], folder: &Path) {
    let mut command = std::process::Command::new(example(name));
    command.args(words).current_dir(folder).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // What asks a person is told yes; what does not ask may be gone already.
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"y\n");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !output.stdout.is_empty(), "{name} {words:?}: {said}");
}

/// The words of a command, of which one in quotes may hold blanks.
fn split(words: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (part, quoted) in words.split('\'').zip([false, true].into_iter().cycle()) {
        match quoted {
            true => found.push(part.to_owned()),
            false => found.extend(part.split_whitespace().map(str::to_owned)),
        }
    }
    found
}
