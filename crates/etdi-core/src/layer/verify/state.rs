//! What is known on one connection: of the server, and of each tool that it listed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use mcp_types::RawText;

use super::feature::MAX_FEATURES;
use super::{FeatureKind, FeatureReview, PeerCapability, Review};
use crate::approval::{ServerMemory, Standing};
use crate::binding::{Challenge, Possession};
use crate::bounded::Bounded;
use crate::definition::RawTool;
use crate::digest::Digest;
use crate::time::UnixTime;
use crate::verify::VerifyError;

#[derive(Default)]
pub(super) struct State {
    pub(super) greeted: bool,
    pub(super) challenge: Option<Challenge>,
    pub(super) answer: Option<RawText>,
    pub(super) possession: Option<Possession>,
    /// Why the server's answer to the challenge does not count.
    pub(super) possession_error: Option<VerifyError>,
    pub(super) tools: Bounded<String, Entry, MAX_TOOLS>,
    /// Until when what was checked does not count any more, because the tools are said to have changed.
    pub(super) stale: Option<UnixTime>,
    /// The nonce that the server wanted to see last.
    pub(super) nonce: Option<String>,
    /// Calls that wait for answers, by the digest of their state, with their statements so far.
    pub(super) waiting: VecDeque<(Digest, Vec<String>)>,
    /// What the server says of ETDI.
    pub(super) capability: PeerCapability,
    /// Whether the server says that it gives receipts.
    pub(super) gives_receipts: bool,
    /// Whether it says that it takes signed calls alone.
    pub(super) wants_signed: bool,
    /// Whether it says that it takes calls that are signed as the Python SDK's README says.
    pub(super) takes_older: bool,
    /// The bytes of names and texts in `tools`.
    pub(super) kept: usize,
    /// The page on which a name stood, in the listing that is under way, by the digest of its
    /// cursor: a server chooses how long that is, and how many names follow it. Names for which
    /// there is no room are refused, since nobody could tell whether they stood there before.
    pub(super) pages: HashMap<String, Option<Digest>>,
    /// The number of the listing that is under way, and of the last that came to its end: what was
    /// seen before that is not offered any more.
    pub(super) listing: u64,
    pub(super) listed: u64,
    /// What is remembered of the server, and the generation of the store in which it was.
    pub(super) memory: Option<(u64, Option<Arc<ServerMemory>>)>,
    /// What was last wrong with the manifest.
    pub(super) alarmed: Option<VerifyError>,
    pub(super) features: Bounded<(FeatureKind, String), Arc<FeatureReview>, MAX_FEATURES>,
}

/// A tool as it was last listed, and what became of it.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) listed: RawText,
    pub(super) raw: Option<RawTool>,
    pub(super) standing: Standing,
    pub(super) review: Arc<Review>,
    pub(super) generation: u64,
    pub(super) checked_at: UnixTime,
    /// The listing in which it stood last.
    pub(super) listing: u64,
}

/// The most tools of one server.
pub(super) const MAX_TOOLS: usize = 65_536;

/// The most bytes of names and texts of one server; a hostile one lists others each time.
const MAX_KEPT: usize = if cfg!(test) { 1 << 20 } else { 64 << 20 };

impl State {
    /// What stands in the last listing under a name.
    pub(super) fn listed(&self, name: &str) -> Option<&Entry> {
        self.tools.get(name).filter(|entry| entry.listing >= self.listed)
    }

    pub(super) fn keep(&mut self, name: String, entry: Entry) {
        let size = name.len() + entry.listed.get().len();
        self.forget(&name);
        while self.kept.saturating_add(size) > MAX_KEPT
            && let Some((name, oldest)) = self.tools.pop_unused()
        {
            self.no_longer(&name, &oldest);
        }
        self.kept = self.kept.saturating_add(size);
        if let Some((name, oldest)) = self.tools.insert(name, entry) {
            self.no_longer(&name, &oldest);
        }
    }

    pub(super) fn forget(&mut self, name: &str) {
        if let Some(old) = self.tools.remove(name) {
            self.no_longer(name, &old);
        }
    }

    fn no_longer(&mut self, name: &str, old: &Entry) {
        self.kept = self.kept.saturating_sub(name.len() + old.listed.get().len());
    }

    pub(super) fn forget_all(&mut self) {
        self.tools.clear();
        self.kept = 0;
    }
}
