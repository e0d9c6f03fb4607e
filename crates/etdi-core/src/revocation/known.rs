//! What is known of each issuer, as it is kept in a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::list::{Revoked, outruns, things};
use super::{MAX_ISSUERS, RevocationError, store};
use crate::identity::ProviderId;
use crate::ijson::{Document, Limits};
use crate::store::disk::{Disk, Files};
use crate::time::UnixTime;
use crate::verify::CLOCK_SKEW;
use crate::wire::{RevocationEntry, RevocationsClaims};

/// The file's name, and the most bytes of it.
pub(super) const FILE: &str = "revocations.json";
pub(super) const MAX_FILE: usize = 16 << 20;

/// The most bytes of it for issuers that the host does not name: any server can bring them. There is
/// room for all that one listing asks for.
pub(super) const MAX_STRANGE: usize = 8 << 20;

/// The most bytes of what other lists of one issuer revoke beside its newest.
const MAX_ALSO: usize = 256 << 10;

/// What is known of one issuer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
    /// The newest list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) list: Option<RevocationsClaims>,
    /// What other lists of the issuer revoke beside it, where several places keep one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) also: Vec<RevocationEntry>,
    /// When the issuer last answered: with this list, or that it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answered: Option<UnixTime>,
    /// Whether the host named the issuer, and not only a server that lists its tools.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) named: bool,
    #[serde(skip)]
    pub(super) failed: Option<(UnixTime, String)>,
    /// What all of them revoke, for looking up.
    #[serde(skip)]
    pub(super) revoked: BTreeSet<Revoked>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub(super) v: u32,
    #[serde(default)]
    pub(super) issuers: BTreeMap<ProviderId, Known>,
    /// What was revoked here, of any issuer.
    #[serde(default)]
    pub(super) here: Vec<RevocationEntry>,
    #[serde(skip)]
    pub(super) revoked_here: BTreeSet<Revoked>,
}

impl State {
    /// What is kept, `None` before anything is.
    pub(super) fn read(disk: &Disk) -> Result<Option<Self>, RevocationError> {
        // One byte more shows that it is longer.
        let bytes = disk.read_start(FILE, MAX_FILE + 1).map_err(store)?;
        match bytes {
            Some(bytes) if bytes.len() > MAX_FILE => Err(too_long(disk)),
            Some(bytes) => Self::from_file(&bytes, &disk.path(FILE)).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn text(&self) -> Result<Vec<u8>, RevocationError> {
        serde_json::to_vec(self).map_err(|error| RevocationError::Store(error.to_string()))
    }

    /// Forgets issuers that the host does not name, down to [`MAX_ISSUERS`] and so many bytes: first
    /// those with no list, then those who answered longest ago, and `but` last.
    pub(super) fn make_room(&mut self, but: Option<&ProviderId>, room: usize) {
        let strangers = self.issuers.iter().filter(|(_, known)| !known.named);
        let mut strangers: Vec<_> = strangers
            .map(|(issuer, known)| {
                let revokes = known.list.is_some() || !known.also.is_empty();
                let worth = (Some(issuer) == but, revokes, known.answered);
                (worth, issuer.as_str().len().saturating_add(length(known)), issuer.clone())
            })
            .collect();
        strangers.sort_by(|one, other| other.cmp(one));
        let (mut count, mut bytes) = (0usize, 0usize);
        for (_, length, issuer) in strangers {
            let with = bytes.saturating_add(length);
            if count >= MAX_ISSUERS || with > room {
                self.issuers.remove(&issuer);
            } else {
                (count, bytes) = (count.saturating_add(1), with);
            }
        }
    }

    fn from_file(bytes: &[u8], path: &Path) -> Result<Self, RevocationError> {
        Self::read_text(bytes, &format!("`{}`", path.display()))
    }

    /// What several nodes keep.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, RevocationError> {
        if bytes.len() > MAX_FILE {
            let why = format!("what is kept has more than {MAX_FILE} bytes");
            return Err(RevocationError::Store(why));
        }
        Self::read_text(bytes, "what is kept")
    }

    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        self.issuers.is_empty() && self.here.is_empty()
    }

    /// Whether whatever `other` refuses is refused by this too.
    pub(super) fn has_all_of(&self, other: &Self) -> bool {
        let has = |(issuer, theirs): (&ProviderId, &Known)| match self.issuers.get(issuer) {
            Some(ours) => ours.has_all_of(theirs),
            None => theirs.list.is_none() && theirs.also.is_empty(),
        };
        other.revoked_here.is_subset(&self.revoked_here) && other.issuers.iter().all(has)
    }

    fn read_text(bytes: &[u8], what: &str) -> Result<Self, RevocationError> {
        let damaged = |why: String| RevocationError::Store(format!("{what} is damaged: {why}"));
        let text = std::str::from_utf8(bytes).map_err(|error| damaged(error.to_string()))?;
        let limits = Limits { bytes: MAX_FILE, values: 1 << 22, ..Limits::STATEMENT };
        Document::parse(text, limits).map_err(|error| damaged(error.to_string()))?;
        let mut state: Self =
            serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        if state.v != 1 {
            return Err(damaged(format!("format {} is not known, use 1", state.v)));
        }
        state.revoked_here = things(&state.here).map_err(damaged)?;
        for known in state.issuers.values_mut() {
            known.revoked = things(&known.also).map_err(damaged)?;
            if let Some(list) = &mut known.list {
                known.revoked.extend(things(&list.revoked).map_err(damaged)?);
                // Kept before numbers had a bound: it would silence its issuer for good.
                if outruns(list.seq, list.iat) {
                    list.seq = list.iat;
                }
            }
        }
        Ok(state)
    }

    /// What both know: of each issuer the list with the higher number, and what others revoke.
    pub(super) fn with(mut self, newer: &Self) -> Self {
        self.v = newer.v;
        for (issuer, known) in &newer.issuers {
            match self.issuers.get_mut(issuer) {
                Some(kept) => kept.unite(issuer, known),
                None => {
                    self.issuers.insert(issuer.clone(), known.clone());
                }
            }
        }
        let new = newer.here.iter().filter(|entry| {
            entry.revoked().is_some_and(|revoked| self.revoked_here.insert(revoked))
        });
        self.here.extend(new.cloned());
        self
    }
}

impl Known {
    /// Learns what another process has learned, or this one since. Of two lists of one number both
    /// revoke.
    fn unite(&mut self, issuer: &ProviderId, newer: &Self) {
        let seq = |known: &Self| known.list.as_ref().map(|list| list.seq);
        let before = match seq(newer) >= seq(self) {
            true => std::mem::replace(self, newer.clone()),
            false => newer.clone(),
        };
        self.named |= before.named;
        let fork = before.list.filter(|list| {
            let list = Some(list);
            seq(self) == list.map(|list| list.seq) && self.list.as_ref() != list
        });
        let fork = fork.map(|list| list.revoked).unwrap_or_default();
        self.revoke_also(issuer, before.also.into_iter().chain(fork));
    }

    /// Whether this is the newer list, or the same with all that others revoke.
    fn has_all_of(&self, other: &Self) -> bool {
        let seq = |known: &Self| known.list.as_ref().map(|list| list.seq);
        let also = |entry: &RevocationEntry| {
            entry.revoked().is_none_or(|revoked| self.revoked.contains(&revoked))
        };
        let as_new = seq(self) > seq(other)
            || seq(self) == seq(other) && other.revoked.is_subset(&self.revoked);
        as_new && other.also.iter().all(also)
    }

    /// Revokes what other lists of the issuer revoke, for good. Says whether any of it is new.
    ///
    /// Where that is more than [`MAX_ALSO`], all that the issuer says is revoked: nothing may count
    /// because there was no room to note that it was taken back.
    pub(super) fn revoke_also(
        &mut self,
        issuer: &ProviderId,
        entries: impl IntoIterator<Item = RevocationEntry>,
    ) -> bool {
        let (mut length, before) = (length(&self.also), self.also.len());
        for mut entry in entries {
            let Some(revoked) = entry.revoked() else { continue };
            entry.reason = None;
            if self.revoked.contains(&revoked) {
                continue;
            }
            length = length.saturating_add(self::length(&entry));
            if length > MAX_ALSO {
                let all = Revoked::Provider(issuer.clone());
                if self.revoked.insert(all.clone()) {
                    self.also.push(RevocationEntry::from(all));
                }
                break;
            }
            self.revoked.insert(revoked);
            self.also.push(entry);
        }
        self.also.len() > before
    }

    /// Whether the issuer answered within `age` seconds, with a list that still holds. An answer
    /// from the future, of a clock that was set back since, is none.
    pub(super) fn is_younger(&self, age: u64, now: UnixTime) -> bool {
        let holds = self.list.as_ref().is_none_or(|list| now < UnixTime(list.next_update));
        let young = |at: UnixTime| at <= now.plus(CLOCK_SKEW) && now <= at.plus(age);
        holds && self.answered.is_some_and(young)
    }
}

/// What to do where the host itself names more than can be kept, or another program wrote it.
pub(super) fn too_long(disk: &Disk) -> RevocationError {
    RevocationError::Store(format!(
        "`{}` has no room for more than {MAX_FILE} bytes: keep its `here`, which is what was revoked \
         on this host, and take out issuers that are not needed any more",
        disk.path(FILE).display()
    ))
}

/// How many bytes it takes in the file.
fn length(of: &impl Serialize) -> usize {
    struct Counted(usize);

    impl std::io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let mut counted = Counted(0);
    match serde_json::to_writer(&mut counted, of) {
        Ok(()) => counted.0,
        Err(_) => usize::MAX,
    }
}
