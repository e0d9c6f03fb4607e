//! What the verbs give: tools by their names, what became of them, what was done.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use etdi_core::change::Changes;
use etdi_core::layer::Review;
use etdi_core::verify::{Claimed, VerificationStats};
use serde::Serialize;

use crate::VerificationStatus;

/// A tool by the name of its server, as the host named it, and its own.
///
/// ```
/// use etdi::ToolId;
///
/// let id: ToolId = "notes/search".parse()?;
/// assert_eq!((id.server(), id.tool()), ("notes", "search"));
/// assert!("search".parse::<ToolId>().is_err());
/// # Ok::<(), etdi::InvalidToolId>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolId {
    pub(super) server: String,
    pub(super) tool: String,
}

impl ToolId {
    /// A tool of a server.
    pub fn new(server: impl Into<String>, tool: impl Into<String>) -> Self {
        Self { server: server.into(), tool: tool.into() }
    }

    /// The server, as the host named it.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The tool, as the server names it.
    pub fn tool(&self) -> &str {
        &self.tool
    }
}

impl fmt::Display for ToolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server, self.tool)
    }
}

/// A text that names no tool of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a tool of a server, write the server's name, `/`, and the tool's name")]
pub struct InvalidToolId;

impl std::str::FromStr for ToolId {
    type Err = InvalidToolId;

    fn from_str(text: &str) -> Result<Self, InvalidToolId> {
        let (server, tool) = text.split_once('/').ok_or(InvalidToolId)?;
        match server.is_empty() || tool.is_empty() {
            true => Err(InvalidToolId),
            false => Ok(Self::new(server, tool)),
        }
    }
}

impl From<&ToolId> for ToolId {
    fn from(id: &ToolId) -> Self {
        id.clone()
    }
}

/// A tool that a server lists, and what became of it.
#[derive(Clone, Debug)]
pub struct DiscoveredTool {
    pub(super) id: ToolId,
    pub(super) review: Arc<Review>,
}

impl DiscoveredTool {
    /// By what it is called.
    pub fn id(&self) -> &ToolId {
        &self.id
    }

    /// What verification found, as one word. It is data for the host to show: the tool's own name
    /// and texts never say it.
    pub fn verification_status(&self) -> VerificationStatus {
        VerificationStatus::of(self.review.verification())
    }

    /// What its signers claim of the program and the interface behind it: their word, which nobody
    /// has checked. Empty for what is not verified.
    pub fn claimed(&self) -> &[Claimed] {
        self.review.verification().map_or(&[], |verified| verified.claimed())
    }

    /// Whether it may be called.
    pub fn is_approved(&self) -> bool {
        self.review.is_approved()
    }

    /// Everything that is known of it.
    pub fn review(&self) -> &Arc<Review> {
        &self.review
    }
}

/// What is different about a tool since it was approved.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VersionChange {
    /// The version that was approved.
    pub approved: Option<String>,
    /// The version that is listed.
    pub listed: Option<String>,
    /// What changed in the definition.
    pub changes: Changes,
    /// Whether a person has to approve it again.
    pub needs_approval: bool,
}

/// What a client has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// How many servers are connected.
    pub servers: usize,
    /// How many tools they listed last.
    pub tools: usize,
    /// How many of these a known publisher vouches for.
    pub verified: usize,
    /// How many of these may be called.
    pub approved: usize,
    /// How many calls were answered by a server.
    pub calls: u64,
    /// What is remembered of the signatures that were checked.
    pub verification: VerificationStats,
    /// How many calls a check refused.
    pub refused: u64,
    /// How many calls failed otherwise.
    pub failed: u64,
    /// How often each kind of event happened, by its name.
    pub events: BTreeMap<String, u64>,
}
