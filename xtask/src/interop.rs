//! `cargo xtask interop`: our server under others' clients, our client on others' servers.
//!
//! Installs what `tests/interop` pins under `target/interop`, builds both ends in release and the
//! server of the README outside the workspace, and runs every suite of [`suites`]. A suite that
//! cannot run fails; leaving all of it out needs
//! `MCP_INTEROP=skip`. A suite's program exits 0 only when nothing failed and closes with
//! `N passed, M failed`; both are held against each other.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::process::{capture, clip, finish};
use crate::tools::Tools;

pub(crate) mod outsider;

/// Runs all suites from the workspace's root folder.
///
/// # Errors
///
/// What could not be installed or built, or the names of the suites that failed.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    match env::var("MCP_INTEROP").as_deref() {
        Ok("skip") => {
            println!("interop: skipped, because MCP_INTEROP=skip");
            return Ok(());
        }
        Ok("") | Err(_) => {}
        Ok(other) => return Err(format!("`MCP_INTEROP={other}` means nothing; use `skip`")),
    }
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let tools = Tools::install(&root.join("tests/interop"), &target.join("interop"))?;
    println!("interop: building our server, our client and `etdi` in release");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let ends = ["-p", "examples", "--example", "interop_server", "--example", "interop_client"];
    for what in [ends.as_slice(), &["-p", "etdi-cli", "--bin", "etdi"]] {
        let mut build = Command::new(&cargo);
        finish(build.current_dir(root).args(["build", "--release", "--quiet"]).args(what))?;
    }
    println!("interop: building the server of the README outside the workspace");
    let outsider = outsider::Outsider::write(root, &tools.cache)?.build(&cargo, false)?;

    let (mut passed, mut failed, mut names) = (0, 0, Vec::new());
    for suite in suites(&tools, &target.join("release"), &outsider) {
        let started = Instant::now();
        let verdict = suite.judge(&tools.cache.join("etdi"));
        let seconds = started.elapsed().as_secs_f64();
        match verdict {
            Ok(line) => {
                passed += 1;
                println!("interop: ok   {:<44} {line} ({seconds:.1} s)", suite.name);
            }
            Err(why) => {
                failed += 1;
                println!("interop: FAIL {:<44} ({seconds:.1} s)\n{why}", suite.name);
                names.push(suite.name);
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if names.is_empty() {
        Ok(())
    } else {
        Err(format!("interoperability failed: {}", names.join("; ")))
    }
}

/// One program, and what it must do.
struct Suite {
    name: String,
    command: Vec<PathBuf>,
    must: Must,
}

enum Must {
    /// Exit 0 and close with `N passed, 0 failed`.
    Pass,
    /// Exit 1 and close with `N passed, M failed`: shows that the program can fail.
    Fail,
    /// Exit 0 and print this.
    Print(&'static str),
}

fn suites(tools: &Tools, release: &Path, outsider: &Path) -> Vec<Suite> {
    let server = vec![release.join("examples/interop_server")];
    let ours = vec![release.join("examples/interop_client")];
    let clients = [
        ("the Python client", vec![tools.python.clone(), tools.sources.join("python/client.py")]),
        ("the TypeScript client", tools.node_program("client.mjs")),
        ("the Inspector", tools.node_program("inspector.mjs")),
        ("our client", ours.clone()),
    ];
    let servers = [
        ("the Python server", vec![tools.python.clone(), tools.sources.join("python/server.py")]),
        ("the TypeScript server", tools.node_program("server.mjs")),
    ];
    let wrong = vec![tools.python.clone(), tools.sources.join("python/wrong_server.py")];
    let files = tools.cache.join("files");
    let everything = tools.published("server-everything", OsStr::new("stdio"));
    let filesystem = tools.published("server-filesystem", files.as_os_str());
    let etdi = vec![release.join("etdi")];

    let mut suites = Vec::new();
    let mut add =
        |name: String, program: &[PathBuf], options: &[&str], target: &[PathBuf], must| {
            suites.push(Suite { name, command: join(program, options, target), must });
        };
    for (name, program) in &clients {
        add(format!("{name} can fail"), program, &[], &wrong, Must::Fail);
        add(format!("{name} on our server"), program, &[], &server, Must::Pass);
    }
    for (name, program) in &servers {
        for era in ["legacy", "modern"] {
            let options = ["--era", era];
            add(format!("our client on {name}, {era}"), &ours, &options, program, Must::Pass);
        }
    }
    for (name, target) in [("everything", &everything), ("filesystem", &filesystem)] {
        let options = ["--era", "auto", "--server", name];
        add(format!("our client on server-{name}"), &ours, &options, target, Must::Pass);
    }
    let list = ["list"];
    add("etdi list, server-everything".into(), &etdi, &list, &everything, Must::Print("get-sum"));
    add(
        "etdi list, server-filesystem".into(),
        &etdi,
        &list,
        &filesystem,
        Must::Print("read_text_file"),
    );
    let call = ["call", "get-sum", "a=2", "b=3.5", "--yes"];
    add("etdi call, server-everything".into(), &etdi, &call, &everything, Must::Print("5.5"));
    let path = format!("path={}", files.join("greeting.txt").display());
    let call = ["call", "read_text_file", &path, "--yes"];
    let says = Must::Print("hello from a file");
    add("etdi call, server-filesystem".into(), &etdi, &call, &filesystem, says);
    let list = ["tools/list", "--strict"];
    let call = ["tools/call", "--tool-name", "greet", "--tool-args-json", r#"{"name":"Ada"}"#];
    for era in ["legacy", "modern"] {
        for (does, method, text) in
            [("lists", list.as_slice(), "greet"), ("calls", &call, "hello Ada")]
        {
            let mut command = tools.inspector();
            command.extend([outsider.to_owned(), "--protocol-era".into(), era.into()]);
            command
                .extend(["--format", "json", "--method"].iter().chain(method).map(PathBuf::from));
            let name = format!("the Inspector {does} the README's server, {era}");
            suites.push(Suite { name, command, must: Must::Print(text) });
        }
    }
    suites
}

/// `program options -- target`.
fn join(program: &[PathBuf], options: &[&str], target: &[PathBuf]) -> Vec<PathBuf> {
    let options = options.iter().map(PathBuf::from);
    program
        .iter()
        .cloned()
        .chain(options)
        .chain([PathBuf::from("--")])
        .chain(target.iter().cloned())
        .collect()
}

impl Suite {
    /// Runs the program; gives its closing line, or why it is not accepted.
    fn judge(&self, home: &Path) -> Result<String, String> {
        let ended = capture(&self.command, home)?;
        let closing = ended.stdout.lines().last().unwrap_or_default().trim().to_owned();
        let counts = counts(&closing);
        let accepted = match &self.must {
            Must::Pass => ended.code == Some(0) && matches!(counts, Some((1.., 0))),
            Must::Fail => ended.code == Some(1) && matches!(counts, Some((_, 1..))),
            Must::Print(text) => ended.code == Some(0) && ended.stdout.contains(text),
        };
        match (accepted, &self.must) {
            (true, Must::Print(text)) => Ok(format!("prints `{text}`")),
            (true, _) => Ok(closing),
            (false, _) => {
                let command: Vec<_> =
                    self.command.iter().map(|word| word.to_string_lossy()).collect();
                Err(format!(
                    "    {}\n    exit {:?}\n    stdout: {}\n    stderr: {}",
                    command.join(" "),
                    ended.code,
                    clip(&ended.stdout),
                    clip(&ended.stderr)
                ))
            }
        }
    }
}

/// Reads `N passed, M failed`.
fn counts(line: &str) -> Option<(u32, u32)> {
    let (passed, failed) = line.strip_suffix(" failed")?.split_once(" passed, ")?;
    Some((passed.parse().ok()?, failed.parse().ok()?))
}
