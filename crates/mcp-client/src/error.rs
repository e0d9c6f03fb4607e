//! What went wrong, sorted by what the caller can do about it.

use mcp_types::error::codes;
use mcp_types::{DecodeError, ErrorObject, InputRequiredResult, Origin};

/// Why a request of a client failed; each variant says what can be done about it.
///
/// [`Error::is_worth_retrying`] sorts them for loops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server answered with an error: change the request.
    #[error("the server refused: {0}{hint}", hint = hint(.0))]
    Service(ErrorObject),
    /// The server cannot be reached, or went away: start it again.
    #[error("no connection to the server: {0}")]
    Connection(ErrorObject),
    /// The server did not answer in time.
    #[error("the server did not answer in time: {0}")]
    Timeout(ErrorObject),
    /// A layer of this process refused: nothing is wrong with the connection.
    #[error("refused: {0}")]
    Refused(ErrorObject),
    /// The server broke the protocol: tell whoever wrote it.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The server wants input, and no layer below fulfils it: put an
    /// [`InputLayer`](crate::InputLayer) under the client.
    #[error("the server wants input from the client, add an input layer that gives it")]
    InputRequired(Box<InputRequiredResult>),
    /// The tool reported an error; the text is the tool's, for the model to read.
    #[error("the tool reported an error: {0}")]
    ToolFailed(String),
    /// The result is not of the type that the caller named: look at the tool's output schema.
    #[error("the result does not fit: {0}")]
    Result(DecodeError),
    /// The task was stopped before it had a result.
    #[error("the task was cancelled, call the tool again")]
    TaskCancelled,
    /// The arguments have no JSON form.
    #[error("the arguments have no JSON form: {0}")]
    Arguments(#[source] serde_json::Error),
    /// The server's list did not end.
    #[error("the list did not end after {0} pages")]
    TooManyPages(usize),
    /// The server's list is larger than the [`Budget`](crate::Budget) of whoever reads it.
    #[error("the list is larger than {0} bytes, raise the budget if the server can be trusted")]
    TooManyBytes(usize),
}

impl Error {
    pub(crate) fn of(error: ErrorObject) -> Self {
        match error.origin {
            Origin::Connection => Self::Connection(error),
            Origin::Timeout => Self::Timeout(error),
            Origin::Refused => Self::Refused(error),
            Origin::Protocol => Self::Protocol(error.to_string()),
            _ => Self::Service(error),
        }
    }

    /// Whether the same request may succeed later, on a new connection perhaps, without a change.
    ///
    /// A call that changed something at the server may have been carried out all the same.
    ///
    /// ```
    /// use mcp_client::Error;
    /// use mcp_client::types::{ErrorObject, Origin};
    ///
    /// let gone = ErrorObject::local(Origin::Connection, "the server closed the connection");
    /// assert!(Error::Connection(gone).is_worth_retrying());
    /// assert!(!Error::Service(ErrorObject::invalid_params("no tool `x`")).is_worth_retrying());
    /// ```
    pub fn is_worth_retrying(&self) -> bool {
        matches!(self, Self::Connection(_) | Self::Timeout(_))
    }
}

/// The next step after an error of the protocol's own codes.
fn hint(error: &ErrorObject) -> &'static str {
    match error.code {
        codes::METHOD_NOT_FOUND => "; `discover` tells what the server can do",
        codes::MISSING_CLIENT_CAPABILITY => {
            "; declare the capability, by an input layer if it is a question to the user"
        }
        codes::UNSUPPORTED_PROTOCOL_VERSION => "; the server and this client share no revision",
        _ => "",
    }
}
