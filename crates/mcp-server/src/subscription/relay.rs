//! Changes that other nodes of the same server hear of.

/// One change, as nodes tell each other of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Change {
    /// Nobody knows what changed, so all may have: some of what was told is lost.
    Everything,
    /// The list of tools.
    Tools,
    /// The list of prompts.
    Prompts,
    /// The list of resources, or of templates.
    Resources,
    /// The content of the resource with this URI.
    Resource(String),
}

/// Carries changes to other nodes; given to [`Changes::relay`](super::Changes::relay).
///
/// The other way, what another node announced, is [`Changes::hear`](super::Changes::hear). Whoever
/// cannot say whether a change was lost hears [`Change::Everything`]: to be told once too often costs
/// a client a listing, to be told once too little leaves it with an old one.
///
/// ```
/// use std::sync::{Arc, mpsc};
/// use mcp_server::{Change, ChangeRelay, Server};
///
/// struct Wire(mpsc::Sender<Change>);
///
/// impl ChangeRelay for Wire {
///     fn announced(&self, change: Change) {
///         let _ = self.0.send(change);
///     }
/// }
///
/// let (wire, other_end) = mpsc::channel();
/// let here = Server::new("shop", "1.0.0").list_changes().build()?;
/// let there = Server::new("shop", "1.0.0").list_changes().build()?;
/// here.changes().relay(Arc::new(Wire(wire)));
/// here.changes().tool_list_changed();
/// there.changes().hear(&other_end.recv()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ChangeRelay: Send + Sync {
    /// Something was announced on this node. Must not wait.
    fn announced(&self, change: Change);
}
