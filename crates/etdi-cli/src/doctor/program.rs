//! A server that is started: its file, its start, what it writes to standard output, the protocol.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use etdi::core::change::visible;
use etdi_clients::{Launch, Program};
use mcp_client::{Client, Error};
use mcp_types::ProtocolVersion;
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::offered::{counted, talk, us, version_fault};
use super::{Examination, Fault, Whose};
use crate::args::Target;
use crate::exit::Exit;
use crate::targets::Found;
use crate::verbs::target::{quoted, shown_target};

/// Examines a program.
pub(super) async fn examine(
    found: &Found,
    target: &Target,
    examination: &mut Examination,
) -> Result<(), Fault> {
    let Launch::Program(program) = &found.launch else {
        let advice = "name the command after `--`";
        let fault = Fault::new("program", Whose::You, "there is no command", advice);
        return Err(fault.next("etdi doctor --help"));
    };
    let path = find(program, examination)?;
    let spoken = listen(&path, program, examination).await?;
    examination.passed("stdout", spoken);
    protocol(target, &path, program, examination).await
}

/// The file that is started.
fn find(found: &Program, examination: &mut Examination) -> Result<PathBuf, Fault> {
    let (program, arguments) = (found.command.as_str(), found.args.as_slice());
    let directory = Path::new(found.cwd.as_deref().unwrap_or_default());
    examination.looking("looking for the program");
    let shown = visible(program).into_owned();
    let which = format!("which {}", quoted(program));
    let yours = |what: String, advice: String| {
        let fault = Fault::new("program", Whose::You, what, advice);
        fault.exit(Exit::Unreachable).next(which.clone())
    };
    let path = match program.contains('/') {
        true => PathBuf::from(program),
        false => {
            let own = found.env.iter().find(|(name, _)| *name == "PATH");
            let path =
                own.map(|(_, value)| value.clone().into()).or_else(|| std::env::var_os("PATH"));
            let path = path.unwrap_or_default();
            let candidates: Vec<PathBuf> =
                std::env::split_paths(&path).map(|directory| directory.join(program)).collect();
            let found = candidates.iter().find(|path| is_executable(path));
            let found = found.or_else(|| candidates.iter().find(|path| path.is_file()));
            match found {
                Some(path) => path.clone(),
                None => {
                    let what = format!("`{shown}` is in no directory of the PATH");
                    let advice = match Path::new(program).is_file() {
                        true => format!("it is in this directory: write `./{shown}`"),
                        false => {
                            "install it, or write the whole path; programs that are started from \
                                  a desktop have a shorter PATH than your shell"
                                .to_owned()
                        }
                    };
                    return Err(yours(what, advice));
                }
            }
        }
    };
    let place = visible(&path.to_string_lossy()).into_owned();
    match std::fs::metadata(&path) {
        Err(error) => {
            let what = format!("`{place}` is not there: {error}");
            return Err(yours(
                what,
                "is it built, and is this the directory that is meant?".to_owned(),
            ));
        }
        Ok(about) if about.is_dir() => {
            let advice = "name the program in it".to_owned();
            return Err(yours(format!("`{place}` is a directory"), advice));
        }
        Ok(_) if !is_executable(&path) => {
            let what = format!("`{place}` may not be executed");
            let advice =
                "a program has the permission to be executed, a script is given to its interpreter";
            let next = format!("chmod +x {}", quoted(&path.to_string_lossy()));
            let fault = Fault::new("program", Whose::You, what, advice);
            return Err(fault.exit(Exit::Unreachable).next(next));
        }
        Ok(_) => {}
    }
    // What an interpreter is to run is not looked up in the PATH.
    let script = arguments.iter().find(|word| !word.starts_with('-'));
    if let Some(script) = script.filter(|word| is_script(word) && !directory.join(word).exists()) {
        let what = format!("the file `{}` is not there", visible(script));
        let advice = "is this the directory that is meant? Write the whole path";
        let place = directory.join(script);
        let folder = place.parent().unwrap_or(directory).to_string_lossy();
        let next = format!("ls {}", quoted(if folder.is_empty() { "." } else { &folder }));
        return Err(Fault::new("program", Whose::You, what, advice)
            .exit(Exit::Unreachable)
            .next(next));
    }
    examination.passed("program", format!("`{place}` is there and can be executed"));
    Ok(path)
}

fn is_script(word: &str) -> bool {
    let endings = ["py", "js", "mjs", "cjs", "ts", "rb", "sh", "jar", "php"];
    let ending = Path::new(word).extension().and_then(|ending| ending.to_str());
    !word.contains("://") && ending.is_some_and(|ending| endings.contains(&ending))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path)
        .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// The longest line and the most lines that are read of a program before it is asked by the book.
const MOST_LINE: u64 = 4 << 20;
const MOST_LINES: usize = 1_000;
/// How many stray lines are shown, and how much of each.
const MOST_STRAYS: usize = 3;
const MOST_SHOWN: usize = 100;

/// A line on standard output that is no message.
struct Stray {
    number: usize,
    text: String,
}

/// Starts it once and looks at what it writes, line by line: connections pass over what is none of
/// the protocol, and other clients break over it.
async fn listen(
    path: &Path,
    program: &Program,
    examination: &mut Examination,
) -> Result<String, Fault> {
    examination.looking("starting it");
    let command = typed(program);
    let mut child = start(path, program).map_err(|error| not_started(path, &error, &command))?;
    examination.passed("start", "it starts");
    examination.looking("listening to its standard output");
    let words = Arc::new(Mutex::new(VecDeque::new()));
    let listening = child.stderr.take().map(|stderr| tokio::spawn(overhear(stderr, words.clone())));
    let conversed = timeout(examination.patience, converse(&mut child)).await;
    let ended = match conversed {
        Ok(Heard { answered: false, .. }) => {
            // Its end is near: what it wrote about it is worth the wait.
            timeout(GRACE, child.wait()).await.ok().and_then(Result::ok)
        }
        _ => None,
    };
    end(&mut child).await;
    if let Some(listening) = listening {
        let _ = timeout(GRACE, listening).await;
    }
    let words = words.lock().unwrap_or_else(PoisonError::into_inner).make_contiguous().join("\n");
    judge(conversed.ok(), ended, &words, &command, examination)
}

/// How long a program may take to end, or to say its last words.
const GRACE: Duration = Duration::from_millis(500);

/// The program as a person starts it in a shell: what an entry of a client says, and not the entry.
fn typed(program: &Program) -> String {
    let words = std::iter::once(&program.command).chain(&program.args);
    let words = words.map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    match &program.cwd {
        Some(folder) => format!("cd {} && {words}", quoted(folder)),
        None => words,
    }
}

fn start(path: &Path, program: &Program) -> std::io::Result<Child> {
    let mut command = Command::new(path);
    command.args(&program.args).process_group(0).kill_on_drop(true);
    command.envs(program.env.iter().map(|(name, value)| (name, value)));
    if let Some(directory) = &program.cwd {
        command.current_dir(directory);
    }
    for name in OURS_ALONE {
        command.env_remove(name);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// What opens the user's own stores, and is no server's to see.
const OURS_ALONE: [&str; 4] =
    ["ETDI_PASSPHRASE", "ETDI_PASSPHRASE_FD", "ETDI_NEW_PASSPHRASE", "ETDI_KEY_FILE"];

fn not_started(path: &Path, error: &std::io::Error, command: &str) -> Fault {
    let place = visible(&path.to_string_lossy()).into_owned();
    let interpreter = std::fs::File::open(path).ok().and_then(|file| {
        let mut head = String::new();
        std::io::Read::read_to_string(&mut std::io::Read::take(file, 200), &mut head).ok()?;
        head.lines().next()?.strip_prefix("#!").map(|line| line.trim().to_owned())
    });
    let (what, advice) = match (error.kind(), interpreter) {
        (std::io::ErrorKind::NotFound, Some(line)) => (
            format!("`{place}` wants to be run by `{}`, which is not there", visible(&line)),
            "install that interpreter, or name another one in the first line",
        ),
        _ if error.raw_os_error() == Some(NO_EXEC) => (
            format!("`{place}` is no program of this system"),
            "is it built for this computer? A script begins with `#!` and its interpreter",
        ),
        _ => (format!("`{place}` cannot be started: {error}"), "try it by hand"),
    };
    let fault = Fault::new("start", Whose::You, what, advice);
    fault.exit(Exit::Unreachable).next(format!("{command} < /dev/null"))
}

/// `ENOEXEC` of Unix systems.
const NO_EXEC: i32 = 8;

/// What was heard of a program.
struct Heard {
    answered: bool,
    strays: Vec<Stray>,
}

/// Shakes hands in the way that servers of every age know, and reads up to the answer.
async fn converse(child: &mut Child) -> Heard {
    let mut heard = Heard { answered: false, strays: Vec::new() };
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return heard;
    };
    let hello = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": ProtocolVersion::NEWEST_LEGACY.as_str(), "capabilities": {},
            "clientInfo": { "name": "etdi", "version": env!("CARGO_PKG_VERSION") },
        },
    });
    // Who does not read may have written why.
    let _ = input.write_all(format!("{hello}\n").as_bytes()).await;
    let _ = input.flush().await;
    let mut output = BufReader::new(output);
    for number in 1..=MOST_LINES {
        let mut line = Vec::new();
        let read = (&mut output).take(MOST_LINE).read_until(b'\n', &mut line).await;
        if !read.is_ok_and(|read| read > 0) {
            return heard;
        }
        let message: Option<Value> = serde_json::from_slice(&line).ok();
        let is = |name: &str| message.as_ref().is_some_and(|message| message.get(name).is_some());
        if !is("jsonrpc") {
            if !line.trim_ascii().is_empty() {
                let text = String::from_utf8_lossy(&line);
                let text: String = text.trim_end().chars().take(MOST_SHOWN).collect();
                heard.strays.push(Stray { number, text: visible(&text).into_owned() });
            }
            continue;
        }
        if is("id") && (is("result") || is("error")) {
            heard.answered = true;
            return heard;
        }
    }
    heard
}

/// The most lines of standard error that are kept.
const MOST_WORDS: usize = 5;

async fn overhear(stderr: impl AsyncRead + Unpin, words: Arc<Mutex<VecDeque<String>>>) {
    let mut stderr = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        let read = (&mut stderr).take(MOST_LINE).read_until(b'\n', &mut line).await;
        if !read.is_ok_and(|read| read > 0) {
            return;
        }
        let text: String = String::from_utf8_lossy(&line).trim_end().chars().take(300).collect();
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.len() >= MOST_WORDS {
            words.pop_front();
        }
        words.push_back(visible(&text).into_owned());
    }
}

/// Ends a program and what it started.
async fn end(child: &mut Child) {
    drop(child.stdin.take());
    if timeout(GRACE, child.wait()).await.is_err() {
        let group = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = child.wait().await;
    }
}

/// What the conversation says; `None` where it did not end in time.
fn judge(
    heard: Option<Heard>,
    ended: Option<std::process::ExitStatus>,
    words: &str,
    command: &str,
    examination: &Examination,
) -> Result<String, Fault> {
    let again = format!("{command} < /dev/null");
    let operator = |step, what: String, advice: &str, exit| {
        let fault = Fault::new(step, Whose::ServerOperator, what, advice);
        Err(fault.exit(exit).next(again.clone()))
    };
    let said = match words.is_empty() {
        true => String::new(),
        false => format!("; its last words: {}", words.replace('\n', " | ")),
    };
    let Some(Heard { answered, strays }) = heard else {
        let seconds = examination.patience.as_secs();
        let what =
            format!("it runs, and does not answer `initialize` within {seconds} seconds{said}");
        let advice = "does it speak over standard streams, or wait for something? Some listen at a port \
                      and are reached by a URL";
        return operator("stdout", what, advice, Exit::Unreachable);
    };
    if !strays.is_empty() {
        let shown: Vec<String> = strays
            .iter()
            .take(MOST_STRAYS)
            .map(|stray| format!("line {}: `{}`", stray.number, stray.text))
            .collect();
        let what = format!(
            "it writes {} to standard output that {} no JSON-RPC, {}",
            counted(strays.len(), "line"),
            if strays.len() == 1 { "is" } else { "are" },
            shown.join(", ")
        );
        let advice = "standard output belongs to the protocol: write logs to standard error (`eprintln!`, \
                      `console.error`, `print(…, file=sys.stderr)`)";
        return operator("stdout", what, advice, Exit::ProtocolViolation);
    }
    if !answered {
        let status =
            ended.map_or_else(|| "its output ended".to_owned(), |status| status.to_string());
        let what = format!("it ended before it answered: {status}{said}");
        if let Some(name) = missing_variable(words) {
            let advice = format!(
                "it wants the variable `{name}`: a client gives it those of `env` in its entry (`etdi install \
                 CLIENT -v {name}=…`), a terminal its own"
            );
            let fault = Fault::new("start", Whose::You, what, advice);
            return Err(fault.exit(Exit::Unreachable).next(again));
        }
        let advice = "run it by hand: does it lack a file, a variable, an argument?";
        return operator("start", what, advice, Exit::Unreachable);
    }
    Ok("it answers in JSON-RPC, and writes nothing else to standard output".to_owned())
}

/// The variable that a program missed, by its last words: a name in capitals with a `_`, beside a word
/// that says that something is not there.
fn missing_variable(words: &str) -> Option<&str> {
    const NOT_THERE: [&str; 9] = [
        "not set",
        "unset",
        "missing",
        "required",
        "undefined",
        "not defined",
        "not found",
        "must be set",
        "KeyError",
    ];
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    words.lines().rev().find_map(|line| {
        let says = NOT_THERE.iter().any(|sign| line.contains(sign));
        let name = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').find(|word| {
            word.contains('_')
                && word.starts_with(|c: char| c.is_ascii_uppercase())
                && word.chars().all(plain)
        });
        name.filter(|_| says)
    })
}

/// Starts it once more, for a client.
async fn protocol(
    target: &Target,
    path: &Path,
    program: &Program,
    examination: &mut Examination,
) -> Result<(), Fault> {
    examination.looking("asking for the revision");
    let mut command = mcp_transport::process::Command::new(path).args(&program.args);
    for (name, value) in &program.env {
        command = command.env(name, value);
    }
    if let Some(directory) = &program.cwd {
        command = command.current_dir(directory);
    }
    for name in OURS_ALONE {
        command = command.env_remove(name);
    }
    let spawned = command.on_stderr(|_| ()).spawn();
    let io = spawned.map_err(|error| {
        let what = format!("it starts once, and no second time: {error}");
        Fault::new("start", Whose::ServerOperator, what, "does it leave something locked behind?")
    })?;
    let connection = mcp_transport::connect(io, us());
    let client = Client::new(connection.clone());
    let found = match timeout(examination.patience, client.discover()).await {
        Ok(Ok(about)) => talk(&client, &about, connection.version(), target, examination).await,
        Ok(Err(error @ Error::Connection(_))) => {
            let what =
                format!("it ends in the middle of the handshake: {}", visible(&error.to_string()));
            let advice = "run it by hand, and read what it writes";
            let fault = Fault::new("versions", Whose::ServerOperator, what, advice);
            Err(fault.exit(Exit::Unreachable).next(format!("etdi list {}", shown_target(target))))
        }
        Ok(Err(error)) => Err(version_fault(&error, target)),
        Err(_) => {
            let seconds = examination.patience.as_secs();
            let what = format!("the handshake does not end within {seconds} seconds");
            let advice = "it answers the first message alone: read its log";
            let fault = Fault::new("versions", Whose::ServerOperator, what, advice);
            Err(fault.exit(Exit::Unreachable))
        }
    };
    connection.close().await;
    found
}
