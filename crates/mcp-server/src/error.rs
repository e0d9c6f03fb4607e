//! What goes wrong, sorted by who reads it: the model, the operator, or the author at start-up.

use std::borrow::Cow;
use std::fmt::{self, Display};

/// A tool's failure, with the text for the model apart from the text for the log.
///
/// Everything that can be displayed turns into one, so `?` works on errors of any library and on
/// plain strings. The model then reads the error's `{}` form, and the log its `{:#}` form where
/// that says more. Who wants to say something else to the model than to the operator says so:
///
/// ```
/// use mcp_server::ToolError;
///
/// fn open(path: &str) -> Result<String, ToolError> {
///     std::fs::read_to_string(path)
///         .map_err(|error| ToolError::new("the note cannot be read, try another id").log(error))
/// }
///
/// let error = open("/no/such/note").unwrap_err();
/// assert_eq!(error.message(), "the note cannot be read, try another id");
/// assert!(!error.message().contains("/no/such"), "the path is the operator's affair");
/// assert!(error.detail().is_some());
/// ```
///
/// Like `anyhow::Error` it is not an error itself: that is what lets every other error become one.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolError {
    message: String,
    detail: Option<String>,
}

impl ToolError {
    /// A failure that the model reads: say what was expected and what to try next.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), detail: None }
    }

    /// Adds what only the operator may read; it goes to the log and nowhere else.
    #[must_use]
    pub fn log(mut self, detail: impl Display) -> Self {
        self.detail = Some(format!("{detail:#}"));
        self
    }

    /// What the model reads.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the operator reads.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }
}

impl<E: Display> From<E> for ToolError {
    fn from(error: E) -> Self {
        let (message, detail) = (error.to_string(), format!("{error:#}"));
        let detail = (detail != message).then_some(detail);
        Self { message, detail }
    }
}

impl fmt::Debug for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Some(detail) => write!(f, "{} ({detail})", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// A tool left because it waits for the client's answer; the caller is asked for it.
///
/// The fact stands in the tool's [`Context`](crate::Context), so this may turn into any other
/// error on its way out of the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tool waits for an answer of the client")]
pub struct Suspended;

/// Why a server cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The operating system gives no random numbers, which a key for request states needs.
    #[error("the server cannot make a key for its request states")]
    Seal(#[source] crate::SealError),
    /// The server has no name or no version.
    #[error("a server needs a name and a version, and one of them is empty")]
    Anonymous,
    /// A tool's name breaks the protocol's rules for names.
    #[error("the tool name `{}` is refused: {reason}", .name.escape_debug())]
    InvalidName {
        /// The name as it was given.
        name: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// Two tools have the same name.
    #[error("two tools are named `{name}`, give one of them another name")]
    DuplicateName {
        /// The name that both have.
        name: String,
    },
    /// A tool is always a task, and the server keeps none.
    #[error("the tool `{name}` is always a task, say with `tasks(...)` where tasks are kept")]
    NoTasks {
        /// The tool.
        name: String,
    },
    /// A tool cannot describe itself.
    #[error("the tool `{name}` cannot describe itself")]
    Definition {
        /// The tool.
        name: Cow<'static, str>,
        /// What is wrong with its schema, or with what its author declared.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
