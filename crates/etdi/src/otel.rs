//! Events as `tracing` events, for OpenTelemetry and whatever else collects those.
//!
//! A subscriber such as `opentelemetry-appender-tracing` or an OTLP layer sends them on; without
//! one they cost nothing. `etdi audit export --format otlp` writes what a trail holds for a
//! collector to take.
//!
//! ```
//! use std::sync::Arc;
//!
//! use etdi::core::audit::{Auditor, MemoryAuditor};
//! use etdi::core::event::{Event, EventKind};
//! use etdi::core::time::UnixTime;
//! use etdi::otel::Traced;
//!
//! let trail = Traced::new(Arc::new(MemoryAuditor::default()));
//! trail.record(&Event::new(EventKind::ToolApproved).on("server", "tool"), UnixTime(1))?;
//! # Ok::<(), etdi::core::audit::AuditError>(())
//! ```

use std::fmt;
use std::sync::Arc;

use etdi_core::audit::{AuditError, Auditor};
use etdi_core::event::{Event, Severity};
use etdi_core::time::UnixTime;

/// The target of every event.
pub const TARGET: &str = "etdi::audit";

/// An audit sink that also tells `tracing`, once an event is kept.
pub struct Traced {
    inner: Arc<dyn Auditor>,
}

impl Traced {
    /// Tells of what `inner` has kept.
    pub fn new(inner: Arc<dyn Auditor>) -> Self {
        Self { inner }
    }
}

impl fmt::Debug for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Traced")
    }
}

/// One event with the members that matter for a search; a macro, because the level of an event of
/// `tracing` is part of its static description.
macro_rules! tell {
    ($level:ident, $event:expr, $at:expr) => {
        tracing::event!(
            target: TARGET,
            tracing::Level::$level,
            otel.name = %format_args!("etdi.{}", $event.kind),
            etdi.kind = $event.kind.name(),
            etdi.at = $at.0,
            etdi.server = $event.server.as_deref(),
            etdi.tool = $event.tool.as_deref(),
            etdi.version = $event.version.as_deref(),
            etdi.issuer = $event.issuer.as_deref(),
            etdi.digest = $event.digest.map(|digest| digest.to_string()),
            etdi.reason = $event.reason.map(|reason| reason.code()),
            etdi.level = $event.level.map(|level| level.name()),
            etdi.approver = $event.approver.as_deref(),
            etdi.correlation = $event.correlation.as_deref(),
            etdi.source = $event.source.as_deref(),
            etdi.user = $event.user.as_deref(),
            etdi.caller = $event.caller.as_deref(),
            etdi.callee = $event.callee.as_deref(),
            etdi.depth = $event.depth,
            "{}",
            $event.detail.as_deref().unwrap_or($event.kind.name())
        )
    };
}

impl Auditor for Traced {
    fn record(&self, event: &Event, at: UnixTime) -> Result<(), AuditError> {
        self.inner.record(event, at)?;
        match event.severity {
            Severity::Low => tell!(INFO, event, at),
            Severity::Medium => tell!(WARN, event, at),
            _ => tell!(ERROR, event, at),
        }
        Ok(())
    }

    fn is_chained(&self) -> bool {
        self.inner.is_chained()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use etdi_core::audit::MemoryAuditor;
    use etdi_core::event::EventKind;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Level, Metadata, Subscriber};

    use super::*;

    #[derive(Default, Clone)]
    struct Collected(Arc<Mutex<Vec<(Level, String)>>>);

    struct Fields<'a>(&'a mut String);

    impl Visit for Fields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0.push_str(&format!("{field}={value:?} "));
        }
    }

    impl Subscriber for Collected {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == TARGET
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            let mut text = String::new();
            event.record(&mut Fields(&mut text));
            self.0.lock().unwrap().push((*event.metadata().level(), text));
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn an_event_is_told_with_its_members_and_level() {
        let collected = Collected::default();
        let trail = Traced::new(Arc::new(MemoryAuditor::default()));
        tracing::subscriber::with_default(collected.clone(), || {
            let event = Event::new(EventKind::SecurityViolation).on("s", "t");
            let event = event.severity(Severity::Critical).correlated("c");
            trail.record(&event, UnixTime(7)).unwrap();
        });
        let told = collected.0.lock().unwrap().clone();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].0, Level::ERROR);
        for member in ["etdi.kind=\"security_violation\"", "etdi.tool=\"t\"", "etdi.at=7"] {
            assert!(told[0].1.contains(member), "{}", told[0].1);
        }
        assert!(trail.is_chained());
    }
}
