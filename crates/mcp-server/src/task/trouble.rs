//! Why a task could not be read or changed.

use std::error::Error;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mcp_types::ErrorObject;

use super::live::lock;
use super::store::TaskStoreError;

/// Why a task could not be read or changed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The store did not answer: it may the next time.
    Away,
    /// All else, as the client is told it.
    Refused(ErrorObject),
}

/// When the store failed last.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<Option<Instant>>);

/// How long no failure was seen before the next one begins an outage: longer than between two tries of a task
/// that waits.
const QUIET: Duration = Duration::from_secs(10);

impl Outage {
    /// What came of a failure of the store. The log has one line when the store begins to fail, however many
    /// tasks wait for it and try again.
    pub(super) fn trouble(&self, error: TaskStoreError) -> Trouble {
        match error {
            TaskStoreError::Unavailable(_) => {
                if self.begins(Instant::now()) {
                    tracing::error!(error = &error as &dyn Error, "the store of tasks fails");
                }
                Trouble::Away
            }
            error => Trouble::Refused(broken(error)),
        }
    }

    /// Whether a failure at `now` is the first for a while.
    fn begins(&self, now: Instant) -> bool {
        let last = lock(&self.0).replace(now);
        last.is_none_or(|last| now.saturating_duration_since(last) >= QUIET)
    }
}

impl Trouble {
    /// Whether there is no such task, or it is another's.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Refused(error) if *error == unknown())
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

pub(super) fn unknown() -> ErrorObject {
    ErrorObject::invalid_params("there is no such task, or no longer; call the tool again")
}

pub(super) fn interrupted() -> ErrorObject {
    ErrorObject::internal(
        "the server stopped while the task ran, and the tool does not say that it may run twice",
    )
}

pub(super) fn worn_out() -> ErrorObject {
    ErrorObject::internal(
        "whoever ran the task ended before it was done, four times; it is not begun once more",
    )
}

const UNAVAILABLE: &str = "the server cannot use its store of tasks, try again later";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_begins_once() {
        let (outage, began) = (Outage::default(), Instant::now());
        assert!(outage.begins(began));
        for second in 0..600 {
            assert!(!outage.begins(began + Duration::from_secs(second)), "{second}");
        }
        assert!(outage.begins(began + Duration::from_secs(610)));
    }
}
