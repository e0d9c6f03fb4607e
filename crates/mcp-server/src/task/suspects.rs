//! Tasks whose worker was not heard of for longer than its lease, and since when we know.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::live::lock;

/// What was found of each.
#[derive(Debug, Default)]
pub(super) struct Suspects(Mutex<HashMap<String, Suspect>>);

/// What was found of a task. Times are ours, not of the clock that the worker wrote down: ours may be another.
#[derive(Debug, Clone, Copy)]
struct Suspect {
    /// Until when its worker is believed to live, which every sign of life changes.
    lease: u64,
    /// Since when we know.
    since: Instant,
    /// When the store was seen to take writes after the worker had had its time.
    again: Option<Instant>,
}

/// What a worker has, once its lease was found to be over, to say that it lives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grace {
    /// The time within which its next sign of life is due.
    pub(super) beat: Duration,
    /// The time that it has after that, from when the store is seen to take writes: the store may have been away
    /// while the sign was due, and nobody but the worker have noticed.
    pub(super) retry: Duration,
}

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
    /// Its worker gave no sign of life when one was due, and is silent if the store was not away.
    Late,
    /// Its worker had the time, and gave no sign of life.
    Silent,
}

impl Suspects {
    /// What is known at `now` of a task with this lease, whose worker has `grace`. What is silent is forgotten:
    /// whoever is told so takes the task over.
    pub(super) fn look(&self, id: &str, lease: u64, now: Instant, grace: Grace) -> Known {
        let mut known = lock(&self.0);
        let Some(found) = known.get(id).filter(|found| found.lease == lease) else {
            return Known::Nothing;
        };
        let (began, time) = match found.again {
            None => (found.since, grace.beat),
            Some(again) => (again, grace.retry),
        };
        if now.saturating_duration_since(began) < time {
            return Known::Waits;
        }
        if found.again.is_none() {
            return Known::Late;
        }
        known.remove(id);
        Known::Silent
    }

    /// Notes that the store took a write at `now` while the lease was over. A task that is new is noted unless
    /// `most` are known: each is silent soon or gives a sign of life, which makes room for the next, and what
    /// nobody asks for any more makes room too.
    pub(super) fn note(&self, id: &str, lease: u64, now: Instant, grace: Grace, most: usize) {
        let mut known = lock(&self.0);
        if let Some(found) = known.get_mut(id) {
            *found = match found.lease == lease {
                true => Suspect { again: Some(now), ..*found },
                false => Suspect { lease, since: now, again: None },
            };
            return;
        }
        if known.len() >= most {
            let stale = (grace.beat + grace.retry).saturating_mul(STALE);
            known.retain(|_, found| now.saturating_duration_since(found.since) <= stale);
        }
        if known.len() < most {
            known.insert(id.to_owned(), Suspect { lease, since: now, again: None });
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

    const GRACE: Grace = Grace { beat: Duration::from_secs(3), retry: Duration::from_secs(1) };

    /// Looks at a task, and notes what there is to note; whether its worker is silent.
    fn stays(suspects: &Suspects, id: &str, lease: u64, now: Instant, most: usize) -> bool {
        let known = suspects.look(id, lease, now, GRACE);
        if matches!(known, Known::Nothing | Known::Late) {
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
        // It may have tried while the store was away, and tries again.
        assert!(!stays(&suspects, "a", 8, at(20_000), 9));
        assert!(!stays(&suspects, "a", 8, at(20_999), 9));
        assert!(stays(&suspects, "a", 8, at(21_000), 9));
        assert!(!stays(&suspects, "b", 8, at(21_000), 9));
        assert!(!stays(&suspects, "b", 8, at(24_000), 9));
        // It has written at the last moment.
        assert!(!stays(&suspects, "b", 9, at(25_000), 9));
        assert!(!stays(&suspects, "b", 9, at(26_000), 9));
        // The store was away, so nobody could write.
        suspects.forget("b");
        assert!(!stays(&suspects, "b", 9, at(29_000), 9));
        assert_eq!(suspects.look("b", 9, at(29_001), GRACE), Known::Waits);
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
        assert!(!stays(&suspects, "c", 1, at(16), 2));
        assert!(!stays(&suspects, "c", 1, at(19), 2));
        assert!(!stays(&suspects, "c", 1, at(20), 2));
        for (second, silent) in [(21, false), (24, false), (25, true)] {
            assert_eq!(stays(&suspects, "c", 1, at(second), 2), silent, "{second}");
        }
    }
}
