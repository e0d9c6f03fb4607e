//! Tasks whose worker was not heard of for longer than its lease, and since when we know.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::live::lock;

/// What was found of each: until when its worker is believed to live, which every sign of life changes, and
/// since when we know. Not by the clock that the worker wrote down: ours may be another.
#[derive(Debug, Default)]
pub(super) struct Suspects(Mutex<HashMap<String, (u64, Instant)>>);

/// How many times the grace is remembered what was found, where there is no room for others. Whoever did not ask
/// since may never ask again.
const STALE: u32 = 4;

/// What is known of a task whose lease was found to be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing, or its worker gave a sign of life since.
    Nothing,
    /// Its worker has time left.
    Waits,
    /// Its worker had the time, and gave no sign of life.
    Silent,
}

impl Suspects {
    /// What is known at `now` of a task with this lease, whose worker has `grace`. What is silent is forgotten:
    /// whoever is told so takes the task over.
    pub(super) fn look(&self, id: &str, lease: u64, now: Instant, grace: Duration) -> Known {
        let mut known = lock(&self.0);
        match known.get(id) {
            Some((found, since)) if *found == lease => {
                if now.saturating_duration_since(*since) < grace {
                    return Known::Waits;
                }
                known.remove(id);
                Known::Silent
            }
            _ => Known::Nothing,
        }
    }

    /// Notes what was found, unless `most` are known: each is silent soon or gives a sign of life, which makes
    /// room for the next, and what nobody asks for any more makes room too.
    pub(super) fn note(&self, id: &str, lease: u64, now: Instant, grace: Duration, most: usize) {
        let mut known = lock(&self.0);
        let is_known = known.contains_key(id);
        if !is_known && known.len() >= most {
            let stale = grace.saturating_mul(STALE);
            known.retain(|_, (_, since)| now.saturating_duration_since(*since) <= stale);
        }
        if is_known || known.len() < most {
            known.insert(id.to_owned(), (lease, now));
        }
    }

    /// Forgets what was found of a task: the store was away, perhaps for its worker too, or it lives.
    pub(super) fn forget(&self, id: &str) {
        lock(&self.0).remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(3);

    /// Looks at a task, and notes what there is to note; whether its worker is silent.
    fn stays(suspects: &Suspects, id: &str, lease: u64, now: Instant, most: usize) -> bool {
        let known = suspects.look(id, lease, now, GRACE);
        if known == Known::Nothing {
            suspects.note(id, lease, now, GRACE, most);
        }
        known == Known::Silent
    }

    #[test]
    fn a_worker_that_stays_silent_is_gone() {
        let (suspects, began) = (Suspects::default(), Instant::now());
        let at = |milliseconds| began + Duration::from_millis(milliseconds);
        assert!(!stays(&suspects, "a", 7, at(0), 9));
        assert!(!stays(&suspects, "a", 7, at(2_999), 9));
        // It has written since.
        assert!(!stays(&suspects, "a", 8, at(3_000), 9));
        assert!(!stays(&suspects, "a", 8, at(5_999), 9));
        assert!(stays(&suspects, "a", 8, at(6_000), 9));
        assert!(!stays(&suspects, "b", 8, at(6_000), 9));
        // The store was away, so nobody could write.
        suspects.forget("b");
        assert!(!stays(&suspects, "b", 8, at(9_000), 9));
    }

    #[test]
    fn they_are_bounded_and_all_found_in_the_end() {
        let (suspects, began, most) = (Suspects::default(), Instant::now(), 16);
        let mut orphans: Vec<_> = (0..100).map(|number: u32| number.to_string()).collect();
        for second in 0..3_600 {
            let now = began + Duration::from_secs(second);
            orphans.retain(|id| !stays(&suspects, id, 1, now, most));
            assert!(lock(&suspects.0).len() <= most);
        }
        assert!(orphans.is_empty(), "{} of 100 were never found", orphans.len());
    }

    #[test]
    fn what_nobody_asks_for_again_makes_room() {
        let (suspects, began) = (Suspects::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        for id in ["a", "b"] {
            assert!(!stays(&suspects, id, 1, at(0), 2));
        }
        assert!(!stays(&suspects, "c", 1, at(12), 2));
        assert!(!stays(&suspects, "c", 1, at(15), 2));
        assert!(stays(&suspects, "c", 1, at(18), 2));
    }
}
