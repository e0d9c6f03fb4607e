//! A server as a program that is to be started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use etdi_core::binding::{MeasureError, Measurement, measure, runs_other_code};
use etdi_core::identity::ServerIdentity;
use etdi_core::jws::Jws;
use etdi_core::wire::StatementType;
use mcp_transport::process::Command;

/// A command line, how the server behind it is named, and where it runs.
///
/// ```
/// use etdi::Program;
/// use etdi::core::identity::ServerIdentity;
///
/// let program = Program::new(["notes-server", "--stdio"]);
/// assert!(program.identity().to_string().starts_with("stdio:command:"));
/// let named = program.named(ServerIdentity::package("pkg:cargo/notes")?);
/// assert_eq!(named.identity().to_string(), "stdio:pkg:cargo/notes");
/// # Ok::<(), etdi::core::identity::IdentityError>(())
/// ```
pub struct Program {
    argv: Vec<String>,
    identity: Option<ServerIdentity>,
    directory: Option<PathBuf>,
    variables: Vec<(OsString, OsString)>,
    take_line: Option<TakeLine>,
    pub(crate) although_changed: bool,
}

/// Takes the lines that a server writes to standard error.
type TakeLine = Box<dyn FnMut(&str) + Send>;

impl Program {
    /// The program and its arguments, as they are given to the system; no shell is involved.
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            identity: None,
            directory: None,
            variables: Vec::new(),
            take_line: None,
            although_changed: false,
        }
    }

    /// Names the server as its attestations do. Without it the exact command line is its name, and
    /// with it the directory where an interpreter or package runner looks for what it runs. Named by
    /// a URL it is not started, because nothing was dialled and no TLS stands behind it.
    #[must_use]
    pub fn named(mut self, identity: ServerIdentity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Runs it in another directory than ours.
    #[must_use]
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Sets a variable of its environment; all of ours are inherited but those that open the
    /// user's own stores, such as `ETDI_PASSPHRASE`.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Takes what it writes to standard error, line by line, instead of passing it on to ours.
    #[must_use]
    pub fn on_stderr(mut self, take: impl FnMut(&str) + Send + 'static) -> Self {
        self.take_line = Some(Box::new(take));
        self
    }

    /// Starts it although it is not the program that was pinned when its tools were approved, so
    /// that a person can look at what it lists now. Its tools stay refused until they are
    /// approved again.
    #[must_use]
    pub fn start_although_changed(mut self) -> Self {
        self.although_changed = true;
        self
    }

    /// How the server is named.
    pub fn identity(&self) -> ServerIdentity {
        self.identity.clone().unwrap_or_else(|| {
            let words = self.argv.iter().cloned().chain(self.place());
            ServerIdentity::command(&words.collect::<Vec<_>>())
        })
    }

    /// The directory, where the same command line runs other code in another one. No argument can
    /// look like it, because none holds a zero.
    fn place(&self) -> Option<String> {
        let (program, arguments) = self.argv.split_first()?;
        let settled = arguments.first().is_some_and(|first| Path::new(first).is_absolute());
        if settled || !runs_other_code(Path::new(program)) {
            return None;
        }
        let directory = self.directory.as_deref().unwrap_or(Path::new("."));
        let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        Some(format!("\0in {}", directory.display()))
    }

    /// The program and its arguments.
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// Reads the executable, and the files that arguments name, as they are now.
    ///
    /// A file that holds a signed manifest is left out: it changes with each signature, it cannot
    /// name its own digest, and every client checks it by itself.
    ///
    /// # Errors
    ///
    /// When the program is not found, or cannot be read.
    pub fn measure(&self) -> Result<Measurement, MeasureError> {
        let of_child = self.variables.iter().rev().find(|(name, _)| name == "PATH");
        let path = of_child.map(|(_, value)| value.clone()).or_else(|| std::env::var_os("PATH"));
        let mut measured = measure(&self.argv, self.directory.as_deref(), path.as_deref())?;
        measured.files.retain(|argument, _| !self.names_manifest(argument));
        Ok(measured)
    }

    fn names_manifest(&self, argument: &str) -> bool {
        let tail = argument.split_once('=').map(|(_, tail)| tail);
        let directory = self.directory.as_deref().unwrap_or(Path::new(""));
        [Some(argument), tail].into_iter().flatten().all(|name| {
            let path = directory.join(name);
            !path.is_file() || is_manifest(&path)
        })
    }

    /// Starts the program at the path where it was measured, so that no second look into the
    /// `PATH` finds another. Links are not followed: those of Python's environments mean something
    /// to the program behind them.
    pub(crate) fn command(self, measured: &Measurement) -> Command {
        let mut command = Command::new(&measured.program).args(self.argv.iter().skip(1));
        if let Some(directory) = &self.directory {
            command = command.current_dir(directory);
        }
        for name in OURS_ALONE {
            command = command.env_remove(name);
        }
        for (name, value) in &self.variables {
            command = command.env(name, value);
        }
        match self.take_line {
            Some(take) => command.on_stderr(take),
            None => command,
        }
    }
}

/// What opens the user's own stores, and is no server's to see.
const OURS_ALONE: [&str; 4] =
    ["ETDI_PASSPHRASE", "ETDI_PASSPHRASE_FD", "ETDI_NEW_PASSPHRASE", "ETDI_KEY_FILE"];

/// The longest manifest that is looked for.
const MAX_MANIFEST: u64 = 4 << 20;

fn is_manifest(path: &Path) -> bool {
    let short = std::fs::metadata(path).is_ok_and(|about| about.len() <= MAX_MANIFEST);
    let text = short.then(|| std::fs::read_to_string(path).ok()).flatten();
    text.is_some_and(|text| Jws::read(text.trim_end(), StatementType::Manifest).is_ok())
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("argv", &self.argv).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use etdi_core::attestation::Attestation;
    use etdi_core::identity::ProviderId;
    use etdi_core::key::{Algorithm, SigningKey};
    use etdi_core::manifest;
    use etdi_core::time::UnixTime;

    use super::*;

    #[test]
    fn a_script_is_measured_and_a_manifest_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let server = ServerIdentity::package("pkg:cargo/x").unwrap();
        let statement = Attestation::new(ProviderId::of_key(key.id()), server, UnixTime(1));
        let jws = manifest::sign(&statement, [], &key).unwrap();
        for (name, text) in [
            ("m.jws", format!("{jws}\n")),
            ("s.sh", "exit".to_owned()),
            ("n.jws", format!("{jws} x")),
        ] {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let program = Program::new(["/bin/sh", "s.sh", "--manifest=m.jws", "m.jws", "n.jws"]);
        let measured = program.current_dir(directory.path()).measure().unwrap();
        assert_eq!(measured.files.keys().collect::<Vec<_>>(), ["n.jws", "s.sh"]);
    }

    /// What was approved for `python3 -m notes` in one project is not for another's.
    #[test]
    fn a_directory_is_part_of_the_name_where_it_decides_what_runs() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let in_both = |argv: &[&str]| {
            let named = |place: &Path| Program::new(argv.to_vec()).current_dir(place).identity();
            (named(one.path()), named(other.path()))
        };
        for argv in [&["python3", "-m", "notes"][..], &["npx", "notes"], &["node", "notes.js"]] {
            let (one, other) = in_both(argv);
            assert_ne!(one, other, "{argv:?}");
        }
        for argv in [&["python3.12", "/srv/notes.py"][..], &["notes-server", "--stdio"]] {
            let (one, other) = in_both(argv);
            assert_eq!(one, other, "{argv:?}");
            assert_eq!(one, ServerIdentity::command(argv));
        }
    }

    /// The system passes over what it may not execute and starts the next one of that name, which
    /// nobody has measured.
    #[cfg(unix)]
    #[tokio::test]
    async fn what_was_measured_is_what_starts() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str, mode| {
            let place = directory.path().join(name);
            std::fs::create_dir(&place).unwrap();
            std::fs::write(place.join("notes"), "#!/bin/sh\nexit\n").unwrap();
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(place.join("notes"), mode).unwrap();
            place
        };
        let path = std::env::join_paths([place("honest", 0o644), place("evil", 0o755)]).unwrap();
        let program = Program::new(["notes"]).env("PATH", path);
        let measured = program.measure().unwrap();
        assert_eq!(measured.program, directory.path().join("honest/notes"));
        assert!(program.command(&measured).spawn().is_err());
    }
}
