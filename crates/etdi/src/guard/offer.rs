//! After a listing: what is blocked is said, asked about, and watched until it is approved elsewhere.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use etdi_core::change::visible;
use etdi_core::definition::ToolDefinition;
use etdi_core::digest::Digest;
use etdi_core::layer::{Review, ReviewOutcome};
use mcp_types::{RawText, Runtime};

use super::service::{MOST_SAID, Shared};
use super::{Refused, question};

/// How many bytes of questions one form may hold.
const MOST_ASKED: usize = 8 << 10;

/// How often it is looked whether somebody approved what is blocked.
const PATIENCE: Duration = Duration::from_secs(2);

impl Shared {
    /// All tools were listed: tells what became of those that were held back.
    pub(super) fn listed(
        self: &Arc<Self>,
        runtime: Option<Arc<dyn Runtime>>,
        declared: Option<&RawText>,
    ) {
        let reviews = self.layer.reviews();
        self.state().listed =
            reviews.iter().map(|review| (review.name().to_owned(), offered(review))).collect();
        let blocked: Vec<_> = reviews.into_iter().filter(|review| !review.is_approved()).collect();
        if blocked.is_empty() {
            return;
        }
        for review in &blocked {
            self.say_blocked(review);
        }
        let Some(runtime) = runtime else { return };
        if self.may_ask(declared)
            && self.downstream.is_some()
            && !self.asking.swap(true, Ordering::Relaxed)
        {
            let shared = self.clone();
            runtime.spawn(Box::pin(async move { shared.offer(&blocked).await }));
        }
        self.watch_on(&runtime);
    }

    /// After a call of a tool: tells the client to list anew where the tool is not what it was
    /// listed last, be it held back since or approved as it is now.
    pub(super) fn unlike_listed(self: &Arc<Self>, name: &str, runtime: Option<Arc<dyn Runtime>>) {
        let Some(runtime) = runtime else { return };
        let now = self.layer.review(name).and_then(|review| offered(&review));
        let is_held = now.is_none();
        match self.state().listed.get_mut(name) {
            Some(then) if *then != now => *then = now,
            _ => return,
        }
        if is_held {
            self.watch_on(&runtime);
        }
        let shared = self.clone();
        runtime.spawn(Box::pin(async move { shared.tools_changed().await }));
    }

    /// Watches the approvals, unless somebody does.
    fn watch_on(self: &Arc<Self>, runtime: &Arc<dyn Runtime>) {
        if !self.watching.swap(true, Ordering::Relaxed) {
            let (shared, timers) = (self.clone(), runtime.clone());
            runtime.spawn(Box::pin(async move { shared.watch(&*timers).await }));
        }
    }

    /// Says once of each definition that it is blocked.
    pub(super) fn say_blocked(&self, review: &Review) {
        let mut state = self.state();
        if state.said.len() >= MOST_SAID {
            state.said.clear();
        }
        if !state.said.insert(named(review)) {
            return;
        }
        drop(state);
        let name = visible(review.name());
        let why = match review.outcome() {
            ReviewOutcome::Refused(refusal) => refusal.reason.describe().to_owned(),
            ReviewOutcome::Unreadable(error) => error.to_string(),
            _ => String::new(),
        };
        let mut refused = Refused::new(review.code(), review.name());
        refused.definition = review.definition();
        let advice = (self.settings.advice)(&refused);
        self.settings.say(&format!("BLOCKED `{name}`: {why} ({}). {advice}", review.code()));
        let findings = review.definition().map(|one| self.settings.findings(one));
        for finding in findings.unwrap_or_default() {
            self.settings.say(&format!("  {}", visible(&finding)));
        }
    }

    /// Asks, outside of any call, about what was not asked about yet. A client of a revision without
    /// such questions is asked when it calls.
    async fn offer(&self, blocked: &[Arc<Review>]) {
        let mut texts = Vec::new();
        let mut asked = Vec::new();
        let mut size = 0;
        for review in blocked {
            let Some(text) = question::text(review, &self.settings) else { continue };
            let alarm = question::approvable(review).is_some_and(|refusal| refusal.alarm);
            // What is an alarm is a question of its own.
            if size + text.len() > MOST_ASKED || (alarm && !asked.is_empty()) {
                break;
            }
            let mut state = self.state();
            if state.offered.len() >= MOST_SAID {
                state.offered.clear();
            }
            if !state.offered.insert(named(review)) {
                continue;
            }
            drop(state);
            size += text.len();
            texts.push(text);
            asked.push(review);
            if alarm {
                break;
            }
        }
        if let (Some(downstream), false) = (&self.downstream, texts.is_empty()) {
            let answer = downstream.ask(question::form(self.settings.name(), &texts)).await;
            if answer.is_ok_and(|answer| question::is_yes(&answer)) {
                let mut approved = false;
                for review in asked {
                    approved |= self.approve(review).await;
                }
                if approved {
                    self.tools_changed().await;
                }
            }
        }
        self.asking.store(false, Ordering::Relaxed);
    }

    /// Waits until the approvals change, and tells the client to list anew.
    async fn watch(self: Arc<Self>, timers: &dyn Runtime) {
        let weak = Arc::downgrade(&self);
        let before = self.client.approvals().generation().await.ok();
        drop(self);
        loop {
            timers.sleep_until(timers.now() + PATIENCE).await;
            let Some(shared) = weak.upgrade() else { return };
            let now = shared.client.approvals().generation().await.ok();
            if now != before {
                shared.watching.store(false, Ordering::Relaxed);
                return shared.tools_changed().await;
            }
        }
    }
}

/// What a client is listed of a tool: nothing where it is held back.
fn offered(review: &Review) -> Option<Digest> {
    let shown = review.definition().filter(|_| review.is_approved());
    shown.map(ToolDefinition::digest)
}

/// A definition by its name and digest.
fn named(review: &Review) -> String {
    let digest = review.definition().map(|one| one.digest().to_string()).unwrap_or_default();
    format!("{digest} {}", review.name())
}
