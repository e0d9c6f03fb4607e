//! What happened, as typed events for the audit trail and for hosts.
//!
//! An event has no place for arguments, results or tokens, so none can slip into a log. Texts of
//! peers are cut to a bounded length, what does not show in them is escaped, and what looks like a
//! token or a key in them is taken out. [`Events`] tells whoever listens; the
//! [audit trail](crate::audit) keeps them.
//!
//! ```
//! use etdi_core::event::{Event, EventKind, Severity};
//!
//! let event = Event::new(EventKind::SignatureFailed)
//!     .on("https://mcp.acme.example/mcp", "search\u{202e}")
//!     .severity(Severity::High);
//! assert_eq!(event.tool.as_deref(), Some(r"search\u{202e}"));
//! assert_eq!(event.kind.name(), "signature_failed");
//! ```

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::approval::{Approval, Facts, Reason};
use crate::change::{Changes, Gravity, visible};
use crate::definition::ToolDefinition;
use crate::digest::Digest;
use crate::identity::ProviderId;
use crate::key::KeyId;
use crate::level::SecurityLevel;

mod hub;
mod kind;
mod redact;

pub use hub::{Broadcast, Events, ListenerId, Subscription};
pub use kind::{EventKind, UnknownEvent};

/// How much an event matters, from the least to the most.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// In the normal course of things.
    Low,
    /// Worth knowing.
    #[default]
    Medium,
    /// Worth looking into.
    High,
    /// An attack, or what looks like one.
    Critical,
}

impl Severity {
    /// The name in files and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl From<Gravity> for Severity {
    fn from(gravity: Gravity) -> Self {
        match gravity {
            Gravity::Cosmetic => Self::Low,
            Gravity::Notable => Self::Medium,
            Gravity::Powerful => Self::High,
            Gravity::Alarm => Self::Critical,
        }
    }
}

/// One thing that happened. What does not apply is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Event {
    /// What kind of thing.
    pub kind: EventKind,
    /// How much it matters.
    pub severity: Severity,
    /// The identity of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The name of the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The version that the tool declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Who verifiably vouches for the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The thumbprint of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<KeyId>,
    /// The digest of the definition at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The digest of the definition that was approved before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The gravest difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gravity: Option<Gravity>,
    /// The level under which it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<SecurityLevel>,
    /// Who approved or declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<String>,
    /// The generation of the approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// What joins the events of one exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// Which part of which program says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What kind of attack it is or looks like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threat: Option<String>,
    /// The identity provider, for what happens to tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// A digest of the token, never the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<Digest>,
    /// The scopes that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The session of a chain of calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Who called, where somebody vouches for them: `issuer#user`, as policies name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The tool that calls another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// The tool that is called by another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callee: Option<String>,
    /// How many tools called each other to come here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// What failed, in our own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The most characters that are kept of a text.
pub const MAX_TEXT: usize = 256;

/// The most scopes that are kept of a token.
const MAX_SCOPES: usize = 32;

/// A text as it may stand in a log: what does not show escaped, and no longer than [`MAX_TEXT`].
fn bounded(text: &str) -> String {
    // Cut before as well, so that a huge text is not searched and escaped in vain.
    let cut = text.get(..end_of(text, 4 * MAX_TEXT)).unwrap_or_default();
    let clean = redact::secrets(cut);
    let text = if cut.len() == text.len() { clean } else { format!("{clean}…").into() };
    let start = text.get(..end_of(&text, MAX_TEXT)).unwrap_or_default();
    let shown = visible(start);
    if start.len() == text.len() && end_of(&shown, MAX_TEXT) == shown.len() {
        return shown.into_owned();
    }
    shown.chars().take(MAX_TEXT - 1).chain(['…']).collect()
}

/// Where so many characters of a text end.
fn end_of(text: &str, characters: usize) -> usize {
    if text.len() <= characters {
        return text.len();
    }
    text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at)
}

impl Event {
    /// An event of which nothing else is known, of medium severity.
    pub fn new(kind: EventKind) -> Self {
        Self {
            kind,
            severity: Severity::default(),
            server: None,
            tool: None,
            version: None,
            issuer: None,
            kid: None,
            digest: None,
            previous: None,
            reason: None,
            gravity: None,
            level: None,
            approver: None,
            generation: None,
            correlation: None,
            source: None,
            threat: None,
            provider: None,
            token_id: None,
            scopes: Vec::new(),
            session: None,
            user: None,
            caller: None,
            callee: None,
            depth: None,
            detail: None,
        }
    }

    /// About a tool of a server.
    #[must_use]
    pub fn on(self, server: &str, tool: &str) -> Self {
        Self { server: Some(bounded(server)), tool: Some(bounded(tool)), ..self }
    }

    /// About a server.
    #[must_use]
    pub fn at(self, server: &str) -> Self {
        Self { server: Some(bounded(server)), ..self }
    }

    /// About a listed tool.
    #[must_use]
    pub fn about(self, facts: &Facts<'_>) -> Self {
        Self {
            version: facts.version().as_deref().map(bounded),
            issuer: facts.issuer().map(bounded),
            kid: facts.signed_by().map(|by| by.kid),
            digest: Some(facts.digest()),
            ..self.on(facts.server, facts.tool())
        }
    }

    /// With what a definition says of itself.
    #[must_use]
    pub fn of_definition(self, definition: &ToolDefinition) -> Self {
        let version = definition.block().map(|block| bounded(&block.version.to_string()));
        Self { version, digest: Some(definition.digest()), ..self }
    }

    /// With who signed it.
    #[must_use]
    pub fn signed(self, issuer: &ProviderId, key: KeyId) -> Self {
        Self { issuer: Some(bounded(issuer.as_str())), kid: Some(key), ..self }
    }

    /// About an approval.
    #[must_use]
    pub fn of_approval(self, approval: &Approval) -> Self {
        Self {
            version: approval.version.as_deref().map(bounded),
            issuer: approval.key.issuer.as_deref().map(bounded),
            kid: approval.signed_by.as_ref().map(|by| by.kid),
            digest: Some(approval.digest),
            level: Some(approval.level),
            approver: Some(bounded(&approval.approver)),
            generation: Some(approval.generation),
            ..self.on(&approval.key.server, &approval.key.tool)
        }
    }

    /// With its severity.
    #[must_use]
    pub fn severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// With its reason.
    #[must_use]
    pub fn because(self, reason: Reason) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// With what changed since an earlier definition; the gravest difference is its severity.
    #[must_use]
    pub fn since(self, previous: Digest, changes: &Changes) -> Self {
        let gravity = changes.gravity();
        let severity = gravity.map_or(self.severity, Severity::from).max(self.severity);
        Self { previous: Some(previous), gravity, severity, ..self }
    }

    /// With the level under which it happened.
    #[must_use]
    pub fn under(self, level: SecurityLevel) -> Self {
        Self { level: Some(level), ..self }
    }

    /// With what joins the events of one exchange.
    #[must_use]
    pub fn correlated(self, correlation: &str) -> Self {
        Self { correlation: Some(bounded(correlation)), ..self }
    }

    /// From a part of a program.
    #[must_use]
    pub fn from_source(self, source: &str) -> Self {
        Self { source: Some(bounded(source)), ..self }
    }

    /// With the kind of attack that it is or looks like.
    #[must_use]
    pub fn threat(self, threat: &str) -> Self {
        Self { threat: Some(bounded(threat)), ..self }
    }

    /// About a token of a provider; only its digest is kept.
    #[must_use]
    pub fn token<'a>(
        self,
        provider: &str,
        token: &str,
        scopes: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            provider: Some(bounded(provider)),
            token_id: Some(Digest::of_bytes(token.as_bytes())),
            scopes: scopes.into_iter().take(MAX_SCOPES).map(bounded).collect(),
            ..self
        }
    }

    /// On behalf of whom somebody vouches for, as policies name one. Of a name that is too long to stand
    /// here whole a digest follows, so that nobody passes for another whose name begins alike.
    #[must_use]
    pub fn by(self, user: &str) -> Self {
        let shown = bounded(user);
        let user = match shown.ends_with('…') && !user.ends_with('…') {
            false => shown,
            true => {
                let digest = Digest::of_bytes(user.as_bytes()).to_string();
                let kept = MAX_TEXT.saturating_sub(digest.chars().count() + 1);
                let start = shown.chars().take(kept);
                start.chain(['…']).chain(digest.chars()).collect()
            }
        };
        Self { user: Some(user), ..self }
    }

    /// About one tool that calls another, so many tools deep, in a session.
    #[must_use]
    pub fn call(self, session: &str, caller: Option<&str>, callee: &str, depth: u32) -> Self {
        Self {
            session: Some(bounded(session)),
            caller: caller.map(bounded),
            callee: Some(bounded(callee)),
            depth: Some(depth),
            ..self
        }
    }

    /// With what failed, in our own words: never a text that may hold arguments or secrets.
    #[must_use]
    pub fn detail(self, detail: &impl fmt::Display) -> Self {
        Self { detail: Some(bounded(&detail.to_string())), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_are_ordered_as_values_and_not_as_texts() {
        assert!(Severity::Low < Severity::Medium && Severity::Medium < Severity::High);
        assert!(Severity::High < Severity::Critical);
    }

    #[test]
    fn texts_of_peers_are_bounded_and_shown() {
        let event = Event::new(EventKind::ToolDiscovered).on(&"s".repeat(100_000), "a\nb\u{1b}[2J");
        assert_eq!(event.server.unwrap().chars().count(), MAX_TEXT);
        assert_eq!(event.tool.as_deref(), Some("a\\nb\\u{1b}[2J"));
        let dense = Event::new(EventKind::ToolDiscovered).at(&"\u{200b}".repeat(200));
        assert_eq!(dense.server.unwrap().chars().count(), MAX_TEXT);
        let whole = "x".repeat(MAX_TEXT);
        assert_eq!(Event::new(EventKind::ToolDiscovered).at(&whole).server, Some(whole));
    }

    /// Two users of one issuer with a long address are two in the trail.
    #[test]
    fn a_user_with_a_long_name_is_told_from_another() {
        let issuer = format!("https://login.example/{}", "t".repeat(MAX_TEXT));
        let user = |name: &str| Event::new(EventKind::ToolInvoked).by(name).user.unwrap();
        let [ada, bob] = ["ada", "bob"].map(|name| user(&format!("{issuer}#{name}")));
        assert_ne!(ada, bob);
        for shown in [&ada, &bob] {
            assert!(shown.starts_with("https://login.example/tt") && shown.contains("…sha-256:"));
            assert!(shown.chars().count() <= MAX_TEXT, "{shown}");
        }
        assert_eq!(user("https://login.example#ada"), "https://login.example#ada");
    }

    #[test]
    fn a_token_is_a_digest_and_a_secret_in_a_text_is_gone() {
        let jwt = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlc2lnbmF0dXJl";
        let event = Event::new(EventKind::TokenAcquired)
            .token("auth0", jwt, ["read:tools"])
            .detail(&format!("authorization: Bearer {jwt} was refused"));
        let json = serde_json::to_string(&event).unwrap();
        assert!(!json.contains("eyJ") && json.contains("[redacted] was refused"), "{json}");
        assert_eq!(event.token_id, Some(Digest::of_bytes(jwt.as_bytes())));
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
    }

    #[test]
    fn what_does_not_apply_is_left_out() {
        let event = Event::new(EventKind::ToolApproved).at("s").because(Reason::NotApproved);
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(
            json,
            r#"{"kind":"tool_approved","severity":"medium","server":"s","reason":"NOT_APPROVED"}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
    }
}
