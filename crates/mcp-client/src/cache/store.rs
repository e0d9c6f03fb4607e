//! What is kept: results by key, their age, and what has made them stale.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use mcp_types::ServerResult;
use serde::Serialize;

/// What becomes stale together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Family {
    Discover,
    Tools,
    Prompts,
    Resources,
    Templates,
    Reads,
}

impl Family {
    pub(super) const ALL: [Self; 6] =
        [Self::Discover, Self::Tools, Self::Prompts, Self::Resources, Self::Templates, Self::Reads];
}

/// What was asked, and for whom the answer is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    family: Family,
    /// The cursor of a page, or the URI of a resource.
    subject: Option<String>,
    declared: Option<String>,
    /// `None` for everybody.
    owner: Option<String>,
}

impl Key {
    pub(super) fn new(family: Family, subject: Option<String>, declared: Option<String>) -> Self {
        Self { family, subject, declared, owner: None }
    }

    /// The same for one caller alone.
    pub(super) fn of(&self, owner: String) -> Self {
        Self { owner: Some(owner), ..self.clone() }
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    pub(super) fn has_cursor(&self) -> bool {
        self.family != Family::Reads && self.subject.is_some()
    }

    fn bytes(&self) -> usize {
        let texts = [&self.subject, &self.declared, &self.owner];
        texts.into_iter().flatten().map(String::len).sum()
    }
}

/// When a request was sent, in the order of requests and changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    sent: u64,
}

struct Entry {
    result: ServerResult,
    bytes: usize,
    stale_at: Instant,
    sent: u64,
    used: u64,
}

/// Results by key, within bounds.
pub(super) struct Store {
    entries: HashMap<Key, Entry>,
    /// When the last change of a family was heard of; what was asked before is not kept.
    changed: HashMap<Family, u64>,
    /// Counts requests, changes and uses: whatever has to be put in order.
    moment: u64,
    bytes: usize,
    most_entries: usize,
    most_bytes: usize,
}

/// A longer time than this is taken for it: the server means "for as long as you like".
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// What an entry costs besides its text.
const OVERHEAD: usize = 256;

impl Store {
    pub(super) fn new(most_entries: usize, most_bytes: usize) -> Self {
        let (entries, changed) = (HashMap::new(), HashMap::new());
        Self { entries, changed, moment: 0, bytes: 0, most_entries, most_bytes }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn next(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// The ticket of a request that is about to be sent.
    pub(super) fn ticket(&mut self) -> Ticket {
        Ticket { sent: self.next() }
    }

    /// What is kept under `key`, if it is fresh, with the time that it has left.
    pub(super) fn get(&mut self, key: &Key, now: Instant) -> Option<ServerResult> {
        let used = self.next();
        let entry = self.entries.get_mut(key)?;
        let left = entry.stale_at.saturating_duration_since(now);
        if left.is_zero() {
            self.remove(&key.clone());
            return None;
        }
        entry.used = used;
        let mut result = entry.result.clone();
        // Whoever keeps it in turn must not begin anew.
        let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        match &mut result {
            ServerResult::Discover(result) => result.ttl_ms = Some(left),
            ServerResult::ListTools(result) => result.ttl_ms = Some(left),
            ServerResult::ListPrompts(result) => result.ttl_ms = Some(left),
            ServerResult::ListResources(result) => result.ttl_ms = Some(left),
            ServerResult::ListResourceTemplates(result) => result.ttl_ms = Some(left),
            ServerResult::ReadResource(result) => result.ttl_ms = Some(left),
            _ => {}
        }
        Some(result)
    }

    /// Keeps the answer to the request of `ticket`, unless something newer is known.
    pub(super) fn insert(
        &mut self,
        key: Key,
        ticket: Ticket,
        result: &ServerResult,
        ttl_ms: u64,
        now: Instant,
    ) {
        let changed = self.changed.get(&key.family).copied().unwrap_or_default();
        let newer = self.entries.get(&key).is_some_and(|entry| entry.sent > ticket.sent);
        let Some(size) = size(result).filter(|_| changed < ticket.sent && !newer) else { return };
        let bytes = size + key.bytes() + OVERHEAD;
        self.remove(&key);
        if bytes > self.most_bytes || self.most_entries == 0 {
            return;
        }
        self.make_room(bytes, now);
        let stale_at = now + Duration::from_millis(ttl_ms).min(LONGEST);
        let (result, used) = (result.clone(), self.next());
        self.bytes += bytes;
        self.entries.insert(key, Entry { result, bytes, stale_at, sent: ticket.sent, used });
    }

    fn make_room(&mut self, bytes: usize, now: Instant) {
        let full = |store: &Self| {
            store.entries.len() >= store.most_entries || store.bytes + bytes > store.most_bytes
        };
        if full(self) {
            self.retain(|_, entry| entry.stale_at > now);
        }
        while full(self) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            self.remove(&key);
        }
    }

    /// A change: what is kept of the family goes, and what is under way of it is not kept.
    pub(super) fn forget(&mut self, family: Family) {
        let moment = self.next();
        self.changed.insert(family, moment);
        self.retain(|key, _| key.family != family);
    }

    /// A resource changed, and with it those above and below it.
    pub(super) fn forget_resource(&mut self, uri: &str) {
        let moment = self.next();
        self.changed.insert(Family::Reads, moment);
        self.retain(|key, _| {
            let kept = key.subject.as_deref().filter(|_| key.family == Family::Reads);
            !kept.is_some_and(|kept| lies_in(kept, uri) || lies_in(uri, kept))
        });
    }

    fn retain(&mut self, mut keep: impl FnMut(&Key, &Entry) -> bool) {
        let bytes = &mut self.bytes;
        self.entries.retain(|key, entry| {
            let keep = keep(key, entry);
            if !keep {
                *bytes -= entry.bytes;
            }
            keep
        });
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
        }
    }
}

/// Whether `uri` is `of` or lies below it.
fn lies_in(uri: &str, of: &str) -> bool {
    uri.strip_prefix(of).is_some_and(|rest| {
        rest.is_empty() || of.ends_with('/') || rest.starts_with(['/', '?', '#'])
    })
}

/// How long the text of a result is; `None` for one that is not kept.
fn size(result: &ServerResult) -> Option<usize> {
    let mut count = Count(0);
    match result {
        ServerResult::Discover(result) => write(&mut count, result),
        ServerResult::ListTools(result) => write(&mut count, result),
        ServerResult::ListPrompts(result) => write(&mut count, result),
        ServerResult::ListResources(result) => write(&mut count, result),
        ServerResult::ListResourceTemplates(result) => write(&mut count, result),
        ServerResult::ReadResource(result) => write(&mut count, result),
        _ => None,
    }?;
    Some(count.0)
}

fn write(count: &mut Count, result: &impl Serialize) -> Option<()> {
    serde_json::to_writer(count, result).ok()
}

/// Counts bytes.
struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
