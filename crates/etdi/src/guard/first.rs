//! Trust on first use: what a server lists when nothing is known of it is taken for what it is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use etdi_core::approval::{Answer, Approver, Granted, Question, Reason};
use etdi_core::change::visible;
use etdi_core::verify::Peer;
use mcp_types::BoxFuture;

use super::Settings;
use crate::{Error, EtdiClient};

/// Approves what stands in the first listing of a server of which the store knows nothing.
pub(super) struct FirstUse {
    settings: Settings,
    open: AtomicBool,
    begun: AtomicBool,
    /// Names of what was approved since it was last said.
    taken: Mutex<Vec<String>>,
}

/// Who approved, in the records.
const BY: &str = "first use";

impl FirstUse {
    /// Nothing where the store knows tools of the server, also such as were withdrawn.
    pub(super) async fn of(
        client: &EtdiClient,
        peer: &Peer,
        settings: &Settings,
    ) -> Result<Option<Self>, Error> {
        let server = peer.identity.to_string();
        let listing = client.approvals().list().await?;
        // What cannot be read may be about this server.
        if let Some(fault) = listing.faults.into_iter().next() {
            return Err(fault.into());
        }
        if listing.approvals.iter().any(|approval| approval.key.server == server) {
            return Ok(None);
        }
        let (settings, taken) = (settings.clone(), Mutex::default());
        let (open, begun) = (AtomicBool::new(true), AtomicBool::new(false));
        Ok(Some(Self { settings, open, begun, taken }))
    }

    /// A listing begins. Where a page of another came before, that one is over, whether or not the
    /// server ever said so.
    pub(super) fn begin(&self) {
        if self.begun.load(Ordering::Relaxed) {
            self.close();
        }
    }

    /// A page came.
    pub(super) fn began(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    /// The first listing has come to its end.
    pub(super) fn close(&self) {
        if !self.open.swap(false, Ordering::Relaxed) {
            return;
        }
        let taken = std::mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner));
        if taken.is_empty() {
            return;
        }
        let names = taken.iter().map(|name| visible(name)).collect::<Vec<_>>().join(", ");
        let (count, server) = (taken.len(), visible(self.settings.name()));
        self.settings.say(&format!(
            "FIRST USE: {count} tools of `{server}` were approved unread, as they are now: {names}; \
             whatever changes from here on waits for you"
        ));
    }
}

impl Approver for FirstUse {
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Answer> {
        let first = self.open.load(Ordering::Relaxed)
            && question.reason == Reason::NotApproved
            && question.previous.is_none()
            && !question.alarm
            && self.settings.findings(question.facts.definition).is_empty();
        let answer = match first {
            true => {
                let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
                taken.push(question.facts.tool().to_owned());
                drop(taken);
                for remark in self.settings.remarks(question.facts.definition) {
                    let (name, remark) = (visible(question.facts.tool()), visible(&remark));
                    self.settings
                        .say(&format!("FIRST USE of `{name}`, and the scanner says: {remark}"));
                }
                Answer::approve(Granted::All, BY)
            }
            false => Answer::Decline,
        };
        Box::pin(std::future::ready(answer))
    }
}
