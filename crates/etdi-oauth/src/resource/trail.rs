//! Refusals in the audit trail: who was not let in, and why. Never what was shown.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use etdi_core::audit::Auditor;
use etdi_core::event::{Event, EventKind, Severity};
use etdi_core::time::UnixTime;

use crate::verify::TokenRefusal;

/// The most refusals that are noted in a minute: whoever is outside must not fill the trail.
const MOST: u32 = 60;
const MINUTE: u64 = 60;

/// Notes refusals.
pub(super) struct Trail {
    auditor: Arc<dyn Auditor>,
    minute: Mutex<Minute>,
}

#[derive(Default)]
struct Minute {
    began: UnixTime,
    noted: u32,
    /// How many were not noted since one was.
    left_out: u64,
}

impl Trail {
    pub(super) fn new(auditor: Arc<dyn Auditor>) -> Self {
        Self { auditor, minute: Mutex::default() }
    }

    /// Notes that a token does not count.
    pub(super) fn token(&self, server: &str, why: &TokenRefusal, now: UnixTime) {
        let kind = match why.is_passing() {
            true => EventKind::ProviderError,
            false => EventKind::TokenRefused,
        };
        self.note(kind, server, severity(why), &format_args!("{}: {why}", why.code()), now);
    }

    /// Notes that something else does not count, or does not suffice.
    pub(super) fn other(
        &self,
        server: &str,
        severity: Severity,
        why: &dyn fmt::Display,
        now: UnixTime,
    ) {
        self.note(EventKind::TokenRefused, server, severity, why, now);
    }

    fn note(
        &self,
        kind: EventKind,
        server: &str,
        severity: Severity,
        why: &dyn fmt::Display,
        now: UnixTime,
    ) {
        let Some(left_out) = self.minute.lock().unwrap_or_else(PoisonError::into_inner).take(now)
        else {
            return;
        };
        let event = Event::new(kind).at(server).severity(severity).from_source("resource");
        let event = match left_out {
            0 => event.detail(&why),
            more => event.detail(&format_args!("{why} ({more} more before were not noted)")),
        };
        if let Err(error) = self.auditor.record(&event, now) {
            // The request is refused in any case.
            tracing::error!(%error, "a refusal could not be noted");
        }
    }
}

impl Minute {
    /// Whether one more is noted, and how many before were not.
    fn take(&mut self, now: UnixTime) -> Option<u64> {
        if now < self.began || self.began.plus(MINUTE) <= now {
            (self.began, self.noted) = (now, 0);
        }
        if self.noted >= MOST {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.noted += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// What an honest client does now and then, what it never does, and what lies between.
fn severity(why: &TokenRefusal) -> Severity {
    match why {
        TokenRefusal::Expired(_) | TokenRefusal::Inactive => Severity::Low,
        TokenRefusal::Algorithm(_)
        | TokenRefusal::KeyHeader(_)
        | TokenRefusal::Critical
        | TokenRefusal::OtherAlgorithm { .. }
        | TokenRefusal::Signature
        | TokenRefusal::Unproven(_) => Severity::High,
        _ => Severity::Medium,
    }
}
