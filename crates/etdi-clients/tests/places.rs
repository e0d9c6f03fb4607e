//! Where the files of clients are, on each system and with each variable that moves them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::ffi::OsString;

use etdi_clients::{Client, Places, Scope, System, known};

fn places(system: System, variables: &'static [(&'static str, &'static str)]) -> Places {
    Places::new(system, "/work", move |name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| OsString::from(*value))
    })
}

fn user(places: &Places, client: &str) -> String {
    let file = Client::find(client).unwrap().file(places, Scope::User).unwrap();
    file.path.to_string_lossy().replace('\\', "/")
}

#[test]
fn each_system_has_its_places() {
    let linux = places(System::Linux, &[("HOME", "/h")]);
    let mac = places(System::Mac, &[("HOME", "/h")]);
    let windows = places(System::Windows, &[("USERPROFILE", "/u"), ("APPDATA", "/r")]);
    let support = "Library/Application Support";
    for (client, on_linux, on_mac, on_windows) in [
        (
            "claude-desktop",
            "/h/.config/Claude/claude_desktop_config.json".to_owned(),
            format!("/h/{support}/Claude/claude_desktop_config.json"),
            "/r/Claude/claude_desktop_config.json",
        ),
        (
            "vscode",
            "/h/.config/Code/User/mcp.json".to_owned(),
            format!("/h/{support}/Code/User/mcp.json"),
            "/r/Code/User/mcp.json",
        ),
        (
            "zed",
            "/h/.config/zed/settings.json".to_owned(),
            "/h/.config/zed/settings.json".to_owned(),
            "/r/Zed/settings.json",
        ),
        (
            "goose",
            "/h/.config/goose/config.yaml".to_owned(),
            "/h/.config/goose/config.yaml".to_owned(),
            "/r/Block/goose/config/config.yaml",
        ),
        (
            "cursor",
            "/h/.cursor/mcp.json".to_owned(),
            "/h/.cursor/mcp.json".to_owned(),
            "/u/.cursor/mcp.json",
        ),
    ] {
        assert_eq!(user(&linux, client), on_linux);
        assert_eq!(user(&mac, client), on_mac);
        assert_eq!(user(&windows, client), on_windows);
    }
    assert_eq!((known(System::Linux).count(), known(System::Windows).count()), (15, 16));
}

#[test]
fn variables_move_files() {
    let moved = places(
        System::Linux,
        &[
            ("HOME", "/h"),
            ("XDG_CONFIG_HOME", "/x"),
            ("CODEX_HOME", "/codex"),
            ("CLAUDE_CONFIG_DIR", "/claude"),
            ("COPILOT_HOME", "/copilot"),
            ("GEMINI_CLI_HOME", "/gemini"),
            ("OPENCODE_CONFIG", "/open.json"),
        ],
    );
    for (client, path) in [
        ("claude-desktop", "/x/Claude/claude_desktop_config.json"),
        ("codex", "/codex/config.toml"),
        ("claude-code", "/claude/.claude.json"),
        ("copilot", "/copilot/mcp-config.json"),
        ("gemini", "/gemini/.gemini/settings.json"),
        ("opencode", "/open.json/"),
    ] {
        assert_eq!(user(&moved, client).trim_end_matches('/'), path.trim_end_matches('/'));
    }
    let relative = places(System::Linux, &[("HOME", "/h"), ("XDG_CONFIG_HOME", "x")]);
    assert_eq!(user(&relative, "zed"), "/h/.config/zed/settings.json");
    let codex = Client::find("codex").unwrap();
    let files = codex.files(&moved);
    assert_eq!(files.len(), 2, "the usual place does not count beside that of the variable");
    assert!(
        codex.files(&places(System::Linux, &[])).iter().all(|file| file.scope == Scope::Project)
    );
}

#[test]
fn what_is_there_is_preferred_and_a_pattern_finds_folders() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join(".config");
    std::fs::create_dir_all(config.join("opencode")).unwrap();
    std::fs::write(config.join("opencode/opencode.jsonc"), "{}").unwrap();
    std::fs::create_dir_all(config.join("Code/User/profiles/b")).unwrap();
    std::fs::create_dir_all(config.join("Code/User/profiles/a")).unwrap();
    let path = home.path().to_owned();
    let places = Places::new(System::Linux, "/work", move |name| {
        (name == "HOME").then(|| path.clone().into_os_string())
    });
    assert!(user(&places, "opencode").ends_with("opencode.jsonc"));
    let code = Client::find("code").unwrap();
    let profiles = code
        .files(&places)
        .iter()
        .filter(|file| file.path.to_string_lossy().contains("profiles"))
        .count();
    assert_eq!(profiles, 2);
    assert!(code.is_present(&places) && !Client::find("cursor").unwrap().is_present(&places));
}
