//! What a page of a listing is worth: read, verified, compared, decided, kept.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mcp_types::{
    ClientRequest, ErrorObject, ExchangeService, ListToolsResult, Listed, RawText, RequestContext,
    RequestParams, Tool,
};

use super::manifest::{Shown, statements};
use super::{
    Asking, Correlation, Entry, MAX_TOOLS, Review, ReviewOutcome, SOURCE, Verifying, store_failed,
    tell,
};
use crate::approval::{Approvals, Facts, Owed, Standing, Step, looks};
use crate::definition::{DefinitionError, RawTool, ToolDefinition};
use crate::digest::Digest;
use crate::layer::on_behalf;
use crate::level::KeyTrust;
use crate::time::UnixTime;
use crate::verify::{Peer, Verdict, Verified, VerifyError};

/// What is known of a tool: that it cannot be read, or what verification found.
type Checked = Result<Result<Verified<ToolDefinition>, VerifyError>, DefinitionError>;

/// How far a tool of a page has come.
enum Stage<'a> {
    Done(Arc<Review>),
    /// Its approval is to be stored with those of the others, and then counts if it is enough.
    Owed {
        facts: Facts<'a>,
        checked: Box<Result<Verified<ToolDefinition>, VerifyError>>,
    },
}

impl Asking<'_> {
    fn about(self, tool: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(name) => name == tool,
            Self::Nobody => false,
        }
    }
}

impl Verifying {
    /// Checks one page. Gives a review for each of its tools, in order; those that could not even
    /// be read as tools are only kept.
    pub(super) async fn page<S: ExchangeService>(
        &self,
        service: &mut S,
        context: &RequestContext,
        cursor: Option<String>,
        page: &ListToolsResult,
        asking: Asking<'_>,
    ) -> Result<Vec<Arc<Review>>, ErrorObject> {
        self.required_of(service, context).await?;
        let now = (self.clock)();
        let raws = self.read(page);
        let unread: Vec<RawTool> = raws.iter().flatten().cloned().collect();
        let signed = statements(page.meta.as_ref());
        let texts = signed.as_ref().and_then(|signed| signed.as_deref().ok());
        // All issuers at once, so that they share one deadline.
        self.verifier.prepare(&unread, texts.unwrap_or_default(), now).await;

        let mut manifest = self.prepared(signed.as_ref(), now).await?;
        let mut checked = self.verify(manifest.as_ref(), &raws, now);
        let takes_any = self.approvals.policy().key_trust != KeyTrust::ConfiguredRoots;
        let unproven = |result: &Checked| match result {
            Ok(Err(VerifyError::PossessionMissing { .. })) => true,
            Ok(Err(VerifyError::UnknownKey { .. } | VerifyError::NobodyToAsk)) => takes_any,
            _ => false,
        };
        if checked.iter().any(unproven) && !self.state().greeted {
            let request = ClientRequest::Discover(RequestParams::new());
            // A server that cannot be asked has proven nothing, and that is all it means.
            _ = self.discover(service, on_behalf(context, request)).await;
            manifest = self.prepared(signed.as_ref(), now).await?;
            checked = self.verify(manifest.as_ref(), &raws, now);
        }
        let twice = self.twice(page, cursor);
        let standings: Vec<Standing> = checked
            .iter()
            .map(|result| match result {
                Ok(result) => Standing::of(result),
                Err(_) => Standing::Unsigned,
            })
            .collect();

        let all: Vec<Facts<'_>> = raws
            .iter()
            .zip(&standings)
            .filter_map(|(raw, standing)| Some(self.facts(raw.as_ref().ok()?, standing)))
            .collect();
        self.approvals.remember(&self.server, &all, now).await.map_err(|e| store_failed(&e))?;

        let joined = context.extensions.get::<Correlation>();
        let approvals =
            joined.map_or_else(|| self.approvals.clone(), |one| self.approvals.correlated(&one.0));
        let mut begun = Vec::with_capacity(page.tools.len());
        let tools = page.tools.iter().zip(&raws).zip(checked).zip(&standings).zip(twice);
        let mut owed = Vec::new();
        // What the names look like that are approved and not stored yet.
        let mut fresh = HashSet::new();
        let mut failure = None;
        // A question takes as long as a person does; what is stored afterwards is of afterwards.
        let (checked_at, mut now, mut since) = (now, now, now);
        let mut now_stored = self.generation().await?;
        for ((((listed, raw), checked), standing), twice) in tools {
            // What was read before a decision is what the decision counts for.
            let generation = now_stored;
            let error = match (raw, &checked, twice) {
                (_, _, true) => Some(DefinitionError::NameTwice { name: listed.name.clone() }),
                (Err(error), ..) => Some(error.clone()),
                _ => None,
            };
            let stage = match (error, raw, checked) {
                (None, Ok(raw), Ok(checked)) => {
                    match self.unchanged(listed, standing, generation, asking, now) {
                        Some(review) => Stage::Done(review),
                        None => {
                            let looks = looks(&listed.name);
                            if looks.iter().any(|look| fresh.contains(look)) {
                                // So that whoever is asked is told of its twin.
                                let owed = std::mem::take(&mut owed);
                                failure = failure.or(approvals.store_all(owed, now).await.err());
                            }
                            let facts = self.facts(raw, standing);
                            let before = owed.len();
                            let stage = self
                                .begin(&approvals, facts, checked, asking, now, &mut owed)
                                .await;
                            if owed.len() > before {
                                fresh.extend(looks);
                            }
                            now = (self.clock)();
                            now_stored = self.generation().await?;
                            stage
                        }
                    }
                }
                (Some(error), ..) => Stage::Done(Arc::new(Review::unreadable(&listed.name, error))),
                _ => Stage::Done(Arc::new(Review::unreadable(
                    &listed.name,
                    DefinitionError::Protocol("it was not checked".to_owned()),
                ))),
            };
            begun.push((listed, raw, standing, generation, stage));
            // The approvals of a listing are one write, but what a person took time for is not at
            // risk while the next question waits.
            if !owed.is_empty() && now != since {
                failure =
                    failure.or(approvals.store_all(std::mem::take(&mut owed), now).await.err());
                since = now;
                now_stored = self.generation().await?;
            }
        }
        failure = failure.or(approvals.store_all(owed, now).await.err());

        now_stored = self.generation().await?;
        let mut reviews = Vec::with_capacity(page.tools.len());
        for (listed, raw, standing, mut generation, stage) in begun {
            let review = match stage {
                Stage::Done(review) => review,
                Stage::Owed { facts, checked } => {
                    generation = now_stored;
                    let outcome = match &failure {
                        None => approvals.check(&facts, now).await,
                        Some(error) => Err(approvals.unstored(&facts, error, now)),
                    };
                    Arc::new(Review::new(facts.definition.clone(), *checked, outcome))
                }
            };
            self.tell(&review, joined, now);
            self.keep(listed, raw.as_ref().ok(), standing, &review, generation, checked_at);
            reviews.push(review);
        }
        self.keep_bad(page, checked_at);
        if page.next_cursor.is_none() {
            let mut state = self.state();
            state.listed = state.listing;
        }
        Ok(reviews)
    }

    /// Reads each tool, from what is kept where its text has not changed.
    fn read(&self, page: &ListToolsResult) -> Vec<Result<RawTool, DefinitionError>> {
        let kept: Vec<Option<RawTool>> = {
            let state = self.state();
            let kept = |tool: &Arc<Listed<Tool>>| {
                let entry = state.tools.get(&tool.name)?;
                entry.raw.clone().filter(|_| entry.listed == *tool.text())
            };
            page.tools.iter().map(kept).collect()
        };
        let read = page.tools.iter().zip(kept);
        read.map(|(tool, kept)| kept.map_or_else(|| RawTool::from_listed(tool), Ok)).collect()
    }

    fn verify(
        &self,
        manifest: Option<&Shown>,
        raws: &[Result<RawTool, DefinitionError>],
        now: UnixTime,
    ) -> Vec<Checked> {
        let (peer, broken) = self.proven();
        let check = |raw: &RawTool| {
            let result = self.verify_one(raw, manifest, &peer, now);
            match (result, &broken) {
                // An answer that was given and is wrong says more than one that is missing.
                (Err(VerifyError::PossessionMissing { .. }), Some(error)) => Err(error.clone()),
                (result, _) => result,
            }
        };
        raws.iter().map(|raw| raw.as_ref().map(check).map_err(Clone::clone)).collect()
    }

    fn verify_one(
        &self,
        raw: &RawTool,
        manifest: Option<&Shown>,
        peer: &Peer,
        now: UnixTime,
    ) -> Result<Verified<ToolDefinition>, VerifyError> {
        match manifest {
            // What is unsigned now was signed before, which says more than the missing list.
            Some(Err(VerifyError::ManifestMissing)) => {
                self.verifier.verify(raw, peer, now)?;
                Err(VerifyError::ManifestMissing)
            }
            None => self.verifier.verify(raw, peer, now),
            Some(Ok(manifest)) => self.verifier.verify_listed(raw, manifest, peer, now),
            Some(Err(error)) if error.verdict() == Verdict::Wrong => Err(error.clone()),
            Some(Err(error)) => match self.verifier.verify(raw, peer, now) {
                Err(VerifyError::Unsigned) => Err(error.clone()),
                result => result,
            },
        }
    }

    /// Which tools have a name that stands in this listing more than once, or one too many to tell.
    fn twice(&self, page: &ListToolsResult, cursor: Option<String>) -> Vec<bool> {
        let cursor = cursor.map(|cursor| Digest::of_bytes(cursor.as_bytes()));
        let mut state = self.state();
        if cursor.is_none() {
            state.pages.clear();
            state.listing = state.listing.saturating_add(1);
        }
        let room = MAX_TOOLS.saturating_sub(state.pages.len());
        let mut added = 0;
        let mut on_page: HashMap<&str, usize> = HashMap::new();
        for tool in page.tools.iter() {
            *on_page.entry(&tool.name).or_default() += 1;
        }
        let twice = page.tools.iter().map(|tool| {
            let before = state.pages.get(&tool.name);
            added += usize::from(before.is_none());
            let unknown = before.is_none() && added > room;
            let earlier = before.is_some_and(|page| *page != cursor);
            unknown || earlier || on_page.get(&*tool.name).is_some_and(|count| *count > 1)
        });
        let twice: Vec<bool> = twice.collect();
        for tool in page.tools.iter() {
            // A longer one is no name, wherever it stands, and a server could send mebibytes of each.
            if state.pages.len() < MAX_TOOLS && tool.name.len() <= RawTool::MAX_NAME {
                state.pages.entry(tool.name.clone()).or_insert(cursor);
            }
        }
        twice
    }

    /// What was found before, where nothing that it depends on has changed.
    fn unchanged(
        &self,
        listed: &Listed<Tool>,
        standing: &Standing,
        generation: u64,
        asking: Asking<'_>,
        now: UnixTime,
    ) -> Option<Arc<Review>> {
        let state = self.state();
        let entry = state.tools.get(&listed.name)?;
        let same = entry.listed == *listed.text()
            && entry.generation == generation
            && entry.standing == *standing;
        let settled = match entry.review.outcome() {
            ReviewOutcome::Approved(_) => entry.review.is_approved_at(now),
            ReviewOutcome::Refused(refusal) => {
                // What failed here and now may work when it is tried again.
                refusal.source.is_none()
                    && (!asking.about(&listed.name) || !refusal.can_be_approved || refusal.declined)
            }
            ReviewOutcome::Unreadable(_) => false,
        };
        (same && settled).then(|| entry.review.clone())
    }

    fn facts<'a>(&'a self, raw: &'a RawTool, standing: &'a Standing) -> Facts<'a> {
        Facts::new(&self.server, raw.definition(), standing).behind(self.pin.as_ref())
    }

    /// Decides upon a tool; what is to be stored for it goes to `owed`.
    async fn begin<'a>(
        &self,
        approvals: &Approvals,
        facts: Facts<'a>,
        checked: Result<Verified<ToolDefinition>, VerifyError>,
        asking: Asking<'_>,
        now: UnixTime,
        owed: &mut Vec<Owed>,
    ) -> Stage<'a> {
        let declined = self.review_of(facts.tool()).is_some_and(|review| {
            matches!(review.outcome(), ReviewOutcome::Refused(old)
                if old.declined && old.digest == facts.digest())
        });
        let ask = asking.about(facts.tool()) && !declined;
        let outcome = match approvals.begin(&facts, now, ask).await {
            Ok(Step::Approved(approved)) => Ok(*approved),
            Ok(Step::Owed(write)) => {
                owed.push(*write);
                return Stage::Owed { facts, checked: Box::new(checked) };
            }
            Err(mut refusal) => {
                refusal.declined |= declined;
                Err(refusal)
            }
        };
        Stage::Done(Arc::new(Review::new(facts.definition.clone(), checked, outcome)))
    }

    /// Tells listeners what is new about a tool.
    fn tell(&self, review: &Arc<Review>, joined: Option<&Correlation>, now: UnixTime) {
        let Some(listeners) = &self.events else { return };
        let before = self.review_of(review.name());
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, review)) {
            return;
        }
        let keys = self.approvals.policy().key_trust;
        for event in tell::events(&self.server, before.as_deref(), review, keys) {
            let event = event.from_source(SOURCE);
            listeners.emit(joined.iter().fold(event, |event, one| event.correlated(&one.0)), now);
        }
    }

    pub(super) fn review_of(&self, tool: &str) -> Option<Arc<Review>> {
        self.state().tools.get(tool).map(|entry| entry.review.clone())
    }

    fn keep(
        &self,
        listed: &Listed<Tool>,
        raw: Option<&RawTool>,
        standing: &Standing,
        review: &Arc<Review>,
        generation: u64,
        checked_at: UnixTime,
    ) {
        let mut state = self.state();
        let same = state.tools.get(&listed.name).map(|entry| &entry.listed);
        // A text as it arrived holds on to the whole message that it came in.
        let text = match same.filter(|same| *same == listed.text()) {
            Some(same) => same.clone(),
            None => RawText::of(listed.text()).unwrap_or_else(|_| listed.text().clone()),
        };
        let entry = Entry {
            listed: text,
            raw: raw.cloned(),
            standing: standing.clone(),
            review: review.clone(),
            generation,
            checked_at,
            listing: state.listing,
        };
        state.keep(listed.name.clone(), entry);
    }

    /// Keeps what is no tool at all, so that a host can say so.
    fn keep_bad(&self, page: &ListToolsResult, now: UnixTime) {
        for bad in page.tools.bad() {
            let error = match RawTool::read(bad.text.get()) {
                Err(error) => error,
                Ok(_) => DefinitionError::Protocol(bad.error.to_string()),
            };
            let named = serde_json::from_str::<serde_json::Value>(bad.text.get()).ok();
            let named = named.as_ref().and_then(|tool| tool.get("name")?.as_str());
            let name = named.map_or_else(|| format!("[{}]", bad.index), str::to_owned);
            let review = Arc::new(Review::unreadable(&name, error));
            let entry = Entry {
                listed: RawText::of(&bad.text).unwrap_or_else(|_| bad.text.clone()),
                raw: None,
                standing: Standing::Unsigned,
                review,
                generation: 0,
                checked_at: now,
                listing: self.state().listing,
            };
            self.state().keep(name, entry);
        }
    }

    pub(super) async fn generation(&self) -> Result<u64, ErrorObject> {
        let store = self.approvals.store();
        // What is remembered here may have expired by a clock that was set back since.
        store.observed((self.clock)()).await.map_err(|error| store_failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use mcp_types::{Items, JsonSchema};

    use super::super::{State, VerifyLayer};
    use super::*;
    use crate::approval::{MemoryStore, NoApprover};
    use crate::audit::MemoryAuditor;
    use crate::identity::ServerIdentity;
    use crate::level::Policy;
    use crate::trust::TrustAnchors;
    use crate::verify::Verifier;

    fn page(names: impl IntoIterator<Item = String>) -> ListToolsResult {
        let tool = |name| Tool::new(name, JsonSchema::empty_object());
        let listed = names.into_iter().map(|name| Arc::new(Listed::new(tool(name)).unwrap()));
        ListToolsResult::new(Items::from(listed.collect::<Vec<_>>()))
    }

    /// A server whose names are mebibytes long has none of them kept, however many pages it has; none
    /// of them can be read as a tool's either.
    #[test]
    fn only_what_can_be_a_name_is_kept() {
        let approvals = Approvals::new(
            Policy::basic(),
            Arc::new(MemoryStore::new()),
            Arc::new(NoApprover),
            Arc::new(MemoryAuditor::default()),
        );
        let peer = Peer::new(ServerIdentity::command(&["notes"]));
        let verifier = Verifier::new(TrustAnchors::new());
        let VerifyLayer(verifying) = VerifyLayer::new(verifier, approvals, peer, || UnixTime(1));
        assert_eq!(verifying.twice(&page(["search".to_owned()]), None), [false]);
        for number in 0..16 {
            let long = (0..4).map(|at| format!("{number} {at} {}", "x".repeat(1 << 16)));
            let page = page(long.chain(["search".to_owned()]));
            let twice = verifying.twice(&page, Some(number.to_string()));
            assert!(twice[4], "what can be a name is remembered");
            assert!(verifying.read(&page)[..4].iter().all(Result::is_err));
        }
        let kept: usize = verifying.state().pages.keys().map(String::len).sum();
        assert_eq!(kept, "search".len());
    }

    /// A server that gives a cursor of mebibytes and then thousands of names must not have it kept
    /// once a name.
    #[test]
    fn a_cursor_is_not_kept_with_every_name() {
        fn small<T: Copy>(_: &HashMap<String, T>) {}
        small(&State::default().pages);
    }
}
