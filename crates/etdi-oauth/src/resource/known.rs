//! Tokens that were verified a while ago, by a digest of their text.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use etdi_core::digest::Digest;
use etdi_core::time::UnixTime;
use mcp_types::Extensions;

use crate::verify::Confirmation;

/// How many tokens there are in one half.
const HALF: usize = 8_192;

/// What a token lets in.
pub(super) struct Admitted {
    /// What exchanges are told of who sent them.
    pub(super) found: Extensions,
    /// When the token ends.
    pub(super) until: UnixTime,
    /// The key that its sender has to show, at each request anew.
    pub(super) bound: Option<Confirmation>,
    /// Whether it lacks scopes that every request needs.
    pub(super) lacking: bool,
}

/// Two halves: what is asked for moves to the new one, and when that is full the old one goes. So a
/// flood of tokens that verify costs the others one verification at most.
#[derive(Default)]
pub(super) struct Known(RwLock<Halves>);

#[derive(Default)]
struct Halves {
    new: HashMap<[u8; 32], Entry>,
    old: HashMap<[u8; 32], Entry>,
}

#[derive(Clone)]
struct Entry {
    admitted: Arc<Admitted>,
    from: UnixTime,
    until: UnixTime,
}

impl Known {
    /// Where a token would stand.
    pub(super) fn place(token: &str) -> [u8; 32] {
        *Digest::of_bytes(token.as_bytes()).as_bytes()
    }

    /// What a token lets in that was verified not too long ago.
    pub(super) fn get(&self, place: &[u8; 32], now: UnixTime) -> Option<Arc<Admitted>> {
        let fresh = |entry: &&Entry| entry.from <= now && now < entry.until;
        let halves = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = halves.new.get(place) {
            return Some(entry).filter(fresh).map(|entry| entry.admitted.clone());
        }
        let entry = halves.old.get(place).filter(fresh)?.clone();
        drop(halves);
        let mut halves = self.0.write().unwrap_or_else(PoisonError::into_inner);
        halves.old.remove(place);
        halves.insert(*place, entry.clone());
        Some(entry.admitted)
    }

    /// Keeps what a token lets in for `keep` seconds, and no longer than it holds itself.
    pub(super) fn put(&self, place: [u8; 32], admitted: &Arc<Admitted>, now: UnixTime, keep: u64) {
        let until = now.plus(keep).min(admitted.until);
        if until <= now {
            return;
        }
        let entry = Entry { admitted: admitted.clone(), from: now, until };
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(place, entry);
    }
}

impl Halves {
    fn insert(&mut self, place: [u8; 32], entry: Entry) {
        if self.new.len() >= HALF {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(place, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(until: u64) -> Arc<Admitted> {
        let (found, until) = (Extensions::new(), UnixTime(until));
        Arc::new(Admitted { found, until, bound: None, lacking: false })
    }

    #[test]
    fn a_token_is_known_until_it_ends_or_is_verified_again() {
        let known = Known::default();
        let place = Known::place("token");
        let get = |at| known.get(&place, UnixTime(at)).is_some();
        known.put(place, &admitted(130), UnixTime(100), 300);
        assert_eq!([99, 100, 129, 130].map(get), [false, true, true, false]);
        known.put(place, &admitted(1_000), UnixTime(100), 300);
        assert_eq!([399, 400].map(get), [true, false]);
        known.put(Known::place("other"), &admitted(1_000), UnixTime(100), 0);
        assert!(known.get(&Known::place("other"), UnixTime(100)).is_none());
    }

    #[test]
    fn a_flood_costs_a_bounded_room_and_what_is_used_stays() {
        let known = Known::default();
        let used = Known::place("used");
        known.put(used, &admitted(1_000), UnixTime(0), 300);
        for number in 0..3 * HALF {
            known.put(Known::place(&number.to_string()), &admitted(1_000), UnixTime(0), 300);
            if number % 1_000 == 0 {
                assert!(known.get(&used, UnixTime(1)).is_some(), "{number}");
            }
        }
        let halves = known.0.read().unwrap();
        assert!(halves.new.len() + halves.old.len() <= 2 * HALF);
    }
}
