//! `cargo xtask interop`: our server under others' clients, our client on others' servers.
//!
//! Installs what `tests/interop` pins under `target/interop`, builds the examples in release,
//! and runs every suite of [`suites`]. A suite that cannot run fails; leaving all of it out needs
//! `MCP_INTEROP=skip`. A suite's program exits 0 only when nothing failed and closes with
//! `N passed, M failed`; both are held against each other.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{env, fs};

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
    println!("interop: building the examples in release");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    finish(Command::new(&cargo).current_dir(root).args([
        "build",
        "--release",
        "--quiet",
        "-p",
        "examples",
        "--examples",
    ]))?;
    finish(Command::new(&cargo).current_dir(root).args([
        "build",
        "--release",
        "--quiet",
        "-p",
        "etdi-cli",
        "--bin",
        "etdi",
    ]))?;

    let (mut passed, mut failed, mut names) = (0, 0, Vec::new());
    for suite in suites(&tools, &target.join("release")) {
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

fn suites(tools: &Tools, release: &Path) -> Vec<Suite> {
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

/// The last part of a long text.
fn clip(text: &str) -> String {
    let kept: Vec<char> = text.trim().chars().rev().take(4000).collect();
    kept.into_iter().rev().collect()
}

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs a program to its end, at most [`PATIENCE`]; `etdi` keeps what it learns under `home`.
fn capture(command: &[PathBuf], home: &Path) -> Result<Ended, String> {
    let (program, arguments) = command.split_first().ok_or("an empty command")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env("ETDI_HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start `{}`: {error}", program.display()))?;
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let deadline = Instant::now() + PATIENCE;
    let code = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status.code(),
            None if Instant::now() < deadline => thread::sleep(Duration::from_millis(20)),
            None => {
                child.kill().map_err(|error| error.to_string())?;
                child.wait().map_err(|error| error.to_string())?;
                return Err(format!(
                    "    `{}` did not end within {} s",
                    program.display(),
                    PATIENCE.as_secs()
                ));
            }
        }
    };
    Ok(Ended {
        code,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    })
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before a broken pipe is still evidence.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Interpreters and packages, installed.
struct Tools {
    sources: PathBuf,
    cache: PathBuf,
    node: PathBuf,
    python: PathBuf,
}

impl Tools {
    fn install(sources: &Path, cache: &Path) -> Result<Tools, String> {
        let python = install_python(sources, cache)?;
        let node = install_node(sources, cache)?;
        let files = cache.join("files");
        write(&files.join("greeting.txt"), b"hello from a file\n")?;
        // The published file server compares resolved paths.
        let cache = cache
            .canonicalize()
            .map_err(|error| format!("cannot resolve `{}`: {error}", cache.display()))?;
        Ok(Tools { sources: sources.to_owned(), cache, node, python })
    }

    /// A program of ours on node; it lies beside `node_modules`, where imports are looked up.
    fn node_program(&self, name: &str) -> Vec<PathBuf> {
        vec![self.node.clone(), self.cache.join("node").join(name)]
    }

    fn published(&self, name: &str, argument: &OsStr) -> Vec<PathBuf> {
        let entry = format!("node/node_modules/@modelcontextprotocol/{name}/dist/index.js");
        vec![self.node.clone(), self.cache.join(entry), argument.into()]
    }
}

fn install_python(sources: &Path, cache: &Path) -> Result<PathBuf, String> {
    let (venv, lock) = (cache.join("venv"), sources.join("python/requirements.txt"));
    let (python, stamp) = (venv.join("bin/python"), cache.join("venv/requirements.txt"));
    if !same(&lock, &stamp) {
        println!("interop: installing the Python packages");
        if venv.exists() {
            fs::remove_dir_all(&venv)
                .map_err(|error| format!("cannot remove `{}`: {error}", venv.display()))?;
        }
        finish(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        // `--no-deps`: the list is complete, so nothing that it does not name can come along.
        finish(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--no-deps", "-r"])
                .arg(&lock),
        )?;
        copy(&lock, &stamp)?;
    }
    Ok(python)
}

fn install_node(sources: &Path, cache: &Path) -> Result<PathBuf, String> {
    let (from, to) = (sources.join("node"), cache.join("node"));
    let stamp = to.join("installed.json");
    for entry in
        fs::read_dir(&from).map_err(|error| format!("cannot read `{}`: {error}", from.display()))?
    {
        let path = entry.map_err(|error| error.to_string())?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            copy(&path, &to.join(name))?;
        }
    }
    if !same(&from.join("package-lock.json"), &stamp) {
        println!("interop: installing the npm packages");
        // No package's install script runs here.
        let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        finish(Command::new("npm").current_dir(&to).args(npm))?;
        copy(&from.join("package-lock.json"), &stamp)?;
    }
    // The Inspector needs a newer node than many machines have; the lock file brings one.
    let system = match env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let machine = match env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let brought = to.join(format!("node_modules/node-{system}-{machine}/bin/node"));
    Ok(if brought.exists() { brought } else { "node".into() })
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((fs::read(one), fs::read(other)), (Ok(one), Ok(other)) if one == other)
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let bytes =
        fs::read(from).map_err(|error| format!("cannot read `{}`: {error}", from.display()))?;
    write(to, &bytes)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .map_err(|error| format!("cannot create `{}`: {error}", folder.display()))?;
    }
    fs::write(path, bytes).map_err(|error| format!("cannot write `{}`: {error}", path.display()))
}

/// Runs a program whose output the person at the terminal may see.
fn finish(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    let shown = format!("{program} {}", arguments.join(" "));
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("cannot start `{program}`: {error}; install it, or leave these tests out with MCP_INTEROP=skip"))?;
    if status.success() { Ok(()) } else { Err(format!("`{shown}` failed ({status})")) }
}

/// Longer than the slowest suite on a busy machine, the Inspector's.
const PATIENCE: Duration = Duration::from_secs(240);
