//! What is known of the server that is developed, for whoever asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use crate::verbs::diff::offer::Offer;

/// How far the server is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum State {
    /// It is built, or started.
    #[default]
    Starting,
    /// It answers.
    Serving,
    /// The next one does not: why, and whether the one before serves on.
    Broken(String, bool),
}

/// The state, what is offered, and the number of calls. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Status(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    state: State,
    offer: Offer,
    starts: u64,
    requests: u64,
}

impl Status {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how far the server is.
    pub(super) fn set(&self, state: State) {
        let mut known = self.known();
        known.starts += u64::from(state == State::Serving);
        known.state = state;
    }

    /// Notes what a server offers.
    pub(super) fn offers(&self, offer: Option<&Offer>) {
        self.known().offer = offer.cloned().unwrap_or_default();
    }

    /// Notes a request.
    pub(super) fn asked(&self) {
        self.known().requests += 1;
    }

    /// The state, how many servers there were, how many requests.
    pub(super) fn now(&self) -> (State, u64, u64) {
        let known = self.known();
        (known.state.clone(), known.starts, known.requests)
    }

    /// The tools by their names, with their definitions.
    pub(super) fn tools(&self) -> Vec<(String, Map<String, Value>)> {
        let known = self.known();
        let tools = known.offer.named("tool").iter();
        tools.map(|(name, tool)| (name.clone(), tool.clone())).collect()
    }

    /// The schema of a tool's arguments; None where there is no such tool.
    pub(super) fn schema(&self, tool: &str) -> Option<Value> {
        let known = self.known();
        known
            .offer
            .named("tool")
            .get(tool)
            .map(|tool| tool.get("inputSchema").cloned().unwrap_or_default())
    }

    /// The names of a tool's arguments.
    pub(super) fn arguments(&self, tool: &str) -> Vec<String> {
        let schema = self.schema(tool).unwrap_or_default();
        let properties = schema.get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().map(|(name, _)| name.clone()).collect()
    }
}
