//! `etdi approvals` as a program meets it: encryption, withdrawal, files, old copies.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

use std::path::Path;
use std::process::{Command, Output};

use etdi_core::secret::{KeyFile, Protection, Secret, SecretStore};
use serde_json::Value;
use tempfile::TempDir;

const ETDI: &str = env!("CARGO_BIN_EXE_etdi");

/// A user with an empty home, and with a passphrase or not.
struct User {
    home: TempDir,
    passphrase: Option<&'static str>,
}

impl User {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), passphrase: None }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for name in ["ETDI_PASSPHRASE_FD", "ETDI_KEY_FILE", "ETDI_STATE", "ETDI_PASSPHRASE"] {
            command.env_remove(name);
        }
        if let Some(passphrase) = self.passphrase {
            command.env("ETDI_PASSPHRASE", passphrase);
        }
        command.env("ETDI_HOME", self.path("etdi")).current_dir(self.home.path());
        command
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).to_str().unwrap().to_owned()
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(ETDI).args(words).output().unwrap()
    }

    fn json(&self, words: &[&str]) -> (i32, Value) {
        let (verb, rest) = words.split_first().unwrap();
        let output = self.run(&[&[*verb, "--json"], rest].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), serde_json::from_str(&text).unwrap())
    }

    fn code(&self, words: &[&str]) -> (i32, String) {
        let (exit, envelope) = self.json(words);
        (exit, envelope["error"]["code"].as_str().unwrap_or_default().to_owned())
    }

    /// Lets a yes without a terminal approve again, and forget, as a person would beforehand.
    fn allow(&self) {
        let allowed = r#"{"approve":"everything"}"#;
        std::fs::create_dir_all(self.path("etdi")).unwrap();
        std::fs::write(self.path("etdi/unattended.json"), allowed).unwrap();
    }

    /// Approves the tool of the demo's weather server.
    fn approve(&self) {
        assert_eq!(self.json(&with_weather(&["approve", "--yes"])).0, 0);
    }

    fn call(&self) -> (i32, String) {
        self.code(&with_weather(&["call", "weather_today", "city=Oslo"]))
    }
}

fn with_weather<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &["--", ETDI, "__demo-server", "weather"]].concat()
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

/// All that lies in a directory and below, as one text.
fn all_of(directory: &Path) -> String {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let text = |path: std::path::PathBuf| match path.is_dir() {
        true => all_of(&path),
        false => String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned(),
    };
    files.map(text).collect()
}

#[test]
fn the_store_is_sealed_where_nobody_chose_anything() {
    let user = User::new();
    user.approve();
    assert_eq!(user.json(&["approvals", "list"]).1["data"]["encrypted"], true);
    let (home, store) = (user.home.path().join("etdi"), user.home.path().join("etdi/approvals"));
    assert!(!all_of(&store).contains("weather"));
    // The attack: the store is taken away, to be read or to have another made for it.
    let key = home.join("state/store.key");
    let kept = user.home.path().join("kept.key");
    std::fs::rename(&key, &kept).unwrap();
    assert_eq!(user.call(), (6, "STORE_FAILED".to_owned()));
    let (_, envelope) = user.json(&["approvals", "list"]);
    assert!(envelope["error"]["message"].as_str().unwrap().contains("store.key` is gone"));
    assert!(!key.exists(), "no other is made in its place");
    std::fs::rename(&kept, &key).unwrap();
    assert_eq!(user.call().0, 0);

    // An old copy is found out without anything chosen.
    let old = user.home.path().join("old");
    copy(&store, &old);
    assert_eq!(user.json(&["approvals", "revoke", "weather_today"]).0, 0);
    copy(&old, &store);
    assert_eq!(user.call(), (6, "STORE_FAILED".to_owned()));
}

#[test]
fn the_store_opens_with_its_passphrase_alone_once_there_is_one() {
    let mut user = User::new();
    user.approve();
    assert_eq!(user.code(&["approvals", "encrypt"]).0, 1, "nobody said a passphrase");
    user.passphrase = Some("correct horse");
    let (exit, code) = user.code(&["approvals", "list"]);
    assert_eq!((exit, code.as_str()), (6, "STORE_FAILED"), "it is not what protects the store");
    let (exit, done) = user.json(&["approvals", "encrypt"]);
    assert_eq!((exit, &done["data"]["approvals"]), (0, &Value::from(1)));
    assert_eq!(user.json(&["approvals", "list"]).1["data"]["encrypted"], true);
    assert_eq!(user.call().0, 0);

    user.passphrase = None;
    assert_eq!(user.code(&["approvals", "list"]), (1, "LOCKED".to_owned()));
    assert_eq!(user.call(), (1, "LOCKED".to_owned()));
    user.passphrase = Some("wrong");
    assert_eq!(user.call(), (6, "STORE_FAILED".to_owned()));

    // By a file descriptor; and another passphrase from then on.
    user.passphrase = None;
    let script = format!(
        "ETDI_PASSPHRASE_FD=3 ETDI_NEW_PASSPHRASE=new {ETDI} approvals encrypt 3<<X\ncorrect horse\nX\n"
    );
    let output = user.command("sh").arg("-c").arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    user.passphrase = Some("correct horse");
    assert_eq!(user.call().0, 6);
    user.passphrase = Some("new");
    assert_eq!(user.json(&["approvals", "rotate-key"]).0, 0);
    assert_eq!(user.call().0, 0);

    // And back to the key file, for programs without a terminal.
    assert_eq!(user.json(&["approvals", "encrypt", "--key-file"]).0, 0);
    user.passphrase = None;
    assert_eq!(user.call().0, 0);
}

/// What is in the store, as stores were before they were sealed.
fn in_the_clear(user: &User, directory: &Path) {
    let file = user.path("all.plain");
    let _ = std::fs::remove_file(&file);
    assert_eq!(user.json(&["approvals", "export", "--plain", &file]).0, 0);
    let bundle = etdi_core::store::Bundle::from_bytes(&std::fs::read(file).unwrap(), None);
    let _ = std::fs::remove_dir_all(directory);
    let store = etdi_core::store::FileStore::in_the_clear(directory).unwrap();
    store.import(&bundle.unwrap()).unwrap();
}

/// A store from before stores were sealed is taken over once, and said to be.
#[test]
fn a_store_in_the_clear_is_taken_over_once() {
    let (one, mut user) = (User::new(), User::new());
    one.approve();
    std::fs::create_dir(user.home.path().join("etdi")).unwrap();
    let store = user.home.path().join("etdi/approvals");
    in_the_clear(&one, &store);
    user.passphrase = Some("p");
    let (exit, code) = user.code(&["approvals", "list"]);
    assert_eq!((exit, code.as_str()), (6, "STORE_FAILED"), "whoever has a passphrase looks first");
    user.passphrase = None;
    let output = user.run(&["approvals", "list"]);
    let (said, warned) = (output.stdout, output.stderr);
    assert!(String::from_utf8(said).unwrap().contains("weather_today"));
    let warned = String::from_utf8(warned).unwrap();
    assert!(warned.contains("sealed 1 approvals that lay in the clear"), "{warned}");
    assert!(!all_of(&store).contains("weather"));
    assert_eq!(user.run(&["approvals", "list"]).stderr, b"");
}

#[test]
fn a_server_never_sees_the_passphrase() {
    let mut user = User::new();
    user.passphrase = Some("correct horse");
    let say = "echo \"it is <$ETDI_PASSPHRASE>\" >&2";
    let output = user.run(&["list", "--", "/bin/sh", "-c", say]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("it is <>"), "{text}");
}

#[test]
fn a_tool_of_several_servers_is_not_revoked_at_all_of_them_by_accident() {
    let user = User::new();
    let server = format!("{ETDI} __demo-server weather");
    let named = ["approve", "--yes", "--server", "pkg:cargo/sky"];
    user.approve();
    user.allow();
    assert_eq!(user.json(&with_weather(&named)).0, 0);
    let (exit, refused) = user.json(&["approvals", "revoke", "weather_today"]);
    let error = &refused["error"];
    assert_eq!((exit, error["code"].as_str()), (1, Some("SEVERAL_SERVERS")), "{refused}");
    for part in ["pkg:cargo/sky", "stdio:command:", "`--all`"] {
        assert!(error["message"].as_str().unwrap().contains(part), "{part}: {refused}");
    }
    assert_eq!(user.call().0, 0);
    // By the command that the list shows.
    let list = String::from_utf8(user.run(&["approvals", "list"]).stdout).unwrap();
    assert!(list.contains(&server), "{list}");
    let revoke = ["approvals", "revoke", "weather_today", "--server", &server];
    let (exit, done) = user.json(&revoke);
    assert_eq!((exit, done["data"]["changed"].as_array().unwrap().len()), (0, 1), "{done}");
    assert_eq!(user.call(), (6, "APPROVAL_WITHDRAWN".to_owned()));
    let call = ["call", "weather_today", "city=Oslo", "--server", "pkg:cargo/sky"];
    assert_eq!(user.code(&with_weather(&call)).0, 0);
    assert_eq!(user.json(&["approvals", "revoke", "weather_today", "--all"]).0, 0);
    assert_eq!(user.code(&with_weather(&call)).0, 6);
}

#[test]
fn whoever_sets_a_passphrase_is_told_of_guards_that_cannot_type_it() {
    let mut user = User::new();
    user.approve();
    user.passphrase = Some("p");
    let said = |words: &[&str]| String::from_utf8(user.run(words).stderr).unwrap();
    assert!(said(&["approvals", "encrypt"]).contains("a guard that a client starts asks nobody"));
    assert!(!said(&["approvals", "encrypt", "--key-file"]).contains("guard"));
}

#[test]
fn a_revoked_tool_stays_away_until_it_is_approved_again() {
    let user = User::new();
    user.approve();
    assert_eq!(user.call().0, 0);
    let revoke = ["approvals", "revoke", "weather_today", "--note", "it phones home"];
    assert_eq!(user.json(&revoke).0, 0);
    assert_eq!(user.json(&revoke).0, 1, "there is none that counts");
    assert_eq!(user.call(), (6, "APPROVAL_WITHDRAWN".to_owned()));
    let (_, shown) = user.json(&["approvals", "show", "weather_today"]);
    assert_eq!(shown["data"]["approvals"][0]["withdrawn"]["note"], "it phones home");
    let text = String::from_utf8(user.run(&["approvals", "show", "weather_today"]).stdout).unwrap();
    assert!(text.contains("it phones home") && text.contains("\"inputSchema\""), "{text}");
    user.allow();
    assert_eq!(user.json(&with_weather(&["approve", "--yes", "--for", "2"])).0, 0);
    let (_, listed) = user.json(&["approvals", "list"]);
    let approval = &listed["data"]["approvals"][0];
    let seconds = |name: &str| approval[name].as_u64().unwrap();
    assert!(seconds("expires_at").abs_diff(seconds("approved_at") + 2 * 86_400) < 60);
    assert_eq!(user.call().0, 0);
    assert_eq!(user.json(&["approvals", "show", "nothing"]).0, 1);
}

#[test]
fn approvals_move_to_another_machine_and_withdrawals_stay() {
    let (mut one, mut two) = (User::new(), User::new());
    one.approve();
    let file = one.path("all.etdi");
    one.passphrase = None;
    assert_eq!(one.json(&["approvals", "export", &file]).0, 1, "nobody said a passphrase");
    let plain = one.path("plain.etdi");
    assert_eq!(one.json(&["approvals", "export", "--plain", &plain]).0, 0);
    assert_eq!(one.json(&["approvals", "export", "--plain", &plain]).0, 1, "never replaced");
    one.passphrase = Some("travel");
    // The passphrase is the file's: what opens the store stays as it is.
    let alone = one.path("alone.etdi");
    assert_eq!(one.json(&["approvals", "export", &alone]).0, 0);
    let mut other = User::new();
    other.approve();
    other.passphrase = Some("travel");
    other.allow();
    assert_eq!(other.json(&["approvals", "import", &alone]).0, 0);
    (one.passphrase, other.passphrase) = (None, None);
    assert_eq!((one.call().0, other.call().0), (0, 0));
    one.passphrase = Some("travel");
    assert_eq!(one.json(&["approvals", "encrypt"]).0, 0);
    assert_eq!(one.json(&["approvals", "export", &file]).0, 0);
    assert!(!std::fs::read_to_string(&file).unwrap().contains("weather"));

    assert_eq!(two.code(&["approvals", "import", &file]), (1, "LOCKED".to_owned()));
    // It is the file's passphrase that is wrong: nobody is sent to move the store away, and none is made
    // under that one.
    two.passphrase = Some("trvael");
    let (exit, wrong) = two.json(&["approvals", "import", &file]);
    let said = wrong["error"]["message"].as_str().unwrap();
    assert!(exit == 6 && said.contains("your own store is untouched"), "{wrong}");
    assert!(!said.contains("move the directory away"), "{wrong}");
    two.passphrase = Some("travel");
    two.allow();
    let (exit, done) = two.json(&["approvals", "import", &file]);
    assert_eq!((exit, &done["data"]["added"]), (0, &Value::from(1)));
    assert_eq!(two.call().0, 0);
    assert_eq!(two.json(&["approvals", "revoke", "weather_today"]).0, 0);
    let (_, done) = two.json(&["approvals", "import", &file]);
    assert_eq!(done["data"]["kept"], 1);
    // The attack: a file that anybody could write in place of the sealed one.
    assert_eq!(two.code(&["approvals", "import", &plain]).1, "NOT_ENCRYPTED");
    assert_eq!(two.json(&["approvals", "import", "--plain", &plain]).0, 0);
    assert_eq!(two.call(), (6, "APPROVAL_WITHDRAWN".to_owned()));
}

/// The attack: a copy of the store from before a withdrawal, put back.
#[test]
fn an_old_copy_of_the_store_is_refused_until_it_is_accepted() {
    let mut user = User::new();
    user.passphrase = Some("p");
    user.approve();
    let (store, old) = (user.home.path().join("etdi/approvals"), user.home.path().join("old"));
    copy(&store, &old);
    assert_eq!(user.json(&["approvals", "revoke", "weather_today"]).0, 0);
    copy(&old, &store);
    assert_eq!(user.call(), (6, "STORE_FAILED".to_owned()));
    let (_, envelope) = user.json(&["approvals", "list"]);
    assert!(envelope["error"]["message"].as_str().unwrap().contains("old copy"));
    assert_eq!(envelope["error"]["next"], "etdi approvals accept-restored");
    user.allow();
    assert_eq!(user.json(&["approvals", "accept-restored"]).0, 0);
    assert_eq!(user.call().0, 0);
}

/// A keyring in a directory, in the form of libsecret's command.
const SECRET_TOOL: &str = r#"#!/bin/sh
[ "$1" = --version ] && exit 0
[ -e "$KEYRING/locked" ] && { echo "Cannot get secret of a locked object" >&2; exit 1; }
for word; do last="$word"; done
file="$KEYRING/$(printf %s "$last" | tr -c 'a-zA-Z0-9\n' _)"
case "$1" in
    store) cat > "$file" ;;
    lookup) [ -e "$file" ] || exit 1; cat "$file" ;;
    clear) rm -f "$file" ;;
esac
"#;

#[test]
fn the_key_may_lie_in_the_keyring() {
    use std::os::unix::fs::PermissionsExt;
    let user = User::new();
    user.approve();
    let (code, _) = user.code(&["approvals", "encrypt", "--keyring"]);
    assert_eq!(code, 1, "there is no such program here");

    let (bin, keyring) = (user.home.path().join("bin"), user.home.path().join("keyring"));
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::create_dir_all(&keyring).unwrap();
    std::fs::write(bin.join("secret-tool"), SECRET_TOOL).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(bin.join("secret-tool"), mode).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let run = |words: &[&str]| {
        let mut command = user.command(ETDI);
        let output = command.args(words).env("PATH", &path).env("KEYRING", &keyring).output();
        let output = output.unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run(&["approvals", "encrypt", "--keyring"]).0, 0);
    assert_eq!(std::fs::read_dir(&keyring).unwrap().count(), 2, "the key and the mark");
    let call = with_weather(&["call", "--json", "weather_today", "city=Oslo"]);
    assert_eq!(run(&call).0, 0);

    // An old copy of everything that etdi keeps in files is found out.
    let (data, old) = (user.home.path().join("etdi"), user.home.path().join("old"));
    copy(&data, &old);
    assert_eq!(run(&["approvals", "revoke", "weather_today"]).0, 0);
    copy(&old, &data);
    let (exit, said) = run(&call);
    assert!(exit == 6 && said.contains("old copy"), "{said}");

    std::fs::write(keyring.join("locked"), "").unwrap();
    let (exit, said) = run(&call);
    assert!(exit == 6 && said.contains("unlock the keyring"), "{said}");
}

/// In the home that everybody has, and for programs as well; a keyring that does not work is none.
#[test]
fn a_keyring_that_works_is_preferred_where_nobody_chose() {
    use std::os::unix::fs::PermissionsExt;
    let user = User::new();
    let (bin, keyring) = (user.home.path().join("bin"), user.home.path().join("keyring"));
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::write(bin.join("secret-tool"), SECRET_TOOL).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(bin.join("secret-tool"), mode).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let run = |home: &str, program: &str, words: &[&str]| {
        let mut command = user.command(program);
        for name in ["ETDI_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
            command.env_remove(name);
        }
        command.env("HOME", user.path(home)).env("PATH", &path).env("KEYRING", &keyring);
        let output = command.args(words).output().unwrap();
        let (said, errors) = (output.stdout, String::from_utf8(output.stderr).unwrap());
        (output.status.code().unwrap(), String::from_utf8(said).unwrap() + &errors)
    };
    let approve = with_weather(&["approve", "--yes"]);
    let call = with_weather(&["call", "weather_today", "city=Oslo"]);
    // Its directory is not there, so that it keeps nothing.
    assert_eq!(run("without", ETDI, &approve).0, 0);
    assert!(user.home.path().join("without/.local/state/etdi/store.key").exists());

    std::fs::create_dir(&keyring).unwrap();
    assert_eq!(run("with", ETDI, &approve).0, 0);
    assert!(!user.home.path().join("with/.local/state/etdi/store.key").exists());
    assert_eq!(std::fs::read_dir(&keyring).unwrap().count(), 2, "the key and the mark");
    let program = std::env::current_exe().unwrap();
    let words = ["--exact", "a_program_with_settings", "--ignored", "--nocapture"];
    let (exit, said) = run("with", program.to_str().unwrap(), &words);
    assert_eq!(exit, 0, "{said}");

    // The attack: all that lies in files is put there by another.
    let store = user.home.path().join("with/.local/share/etdi/approvals");
    let plain = user.path("all.plain");
    assert_eq!(run("with", ETDI, &["approvals", "export", "--plain", &plain]).0, 0);
    let bundle = etdi_core::store::Bundle::from_bytes(&std::fs::read(plain).unwrap(), None);
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::remove_dir_all(user.home.path().join("with/.local/state")).unwrap();
    let clear = etdi_core::store::FileStore::in_the_clear(&store).unwrap();
    clear.import(&bundle.unwrap()).unwrap();
    let (exit, said) = run("with", ETDI, &call);
    assert!(exit == 6 && said.contains("was encrypted"), "{said}");
}

/// The attack: in the place of the encrypted store, one in the clear. Who types passphrases is not
/// asked for one then.
#[test]
fn a_store_in_the_clear_is_not_taken_for_the_encrypted_one() {
    let mut user = User::new();
    user.approve();
    let (store, clear) = (user.home.path().join("etdi/approvals"), user.home.path().join("clear"));
    in_the_clear(&user, &clear);
    assert_eq!(user.json(&["approvals", "revoke", "weather_today"]).0, 0);
    let sealed = user.home.path().join("sealed");
    copy(&store, &sealed);
    copy(&clear, &store);
    assert_eq!(user.call(), (6, "STORE_FAILED".to_owned()), "by a key file that nobody chose");
    copy(&sealed, &store);
    user.passphrase = Some("p");
    assert_eq!(user.json(&["approvals", "encrypt"]).0, 0);
    copy(&clear, &store);
    user.passphrase = None;
    assert_eq!(user.call(), (6, "STORE_FAILED".to_owned()));
    let (_, envelope) = user.json(&["approvals", "list"]);
    assert!(envelope["error"]["message"].as_str().unwrap().contains("was encrypted"));
    // Nobody is led to seal what another put there, nor does it happen by the way.
    let away = format!("mv {0} {0}.planted", store.display());
    assert_eq!(envelope["error"]["next"], away);
    let files = all_of(&store);
    assert_eq!(user.code(&["approvals", "accept-restored"]), (6, "STORE_FAILED".to_owned()));
    assert_eq!(all_of(&store), files, "it is left as it was");
    // Moved away, and begun anew: nothing counts. To seal it is said outright.
    assert!(user.command("sh").args(["-c", &away]).status().unwrap().success());
    user.allow();
    assert_eq!(user.json(&["approvals", "accept-restored"]).1["data"]["approvals"], 0);
    copy(&clear, &store);
    assert_eq!(user.json(&["approvals", "encrypt", "--key-file"]).0, 0);
    assert_eq!(user.call().0, 0);
}

#[test]
fn approvals_of_the_python_fork_are_taken_in_and_ask_again() {
    let user = User::new();
    let fork = user.home.path().join("fork");
    std::fs::create_dir(&fork).unwrap();
    std::fs::write(fork.join(".key"), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    std::fs::write(fork.join("e33637ee6376db00.approval"), TOKEN).unwrap();
    std::fs::write(fork.join("0000000000000000.approval"), TOKEN).unwrap();
    let path = fork.to_str().unwrap();
    let import = ["approvals", "import", "--from", "python-fork", path];
    assert_eq!(user.json(&import).0, 1, "the fork's records name no server");
    let (exit, done) = user.json(&[&import[..], &["--server", "pkg:cargo/weather"]].concat());
    assert_eq!((exit, &done["data"]["added"][0]), (0, &Value::from("get_weather")));
    assert_eq!(done["data"]["faults"].as_array().unwrap().len(), 1);
    let (_, listed) = user.json(&["approvals", "list"]);
    let record = &listed["data"]["approvals"][0];
    assert_eq!(
        (&record["reason"], &record["key"]["server"]),
        (&Value::from("IMPORTED"), &Value::from("stdio:pkg:cargo/weather"),)
    );
}

const TOKEN: &str = "gAAAAABpVzWlAAECAwQFBgcICQoLDA0OD5CusMx1Zf26_iLNx61aC0W0baTVLHtsdic9qJJfSQaoewfoZVdtoyNSD0YfnSo_SLH6kf7J9M7UZQ1MkwexOMPzzYJbx6tYhf8NfO6s7fwVD6AYYODeR9H_8JBChONzsN8TJDSg2FhDrgl783Lbflg73qVOseeRQZzPTPrm-AAaSBTJhl1Vl93HDRWpPISCHm-TSSF5ub-Z1GGm35upNy1pBt5jwBl2ResoUEz5G1AW4-kjqKfXCx8wJMvuP8bimxAy1C6To3ea_vyf0QLRHTnvg-8x6wrbmBxhroGiyRYhJtjzqhUJxW4FAS1qRGiqVU-v_SSxFEGjRj4AaM5Vymwc6MatZhgj1wUIZKVX8Z0gBVFgZvXEV_UD4UwJ67q4KgOdQfK-9cEua3iMjlADoIBNTeBArvJKyWCqyHL7UXL5d_mMH57HdfOXd4oJQKdTQud3vGh2XdittDd7aVEQNjYnZmrRcYEHytFNL6GdVcCDiiJTRoVfxIU9ZVbDnxzhHA==";

/// What a program of the user's does with settings that name no place, for the test below, which
/// runs it in a user's environment.
#[test]
#[ignore = "run by the test below, in a user's environment"]
fn a_program_with_settings() {
    let passphrase = std::env::var("ETDI_PASSPHRASE").ok();
    let mut config = etdi::config::EtdiClientConfig::default();
    config.storage_config.encryption_enabled = std::env::var_os("IN_THE_CLEAR").is_none();
    let builder = config.builder(passphrase.map(|text| Protection::passphrase(text.as_str())));
    let client = builder.unwrap_or_else(|error| panic!("{error}")).build();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let called = runtime.block_on(async {
        client.connect_to_server([ETDI, "__demo-server", "weather"], "weather").await?;
        let id: etdi::ToolId = "weather/weather_today".parse().unwrap();
        client.invoke_tool(&id, &serde_json::json!({"city": "Oslo"})).await
    });
    called.unwrap_or_else(|error| panic!("{error}"));
}

/// A user has one store: what the command approves and withdraws counts in programs, and a program
/// notices an old copy as the command does.
#[test]
fn the_command_and_programs_share_the_approvals() {
    let with = |user: &User, variable: Option<&str>| {
        let mut command = user.command(std::env::current_exe().unwrap().to_str().unwrap());
        command.envs(variable.map(|name| (name, "1")));
        let words = ["--exact", "a_program_with_settings", "--ignored", "--nocapture"];
        let output = command.args(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    };
    let program = |user: &User| with(user, None);
    // Without anything chosen they share the key as well.
    let mut user = User::new();
    assert!(program(&user).unwrap_err().contains("has not been approved"));
    user.approve();
    program(&user).unwrap();
    // The backup that the program made opens by that key too.
    let backups = std::fs::read_dir(user.home.path().join("etdi/approvals.backup")).unwrap();
    let mut backups = backups.map(|file| file.unwrap().path().display().to_string());
    let backup = backups.find(|path| path.ends_with(".etdi")).unwrap();
    user.allow();
    assert_eq!(user.json(&["approvals", "remove", "weather_today"]).0, 0);
    assert_eq!(user.json(&["approvals", "import", &backup]).1["data"]["added"], 1);
    assert_eq!(user.call().0, 0);
    // What a program keeps beside the approvals goes with them when they are protected otherwise.
    let home = user.home.path().join("etdi");
    let key = KeyFile::open(home.join("state"), "store").unwrap().key().unwrap().unwrap();
    let secrets = |protection| SecretStore::open(home.join("secrets"), protection);
    secrets(Protection::key(key.clone())).unwrap().put("a", &Secret::from("b")).unwrap();
    user.passphrase = Some("p");
    assert_eq!(user.json(&["approvals", "encrypt"]).0, 0);
    assert!(secrets(Protection::key(key.clone())).is_err());
    assert!(secrets(Protection::passphrase("p")).unwrap().get("a").unwrap().is_some());
    program(&user).unwrap();
    // What was cut off between the two is finished, and what is protected otherwise is told of.
    let encrypt =
        || user.json(&["approvals", "encrypt", "--key-file"]).1["data"]["secrets"].clone();
    secrets(Protection::passphrase("p")).unwrap().protect(Protection::key(key.clone())).unwrap();
    assert_eq!(encrypt(), true);
    assert!(secrets(Protection::key(key.clone())).unwrap().get("a").unwrap().is_some());
    assert_eq!(user.json(&["approvals", "encrypt"]).1["data"]["secrets"], true);
    secrets(Protection::passphrase("p")).unwrap().protect(Protection::passphrase("q")).unwrap();
    assert_eq!(encrypt(), false);
    secrets(Protection::passphrase("q")).unwrap().protect(Protection::passphrase("p")).unwrap();
    assert_eq!(user.json(&["approvals", "encrypt"]).0, 0);

    let mut user = User::new();
    // Looking makes a store that is sealed by a key file, with nothing in it.
    assert_eq!(user.json(&with_weather(&["list"])).0, 0);
    user.passphrase = Some("p");
    assert!(program(&user).unwrap_err().contains("has not been approved"));
    user.approve();
    user.allow();
    program(&user).unwrap();
    assert_eq!(user.json(&["approvals", "revoke", "weather_today"]).0, 0);
    assert!(program(&user).unwrap_err().contains("withdrawn"));

    let (store, old) = (user.home.path().join("etdi/approvals"), user.home.path().join("old"));
    user.approve();
    copy(&store, &old);
    assert_eq!(user.json(&["approvals", "revoke", "weather_today"]).0, 0);
    copy(&old, &store);
    assert!(program(&user).unwrap_err().contains("old copy"));

    // Nor are approvals in the clear believed where encrypted ones were.
    std::fs::remove_dir_all(&store).unwrap();
    user.passphrase = None;
    assert!(with(&user, Some("IN_THE_CLEAR")).unwrap_err().contains("encryption_enabled"));
}

/// Settings and the command open the same store by the same key, and each refuses an old copy that
/// the other has written after.
#[test]
fn settings_open_the_store_of_the_command() {
    use etdi::config::EtdiClientConfig;
    let mut user = User::new();
    user.passphrase = Some("correct horse");
    user.approve();
    let home = user.path("etdi");
    let open = |passphrase: Option<&'static str>| {
        let mut config = EtdiClientConfig::default();
        config.audit.enabled = false;
        let builder = config.builder_from(None, |name| match name {
            "ETDI_HOME" => Some(home.clone()),
            "ETDI_PASSPHRASE" => passphrase.map(str::to_owned),
            _ => None,
        });
        builder.map(etdi::EtdiClientBuilder::build).map_err(|error| error.to_string())
    };
    assert!(open(None).unwrap_err().contains("is encrypted by the passphrase: set `ETDI_PASS"));
    assert!(open(Some("wrong")).is_err());
    let client = open(user.passphrase).unwrap();
    let approvals = now(client.approvals().list()).unwrap().approvals;
    assert_eq!(approvals[0].key.tool, "weather_today");

    let (store, old) = (user.home.path().join("etdi/approvals"), user.home.path().join("old"));
    copy(&store, &old);
    now(client.approvals().remove(&approvals[0].key, approvals[0].generation)).unwrap();
    assert_eq!(user.call(), (6, "NOT_APPROVED".to_owned()));
    copy(&store, &user.home.path().join("newest"));
    copy(&old, &store);
    assert_eq!(user.call(), (6, "STORE_FAILED".to_owned()), "what settings wrote is not undone");
    assert!(open(user.passphrase).unwrap_err().contains("old copy"));

    copy(&user.home.path().join("newest"), &store);
    copy(&store, &old);
    user.approve();
    copy(&old, &store);
    assert!(open(user.passphrase).unwrap_err().contains("old copy"), "what the command wrote");
}

/// The futures of a file store are done when they are polled.
fn now<T>(future: impl Future<Output = T>) -> T {
    use std::task::{Context, Poll, Waker};
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a file store has nothing to wait for"),
    }
}

/// A publisher's word about source and interface is shown as that, and another word is asked about.
#[test]
fn what_a_publisher_claims_is_shown_as_its_claim() {
    const SOURCE: &str = "git+https://git.example/acme/notes@0a1b2c3d";
    const OTHER: &str = "git+https://git.example/mallory/notes@0a1b2c3d";
    let user = User::new();
    std::fs::create_dir(user.path("server")).unwrap();
    std::fs::write(user.path("api.yaml"), "openapi: 3.1.0\n").unwrap();
    let (server, manifest) = (user.path("server"), user.path("server/etdi.manifest.jws"));
    let target =
        ["--server", "pkg:cargo/signed-notes", "--", ETDI, "__demo-server", "notes", &server];
    assert!(user.run(&["keys", "new"]).status.success());
    let sign = |source: &str| {
        let words = [
            "sign",
            "--out",
            &manifest,
            "--source",
            source,
            "--slsa",
            "https://acme.example/slsa",
            "--contract",
            "openapi=api.yaml",
            "--contract-url",
            "https://acme.example/api.yaml",
        ];
        let (exit, signed) = user.json(&[&words[..], &target].concat());
        assert_eq!((exit, &signed["data"]["contract"]["type"]), (0, &"openapi".into()), "{signed}");
    };
    sign(SOURCE);
    let (exit, verified) = user.json(&[&["verify"][..], &target].concat());
    let claimed = &verified["data"]["tools"][0]["claimed"][0];
    assert_eq!((exit, &claimed["source"]), (0, &SOURCE.into()), "{verified}");
    assert_eq!(claimed["contract"]["url"], "https://acme.example/api.yaml");
    let text = String::from_utf8(user.run(&[&["verify"][..], &target].concat()).stdout).unwrap();
    for claim in [&format!("source {SOURCE}"), "slsa https://acme.example/slsa", "contract openapi"]
    {
        assert!(
            text.contains(&format!("says, and nobody has checked: {claim}")),
            "{claim}: {text}"
        );
    }

    // The same claims, signed elsewhere, from the list that `etdi manifest` printed.
    let claims = ["--source", SOURCE, "--slsa", "https://acme.example/slsa"];
    let words = ["manifest", "--contract", "openapi=api.yaml", "--out", &manifest];
    let listed = user.run(&[&words[..], &claims, &target[2..]].concat()).stdout;
    std::fs::write(user.path("contents.json"), &listed).unwrap();
    let elsewhere = |more: &[&str]| {
        let words = ["sign", "--contents", "contents.json", "--out", "elsewhere.jws"];
        let (exit, signed) = user.json(&[&words[..], &target[..2], more].concat());
        assert_eq!(exit, 0, "{signed}");
        signed["data"].clone()
    };
    let signed = elsewhere(&[]);
    assert_eq!(
        (&signed["source"], &signed["contract"]["type"]),
        (&SOURCE.into(), &"openapi".into())
    );
    assert_eq!(signed["slsa"], "https://acme.example/slsa");
    let signed = elsewhere(&["--source", OTHER]);
    assert_eq!(signed["source"], OTHER, "who signs has the last word");
    assert_eq!(signed["slsa"], "https://acme.example/slsa");

    assert_eq!(user.code(&[&["approve", "--yes"][..], &target].concat()).0, 0);
    sign(SOURCE.replace("0a1b", "4e5f").as_str());
    let (_, same) = user.json(&[&["list"][..], &target].concat());
    assert_eq!(same["data"]["tools"][0]["status"], "APPROVED", "{same}");
    sign(OTHER);
    let (_, other) = user.json(&[&["list"][..], &target].concat());
    let tool = &other["data"]["tools"][0];
    assert_eq!(tool["status"], "PROVENANCE_CHANGED", "{other}");
    let change = &tool["refusal"]["changes"]["changes"][0];
    assert_eq!((&change["path"], &change["after"]), (&"prov.src".into(), &OTHER.into()));
}
