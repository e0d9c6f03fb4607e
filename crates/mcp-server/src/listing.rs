//! Listings: which there are, who sees what in them, for how long they may be kept.

use std::sync::Arc;
use std::time::Duration;

use mcp_types::{CacheScope, Principal, Prompt, RequestContext, Resource, ResourceTemplate, Tool};

/// One of the lists that a server gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Listing {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    ResourceTemplates,
}

/// For how long, and for whom, a client may keep a result (specification, "Caching").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheHint {
    ttl_ms: u64,
    is_public: bool,
}

impl CacheHint {
    /// Fresh for `ttl`, and the same for everybody: a shared cache may hand it to any user.
    pub const fn public(ttl: Duration) -> Self {
        Self { ttl_ms: millis(ttl), is_public: true }
    }

    /// Fresh for `ttl`, and only for whoever asked.
    pub const fn private(ttl: Duration) -> Self {
        Self { ttl_ms: millis(ttl), is_public: false }
    }

    /// The time as `ttlMs` has it.
    pub const fn ttl_ms(self) -> u64 {
        self.ttl_ms
    }

    /// The scope as `cacheScope` has it.
    pub const fn scope(self) -> CacheScope {
        match self.is_public {
            true => CacheScope::Public,
            false => CacheScope::Private,
        }
    }

    pub(crate) const fn into_private(self) -> Self {
        Self { is_public: false, ..self }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "bounded by what the wire can carry exactly")]
const fn millis(ttl: Duration) -> u64 {
    let (millis, most) = (ttl.as_millis(), (1 << 53) - 1);
    if millis > most { most as u64 } else { millis as u64 }
}

/// The hints of all listings.
#[derive(Default)]
pub(crate) struct CacheHints {
    general: Option<CacheHint>,
    own: Vec<(Listing, CacheHint)>,
    are_private: bool,
}

impl CacheHints {
    /// The hint of one listing: its own, or the general one.
    pub(crate) fn of(&self, listing: Listing) -> Option<CacheHint> {
        let own = self.own.iter().rev().find(|(of, _)| *of == listing);
        let hint = own.map(|(_, hint)| *hint).or(self.general);
        match self.are_private {
            // It is said also where nothing may be kept: layers have to tell it from a listing that
            // nobody thought about.
            true => Some(hint.unwrap_or(CacheHint::private(Duration::ZERO)).into_private()),
            false => hint,
        }
    }

    /// The hint of what is no listing: what the server tells of itself.
    pub(crate) fn general(&self) -> Option<CacheHint> {
        self.general
    }

    pub(crate) fn set_general(&mut self, hint: CacheHint) {
        self.general = Some(hint);
    }

    pub(crate) fn set(&mut self, listing: Listing, hint: CacheHint) {
        self.own.push((listing, hint));
    }

    pub(crate) fn make_private(&mut self) {
        self.are_private = true;
    }
}

/// What somebody does with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ResourceAction {
    /// Sees it in listings, in hints and in what completes its URI.
    List,
    /// Reads it.
    Read,
    /// Hears that it changed.
    Subscribe,
}

impl ResourceAction {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::List, Self::Read, Self::Subscribe];
}

/// Something that a server offers, as its listing has it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Offer<'d> {
    /// A tool.
    Tool(&'d Tool),
    /// A prompt.
    Prompt(&'d Prompt),
    /// A resource with one URI.
    Resource(&'d Resource),
    /// Resources under a template.
    ResourceTemplate(&'d ResourceTemplate),
}

impl Offer<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Tool(tool) => &tool.name,
            Self::Prompt(prompt) => &prompt.name,
            Self::Resource(resource) => &resource.name,
            Self::ResourceTemplate(template) => &template.name,
        }
    }
}

impl<'d> From<&'d Tool> for Offer<'d> {
    fn from(definition: &'d Tool) -> Self {
        Self::Tool(definition)
    }
}

impl<'d> From<&'d Prompt> for Offer<'d> {
    fn from(definition: &'d Prompt) -> Self {
        Self::Prompt(definition)
    }
}

impl<'d> From<&'d Resource> for Offer<'d> {
    fn from(definition: &'d Resource) -> Self {
        Self::Resource(definition)
    }
}

impl<'d> From<&'d ResourceTemplate> for Offer<'d> {
    fn from(definition: &'d ResourceTemplate) -> Self {
        Self::ResourceTemplate(definition)
    }
}

/// Decides whether a request may know of an offer.
type Rule = dyn Fn(&RequestContext, Offer<'_>) -> bool + Send + Sync;

/// Decides who may do what with which resource.
pub(crate) trait Uris: Send + Sync {
    fn lets(&self, caller: Option<&Principal>, action: ResourceAction, uri: &str) -> bool;

    /// Whether resources under `template` may be listed.
    fn may_meet(&self, caller: Option<&Principal>, template: &str) -> bool;
}

/// Who sees what.
#[derive(Clone, Default)]
pub(crate) struct Visibility {
    rule: Option<Arc<Rule>>,
    uris: Option<Arc<dyn Uris>>,
}

impl Visibility {
    /// What both the rule so far and `rule` show.
    pub(crate) fn and(
        self,
        rule: impl Fn(&RequestContext, Offer<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        let rule: Arc<Rule> = match self.rule {
            None => Arc::new(rule),
            Some(other) => {
                Arc::new(move |request, offer| other(request, offer) && rule(request, offer))
            }
        };
        Self { rule: Some(rule), ..self }
    }

    /// The same under an access list, or under this one instead of another.
    #[cfg(feature = "glob")]
    pub(crate) fn under(self, uris: Arc<dyn Uris>) -> Self {
        Self { uris: Some(uris), ..self }
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.rule.is_some() || self.uris.is_some()
    }

    /// Whether what is read depends on who reads.
    pub(crate) fn has_access_list(&self) -> bool {
        self.uris.is_some()
    }

    /// Whether a request may know of an offer. For resources see [`Visibility::lists`] and
    /// [`Visibility::lets`] as well.
    pub(crate) fn shows<'d>(&self, request: &RequestContext, offer: impl Into<Offer<'d>>) -> bool {
        self.rule.as_ref().is_none_or(|rule| rule(request, offer.into()))
    }

    /// Whether a listing for a request has an offer.
    pub(crate) fn lists<'d>(&self, request: &RequestContext, offer: impl Into<Offer<'d>>) -> bool {
        let offer = offer.into();
        let caller = || request.extensions.get::<Principal>();
        let listed = self.uris.as_ref().is_none_or(|uris| match offer {
            Offer::Resource(one) => uris.lets(caller(), ResourceAction::List, &one.uri),
            Offer::ResourceTemplate(one) => uris.may_meet(caller(), &one.uri_template),
            _ => true,
        });
        listed && self.shows(request, offer)
    }

    /// Whether a request may do something with a resource, as far as an access list says.
    pub(crate) fn lets(&self, request: &RequestContext, action: ResourceAction, uri: &str) -> bool {
        let caller = || request.extensions.get::<Principal>();
        self.uris.as_ref().is_none_or(|uris| uris.lets(caller(), action, uri))
    }
}
