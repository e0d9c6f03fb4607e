//! Somebody who has never used the command, in a home that holds nothing, on a computer without Node and
//! Python: each step works as it is typed at first.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ETDI;
use super::dev::Spoken;
use super::terminal::Terminal;

/// What a computer has on which Rust programs are built, and nothing else.
const TOOLS: [&str; 13] = [
    "cargo", "rustc", "rustdoc", "rustup", "cc", "gcc", "clang", "ld", "ld.lld", "as", "ar", "sh",
    "env",
];

pub(crate) struct Newcomer {
    home: TempDir,
    /// Where they type.
    pub(crate) place: PathBuf,
}

impl Newcomer {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let programs = home.path().join("programs");
        std::fs::create_dir(&programs).unwrap();
        symlink(ETDI, programs.join("etdi")).unwrap();
        let folders = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect::<Vec<_>>();
        for tool in TOOLS {
            let found = folders.iter().map(|folder| folder.join(tool)).find(|path| path.is_file());
            if let Some(found) = found {
                symlink(found, programs.join(tool)).unwrap();
            }
        }
        let place = home.path().to_owned();
        Self { home, place }
    }

    fn programs(&self) -> PathBuf {
        self.home.path().join("programs")
    }

    /// The variables of a login, and what of the machine's build settings has to be the same for what
    /// was built already to count.
    fn at_home(&self, command: &mut Command) {
        command.env_clear().env("HOME", self.home.path()).env("PATH", self.programs());
        command.env("TERM", "xterm").env("CARGO_NET_OFFLINE", "true");
        command.env("CARGO_TARGET_DIR", target()).current_dir(&self.place);
        // Tools belong to the computer and not to a home.
        let home = std::env::home_dir().unwrap();
        for (name, default) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            command.env(name, std::env::var_os(name).unwrap_or(home.join(default).into()));
        }
        let kept = |name: &str| {
            let begins = ["CARGO_PROFILE_", "CARGO_INCREMENTAL", "CARGO_BUILD_", "RUSTFLAGS"];
            begins.iter().any(|begin| name.starts_with(begin)) || name == "RUSTUP_TOOLCHAIN"
        };
        for (name, value) in std::env::vars_os() {
            if name.to_str().is_some_and(kept) {
                command.env(name, value);
            }
        }
    }

    /// A line as it is typed. Quotes and the like are none of it.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut words = line.split(' ');
        let program = words.next().unwrap();
        // A program is looked up where the test runs, not where it is to run.
        let path = match program.contains('/') {
            true => PathBuf::from(program),
            false => self.programs().join(program),
        };
        let mut command = Command::new(path);
        self.at_home(&mut command);
        command.args(words);
        command
    }

    /// Types a line at a terminal; gives all that it showed, if it worked.
    #[track_caller]
    fn types(&self, line: &str) -> String {
        let (status, shown) = Terminal::start(self.command(line)).ends();
        assert!(status.success(), "{line}: {shown}");
        plain(&shown)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.path().join(name)).unwrap()
    }

    /// What Cursor starts, with a desktop's variables and not those of a terminal.
    fn as_cursor_starts_it(&self) -> Spoken {
        let config: Value = serde_json::from_str(&self.read(CURSOR)).unwrap();
        let entry = &config["mcpServers"]["hello"];
        let words = |value: &Value| {
            let words = value.as_array().unwrap().iter();
            words.map(|word| word.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let mut command = Command::new(entry["command"].as_str().unwrap());
        command.args(words(&entry["args"])).env_clear().env("HOME", self.home.path());
        command.env("PATH", "/usr/bin:/bin").current_dir("/");
        Spoken::new(&mut command)
    }
}

const CURSOR: &str = ".cursor/mcp.json";

const THREE: &str = r#"{"result":3.0}"#;
const FOUR: &str = r#"{"result":4.0}"#;

/// Where this workspace builds, so that what it has built already is not built again.
fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// What is shown, without colours.
fn plain(shown: &str) -> String {
    let mut parts = shown.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once('m').map_or(part, |(_, text)| text));
    rest.fold(first, |text, part| text + part)
}

#[test]
fn each_step_works_as_it_is_typed_at_first() {
    let mut newcomer = Newcomer::new();
    let missing = ["node", "npx", "python3"].map(|tool| newcomer.programs().join(tool));
    assert!(!missing.iter().any(|path| path.exists()));

    // `etdi` was installed from its checkout, which is where the SDK is.
    let made = newcomer.types("etdi new hello");
    assert!(made.contains("next: cd ./hello && cargo test\r\nthen: etdi dev"), "{made}");
    newcomer.place.push("hello");
    let tested = newcomer.types("cargo test");
    assert!(tested.contains("3 passed") && !tested.contains("warning"), "{tested}");
    develop(&newcomer);
    sit_at_it(&newcomer);

    let program = target().join("debug/hello");
    let installed = newcomer.types("etdi install cursor .");
    assert!(installed.contains("hello works, 1 tool: add"), "{installed}");
    let entry = |command: &Path, args: &str| {
        format!(
            "{{\n  \"mcpServers\": {{\n    \"hello\": {{\n      \"command\": \"{}\",\n      \
             \"args\": [{args}]\n    }}\n  }}\n}}\n",
            command.display()
        )
    };
    assert_eq!(newcomer.read(CURSOR), entry(&program, ""));
    let three = || json!({ "a": 1, "b": 2 });
    assert_eq!(newcomer.as_cursor_starts_it().call("add", three()), (false, THREE.to_owned()));

    let guarded = newcomer.types("etdi guard install cursor");
    assert!(guarded.contains("cursor:hello"), "{guarded}");
    let words = format!("\"guard\", \"--\", \"{}\"", program.display());
    assert_eq!(newcomer.read(CURSOR), entry(Path::new(ETDI), &words));
    approve(&newcomer);

    // Back to where it began, a step at a time.
    newcomer.types("etdi undo --yes");
    assert_eq!(newcomer.read(CURSOR), entry(&program, ""));
    assert!(newcomer.types("etdi undo").contains("gone again"));
    assert!(!newcomer.home.path().join(CURSOR).exists());
}

/// One client stays through a change of the source.
fn develop(newcomer: &Newcomer) {
    let mut client = Spoken::new(&mut newcomer.command("etdi dev"));
    assert_eq!(client.call("add", json!({ "a": 1, "b": 2 })), (false, THREE.to_owned()));
    let source = newcomer.place.join("src/lib.rs");
    let text = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, text.replace("a + b", "a + b + 1.0")).unwrap();
    client.changed();
    assert_eq!(client.call("add", json!({ "a": 1, "b": 2 })), (false, FOUR.to_owned()));
    std::fs::write(&source, text).unwrap();
    client.changed();
}

/// The same at a terminal, where there is a prompt and no client.
fn sit_at_it(newcomer: &Newcomer) {
    let mut seat = Terminal::start(newcomer.command("etdi dev --port 0"));
    seat.sees("serving 1 tools: add");
    seat.types("call add a=1 b=2\r");
    seat.sees(THREE);
    let source = newcomer.place.join("src/lib.rs");
    let text = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, text.replace("a + b", "a + b + 1.0")).unwrap();
    seat.sees("lib.rs changed");
    seat.sees(" hello v0.1.0");
    seat.sees("serving 1 tools");
    seat.types("values\r");
    seat.sees("are shown");
    seat.types("call add a=1 b=2\r");
    let shown = seat.sees(FOUR);
    assert!(shown.contains("tools/call add(a, b)  answered"), "{shown}");
    assert!(shown.contains(r#"→ {"a":1,"b":2}"#), "{shown}");
    std::fs::write(&source, "broken").unwrap();
    seat.sees("it does not build; the one before serves on");
    seat.types("status\r");
    seat.sees("serving as it was before: it does not build, at http://127.0.0.1:");
    std::fs::write(&source, text).unwrap();
    seat.sees("serving 1 tools");
    seat.types("reload\r");
    seat.sees("reloading");
    seat.sees("serving 1 tools");
    for (typed, said) in [
        ("tools", "(a, b)"),
        ("toosl", "did you mean `tools`?"),
        ("call ad a=1", "did you mean `add`?"),
        ("call add a=one b=2", "`a` of `add` must be number"),
        ("inspector", "there is no `npx` in the PATH: install Node"),
    ] {
        seat.types(&format!("{typed}\r"));
        seat.sees(said);
    }
    seat.types("quit\r");
    let (status, shown) = seat.ends();
    assert!(status.success(), "{shown}");
}

/// A stand-in says how it was started; nothing is fetched here.
#[test]
fn the_inspector_is_started_before_the_server_where_node_is() {
    use std::os::unix::fs::PermissionsExt as _;
    let newcomer = Newcomer::new();
    let dev = "etdi dev --inspector --port 0 -- etdi __demo-server weather";
    let output = newcomer.command(dev).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("install Node"), "{said}");
    let npx = newcomer.programs().join("npx");
    std::fs::write(&npx, "#!/bin/sh\necho started \"$@\"\nread -r line && echo asked\n").unwrap();
    std::fs::set_permissions(&npx, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut seat = Terminal::start(newcomer.command(dev));
    let shown = seat.sees("etdi run http://127.0.0.1:");
    assert!(shown.contains("started --yes @modelcontextprotocol/inspector /"), "{shown}");
    seat.types("\u{4}");
    let (status, shown) = seat.ends();
    assert!(status.success() && !shown.contains("asked"), "{shown}");
}

/// The client is told what to type, and that is typed.
fn approve(newcomer: &Newcomer) {
    let mut client = newcomer.as_cursor_starts_it();
    let (failed, said) = client.call("add", json!({ "a": 1, "b": 2 }));
    let advice = said
        .split_once("in a terminal of their own: ")
        .map(|(_, advice)| advice.lines().next().unwrap());
    let advice = advice.unwrap_or_else(|| panic!("no advice: {said}"));
    assert!(failed && advice.starts_with("etdi approve add -- /"), "{said}");
    let mut asked = Terminal::start(newcomer.command(advice));
    asked.sees("[y/N]");
    asked.types("y\n");
    let (status, shown) = asked.ends();
    assert!(status.success(), "{shown}");
    // The same client, which was not started anew.
    assert_eq!(client.call("add", json!({ "a": 1, "b": 2 })), (false, THREE.to_owned()));
}
