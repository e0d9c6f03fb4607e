//! What an engine is asked.

use std::borrow::Cow;
use std::collections::BTreeSet;

use mcp_types::{CallToolRequestParams, ClientRequest, Exchange, Principal};

use crate::chain::Frame;
use crate::definition::{Hints, ToolDefinition};
use crate::digest::Digest;
use crate::flow::{Finding, Findings, Label};
use crate::identity::qualified;
use crate::key::KeyId;
use crate::level::SecurityLevel;
use crate::permission::Permission;
use crate::time::UnixTime;

/// The question: may `subject` do `action` to `resource`, in this `context`?
///
/// It borrows all that it can. Making one copies no argument and parses nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request<'a> {
    /// Who.
    pub subject: Subject<'a>,
    /// What: the method, such as `tools/call`.
    pub action: &'a str,
    /// To which tool.
    pub resource: Resource<'a>,
    /// Under which circumstances.
    pub context: Context<'a>,
}

impl<'a> Request<'a> {
    /// A call of a tool of which nothing else is known.
    pub fn call(resource: Resource<'a>, now: UnixTime) -> Self {
        Self {
            subject: Subject::default(),
            action: "tools/call",
            resource,
            context: Context::new(now),
        }
    }

    /// A call as it is on its way through a layer: what the layers before know of it is in the
    /// exchange's extensions.
    pub(crate) fn of(exchange: &'a Exchange, resource: Resource<'a>, now: UnixTime) -> Self {
        let extensions = &exchange.context.extensions;
        let mut request = Self::call(resource, now);
        if let ClientRequest::CallTool(CallToolRequestParams { arguments, .. }) = &exchange.request
        {
            request.context.arguments = arguments.as_ref().map(|text| text.get());
        }
        if let Some(principal) = extensions.get::<Principal>() {
            request.subject.user = Some(&principal.subject);
            request.subject.issuer = Some(&principal.issuer);
            request.subject.agent = principal.client.as_deref();
            request.subject.scopes = Some(&principal.scopes);
        }
        if let Some(found) = extensions.get::<Findings>() {
            request.context.texts = found.texts();
            request.context.seen = found.seen();
        }
        request
    }

    /// With the tools that led here, innermost first. `own` is the server at which this is asked.
    pub(crate) fn called_by(mut self, caller: Option<&'a Frame>, own: &str) -> Self {
        let frames = caller.into_iter().flat_map(Frame::frames);
        self.context.chain = frames.map(|frame| frame.member().name_on(own)).collect();
        self.context.depth = self.context.chain.len().saturating_add(1);
        self
    }
}

/// Who wants something. What is not proven is not here: names that a peer gives itself are none.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Subject<'a> {
    /// The user, unique with the issuer.
    pub user: Option<&'a str>,
    /// Who vouches for the user.
    pub issuer: Option<&'a str>,
    /// The program that acts for the user.
    pub agent: Option<&'a str>,
    /// The key that signed the call.
    pub key: Option<KeyId>,
    /// The scopes of the access token, where the call came with one that was verified.
    pub scopes: Option<&'a BTreeSet<String>>,
}

impl Subject<'_> {
    /// The user for whom somebody other than the host vouches, as policies name one: `issuer#user`.
    pub(crate) fn vouched(&self) -> Option<Cow<'_, str>> {
        self.issuer.and_then(|_| self.name())
    }

    /// The user as policies name one: `issuer#user`, and the bare name of one for whom nobody
    /// vouches but the host itself.
    pub fn name(&self) -> Option<Cow<'_, str>> {
        let user = self.user?;
        Some(match self.issuer {
            Some(issuer) => qualified(issuer, user).into(),
            None => user.into(),
        })
    }
}

/// A tool of a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Resource<'a> {
    /// The identity of the server.
    pub server: &'a str,
    /// The name of the tool.
    pub tool: &'a str,
    /// Who publishes it: proven where the status is [`Status::Verified`], claimed elsewhere.
    pub provider: Option<&'a str>,
    /// The version that it declares.
    pub version: Option<String>,
    /// The digest of its definition.
    pub digest: Option<Digest>,
    /// What is known of its origin.
    pub status: Status,
    /// What it declares that it needs.
    pub permissions: &'a [Permission],
    /// What the user granted of it, if not all.
    pub granted: Option<Vec<&'a str>>,
    /// What it says about its own effects: a claim of its publisher.
    pub hints: Hints,
    /// All of its definition, for engines that want to know the types of its arguments.
    pub definition: Option<&'a ToolDefinition>,
}

impl<'a> Resource<'a> {
    /// A tool that no listing has.
    pub fn new(server: &'a str, tool: &'a str) -> Self {
        Self {
            server,
            tool,
            provider: None,
            version: None,
            digest: None,
            status: Status::Unlisted,
            permissions: &[],
            granted: None,
            hints: Hints::default(),
            definition: None,
        }
    }

    /// A tool as it is defined.
    pub fn of(server: &'a str, definition: &'a ToolDefinition, status: Status) -> Self {
        let block = definition.block();
        let provider = block.and_then(|block| block.provider.as_ref());
        Self {
            provider: provider.map(|provider| provider.id.as_str()),
            version: block.map(|block| block.version.to_string()),
            digest: Some(definition.digest()),
            status,
            permissions: block.map_or(&[], |block| &block.permissions),
            hints: definition.hints(),
            definition: Some(definition),
            ..Self::new(server, definition.name())
        }
    }
}

/// What is known of the origin of a tool.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// No listing has it.
    Unlisted,
    /// It is listed, and nobody vouches for it.
    Unverified,
    /// A trusted publisher vouches for it and for its server.
    Verified,
    /// It is this server's own.
    Served,
}

impl Status {
    /// The word in policies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unlisted => "unlisted",
            Self::Unverified => "unverified",
            Self::Verified => "verified",
            Self::Served => "served",
        }
    }

    /// Whether what the tool says about itself comes from somebody whom this side trusts.
    pub fn is_vouched_for(self) -> bool {
        matches!(self, Self::Verified | Self::Served)
    }
}

/// On which side the question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Side {
    /// By the client, before it sends.
    Client,
    /// By the server, before it dispatches.
    Server,
}

impl Side {
    /// The word in policies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// The circumstances.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Context<'a> {
    /// The arguments, as they stand in the message; `None` when there are none.
    pub arguments: Option<&'a str>,
    /// The time.
    pub now: UnixTime,
    /// On which side.
    pub side: Side,
    /// The level at which the client works; unknown to servers.
    pub level: Option<SecurityLevel>,
    /// How many tools are under way, this one included.
    pub depth: usize,
    /// The tools that led here, innermost first; those of other servers as `server#tool`, where
    /// the server is the one that is proven, else the key of whoever says so.
    pub chain: Vec<&'a str>,
    /// Whose text stands in the arguments, where flows are tracked.
    pub texts: &'a [Finding],
    /// Whose text came in since the conversation began, where flows are tracked.
    pub seen: &'a [Label],
}

impl Context<'_> {
    /// Nothing but a time.
    pub fn new(now: UnixTime) -> Self {
        Self {
            arguments: None,
            now,
            side: Side::Client,
            level: None,
            depth: 1,
            chain: Vec::new(),
            texts: &[],
            seen: &[],
        }
    }
}
