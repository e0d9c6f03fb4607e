//! Sessions that several nodes share: what is kept of each, and what nodes tell each other of them.
//!
//! Only the revisions with a handshake have sessions (2025-11-25, "Session Management"). Without a
//! store they live in the process, and a balancer has to send a session to the node that began it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcp_types::BoxFuture;

/// Keeps what nodes need in order to serve each other's sessions, as long as they are used.
///
/// A record is bytes that only the nodes understand; nodes of different releases may share one
/// store. Where two nodes change a session at once, one of them hears that its version is old.
/// A write whose answer is lost may have happened: whoever tries again hears [`Updated::Newer`] or
/// [`Insertion::Taken`].
///
/// A store that does not know must fail: a session that cannot be looked up is not served.
///
/// [`session_store_contract`](super::session_store_contract) holds an implementation to this.
pub trait SessionStore: Send + Sync {
    /// Keeps a new session for `life`, in version 1.
    ///
    /// # Errors
    ///
    /// [`SessionStoreError`] when it is not known to be kept.
    fn insert(
        &self,
        id: &str,
        record: Bytes,
        life: Duration,
    ) -> BoxFuture<'static, Result<Insertion, SessionStoreError>>;

    /// The session under this id, which from now on lives for `life`; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`SessionStoreError`] when that cannot be said.
    fn find(
        &self,
        id: &str,
        life: Duration,
    ) -> BoxFuture<'static, Result<Option<KeptSession>, SessionStoreError>>;

    /// Puts `record` in the place of version `version`, which from now on lives for `life`.
    ///
    /// # Errors
    ///
    /// [`SessionStoreError`] when it is not known to be kept.
    fn update(
        &self,
        id: &str,
        version: u64,
        record: Bytes,
        life: Duration,
    ) -> BoxFuture<'static, Result<Updated, SessionStoreError>>;

    /// Ends a session; whether there was one.
    ///
    /// # Errors
    ///
    /// [`SessionStoreError`] when it is not known to have ended.
    fn remove(&self, id: &str) -> BoxFuture<'static, Result<bool, SessionStoreError>>;

    /// Tells all nodes something about a session. It is kept for a minute or more.
    ///
    /// # Errors
    ///
    /// [`SessionStoreError`] when it is not known to be told.
    fn tell(&self, id: &str, told: Bytes) -> BoxFuture<'static, Result<(), SessionStoreError>>;

    /// What nodes have told since `after`, in order; without `after`, only from where to go on.
    ///
    /// # Errors
    ///
    /// [`SessionStoreError`] when that cannot be said.
    fn hear(
        &self,
        after: Option<Heard>,
    ) -> BoxFuture<'static, Result<SessionNews, SessionStoreError>>;
}

/// What became of a new session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Insertion {
    /// It is kept.
    Kept,
    /// There is one with this id already, which stays as it is.
    Taken,
}

/// A session as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptSession {
    /// Counts up by one with each update, from 1.
    pub version: u64,
    /// What the nodes wrote.
    pub record: Bytes,
}

impl KeptSession {
    /// Version `version` of a session, with its record.
    pub fn new(version: u64, record: Bytes) -> Self {
        Self { version, record }
    }
}

/// What became of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Updated {
    /// It is kept, in the next version.
    Kept,
    /// The session is in another version, and stays as it is.
    Newer(KeptSession),
    /// There is no such session.
    Gone,
}

/// Up to where a node has heard the others. Only the store that made it knows what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard(pub Arc<str>);

/// What nodes have told each other.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionNews {
    /// From where to go on.
    pub heard: Heard,
    /// Of which session something was told, and what. There may be more, which a store gives when it
    /// is asked again.
    pub told: Vec<(Arc<str>, Bytes)>,
    /// Whether something was told that is not known any more.
    pub lost: bool,
}

impl SessionNews {
    /// What was told, and where to go on from.
    pub fn new(heard: Heard, told: Vec<(Arc<str>, Bytes)>, lost: bool) -> Self {
        Self { heard, told, lost }
    }
}

/// Why a store cannot say or do what it was asked.
#[derive(Debug)]
pub struct SessionStoreError(pub Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for SessionStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store of sessions does not work: {}", self.0)
    }
}

impl std::error::Error for SessionStoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}
