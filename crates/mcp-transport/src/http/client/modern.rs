//! One exchange, one POST: the revisions without a handshake.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use mcp_types::error::codes;
use mcp_types::jsonrpc::{Message, Notification};
use mcp_types::version::Era;
use mcp_types::wire::{Codec, EncodeError, MODERN};
use mcp_types::{
    ClientRequest, ErrorObject, Exchange, Notifier, Outcome, PaginatedRequestParams, ProgressToken,
    ProtocolVersion, RawText, RequestContext, RequestId, ServerNotification, ServerResult,
};
use tokio::time::Instant;

use super::answer::{Events, Form, NoAnswer, answer_in, answer_of, form, text, until};
use super::{Inner, Link};
use crate::http::headers;
use crate::proto::Verbatim;
use crate::proto::client::ClientConfig;
use crate::proto::client::probe::{Verdict, judge};
use crate::proto::server::RefusedInputs;

/// How many pages of tools are looked through for one that wants headers.
const MOST_PAGES: usize = 64;

impl Inner {
    /// Asks, and once more where the answer says how.
    pub(super) async fn modern(
        &self,
        mut version: ProtocolVersion,
        mut exchange: Exchange,
    ) -> Result<Outcome, ErrorObject> {
        if let Some(refused) = RefusedInputs::of(&exchange.context) {
            return Err(refused);
        }
        let (mut listed, mut agreed) = (false, false);
        loop {
            let patience = Patience::with(&self.options.config);
            let answer = match self.ask(version, &mut exchange, patience).await {
                Ok(answer) => answer,
                Err(none) => {
                    // The server may have become another one; the next exchange finds out.
                    if none.may_be_legacy() {
                        self.set_link(None);
                    }
                    return Err(none.error);
                }
            };
            let error = match answer {
                Ok(result) => return self.outcome(&exchange, &result),
                Err(error) => error,
            };
            match (error.code, &exchange.request) {
                (codes::UNSUPPORTED_PROTOCOL_VERSION, _) if !agreed => {
                    agreed = true;
                    match judge(version, &Err(error.clone())) {
                        Verdict::Retry(other) => version = other,
                        _ => {
                            self.set_link(None);
                            return Err(error);
                        }
                    }
                    self.set_link(Some(Link::Modern(version)));
                }
                (codes::HEADER_MISMATCH, ClientRequest::CallTool(call)) if !listed => {
                    listed = true;
                    self.list_until(version, &exchange.context, &call.name).await?;
                }
                _ => return Err(error),
            }
        }
    }

    /// Sends an exchange and waits for its answer; notifications go to its notifier.
    pub(super) async fn ask(
        &self,
        version: ProtocolVersion,
        exchange: &mut Exchange,
        patience: Patience,
    ) -> Result<Result<RawText, ErrorObject>, NoAnswer> {
        let id = self.next_id();
        self.dress(version, &mut exchange.context);
        // The token on the wire is the id, as on the other transports.
        let token = exchange.context.progress_token.take();
        let listens = exchange.notifier.is_connected() && !self.options.config.follow;
        if token.is_some() || listens {
            exchange.context.progress_token = Some(id.clone());
        }
        let mut message = Vec::with_capacity(512);
        let written = MODERN.encode_request(&mut message, &id, exchange);
        exchange.context.progress_token = token.clone();
        written.map_err(|error| match error {
            EncodeError::NotInThisEra(method) => ErrorObject::method_not_found(&method),
            other => ErrorObject::invalid_params(other.to_string()),
        })?;
        let protocol = self.protocol(version, &exchange.request);
        let subscribes = matches!(exchange.request, ClientRequest::SubscriptionsListen(_));
        let (endpoint, limits) = (&*self.endpoint, self.options.frame);
        let late = || endpoint.late();
        let response = endpoint
            .post(&endpoint.uri, &protocol, message.into(), patience.for_the_head())
            .await?;
        let mut clock = Clock::start(patience);
        if form(response.headers()) != Form::Events || !response.status().is_success() {
            let answer = until(clock.next, answer_of(endpoint, limits, response, &id)).await;
            return Ok(answer.ok_or_else(late)??.1.result);
        }
        let (head, body) = response.into_parts();
        let mut events = Events::new(body, limits.line);
        let stream = Stream { id: &id, token, notifier: &exchange.notifier, subscribes };
        if subscribes {
            clock = Clock { next: None, ..clock };
        }
        loop {
            let event = until(clock.next, events.next(endpoint)).await.ok_or_else(late)??;
            let Some(event) = event else {
                let error =
                    endpoint.broken("ended its answer before the message that was asked for");
                return Err(NoAnswer { error, status: Some(head.status) });
            };
            if event.name.is_some_and(|name| name != "message") {
                continue;
            }
            if let Some(answer) = answer_in(limits, &event.data, &id) {
                events.finish();
                return Ok(answer.result);
            }
            let Some(text) = text(endpoint, limits, event.data)? else { continue };
            // What is neither an answer nor a notification has no place on this stream.
            if let Ok(Message::Notification(told)) = Message::parse(&text) {
                match stream.tell(&told).await {
                    Told::Nothing => {}
                    Told::Progress => clock.sign_of_life(),
                    Told::Over => {
                        let over = RawText::new("{}").map_err(|_| endpoint.broken("is silent"))?;
                        return Ok(Ok(over));
                    }
                }
            }
        }
    }

    /// The headers that repeat what the body says.
    fn protocol(&self, version: ProtocolVersion, request: &ClientRequest) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(8);
        map.insert(headers::PROTOCOL_VERSION, HeaderValue::from_static(version.as_str()));
        // A method that no header can carry is none that a server could have.
        if let Ok(method) = HeaderValue::from_str(request.method()) {
            map.insert(headers::METHOD, method);
        }
        if let Some(name) = headers::name_of(request) {
            map.insert(headers::NAME, headers::encode(&name));
        }
        if let ClientRequest::CallTool(call) = request {
            self.mirrors.add(&mut map, call);
        }
        map
    }

    /// Completes the envelope by what is known of us.
    fn dress(&self, version: ProtocolVersion, context: &mut RequestContext) {
        if context.protocol_version() == Some(version) {
            return;
        }
        let declared = context.declared().cloned();
        if context.protocol_version().is_some() {
            let info = context.client_info().and_then(|info| RawText::of(&info).ok());
            return context.set_client(version, info, declared);
        }
        context.set_client(version, self.info.clone(), self.capabilities.clone());
        if let Some(declared) = declared {
            context.declare(&declared);
        }
    }

    fn outcome(&self, exchange: &Exchange, result: &RawText) -> Result<Outcome, ErrorObject> {
        let method = exchange.request.method();
        let outcome = MODERN.decode_result(method, result).map_err(|error| {
            let error = error.within("result");
            self.endpoint
                .broken(&format!("gave an answer to `{method}` that does not fit: {error}"))
        })?;
        if let Some(verbatim) = exchange.context.extensions.get::<Verbatim>() {
            verbatim.keep(method, Era::Modern, result);
        }
        let Outcome::Complete(ServerResult::ListTools(mut listing)) = outcome else {
            return Ok(outcome);
        };
        self.mirrors.learn(&mut listing);
        Ok(Outcome::Complete(ServerResult::ListTools(listing)))
    }

    /// Reads the server's listing up to a tool, to learn which headers it wants
    /// (2026-07-28, "Client Behavior" of custom headers).
    async fn list_until(
        &self,
        version: ProtocolVersion,
        context: &RequestContext,
        tool: &str,
    ) -> Result<(), ErrorObject> {
        let mut params = PaginatedRequestParams::new();
        for _ in 0..MOST_PAGES {
            let mut exchange = Exchange::new(ClientRequest::ListTools(params));
            exchange.context = context.clone();
            exchange.context.progress_token = None;
            (exchange.context.input_responses, exchange.context.request_state) = (None, None);
            let patience = Patience::with(&self.options.config);
            let answer =
                self.ask(version, &mut exchange, patience).await.map_err(|none| none.error)?;
            let Outcome::Complete(ServerResult::ListTools(page)) =
                self.outcome(&exchange, &answer?)?
            else {
                return Ok(());
            };
            if page.tools.iter().any(|known| known.name == tool) || page.next_cursor.is_none() {
                return Ok(());
            }
            params = PaginatedRequestParams::new();
            params.cursor = page.next_cursor;
        }
        Ok(())
    }
}

/// The stream of one answer, on which nothing else is spoken of.
struct Stream<'a> {
    id: &'a RequestId,
    token: Option<ProgressToken>,
    notifier: &'a Notifier,
    subscribes: bool,
}

/// What a notification means for whoever waits.
enum Told {
    Nothing,
    Progress,
    /// The server has ended the subscription.
    Over,
}

impl Stream<'_> {
    async fn tell(&self, told: &Notification) -> Told {
        let read = MODERN.decode_server_notification(&told.method, told.params.as_ref());
        let Ok(notification) = read else { return Told::Nothing };
        let (notification, means) = match notification {
            ServerNotification::Progress(mut progress) => {
                if progress.progress_token != *self.id {
                    return Told::Nothing;
                }
                progress.progress_token = self.token.clone().unwrap_or(progress.progress_token);
                (ServerNotification::Progress(progress), Told::Progress)
            }
            ServerNotification::Cancelled(cancelled) => {
                let ours = self.subscribes && cancelled.request_id == *self.id;
                return if ours { Told::Over } else { Told::Nothing };
            }
            other => (other, Told::Nothing),
        };
        // Whoever asked takes the notifications too, so a slow reader holds up itself.
        let _ = self.notifier.notify(notification).await;
        means
    }
}

/// How long an answer is waited for.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// Until it begins, and between two signs of life.
    pub(super) silence: Option<Duration>,
    /// In all.
    pub(super) most: Option<Duration>,
}

impl Patience {
    fn with(config: &ClientConfig) -> Self {
        Self { silence: config.request_timeout, most: config.longest_request }
    }

    fn for_the_head(self) -> Option<Duration> {
        self.silence.into_iter().chain(self.most).min()
    }
}

/// Until when the next sign of life has to come.
#[derive(Clone, Copy)]
struct Clock {
    patience: Patience,
    next: Option<Instant>,
    latest: Option<Instant>,
}

impl Clock {
    fn start(patience: Patience) -> Self {
        let latest = patience.most.and_then(|most| Instant::now().checked_add(most));
        let mut clock = Self { patience, next: None, latest };
        clock.sign_of_life();
        clock
    }

    fn sign_of_life(&mut self) {
        let next = self.patience.silence.and_then(|time| Instant::now().checked_add(time));
        self.next = next.into_iter().chain(self.latest).min();
    }
}
