//! The chains of one server: its policy, and what that has to remember.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::history::History;
use super::rate::Rates;
use super::{CallRecord, CallStackPolicy, ChainError, Frame, Member, Statistics, Violation};
use crate::time::UnixTime;

/// Judges calls by the policy of a server, and remembers the newest of them. Cheap to clone; clones
/// share what they remember.
#[derive(Clone)]
pub struct CallStack(Arc<Shared>);

struct Shared {
    policy: CallStackPolicy,
    rates: Mutex<Rates>,
    history: Mutex<History>,
}

impl CallStack {
    /// Judges by `policy`.
    pub fn new(policy: CallStackPolicy) -> Self {
        Self(Arc::new(Shared { policy, rates: Mutex::default(), history: Mutex::default() }))
    }

    /// The policy.
    pub fn policy(&self) -> &CallStackPolicy {
        &self.0.policy
    }

    /// Enters a tool, called by another or from outside. `session` is who asked for it all, for the
    /// rate: a user, or a text of the host's choice.
    ///
    /// # Errors
    ///
    /// The first rule that the call breaks, in the order depth, circle, both ends, policy,
    /// escalation, approval, rate. A call of a kind that the policy only notes goes on.
    pub fn enter(
        &self,
        caller: Option<&Frame>,
        callee: &Member,
        session: &str,
        now: UnixTime,
    ) -> Result<Frame, ChainError> {
        self.enter_approved(caller, callee, session, now, false)
    }

    /// As [`CallStack::enter`], where a user has approved this very call of one tool by another.
    ///
    /// # Errors
    ///
    /// As [`CallStack::enter`], but never [`ChainError::ApprovalRequired`].
    pub fn enter_approved(
        &self,
        caller: Option<&Frame>,
        callee: &Member,
        session: &str,
        now: UnixTime,
        approved: bool,
    ) -> Result<Frame, ChainError> {
        self.enter_noting(caller, callee, session, now, approved, |_| ())
    }

    /// As [`CallStack::enter_approved`], and tells of each violation that the policy only notes.
    pub(crate) fn enter_noting(
        &self,
        caller: Option<&Frame>,
        callee: &Member,
        session: &str,
        now: UnixTime,
        approved: bool,
        mut noted: impl FnMut(ChainError),
    ) -> Result<Frame, ChainError> {
        let depth = caller.map_or(1, |caller| caller.depth().saturating_add(1));
        let call = CallRecord {
            at: now,
            session: session.to_owned(),
            caller: caller.map(|caller| caller.tool().to_owned()),
            callee: callee.tool().to_owned(),
            depth,
        };
        let mut hold = |judged: Result<(), ChainError>| {
            let Err(error) = judged else { return Ok(()) };
            self.hold(error, &call).map(&mut noted)
        };
        let frame = self.judge(caller, callee, approved, &mut hold)?;
        if caller.is_some() {
            hold(self.rate(session, callee, now))?;
        }
        self.history().call(call);
        Ok(frame)
    }

    /// Judges a call once more whose handler is entered anew, with answers that it asked for. It
    /// was counted before.
    ///
    /// # Errors
    ///
    /// As [`CallStack::enter`], but for approval and rate.
    pub fn enter_again(
        &self,
        caller: Option<&Frame>,
        callee: &Member,
    ) -> Result<Frame, ChainError> {
        let note_only = &self.0.policy.note_only;
        let blocks = |error: &ChainError| !note_only.contains(&error.kind());
        let hold = |judged: Result<(), ChainError>| match judged {
            Err(error) if blocks(&error) => Err(error),
            _ => Ok(()),
        };
        self.judge(caller, callee, true, hold)
    }

    /// All that needs no memory.
    fn judge(
        &self,
        caller: Option<&Frame>,
        callee: &Member,
        approved: bool,
        mut hold: impl FnMut(Result<(), ChainError>) -> Result<(), ChainError>,
    ) -> Result<Frame, ChainError> {
        let policy = &self.0.policy;
        let frame = Frame::over(caller, callee, policy.max_call_depth);
        hold(frame.fits())?;
        let Some(caller) = caller else { return Ok(frame) };
        if !policy.allow_circular_calls {
            hold(frame.is_no_circle())?;
        }
        hold(caller.lets_call(callee))?;
        hold(caller.is_let_by(callee))?;
        hold(policy.judge(caller, callee))?;
        hold(policy.escalates(caller, callee))?;
        if callee.call().require_approval_for_chains && !approved {
            let (caller, callee) = (caller.tool().to_owned(), callee.tool().to_owned());
            hold(Err(ChainError::ApprovalRequired { caller, callee }))?;
        }
        Ok(frame)
    }

    /// The newest calls that were let through, oldest first; 1,000 at most.
    pub fn call_history(&self) -> Vec<CallRecord> {
        self.history().calls.iter().cloned().collect()
    }

    /// The newest violations, oldest first; 1,000 at most.
    pub fn violations(&self) -> Vec<Violation> {
        self.history().violations.iter().cloned().collect()
    }

    /// Sums since the start.
    pub fn statistics(&self) -> Statistics {
        self.history().statistics.clone()
    }

    fn rate(&self, session: &str, callee: &Member, now: UnixTime) -> Result<(), ChainError> {
        let per_minute = self.0.policy.max_calls_per_minute;
        if per_minute == 0 {
            return Ok(());
        }
        let mut rates = self.0.rates.lock().unwrap_or_else(PoisonError::into_inner);
        match rates.take(session, callee.tool(), per_minute, now) {
            true => Ok(()),
            false => Err(ChainError::TooOften { tool: callee.tool().to_owned(), per_minute }),
        }
    }

    /// Remembers a violation, and blocks unless the policy only notes its kind.
    fn hold(&self, error: ChainError, call: &CallRecord) -> Result<ChainError, ChainError> {
        let blocked = !self.0.policy.note_only.contains(&error.kind());
        let violation = Violation { call: call.clone(), error: error.clone(), blocked };
        self.history().violation(violation);
        if blocked { Err(error) } else { Ok(error) }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.0.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CallStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallStack").field("policy", &self.0.policy).finish_non_exhaustive()
    }
}
