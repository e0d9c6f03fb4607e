//! A server as a program that is to be started.

use std::ffi::OsString;
use std::path::PathBuf;

use etdi_core::binding::{MeasureError, Measurement, measure};
use etdi_core::identity::ServerIdentity;
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

    /// Names the server as its attestations do. Without it the exact command line is its name.
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

    /// Sets a variable of its environment; all of ours are inherited.
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
        self.identity.clone().unwrap_or_else(|| ServerIdentity::command(&self.argv))
    }

    /// The program and its arguments.
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// Reads the executable, and the files that arguments name, as they are now.
    ///
    /// # Errors
    ///
    /// When the program is not found, or cannot be read.
    pub fn measure(&self) -> Result<Measurement, MeasureError> {
        let of_child = self.variables.iter().rev().find(|(name, _)| name == "PATH");
        let path = of_child.map(|(_, value)| value.clone()).or_else(|| std::env::var_os("PATH"));
        measure(&self.argv, self.directory.as_deref(), path.as_deref())
    }

    /// Starts the program by the name that it was given, not by the file that was measured: links
    /// such as those of Python's environments mean something to the program behind them.
    pub(crate) fn command(self) -> Command {
        let mut argv = self.argv.iter();
        let mut command = Command::new(argv.next().map_or("", String::as_str)).args(argv);
        if let Some(directory) = &self.directory {
            command = command.current_dir(directory);
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

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("argv", &self.argv).finish_non_exhaustive()
    }
}
