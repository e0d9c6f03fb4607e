//! `install`, `discover`, `configs`, `uninstall` and `undo`, as a user with a fresh home meets them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

const ETDI: &str = env!("CARGO_BIN_EXE_etdi");
const WEATHER: [&str; 4] = ["--", ETDI, "__demo-server", "weather"];

struct User(tempfile::TempDir);

impl User {
    fn new() -> Self {
        let user = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(user.path("project")).unwrap();
        user
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap()
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(ETDI);
        command.args(words).current_dir(self.path("project")).env_clear();
        command.env("HOME", self.0.path()).env("PATH", "/usr/bin:/bin").output().unwrap()
    }

    fn json(&self, words: &[&str]) -> (i32, Value) {
        let (verb, rest) = words.split_first().unwrap();
        let output = self.run(&[&[*verb, "--json"], rest].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), serde_json::from_str(&text).unwrap())
    }

    /// Every file below the home, but those of `etdi` itself.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut folders = vec![self.0.path().to_owned()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true if path.ends_with(".local") => {}
                    true => folders.push(path),
                    false => files.push((path.clone(), std::fs::read(&path).unwrap())),
                }
            }
        }
        files.sort();
        files
    }
}

const CURSOR: &str = "{\n  // my servers\n  \"mcpServers\": {\n    \"old\": { \"command\": \"true\", \"mine\": 1.50 }, // keep\n  }\n}\n";

#[test]
fn a_server_is_installed_found_asked_and_taken_out() {
    let user = User::new();
    user.write(".cursor/mcp.json", CURSOR);
    let before = user.files();
    let words = [
        "install",
        "cursor",
        "codex",
        "goose",
        "claude-desktop",
        "--name",
        "weather",
        "-v",
        "LEVEL=2",
    ];
    let (exit, said) = user.json(&[&words[..], &WEATHER].concat());
    assert_eq!(exit, 0, "{said}");
    assert_eq!(said["data"]["server"]["status"], "answered");
    assert_eq!(said["data"]["server"]["tools"], json!(["weather_today"]));
    let with = user.text(".cursor/mcp.json");
    let entry = format!(
        "\n    \"weather\": {{\n      \"command\": \"{ETDI}\",\n      \"args\": [\"__demo-server\", \"weather\"],\n      \"env\": {{\n        \"LEVEL\": \"2\"\n      }}\n    }},"
    );
    assert_eq!(with, CURSOR.replace("// keep", &format!("// keep{entry}")));
    assert!(user.text(".codex/config.toml").contains("[mcp_servers.weather.env]\nLEVEL = \"2\"\n"));
    assert!(user.text(".config/goose/config.yaml").contains("  weather:\n"));

    let (_, configs) = user.json(&["configs"]);
    let configs = configs["data"]["configs"].as_array().unwrap();
    assert_eq!(configs.len(), 4, "{configs:?}");
    assert_eq!(configs[1]["servers"], 2, "{configs:?}");

    let (exit, found) = user.json(&["discover"]);
    assert_eq!((exit, found["data"]["of"].as_u64()), (0, Some(5)), "{found}");
    for client in ["cursor", "codex", "goose", "claude-desktop"] {
        let target = format!("{client}:weather");
        let (exit, listed) = user.json(&["list", &target]);
        assert_eq!(exit, 0, "{listed}");
    }
    // The same again changes nothing.
    let (exit, again) = user.json(&[&words[..], &WEATHER].concat());
    assert_eq!((exit, &again["data"]["change"]), (0, &Value::Null));

    let (exit, said) = user.json(&["uninstall", "--all", "weather"]);
    assert_eq!((exit, said["data"]["files"].as_array().unwrap().len()), (0, 4), "{said}");
    assert_eq!(user.text(".cursor/mcp.json"), CURSOR);
    let (exit, said) = user.json(&["uninstall", "--all", "weather"]);
    assert_eq!((exit, said["error"]["code"].as_str()), (1, Some("NO_SUCH_SERVER")));

    // Both changes are taken back, and nothing is left of them.
    let (_, listed) = user.json(&["undo", "--list"]);
    assert_eq!(listed["data"]["changes"].as_array().unwrap().len(), 8);
    assert_eq!(user.json(&["undo"]).0, 0);
    assert_eq!(user.text(".cursor/mcp.json"), with);
    assert_eq!(user.json(&["undo"]).0, 0);
    assert_eq!(user.files(), before);
    let (exit, said) = user.json(&["undo"]);
    assert_eq!(exit, 1, "{said}");
}

#[test]
fn nothing_is_written_for_a_server_that_does_not_work_or_a_dry_run() {
    let user = User::new();
    user.write(".cursor/mcp.json", CURSOR);
    let before = user.files();
    for (words, exit, code) in [
        (&["install", "cursor", "--", "/bin/false"][..], 4, "NOT_STARTED"),
        (&["install", "cursor", "--", "no-such-program"], 4, "NOT_STARTED"),
        (&["install", "cursor", "--name", "old", "--", "/bin/sh"], 1, "NOT_INSTALLED"),
        (&["install", "cursr", "--", "/bin/sh"], 1, "usage"),
        (&["install", "cursor"], 1, "usage"),
        (&["install", "claude-desktop", "https://mcp.acme.example/mcp"], 1, "NOT_INSTALLED"),
        (&["install", "cursor", "-v", "=1", "--", "/bin/sh"], 1, "usage"),
    ] {
        let (found, said) = user.json(words);
        assert_eq!(
            (found, said["error"]["code"].as_str()),
            (exit, Some(code)),
            "{words:?}: {said}"
        );
        assert_eq!(user.files(), before, "{words:?}");
    }
    let words = [
        "install",
        "cursor",
        "codex",
        "--dry-run",
        "--name",
        "weather",
        "-v",
        "API_TOKEN=very-secret-1",
    ];
    let output = user.run(&[&words[..], &WEATHER].concat());
    let text =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("+    \"weather\": {") && text.contains("+[mcp_servers.weather]"),
        "{text}"
    );
    assert!(text.contains("`API_TOKEN` looks like a secret"), "{text}");
    assert!(!text.contains("very-secret-1"), "{text}");
    assert_eq!(user.files(), before);

    user.write(".cursor/mcp.json", "{\n  \"mcpServers\": {\n}");
    let (exit, said) = user.json(&["install", "cursor", "--no-start", "--", "/bin/sh"]);
    assert_eq!((exit, said["error"]["code"].as_str()), (1, Some("CONFIG_BROKEN")), "{said}");
    assert_eq!(user.text(".cursor/mcp.json"), "{\n  \"mcpServers\": {\n}");
}

/// What the shell of the user has does not help a program of the desktop.
#[test]
fn a_server_is_started_with_the_environment_of_its_client() {
    let user = User::new();
    user.write("bin/weather", &format!("#!/bin/sh\n[ \"$SHELL_ONLY\" = \"$WANTED\" ] || exit 9\nexec {ETDI} __demo-server weather\n"));
    let script = user.path("bin/weather");
    std::os::unix::fs::PermissionsExt::set_mode(
        &mut std::fs::metadata(&script).unwrap().permissions(),
        0o755,
    );
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let script = script.to_str().unwrap();
    let install = |client: &str, more: &[&str]| {
        let mut command = Command::new(ETDI);
        command
            .args(["install", "--json", client, "-v", "WANTED=x"])
            .args(more)
            .args(["--", script]);
        command.current_dir(user.path("project")).env_clear();
        command.env("HOME", user.0.path()).env("PATH", "/usr/bin:/bin").env("SHELL_ONLY", "x");
        command.output().unwrap().status.code()
    };
    assert_eq!(install("codex", &[]), Some(0), "it is started from the shell");
    assert_eq!(install("cursor", &[]), Some(4), "it is started from the desktop");
    assert_eq!(install("cursor", &["-v", "SHELL_ONLY=x"]), Some(0));
}

#[test]
fn what_is_wrong_behind_a_guard_is_found() {
    let user = User::new();
    let guarded = |words: &[&str]| {
        let words = [&["guard", "--level", "basic"], words].concat();
        json!({"command": env!("CARGO_BIN_EXE_etdi"), "args": words})
    };
    user.write(
        ".cursor/mcp.json",
        &json!({"mcpServers": {
            "one": {"command": "/bin/sh", "args": ["-c", "one"]},
            "again": guarded(&["--", "/bin/sh", "-c", "one"]),
            "gone": guarded(&["--", "/nowhere/server"]),
            "script": guarded(&["--", "sh", "/nowhere/server.sh"]),
            "plain": guarded(&["--url", "http://mcp.acme.example/mcp"]),
            "odd": guarded(&["--no-such-option", "--", "sh"]),
            "well": guarded(&["--", "/bin/sh", "-c", "other"]),
        }})
        .to_string(),
    );
    let (_, found) = user.json(&["discover"]);
    let server = |name: &str| {
        let servers = found["data"]["servers"].as_array().unwrap();
        servers.iter().find(|one| one["target"] == format!("cursor:{name}")).unwrap()
    };
    for (name, code) in [
        ("again", "DUPLICATE"),
        ("gone", "NO_PROGRAM"),
        ("script", "NO_SCRIPT"),
        ("plain", "IN_THE_CLEAR"),
        ("odd", "GUARD_UNREADABLE"),
    ] {
        assert_eq!(server(name)["problems"][0]["code"], code, "{name}: {}", server(name));
        assert_eq!(server(name)["guarded"], true);
    }
    assert_eq!(server("well")["problems"], json!([]), "{}", server("well"));
    assert_eq!(server("one")["guarded"], false);
}

#[test]
fn what_is_wrong_is_found_and_no_secret_is_shown() {
    let user = User::new();
    let secret = "ghp_0123456789abcdef0123";
    user.write(
        ".cursor/mcp.json",
        &json!({"mcpServers": {
            "gone": {"command": "/nowhere/server"},
            "leaky": {"command": "/bin/sh", "args": ["--token", secret], "env": {"GITHUB_TOKEN": secret}},
            "again": {"command": "sh", "args": ["--token", secret], "env": {"GITHUB_TOKEN": secret}},
            "plain": {"url": "http://mcp.acme.example/mcp"},
            "unset": {"command": "sh", "env": {"KEY": "${env:NOT_SET_HERE}"}},
            "odd": {"command": 7},
        }})
        .to_string(),
    );
    user.write(
        ".config/Claude/claude_desktop_config.json",
        "{\n  \"mcpServers\": {\n    \"a\": {,}\n  }\n}",
    );
    user.write(".codeium/windsurf/mcp_config.json", "{\n  // no\n  \"mcpServers\": {}\n}");
    user.write("project/.mcp.json", r#"{"mcpServers": {"x": {"command": "sh"}}}"#);
    user.write(".claude.json", r#"{"mcpServers": {"x": {"command": "bash"}}}"#);
    let (exit, found) = user.json(&["discover"]);
    assert_eq!(exit, 0, "{found}");
    let codes = |target: &str| {
        let servers = found["data"]["servers"].as_array().unwrap();
        let server = servers.iter().find(|one| one["target"] == target).unwrap();
        let codes = server["problems"].as_array().unwrap().iter();
        codes.map(|one| one["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(codes("cursor:gone"), ["NO_PROGRAM"]);
    assert_eq!(codes("cursor:leaky"), ["SECRET_IN_CLEAR"]);
    assert_eq!(codes("cursor:plain"), ["IN_THE_CLEAR"]);
    assert_eq!(codes("cursor:unset"), ["VARIABLE_NOT_SET"]);
    assert_eq!(codes("cursor:odd"), ["UNREADABLE"]);
    assert_eq!(found["data"]["broken_files"], 1);
    let files = found["data"]["files"].as_array().unwrap();
    let claude = files.iter().find(|one| one["client"] == "claude-desktop").unwrap();
    assert_eq!(claude["line"], 3, "{claude}");
    let windsurf = files.iter().find(|one| one["client"] == "windsurf").unwrap();
    assert!(windsurf["note"].is_string(), "{windsurf}");
    let servers = found["data"]["servers"].as_array().unwrap();
    let hidden = servers.iter().find(|one| one["scope"] == "user" && one["name"] == "x").unwrap();
    assert_eq!(hidden["problems"][0]["code"], "HIDDEN");

    let output = user.run(&["discover"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(secret) && !found.to_string().contains(secret), "{text}");
    assert!(text.contains("broken line 3: "), "{text}");
    assert_eq!(user.json(&["discover", "--problems"]).0, 6);
    assert_eq!(user.json(&["discover", "codex", "--problems"]).0, 0);
}

#[test]
fn undo_keeps_what_others_wrote_since() {
    let user = User::new();
    user.write(".cursor/mcp.json", CURSOR);
    let install = ["install", "cursor", "--no-start", "--name", "n", "--", "/bin/sh"];
    assert_eq!(user.json(&install).0, 0);
    let since = user.text(".cursor/mcp.json").replace("// my servers", "// our servers");
    user.write(".cursor/mcp.json", &since);
    let (exit, said) = user.json(&["undo"]);
    assert_eq!((exit, said["data"]["files"][0]["outcome"].as_str()), (0, Some("mended")), "{said}");
    assert_eq!(user.text(".cursor/mcp.json"), CURSOR.replace("// my", "// our"));
}

/// A secret that is only referred to stays where it is when its entry is copied.
#[test]
fn a_reference_is_copied_as_one() {
    let user = User::new();
    let entry = json!({"mcpServers": {"sky": {
        "command": ETDI, "args": ["__demo-server", "${env:SKY_ROLE}"], "env": {"SKY_TOKEN": "x ${env:SKY_TOKEN}"},
    }}});
    user.write(".cursor/mcp.json", &entry.to_string());
    let mut command = Command::new(ETDI);
    command.args(["install", "gemini", "opencode", "cursor:sky"]).current_dir(user.path("project"));
    command.env_clear().env("HOME", user.0.path()).env("PATH", "/usr/bin:/bin");
    command.env("SKY_TOKEN", "very-secret-1").env("SKY_ROLE", "weather");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(user.text(".gemini/settings.json").contains("\"SKY_TOKEN\": \"x ${SKY_TOKEN}\""));
    assert!(user.text(".gemini/settings.json").contains("\"${SKY_ROLE}\""));
    assert!(
        user.text(".config/opencode/opencode.json")
            .contains("\"SKY_TOKEN\": \"x {env:SKY_TOKEN}\"")
    );
    for (path, text) in user.files() {
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains("very-secret"), "{}", path.display());
    }
}

/// `npx` and its like look for their interpreter in the `PATH`, which clients of the desktop do not
/// have from the user's shell.
#[test]
fn a_script_finds_its_interpreter_in_a_client_of_the_desktop() {
    let user = User::new();
    let executable = |path: &str, text: &str| {
        user.write(path, text);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(user.path(path), mode).unwrap();
    };
    executable("node/bin/our-node", &format!("#!/bin/sh\nexec {ETDI} __demo-server weather\n"));
    executable("node/bin/our-npx", "#!/usr/bin/env our-node\n");
    let mut command = Command::new(ETDI);
    command.args(["install", "cursor", "codex", "--", "our-npx", "-y", "some-server"]);
    command.current_dir(user.path("project")).env_clear().env("HOME", user.0.path());
    let bin = user.path("node/bin");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let output = command.env("PATH", path).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let cursor = user.text(".cursor/mcp.json");
    assert!(
        cursor.contains(&format!("\"command\": \"{}\"", bin.join("our-npx").display())),
        "{cursor}"
    );
    assert!(cursor.contains(&format!("\"PATH\": \"{}:", bin.display())), "{cursor}");
    let codex = user.text(".codex/config.toml");
    assert!(!codex.contains("PATH"), "one that is started from a shell has the shell's: {codex}");
}
