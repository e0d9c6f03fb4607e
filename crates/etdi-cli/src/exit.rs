//! How a command ends: the stable exit codes, and failures that say what to try next.

use serde_json::Value;

/// The exit codes of `etdi`. They are part of its interface and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked for was done.
    Done = 0,
    /// The command was given wrongly, or something on this computer is missing.
    Usage = 1,
    /// The tool ran and reported an error.
    ToolError = 2,
    /// The server wants a login first.
    AuthenticationNeeded = 3,
    /// The server cannot be started or reached, or did not answer in time.
    Unreachable = 4,
    /// The server broke the protocol.
    ProtocolViolation = 5,
    /// A security check refused.
    Refused = 6,
}

impl Exit {
    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The word that stands for it in `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Usage => "usage",
            Self::ToolError => "tool_error",
            Self::AuthenticationNeeded => "authentication_needed",
            Self::Unreachable => "unreachable",
            Self::ProtocolViolation => "protocol_violation",
            Self::Refused => "refused",
        }
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub struct Failure {
    /// Which exit code it has.
    pub exit: Exit,
    /// A stable word or code for programs; that of the exit code where nothing finer is known.
    pub code: String,
    /// One sentence, lower case.
    pub message: String,
    /// The next command to try.
    pub next: String,
    /// More about it: digests, differences.
    pub details: Option<Box<Details>>,
}

/// What shows why something failed.
#[derive(Debug)]
pub struct Details {
    /// For programs.
    pub data: Value,
    /// For people, printed below the message; may be empty.
    pub shown: String,
}

impl Failure {
    /// A failure with its exit code, its message and the next command to try.
    pub fn new(exit: Exit, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            exit,
            code: exit.word().to_owned(),
            message: message.into(),
            next: next.into(),
            details: None,
        }
    }

    /// A command that was given wrongly, or something that is missing here.
    pub fn usage(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message, next)
    }

    /// Sets the code for programs.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = code.into();
        self
    }

    /// Adds data, and the same for people.
    #[must_use]
    pub fn with_details(mut self, details: Value, shown: impl Into<String>) -> Self {
        self.details = Some(Box::new(Details { data: details, shown: shown.into() }));
        self
    }
}
