//! Call chains: which tool may call which, how deep, and how often.
//!
//! A [`Frame`] stands for a tool that is running. The guard puts one into the extensions of each
//! call that it lets through; a tool that calls another passes its extensions on, so the guard finds
//! there who calls. It ends with the call. Between servers a [call token](token) carries the same,
//! signed, and can only narrow it.
//!
//! What both ends declare holds always: it is part of what was signed and approved. A
//! [`CallStackPolicy`] says what else holds on this server, and a [`CallStack`] keeps what that
//! needs: how often tools were called, and what was refused.
//!
//! ```
//! use etdi_core::chain::{CallStack, CallStackPolicy, ChainError, Member, ViolationKind};
//! use etdi_core::digest::Digest;
//! use etdi_core::time::UnixTime;
//! use etdi_core::wire::CallConstraints;
//!
//! let tool = |name: &str, scopes: &[&str], call: CallConstraints| {
//!     let scopes = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
//!     Member::new("server", name, Digest::of_bytes(name.as_bytes()), call, scopes)
//! };
//! let free = CallConstraints::default;
//! let (plan, search) = (tool("plan", &["notes:*"], free()), tool("search", &["notes:read"], free()));
//! let stack = CallStack::new(CallStackPolicy::enhanced());
//! let now = UnixTime(1_767_323_045);
//! let outer = stack.enter(None, &plan, "session", now)?;
//! let inner = stack.enter(Some(&outer), &search, "session", now)?;
//! assert_eq!(inner.depth(), 2);
//!
//! // `shell` may be called by nobody, `plan` is already running, and `pay` may do more than `plan`.
//! let mut alone = free();
//! alone.allowed_callers = Some(vec![]);
//! let refused = |caller, callee: &Member| {
//!     stack.enter(Some(caller), callee, "session", now).unwrap_err().kind()
//! };
//! assert_eq!(refused(&outer, &tool("shell", &[], alone)), ViolationKind::UnauthorizedChain);
//! assert_eq!(refused(&inner, &plan), ViolationKind::CircularDependency);
//! assert_eq!(refused(&outer, &tool("pay", &["money:send"], free())), ViolationKind::PrivilegeEscalation);
//! # Ok::<(), ChainError>(())
//! ```

use std::sync::Arc;

use crate::definition::ToolDefinition;
use crate::digest::Digest;
use crate::permission::Scope;
use crate::wire::CallConstraints;

mod error;
mod history;
mod policy;
mod rate;
mod stack;
pub mod token;
mod verifier;

pub use error::{ChainError, ViolationKind};
pub use history::{CallRecord, Statistics, Violation};
pub use policy::CallStackPolicy;
pub use stack::CallStack;
pub use verifier::{CallStackVerifier, JudgedCall, JudgedChain, TracedCall};

/// How many tools may be under way at most, where nobody says less.
pub const MAX_DEPTH: u32 = 10;

/// A tool as a chain knows it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Member(Arc<Declared>);

#[derive(Debug)]
struct Declared {
    server: String,
    tool: String,
    /// `server#tool`.
    full: String,
    digest: Digest,
    call: CallConstraints,
    scopes: Vec<Scope>,
}

impl Member {
    /// A tool of a server, with what it declares: whom it calls and is called by, and its
    /// permissions.
    pub fn new(
        server: &str,
        tool: &str,
        digest: Digest,
        call: CallConstraints,
        scopes: Vec<Scope>,
    ) -> Self {
        let full = format!("{server}#{tool}");
        let (server, tool) = (server.to_owned(), tool.to_owned());
        Self(Arc::new(Declared { server, tool, full, digest, call, scopes }))
    }

    /// A tool of a server by its definition. One without an ETDI block declares no permissions and
    /// no constraints.
    pub fn of(server: &str, definition: &ToolDefinition) -> Self {
        let block = definition.block();
        let call = block.map(|block| block.call.clone()).unwrap_or_default();
        let permissions = block.map(|block| &*block.permissions).unwrap_or_default();
        let scopes = permissions.iter().map(|permission| permission.scope.clone()).collect();
        Self::new(server, definition.name(), definition.digest(), call, scopes)
    }

    /// The identity of its server.
    pub fn server(&self) -> &str {
        &self.0.server
    }

    /// Its name.
    pub fn tool(&self) -> &str {
        &self.0.tool
    }

    /// The digest of its definition.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The permissions that it declares.
    pub fn scopes(&self) -> &[Scope] {
        &self.0.scopes
    }

    /// Its name as it is said on `server`: a tool of another server has `server#tool`, because
    /// anybody can take a name.
    pub(crate) fn name_on(&self, server: &str) -> &str {
        if self.0.server == server { &self.0.tool } else { &self.0.full }
    }

    fn call(&self) -> &CallConstraints {
        &self.0.call
    }

    fn is(&self, other: &Self) -> bool {
        self.0.tool == other.0.tool && self.0.server == other.0.server
    }

    /// Whether a list of names allows this tool, seen from a tool of `server`. A tool of another
    /// server is allowed by `server#tool` or `*` alone, because anybody can take a name.
    fn is_allowed(&self, list: &[String], server: &str) -> bool {
        list.iter().any(|name| name == "*" || self.has_name(name, server))
    }

    /// Whether a list of names blocks it: by its bare name as well, wherever it is.
    fn is_blocked(&self, list: &[String]) -> bool {
        list.iter().any(|name| name == "*" || self.has_name(name, &self.0.server))
    }

    fn has_name(&self, name: &str, server: &str) -> bool {
        let local = self.0.server == server && name == self.0.tool;
        local
            || name
                .strip_suffix(&*self.0.tool)
                .and_then(|rest| rest.strip_suffix('#'))
                .is_some_and(|named| named == self.0.server)
    }
}

/// A tool that is running, and who called it. Cheap to clone; it ends when the call does.
#[derive(Clone, Debug)]
pub struct Frame(Arc<Running>);

#[derive(Debug)]
struct Running {
    member: Member,
    depth: u32,
    /// The least that anyone on the way allows.
    limit: u32,
    caller: Option<Frame>,
    /// What signs tokens for other servers.
    minter: Option<Arc<token::Minter>>,
    /// The tokens with which another server called.
    came: Option<Arc<token::Came>>,
}

impl Frame {
    /// The tool that is running.
    pub fn tool(&self) -> &str {
        self.0.member.tool()
    }

    /// The tool with what it declares.
    pub fn member(&self) -> &Member {
        &self.0.member
    }

    /// The digest of its definition.
    pub fn digest(&self) -> Digest {
        self.0.member.digest()
    }

    /// How many tools are under way, this one included.
    pub fn depth(&self) -> u32 {
        self.0.depth
    }

    /// How many more may be under way below it.
    pub fn budget(&self) -> u32 {
        self.0.limit.saturating_sub(self.0.depth)
    }

    /// Who called it.
    pub fn caller(&self) -> Option<&Self> {
        self.0.caller.as_ref()
    }

    /// This frame and those that led to it, innermost first.
    pub fn frames(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |frame| frame.caller())
    }

    /// Whether the tool that runs here may call one of another server, as far as it says itself;
    /// the other end judges for itself, by the [token](Frame::token).
    ///
    /// # Errors
    ///
    /// What the tools under way forbid: the depth, a circle, the lists of the caller.
    pub fn may_call(&self, callee: &Member) -> Result<(), ChainError> {
        let inner = Self::over(Some(self), callee, MAX_DEPTH);
        inner.fits()?;
        inner.is_no_circle()?;
        self.lets_call(callee)
    }

    /// The frame of a tool that was let in before, or by somebody else.
    pub(crate) fn anew(caller: Option<&Self>, callee: &Member, policy: &CallStackPolicy) -> Self {
        Self::over(caller, callee, policy.max_call_depth)
    }

    /// The frame of a tool over that of its caller. Nothing is checked.
    fn over(caller: Option<&Self>, callee: &Member, most: u32) -> Self {
        let depth = caller.map_or(1, |caller| caller.0.depth.saturating_add(1));
        let limit = caller.map_or(most, |caller| caller.0.limit.min(most));
        let limit = callee.call().max_depth.map_or(limit, |own| {
            // The tool itself counts as one, whatever called it.
            limit.min(own.saturating_add(depth - 1))
        });
        let (member, caller) = (callee.clone(), caller.cloned());
        Self(Arc::new(Running { member, depth, limit, caller, minter: None, came: None }))
    }

    fn fits(&self) -> Result<(), ChainError> {
        let (tool, limit) = (self.tool(), self.0.limit);
        match self.0.depth > limit {
            true => Err(ChainError::TooDeep { tool: tool.to_owned(), limit }),
            false => Ok(()),
        }
    }

    fn is_no_circle(&self) -> Result<(), ChainError> {
        let again = |frame: &Self| frame.0.member.is(&self.0.member);
        match self.frames().skip(1).any(again) {
            true => Err(ChainError::Circular { tool: self.tool().to_owned() }),
            false => Ok(()),
        }
    }

    /// The lists of the caller.
    fn lets_call(&self, callee: &Member) -> Result<(), ChainError> {
        let call = self.member().call();
        if admits(&call.allowed_callees, &call.blocked_callees, callee, self.member()) {
            return Ok(());
        }
        let (caller, callee) = (self.tool().to_owned(), callee.tool().to_owned());
        Err(ChainError::CalleeDenied { caller, callee })
    }

    /// The lists of the callee.
    fn is_let_by(&self, callee: &Member) -> Result<(), ChainError> {
        let call = callee.call();
        if admits(&call.allowed_callers, &call.blocked_callers, self.member(), callee) {
            return Ok(());
        }
        let (caller, callee) = (self.tool().to_owned(), callee.tool().to_owned());
        Err(ChainError::CallerDenied { caller, callee })
    }
}

/// Whether the lists of `of` admit `other`. A list of blocked names is stronger.
fn admits(
    allowed: &Option<Vec<String>>,
    blocked: &Option<Vec<String>>,
    other: &Member,
    of: &Member,
) -> bool {
    !blocked.as_ref().is_some_and(|list| other.is_blocked(list))
        && allowed.as_ref().is_none_or(|list| other.is_allowed(list, of.server()))
}

#[cfg(test)]
mod tests;
