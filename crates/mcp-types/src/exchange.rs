//! One request, its context, and what comes of it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tower_service::Service;

use crate::jsonrpc::ProgressToken;
use crate::{
    ClientCapabilities, ClientCapabilitiesElicitation, ClientRequest, ErrorObject, Extensions,
    Implementation, InputRequest, InputRequiredResult, LoggingLevel, Members, Meta, Notifier,
    ProtocolVersion, RawText, Runtime, ServerResult,
};

/// One request with all that is known about it, and the way back for notifications.
///
/// Dropping the future that serves an exchange *is* its cancellation.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// What is asked for.
    pub request: ClientRequest,
    /// The envelope: who asks, and how.
    pub context: RequestContext,
    /// Where progress and log messages go while the exchange runs.
    pub notifier: Notifier,
    id: ExchangeId,
    attempt: u32,
}

impl Exchange {
    /// An exchange of our own making: fresh id, empty context, nobody listening.
    pub fn new(request: ClientRequest) -> Self {
        Self::of(request, RequestContext::default())
    }

    /// An exchange that came in with this envelope: fresh id, nobody listening.
    pub fn of(request: ClientRequest, context: RequestContext) -> Self {
        Self { request, context, notifier: Notifier::none(), id: ExchangeId::fresh(), attempt: 0 }
    }

    /// Which exchange this is, within the process.
    pub fn id(&self) -> ExchangeId {
        self.id
    }

    /// How many times a handler was entered for this exchange before: a tool that asks for input
    /// is entered anew with the answer. Guards and limits decide once, at attempt 0.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The exchange `id` once more, for the gateway that fulfils inputs by requests of its own.
    ///
    /// It has no form on the wire, so no peer can cause one: whoever sees `attempt() > 0` knows
    /// that the first pass was let through.
    #[doc(hidden)]
    #[must_use]
    pub fn reenter(id: ExchangeId, attempt: u32, request: ClientRequest) -> Self {
        Self { id, attempt, ..Self::new(request) }
    }
}

/// Names an exchange within this process; peers never see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(u64);

impl ExchangeId {
    fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The envelope of a request: who asks, what they can do, and what they sent along.
///
/// See the specification (2026-07-28), "Per-request metadata". A revision with a handshake says
/// the same once, and the edge puts it here for each request.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct RequestContext {
    /// From which level on the client wants log messages; `None` for none.
    pub log_level: Option<LoggingLevel>,
    /// The token under which the client wants progress; `None` when it does not.
    pub progress_token: Option<ProgressToken>,
    /// Answers to what an earlier attempt asked for, by the key of the question.
    pub input_responses: Option<Members>,
    /// What an earlier attempt wanted back, unread and untrusted.
    pub request_state: Option<String>,
    /// `_meta` less the envelope's own keys.
    pub meta: Meta,
    /// What layers of this process know about the exchange.
    pub extensions: Extensions,
    /// Timers, tasks and threads, when a transport gave them.
    pub runtime: Option<Arc<dyn Runtime>>,
    pub(crate) version: Option<ProtocolVersion>,
    pub(crate) client_info: Option<RawText>,
    pub(crate) client_capabilities: Option<RawText>,
}

impl RequestContext {
    /// Name and version that the client gives itself: to show, never to trust.
    pub fn client_info(&self) -> Option<Implementation> {
        self.client_info.as_ref()?.parse().ok()
    }

    /// What the client declared. What cannot be read counts as not declared.
    pub fn client_capabilities(&self) -> ClientCapabilities {
        let declared = self.client_capabilities.as_ref().and_then(|text| text.parse().ok());
        declared.unwrap_or_default()
    }

    /// The text of what the client declared, for edges.
    pub fn declared(&self) -> Option<&RawText> {
        self.client_capabilities.as_ref()
    }

    /// Adds to what the client declares on this exchange; what is declared already stands.
    ///
    /// For whoever can do something for the server on the client's side, such as the layer that
    /// answers its questions. `capabilities` is the text of [`ClientCapabilities`]: a text that is
    /// none adds nothing. Where nothing was declared before this costs a reference count.
    ///
    /// ```
    /// use mcp_types::{ClientRequest, Exchange, RawText, RequestParams};
    ///
    /// let mut exchange = Exchange::new(ClientRequest::Discover(RequestParams::new()));
    /// exchange.context.declare(&RawText::new(r#"{"elicitation":{}}"#)?);
    /// exchange.context.declare(&RawText::new(r#"{"elicitation":{"url":{}},"roots":{}}"#)?);
    /// let declared = exchange.context.client_capabilities();
    /// let elicitation = declared.elicitation.ok_or("none")?;
    /// assert!(elicitation.form.is_some() && elicitation.url.is_some() && declared.roots.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn declare(&mut self, capabilities: &RawText) {
        let Some(declared) = &self.client_capabilities else {
            self.client_capabilities = Some(capabilities.clone());
            return;
        };
        if declared == capabilities {
            return;
        }
        let Ok(more) = capabilities.parse() else { return };
        let both = self.client_capabilities().with(more);
        self.client_capabilities = RawText::of(&both).ok();
    }

    /// Says what the client declares on this exchange, in place of what it declared: for whoever knows
    /// already what [`declare`](Self::declare) makes of both.
    pub fn set_declared(&mut self, capabilities: RawText) {
        self.client_capabilities = Some(capabilities);
    }

    /// The revision in which the request came, to show; `None` for an exchange of our own making.
    pub fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.version
    }

    /// Says who asks; for edges and tests.
    pub fn set_client(
        &mut self,
        version: ProtocolVersion,
        info: Option<RawText>,
        capabilities: Option<RawText>,
    ) {
        (self.version, self.client_info, self.client_capabilities) =
            (Some(version), info, capabilities);
    }
}

impl ClientCapabilities {
    /// These capabilities, and those of `more` that are not among them.
    fn with(mut self, more: Self) -> Self {
        self.elicitation = match (self.elicitation, more.elicitation) {
            (Some(ours), Some(theirs)) => {
                let (mut ours, theirs) = (ours.spelled_out(), theirs.spelled_out());
                ours.form = ours.form.or(theirs.form);
                ours.url = ours.url.or(theirs.url);
                Some(ours)
            }
            (ours, theirs) => ours.or(theirs),
        };
        self.sampling = match (self.sampling, more.sampling) {
            (Some(mut ours), Some(theirs)) => {
                ours.context = ours.context.or(theirs.context);
                ours.tools = ours.tools.or(theirs.tools);
                Some(ours)
            }
            (ours, theirs) => ours.or(theirs),
        };
        self.roots = self.roots.or(more.roots);
        for (ours, theirs) in
            [(&mut self.extensions, more.extensions), (&mut self.experimental, more.experimental)]
        {
            for (id, settings) in theirs.into_iter().flatten() {
                ours.get_or_insert_default().entry(id).or_insert(settings);
            }
        }
        for (name, value) in more.extra.iter() {
            if self.extra.get(name).is_none() {
                self.extra.insert(name, value.clone());
            }
        }
        self
    }
}

impl ClientCapabilitiesElicitation {
    /// An empty declaration means forms (specification, "Elicitation", "Capabilities").
    fn spelled_out(mut self) -> Self {
        if self.form.is_none() && self.url.is_none() {
            self.form = Some(RawText::literal("{}"));
        }
        self
    }
}

impl std::fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestContext")
            .field("client_info", &self.client_info)
            .field("progress_token", &self.progress_token)
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

/// What comes of an exchange.
///
/// Both variants are moved once, from the handler to the writer, so neither is boxed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)]
pub enum Outcome {
    /// The request is answered.
    Complete(ServerResult),
    /// The server needs something from the client first, and wants to be asked again with it.
    InputRequired(InputRequiredResult),
}

impl From<ServerResult> for Outcome {
    fn from(result: ServerResult) -> Self {
        Self::Complete(result)
    }
}

/// The future of an exchange, boxed once at the seam.
pub type ExchangeFuture = Pin<Box<dyn Future<Output = Result<Outcome, ErrorObject>> + Send>>;

/// A server, or a client's connection to one: the same function.
///
/// Implemented for every cheap-to-clone `tower_service::Service<Exchange>` with these types; a
/// bound, never to be implemented by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a service of exchanges",
    note = "implement `tower_service::Service<Exchange, Response = Outcome, Error = ErrorObject>` \
            and `Clone` for it, with a `Send` future"
)]
pub trait ExchangeService:
    Service<Exchange, Response = Outcome, Error = ErrorObject, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> ExchangeService for S where
    S: Service<Exchange, Response = Outcome, Error = ErrorObject, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// The tool for whose sake tools are listed, in the extensions of a `tools/list` that a layer makes; it
/// cannot be read from a message.
///
/// Whoever stands before several servers then lists those of the one server that can have the tool, and
/// gives no other's, so that neither the silence nor the length of another's listing is waited for. No
/// cache may keep such a listing, which is why its `ttlMs` is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought(pub String);

/// Fulfils what servers ask of the client: a form, a completion by the model, the roots.
pub trait InputHandler: Send + Sync {
    /// Answers one question with the text of its result, or says why not.
    fn handle(&self, request: InputRequest) -> crate::BoxFuture<'_, Result<RawText, ErrorObject>>;
}
