//! What a server is called on a command line: a command, a URL, an entry of a client's configuration,
//! a package or an example of Cargo.
//!
//! A bare name stands for an entry of `.mcp.json` in this folder only where a target is asked for, and
//! where no program has it; after `--` it is a command and nothing else, so that the folder of somebody
//! else's repository cannot change what a command means.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use etdi::core::change::visible;
use etdi_clients::{Client, Launch, Places, Program};
use mcp_transport::http::{HttpConnectOptions, HttpConnection, connect_http_with};
use mcp_types::Implementation;

use crate::args::BuildArguments;
use crate::arguments::nearest;
use crate::exit::{Exit, Failure};
use crate::verbs::target::{quoted, url};

pub mod cargo;
pub mod guarded;
pub mod name;
mod program;
mod source;
pub mod start;

pub use guarded::{Guarded, Ours};
pub use program::find;
pub use source::{config, configured, files_of};

/// What words on a command line lead to.
#[derive(Clone)]
pub struct Found {
    /// How the server is started or reached.
    pub launch: Launch,
    /// The entry that says so, such as `cursor:github`; none where the words themselves do.
    pub entry: Option<String>,
    /// The same as that entry has it, references to variables not resolved, and in whose spelling.
    pub written: Option<(Launch, &'static Client)>,
    /// The guard of ours that stands before it, and that was looked through.
    pub guard: Option<Guarded>,
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Variables and headers hold secrets.
        f.debug_struct("Found").field("entry", &self.entry).finish_non_exhaustive()
    }
}

impl Found {
    /// A command line as it was typed.
    fn command(words: &[String]) -> Self {
        let (command, args) = match words.split_first() {
            Some((command, args)) => (command.clone(), args.to_vec()),
            None => (String::new(), Vec::new()),
        };
        let program = Program { command, args, ..Program::default() };
        Self { launch: Launch::Program(program), entry: None, written: None, guard: None }
    }

    /// The command line, or the URL alone.
    pub fn words(&self) -> Vec<String> {
        match &self.launch {
            Launch::Program(program) => {
                std::iter::once(&program.command).chain(&program.args).cloned().collect()
            }
            Launch::Remote(remote) => vec![remote.url.clone()],
        }
    }

    /// The URL, where the server is behind one.
    pub fn url(&self) -> Option<&str> {
        match &self.launch {
            Launch::Remote(remote) => Some(&remote.url),
            Launch::Program(_) => None,
        }
    }

    /// The program for a client of this crate, with its variables and its directory.
    pub fn program(&self) -> etdi::Program {
        let mut program = etdi::Program::new(self.words());
        if let Launch::Program(Program { env, cwd, .. }) = &self.launch {
            for (name, value) in env {
                program = program.env(name, value);
            }
            if let Some(cwd) = cwd {
                program = program.current_dir(cwd);
            }
        }
        program
    }

    /// The same for the transport alone.
    pub fn process(&self) -> Option<mcp_transport::process::Command> {
        let Launch::Program(program) = &self.launch else { return None };
        let command = mcp_transport::process::Command::new(&program.command).args(&program.args);
        let command =
            program.env.iter().fold(command, |command, (name, value)| command.env(name, value));
        Some(match &program.cwd {
            Some(cwd) => command.current_dir(cwd),
            None => command,
        })
    }

    /// A connection to the URL, with its headers.
    ///
    /// # Errors
    ///
    /// When it is no URL, or a header is none.
    pub fn dial(&self, info: Implementation) -> Result<HttpConnection, Failure> {
        let mut options = HttpConnectOptions::new(info);
        options.headers = self.headers()?;
        connect_http_with(self.url().unwrap_or_default(), options)
            .map_err(|error| unfit(error.to_string()))
    }

    /// The headers that go along with each request; they are shown nowhere.
    ///
    /// # Errors
    ///
    /// When one cannot be sent.
    pub fn headers(&self) -> Result<http::HeaderMap, Failure> {
        let mut headers = http::HeaderMap::new();
        let Launch::Remote(remote) = &self.launch else { return Ok(headers) };
        for (name, value) in &remote.headers {
            let wrong = || unfit(format!("`{}` is no header that can be sent", visible(name)));
            let name: http::HeaderName = name.parse().map_err(|_| wrong())?;
            let mut value: http::HeaderValue = value.parse().map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        Ok(headers)
    }

    /// The headers that its entry has for it, as they are written there.
    pub fn headers_as_written(&self) -> &[(String, String)] {
        match &self.launch {
            Launch::Remote(remote) => &remote.headers,
            Launch::Program(_) => &[],
        }
    }
}

fn unfit(what: String) -> Failure {
    Failure::new(Exit::Unreachable, what, "etdi discover").with_code("NOT_STARTED")
}

/// What stands for no target at all.
pub const NO_TARGET: &str =
    "no server is named: write its URL, `source:name` of `etdi discover`, or `--` and the command";

/// Fails where something is said of how a package is built, and `first` is none.
///
/// # Errors
///
/// Then.
pub fn nothing_built(first: &str, how: &BuildArguments) -> Result<(), Failure> {
    if !how.is_given() {
        return Ok(());
    }
    let option = match (how.with.is_empty(), how.with_editable.is_empty()) {
        (false, _) => "--with",
        (true, false) => "--with-editable",
        (true, true) => "--release",
    };
    let message = format!(
        "`{option}` is for a package that cargo builds, and `{}` is none: name its folder, `cargo:PACKAGE` \
         or `example:NAME`",
        visible(first)
    );
    Err(Failure::usage(message, "cargo metadata --no-deps"))
}

/// The command that shows what could have been named: the package here, if there is one.
fn near_at_hand() -> &'static str {
    match Path::new("Cargo.toml").is_file() {
        true => "etdi list .",
        false => "etdi discover",
    }
}

/// What becomes of a package of Cargo that words name.
#[derive(Clone, Copy)]
enum Packages<'a> {
    /// It is built, in this way.
    Build(&'a BuildArguments),
    /// It is left alone, and stands there as it is written.
    Leave,
}

/// Finds the server that words name, behind a guard of ours where there is one. A package of Cargo is
/// built first.
///
/// # Errors
///
/// When they name nothing, with what may have been meant; when a reference in an entry leads nowhere,
/// a package does not build, or a guard cannot be looked through.
pub fn resolve(words: &[String]) -> Result<Found, Failure> {
    resolve_within(words, Packages::Build(&BuildArguments::default()), 0, None)
}

/// The same where nothing is to be started: no package is built, and its name stands for its program.
///
/// # Errors
///
/// As of [`resolve`], but for builds.
pub fn resolve_unbuilt(words: &[String]) -> Result<Found, Failure> {
    resolve_within(words, Packages::Leave, 0, None)
}

/// The same, for words that a program is told which has another `PATH`.
fn resolve_within(
    words: &[String],
    packages: Packages<'_>,
    depth: u8,
    path: Option<&OsStr>,
) -> Result<Found, Failure> {
    guarded::behind(resolve_as_written(words, packages, path)?, packages, depth)
}

/// What is behind a guard of ours, or the same.
///
/// # Errors
///
/// When the guard cannot be looked through.
pub fn behind(found: Found) -> Result<Found, Failure> {
    guarded::behind(found, Packages::Build(&BuildArguments::default()), 0)
}

/// The same for the entry of a configuration, where nothing is to be started.
///
/// # Errors
///
/// When the guard cannot be looked through.
pub fn behind_unbuilt(launch: Launch, entry: String) -> Result<Found, Failure> {
    let found = Found { launch, entry: Some(entry), written: None, guard: None };
    guarded::behind(found, Packages::Leave, 0)
}

/// What words name as it is written, a guard where one is, with a package of Cargo built as is said.
///
/// # Errors
///
/// As of [`resolve`], and when something is said of a build and nothing is built.
pub fn resolve_built(words: &[String], how: &BuildArguments) -> Result<Found, Failure> {
    resolve_as_written(words, Packages::Build(how), None)
}

fn resolve_as_written(
    words: &[String],
    packages: Packages<'_>,
    path: Option<&OsStr>,
) -> Result<Found, Failure> {
    let Some((first, rest)) = words.split_first() else {
        return Err(Failure::usage(NO_TARGET, near_at_hand()));
    };
    if let Some(wanted) = cargo::Wanted::read(first)? {
        return Ok(match packages {
            Packages::Build(how) => {
                Found::command(&[vec![wanted.build(how)?], rest.to_vec()].concat())
            }
            Packages::Leave => Found::command(words),
        });
    }
    if let Packages::Build(how) = packages {
        nothing_built(first, how)?;
    }
    if let Some(url) = url(words)? {
        let remote = etdi_clients::RemoteServer { url: url.to_owned(), ..Default::default() };
        return Ok(Found {
            launch: Launch::Remote(remote),
            entry: None,
            written: None,
            guard: None,
        });
    }
    if let Some((source, name)) = source::split(first) {
        if let Some(more) = rest.first() {
            let message = format!(
                "`{}` is an entry of a configuration, which takes no arguments such as `{}`",
                visible(first),
                visible(more)
            );
            return Err(Failure::usage(message, format!("etdi list -- {}", quoted(first))));
        }
        return source::entry(source, name, &places());
    }
    let is_bare = rest.is_empty() && !first.contains('/');
    if is_bare && find(first, path).is_none() {
        source::bare(first, &places())?;
    }
    Ok(Found::command(words))
}

/// A target before the two dashes, as one that can stand after them: a bare name that an entry of
/// `.mcp.json` here has becomes the name of that entry.
pub fn placed(word: String) -> String {
    source::of_project(&word, &places()).unwrap_or(word)
}

/// Whether one word cannot be anything but a target: a URL, an entry, a package or a path.
pub fn is_target(word: &str) -> bool {
    let begins = ["./", "../", "/", "~/", "cargo:", "example:"];
    word.contains("://")
        || matches!(word, "." | "..")
        || begins.iter().any(|begin| word.starts_with(begin))
        || source::split(word).is_some()
}

/// Whether a word names an entry of a configuration by its source.
pub fn is_entry(word: &str) -> bool {
    source::split(word).is_some()
}

/// The places of this user, with the current directory as the project.
pub fn places() -> Places {
    Places::here(std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")))
}

/// The client of this name.
///
/// # Errors
///
/// When there is none, with the one that may have been meant.
pub fn client(name: &str) -> Result<&'static Client, Failure> {
    if let Some(client) = Client::find(name) {
        return Ok(client);
    }
    let ids = || etdi_clients::CLIENTS.iter().map(|client| client.id);
    let message = match nearest(name, ids()) {
        Some(near) => format!("`{}` is no client, did you mean `{near}`?", visible(name)),
        None => {
            let all = ids().collect::<Vec<_>>().join(", ");
            format!("`{}` is no client; known are {all}", visible(name))
        }
    };
    Err(Failure::usage(message, "etdi configs --all"))
}

/// A path as it stands from the root, links not followed but where `..` leads out of one: two spellings of
/// a file would be two servers.
pub fn absolute(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let is_up = whole.components().any(|part| part == std::path::Component::ParentDir);
    match (whole.parent().filter(|_| is_up).map(std::fs::canonicalize), whole.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => whole,
    }
}
