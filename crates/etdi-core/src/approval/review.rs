//! From a decision to an approved definition: reads the store, asks the person, writes, notes.

use core::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::decide::{self, decide};
use super::{
    Answer, Approval, ApprovalKey, ApprovalStore, Approver, Decision, Facts, Given, Granted, Known,
    MAX_RECORDS, Question, Reason, Refusal, Seen, ServerMemory, StoreError, Withdrawn, tagged,
};
use crate::audit::{self, AuditError, Auditor};
use crate::bounded::Bounded;
use crate::change::Changes;
use crate::definition::ToolDefinition;
use crate::digest::Digest;
use crate::event::{Event, EventKind, Severity};
use crate::level::Policy;
use crate::permission::RiskLexicon;
use crate::time::UnixTime;

mod read;
mod together;
mod warn;

use read::Read;
pub(crate) use together::{Owed, Step};
use warn::Names;
pub(crate) use warn::looks;

/// A value that a user accepted, with the approval that says so.
///
/// Only [`Approvals`] makes one, and only while the store holds an approval of exactly this.
///
/// ```compile_fail
/// # fn forge(definition: etdi_core::definition::ToolDefinition, approval: etdi_core::approval::Approval) {
/// let forged = etdi_core::approval::Approved { value: definition, approval: approval.into() };
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Approved<T> {
    value: T,
    approval: Arc<Approval>,
}

impl<T> Approved<T> {
    /// The approval.
    pub fn approval(&self) -> &Approval {
        &self.approval
    }

    /// Whether a permission that the definition declares was granted.
    pub fn grants(&self, scope: &str) -> bool {
        self.approval.granted.allows(scope)
    }

    /// What the user granted. A host that hands out more than this breaks the approval.
    pub fn granted(&self) -> &Granted {
        &self.approval.granted
    }

    /// The value without its approval.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl Approved<ToolDefinition> {
    /// The scopes that the definition declares and the user granted.
    pub fn granted_scopes(&self) -> impl Iterator<Item = &str> {
        let declared = self.value.block().map_or(&[][..], |block| &block.permissions);
        let scopes = declared.iter().map(|permission| permission.scope.as_str());
        scopes.filter(|scope| self.grants(scope))
    }
}

impl<T> Deref for Approved<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The approvals of one host: a store, a policy, a person and an audit trail. Cheap to clone.
#[derive(Clone)]
pub struct Approvals {
    store: Arc<dyn ApprovalStore>,
    approver: Arc<dyn Approver>,
    auditor: Arc<dyn Auditor>,
    policy: Arc<Policy>,
    lost_events: Arc<AtomicU64>,
    /// The refusals that are on record, so that each listing does not note them again.
    noted: Arc<Mutex<Bounded<Digest, (), MAX_RECORDS>>>,
    correlation: Option<Arc<str>>,
    read: Arc<Mutex<Option<Read>>>,
    lexicon: Arc<RiskLexicon>,
    names: Arc<Mutex<Option<Names>>>,
}

impl fmt::Debug for Approvals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approvals").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// How often a decision is made again because another writer was faster.
const ATTEMPTS: usize = 4;

impl Approvals {
    /// Decides by `policy` on what `store` holds, asks `approver`, and notes in `auditor`.
    pub fn new(
        policy: Policy,
        store: Arc<dyn ApprovalStore>,
        approver: Arc<dyn Approver>,
        auditor: Arc<dyn Auditor>,
    ) -> Self {
        let policy = Arc::new(policy);
        let (lost_events, noted) = (Arc::default(), Arc::default());
        let (read, lexicon, names) = (Arc::default(), Arc::default(), Arc::default());
        let correlation = None;
        Self {
            store,
            approver,
            auditor,
            policy,
            lost_events,
            noted,
            correlation,
            read,
            lexicon,
            names,
        }
    }

    /// The same approvals, whose events from now on carry what joins them with those of one
    /// exchange.
    #[must_use]
    pub fn correlated(&self, correlation: &str) -> Self {
        Self { correlation: Some(correlation.into()), ..self.clone() }
    }

    /// The audit trail.
    pub fn auditor(&self) -> &Arc<dyn Auditor> {
        &self.auditor
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The store.
    pub fn store(&self) -> &dyn ApprovalStore {
        &*self.store
    }

    /// How many events could not be noted although the policy let the act go on.
    pub fn lost_events(&self) -> u64 {
        self.lost_events.load(Ordering::Relaxed)
    }

    /// Remembers the verified ones among the tools of a listing, in one write. To be called for
    /// each page before its tools are checked, so that a later listing without their signatures
    /// is found out.
    ///
    /// # Errors
    ///
    /// When the store fails: nothing of the listing may be used then.
    pub async fn remember(
        &self,
        server: &str,
        tools: &[Facts<'_>],
        now: UnixTime,
    ) -> Result<(), StoreError> {
        // What the policy does not trust must not fill the memory of a server.
        // A key that comes from nowhere is remembered once somebody has approved it.
        let trusted = |facts: &&Facts<'_>| {
            facts.server == server
                && !facts.is_first_use()
                && decide::distrusted(facts, &self.policy).is_none()
        };
        let seen: Vec<Seen> = tools.iter().filter(trusted).filter_map(Facts::seen).collect();
        if !seen.is_empty() {
            self.store.remember(server, &seen, now).await?;
        }
        Ok(())
    }

    /// Checks a tool against what was approved, without asking anybody. An update that the policy
    /// carries over is stored.
    ///
    /// # Errors
    ///
    /// When the tool may not be called now; [`Refusal::can_be_approved`] says whether
    /// [`Approvals::review`] would ask.
    pub async fn check(
        &self,
        facts: &Facts<'_>,
        now: UnixTime,
    ) -> Result<Approved<ToolDefinition>, Box<Refusal>> {
        self.settle(facts, now, None).await
    }

    /// Checks a tool, and asks the person where one must decide.
    ///
    /// # Errors
    ///
    /// When the tool may not be called, also because the person declined.
    pub async fn review(
        &self,
        facts: &Facts<'_>,
        now: UnixTime,
    ) -> Result<Approved<ToolDefinition>, Box<Refusal>> {
        self.settle(facts, now, Some(&*self.approver)).await
    }

    async fn settle(
        &self,
        facts: &Facts<'_>,
        now: UnixTime,
        mut approver: Option<&dyn Approver>,
    ) -> Result<Approved<ToolDefinition>, Box<Refusal>> {
        for _ in 0..ATTEMPTS {
            let Owed { approval, expected, .. } =
                match self.decide(facts, now, approver.take()).await? {
                    Step::Approved(approved) => return Ok(*approved),
                    Step::Owed(owed) => *owed,
                };
            match self.store.put(approval, expected).await {
                // What is stored now is decided upon like anything else: an answer may have
                // granted less than the tool requires, and another writer may have been faster.
                Ok(_) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(self.failed(facts, error, now)),
            }
        }
        Err(self.failed(facts, StoreError::Busy, now))
    }

    async fn decide(
        &self,
        facts: &Facts<'_>,
        now: UnixTime,
        approver: Option<&dyn Approver>,
    ) -> Result<Step, Box<Refusal>> {
        let known = self.known(facts, now).await.map_err(|e| self.failed(facts, e, now))?;
        let decision = decide(facts, known.view(), &self.policy, now);
        let expected = known.approval.as_ref().map(|old| old.generation);
        let (approval, event) = match decision {
            Decision::Unchanged => {
                return approved(facts, known).map(|approved| Step::Approved(Box::new(approved)));
            }
            Decision::Block { reason, changes } => {
                let refusal = refusal(facts, &known, reason, changes);
                return Err(self.refused(blocked(reason), refusal, facts, now));
            }
            Decision::CarryOver { approval, changes } => {
                let event = Event::new(EventKind::ToolUpdated).of_approval(&approval);
                let previous = approval.carried.as_ref().map(|carried| carried.from.digest);
                (*approval, since(event, previous, &changes))
            }
            Decision::Ask { reason, changes, alarm } => {
                let mut refusal = refusal(facts, &known, reason, changes);
                refusal.can_be_approved = true;
                refusal.alarm = alarm;
                // A person who has answered is not asked the same again.
                let Some(approver) = approver else {
                    let kind = match alarm {
                        true => EventKind::SecurityViolation,
                        false => EventKind::ToolRefused,
                    };
                    return Err(self.refused(kind, refusal, facts, now));
                };
                let Some(given) = self.ask(approver, facts, &known, &refusal, now).await? else {
                    refusal.declined = true;
                    return Err(self.refused(EventKind::ToolDeclined, refusal, facts, now));
                };
                let approval = Approval::new(facts, given, self.policy.level, now);
                let event = Event::new(EventKind::ToolApproved).of_approval(&approval);
                (approval, since(event.because(reason), refusal.previous, &refusal.changes))
            }
        };
        if let Err(error) = self.note(&event, now) {
            return Err(unnoted(facts, &known, &error));
        }
        let seen = facts.seen().filter(|_| decide::distrusted(facts, &self.policy).is_none());
        Ok(Step::Owed(Box::new(Owed { approval, expected, seen })))
    }

    async fn ask(
        &self,
        approver: &dyn Approver,
        facts: &Facts<'_>,
        known: &Stored,
        open: &Refusal,
        now: UnixTime,
    ) -> Result<Option<Given>, Box<Refusal>> {
        let kind = match open.reason {
            _ if open.alarm => EventKind::SecurityViolation,
            Reason::NotApproved => EventKind::ToolApprovalRequested,
            Reason::ApprovalExpired => EventKind::ToolExpired,
            _ => EventKind::ToolReapprovalRequested,
        };
        if let Err(error) = self.note(&self.event(kind, open, facts), now) {
            return Err(unnoted(facts, known, &error));
        }
        let alike = self.alike(facts, known, open, now).await?;
        let risks = self.risks(facts, known);
        let previous = known.approval.as_ref().or(known.previous.as_ref());
        let question = Question {
            risks: &risks,
            alike: &alike,
            facts: *facts,
            reason: open.reason,
            alarm: open.alarm,
            changes: &open.changes,
            previous,
        };
        let Answer::Approve { granted, approver, expires_at, note } = approver.ask(question).await
        else {
            return Ok(None);
        };
        let granted = match granted {
            Granted::Only(mut scopes) => {
                let declared = |scope: &String| {
                    facts.permissions().iter().any(|permission| permission.scope.as_str() == scope)
                };
                scopes.retain(declared);
                Granted::Only(scopes)
            }
            granted => granted,
        };
        Ok(Some(Given { granted, approver, expires_at, reason: open.reason, note }))
    }

    /// Takes back an update that was carried over: the approval that a person gave is stored
    /// again, and later updates ask. Says whether there was anything to take back.
    ///
    /// # Errors
    ///
    /// When the store fails, another writer was faster, or the policy wants the audit trail first
    /// and it cannot be written.
    pub async fn undo(&self, key: &ApprovalKey, now: UnixTime) -> Result<bool, StoreError> {
        self.store.observe(now, false).await?;
        let Some(approval) = self.store.get(key).await? else { return Ok(false) };
        let Some(undone) = approval.undone(now) else { return Ok(false) };
        let event = Event::new(EventKind::ToolUpdated).of_approval(&undone);
        let event = event.detail(&"an update was taken back");
        self.note(&event, now).map_err(|error| StoreError::Other {
            message: format!("nothing was changed, because {error}"),
        })?;
        self.store.put(undone, Some(approval.generation)).await?;
        Ok(true)
    }

    /// Withdraws an approval, whether or not that can be noted. It stays in the store, so that the
    /// next question says that it was withdrawn. Says whether there was one that counted.
    ///
    /// # Errors
    ///
    /// When the store fails or another writer was faster.
    pub async fn withdraw(
        &self,
        key: &ApprovalKey,
        withdrawn: Withdrawn,
    ) -> Result<bool, StoreError> {
        let Some(approval) = self.store.get(key).await? else { return Ok(false) };
        if approval.withdrawn.is_some() {
            return Ok(false);
        }
        let (now, expected) = (withdrawn.at, approval.generation);
        let approval = Approval { withdrawn: Some(withdrawn), ..approval };
        let approval = self.store.put(approval, Some(expected)).await?;
        let event = Event::new(EventKind::ToolRemoved).of_approval(&approval);
        let event = event.because(Reason::ApprovalWithdrawn);
        if self.note(&event, now).is_err() {
            self.lost_events.fetch_add(1, Ordering::Relaxed);
        }
        Ok(true)
    }

    /// Takes an approval away as if it had never been given, whether or not that can be noted. What
    /// is remembered of the server stays. Says whether there was one.
    ///
    /// # Errors
    ///
    /// When the store fails or another writer was faster.
    pub async fn remove(&self, key: &ApprovalKey, now: UnixTime) -> Result<bool, StoreError> {
        let Some(approval) = self.store.get(key).await? else { return Ok(false) };
        self.store.remove(key, approval.generation).await?;
        let event = Event::new(EventKind::ToolRemoved).of_approval(&approval);
        if self.note(&event, now).is_err() {
            self.lost_events.fetch_add(1, Ordering::Relaxed);
        }
        Ok(true)
    }

    /// Reads what bears on the decision, and remembers a verified tool first.
    async fn known(&self, facts: &Facts<'_>, now: UnixTime) -> Result<Stored, StoreError> {
        self.store.observe(now, false).await?;
        let key = facts.key();
        let approval = self.store.get(&key).await?;
        if approval.as_ref().is_some_and(|approval| approval.is_expired(now)) {
            // Otherwise a clock that is set back could make it count again.
            self.store.observe(now, true).await?;
        }
        let mut memory = self.memory(facts.server).await?;
        if let Some(seen) = facts.seen().filter(|_| {
            (approval.is_some() || !facts.is_first_use())
                && decide::distrusted(facts, &self.policy).is_none()
        }) {
            let known = memory
                .as_ref()
                .and_then(|memory| memory.tools.get(facts.tool())?.get(&seen.issuer));
            let version = seen.version.as_deref();
            if known.is_none_or(|known| decide::is_higher(version, known.version.as_deref())) {
                memory = Some(Arc::new(self.store.remember(facts.server, &[seen], now).await?));
            }
        }
        let mut previous = None;
        if approval.is_none() {
            let issuers = memory.as_ref().and_then(|memory| memory.tools.get(facts.tool()));
            let issuers = issuers.into_iter().flatten().map(|(issuer, _)| Some(issuer.clone()));
            for issuer in issuers.chain([None]).filter(|issuer| *issuer != key.issuer) {
                let other = ApprovalKey::new(facts.server, issuer, facts.tool());
                previous = self.store.get(&other).await?;
                if previous.is_some() {
                    break;
                }
            }
        }
        Ok(Stored { approval, previous, memory })
    }

    fn failed(&self, facts: &Facts<'_>, error: StoreError, now: UnixTime) -> Box<Refusal> {
        let mut refusal =
            refusal(facts, &Stored::default(), Reason::StoreFailed, Changes::default());
        refusal.source = Some(error);
        self.refused(EventKind::StoreFailed, refusal, facts, now)
    }

    /// Notes a refusal. When that fails the refusal stands all the same.
    fn refused(
        &self,
        kind: EventKind,
        refusal: Refusal,
        facts: &Facts<'_>,
        now: UnixTime,
    ) -> Box<Refusal> {
        if self.is_news(kind, &refusal)
            && self.note(&self.event(kind, &refusal, facts), now).is_err()
        {
            self.lost_events.fetch_add(1, Ordering::Relaxed);
        }
        Box::new(refusal)
    }

    /// Whether a refusal is not on record yet. What a person declined, and a store that fails, is
    /// noted each time.
    fn is_news(&self, kind: EventKind, refusal: &Refusal) -> bool {
        if refusal.declined || refusal.source.is_some() {
            return true;
        }
        let (key, digest) = (refusal.key.digest().to_string(), refusal.digest.to_string());
        let previous = refusal.previous.map(|previous| previous.to_string());
        let parts = [
            Some(&*key),
            Some(&*digest),
            previous.as_deref(),
            Some(refusal.reason.code()),
            Some(kind.name()),
        ];
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = tagged("etdi-noted-v1", &parts);
        let is_news = !noted.contains_key(&mark);
        if is_news {
            noted.insert(mark, ());
        }
        is_news
    }

    fn event(&self, kind: EventKind, refusal: &Refusal, facts: &Facts<'_>) -> Event {
        let event = Event::new(kind).about(facts).because(refusal.reason).under(self.policy.level);
        let severity = match kind {
            EventKind::SecurityViolation | EventKind::SignatureFailed | EventKind::StoreFailed => {
                Severity::Critical
            }
            EventKind::ToolApprovalRequested | EventKind::ToolExpired => Severity::Low,
            _ => Severity::Medium,
        };
        let event = since(event.severity(severity), refusal.previous, &refusal.changes);
        match &refusal.source {
            Some(source) => event.detail(source),
            None => event,
        }
    }

    /// Notes an event.
    ///
    /// # Errors
    ///
    /// Only where the policy wants that to stop the act: it cannot be noted, or the sink keeps no
    /// chain. Otherwise what is lost is counted, see [`Approvals::lost_events`].
    pub fn note(&self, event: &Event, now: UnixTime) -> Result<(), AuditError> {
        let joined;
        let event = match &self.correlation {
            Some(correlation) if event.correlation.is_none() => {
                joined = event.clone().correlated(correlation);
                &joined
            }
            _ => event,
        };
        match audit::record(&*self.auditor, event, now, self.policy.audit) {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.lost_events.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// What the store holds that bears on one tool.
#[derive(Default)]
struct Stored {
    approval: Option<Approval>,
    previous: Option<Approval>,
    memory: Option<Arc<ServerMemory>>,
}

impl Stored {
    fn view(&self) -> Known<'_> {
        Known::new(self.approval.as_ref(), self.memory.as_deref())
            .with_previous(self.previous.as_ref())
    }
}

fn approved(facts: &Facts<'_>, known: Stored) -> Result<Approved<ToolDefinition>, Box<Refusal>> {
    match known.approval {
        // The decision says so already; this is the one place that makes the type, so it looks
        // for itself.
        Some(approval) if approval.key == facts.key() && approval.digest == facts.digest() => {
            Ok(Approved { value: facts.definition.clone(), approval: Arc::new(approval) })
        }
        _ => Err(Box::new(refusal(facts, &known, Reason::NotApproved, Changes::default()))),
    }
}

fn refusal(facts: &Facts<'_>, known: &Stored, reason: Reason, changes: Changes) -> Refusal {
    let previous = known.approval.as_ref().or(known.previous.as_ref());
    Refusal {
        key: facts.key(),
        reason,
        can_be_approved: false,
        declined: false,
        alarm: false,
        digest: facts.digest(),
        previous: previous.map(|approval| approval.digest),
        changes,
        source: None,
    }
}

/// An act that the policy wants noted before, and that cannot be.
fn unnoted(facts: &Facts<'_>, known: &Stored, error: &AuditError) -> Box<Refusal> {
    let mut refusal = refusal(facts, known, Reason::AuditFailed, Changes::default());
    refusal.source = Some(StoreError::Other { message: error.to_string() });
    Box::new(refusal)
}

fn since(event: Event, previous: Option<Digest>, changes: &Changes) -> Event {
    match previous {
        Some(previous) => event.since(previous, changes),
        None => event,
    }
}

/// What kind of event it is that a tool is blocked.
fn blocked(reason: Reason) -> EventKind {
    match reason {
        Reason::SignatureInvalid | Reason::DigestMismatch | Reason::AttestationInvalid => {
            EventKind::SignatureFailed
        }
        Reason::StoreFailed => EventKind::StoreFailed,
        Reason::Unsigned
        | Reason::Unverified
        | Reason::KeyUntrusted
        | Reason::PermissionDenied
        | Reason::AttestationExpired
        | Reason::AttestationNotYetValid => EventKind::ToolRefused,
        _ => EventKind::SecurityViolation,
    }
}

#[cfg(test)]
mod tests;
