//! What goes out of a file store and comes in: bundles, backups, and what is old enough to go.

use std::path::Path;

use super::bundle::{Bundle, Imported};
use super::disk::{Disk, Files};
use super::{
    APPROVAL, ApprovalRecord, FileStore, SERVER, ServerRecord, VERSION, approval_name, encode,
    server_name,
};
use crate::approval::{Approval, ServerMemory, StoreError};
use crate::time::UnixTime;

const DAY: u64 = 86_400;
const PREFIX: &str = "approvals-";
const SUFFIX: &str = ".etdi";

impl FileStore {
    /// All approvals and all that is remembered.
    ///
    /// # Errors
    ///
    /// When a record cannot be read: discard it first, so that nobody takes a part for the whole.
    pub fn export(&self, now: UnixTime) -> Result<Bundle, StoreError> {
        let mut bundle = Bundle { made_at: now, ..Bundle::default() };
        for name in self.vault.names()? {
            if name.starts_with(APPROVAL) {
                bundle.approvals.extend(self.approval(&name)?);
            } else if name.starts_with(SERVER) {
                bundle.servers.extend(self.server_record(&name)?);
            }
        }
        bundle.approvals.sort_by(|a, b| a.key.cmp(&b.key));
        bundle.servers.sort_by(|a, b| a.server.cmp(&b.server));
        Ok(bundle)
    }

    /// Takes the approvals of a bundle in, in one write, and adds to what is remembered. An
    /// approval that the store has stays as it is, above all a withdrawn one.
    ///
    /// Whoever made the bundle decides what is approved here: import only one's own.
    ///
    /// # Errors
    ///
    /// As any write; nothing was taken in then.
    pub fn import(&self, bundle: &Bundle) -> Result<Imported, StoreError> {
        self.vault.write(|generation, draft| {
            let mut imported = Imported::default();
            for approval in &bundle.approvals {
                let name = approval_name(&approval.key);
                if draft.generation(&name).is_some() {
                    imported.kept += 1;
                    continue;
                }
                let approval = Approval { generation, ..approval.clone() };
                draft.put(name, encode(&ApprovalRecord { v: VERSION, approval })?);
                imported.added += 1;
            }
            for other in &bundle.servers {
                let known = self.server(&other.server)?;
                let mut memory = known.unwrap_or_else(|| ServerMemory::new(&other.server));
                if memory.merge(other)? {
                    let name = server_name(&other.server);
                    draft.put(name, encode(&ServerRecord { v: VERSION, generation, memory })?);
                }
            }
            Ok(imported)
        })
    }

    /// Takes away what was withdrawn or expired at least so many days ago, and says how many. The
    /// tools ask again, as they would have; what is remembered of servers stays.
    ///
    /// # Errors
    ///
    /// As any write.
    pub fn retire(&self, days: u64, now: UnixTime) -> Result<usize, StoreError> {
        let limit = now.minus(days.saturating_mul(DAY));
        let mut old = Vec::new();
        for name in self.vault.names()?.into_iter().filter(|name| name.starts_with(APPROVAL)) {
            // What cannot be read is nobody's to clear away.
            let Ok(Some(approval)) = self.approval(&name) else { continue };
            if approval.ended_at(now).is_some_and(|ended| ended <= limit) {
                old.push((name, approval.generation));
            }
        }
        if old.is_empty() {
            return Ok(0);
        }
        self.vault.write(|_, draft| {
            let gone = old.iter().filter(|(name, generation)| {
                draft.generation(name) == Some(*generation) && draft.remove(name)
            });
            Ok(gone.count())
        })
    }

    /// Writes a bundle into another directory, protected as the store is, unless there is one of
    /// the last day, and deletes bundles that are older than so many days. Says whether one was
    /// written. [`FileStore::import`] takes it in again.
    ///
    /// # Errors
    ///
    /// When the directory is open to others or cannot be written, or a record cannot be read.
    pub fn backup(
        &self,
        directory: impl AsRef<Path>,
        days: u64,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        let disk = Disk::open(directory.as_ref())?;
        let _lock = disk.lock()?;
        let made = |name: &str| -> Option<UnixTime> {
            let seconds = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
            Some(UnixTime(seconds.parse().ok()?))
        };
        let backups: Vec<_> =
            disk.names()?.into_iter().filter_map(|name| Some((made(&name)?, name))).collect();
        let fresh = |made: UnixTime| made <= now && now < made.plus(DAY);
        let due = !backups.iter().any(|(made, _)| fresh(*made)) && !self.vault.names()?.is_empty();
        if due {
            let bundle = self.export(now)?;
            let bytes = bundle.to_bytes(self.vault.present_protection().as_ref())?;
            disk.write(&format!("{PREFIX}{}{SUFFIX}", now.seconds()), &bytes)?;
        }
        let limit = now.minus(days.saturating_mul(DAY));
        for (_, name) in backups.iter().filter(|(made, _)| *made < limit) {
            disk.delete(name)?;
        }
        Ok(due)
    }
}
