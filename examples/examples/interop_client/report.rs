//! What was tried, what was seen, and the closing line.

use std::future::Future;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// The steps of one connection, in order.
#[derive(Default)]
pub(crate) struct Report {
    steps: Map<String, Value>,
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Report {
    /// Takes a step; what it returns is kept as evidence. The run goes on in any case.
    pub(crate) async fn step<F>(&mut self, name: &str, work: F)
    where
        F: Future<Output = anyhow::Result<Value>>,
    {
        let outcome = match tokio::time::timeout(PATIENCE, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(anyhow::anyhow!("nothing within {} s", PATIENCE.as_secs())),
        };
        let (ok, seen) = match outcome {
            Ok(seen) => (true, seen),
            Err(error) => (false, format!("{error:#}").into()),
        };
        *if ok { &mut self.passed } else { &mut self.failed } += 1;
        self.steps.insert(name.to_owned(), json!({ "ok": ok, "seen": seen }));
    }

    /// The steps as data.
    pub(crate) fn into_json(self) -> Value {
        Value::Object(self.steps)
    }
}

/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(20);
