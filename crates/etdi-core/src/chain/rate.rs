//! How often tools were called in the last minute.

use std::collections::{HashMap, VecDeque};

use crate::time::UnixTime;

/// Calls within a sliding minute, by who asked and which tool. Bounded: when too many are under
/// watch and none has run out, what is new is refused.
#[derive(Debug, Default)]
pub(super) struct Rates {
    seen: HashMap<(Box<str>, Box<str>), Window>,
    swept: UnixTime,
}

/// How many calls there were in each second of the last minute that had any.
#[derive(Debug, Default)]
struct Window {
    seconds: VecDeque<(UnixTime, u32)>,
    sum: u32,
}

const MINUTE: u64 = 60;

/// The most pairs under watch; each keeps at most 61 numbers.
const MAX_WATCHED: usize = if cfg!(test) { 64 } else { 16_384 };

impl Rates {
    /// Counts a call. `false` when there were `most` in the last minute already.
    pub(super) fn take(&mut self, session: &str, tool: &str, most: u32, now: UnixTime) -> bool {
        if self.seen.len() >= MAX_WATCHED && self.swept != now {
            self.swept = now;
            self.seen.retain(|_, window| {
                window.forget(now);
                window.sum > 0
            });
        }
        let key = (session.into(), tool.into());
        if self.seen.len() >= MAX_WATCHED && !self.seen.contains_key(&key) {
            return false;
        }
        self.seen.entry(key).or_default().take(most, now)
    }
}

impl Window {
    fn take(&mut self, most: u32, now: UnixTime) -> bool {
        self.forget(now);
        if self.sum >= most {
            return false;
        }
        match self.seconds.back_mut() {
            // A clock that goes back counts in the newest second that was seen.
            Some((second, count)) if *second >= now => *count += 1,
            _ => self.seconds.push_back((now, 1)),
        }
        self.sum += 1;
        true
    }

    fn forget(&mut self, now: UnixTime) {
        while let Some((second, count)) = self.seconds.front().copied()
            && second.plus(MINUTE) <= now
        {
            self.seconds.pop_front();
            self.sum = self.sum.saturating_sub(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_slides() {
        let mut rates = Rates::default();
        let at = |rates: &mut Rates, second: u64| rates.take("s", "t", 3, UnixTime(second));
        assert!(at(&mut rates, 0) && at(&mut rates, 10) && at(&mut rates, 59));
        assert!(!at(&mut rates, 59), "three within a minute");
        assert!(at(&mut rates, 60), "the first has run out");
        assert!(!at(&mut rates, 69) && at(&mut rates, 70));
        assert!(rates.take("other", "t", 3, UnixTime(70)), "each asks for itself");
        assert!(!at(&mut rates, 0), "a clock that goes back frees nothing");
    }

    #[test]
    fn it_is_bounded_and_refuses() {
        let mut rates = Rates::default();
        for session in 0..MAX_WATCHED {
            assert!(rates.take(&session.to_string(), "t", 3, UnixTime(0)));
        }
        assert!(!rates.take("one more", "t", 3, UnixTime(59)));
        assert!(rates.take("0", "t", 3, UnixTime(59)), "who is known goes on");
        assert!(rates.take("one more", "t", 3, UnixTime(60)));
        assert!(rates.seen.len() <= MAX_WATCHED);
    }
}
