//! What people stumble over who use the command for the first time, and what it tells them.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

use std::process::{Command, Output};

use tempfile::TempDir;

const ETDI: &str = env!("CARGO_BIN_EXE_etdi");

/// Somebody with an empty home.
struct User(TempDir);

impl User {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn run(&self, line: &str) -> Output {
        let mut command = Command::new(ETDI);
        for name in ["ETDI_PASSPHRASE_FD", "ETDI_KEY_FILE", "ETDI_STATE", "ETDI_PASSPHRASE"] {
            command.env_remove(name);
        }
        let words = line.split(' ').map(|word| if word == "ETDI" { ETDI } else { word });
        let home = self.0.path().join("etdi");
        command.args(words).env("ETDI_HOME", home).current_dir(self.0.path()).output().unwrap()
    }

    /// Lets it trust without a terminal, as a person would beforehand.
    fn allow(&self) {
        let home = self.0.path().join("etdi");
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("unattended.json"), r#"{"approve":"everything"}"#).unwrap();
    }

    /// What a command that works says.
    fn says(&self, line: &str) -> String {
        let output = self.run(line);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{line}: {errors}");
        String::from_utf8(output.stdout).unwrap() + &errors
    }

    /// What a command that does not work says.
    fn fails(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(!output.status.success(), "{line}");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn a_server_is_a_command_after_two_dashes() {
    let user = User::new();
    for line in ["lock ./notes", "sign --server pkg:cargo/a"] {
        let said = user.fails(line);
        assert!(said.contains("after `--`: etdi list -- ./my-server"), "{line}: {said}");
    }
    for line in ["list", "call search"] {
        let said = user.fails(line);
        assert!(said.contains("no server is named") && said.contains("`--` and"), "{line}: {said}");
    }
    // What stands before the dashes and looks like a path is one.
    assert!(user.fails("list ./notes").contains("program `./notes` was not found"));
    assert!(!user.fails("keys generate --algorithm HS256").contains("after `--`"));
    let said = String::from_utf8(user.run("lock --json ./notes").stdout).unwrap();
    assert!(said.contains("after `--`"), "{said}");
    for line in ["list -- http://127.0.0.1:1/mcp", "lock -- http://127.0.0.1:1/mcp"] {
        let said = user.fails(line);
        assert!(said.contains("does the server run?") && !said.contains("which http"), "{said}");
    }
    let said = user.fails("list -- ws://127.0.0.1:1/mcp");
    assert!(said.contains("is no URL of `http` or `https`"), "{said}");
    let said = user.fails("list -- http://127.0.0.1:1/mcp --stdio");
    assert!(said.contains("is a URL, after which there is nothing"), "{said}");
    // What is wrong is the option, and no server is missing.
    let said = user.fails("analyze --format xml tools.json");
    assert!(said.contains("--format") && !said.contains("after `--`: etdi"), "{said}");
    let said = String::from_utf8(user.run("analyze --json --format xml").stdout).unwrap();
    assert!(said.contains("\"next\":\"etdi analyze --help\""), "{said}");
    let said = user.fails("diff before.json after.json");
    assert!(said.contains("there is no file `before.json`"), "{said}");
    let said = user.fails("list --server notes -- ./notes");
    assert!(said.contains("write a package URL such as `pkg:cargo/notes`"), "{said}");
}

#[test]
fn a_publisher_that_signs_as_its_key_is_trusted_as_that() {
    let (publisher, user) = (User::new(), User::new());
    publisher.says("keys generate");
    let said = publisher.fails("keys generate");
    assert!(said.contains("there is a key `default` already"), "{said}");
    publisher.says("keys generate legacy --algorithm ES256");
    let public = user.0.path().join("publisher.json");
    std::fs::write(&public, publisher.says("keys export")).unwrap();
    user.allow();
    let asked = user.fails("keys trust publisher.json");
    let next = asked.lines().find_map(|line| line.strip_prefix("try:   etdi ")).unwrap();
    assert!(user.says(next).contains("trusts what etdi:key:"), "{next}");
    let listed = user.says("keys list");
    assert!(listed.contains("publishers that you trust\n") && listed.contains("etdi:key:"));
    assert!(!listed.contains("clients that your servers know"), "{listed}");
}

/// What was revoked stays refused, so nothing may say that it is trusted now.
#[test]
fn what_was_revoked_is_not_called_trusted() {
    let (publisher, user) = (User::new(), User::new());
    publisher.says("keys generate");
    std::fs::write(user.0.path().join("a.json"), publisher.says("keys export")).unwrap();
    user.allow();
    user.says("keys trust a.json --as https://acme.example");
    user.says("keys revoke https://acme.example");
    let said = user.fails("keys trust a.json --as https://acme.example");
    assert!(
        said.contains("https://acme.example was revoked here") && said.contains("slip"),
        "{said}"
    );
    assert!(user.says("keys trust a.json --as https://other.example").contains("trusts what"));
}

/// A name with one wrong letter does not turn a publisher into a caller.
#[test]
fn what_is_written_as_a_publisher_is_trusted_as_one_or_not_at_all() {
    let (publisher, user) = (User::new(), User::new());
    publisher.says("keys generate");
    std::fs::write(user.0.path().join("p.json"), publisher.says("keys export")).unwrap();
    user.allow();
    let asked = user.fails("keys trust p.json");
    let right = asked.lines().find_map(|line| line.strip_prefix("try:   etdi ")).unwrap();
    let letter = if right.ends_with('A') { 'Q' } else { 'A' };
    let mistyped = format!("{}{letter}", &right[..right.len() - 1]);
    for line in [&mistyped, "keys trust p.json --as etdi:key:ID", "keys trust p.json --as ETDI:x"] {
        let said = user.fails(line);
        assert!(said.contains(right), "{line}: {said}");
    }
    for name in ["acme.example:8443", "localhost:8443"] {
        let said = user.fails(&format!("keys trust p.json --as {name}"));
        assert!(said.contains(&format!("--as https://{name}\n")), "{name}: {said}");
    }
    for name in ["acme.example", "http://acme.example", "acme.example/"] {
        let said = user.fails(&format!("keys trust p.json --as {name}"));
        assert!(said.contains("--as https://acme.example\n"), "{name}: {said}");
    }
    assert!(!user.says("keys list").contains("clients that your servers know"));
    assert!(user.says("keys trust p.json --as laptop").contains("the calls of `laptop`"));
    assert!(
        user.says("keys trust p.json --as https://acme.example").contains("acme.example signs")
    );
    // What is known of callers is no record of a change of theirs.
    assert!(user.says("undo --list").contains("nothing"), "{}", user.says("undo --list"));
}

/// What was revoked by its digest is refused also where nobody signed it.
#[test]
fn a_revoked_definition_is_refused_although_it_is_not_signed() {
    let user = User::new();
    let weather = "-- ETDI __demo-server weather";
    user.says(&format!("approve --yes {weather}"));
    let listed: serde_json::Value =
        serde_json::from_str(&user.says(&format!("list --json {weather}"))).unwrap();
    let digest =
        listed["data"]["tools"][0]["digest"].as_str().unwrap_or_else(|| panic!("{listed}"));
    let revoked = user.says(&format!("keys revoke {digest}"));
    assert!(revoked.contains("refuses") && revoked.contains("from now on"), "{revoked}");
    let listed = user.run(&format!("list {weather}"));
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("revoked") && !listed.contains("approved  "), "{listed}");
    let called = user.fails(&format!("call weather_today city=Oslo {weather}"));
    assert!(called.contains("revoked"), "{called}");
    let said = user.run(&format!("approve --yes {weather}"));
    assert!(!said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
}

#[test]
fn a_key_that_was_revoked_is_listed_as_revoked() {
    let user = User::new();
    user.says("keys generate");
    assert!(user.says("keys list").contains("in a file"));
    user.says("keys revoke default");
    let listed = user.says("keys list");
    assert!(listed.contains("revoked") && !listed.contains("in a file"), "{listed}");
}

#[test]
fn what_was_just_locked_is_not_called_unlocked() {
    let user = User::new();
    let first = user.says("lock -- ETDI __demo-server weather");
    assert!(first.contains("locked 0 tools") && !first.contains("not locked"), "{first}");
    // What declares no version is held by no lock, so a check vouches for none of it.
    let checked = user.fails("lock --check -- ETDI __demo-server weather");
    assert!(checked.contains("0 tools are locked, nothing was checked"), "{checked}");
    assert!(
        checked.contains("declares no version") && checked.contains("etdi inspect"),
        "{checked}"
    );
    assert!(user.fails("audit verify missing.jsonl").contains("there is no audit trail"));
    let said = user.fails("keys encrypt --json nothing");
    assert!(said.is_empty() || said.contains("there is no key"), "{said}");
}

/// No program can hold a manifest with its own digest, which is easily overlooked.
#[test]
fn a_manifest_that_is_built_in_is_noticed_when_it_is_signed_for_the_program() {
    let user = User::new();
    let place = user.0.path();
    user.says("keys generate");
    let program = place.join("weather");
    std::fs::copy(ETDI, &program).unwrap();
    let sign = "sign --server pkg:cargo/weather -- ./weather __demo-server weather";
    assert!(!user.says(sign).contains("built in"));
    assert!(!user.says(sign).contains("built in"));
    let manifest = std::fs::read(place.join("etdi.manifest.jws")).unwrap();
    let mut bytes = std::fs::read(&program).unwrap();
    bytes.extend(manifest);
    std::fs::remove_file(&program).unwrap();
    std::fs::copy(ETDI, &program).unwrap();
    std::fs::write(&program, bytes).unwrap();
    assert!(user.says(sign).contains("has a manifest built in"));
}

#[test]
fn a_token_is_taken_apart_and_its_signature_is_not_shown() {
    // {"alg":"none"} and {"sub":"me","exp":1}
    let user = User::new();
    let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSIsImV4cCI6MX0.U0lHTkFUVVJF";
    for line in [format!("debug-token {token}"), format!("debug-token --token {token}")] {
        let output = user.run(&line);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(6), "{said}");
        let expired = "exp              1 (1970-01-01T00:00:01Z)";
        for part in ["ALGORITHM_NONE", "EXPIRED", "sub              me", expired, "not verified"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("U0lHTkFUVVJF") && !said.contains("SIGNATURE\""), "{said}");
    }
    std::fs::write(
        user.0.path().join("other"),
        token.replace("eyJzdWIiOiJtZSIsImV4cCI6MX0", "e30"),
    )
    .unwrap();
    let output = user.run(&format!("debug-token --json {token} --compare other"));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(r#"{"member":"claims.sub","first":"\"me\"","second":null}"#), "{said}");
    assert!(user.fails("debug-token opaque").contains("is no token"));
}

#[test]
fn a_provider_that_is_set_up_wrongly_is_told_whose_fault_it_is() {
    let user = User::new();
    let said = user.fails("validate-oauth");
    assert!(said.contains("`oauth_config`") && said.contains("--provider"), "{said}");
    let nobody = "validate-oauth --provider custom --client-id a --domain http://127.0.0.1:1";
    let output = user.run(nobody);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("the network:") && said.contains("provider reached: no"), "{said}");
    let empty = r#"{"config_version": 1, "oauth_config": {"provider": "custom", "client_id": "a",
        "domain": "http://127.0.0.1:1", "client_secret": ""}}"#;
    std::fs::write(user.0.path().join("empty.json"), empty).unwrap();
    let said = String::from_utf8(user.run("validate-oauth --config empty.json").stderr).unwrap();
    assert!(said.contains("set `ETDI_CLIENT_SECRET`"), "{said}");
    let settings =
        r#"{"config_version": 1, "oauth_config": {"provider": "auth0", "client_id": "a"}}"#;
    std::fs::write(user.0.path().join("etdi-config.json"), settings).unwrap();
    let said = user.fails("validate-oauth --config etdi-config.json");
    assert!(said.contains("`oauth_config.domain` is empty"), "{said}");
}
