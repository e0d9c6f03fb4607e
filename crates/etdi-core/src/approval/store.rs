//! The seam to whatever keeps approvals.

use mcp_types::BoxFuture;

use super::{Approval, ApprovalKey, SeenManifest, ServerMemory};
use crate::key::KeyId;
use crate::secret::{ProtectionError, ProtectionKind};
use crate::time::UnixTime;

/// Keeps approvals and the memory of signed tools.
///
/// Every write compares and sets: it names the generation that the writer has seen, and is refused
/// with [`StoreError::Conflict`] when another was faster. A lost write means that the decision was
/// made on something outdated: read again and decide again, never write the same once more.
/// Whatever a store cannot read for certain is an error, never an absence; the caller treats any
/// error as "not approved".
///
/// [`approval_store_contract`](super::approval_store_contract) holds an implementation to this, and
/// [`approval_store_of_nodes_contract`](super::approval_store_of_nodes_contract) one that several nodes
/// share.
pub trait ApprovalStore: Send + Sync {
    /// The approval under a key, `None` when there is none.
    fn get<'a>(
        &'a self,
        key: &'a ApprovalKey,
    ) -> BoxFuture<'a, Result<Option<Approval>, StoreError>>;

    /// Stores an approval under its key and gives it back with its new generation.
    ///
    /// `expected` is the generation that it replaces, `None` when there must be none yet. The
    /// generation inside `approval` is ignored.
    fn put(
        &self,
        approval: Approval,
        expected: Option<u64>,
    ) -> BoxFuture<'_, Result<Approval, StoreError>>;

    /// Stores several approvals, each with the generation that it replaces, and gives them back as
    /// [`ApprovalStore::put`] does: in one write, so that all are stored or none is. An approval
    /// that another writer changed, or that is there twice, is a [`StoreError::Conflict`] for all.
    fn put_all(
        &self,
        approvals: Vec<(Approval, Option<u64>)>,
    ) -> BoxFuture<'_, Result<Vec<Approval>, StoreError>>;

    /// Takes an approval away if it still is of this generation. What is remembered of the server
    /// stays.
    fn remove<'a>(
        &'a self,
        key: &'a ApprovalKey,
        expected: u64,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// All approvals that can be read, and an error for each that cannot.
    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>>;

    /// What is remembered of a server, `None` when nothing is.
    fn memory<'a>(
        &'a self,
        server: &'a str,
    ) -> BoxFuture<'a, Result<Option<ServerMemory>, StoreError>>;

    /// Remembers tools that were seen with a verified signature, and gives back all that is
    /// remembered of the server. Adding is commutative, so no write is lost; nothing is written
    /// when nothing is new.
    fn remember<'a>(
        &'a self,
        server: &'a str,
        seen: &'a [Seen],
        now: UnixTime,
    ) -> BoxFuture<'a, Result<ServerMemory, StoreError>>;

    /// Remembers the newest manifest of an issuer, and gives back all that is remembered of the
    /// server. A lower counter than the remembered one changes nothing, so two writers may come in
    /// any order; nothing is written when nothing is new.
    fn remember_manifest<'a>(
        &'a self,
        server: &'a str,
        seen: &'a SeenManifest,
    ) -> BoxFuture<'a, Result<ServerMemory, StoreError>>;

    /// Forgets that a tool was ever signed or, for an empty name, that manifests were ever seen: an
    /// operator's act, for a server that really gave up signing or lost its counter. Says whether
    /// there was anything to forget.
    fn forget<'a>(
        &'a self,
        server: &'a str,
        tool: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Holds the time against the latest that the store has noted, and notes it. A store that
    /// outlives the process writes it down once an hour, or at once when it is to be `exact`.
    ///
    /// # Errors
    ///
    /// [`StoreError::ClockBack`] when the clock is more than [`CLOCK_TOLERANCE`] behind: what has
    /// expired would count again.
    fn observe(&self, now: UnixTime, exact: bool) -> BoxFuture<'_, Result<(), StoreError>>;

    /// A number that grows with every write, cheap to ask for: as long as it stays, nothing that
    /// was read before has changed.
    fn generation(&self) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// [`Self::observe`], not exactly, and then [`Self::generation`], which is what each call asks: a
    /// store that can do both at once says so here.
    ///
    /// # Errors
    ///
    /// Those of both.
    fn observed(&self, now: UnixTime) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            self.observe(now, false).await?;
            self.generation().await
        })
    }
}

/// By how many seconds a clock may be set back without anything happening.
pub const CLOCK_TOLERANCE: u64 = 300;

/// Whether a clock went back behind the latest time that was noted.
pub(crate) fn is_back(latest: UnixTime, now: UnixTime) -> bool {
    now.plus(CLOCK_TOLERANCE) < latest
}

/// A tool that was seen with a verified signature.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// The name of the tool.
    pub tool: String,
    /// Who signed it.
    pub issuer: String,
    /// With which key.
    pub kid: KeyId,
    /// The version that the definition declares.
    pub version: Option<String>,
}

impl Seen {
    /// A tool, its issuer, the key and the version.
    pub fn new(
        tool: impl Into<String>,
        issuer: impl Into<String>,
        kid: KeyId,
        version: Option<String>,
    ) -> Self {
        Self { tool: tool.into(), issuer: issuer.into(), kid, version }
    }
}

/// All that a store holds.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Listing {
    /// The approvals, ordered by key.
    pub approvals: Vec<Approval>,
    /// What could not be read; each means that something is not approved.
    pub faults: Vec<StoreError>,
}

/// Why a store did not do what it was asked for. Each means: not approved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another write was faster.
    #[error("the approval was changed by another writer, read it again and decide again")]
    Conflict {
        /// The generation that is stored now, `None` when nothing is.
        current: Option<u64>,
    },
    /// Something stored is not what was written.
    #[error("the store is damaged: {what}; nothing in doubt counts as approved")]
    Corrupt {
        /// What is wrong with what, and what to do.
        what: String,
    },
    /// Something stored is older than what this process has already seen.
    #[error(
        "the store went back from generation {seen} to {found}, someone restored an old copy; \
         restore the newest one, or accept the old one knowingly"
    )]
    RolledBack {
        /// The highest generation that was seen.
        seen: u64,
        /// The one that is there.
        found: u64,
    },
    /// Others may read or write where only the user may.
    #[error(
        "`{path}` is open to other users (mode {mode:o}), take their rights away with `chmod {wanted:o}`"
    )]
    Exposed {
        /// What is open.
        path: String,
        /// Its mode.
        mode: u32,
        /// The mode that it must have.
        wanted: u32,
    },
    /// The directory belongs to somebody else, who may do with it what they like.
    #[error(
        "`{path}` belongs to user {owner}, and this is user {user}: make it yours with `chown`, or \
         use a directory of your own"
    )]
    Foreign {
        /// The directory.
        path: String,
        /// Whose it is.
        owner: u32,
        /// Who this process is.
        user: u32,
    },
    /// The store is encrypted, and no key was given.
    #[error("`{path}` is encrypted, open it with {by}")]
    Encrypted {
        /// The store.
        path: String,
        /// What opens it, as the store says.
        by: ProtectionKind,
    },
    /// The store is not encrypted, and is to be. It is never encrypted, and never believed,
    /// without being told: anybody could have put it there.
    #[error(
        "`{path}` is not encrypted, look at its approvals and encrypt it with `etdi approvals \
         encrypt`, which takes them as they are"
    )]
    NotEncrypted {
        /// The store.
        path: String,
    },
    /// The key of an encrypted store cannot be had.
    #[error(transparent)]
    Protection(#[from] ProtectionError),
    /// The mark outside the store that shows its newest generation is gone or of another store.
    #[error(
        "`{anchor}` {what}, so an old copy of the store cannot be told from the newest; \
         put it back, or accept the store as it is knowingly"
    )]
    Anchor {
        /// Where the mark is kept.
        anchor: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The clock went back, so that what has expired would count again.
    #[error(
        "the clock says {now}, and the store was in use at {latest}; set the clock right, or, if it \
         was wrong before, set the store's clock back knowingly"
    )]
    ClockBack {
        /// The latest time that was noted.
        latest: UnixTime,
        /// What the clock says.
        now: UnixTime,
    },
    /// Settings that ask for what is not there.
    #[error("{what}")]
    Setting {
        /// What is wrong and what to do.
        what: &'static str,
    },
    /// A bound of the store is reached.
    #[error("no room for more {what}, remove some")]
    Full {
        /// What there is too much of.
        what: &'static str,
    },
    /// Another process holds the store.
    #[error("another process holds the store, try again when it is done")]
    Busy,
    /// The storage itself failed.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A store that is no file failed.
    #[error("the store failed: {message}")]
    Other {
        /// What it said.
        message: String,
    },
}
