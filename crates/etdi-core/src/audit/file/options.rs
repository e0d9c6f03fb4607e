//! How an audit trail is kept.

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::{AuditError, AuditFile, State};
use crate::audit::chain::MAX_LINE;
use crate::audit::outage::{AuditOutage, Losses, Told};
use crate::proof::Signer;

/// What has happened to a line when [`Auditor::record`](crate::audit::Auditor::record) returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// The system has it; a power cut may lose it.
    Written,
    /// The device has it.
    Synced,
}

/// How an audit trail is kept; [`AuditFileOptions::open`] begins it, or goes on with it.
#[derive(Clone)]
#[must_use = "options do nothing until `open` is called"]
pub struct AuditFileOptions {
    pub(super) durability: Durability,
    pub(super) rotate_at: u64,
    pub(super) keep_files: Option<usize>,
    pub(super) signer: Option<(Arc<dyn Signer>, u64)>,
    pub(super) told: Option<Told>,
}

impl Default for AuditFileOptions {
    /// Lines are written and not synced, a file is at most 16 MiB, all are kept, nothing is signed.
    fn default() -> Self {
        Self {
            durability: Durability::Written,
            rotate_at: 16 << 20,
            keep_files: None,
            signer: None,
            told: None,
        }
    }
}

impl std::fmt::Debug for AuditFileOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditFileOptions")
            .field("durability", &self.durability)
            .field("rotate_at", &self.rotate_at)
            .field("keep_files", &self.keep_files)
            .finish_non_exhaustive()
    }
}

impl AuditFileOptions {
    /// Says what has happened to a line when it counts as noted.
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// Goes on in another file once one has so many bytes, at least 128 KiB.
    pub fn rotate_at(self, bytes: u64) -> Self {
        Self { rotate_at: bytes.max(SMALLEST), ..self }
    }

    /// Removes the oldest files beyond so many, at least one beside the one that is written.
    pub fn keep_files(self, files: usize) -> Self {
        Self { keep_files: Some(files.max(1)), ..self }
    }

    /// Signs the trail after so many entries each, at least one. Whoever has the file and not the
    /// key can then neither write it anew nor cut off more than that without being found out.
    pub fn sign(self, signer: Arc<dyn Signer>, every: u64) -> Self {
        Self { signer: Some((signer, every.max(1))), ..self }
    }

    /// Tells somebody when entries cannot be written, such as onto a full disk, and when they are
    /// again: once each, and of a beginning once a minute at most. It is called where the entry is
    /// recorded, and must not wait. The trail itself has a line about it
    /// ([`Entry::lost`](crate::audit::Entry::lost)) as soon as one can be written; of what a process lost
    /// that ends before, no line tells.
    pub fn on_outage(self, told: impl Fn(&AuditOutage<'_>) + Send + Sync + 'static) -> Self {
        Self { told: Some(Arc::new(told)), ..self }
    }

    /// Opens a trail, or begins one in a file that only its owner may read.
    ///
    /// A line that a crash left half-written is taken out, and the next line says so. Of what is
    /// there only the last line is checked; [`verify_trail`](crate::audit::verify_trail) checks all.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or locked, others may write it, or its last line is damaged.
    pub fn open(self, path: impl AsRef<Path>) -> Result<AuditFile, AuditError> {
        let path = path.as_ref().to_owned();
        let state = State::open(&path)?;
        let losses = Losses::default();
        let audit = AuditFile { path, options: self, state: Mutex::new(state), losses };
        audit.locked(|_| Ok(()))?;
        Ok(audit)
    }
}

/// No file is shorter when it is full: two of the longest lines fit.
const SMALLEST: u64 = if cfg!(test) { 1 << 10 } else { 2 * MAX_LINE as u64 };
