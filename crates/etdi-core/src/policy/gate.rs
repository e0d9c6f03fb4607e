//! Engines, and what must hold around them.

use core::fmt;
use core::time::Duration;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use mcp_types::Runtime;

use super::{Decision, Obligation, PolicyEngine, Request};
use crate::audit::{self, AuditError, Auditor};
use crate::change::visible;
use crate::event::{Event, EventKind, Severity};
use crate::level::{AuditMode, Policy, Rules};
use crate::together::within;

/// Asks engines, and refuses whatever they do not allow in time.
///
/// All of its engines must allow a call. An engine that fails, or answers after the deadline,
/// denies. So does an obligation that nobody here knows. Every decision is noted, with the
/// policies that led to it and their reasons; where the audit trail comes before the act, a note
/// that cannot be kept denies as well.
///
/// The deadline needs a timer: the gate's own runtime, or that of the transport that an exchange
/// came by. Without either an engine that never answers keeps the call waiting, and unsent.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    engines: Vec<Arc<dyn PolicyEngine>>,
    deadline: Duration,
    runtime: Option<Arc<dyn Runtime>>,
    auditor: Option<Arc<dyn Auditor>>,
    rules: Rules,
    audit: AuditMode,
    user: Option<String>,
    agent: Option<String>,
}

/// A call that may go ahead.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Permitted {
    /// The policies that permit it.
    pub policies: Vec<String>,
    /// What must be done: [`Obligation::Sign`] is left to whoever sends or takes the call.
    pub obligations: BTreeSet<Obligation>,
}

/// A call that may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the policy does not allow a call of `{}`{}: {}",
    visible(.tool),
    .user.as_ref().map(|user| format!(" by `{}`", visible(user))).unwrap_or_default(),
    .reasons.join("; ")
)]
#[non_exhaustive]
pub struct Denied {
    /// The tool.
    pub tool: String,
    /// Who called, as policies name whom somebody vouches for: `issuer#user`.
    pub user: Option<String>,
    /// The policies that forbid it; none where none permits it, or an engine failed.
    pub policies: Vec<String>,
    /// Why, at least one sentence.
    pub reasons: Vec<String>,
}

impl Gate {
    /// How long an engine may take unless another deadline is set.
    pub const DEADLINE: Duration = Duration::from_secs(2);

    /// A gate with one engine. What no policy speaks against is allowed if the engine says so.
    pub fn new(engine: Arc<dyn PolicyEngine>) -> Self {
        Self(Arc::new(Inner {
            engines: vec![engine],
            deadline: Self::DEADLINE,
            runtime: None,
            auditor: None,
            rules: Rules::Engine,
            audit: AuditMode::On,
            user: None,
            agent: None,
        }))
    }

    /// Asks another engine as well.
    #[must_use]
    pub fn and(mut self, engine: Arc<dyn PolicyEngine>) -> Self {
        self.edit().engines.push(engine);
        self
    }

    /// Waits at most this long for an engine.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.edit().deadline = deadline;
        self
    }

    /// Takes its timers from here, rather than from the exchange.
    #[must_use]
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.edit().runtime = Some(runtime);
        self
    }

    /// Notes decisions.
    #[must_use]
    pub fn auditor(mut self, auditor: Arc<dyn Auditor>) -> Self {
        self.edit().auditor = Some(auditor);
        self
    }

    /// Says what counts where no policy speaks: with [`Rules::EngineDefaultDeny`] a call needs a
    /// policy that permits it, whatever an engine's own default is.
    #[must_use]
    pub fn rules(mut self, rules: Rules) -> Self {
        self.edit().rules = rules;
        self
    }

    /// Takes from a level's policy what it says about rules and audit.
    #[must_use]
    pub fn under(mut self, policy: &Policy) -> Self {
        let inner = self.edit();
        (inner.rules, inner.audit) = (policy.rules, policy.audit);
        self
    }

    /// Says for which user and by which agent a call is made of which nothing else is known: on a
    /// client, whoever it works for.
    #[must_use]
    pub fn acting(mut self, user: Option<String>, agent: Option<String>) -> Self {
        let inner = self.edit();
        (inner.user, inner.agent) = (user, agent);
        self
    }

    fn edit(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }

    /// Decides about a request, and notes it. `timers` are those of the exchange.
    ///
    /// # Errors
    ///
    /// When the call may not go ahead, with the policies and reasons.
    pub async fn decide(
        &self,
        request: &Request<'_>,
        timers: Option<&Arc<dyn Runtime>>,
    ) -> Result<Permitted, Denied> {
        let mut filled: Request<'_>;
        let mut request = request;
        if self.0.user.is_some() || self.0.agent.is_some() {
            filled = request.clone();
            filled.subject.user = filled.subject.user.or(self.0.user.as_deref());
            filled.subject.agent = filled.subject.agent.or(self.0.agent.as_deref());
            request = &filled;
        }
        let mut permitted = Permitted::default();
        let mut verdict = Ok(());
        for engine in &self.0.engines {
            let decision = self.ask(&**engine, request, timers).await;
            if !decision.allow {
                verdict = Err(denied(request, decision));
                break;
            }
            permitted.policies.extend(decision.policies);
            permitted.obligations.extend(decision.obligations);
        }
        if verdict.is_ok() {
            verdict = self.complete(request, &permitted);
        }
        let noted = self.note(request, &permitted, verdict.as_ref().err());
        if let (Err(error), true) = (noted, verdict.is_ok()) {
            verdict = Err(denied(request, Decision::default().because(error.to_string())));
        }
        verdict.map(|()| permitted)
    }

    async fn ask(
        &self,
        engine: &dyn PolicyEngine,
        request: &Request<'_>,
        timers: Option<&Arc<dyn Runtime>>,
    ) -> Decision {
        let timers = self.0.runtime.as_ref().or(timers).map(|one| &**one);
        let decision = within(engine.authorize(request), timers, self.0.deadline).await;
        decision.unwrap_or_else(|| {
            let within = format!("no answer within {:?}", self.0.deadline);
            Decision::failed(&within)
        })
    }

    /// What must hold of a call that all engines allow.
    fn complete(&self, request: &Request<'_>, permitted: &Permitted) -> Result<(), Denied> {
        if self.0.rules == Rules::EngineDefaultDeny && permitted.policies.is_empty() {
            return Err(denied(request, Decision::default()));
        }
        let unknown = permitted.obligations.iter().find_map(|obligation| match obligation {
            Obligation::Other(name) => Some(name),
            _ => None,
        });
        match unknown {
            None => Ok(()),
            Some(name) => {
                let why = format!(
                    "a policy demands `{}`, which nothing here can do: write `sign` or `alert`",
                    visible(name)
                );
                Err(denied(request, Decision::deny(permitted.policies.clone()).because(why)))
            }
        }
    }

    fn note(
        &self,
        request: &Request<'_>,
        permitted: &Permitted,
        denied: Option<&Denied>,
    ) -> Result<(), AuditError> {
        let Some(auditor) = &self.0.auditor else { return Ok(()) };
        let alert = denied.is_some() || permitted.obligations.contains(&Obligation::Alert);
        let mut event = Event::new(EventKind::PolicyDecided)
            .on(request.resource.server, request.resource.tool)
            .severity(if alert { Severity::High } else { Severity::Low })
            .detail(&Told { permitted, denied });
        event.digest = request.resource.digest;
        if let Some(user) = request.subject.vouched() {
            event = event.by(&user);
        }
        event.level = request.context.level;
        audit::record(&**auditor, &event, request.context.now, self.0.audit).map(|_| ())
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("engines", &self.0.engines.len())
            .field("rules", &self.0.rules)
            .finish_non_exhaustive()
    }
}

fn denied(request: &Request<'_>, decision: Decision) -> Denied {
    let Decision { policies, mut reasons, .. } = decision;
    if reasons.is_empty() {
        reasons.push(match policies.as_slice() {
            [] => "no policy permits it, add one".to_owned(),
            ids => Ids("it is forbidden by", ids).to_string(),
        });
    }
    let user = request.subject.vouched().map(Cow::into_owned);
    Denied { tool: request.resource.tool.to_owned(), user, policies, reasons }
}

/// A decision as the audit trail tells it.
struct Told<'a> {
    permitted: &'a Permitted,
    denied: Option<&'a Denied>,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denied {
            None if self.permitted.policies.is_empty() => f.write_str("allowed, no policy speaks"),
            None => Ids("allowed by", &self.permitted.policies).fmt(f),
            Some(denied) => {
                Ids("denied by", &denied.policies).fmt(f)?;
                write!(f, ": {}", denied.reasons.join("; "))
            }
        }
    }
}

struct Ids<'a>(&'a str, &'a [String]);

impl fmt::Display for Ids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(verb, ids) = self;
        match ids {
            [] => write!(f, "{} default", verb),
            ids => {
                write!(f, "{verb}")?;
                for (at, id) in ids.iter().enumerate() {
                    write!(f, "{} `{}`", if at == 0 { "" } else { "," }, visible(id))?;
                }
                Ok(())
            }
        }
    }
}
