//! How often something is done for all strangers together.

use std::sync::{Mutex, PoisonError};

use etdi_core::time::UnixTime;

/// An allowance that fills with time, by a clock of seconds.
pub(super) struct Bucket {
    most: u64,
    /// What is left, in sixtieths, and when that was so.
    left: Mutex<(u64, UnixTime)>,
}

impl Bucket {
    /// `most` a minute, and as many at once.
    pub(super) fn per_minute(most: u32) -> Self {
        let most = u64::from(most);
        Self { most, left: Mutex::new((most * 60, UnixTime(0))) }
    }

    /// Takes one, if one is left.
    pub(super) fn take(&self, now: UnixTime) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.seconds().saturating_sub(left.1.seconds());
        let full = self.most * 60;
        let filled = left.0.saturating_add(passed.saturating_mul(self.most)).min(full);
        let taken = filled.checked_sub(60);
        *left = (taken.unwrap_or(filled), now.max(left.1));
        taken.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_with_time_and_not_beyond() {
        let bucket = Bucket::per_minute(2);
        let take = |seconds| bucket.take(UnixTime(seconds));
        assert!(take(1_000) && take(1_000) && !take(1_000));
        assert!(!take(1_029));
        assert!(take(1_030) && !take(1_030));
        assert!(!take(900), "a clock that goes back gives nothing");
        assert!(take(9_000) && take(9_000) && !take(9_000));
    }
}
