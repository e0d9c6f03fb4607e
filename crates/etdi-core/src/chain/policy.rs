//! What a server demands of chains beyond what the tools declare.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{ChainError, Frame, MAX_DEPTH, Member, ViolationKind};
use crate::level::SecurityLevel;
use crate::permission::{Scope, widened};

/// What a server demands of call chains, with the names and defaults of the Python SDK.
///
/// The constraints that the tools themselves declare hold in addition, under every policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CallStackPolicy {
    /// How many tools may be under way at most, where no tool says less.
    pub max_call_depth: u32,
    /// How often a tool may be called by other tools within 60 seconds, by one user; 0 is no limit.
    /// Calls from outside are counted before, by principal and tool: the setting `calls_per_minute` of
    /// a server that `secure` of the crate `etdi` made, or a `RateLayer` of one's own.
    pub max_calls_per_minute: u32,
    /// Whether a tool may be called while it is running.
    pub allow_circular_calls: bool,
    /// Whether each pair has to be allowed: by [`allowed_call_chains`](Self::allowed_call_chains)
    /// or by name in the caller's own `allowed_callees`.
    pub require_explicit_chain_permission: bool,
    /// Which tools a tool may call; a caller that stands here calls no others. `*` is any tool.
    pub allowed_call_chains: BTreeMap<String, Vec<String>>,
    /// Which tools a tool may not call; stronger than what is allowed.
    pub blocked_call_chains: BTreeMap<String, Vec<String>>,
    /// Whether a tool may not call one that declares permissions which it has not.
    pub privilege_escalation_detection: bool,
    /// Kinds of violations that are noted and do not block. Empty by default.
    pub note_only: BTreeSet<ViolationKind>,
}

impl Default for CallStackPolicy {
    /// The defaults of the Python SDK, all of them enforced.
    fn default() -> Self {
        Self {
            max_call_depth: MAX_DEPTH,
            max_calls_per_minute: 100,
            allow_circular_calls: false,
            require_explicit_chain_permission: true,
            allowed_call_chains: BTreeMap::new(),
            blocked_call_chains: BTreeMap::new(),
            privilege_escalation_detection: true,
            note_only: BTreeSet::new(),
        }
    }
}

impl CallStackPolicy {
    /// What the tools declare, the depth, and no circles: for the level `basic`.
    pub fn basic() -> Self {
        Self {
            max_calls_per_minute: 0,
            require_explicit_chain_permission: false,
            privilege_escalation_detection: false,
            ..Self::default()
        }
    }

    /// Also that nobody lends permissions, and the rate: for the level `enhanced`.
    pub fn enhanced() -> Self {
        Self { require_explicit_chain_permission: false, ..Self::default() }
    }

    /// What no rule permits is denied as well, which is the default: for the level `strict`.
    pub fn strict() -> Self {
        Self::default()
    }

    /// What the server demands of a pair.
    pub(super) fn judge(&self, caller: &Frame, callee: &Member) -> Result<(), ChainError> {
        let from = caller.member();
        let of = |chains: &BTreeMap<String, Vec<String>>| -> Option<Vec<String>> {
            let named = |name: &String| name == "*" || from.has_name(name, callee.server());
            let lists: Vec<_> = chains.iter().filter(|(name, _)| named(name)).collect();
            (!lists.is_empty())
                .then(|| lists.into_iter().flat_map(|(_, list)| list.clone()).collect())
        };
        let denied = || {
            let (caller, callee) = (from.tool().to_owned(), callee.tool().to_owned());
            Err(ChainError::NotPermitted { caller, callee })
        };
        let blocked = of(&self.blocked_call_chains);
        if blocked.is_some_and(|list| callee.is_blocked(&list)) {
            return denied();
        }
        let allowed = of(&self.allowed_call_chains);
        let by_policy = allowed.as_ref().map(|list| callee.is_allowed(list, from.server()));
        // That the list of the caller admits the callee was checked before.
        let by_caller = from.call().allowed_callees.is_some();
        let explicit = by_policy == Some(true) || by_policy.is_none() && by_caller;
        if by_policy == Some(false) || self.require_explicit_chain_permission && !explicit {
            return denied();
        }
        Ok(())
    }

    /// That the callee may do nothing that the caller may not.
    pub(super) fn escalates(&self, caller: &Frame, callee: &Member) -> Result<(), ChainError> {
        if !self.privilege_escalation_detection {
            return Ok(());
        }
        let beyond = widened(caller.member().scopes(), callee.scopes());
        if beyond.is_empty() {
            return Ok(());
        }
        let beyond: Vec<Scope> = beyond.into_iter().cloned().collect();
        let (caller, callee) = (caller.tool().to_owned(), callee.tool().to_owned());
        Err(ChainError::Escalation { caller, callee, beyond })
    }
}

impl From<SecurityLevel> for CallStackPolicy {
    fn from(level: SecurityLevel) -> Self {
        match level {
            SecurityLevel::Basic => Self::basic(),
            SecurityLevel::Enhanced => Self::enhanced(),
            SecurityLevel::Strict => Self::strict(),
        }
    }
}
