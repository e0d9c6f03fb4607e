//! What was called and refused last, and how often.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::{ChainError, ViolationKind};
use crate::event::Severity;
use crate::time::UnixTime;

/// A call that was let through. Nothing of arguments or results is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallRecord {
    /// When.
    pub at: UnixTime,
    /// Who asked.
    pub session: String,
    /// The tool that called, if one did.
    pub caller: Option<String>,
    /// The tool that was called.
    pub callee: String,
    /// How many tools were under way.
    pub depth: u32,
}

/// A call that broke a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The call, as it would have been.
    pub call: CallRecord,
    /// The rule.
    pub error: ChainError,
    /// Whether it was refused; `false` where the policy only notes this kind.
    pub blocked: bool,
}

impl Violation {
    /// The kind.
    pub fn kind(&self) -> ViolationKind {
        self.error.kind()
    }

    /// How grave it is.
    pub fn severity(&self) -> Severity {
        self.kind().severity()
    }
}

/// Sums since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Statistics {
    /// Calls that were let through.
    pub calls: u64,
    /// Those among them that tools made.
    pub nested_calls: u64,
    /// The most tools that were under way at a time in one chain.
    pub deepest: u32,
    /// Violations by kind, blocked or not.
    pub violations: BTreeMap<ViolationKind, u64>,
}

/// The newest calls and violations: two rings.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) calls: VecDeque<CallRecord>,
    pub(super) violations: VecDeque<Violation>,
    pub(super) statistics: Statistics,
}

/// How many calls, and how many violations, are kept.
pub(super) const KEPT: usize = 1_000;

impl History {
    pub(super) fn call(&mut self, call: CallRecord) {
        let sums = &mut self.statistics;
        sums.calls += 1;
        sums.nested_calls += u64::from(call.caller.is_some());
        sums.deepest = sums.deepest.max(call.depth);
        push(&mut self.calls, call);
    }

    pub(super) fn violation(&mut self, violation: Violation) {
        *self.statistics.violations.entry(violation.kind()).or_default() += 1;
        push(&mut self.violations, violation);
    }
}

fn push<T>(ring: &mut VecDeque<T>, one: T) {
    if ring.len() >= KEPT {
        ring.pop_front();
    }
    ring.push_back(one);
}
