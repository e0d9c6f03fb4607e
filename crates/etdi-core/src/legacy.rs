//! What the Python fork of the SDK left behind: its approvals, definitions, JSON, and the calls that
//! it signs ([`call`]). Without the feature `python-fork` there are JSON, views of definitions and
//! calls alone, as its README states them.
//!
//! Approvals are only for taking over. Nothing read here is trusted as it is: an approval of the fork names
//! neither a server nor an issuer nor a digest of ours, and its times have no zone, so it becomes
//! a record that asks again and shows what was approved then.
//!
//! ```
//! # #[cfg(feature = "python-fork")] {
//! use etdi_core::legacy::ForkDefinition;
//!
//! let text = r#"{"id":"t","name":"T","version":"1.0.0","description":"","provider":{"id":"a","name":"A"},
//!     "schema":{"type":"object"},"permissions":[]}"#;
//! let definition = ForkDefinition::read(text)?;
//! // The fork hashes the same definition in three ways; a record says one of them.
//! assert_ne!(definition.approval_hash()?, definition.provider_hash()?);
//! # }
//! # Ok::<(), etdi_core::legacy::ForkError>(())
//! ```

#[cfg(feature = "python-fork")]
mod approvals;
pub mod call;
#[cfg(feature = "python-fork")]
mod definition;
#[cfg(feature = "python-fork")]
mod fernet;
mod json;
#[cfg(feature = "python-fork")]
mod keys;
#[cfg(feature = "python-fork")]
mod pss;
mod view;

#[cfg(feature = "python-fork")]
pub use approvals::{ForkApproval, ForkApprovals};
#[cfg(feature = "python-fork")]
pub use definition::ForkDefinition;
pub use json::{PythonStyle, python_json};
#[cfg(feature = "python-fork")]
pub use keys::ForkKey;
pub use view::{DefinitionView, SecurityView, TokenView, permission_of};

/// Something of the fork that cannot be taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForkError {
    /// A text that is not what the fork writes.
    #[error("{what} is not what the fork writes, {why}")]
    Unreadable {
        /// Which file or text.
        what: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A file that does not open with the key.
    #[error("{what} does not open with this key, give the `.key` file of the same directory")]
    WrongKey {
        /// Which file.
        what: String,
    },
    /// A file under the name of another tool, which the fork would take for that tool's approval.
    #[error("`{file}` holds the approval of `{tool}` under another tool's name, do not trust it")]
    Misplaced {
        /// The file.
        file: String,
        /// The tool inside, escaped.
        tool: String,
    },
    /// A file that cannot be read.
    #[error("cannot read `{path}`")]
    Io {
        /// Which file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}
