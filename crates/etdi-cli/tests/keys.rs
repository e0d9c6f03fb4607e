//! `etdi keys` as its users type it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use etdi::core::approval::{Answer, Approver, Granted, Question};
use etdi::core::audit::MemoryAuditor;
use etdi::core::identity::ServerIdentity;
use etdi::core::key::{Algorithm, SigningKey};
use etdi::core::level::SecurityLevel;
use etdi::core::policy::LocalRules;
use etdi::core::verify::Peer;
use etdi::{Callers, EtdiClient, EtdiServerConfig, secure};
use mcp_server::{server, tool};
use mcp_types::BoxFuture;
use serde_json::Value;

struct User(tempfile::TempDir);

impl User {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn home(&self) -> PathBuf {
        self.0.path().join("etdi")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etdi"));
        for name in ["ETDI_PASSPHRASE", "ETDI_PASSPHRASE_FD", "ETDI_KEY_FILE", "ETDI_STATE"] {
            command.env_remove(name);
        }
        command.args(words).env("ETDI_HOME", self.home()).current_dir(self.0.path());
        command.stdin(std::process::Stdio::null());
        command
    }

    fn json(&self, words: &[&str]) -> (i32, Value) {
        envelope(self.command(words).arg("--json").output().unwrap())
    }

    /// Lets it trust without a terminal, as a person would beforehand.
    fn allow(&self) {
        std::fs::create_dir_all(self.home()).unwrap();
        std::fs::write(self.home().join("unattended.json"), r#"{"approve":"everything"}"#).unwrap();
    }

    /// With the passphrase of a person who has one.
    fn locked(&self, words: &[&str]) -> (i32, Value) {
        let mut command = self.command(words);
        envelope(command.arg("--json").env("ETDI_PASSPHRASE", "correct horse").output().unwrap())
    }

    fn id(&self, name: &str) -> String {
        let (exit, exported) = self.json(&["keys", "export", name]);
        assert_eq!(exit, 0, "{exported}");
        exported["data"]["id"].as_str().unwrap().to_owned()
    }

    /// Writes the public half of a key into a file, as somebody would send it.
    fn sends(&self, name: &str, to: &Self) -> String {
        let exported = self.command(&["keys", "export", name]).output().unwrap().stdout;
        std::fs::write(to.0.path().join("sent.jwks"), exported).unwrap();
        "sent.jwks".to_owned()
    }
}

fn envelope(output: Output) -> (i32, Value) {
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text} {said}"));
    (output.status.code().unwrap(), value)
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect()
}

fn all_files(directory: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    entries
        .flat_map(|entry| match entry.path().is_dir() {
            true => all_files(&entry.path()),
            false => vec![std::fs::read(entry.path()).unwrap()],
        })
        .collect()
}

#[test]
fn a_key_with_a_passphrase_lies_nowhere_open() {
    let user = User::new();
    let (exit, made) = user.locked(&["keys", "generate", "publisher"]);
    assert_eq!((exit, made["data"]["encrypted"].as_bool()), (0, Some(true)), "{made}");
    let files = all_files(&user.home());
    assert!(!files.iter().any(|file| String::from_utf8_lossy(file).contains("PRIVATE KEY")));
    // Its public half needs no passphrase, its private half does.
    let (_, listed) = user.json(&["keys", "list"]);
    assert_eq!(listed["data"]["keys"][0]["encrypted"], true, "{listed}");
    assert_eq!(ids(&listed["data"]["keys"]), [user.id("publisher")]);
    let (exit, refused) = user.json(&["keys", "rotate", "publisher"]);
    assert_eq!((exit, refused["error"]["code"].as_str()), (1, Some("LOCKED")), "{refused}");
    let mut wrong = user.command(&["keys", "rotate", "publisher", "--json"]);
    let (exit, _) = envelope(wrong.env("ETDI_PASSPHRASE", "wrong horse").output().unwrap());
    assert_eq!(exit, 6);
    assert_eq!(user.locked(&["keys", "rotate", "publisher"]).0, 0);
    assert_eq!(user.locked(&["keys", "generate", "publisher"]).0, 1, "never replaced");
}

#[test]
fn a_key_that_lies_open_is_sealed_later() {
    let user = User::new();
    assert_eq!(user.json(&["keys", "generate"]).0, 0);
    let id = user.id("default");
    assert!(user.home().join("keys/default.pem").exists());
    assert_eq!(user.locked(&["keys", "encrypt"]).0, 0);
    assert!(!user.home().join("keys/default.pem").exists());
    assert_eq!(user.id("default"), id);
    assert_eq!(user.locked(&["keys", "encrypt"]).0, 1);
    assert_eq!(user.locked(&["keys", "rotate"]).0, 0);
}

#[test]
fn every_algorithm_and_no_other_name() {
    let user = User::new();
    for (algorithm, name) in
        [("eddsa", "EdDSA"), ("es256", "ES256"), ("rs256", "RS256"), ("ps256", "PS256")]
    {
        let words = ["keys", "generate", algorithm, "--algorithm", algorithm, "--bits", "2048"];
        let (exit, made) = user.json(&words);
        assert_eq!((exit, made["data"]["algorithm"].as_str()), (0, Some(name)), "{made}");
    }
    let (_, listed) = user.json(&["keys", "list"]);
    let algorithms: Vec<_> =
        listed["data"]["keys"].as_array().unwrap().iter().map(|key| &key["algorithm"]).collect();
    assert_eq!(algorithms, ["EdDSA", "ES256", "PS256", "RS256"]);
    for name in ["../other", "a/b", "a.b", "", ".", "a b", "ä"] {
        assert_eq!(user.json(&["keys", "generate", name]).0, 1, "{name:?}");
    }
    assert_eq!(
        user.json(&["keys", "generate", "x", "--algorithm", "rs256", "--bits", "1024"]).0,
        1
    );
}

#[test]
fn clients_and_publishers_are_told_apart_by_their_names() {
    let (operator, client) = (User::new(), User::new());
    assert_eq!(client.json(&["keys", "generate"]).0, 0);
    let file = client.sends("default", &operator);
    let id = client.id("default");
    operator.allow();
    assert_eq!(operator.json(&["keys", "trust", &file]).0, 1, "nobody is trusted without a name");
    assert_eq!(operator.json(&["keys", "trust", &file, "--as", "alice"]).0, 0);
    let publisher = ["keys", "trust", &file, "--as", "https://acme.example"];
    assert_eq!(operator.json(&publisher).0, 0);
    let (_, listed) = operator.json(&["keys", "list"]);
    assert_eq!(listed["data"]["clients"][0]["name"], "alice");
    assert_eq!(ids(&listed["data"]["clients"]), [id.as_str()]);
    assert_eq!(listed["data"]["publishers"][0]["provider"], "https://acme.example");
    assert_eq!(operator.json(&["keys", "trust", &file, "--as", "a/../b"]).0, 1);
    std::fs::write(operator.0.path().join("bad"), r#"{"keys":[]}"#).unwrap();
    assert_eq!(operator.json(&["keys", "trust", "bad", "--as", "bob"]).0, 1);

    // What is revoked is known to nobody any more.
    assert_eq!(operator.json(&["keys", "revoke", &id, "--reason", "lost"]).0, 0);
    let (_, listed) = operator.json(&["keys", "list"]);
    assert_eq!(listed["data"]["clients"].as_array().unwrap().len(), 0);
    assert_eq!(listed["data"]["revoked"][0]["kid"], id);
    assert_eq!(listed["data"]["revoked"][0]["reason"], "lost");
}

#[test]
fn a_new_key_is_followed_by_whoever_trusts_the_old() {
    let (publisher, user) = (User::new(), User::new());
    assert_eq!(publisher.json(&["keys", "generate"]).0, 0);
    let file = publisher.sends("default", &user);
    let acme = "https://acme.example";
    let old = publisher.id("default");
    let (exit, rotated) = publisher.json(&["keys", "rotate", "--issuer", acme]);
    assert_eq!(exit, 0, "{rotated}");
    let new = publisher.id("default");
    assert_ne!(new, old);
    let statement = std::fs::read(publisher.0.path().join("etdi.rotation.jws")).unwrap();
    std::fs::write(user.0.path().join("next.jws"), statement).unwrap();
    let (exit, refused) = user.json(&["keys", "trust", "next.jws"]);
    assert_eq!((exit, refused["error"]["code"].as_str()), (6, Some("KEY_UNKNOWN")));
    user.allow();
    assert_eq!(user.json(&["keys", "trust", &file, "--as", acme]).0, 0);
    std::fs::remove_file(user.home().join("unattended.json")).unwrap();
    assert_eq!(user.json(&["keys", "trust", "next.jws"]).0, 0, "the old key vouches for it");
    let (_, listed) = user.json(&["keys", "list"]);
    let mut found = ids(&listed["data"]["publishers"]);
    found.sort_unstable();
    let mut expected = [old.as_str(), new.as_str()];
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn a_revocation_list_grows_and_keeps_what_it_has() {
    let user = User::new();
    assert_eq!(user.json(&["keys", "generate"]).0, 0);
    assert_eq!(user.json(&["keys", "generate", "lost"]).0, 0);
    let publish = ["--sign", "default", "--issuer", "https://acme.example"];
    // By the clock, so that a list that was signed elsewhere is followed as well.
    let mut before = 1_767_323_045;
    for what in ["lost", "jti:abc", "https://evil.example"] {
        let (exit, revoked) = user.json(&[&["keys", "revoke", what][..], &publish].concat());
        let seq = revoked["data"]["seq"].as_u64().unwrap();
        assert!(exit == 0 && seq > before, "{revoked}");
        before = seq;
    }
    let list = user.0.path().join("etdi.revocations.jws");
    let text = std::fs::read_to_string(&list).unwrap();
    assert_eq!(text.trim().split('.').count(), 3);
    // Somebody else's list, or a damaged one, is not signed on.
    std::fs::write(&list, text.replacen('.', ".A", 1)).unwrap();
    assert_eq!(user.json(&[&["keys", "revoke", "jti:x"][..], &publish].concat()).0, 1);
    std::fs::write(&list, text).unwrap();
    let other = ["--sign", "default", "--issuer", "https://other.example"];
    assert_eq!(user.json(&[&["keys", "revoke", "jti:x"][..], &other].concat()).0, 1);
    assert_eq!(user.json(&["keys", "revoke", "nothing"]).0, 1);
}

/// A keyring in a directory, in the form of libsecret's command.
#[cfg(unix)]
const SECRET_TOOL: &str = r#"#!/bin/sh
[ "$1" = --version ] && exit 0
[ -e "$KEYRING/locked" ] && { echo "Cannot get secret of a locked object" >&2; exit 1; }
for word; do last="$word"; done
file="$KEYRING/$last"
case "$1" in
    store) cat > "$file" ;;
    lookup) [ -e "$file" ] || exit 1; cat "$file" ;;
    clear) rm -f "$file" ;;
esac
"#;

/// Runs the command on a system with that keyring, and gives the directory in which it keeps things.
#[cfg(unix)]
fn with_keyring(user: &User) -> (impl Fn(&[&str]) -> (i32, Value) + '_, PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let (bin, keyring) = (user.0.path().join("bin"), user.0.path().join("keyring"));
    for directory in [&bin, &keyring] {
        std::fs::create_dir(directory).unwrap();
    }
    std::fs::write(bin.join("secret-tool"), SECRET_TOOL).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(bin.join("secret-tool"), mode).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let kept = keyring.clone();
    let run = move |words: &[&str]| {
        let mut command = user.command(words);
        envelope(command.arg("--json").env("PATH", &path).env("KEYRING", &kept).output().unwrap())
    };
    (run, keyring)
}

/// The command ended between its writes: the private half is in the keyring, the public one nowhere.
/// No other key takes the name by which it is known.
#[cfg(unix)]
#[test]
fn half_a_key_in_the_keyring_is_not_replaced() {
    let user = User::new();
    let (run, keyring) = with_keyring(&user);
    let (exit, made) = run(&["keys", "generate", "--keyring", "publisher"]);
    assert_eq!(exit, 0, "{made}");
    std::fs::remove_file(user.home().join("keys/publisher.jwks")).unwrap();
    let (exit, refused) = run(&["keys", "generate", "publisher"]);
    assert!(exit == 1 && refused.to_string().contains("there is a key"), "{refused}");
    assert!(!user.home().join("keys/publisher.pem").exists());
    let (exit, kept) = run(&["keys", "export", "publisher"]);
    assert_eq!((exit, &kept["data"]["id"]), (0, &made["data"]["id"]), "{kept}");
    assert_eq!(std::fs::read_dir(&keyring).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn a_key_in_the_keyring_lies_in_no_file() {
    let user = User::new();
    let (run, keyring) = with_keyring(&user);
    assert_eq!(user.json(&["keys", "generate", "--keyring", "none"]).0, 1, "no such program");
    let (exit, made) = run(&["keys", "generate", "--keyring", "publisher"]);
    assert_eq!(exit, 0, "{made}");
    let private = all_files(&user.home());
    assert!(!private.iter().any(|file| String::from_utf8_lossy(file).contains("PRIVATE KEY")));
    assert!(!user.home().join("keys/publisher.pem").exists());
    let (_, listed) = run(&["keys", "list"]);
    assert_eq!(listed["data"]["keys"][0]["keyring"], true, "{listed}");
    let old = user.id("publisher");
    assert_eq!(made["data"]["id"], old.as_str(), "the public half needs no keyring");

    // The next key is in the keyring too, and the old one under its new name.
    let (exit, rotated) = run(&["keys", "rotate", "publisher"]);
    assert_eq!(exit, 0, "{rotated}");
    assert_ne!(user.id("publisher"), old);
    let kept = rotated["data"]["old_name"].as_str().unwrap();
    assert_eq!(user.id(kept), old);
    let mut entries: Vec<_> = std::fs::read_dir(&keyring).unwrap().flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let names: Vec<_> = entries.iter().map(|one| one.file_name().into_string().unwrap()).collect();
    assert_eq!(names, ["etdi-key-publisher".to_owned(), format!("etdi-key-{kept}")]);
    assert_eq!(run(&["keys", "generate", "--keyring", "publisher"]).0, 1, "never replaced");

    // It signs, and not while the keyring is locked.
    let (exit, done) = run(&["keys", "revoke", "jti:stolen", "--sign", "publisher"]);
    assert_eq!(exit, 0, "{done}");
    std::fs::write(keyring.join("locked"), "").unwrap();
    let (exit, refused) = run(&["keys", "rotate", "publisher"]);
    assert!(exit != 0 && refused.to_string().contains("unlock the keyring"), "{refused}");
}

/// Tells the weather.
#[tool(etdi, version = "1.0.0", permissions = ["weather:read"], require_request_signing)]
fn weather() -> String {
    "sunny".to_owned()
}

struct Agrees;

impl Approver for Agrees {
    fn ask<'a>(&'a self, _: Question<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready(Answer::approve(Granted::All, "the user")))
    }
}

/// Some ids of keys look like options; what follows them still counts as one.
#[test]
fn a_key_is_revoked_whatever_its_id_starts_with() {
    let user = User::new();
    for start in ["-", "--", "-h", "x"] {
        let id = format!("{start:A<43}");
        let (exit, said) = user.json(&["keys", "revoke", &id, "--reason", "stolen"]);
        assert_eq!((exit, &said["data"]["what"]), (0, &Value::from(id)), "{said}");
    }
}

/// A client sends its key, an operator trusts it by the command, and the operator's server takes the
/// client's calls from then on, and nobody else's.
#[tokio::test]
async fn a_key_that_is_trusted_calls_the_operators_server() {
    let (alice, mallory, bob) = (User::new(), User::new(), User::new());
    let made = |user: &User| {
        assert_eq!(user.json(&["keys", "generate", "default"]).0, 0);
        let pem = std::fs::read_to_string(user.home().join("keys/default.pem")).unwrap();
        Arc::new(SigningKey::from_pkcs8_pem(&pem).unwrap())
    };
    let (alices, mallorys) = (made(&alice), made(&mallory));
    let operator = Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
    let identity = || ServerIdentity::package("pkg:cargo/weather").unwrap();
    let serve = async |level: SecurityLevel| {
        let config = EtdiServerConfig::new(identity()).operator(operator.clone()).level(level);
        let config = config.callers(Callers::at(bob.home().join("clients")));
        let config = config.engine(Arc::new(LocalRules::of_approvals()));
        let config = config.auditor(Arc::new(MemoryAuditor::default()));
        secure(server!().tool::<weather>().build().unwrap(), config).await.unwrap()
    };
    let call = async |level, key: &Arc<SigningKey>| {
        let client = EtdiClient::builder().approver(Arc::new(Agrees)).caller(key.clone()).build();
        let session = client.over(serve(level).await, Peer::new(identity())).await.unwrap();
        let called = session.invoke_tool("weather", &serde_json::json!({})).await;
        called.map(drop).map_err(|error| error.to_string())
    };
    let strict = SecurityLevel::Strict;
    let listed = || bob.json(&["keys", "list"]).1["data"]["clients"].clone();
    let refused = call(strict, &alices).await.unwrap_err();
    assert!(refused.contains("is not known here"), "{refused}");
    let sent = alice.sends("default", &bob);
    bob.allow();
    assert_eq!(bob.json(&["keys", "trust", &sent, "--as", "alice"]).0, 0);
    assert_eq!(call(strict, &alices).await, Ok(()));
    assert!(call(strict, &mallorys).await.unwrap_err().contains("is not known here"));
    assert_eq!(ids(&listed()), [alices.id().to_string()]);

    // Below strict a key counts on its first use, which is written down and shown.
    assert_eq!(call(SecurityLevel::Enhanced, &mallorys).await, Ok(()));
    let clients = listed();
    let first = clients.as_array().unwrap().iter().find(|one| one["trust"] == "first_use");
    assert_eq!(first.unwrap()["id"], mallorys.id().to_string());
    assert!(call(strict, &mallorys).await.is_err(), "which is not enough at strict");
    let (exit, said) = bob.json(&["keys", "revoke", &mallorys.id().to_string()]);
    assert_eq!(exit, 0, "{said}");
    let refused = call(SecurityLevel::Enhanced, &mallorys).await.unwrap_err();
    assert!(refused.contains("is not known here"), "{refused}");
}

/// A key of the Python SDK is taken over where its three files are about one key, and once.
#[test]
fn a_key_of_the_python_sdk_is_taken_over() {
    use etdi_core::digest::Digest;
    use etdi_core::key::{Algorithm, SigningKey};
    let user = User::new();
    let standard = |text: &str| text.replace('-', "+").replace('_', "/");
    let write = |id: &str, key: &SigningKey, half: &SigningKey| {
        let jwk: Value = serde_json::from_str(&half.verifying_key().to_jwk()).unwrap();
        let modulus = standard(jwk["n"].as_str().unwrap());
        let pad = "=".repeat((4 - modulus.len() % 4) % 4);
        let public =
            format!("-----BEGIN PUBLIC KEY-----\n{modulus}{pad}\n-----END PUBLIC KEY-----\n");
        let hash = Digest::of_bytes(public.as_bytes()).to_string();
        let hash = standard(hash.rsplit(':').next().unwrap());
        let metadata = serde_json::json!({
            "key_id": id, "created_at": "2025-05-29T10:00:00", "expires_at": "2026-05-29T10:00:00",
            "fingerprint": hash[..16],
        });
        let path = |ending: &str| user.0.path().join(format!("{id}.{ending}"));
        std::fs::write(path("private.pem"), &*key.to_pkcs8_pem()).unwrap();
        std::fs::write(path("public.pem"), public).unwrap();
        std::fs::write(path("metadata.json"), metadata.to_string()).unwrap();
    };
    let made = || SigningKey::generate_rsa(Algorithm::Rs256, 2048).unwrap();
    let (one, other) = (made(), made());
    write("alice", &one, &one);
    write("mixed", &one, &other);
    let import = |file: &str| user.json(&["keys", "import", file, "--from", "python-fork"]);
    let (exit, taken) = import("alice.private.pem");
    assert_eq!((exit, &taken["data"]["name"]), (0, &"alice".into()), "{taken}");
    assert_eq!(taken["data"]["id"].as_str().unwrap(), one.id().to_string());
    assert_eq!(taken["data"]["expires_at"], "2026-05-29T10:00:00");
    assert_eq!(user.id("alice"), one.id().to_string());
    assert_eq!(import("alice.private.pem").0, 1, "a key is never replaced");
    let (exit, mixed) = import("mixed.private.pem");
    assert!(exit == 1 && mixed.to_string().contains("public half is of another key"), "{mixed}");
    let (exit, none) = import("alice.public.pem");
    assert!(exit == 1 && none.to_string().contains("is no `NAME.private.pem`"), "{none}");
}
