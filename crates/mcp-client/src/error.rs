//! What went wrong, sorted by what the caller can do about it.

use mcp_types::{ErrorObject, InputRequiredResult, Origin};

/// Why a request of a client failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server answered with an error: change the request.
    #[error("the server refused: {0}")]
    Service(ErrorObject),
    /// The server cannot be reached, or went away: start it again.
    #[error("the server is gone: {0}")]
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
    /// The server wants input, and no layer below fulfils it.
    #[error("the server wants input from the client, add a layer that gives it")]
    InputRequired(Box<InputRequiredResult>),
    /// The tool reported an error; the text is the tool's.
    #[error("the tool reported an error: {0}")]
    ToolFailed(String),
    /// The arguments have no JSON form.
    #[error("the arguments have no JSON form: {0}")]
    Arguments(#[source] serde_json::Error),
    /// The server's list did not end.
    #[error("the list did not end after {0} pages")]
    TooManyPages(usize),
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
}
