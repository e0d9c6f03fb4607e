//! Tasks whose worker was not heard of for longer than its lease, and since when we know.

use std::collections::HashMap;
use std::sync::Mutex;

use super::live::lock;

/// What was found of each: its version, and when.
#[derive(Debug, Default)]
pub(super) struct Suspects(Mutex<HashMap<String, (u64, u64)>>);

/// How many are known at most; beyond them all are looked at anew.
const MOST: usize = 4_096;

impl Suspects {
    /// Whether a task was found with this version before, at least `grace` before `now`, both in
    /// milliseconds. Notes it if not; what is so for long is forgotten.
    pub(super) fn stays(&self, id: &str, version: u64, now: u64, grace: u64) -> bool {
        let mut known = lock(&self.0);
        match known.get(id) {
            Some((found, since)) if *found == version => {
                let stays = now.saturating_sub(*since) >= grace;
                if stays {
                    known.remove(id);
                }
                return stays;
            }
            _ => {}
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(id.to_owned(), (version, now));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_stays_silent_is_gone() {
        let suspects = Suspects::default();
        assert!(!suspects.stays("a", 7, 1_000, 3_000));
        assert!(!suspects.stays("a", 7, 3_999, 3_000));
        // It has written since.
        assert!(!suspects.stays("a", 8, 4_000, 3_000));
        assert!(!suspects.stays("a", 8, 4_000, 3_000));
        assert!(suspects.stays("a", 8, 7_000, 3_000));
        assert!(!suspects.stays("b", 8, 7_000, 3_000));
    }

    #[test]
    fn they_are_bounded() {
        let suspects = Suspects::default();
        for number in 0..=MOST {
            suspects.stays(&number.to_string(), 1, 0, 10);
        }
        assert_eq!(lock(&suspects.0).len(), 1);
    }
}
