//! What went wrong, sorted by what a host can do about it.

use std::fmt;

use etdi_core::approval::{Pin, StoreError};
use etdi_core::binding::MeasureError;
use etdi_core::change::visible;
use etdi_core::layer::StartError;
use etdi_core::wire;
use mcp_types::ErrorObject;

/// Why a session was not made, or did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program cannot be found or read: check the command.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// The program cannot be started.
    #[error(transparent)]
    Start(#[from] mcp_transport::Error),
    /// Another program stands behind the command line than when its tools were approved. It was
    /// not started.
    #[error(
        "`{}` is not the program that was approved: it was {}, it is {}", visible(.found.executable.as_str()), .approved.digest, .found.digest
    )]
    ExecutableChanged {
        /// What was pinned.
        approved: Box<Pin>,
        /// What is there now.
        found: Box<Pin>,
    },
    /// The approvals cannot be read: nothing counts as approved.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server does not list the tool.
    #[error("the server lists no tool `{}`", visible(.name))]
    NoSuchTool {
        /// The name that was asked for.
        name: String,
    },
    /// The server failed, or a check refused; see [`mcp_client::Error`].
    #[error(transparent)]
    Client(#[from] mcp_client::Error),
}

impl Error {
    /// A stable word for programs. For what a check refused it is the reason's code, such as
    /// `DEFINITION_CHANGED`.
    pub fn code(&self) -> String {
        match self {
            Self::Measure(_) | Self::Start(_) => "NOT_STARTED".to_owned(),
            Self::ExecutableChanged { .. } => "EXECUTABLE_CHANGED".to_owned(),
            Self::Store(_) => "STORE_FAILED".to_owned(),
            Self::NoSuchTool { .. } => "NO_SUCH_TOOL".to_owned(),
            Self::Client(error) => match error {
                mcp_client::Error::Refused(refusal) => {
                    code_of(refusal).unwrap_or_else(|| "REFUSED".to_owned())
                }
                mcp_client::Error::Service(_) => "SERVER_ERROR".to_owned(),
                mcp_client::Error::Connection(_) => "CONNECTION_LOST".to_owned(),
                mcp_client::Error::Timeout(_) => "TIMEOUT".to_owned(),
                mcp_client::Error::InputRequired(_) => "INPUT_REQUIRED".to_owned(),
                mcp_client::Error::ToolFailed(_) => "TOOL_ERROR".to_owned(),
                mcp_client::Error::Arguments(_) => "ARGUMENTS".to_owned(),
                _ => "PROTOCOL_VIOLATION".to_owned(),
            },
        }
    }

    /// Whether a security check refused; everything else is a fault of a program or a network.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::ExecutableChanged { .. }
                | Self::Store(_)
                | Self::Client(mcp_client::Error::Refused(_))
        )
    }
}

/// Why a server was not secured, and does not start.
///
/// `Debug` writes the sentence of `Display`: a server's `main` that returns the error prints it that
/// way, to people.
#[derive(Clone, PartialEq, thiserror::Error)]
#[error(transparent)]
pub struct SecureError(#[from] StartError);

impl SecureError {
    /// The reason, for programs.
    pub fn reason(&self) -> &StartError {
        &self.0
    }
}

impl fmt::Debug for SecureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The code in the data of a refusal.
fn code_of(error: &ErrorObject) -> Option<String> {
    let data: mcp_types::Members = error.data.as_ref()?.parse().ok()?;
    data.get(wire::ERROR_DATA)?.parse().ok()
}
