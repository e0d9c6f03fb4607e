//! Listings of a group: all servers at once, page by page.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcp_types::error::codes;
use mcp_types::{
    CacheScope, ClientRequest, ErrorObject, Exchange, Items, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, Listed, Outcome,
    PaginatedRequestParams, Prompt, RawText, Resource, ResourceTemplate, ServerResult, Sought,
    Tool,
};

use super::owners::{Owners, Says};
use super::{Member, Shared, names};
use crate::Page;
use crate::together::together;

/// A listing that can be merged.
pub(super) trait Merged: Page {
    fn cursor(request: &ClientRequest) -> Option<&String>;
    fn hints(&self) -> Hints;
    fn result(
        entries: Vec<Arc<Listed<Self::Entry>>>,
        hints: Hints,
        next: Option<String>,
    ) -> ServerResult;
    /// The URI, or the template of some, that only one server can have.
    fn place(entry: &Self::Entry) -> Option<&str>;
    /// The entry as the group lists it; `None` for one that belongs to another server.
    fn adopted(
        entry: Arc<Listed<Self::Entry>>,
        at: usize,
        member: &Member,
        owners: &mut Owners,
    ) -> Option<Arc<Listed<Self::Entry>>>;
}

/// For how long a listing may be kept, and by whom.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hints {
    pub(super) ttl_ms: Option<u64>,
    pub(super) scope: Option<CacheScope>,
}

impl Hints {
    /// What holds for everything.
    pub(super) const ALL: Self = Self { ttl_ms: Some(u64::MAX), scope: Some(CacheScope::Public) };

    /// What holds for both.
    pub(super) fn and(self, other: Self) -> Self {
        let ttl_ms = self.ttl_ms.zip(other.ttl_ms).map(|(one, other)| one.min(other));
        let public = self.scope == Some(CacheScope::Public) && other.scope == self.scope;
        let scope = if public { CacheScope::Public } else { CacheScope::Private };
        Self { ttl_ms, scope: Some(scope) }
    }

    /// What holds where something is missing.
    pub(super) fn partial(self) -> Self {
        Self { ttl_ms: Some(0), ..self }
    }
}

macro_rules! merged {
    ($page:ident, $entry:ident, $method:ident, $place:expr, $adopted:expr) => {
        impl Merged for $page {
            fn cursor(request: &ClientRequest) -> Option<&String> {
                match request {
                    ClientRequest::$method(params) => params.cursor.as_ref(),
                    _ => None,
                }
            }

            fn hints(&self) -> Hints {
                Hints { ttl_ms: self.ttl_ms, scope: self.cache_scope.clone() }
            }

            fn result(
                entries: Vec<Arc<Listed<$entry>>>,
                hints: Hints,
                next: Option<String>,
            ) -> ServerResult {
                let mut page = Self::new(Items::from(entries));
                (page.ttl_ms, page.cache_scope) = (hints.ttl_ms, hints.scope);
                page.next_cursor = next;
                ServerResult::$method(page)
            }

            fn place(entry: &$entry) -> Option<&str> {
                let place: fn(&$entry) -> Option<&str> = $place;
                place(entry)
            }

            fn adopted(
                entry: Arc<Listed<$entry>>,
                at: usize,
                member: &Member,
                owners: &mut Owners,
            ) -> Option<Arc<Listed<$entry>>> {
                let adopt: fn(_, usize, &Member, &mut Owners) -> _ = $adopted;
                adopt(entry, at, member, owners)
            }
        }
    };
}

merged!(ListToolsResult, Tool, ListTools, |_| None, |entry, _, member, _| {
    let mut tool = Arc::<Listed<Tool>>::unwrap_or_clone(entry).into_inner();
    tool.name = names::spaced(&member.alias, &tool.name);
    Listed::new(tool).ok().map(Arc::new)
});
merged!(ListPromptsResult, Prompt, ListPrompts, |_| None, |entry, _, member, _| {
    let mut prompt = Arc::<Listed<Prompt>>::unwrap_or_clone(entry).into_inner();
    prompt.name = names::spaced(&member.alias, &prompt.name);
    Listed::new(prompt).ok().map(Arc::new)
});
merged!(
    ListResourcesResult,
    Resource,
    ListResources,
    |entry| Some(&entry.uri),
    |entry: Arc<Listed<Resource>>, at, _, owners| {
        owners.claim(&entry.uri, at, Says::Listing).then_some(entry)
    }
);
merged!(
    ListResourceTemplatesResult,
    ResourceTemplate,
    ListResourceTemplates,
    |entry| Some(&entry.uri_template),
    |entry: Arc<Listed<ResourceTemplate>>, at, _, owners| {
        owners.claim_template(&entry.uri_template, at).then_some(entry)
    }
);

impl Shared {
    /// One page of a listing: the next page of each server that has one.
    pub(super) async fn list<P: Merged>(
        &self,
        exchange: &Exchange,
    ) -> Result<ServerResult, ErrorObject> {
        let cursor = P::cursor(&exchange.request);
        let mut wanted = match cursor {
            None => (0..self.members.len()).map(|at| (at, None)).collect(),
            Some(cursor) => self.wanted(cursor)?,
        };
        // For the sake of one tool nobody waits for the servers of others.
        let sought = exchange.context.extensions.get::<Sought>();
        let sought = sought.map(|sought| self.find(&sought.0));
        if let Some(found) = sought {
            wanted.retain(|(at, _)| found.is_some_and(|(member, _)| *at == member));
        }
        let (mut entries, mut hints, mut next) = (Vec::new(), Hints::ALL, BTreeMap::new());
        let (mut answered, mut first_error) = (false, None);
        for (at, page) in self.ask::<P>(exchange, wanted).await {
            let member = self.member(at)?;
            let page = match page {
                Ok(Some(page)) => page,
                // It has none, which is an answer: what others fail at leaves out their part alone.
                Ok(None) => {
                    answered = true;
                    continue;
                }
                Err(error) => {
                    self.failed(member, &error);
                    hints = hints.partial();
                    first_error = first_error.or(Some(error));
                    continue;
                }
            };
            answered = true;
            hints = hints.and(page.hints());
            if let Some(cursor) = page.next_cursor() {
                next.insert(member.alias.clone(), cursor.clone());
            }
            let mut taken = Vec::new();
            let mut owners = self.owners();
            for entry in page.entries().into_vec() {
                match P::adopted(entry.clone(), at, member, &mut owners) {
                    Some(adopted) => entries.push(adopted),
                    None => taken.extend(P::place(&entry).map(|place| {
                        (place.to_owned(), owners.find(place).map(|(owner, _)| owner))
                    })),
                }
            }
            drop(owners);
            for (place, owner) in taken {
                if let (Some(hear), Some(Ok(owner))) =
                    (&self.on_collision, owner.map(|owner| self.member(owner)))
                {
                    hear(&member.alias, &place, &owner.alias);
                }
            }
        }
        if let Some(error) = first_error.filter(|_| !answered) {
            return Err(error);
        }
        if hints == Hints::ALL || sought.is_some() {
            hints = hints.partial();
        }
        let next = (!next.is_empty()).then(|| RawText::of(&next).ok()).flatten();
        Ok(P::result(entries, hints, next.map(|text| text.get().to_owned())))
    }

    /// Asks servers for a page each; `None` of one that has no such listing.
    async fn ask<P: Merged>(
        &self,
        exchange: &Exchange,
        wanted: Vec<(usize, Option<String>)>,
    ) -> Vec<(usize, Result<Option<P>, ErrorObject>)> {
        let (mut asked, mut asking) = (Vec::new(), Vec::new());
        let sought = exchange.context.extensions.get::<Sought>();
        let sought = sought.and_then(|sought| self.find(&sought.0)).map(|(_, own)| own.to_owned());
        for (at, cursor) in wanted {
            let Ok(member) = self.member(at) else { continue };
            let mut params = PaginatedRequestParams::new();
            params.cursor = cursor;
            let mut inner = Exchange::new(P::request(params));
            inner.context = exchange.context.clone();
            inner.context.progress_token = None;
            if let Some(own) = &sought {
                inner.context.extensions.insert(Sought(own.clone()));
            }
            asked.push((at, member));
            asking.push(member.caller.send(inner));
        }
        let answers = together(asking, self.patience()).await;
        let read = |((at, member), answer): ((usize, &Member), Option<_>)| {
            let page = match answer {
                Some(Ok(Outcome::Complete(result))) => {
                    P::of(result).map(Some).map_err(|_| member.nonsense())
                }
                Some(Ok(_)) => Err(member.nonsense()),
                Some(Err(error)) if is_absent(&error) => Ok(None),
                Some(Err(error)) => Err(member.said(error)),
                None => Err(member.late()),
            };
            (at, page)
        };
        asked.into_iter().zip(answers).map(read).collect()
    }

    /// Which pages of which servers a cursor of this group stands for.
    fn wanted(&self, cursor: &str) -> Result<Vec<(usize, Option<String>)>, ErrorObject> {
        let bad = || {
            let text = "the cursor is not one of this group, list again from the start";
            ErrorObject::invalid_params(text)
        };
        let pages: BTreeMap<String, String> =
            RawText::new(cursor).and_then(|text| text.parse()).map_err(|_| bad())?;
        let mut wanted = Vec::with_capacity(pages.len());
        for (alias, cursor) in pages {
            let at = self.members.iter().position(|member| member.alias == alias);
            wanted.push((at.ok_or_else(bad)?, Some(cursor)));
        }
        wanted.sort_unstable();
        Ok(wanted)
    }

    /// Reads the listings of resources and templates, to know whose they are; says whether all
    /// servers gave theirs.
    pub(super) async fn learn_owners(&self, exchange: &Exchange) -> bool {
        /// A server with more has its resources listed by whoever wants them.
        const PAGES: usize = 16;
        async fn read<P: Merged>(group: &Shared, exchange: &Exchange) -> bool {
            let mut wanted: Vec<_> = (0..group.members.len()).map(|at| (at, None)).collect();
            let mut whole = true;
            for _ in 0..PAGES {
                let pages = group.ask::<P>(exchange, std::mem::take(&mut wanted)).await;
                for (at, page) in pages {
                    whole &= page.is_ok();
                    let (Ok(Some(page)), Ok(member)) = (page, group.member(at)) else { continue };
                    wanted.extend(page.next_cursor().map(|cursor| (at, Some(cursor.clone()))));
                    let mut owners = group.owners();
                    for entry in page.entries().into_vec() {
                        P::adopted(entry, at, member, &mut owners);
                    }
                }
                if wanted.is_empty() {
                    break;
                }
            }
            whole
        }
        let resources = read::<ListResourcesResult>(self, exchange).await;
        read::<ListResourceTemplatesResult>(self, exchange).await && resources
    }
}

impl Member {
    fn nonsense(&self) -> ErrorObject {
        let text = format!("`{}` answered a listing with something else", self.alias);
        ErrorObject::local(mcp_types::Origin::Protocol, text)
    }
}

/// Whether the server has no such listing at all, which is no failure.
pub(super) fn is_absent(error: &ErrorObject) -> bool {
    error.code == codes::METHOD_NOT_FOUND && error.origin == mcp_types::Origin::Service
}
