//! Call chains: which tool may call which, and how deep.
//!
//! A [`Frame`] stands for a tool that is running in this process. The guard puts one into the
//! extensions of each call that it lets through; a tool that calls another passes its extensions
//! on, so the guard finds there who calls. Nothing of it comes from the wire.
//!
//! ```
//! use etdi_core::chain::{ChainError, Frame};
//! use etdi_core::digest::Digest;
//! use etdi_core::wire::CallConstraints;
//!
//! let digest = Digest::of_bytes(b"definition");
//! let free = CallConstraints::default();
//! let outer = Frame::enter(None, "plan", digest, &free)?;
//! let inner = Frame::enter(Some(&outer), "search", digest, &free)?;
//! assert_eq!(inner.depth(), 2);
//!
//! // `shell` may be called by nobody, `plan` is already running, and a leaf calls nothing.
//! let leaf = CallConstraints { allowed_callers: Some(vec![]), ..free.clone() };
//! assert!(Frame::enter(Some(&outer), "shell", digest, &leaf).is_err());
//! assert!(matches!(
//!     Frame::enter(Some(&inner), "plan", digest, &free),
//!     Err(ChainError::Circular { .. })
//! ));
//! # Ok::<(), ChainError>(())
//! ```

use std::sync::Arc;

use crate::digest::Digest;
use crate::wire::CallConstraints;

/// How many tools may be under way at most, where no tool says less.
pub const MAX_DEPTH: u32 = 10;

/// A tool that is running, and who called it.
#[derive(Clone, Debug)]
pub struct Frame(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tool: String,
    digest: Digest,
    depth: u32,
    /// The least that any tool on the way allows.
    limit: u32,
    constraints: CallConstraints,
    caller: Option<Frame>,
}

impl Frame {
    /// Enters a tool, called by `caller` or from outside.
    ///
    /// # Errors
    ///
    /// When the call would be too deep, comes back to a tool that is running, or either end does
    /// not allow it. A list of blocked names is stronger than one of allowed names.
    pub fn enter(
        caller: Option<&Self>,
        tool: &str,
        digest: Digest,
        constraints: &CallConstraints,
    ) -> Result<Self, ChainError> {
        let depth = caller.map_or(1, |caller| caller.0.depth.saturating_add(1));
        let limit = caller.map_or(MAX_DEPTH, |caller| caller.0.limit);
        let limit = constraints.max_depth.map_or(limit, |own| {
            // The tool itself counts as one, whatever called it.
            limit.min(own.saturating_add(depth - 1))
        });
        if depth > limit {
            return Err(ChainError::TooDeep { tool: tool.to_owned(), limit });
        }
        if let Some(caller) = caller {
            let pair = || (caller.0.tool.clone(), tool.to_owned());
            if caller.frames().any(|frame| frame.0.tool == tool) {
                return Err(ChainError::Circular { tool: tool.to_owned() });
            }
            let theirs = &caller.0.constraints;
            if !admits(&theirs.allowed_callees, &theirs.blocked_callees, tool) {
                let (caller, callee) = pair();
                return Err(ChainError::CalleeDenied { caller, callee });
            }
            if !admits(&constraints.allowed_callers, &constraints.blocked_callers, &caller.0.tool) {
                let (caller, callee) = pair();
                return Err(ChainError::CallerDenied { caller, callee });
            }
            if constraints.require_approval_for_chains {
                let (caller, callee) = pair();
                return Err(ChainError::ApprovalRequired { caller, callee });
            }
        }
        Ok(Self(Arc::new(Inner {
            tool: tool.to_owned(),
            digest,
            depth,
            limit,
            constraints: constraints.clone(),
            caller: caller.cloned(),
        })))
    }

    /// The tool that is running.
    pub fn tool(&self) -> &str {
        &self.0.tool
    }

    /// The digest of its definition.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// How many tools are under way, this one included.
    pub fn depth(&self) -> u32 {
        self.0.depth
    }

    /// Who called it.
    pub fn caller(&self) -> Option<&Self> {
        self.0.caller.as_ref()
    }

    /// This frame and those that led to it, innermost first.
    pub fn frames(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |frame| frame.caller())
    }
}

fn admits(allowed: &Option<Vec<String>>, blocked: &Option<Vec<String>>, name: &str) -> bool {
    let names = |list: &Vec<String>| list.iter().any(|one| one == name || one == "*");
    !blocked.as_ref().is_some_and(names) && allowed.as_ref().is_none_or(names)
}

/// Why one tool may not call another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// Too many tools under way.
    #[error("tool `{}` would be deeper than {limit} calls, call it from further out", .tool.escape_debug())]
    TooDeep {
        /// The tool.
        tool: String,
        /// The limit.
        limit: u32,
    },
    /// The tool is already running.
    #[error("tool `{}` is already running in this chain", .tool.escape_debug())]
    Circular {
        /// The tool.
        tool: String,
    },
    /// The caller's declaration does not allow it.
    #[error(
        "tool `{}` does not declare that it calls `{}`", .caller.escape_debug(), .callee.escape_debug()
    )]
    CalleeDenied {
        /// Who calls.
        caller: String,
        /// Who is called.
        callee: String,
    },
    /// The callee's declaration does not allow it.
    #[error(
        "tool `{}` does not let `{}` call it", .callee.escape_debug(), .caller.escape_debug()
    )]
    CallerDenied {
        /// Who calls.
        caller: String,
        /// Who is called.
        callee: String,
    },
    /// A user would have to approve it.
    #[error(
        "a call of `{}` by `{}` needs a user's approval, call it directly", .callee.escape_debug(), .caller.escape_debug()
    )]
    ApprovalRequired {
        /// Who calls.
        caller: String,
        /// Who is called.
        callee: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> Digest {
        Digest::of_bytes(b"")
    }

    fn enter(
        caller: Option<&Frame>,
        tool: &str,
        edit: impl Fn(&mut CallConstraints),
    ) -> Result<Frame, ChainError> {
        let mut constraints = CallConstraints::default();
        edit(&mut constraints);
        Frame::enter(caller, tool, digest(), &constraints)
    }

    #[test]
    fn depth_is_the_least_that_anyone_allows() {
        let mut frame = enter(None, "0", |_| ()).unwrap();
        for tool in 1..10 {
            frame = enter(Some(&frame), &tool.to_string(), |_| ()).unwrap();
        }
        assert!(matches!(
            enter(Some(&frame), "10", |_| ()),
            Err(ChainError::TooDeep { limit: 10, .. })
        ));

        let leaf = enter(None, "leaf", |call| call.max_depth = Some(1)).unwrap();
        assert!(matches!(enter(Some(&leaf), "x", |_| ()), Err(ChainError::TooDeep { .. })));
        // Being called does not use up what a tool allows below itself.
        let outer = enter(None, "outer", |_| ()).unwrap();
        let leaf = enter(Some(&outer), "leaf", |call| call.max_depth = Some(1)).unwrap();
        assert!(enter(Some(&leaf), "x", |_| ()).is_err());
        // A wider limit inside does not widen the one outside.
        let two = enter(None, "two", |call| call.max_depth = Some(2)).unwrap();
        let wide = enter(Some(&two), "wide", |call| call.max_depth = Some(9)).unwrap();
        assert!(enter(Some(&wide), "x", |_| ()).is_err());
    }

    #[test]
    fn both_ends_must_agree() {
        let names = |list: &[&str]| Some(list.iter().map(|name| (*name).to_owned()).collect());
        for (allowed, blocked, admitted) in [
            (None, None, true),
            (names(&[]), None, false),
            (names(&["b"]), None, true),
            (names(&["c"]), None, false),
            (names(&["*"]), None, true),
            (None, names(&["b"]), false),
            (None, names(&["c"]), true),
            (None, names(&["*"]), false),
            (names(&["b"]), names(&["b"]), false),
            (names(&["b"]), names(&["*"]), false),
        ] {
            let outer = enter(None, "a", |call| {
                call.allowed_callees.clone_from(&allowed);
                call.blocked_callees.clone_from(&blocked);
            });
            assert_eq!(enter(Some(&outer.unwrap()), "b", |_| ()).is_ok(), admitted);
            let outer = enter(None, "b", |_| ()).unwrap();
            let inner = enter(Some(&outer), "a", |call| {
                call.allowed_callers.clone_from(&allowed);
                call.blocked_callers.clone_from(&blocked);
            });
            assert_eq!(inner.is_ok(), admitted);
        }
    }
}
