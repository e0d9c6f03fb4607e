//! Policy: whether a call that everything else allows is wanted, decided by an engine.
//!
//! Verification says who publishes a tool, approval that a person accepted it. Neither says that
//! *this* call, by this user, with these arguments, at this hour, is one that the operator wants.
//! That is a policy, and a [`PolicyEngine`] decides by it. The client asks before it sends, where
//! the decision protects its user; the server asks before it dispatches, where it protects what is
//! behind the tool. Neither trusts the other's.
//!
//! [`LocalRules`] are built in; the crate `etdi-policy` brings Cedar and Rego. A [`Gate`] holds
//! engines and what must hold around them: all of them must allow, a failure or a late answer is
//! a denial, each decision is noted with its reasons. A layer without a gate does nothing of this.
//!
//! ```
//! use std::sync::Arc;
//!
//! use etdi_core::level::Rules;
//! use etdi_core::policy::{Gate, LocalRules, Request, Resource};
//! use etdi_core::time::UnixTime;
//!
//! let rules: LocalRules = serde_json::from_str(r#"{
//!     "rules": [{"id": "no-shell", "effect": "forbid", "tools": ["shell*", "exec"]}],
//!     "otherwise": "allow"
//! }"#)?;
//! let gate = Gate::new(Arc::new(rules));
//!
//! # futures_executor::block_on(async {
//! let search = Request::call(Resource::new("stdio:pkg:cargo/notes", "search"), UnixTime(1));
//! assert!(gate.decide(&search, None).await.is_ok());
//!
//! let shell = Request::call(Resource::new("stdio:pkg:cargo/notes", "shell_run"), UnixTime(1));
//! let denied = gate.decide(&shell, None).await.unwrap_err();
//! assert_eq!(denied.policies, ["no-shell"]);
//!
//! // Where everything has to be permitted, what no rule mentions is denied.
//! assert!(gate.rules(Rules::EngineDefaultDeny).decide(&search, None).await.is_err());
//! # });
//! # Ok::<(), serde_json::Error>(())
//! ```

use core::fmt;
use core::str::FromStr;

use mcp_types::BoxFuture;

mod gate;
mod local;
mod pattern;
mod request;

pub use gate::{Denied, Gate, Permitted};
pub use local::{Effect, LocalRule, LocalRules, Otherwise};
pub use pattern::Pattern;
pub use request::{Context, Request, Resource, Side, Status, Subject};

/// Decides whether a call may go ahead.
///
/// An engine that cannot decide says so by [`Decision::failed`], which denies. One that waits, for
/// a service elsewhere, is given a deadline by its [`Gate`].
pub trait PolicyEngine: Send + Sync {
    /// Decides about a request.
    fn authorize<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Decision>;
}

impl<E: PolicyEngine + ?Sized> PolicyEngine for std::sync::Arc<E> {
    fn authorize<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Decision> {
        (**self).authorize(request)
    }
}

/// What an engine decided, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// Whether the call may go ahead.
    pub allow: bool,
    /// The policies that led to it, by their ids. Empty where no policy spoke and a default
    /// decided, or where the engine failed.
    pub policies: Vec<String>,
    /// What must be done if the call goes ahead. What nobody knows how to do denies it.
    pub obligations: Vec<Obligation>,
    /// Why, in sentences for people who run the system: never arguments, never secrets.
    pub reasons: Vec<String>,
}

impl Decision {
    /// Allowed because these policies permit it.
    pub fn permit(policies: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let policies = policies.into_iter().map(Into::into).collect();
        Self { allow: true, policies, ..Self::default() }
    }

    /// Allowed because no policy speaks against it. Where everything has to be permitted, this
    /// is a denial.
    pub fn unopposed() -> Self {
        Self { allow: true, ..Self::default() }
    }

    /// Denied because these policies forbid it; without any, because none permits it.
    pub fn deny(policies: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let policies = policies.into_iter().map(Into::into).collect();
        Self { policies, ..Self::default() }
    }

    /// Denied because nobody could decide.
    pub fn failed(error: &dyn fmt::Display) -> Self {
        Self::deny([""; 0]).because(format!("the policy engine failed: {error}"))
    }

    /// With a reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reasons.push(reason.into());
        self
    }

    /// With something that must be done.
    #[must_use]
    pub fn obliging(mut self, obligation: Obligation) -> Self {
        self.obligations.push(obligation);
        self
    }
}

/// Something that must be done if a call goes ahead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Obligation {
    /// `sign`: the call is signed, whether or not the tool asks for it. The client signs it; a
    /// server refuses it unsigned.
    Sign,
    /// `alert`: the note in the audit trail has high severity.
    Alert,
    /// Anything else. Nobody here knows how to do it, so the call is denied.
    Other(String),
}

impl FromStr for Obligation {
    type Err = core::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.trim() {
            "sign" => Self::Sign,
            "alert" => Self::Alert,
            other => Self::Other(other.to_owned()),
        })
    }
}

impl fmt::Display for Obligation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sign => "sign",
            Self::Alert => "alert",
            Self::Other(other) => other,
        })
    }
}

#[cfg(test)]
mod tests;
