//! Approvals that hold a changed program out: of tools that it lists no more, and of those that nobody
//! has looked at again.

use std::sync::Arc;

use etdi::core::approval::{Approval, ApprovalStore, Approvals, NoApprover, Pin, Withdrawn};
use etdi::core::change::visible;
use etdi::core::level::Policy;
use etdi::system_time;
use etdi_core::store::FileStore;

use crate::ask::{Asker, agreed, another, user};
use crate::exit::Failure;
use crate::first_use::is_same;
use crate::home::Home;
use crate::locked::{self, failed};
use crate::verbs::target::{audit, quoted};

/// The approvals of a started server, and the program that it is now.
pub(super) struct Pinned {
    store: Arc<FileStore>,
    approvals: Approvals,
    server: String,
    pin: Pin,
}

impl Pinned {
    /// Those of this server.
    ///
    /// # Errors
    ///
    /// When approvals cannot be read, or the audit trail cannot be written.
    pub(super) fn new(home: &Home, server: String, pin: Pin) -> Result<Self, Failure> {
        let store = Arc::new(locked::approvals(home)?);
        let (approver, auditor) = (Arc::new(NoApprover), Arc::new(audit(home)?));
        let approvals = Approvals::new(Policy::default(), store.clone(), approver, auditor);
        Ok(Self { store, approvals, server, pin })
    }

    /// The approvals that count for another program than the one that is there now, and keep it out.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub(super) async fn of_another(&self) -> Result<Vec<Approval>, Failure> {
        let mut all = self.store.list().await.map_err(failed)?.approvals;
        all.retain(|one| {
            let is_other = one.pin.as_ref().is_some_and(|pin| *pin != self.pin);
            one.key.server == self.server && one.withdrawn.is_none() && is_other
        });
        Ok(all)
    }

    /// In what the program is another one than an approval says.
    pub(super) fn changed(&self, one: &Approval) -> Option<String> {
        let approved = one.pin.as_ref().filter(|approved| **approved != self.pin);
        approved.map(|approved| another(approved, &self.pin).to_string())
    }

    /// The command under which the same program, given the same, was approved in another spelling: that
    /// is another server, whose approvals do not count here.
    ///
    /// # Errors
    ///
    /// When the approvals cannot be read.
    pub(super) async fn spelled_otherwise(&self) -> Result<Option<Vec<String>>, Failure> {
        let all = self.store.list().await.map_err(failed)?.approvals;
        let others = all.into_iter().filter(|one| {
            let by_command = one.key.server.starts_with(BY_COMMAND);
            by_command && one.key.server != self.server && one.withdrawn.is_none()
        });
        let is_named = self.server.starts_with(BY_COMMAND);
        let mut same = others.filter_map(|one| one.pin).filter(|pin| is_same(pin, &self.pin));
        Ok(same.next().filter(|_| is_named).map(|pin| pin.argv))
    }

    /// Asks about an approval of a tool that the program lists no more, and withdraws it on a yes.
    /// Gives whether it was.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) async fn settle(&self, one: &Approval, asker: Asker) -> Result<bool, Failure> {
        let text = format!(
            "\n{} of {}\n  the program is another one than when it was approved, and lists it no more, \
             or as of another publisher\n{}  a yes withdraws its approval: should it come back, it asks again",
            visible(&one.key.tool),
            visible(&one.key.server),
            self.changed(one).map_or_else(String::new, |changed| format!("  {changed}\n")),
        );
        if !agreed(asker, text, "withdraw its approval?").await {
            return Ok(false);
        }
        let mut withdrawn = Withdrawn::new(system_time(), user());
        withdrawn.note = Some("the program changed and lists it no more".to_owned());
        self.approvals.withdraw(&one.key, withdrawn).await.map_err(failed)
    }
}

/// How the identity of a server begins that is its command line.
const BY_COMMAND: &str = "stdio:command:";

/// That the program is refused still, and what to type.
pub(super) fn still(left: &[Approval], next: &str) -> String {
    let names: Vec<_> = left.iter().map(|one| quoted(&visible(&one.key.tool))).collect();
    let what = if names.len() == 1 { "is approved" } else { "are approved" };
    format!(
        "the program is still refused: {} {what} for another one\nreview all of them: {next}",
        names.join(", ")
    )
}
