//! Decisions of one listing, whose approvals are stored together.

use super::{
    Approval, Approvals, Approved, Facts, Refusal, Seen, StoreError, ToolDefinition, UnixTime,
};

/// What a decision came to that refuses nothing.
pub(crate) enum Step {
    /// The store holds an approval of exactly this.
    Approved(Box<Approved<ToolDefinition>>),
    /// The tool may be called once this is stored.
    Owed(Box<Owed>),
}

/// An approval that is to be stored, and what it was decided on.
pub(crate) struct Owed {
    pub(super) approval: Approval,
    pub(super) expected: Option<u64>,
    pub(super) seen: Option<Seen>,
}

impl Approvals {
    /// Decides once, asks where `ask` says so, and notes what is to be stored. What it gives to
    /// store counts once it is stored and decided upon again, by [`Approvals::check`].
    pub(crate) async fn begin(
        &self,
        facts: &Facts<'_>,
        now: UnixTime,
        ask: bool,
    ) -> Result<Step, Box<Refusal>> {
        self.decide(facts, now, ask.then_some(&*self.approver)).await
    }

    /// Stores what several decisions owe, in one write.
    ///
    /// # Errors
    ///
    /// When the store fails: none of them may be taken for stored then.
    pub(crate) async fn store_all(&self, owed: Vec<Owed>, now: UnixTime) -> Result<(), StoreError> {
        let Some(server) = owed.first().map(|owed| owed.approval.key.server.clone()) else {
            return Ok(());
        };
        let seen: Vec<Seen> = owed.iter().filter_map(|owed| owed.seen.clone()).collect();
        let writes: Vec<_> = owed.into_iter().map(|owed| (owed.approval, owed.expected)).collect();
        match self.store.put_all(writes.clone()).await {
            Ok(_) => {}
            // Another writer was faster with one of them, which is no reason to lose the others.
            Err(StoreError::Conflict { .. }) => {
                for (approval, expected) in writes {
                    match self.store.put(approval, expected).await {
                        Ok(_) | Err(StoreError::Conflict { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
        if !seen.is_empty() {
            self.store.remember(&server, &seen, now).await?;
        }
        Ok(())
    }

    /// The refusal of a tool whose approval could not be stored with the others of its listing.
    pub(crate) fn unstored(
        &self,
        facts: &Facts<'_>,
        error: &StoreError,
        now: UnixTime,
    ) -> Box<Refusal> {
        let mut message = format!("the approvals of this listing were not stored: {error}");
        if let Some(cause) = core::error::Error::source(error) {
            message = format!("{message}: {cause}");
        }
        self.failed(facts, StoreError::Other { message }, now)
    }
}
