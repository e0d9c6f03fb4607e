//! What a user has set in the environment, under what is typed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

use std::path::Path;
use std::process::Command;

const ETDI: &str = env!("CARGO_BIN_EXE_etdi");

/// The level and the file of settings that a user has in the environment, under what is typed.
#[test]
fn the_environment_says_how_strict_to_be_unless_an_option_does() {
    let user = tempfile::tempdir().unwrap();
    let file = user.path().join("settings.json");
    std::fs::write(&file, r#"{"security_level": "strict", "trust": {}}"#).unwrap();
    let approve = |level: Option<&str>, path: Option<&Path>, words: &[&str]| {
        let mut command = Command::new(ETDI);
        command.args(["approve", "--json", "--yes"]).args(words).arg("--").args([
            ETDI,
            "__demo-server",
            "weather",
        ]);
        // Nothing of one attempt is there for the next.
        command.env("ETDI_HOME", tempfile::tempdir().unwrap().path().join("etdi"));
        command.envs(level.map(|level| ("ETDI_SECURITY_LEVEL", level)));
        command.envs(path.map(|path| ("ETDI_CONFIG_PATH", path)));
        let output = command.current_dir(user.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (approved, refused) = (Some(0), Some(6));
    for (level, path, words, expected) in [
        (None, None, &[][..], approved),
        (Some("strict"), None, &[], refused),
        (Some("strict"), None, &["--level", "basic"], approved),
        (None, Some(&*file), &[], refused),
        (Some("basic"), Some(&*file), &[], approved),
        (None, Some(&*file), &["--level", "basic"], approved),
        (Some("basic"), Some(&*file), &["--level", "strict"], refused),
        (Some(""), None, &[], approved),
    ] {
        let (exit, said) = approve(level, path, words);
        assert_eq!(exit, expected, "{level:?} {path:?} {words:?}: {said}");
    }
    let (exit, said) = approve(Some("very"), None, &[]);
    assert!(exit == Some(1) && said.contains("ETDI_SECURITY_LEVEL"), "{said}");
    std::fs::write(&file, r#"{"securty_level": "basic"}"#).unwrap();
    let (exit, said) = approve(None, Some(&file), &[]);
    assert!(exit == Some(1) && said.contains("did you mean"), "{said}");
}
