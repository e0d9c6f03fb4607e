//! The built-in rules: a short list that forbids and permits by name, permission and origin.

use mcp_types::BoxFuture;
use serde::{Deserialize, Serialize};

use super::pattern::any;
use super::{Decision, Obligation, Pattern, PolicyEngine, Request, Status, Subject};
use crate::level::SecurityLevel;
use crate::permission::Scope;

/// Rules that need no engine of their own. One that forbids is stronger than any that permits.
///
/// For what they cannot say (arguments, hours, roles) there are Cedar and Rego in `etdi-policy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LocalRules {
    /// The rules; their order does not matter.
    #[serde(default)]
    pub rules: Vec<LocalRule>,
    /// What becomes of a call that no rule mentions.
    #[serde(default)]
    pub otherwise: Otherwise,
}

/// What becomes of a call that no rule mentions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Otherwise {
    /// It is allowed, unless the level wants a rule that permits it.
    Allow,
    /// It is denied.
    #[default]
    Deny,
}

/// A rule: it applies to a call of which everything that it names is true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LocalRule {
    /// The name by which decisions cite it.
    pub id: String,
    /// What it does.
    pub effect: Effect,
    /// The servers, by identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<Pattern>>,
    /// The tools, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Pattern>>,
    /// The publishers, where they are proven; a rule that forbids takes claims as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub providers: Option<Vec<Pattern>>,
    /// Users, as `issuer#subject`, because anybody can issue a subject; a rule that forbids takes
    /// the bare subject as well, whoever issued it. A user of the host's own settings has a bare
    /// name. A call by nobody in particular is none of theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<Pattern>>,
    /// Agents. A call by no agent that is known is none of theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<Vec<Pattern>>,
    /// Permissions. A rule that forbids applies to a tool that declares one that overlaps with
    /// any of these; one that permits, to a tool that declares some, all of which these cover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<Scope>>,
    /// What is known of the tool's origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Vec<Status>>,
    /// Whether a publisher whom this side trusts says that the tool changes nothing. A tool of
    /// which nobody says so counts as one that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// Tools, one of which is under way and led to the call; one of another server is
    /// `server#tool`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called_by: Option<Vec<Pattern>>,
    /// The call is deeper than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deeper_than: Option<u32>,
    /// Servers, text of which stands in the arguments, where flows are tracked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_from: Option<Vec<Pattern>>,
    /// What must be done with what the rule permits, such as `sign`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<String>,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It permits.
    Permit,
    /// It forbids, whatever else permits.
    Forbid,
}

impl LocalRules {
    /// No rules, and the default of a level: strict denies, the others allow.
    pub fn of(level: SecurityLevel) -> Self {
        let otherwise = match level {
            SecurityLevel::Strict => Otherwise::Deny,
            _ => Otherwise::Allow,
        };
        Self { rules: Vec::new(), otherwise }
    }

    /// Permits what its user approved, in exactly that form, for clients at `strict` that want
    /// nothing else decided: a client asks about approved tools alone. For a server it is no policy.
    pub fn of_approvals() -> Self {
        Self::of(SecurityLevel::Strict).rule(LocalRule::new("approved", Effect::Permit))
    }

    /// With a rule.
    #[must_use]
    pub fn rule(mut self, rule: LocalRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Decides about a request, at once.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let ids = |effect: Effect| {
            let rules = self.rules.iter().filter(move |rule| rule.effect == effect);
            rules.filter(|rule| rule.applies(request))
        };
        let mut forbidding = ids(Effect::Forbid).peekable();
        if forbidding.peek().is_some() {
            return Decision::deny(forbidding.map(|rule| rule.id.clone()));
        }
        let permitting: Vec<_> = ids(Effect::Permit).collect();
        if permitting.is_empty() {
            return match self.otherwise {
                Otherwise::Allow => Decision::unopposed(),
                Otherwise::Deny => Decision::default(),
            };
        }
        let named = permitting.iter().flat_map(|rule| &rule.obligations);
        let obligations = named.map(|name| match name.parse() {
            Ok(obligation) => obligation,
            Err(never) => match never {},
        });
        let obligations: Vec<Obligation> = obligations.collect();
        let mut decision = Decision::permit(permitting.iter().map(|rule| rule.id.clone()));
        decision.obligations = obligations;
        decision
    }
}

impl PolicyEngine for LocalRules {
    fn authorize<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Decision> {
        Box::pin(core::future::ready(self.decide(request)))
    }
}

impl LocalRule {
    /// A rule that applies to every call.
    pub fn new(id: impl Into<String>, effect: Effect) -> Self {
        Self {
            id: id.into(),
            effect,
            servers: None,
            tools: None,
            providers: None,
            users: None,
            agents: None,
            permissions: None,
            status: None,
            read_only: None,
            called_by: None,
            deeper_than: None,
            text_from: None,
            obligations: Vec::new(),
        }
    }

    /// Whether everything that the rule names is true of a call.
    pub fn applies(&self, request: &Request<'_>) -> bool {
        let (resource, context) = (&request.resource, &request.context);
        let known = |list: &Option<Vec<Pattern>>, name: Option<&str>| match (list, name) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(name)) => any(list.as_ref(), name),
        };
        let proven = resource.status.is_vouched_for() || self.effect == Effect::Forbid;
        let read_only = resource.status.is_vouched_for() && resource.hints.read_only == Some(true);
        any(self.servers.as_ref(), resource.server)
            && any(self.tools.as_ref(), resource.tool)
            && known(&self.providers, resource.provider.filter(|_| proven))
            && self.is_by(&request.subject)
            && known(&self.agents, request.subject.agent)
            && self.permissions.as_ref().is_none_or(|scopes| self.touches(scopes, request))
            && self.status.as_ref().is_none_or(|list| list.contains(&resource.status))
            && self.read_only.is_none_or(|wanted| wanted == read_only)
            && one_of(&self.called_by, context.chain.iter().copied())
            && self.deeper_than.is_none_or(|limit| context.depth > limit as usize)
            && one_of(&self.text_from, context.texts.iter().map(|found| found.server()))
    }

    fn is_by(&self, subject: &Subject<'_>) -> bool {
        let Some(users) = &self.users else { return true };
        let is_named = |name: &str| any(Some(users), name);
        let bare = subject.user.filter(|_| self.effect == Effect::Forbid);
        subject.name().is_some_and(|name| is_named(&name)) || bare.is_some_and(is_named)
    }

    fn touches(&self, scopes: &[Scope], request: &Request<'_>) -> bool {
        let mut declared = request.resource.permissions.iter().map(|declared| &declared.scope);
        match self.effect {
            // Of a tool that declares nothing nobody knows what it may do.
            Effect::Permit => {
                declared.len() > 0
                    && declared.all(|one| scopes.iter().any(|scope| scope.covers(one)))
            }
            Effect::Forbid => declared
                .any(|one| scopes.iter().any(|scope| scope.covers(one) || one.covers(scope))),
        }
    }
}

fn one_of<'a>(list: &Option<Vec<Pattern>>, mut names: impl Iterator<Item = &'a str>) -> bool {
    list.is_none() || names.any(|name| any(list.as_ref(), name))
}
