//! `etdi policy` as a program meets it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ETDI: &str = env!("CARGO_BIN_EXE_etdi");

/// Runs with `--json` on the server of the demo; gives the exit code and the envelope.
fn run(home: &Path, words: &[&str]) -> (i32, Value) {
    let server = ["--server", "pkg:cargo/weather", "--", ETDI, "__demo-server", "weather"];
    let output = Command::new(ETDI)
        .args(["policy", "--json"])
        .args(words)
        .args(server)
        .env("ETDI_HOME", home)
        .current_dir(home)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), serde_json::from_str(&text).unwrap())
}

#[test]
fn policies_are_checked_and_tried_without_a_call() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("policies");
    std::fs::create_dir(&folder).unwrap();
    let (exit, envelope) = run(home.path(), &["schema"]);
    assert_eq!(exit, 0, "{envelope}");
    let schema = envelope["data"]["schema"].as_str().unwrap();
    let action = schema.lines().find_map(|line| line.trim().strip_prefix("action \"stdio:"));
    let action = action.unwrap().split('"').next().unwrap().to_owned();
    let tool = action.split('#').nth(1).unwrap();

    let write = |text: &str| std::fs::write(folder.join("a.cedar"), text).unwrap();
    write(&format!(
        "@id(\"ada\") permit (principal == Etdi::User::\"ada\",\naction == Etdi::Action::\"stdio:{action}\", resource);"
    ));
    let (exit, checked) = run(home.path(), &["check", "policies"]);
    assert_eq!(exit, 0, "{checked}");
    let arguments = r#"{"city":"Oslo"}"#;
    let test = |user: &str| {
        let words = ["test", "policies", "--tool", tool, "--args", arguments, "--user", user];
        run(home.path(), &words)
    };
    let (exit, allowed) = test("ada");
    assert_eq!((exit, &allowed["data"]["policies"][0]), (0, &Value::from("ada")), "{allowed}");
    let (exit, denied) = test("eve");
    assert_eq!((exit, denied["error"]["code"].as_str()), (6, Some("POLICY_DENIED")));

    write("permit (principal, action, resource)\nwhen { context.hours > 5 };");
    let (exit, wrong) = run(home.path(), &["check", "policies"]);
    assert_eq!((exit, wrong["error"]["code"].as_str()), (6, Some("POLICY_INVALID")));
    assert!(wrong.to_string().contains("a.cedar:2: "), "{wrong}");
    write("permit (principal");
    assert_eq!(run(home.path(), &["check", "policies"]).0, 1);
}

/// What the policies do not permit is not sent, with the same folder that `check` reads.
#[test]
fn a_call_is_made_as_far_as_the_policies_permit() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("policies");
    std::fs::create_dir(&folder).unwrap();
    let (_, envelope) = run(home.path(), &["schema"]);
    let schema = envelope["data"]["schema"].as_str().unwrap();
    let action = schema.lines().find_map(|line| line.trim().strip_prefix("action \"stdio:"));
    let action = action.unwrap().split('"').next().unwrap().to_owned();
    let tool = action.split('#').nth(1).unwrap();
    let text = "@id(\"ada\") permit (principal == Etdi::User::\"ada\", action, resource);";
    std::fs::write(folder.join("a.cedar"), text).unwrap();
    let call = |options: &[&str]| {
        let output = Command::new(ETDI)
            .args(["call", "--json", "--yes", tool, "--args", r#"{"city":"Oslo"}"#])
            .args(options)
            .args(["--server", "pkg:cargo/weather", "--", ETDI, "__demo-server", "weather"])
            .env("ETDI_HOME", home.path())
            .current_dir(home.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let envelope: Value = serde_json::from_str(&text).unwrap();
        (output.status.code().unwrap(), envelope)
    };
    let (exit, made) = call(&["--policy", "policies", "--user", "ada"]);
    assert_eq!(exit, 0, "{made}");
    for options in [&["--policy", "policies", "--user", "eve"][..], &["--policy", "policies"]] {
        let (exit, denied) = call(options);
        assert_eq!(exit, 6, "{denied}");
        assert_eq!(denied["error"]["code"], "POLICY_DENIED", "{denied}");
    }
    std::fs::write(folder.join("a.cedar"), "permit (").unwrap();
    let (_, wrong) = call(&["--policy", "policies"]);
    assert_eq!(wrong["error"]["code"], "POLICY_INVALID", "{wrong}");
}
