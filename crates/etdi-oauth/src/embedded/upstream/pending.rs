//! Logins that are on their way: bounded in number and time, each taken once.

use std::collections::{HashMap, VecDeque};

use etdi_core::time::UnixTime;

use crate::embedded::server::AuthorizationRequest;
use crate::flow;

/// How long a user may take, in seconds.
const LONGEST: u64 = 600;

/// The most that are kept. Beyond that the one that was begun first makes place: whoever fills this
/// would otherwise keep everybody out.
const MOST: usize = 2_000;

/// A login that was begun.
pub(super) struct Begun {
    /// With which provider.
    pub(super) upstream: String,
    /// The digest of the cookie of the browser in which the user agreed.
    pub(super) browser: String,
    /// The client that the user agreed to, and what it asked for.
    pub(super) client: String,
    pub(super) request: AuthorizationRequest,
    /// What the provider was asked.
    pub(super) asked: flow::AuthorizationRequest,
    pub(super) nonce: String,
}

/// Logins by the digest of their `state`.
#[derive(Default)]
pub(super) struct Pending {
    begun: HashMap<String, (Begun, UnixTime)>,
    /// The same in the order in which they were begun; what was taken may stand here still.
    order: VecDeque<String>,
}

impl Pending {
    pub(super) fn put(&mut self, state: String, begun: Begun, now: UnixTime) {
        let over = |one: &String, begun: &HashMap<_, (Begun, UnixTime)>| {
            begun.get(one).is_none_or(|(_, until)| *until <= now)
        };
        while let Some(first) = self.order.front()
            && (self.order.len() >= MOST || over(first, &self.begun))
        {
            if let Some(first) = self.order.pop_front() {
                self.begun.remove(&first);
            }
        }
        self.order.push_back(state.clone());
        self.begun.insert(state, (begun, now.plus(LONGEST)));
    }

    /// The login of a `state`, if it is one `of` whoever asks. It is nobody's afterwards.
    pub(super) fn take(
        &mut self,
        state: &str,
        of: impl FnOnce(&Begun) -> bool,
        now: UnixTime,
    ) -> Option<Begun> {
        let (begun, until) = self.begun.get(state)?;
        if *until <= now || !of(begun) {
            return None;
        }
        self.begun.remove(state).map(|(begun, _)| begun)
    }
}
