//! What goes wrong, sorted by who reads it: the model, the operator, or the author at start-up.

use std::any::Any;
use std::borrow::Cow;
use std::fmt::{self, Display};

use mcp_types::ErrorObject;

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

/// The error of the protocol for a failure that no model reads, such as a prompt's: what already is
/// one stays as it is, and the part for the operator is logged.
pub(crate) fn protocol_error<E: Into<ToolError> + 'static>(error: E) -> ErrorObject {
    let mut error = Some(error);
    let any: &mut dyn Any = &mut error;
    if let Some(error) = any.downcast_mut::<Option<ErrorObject>>().and_then(Option::take) {
        return error;
    }
    let Some(error) = error else { return ErrorObject::internal("the server failed") };
    let error: ToolError = error.into();
    tracing::warn!(message = error.message(), detail = error.detail(), "the request failed");
    ErrorObject::internal(error.message())
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
    /// Something cannot describe itself.
    #[error("`{name}` cannot describe itself")]
    Definition {
        /// The tool, prompt or resource.
        name: Cow<'static, str>,
        /// What is wrong with its schema, or with what its author declared.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A prompt's name, or the name of one of its arguments, cannot be.
    #[error("the prompt `{}` is refused: {reason}", .name.escape_debug())]
    InvalidPrompt {
        /// The name as it was given.
        name: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// Two prompts have the same name.
    #[error("two prompts are named `{name}`, give one of them another name")]
    DuplicatePrompt {
        /// The name that both have.
        name: String,
    },
    /// A resource has no URI that could be asked for.
    #[error("the resource `{}` is refused: {reason}", .uri.escape_debug())]
    InvalidResource {
        /// The URI or template as it was given.
        uri: String,
        /// The rule that it breaks.
        reason: String,
    },
    /// Two resources have the same URI or template.
    #[error("two resources have the URI `{uri}`, remove one of them")]
    DuplicateResource {
        /// The URI or template that both have.
        uri: String,
    },
    /// A completion is for an argument or a variable that is not there.
    #[error("nothing to complete: {target} has no argument `{argument}`")]
    NothingToComplete {
        /// The prompt or template.
        target: String,
        /// The argument that it lacks.
        argument: String,
    },
    /// Something was added to a running server whose list it declared to stay as it is.
    #[error(
        "the server did not declare that the list may change: call `.changing({listing:?})` before \
         you build it"
    )]
    Unchanging {
        /// The list.
        listing: crate::Listing,
    },
}
