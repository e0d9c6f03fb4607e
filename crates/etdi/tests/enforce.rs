//! What `enforce = "strict-only"` says when a server starts, because nobody notices it later.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use etdi::core::audit::MemoryAuditor;
use etdi::core::identity::ServerIdentity;
use etdi::core::layer::Enforce;
use etdi::core::level::SecurityLevel;
use etdi::core::policy::LocalRules;
use etdi::{Callers, EtdiServerConfig, secure};
use mcp_server::{server, tool};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Pays.
#[tool(etdi, version = "1.0.0", require_request_signing)]
fn pay() {}

/// Looks.
#[tool(etdi, version = "1.0.0")]
fn look() {}

/// Keeps warnings as text.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

async fn start(config: EtdiServerConfig) -> Vec<String> {
    let warnings = Warnings::default();
    let listening = tracing::subscriber::set_default(warnings.clone());
    let tools = server!().tool::<pay>().tool::<look>().build().unwrap();
    secure(tools, config).await.unwrap();
    drop(listening);
    warnings.0.lock().unwrap().clone()
}

#[tokio::test]
async fn strict_only_warns_at_start_of_each_tool_that_anybody_can_call() {
    let home = tempfile::tempdir().unwrap();
    let config = |enforce: Enforce, level: SecurityLevel| {
        let identity = ServerIdentity::package("pkg:cargo/bank").unwrap();
        EtdiServerConfig::new(identity)
            .on_unsigned(|_, _| ())
            .auditor(Arc::new(MemoryAuditor::default()))
            .engine(Arc::new(LocalRules::of(level)))
            .callers(Callers::at(home.path().join("clients")))
            .enforce(enforce)
            .level(level)
    };
    // As it stands in a file.
    let strict_only: Enforce = serde_json::from_str("\"strict-only\"").unwrap();
    for level in [SecurityLevel::Basic, SecurityLevel::Enhanced] {
        let warned = start(config(strict_only, level)).await;
        assert_eq!(warned.len(), 1, "{warned:?}");
        assert!(warned[0].contains("tool=\"pay\"") && warned[0].contains("strict-only"));
        assert!(warned[0].contains(&level.to_string()), "{warned:?}");
        assert_eq!(start(config(Enforce::Always, level)).await, [""; 0]);
    }
    assert_eq!(start(config(strict_only, SecurityLevel::Strict)).await, [""; 0]);
}
