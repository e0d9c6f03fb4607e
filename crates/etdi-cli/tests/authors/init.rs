//! `etdi init`: settings that can be read, and hold no secret.

use serde_json::{Value, json};

use super::Author;

#[test]
fn settings_of_each_provider_are_read_again() {
    for (provider, more, variables) in [
        (
            "auth0",
            &[][..],
            &["ETDI_AUDIENCE", "ETDI_CLIENT_ID", "ETDI_CLIENT_SECRET", "ETDI_DOMAIN"][..],
        ),
        (
            "okta",
            &["--domain", "https://acme.okta.com/"],
            &["ETDI_CLIENT_ID", "ETDI_CLIENT_SECRET"],
        ),
        ("azure", &["--audience", "app", "--public-client"], &["ETDI_CLIENT_ID", "ETDI_DOMAIN"]),
        (
            "custom",
            &[
                "--domain",
                "https://login.acme.example",
                "--client-id",
                "us",
                "--scope",
                "a",
                "--scope",
                "b",
            ],
            &["ETDI_CLIENT_SECRET"],
        ),
    ] {
        let author = Author::new();
        // As the document of the Python tool spells it, and as its other command did.
        let words = [&["init", "--provider", provider], more].concat();
        let (exit, made) = author.json(&words);
        assert_eq!((exit, &made["data"]["environment"]), (0, &json!(variables)), "{provider}");
        let alias =
            ["init-config", "-p", provider, "-o", "other.json", "--security-level", "strict"];
        assert_eq!(author.json(&alias).0, 0);
        let other: Value = serde_json::from_str(&author.read("other.json")).unwrap();
        assert_eq!(other["security_level"], "strict");

        let text = author.read("etdi-config.json");
        let settings: Value = serde_json::from_str(&text).unwrap();
        let oauth = &settings["oauth_config"];
        assert_eq!(oauth["provider"], *provider);
        if provider == "okta" {
            assert_eq!(oauth["domain"], "acme.okta.com");
        }
        if provider == "custom" {
            assert_eq!(oauth["scopes"], json!(["a", "b"]));
        }
        // The command itself takes it, with the environment that it says it needs.
        let mut command = author.command(&["approvals", "list", "--json"]);
        command.env("ETDI_CONFIG_PATH", "etdi-config.json").env("ETDI_CLIENT_SECRET", "MARKED");
        let set = command.env("ETDI_CLIENT_ID", "us").env("ETDI_DOMAIN", "acme.example");
        assert_eq!(set.env("ETDI_AUDIENCE", "api").output().unwrap().status.code(), Some(0));
        assert!(!text.contains("MARKED"));
    }
}

#[test]
fn a_secret_of_the_environment_is_not_written() {
    let author = Author::new();
    let mut command = author.command(&["init", "-p", "okta", "--json"]);
    let output = command.env("ETDI_CLIENT_SECRET", "MARKED-SECRET").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = format!("{output:?}{}", author.read("etdi-config.json"));
    assert!(!said.contains("MARKED-SECRET"), "{said}");
}

#[test]
fn a_file_that_is_there_stays_unless_it_is_forced() {
    let author = Author::new();
    author.write("etdi-config.json", "mine");
    let (exit, refused) = author.json(&["init", "-p", "okta"]);
    assert_eq!((exit, &refused["error"]["code"]), (1, &json!("EXISTS")));
    assert_eq!(author.read("etdi-config.json"), "mine");
    assert_eq!(author.json(&["init", "-p", "okta", "--force"]).0, 0);
    assert!(author.read("etdi-config.json").contains("okta"));
    for words in [
        &["init"][..],
        &["init", "-p", "google"],
        &["init", "-p", "okta", "-o", "x.json", "--domain", "a b"],
        &["init", "-p", "okta", "-o", "x.json", "--client-id", ""],
        &["init", "-p", "okta", "-o", "nowhere/x.json"],
    ] {
        assert_eq!(author.json(words).0, 1, "{words:?}");
    }
    assert!(!author.folder().join("x.json").exists());
}

/// A value that looks like a variable would put somebody's environment into the settings.
#[test]
fn a_value_is_no_variable() {
    let author = Author::new();
    assert_eq!(
        author.json(&["init", "-p", "okta", "--client-id", "${HOME}", "--domain", "d"]).0,
        0
    );
    let settings: Value = serde_json::from_str(&author.read("etdi-config.json")).unwrap();
    assert_eq!(settings["oauth_config"]["client_id"], "$${HOME}");
}
