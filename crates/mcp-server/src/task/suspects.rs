//! Tasks whose worker was not heard of for longer than its lease, and since when we know.

use std::collections::HashMap;
use std::sync::Mutex;

use super::live::lock;

/// What was found of each: its version, and when.
#[derive(Debug, Default)]
pub(super) struct Suspects(Mutex<HashMap<String, (u64, u64)>>);

/// How many times the grace is remembered what was found, where there is no room for others. Whoever did not ask
/// since may never ask again.
const STALE: u64 = 4;

impl Suspects {
    /// Whether a task was found with this version before, at least `grace` before `now`, both in
    /// milliseconds. Notes it if not, unless `most` are known: what is so for long is forgotten, which makes
    /// room for the next, and what nobody asks for any more makes room too.
    pub(super) fn stays(&self, id: &str, version: u64, now: u64, grace: u64, most: usize) -> bool {
        let mut known = lock(&self.0);
        if let Some((found, since)) = known.get_mut(id) {
            if *found != version {
                (*found, *since) = (version, now);
                return false;
            }
            let stays = now.saturating_sub(*since) >= grace;
            if stays {
                known.remove(id);
            }
            return stays;
        }
        if known.len() >= most {
            known.retain(|_, (_, since)| now.saturating_sub(*since) <= grace.saturating_mul(STALE));
        }
        if known.len() < most {
            known.insert(id.to_owned(), (version, now));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_stays_silent_is_gone() {
        let suspects = Suspects::default();
        assert!(!suspects.stays("a", 7, 1_000, 3_000, 9));
        assert!(!suspects.stays("a", 7, 3_999, 3_000, 9));
        // It has written since.
        assert!(!suspects.stays("a", 8, 4_000, 3_000, 9));
        assert!(!suspects.stays("a", 8, 4_000, 3_000, 9));
        assert!(suspects.stays("a", 8, 7_000, 3_000, 9));
        assert!(!suspects.stays("b", 8, 7_000, 3_000, 9));
    }

    #[test]
    fn they_are_bounded_and_all_found_in_the_end() {
        let (suspects, most) = (Suspects::default(), 16);
        let mut orphans: Vec<_> = (0..100).map(|number: u32| number.to_string()).collect();
        for second in 0..3_600 {
            orphans.retain(|id| !suspects.stays(id, 1, second * 1_000, 3_000, most));
            assert!(lock(&suspects.0).len() <= most);
        }
        assert!(orphans.is_empty(), "{} of 100 were never found", orphans.len());
    }

    #[test]
    fn what_nobody_asks_for_again_makes_room() {
        let suspects = Suspects::default();
        for id in ["a", "b"] {
            assert!(!suspects.stays(id, 1, 0, 3_000, 2));
        }
        for now in [12_000, 15_000] {
            assert!(!suspects.stays("c", 1, now, 3_000, 2));
        }
        assert!(suspects.stays("c", 1, 18_000, 3_000, 2));
    }
}
