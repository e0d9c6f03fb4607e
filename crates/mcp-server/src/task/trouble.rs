//! Why a task could not be read or changed.

use std::error::Error;
use std::fmt;

use mcp_types::ErrorObject;

use super::store::TaskStoreError;

/// Why a task could not be read or changed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The store did not answer: it may the next time.
    Away,
    /// All else, as the client is told it.
    Refused(ErrorObject),
}

impl Trouble {
    pub(super) fn of(error: TaskStoreError) -> Self {
        match error {
            TaskStoreError::Unavailable(_) => {
                tracing::error!(error = &error as &dyn Error, "the store of tasks failed");
                Self::Away
            }
            error => Self::Refused(broken(error)),
        }
    }
}

impl From<ErrorObject> for Trouble {
    fn from(error: ErrorObject) -> Self {
        Self::Refused(error)
    }
}

impl From<Trouble> for ErrorObject {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Away => Self::internal(UNAVAILABLE),
            Trouble::Refused(error) => error,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away => f.write_str(UNAVAILABLE),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

/// What the client is told.
pub(super) fn broken(error: TaskStoreError) -> ErrorObject {
    match error {
        TaskStoreError::Full { .. } => ErrorObject::internal(error.to_string()),
        error => {
            tracing::error!(error = &error as &dyn Error, "the store of tasks failed");
            ErrorObject::internal(UNAVAILABLE)
        }
    }
}

const UNAVAILABLE: &str = "the server cannot use its store of tasks, try again later";
