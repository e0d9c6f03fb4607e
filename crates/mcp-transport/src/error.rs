//! What can go wrong with a connection, sorted by whose fault it is.

use std::fmt;
use std::io;

/// Why a connection could not be made, or ended.
///
/// A single exchange that fails gives an [`ErrorObject`](mcp_types::ErrorObject) instead, whose
/// `origin` says where it arose.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Ours: the server program could not be started.
    Spawn {
        /// What was to be started.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// Ours: the standard streams of this process cannot be served.
    StandardStreams(io::Error),
    /// Ours: this URL cannot be asked.
    Url {
        /// The URL.
        url: String,
        /// Why not.
        reason: String,
    },
    /// Ours: nothing can be served at this address.
    Listen {
        /// What to do.
        reason: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The stream failed while reading or writing.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn { program, source } => {
                write!(f, "cannot start `{program}`: {source}; check the command and the PATH")
            }
            Self::StandardStreams(source) => {
                write!(f, "cannot serve on the standard streams of this process: {source}")
            }
            Self::Url { url, reason } => write!(f, "cannot connect to `{url}`: {reason}"),
            Self::Listen { reason, source } => write!(f, "cannot listen there: {source}; {reason}"),
            Self::Io(source) => write!(f, "the connection failed: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Spawn { source, .. }
            | Self::Listen { source, .. }
            | Self::StandardStreams(source)
            | Self::Io(source) => Some(source),
            Self::Url { .. } => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(source: io::Error) -> Self {
        Self::Io(source)
    }
}
