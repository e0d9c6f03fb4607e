//! What a client saw of each tool while it called it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use etdi_core::time::UnixTime;
use mcp_client::types::CallToolResult;
use serde::Serialize;

use super::ToolId;
use crate::{Error, EtdiClient};

/// Of how many tools something is remembered; of those that come later nothing is.
const MOST: usize = 4096;

/// How the calls of one tool ended, as far as this client made them.
///
/// Advice for whoever looks for something unusual, and no check: it says how a tool behaved towards
/// this client, and nothing of what it does behind its answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Observed {
    /// How many calls the tool answered with a result.
    pub answered: u64,
    /// How many of these results said that they are errors.
    pub errors: u64,
    /// How many calls a check refused, before or after they were sent.
    pub refused: u64,
    /// How many calls failed otherwise.
    pub failed: u64,
    /// When the last call ended.
    pub last: UnixTime,
}

#[derive(Default)]
pub(super) struct Observations(Mutex<BTreeMap<ToolId, Observed>>);

impl Observations {
    pub(super) fn note(&self, id: &ToolId, result: &Result<CallToolResult, Error>, now: UnixTime) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST && !seen.contains_key(id) {
            return;
        }
        let seen = seen.entry(id.clone()).or_default();
        seen.last = now;
        match result {
            Ok(result) => {
                seen.answered += 1;
                seen.errors += u64::from(result.is_error == Some(true));
            }
            Err(error) if error.is_refusal() => seen.refused += 1,
            Err(_) => seen.failed += 1,
        }
    }
}

impl EtdiClient {
    /// How the calls of each tool ended that this client made with
    /// [`invoke_tool`](EtdiClient::invoke_tool), for at most 4,096 tools; nothing with the option
    /// `enable_metrics` off.
    pub fn observed(&self) -> BTreeMap<ToolId, Observed> {
        let seen = &self.0.servers.observed.0;
        seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_a_tool_are_counted_and_names_have_a_bound() {
        let seen = Observations::default();
        let result = |is_error| {
            let mut result = CallToolResult::text("x");
            result.is_error = Some(is_error);
            Ok(result)
        };
        for number in 0..MOST + 10 {
            seen.note(&ToolId::new("notes", number.to_string()), &result(false), UnixTime(1));
        }
        seen.note(&ToolId::new("notes", "0"), &result(true), UnixTime(2));
        let seen = seen.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(seen.len(), MOST);
        let first = Observed { answered: 2, errors: 1, last: UnixTime(2), ..Observed::default() };
        assert_eq!(seen.get(&ToolId::new("notes", "0")), Some(&first));
    }
}
