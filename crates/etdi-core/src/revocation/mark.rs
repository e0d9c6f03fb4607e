//! The mark of what was revoked on a host, outside the directory in which that is kept:
//! `etdi-revocations 1 COUNT DIGEST`, over the first so many entries. Entries are only added at the
//! end, so whoever has more than the mark says has them all; whoever has fewer, or others, has lost
//! some.

use std::path::Path;
use std::sync::Arc;

use super::known::{FILE, State};
use super::{RevocationError, Revocations, store};
use crate::digest::{Digest, Hasher};
use crate::store::Anchor;
use crate::store::disk::{Disk, Files};
use crate::wire::RevocationEntry;

const FORMAT: &str = "etdi-revocations 1";

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    count: usize,
    digest: Digest,
}

impl Mark {
    /// The mark of all these.
    fn of(here: &[RevocationEntry]) -> Result<Self, RevocationError> {
        let mut hasher = Hasher::new();
        hasher.update(FORMAT.as_bytes());
        // When and why is for people, who may write more about it.
        for revoked in here.iter().filter_map(RevocationEntry::revoked) {
            let text = serde_json::to_vec(&RevocationEntry::from(revoked))
                .map_err(|error| RevocationError::Store(error.to_string()))?;
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(&text);
        }
        Ok(Self { count: here.len(), digest: hasher.finish() })
    }

    fn read(text: &str) -> Option<Self> {
        let (count, digest) = text.strip_prefix(FORMAT)?.strip_prefix(' ')?.split_once(' ')?;
        let mark = Self { count: count.parse().ok()?, digest: digest.parse().ok()? };
        (mark.text() == text).then_some(mark)
    }

    fn text(&self) -> String {
        format!("{FORMAT} {} {}", self.count, self.digest)
    }
}

impl Revocations {
    /// The same as [`Revocations::open`], with a mark outside the directory, by which it is found out that
    /// what was revoked here ([`Revocations::revoke`]) was taken away, all or in part. Whoever
    /// takes the mark away as well is noticed by nobody. Lists of issuers have no mark: they are
    /// signed, and fetched again.
    ///
    /// Where something was revoked before there was a mark, one is made.
    ///
    /// # Errors
    ///
    /// [`RevocationError::TakenAway`] when that is so, and [`RevocationError::Store`] as
    /// [`Revocations::open`], or when the mark cannot be read or made.
    pub fn open_marked(directory: &Path, mark: Arc<dyn Anchor>) -> Result<Self, RevocationError> {
        let mut revocations = Self::open(directory)?;
        revocations.mark = Some(mark);
        if let Some(disk) = &revocations.disk
            && !matches!(revocations.holds(disk, &revocations.read().here), Ok(true))
        {
            // Another process may be about to revoke more.
            let _lock = disk.lock().map_err(store)?;
            let state = State::read(disk)?;
            let here = state.as_ref().map_or(&[][..], |state| state.here.as_slice());
            revocations.mark(disk, here)?;
            if let Some(state) = state {
                *revocations.write() = state;
            }
        }
        Ok(revocations)
    }

    /// Takes what is there for all that was revoked here, whatever the mark says: an operator's act.
    /// Gives how many entries that are.
    ///
    /// # Errors
    ///
    /// [`RevocationError::Store`] when it cannot be read, or the mark cannot be made.
    pub fn take_as_it_is(directory: &Path, mark: &dyn Anchor) -> Result<usize, RevocationError> {
        let disk = Disk::open(directory).map_err(store)?;
        let _lock = disk.lock().map_err(store)?;
        let state = State::read(&disk)?.unwrap_or_default();
        if !state.here.is_empty() || mark.read().map_err(store)?.is_some() {
            mark.write(&Mark::of(&state.here)?.text()).map_err(store)?;
        }
        Ok(state.here.len())
    }

    /// Notes outside what was written. The caller holds the lock, and has written it.
    pub(super) fn mark(
        &self,
        disk: &Disk,
        here: &[RevocationEntry],
    ) -> Result<(), RevocationError> {
        let Some(mark) = &self.mark else { return Ok(()) };
        match self.holds(disk, here)? {
            true => Ok(()),
            false => mark.write(&Mark::of(here)?.text()).map_err(store),
        }
    }

    /// Holds entries against the mark, and says whether it is the one of all of them.
    pub(super) fn holds(
        &self,
        disk: &Disk,
        here: &[RevocationEntry],
    ) -> Result<bool, RevocationError> {
        let Some(mark) = &self.mark else { return Ok(true) };
        let Some(text) = mark.read().map_err(store)? else { return Ok(here.is_empty()) };
        let damaged = || RevocationError::Store(format!("`{}` is damaged", mark.place()));
        let noted = Mark::read(&text).ok_or_else(damaged)?;
        match here.get(..noted.count) {
            Some(first) if Mark::of(first)? == noted => Ok(noted.count == here.len()),
            _ => Err(RevocationError::TakenAway {
                path: disk.path(FILE).display().to_string(),
                mark: mark.place(),
                count: noted.count,
            }),
        }
    }
}
