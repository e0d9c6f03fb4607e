//! An outage is a line where it begins, however it goes on.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use etdi_core::key::KeyId;
use etdi_core::request::{CLOCK_SKEW, LIFETIME};
use mcp_redis::{Failure, StoreName};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::server::RedisServer;
use crate::{failed, now};

/// Keeps the lines of stores.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!("{}={value:?} ", field.name());
    }
}

impl Subscriber for Lines {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        about.target().starts_with("mcp_redis")
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Redis answers each time, and each time with what the store refuses.
#[tokio::test]
async fn an_outage_is_one_line_and_not_one_for_each_answer() {
    let lines = Lines::default();
    let _logs = tracing::subscriber::set_default(lines.clone());
    let server = RedisServer::start();
    // Nobody believes that it was always empty.
    let node = server.builder().connect().await.unwrap();
    for number in 0..20 {
        let until = now().plus(LIFETIME + CLOCK_SKEW);
        let id = number.to_string();
        let key = KeyId::from_bytes([1; 32]);
        assert!(node.replay().try_take(key, &id, until, now()).await.is_err());
    }
    assert_eq!(failed(&node, StoreName::Replay, Failure::Forgetful), 20);
    let lines = lines.0.lock().unwrap().clone();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with("WARN") && lines[0].contains("wait 40 s"), "{lines:?}");
}
