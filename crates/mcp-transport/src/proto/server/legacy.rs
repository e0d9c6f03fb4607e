//! The era with a handshake, as a gateway in front of a server that knows none.
//!
//! `initialize` becomes a discovery of the server behind; what it said is remembered and pasted on
//! every request. A server that needs input from the client ends its exchange; here the client is
//! asked by real requests, and the server is entered again with the answers.

use std::collections::BTreeMap;
use std::time::Instant;

use mcp_types::jsonrpc::{Request, Response};
use mcp_types::legacy::{InitializeRequestParams, InitializeResult, SetLevelRequestParams};
use mcp_types::version::Era;
use mcp_types::wire::{LEGACY, ServerCodec};
use mcp_types::{
    ByteString, ClientCapabilities, ClientRequest, DiscoverResult, ElicitRequestParams,
    ErrorObject, Exchange, ExchangeId, Extensions, Implementation, InputRequest,
    InputRequiredResult, LoggingLevel, Members, Outcome, ProtocolVersion, RawText, RequestContext,
    RequestId, RequestParams, ServerResult, keys,
};

use super::changes::Listening;
use super::older::simplify;
use super::opening::has_envelope;
use super::{Entry, Kind, Outbox, Phase, ServerConn, ServerEvent};

/// What the handshake said, and what came of it.
#[derive(Debug)]
pub(super) struct Legacy {
    pub(super) version: ProtocolVersion,
    pub(super) client_info: Option<RawText>,
    pub(super) client_capabilities: Option<RawText>,
    pub(super) can: ClientCapabilities,
    /// What the client set; a gateway has none before that.
    pub(super) log_level: Option<LoggingLevel>,
    /// Our requests to the client, by their id; ids and deadlines both count up.
    pub(super) asked: BTreeMap<i64, Asked>,
    pub(super) last_id: i64,
    /// Of what the client hears without asking each time.
    pub(super) changes: Listening,
}

/// One question that the client has not answered yet.
#[derive(Debug)]
pub(super) struct Asked {
    /// For whom.
    about: About,
    method: String,
    deadline: Instant,
}

/// What a question belongs to.
#[derive(Debug)]
enum About {
    /// An exchange, in which the answer has this key.
    Exchange(ExchangeId, String),
    /// None, but a gateway knows it by this name.
    Aside(u64),
}

impl Asked {
    fn is_of(&self, exchange: ExchangeId) -> bool {
        matches!(self.about, About::Exchange(of, _) if of == exchange)
    }
}

/// What a request needs in order to be entered again.
#[derive(Debug)]
pub(super) struct Inputs {
    method: ByteString,
    params: Option<RawText>,
    extensions: Extensions,
    attempt: u32,
    open: usize,
    responses: Members,
    request_state: Option<String>,
}

impl Inputs {
    /// Gives what entering again takes along these as well.
    pub(super) fn extend(&mut self, extensions: &Extensions) {
        self.extensions.merge(extensions);
    }
}

impl Legacy {
    pub(super) fn version(&self) -> ProtocolVersion {
        self.version
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let asked = self.asked.values().next().map(|asked| asked.deadline);
        asked.into_iter().chain(self.changes.next_deadline()).min()
    }

    /// A handshake that nobody shook: for a message that stands for itself.
    #[cfg(feature = "http-server")]
    pub(super) fn assumed(version: ProtocolVersion) -> Self {
        Self {
            version,
            client_info: None,
            client_capabilities: None,
            can: ClientCapabilities::default(),
            log_level: Some(LoggingLevel::Info),
            asked: BTreeMap::new(),
            last_id: 0,
            changes: Listening::default(),
        }
    }

    /// Pastes the envelope that the client did not send.
    pub(super) fn paste(&self, context: &mut RequestContext) {
        context.set_client(
            self.version,
            self.client_info.clone(),
            self.client_capabilities.clone(),
        );
        context.log_level = self.log_level;
    }

    /// Whether the client declared what `request` needs; the capability's name if not.
    pub(super) fn lacks(&self, request: &InputRequest) -> Option<&'static str> {
        let elicitation = self.can.elicitation.as_ref();
        match request {
            InputRequest::CreateMessage(_) if self.can.sampling.is_none() => Some("sampling"),
            InputRequest::ListRoots(_) if self.can.roots.is_none() => Some("roots"),
            InputRequest::Elicit(_) if elicitation.is_none() => Some("elicitation"),
            InputRequest::CreateMessage(asked)
                if asked.tools.is_some()
                    && self.can.sampling.as_ref().is_some_and(|how| how.tools.is_none()) =>
            {
                Some("sampling.tools")
            }
            InputRequest::Elicit(ElicitRequestParams::Url(_))
                if elicitation.is_some_and(|elicitation| elicitation.url.is_none()) =>
            {
                Some("elicitation.url")
            }
            // An empty declaration means forms (2025-11-25, "Elicitation", "Capabilities").
            InputRequest::Elicit(ElicitRequestParams::Form(_))
                if elicitation.is_some_and(|how| how.url.is_some() && how.form.is_none()) =>
            {
                Some("elicitation.form")
            }
            _ => None,
        }
    }

    /// The level of the log that the client set.
    pub(super) fn set_level(&self) -> Option<LoggingLevel> {
        self.log_level
    }

    /// Notes a question that belongs to no exchange; gives its id.
    pub(super) fn ask_aside(&mut self, name: u64, method: &str, deadline: Instant) -> i64 {
        self.last_id += 1;
        let (about, method) = (About::Aside(name), method.to_owned());
        self.asked.insert(self.last_id, Asked { about, method, deadline });
        self.last_id
    }

    fn can_be_asked(&self) -> bool {
        self.can.elicitation.is_some() || self.can.sampling.is_some() || self.can.roots.is_some()
    }
}

/// The revision for a client that asks for `requested`: that one, or the newest that it may know.
fn negotiate(requested: &str) -> ProtocolVersion {
    ProtocolVersion::parse(requested)
        .filter(|version| version.era() == Era::Legacy)
        .unwrap_or(ProtocolVersion::NEWEST_LEGACY)
}

impl ServerConn {
    /// Starts the handshake: the server behind is asked who it is and what it can do.
    pub(super) fn initialize(&mut self, request: Request, batch: Option<u64>) {
        // A copy: what is kept would keep the whole message, however long the rest of it is.
        let params = request
            .params
            .as_ref()
            .map(|params| RawText::new(params.get())?.parse::<InitializeRequestParams>());
        let mut params = match params {
            Some(Ok(params)) => params,
            Some(Err(error)) => {
                let error = ErrorObject::invalid_params(error.within("params").to_string());
                return self.answer_error(Some(&request.id), &error, batch);
            }
            None => {
                let error = ErrorObject::invalid_params("`initialize` needs `params`");
                return self.answer_error(Some(&request.id), &error, batch);
            }
        };
        let version = negotiate(&params.protocol_version);
        take_experimental(&mut params.capabilities);
        let legacy = Legacy {
            version,
            client_info: RawText::of(&params.client_info).ok(),
            client_capabilities: RawText::of(&params.capabilities).ok(),
            can: params.capabilities,
            log_level: self.aside.is_none().then_some(LoggingLevel::Info),
            asked: BTreeMap::new(),
            last_id: 0,
            changes: Listening::default(),
        };
        let mut exchange = Exchange::new(ClientRequest::Discover(RequestParams::new()));
        legacy.paste(&mut exchange.context);
        exchange.context.meta = params.meta.unwrap_or_default();
        self.phase = Phase::Legacy(Box::new(legacy));
        if let Some(gateway) = &mut self.aside {
            gateway.not_ready();
        }
        let (request, kind) = (Some(request.id), Kind::Initialize);
        self.start(
            exchange,
            Entry {
                request,
                codec: &LEGACY,
                kind,
                log_level: None,
                batch,
                inputs: None,
                verbatim: None,
            },
        );
    }

    /// Ends the handshake with what the server behind said.
    pub(super) fn initialized(
        &mut self,
        exchange: ExchangeId,
        result: Result<Outcome, ErrorObject>,
    ) {
        let Phase::Legacy(legacy) = &mut self.phase else { return };
        let version = legacy.version;
        let error = match result {
            Ok(Outcome::Complete(ServerResult::Discover(found))) => {
                legacy.changes.learn(&found.capabilities);
                if let Some(entry) = self.remove(exchange)
                    && let Some(id) = entry.request
                {
                    self.learn_identity(&found);
                    self.answer_value(&id, entry.batch, &dressed(*found, version));
                }
                return;
            }
            Ok(_) => ErrorObject::internal("the server did not say what it can do"),
            Err(error) => error,
        };
        self.phase = Phase::Opening;
        self.answer(exchange, Err(&error));
    }

    pub(super) fn request_legacy(&mut self, request: Request, batch: Option<u64>) {
        let Phase::Legacy(legacy) = &mut self.phase else { return };
        let refusal = match &*request.method {
            "ping" => return self.answer_value(&request.id, batch, &Members::new()),
            "logging/setLevel" => {
                match request.params.as_ref().map(RawText::parse::<SetLevelRequestParams>) {
                    Some(Ok(params)) => {
                        legacy.log_level = Some(params.level);
                        return self.answer_value(&request.id, batch, &Members::new());
                    }
                    Some(Err(error)) => {
                        ErrorObject::invalid_params(error.within("params").to_string())
                    }
                    None => ErrorObject::invalid_params("`logging/setLevel` needs `params.level`"),
                }
            }
            "initialize" if !has_envelope(&request) => {
                ErrorObject::invalid_request("the connection has its handshake behind it")
            }
            _ => match LEGACY.decode_request(&request.method, request.params.as_ref()) {
                Ok(incoming) if incoming.has_envelope => {
                    return self.request_modern(request, batch);
                }
                // The method may be one that only the other era has.
                Err(_) if has_envelope(&request) => return self.request_modern(request, batch),
                Err(error) => error,
                Ok(incoming) => {
                    let mut exchange = Exchange::of(incoming.request, incoming.context);
                    legacy.paste(&mut exchange.context);
                    let inputs = (legacy.can_be_asked() || self.aside.is_some()).then(|| {
                        Box::new(Inputs {
                            method: request.method,
                            params: request.params,
                            extensions: exchange.context.extensions.clone(),
                            attempt: 0,
                            open: 0,
                            responses: Members::new(),
                            request_state: None,
                        })
                    });
                    let level = legacy.log_level.unwrap_or(LoggingLevel::Debug);
                    let (log_level, request) = (Some(level), Some(request.id));
                    let kind = Kind::LegacyCall;
                    let entry = Entry {
                        request,
                        codec: &LEGACY,
                        kind,
                        log_level,
                        batch,
                        inputs,
                        verbatim: None,
                    };
                    return self.start(exchange, entry);
                }
            },
        };
        self.answer_error(Some(&request.id), &refusal, batch);
    }

    /// Asks the client what the server wants to know, and enters the server again with the answers.
    pub(super) fn ask_for_inputs(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        wanted: InputRequiredResult,
    ) {
        if let Err(error) = self.try_ask(now, exchange, wanted) {
            self.answer(exchange, Err(&error));
        }
    }

    fn try_ask(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        wanted: InputRequiredResult,
    ) -> Result<(), ErrorObject> {
        let Phase::Legacy(legacy) = &mut self.phase else { return Ok(()) };
        let Some(entry) = self.pending.get_mut(exchange) else { return Ok(()) };
        let Some(inputs) = &mut entry.inputs else {
            return Err(ErrorObject::invalid_request(
                "the request needs input, and the client declared no capability to be asked",
            ));
        };
        if inputs.attempt >= self.limits.input_rounds {
            return Err(ErrorObject::internal(format!(
                "the server asked for input more than {} times",
                self.limits.input_rounds
            )));
        }
        let mut questions = wanted.input_requests.unwrap_or_default();
        if let Some(gateway) = &self.aside {
            // A server that asks what it may not hears that from the client, as it would without us.
            gateway.spare(legacy, &mut questions, &mut inputs.extensions);
        }
        if let Some(lacking) = questions.values().find_map(|question| legacy.lacks(question)) {
            return Err(ErrorObject::invalid_request(format!(
                "the request needs the client capability `{lacking}`, which was not declared"
            )));
        }
        inputs.request_state = wanted.request_state;
        inputs.open = questions.len();
        for (key, mut question) in questions {
            legacy.last_id += 1;
            let id = legacy.last_id;
            name_page(&mut question, exchange, id);
            simplify(&mut question, legacy.version);
            let method = question.method().to_owned();
            let deadline = now + self.limits.input_timeout;
            let about = About::Exchange(exchange, key);
            legacy.asked.insert(id, Asked { about, method, deadline });
            self.outbox.push(entry.request.clone(), |out| write_question(out, id, &question));
        }
        if inputs.open == 0 {
            self.enter_again(exchange);
        }
        Ok(())
    }

    /// Takes an answer of the client; one that nobody waits for is passed over.
    pub(super) fn handle_response(&mut self, _now: Instant, response: Response) {
        let Phase::Legacy(legacy) = &mut self.phase else { return };
        let Some(RequestId::Number(id)) = response.id else { return };
        let Some(asked) = legacy.asked.remove(&id) else { return };
        let (exchange, key) = match asked.about {
            About::Exchange(exchange, key) => (exchange, key),
            About::Aside(name) => {
                let result = response.result;
                return self.as_gateway(|gateway, conn| gateway.answered(conn, name, result));
            }
        };
        let inputs = self.pending.get_mut(exchange).and_then(|entry| entry.inputs.as_mut());
        let Some(inputs) = inputs else { return };
        match (response.result, &self.aside) {
            (Ok(answer), _) => {
                inputs.responses.insert(key, answer);
            }
            // Whoever asked may know what to do without.
            (Err(error), Some(gateway)) => gateway.refuse(&mut inputs.extensions, key, error),
            (Err(error), None) => {
                self.withdraw_inputs(exchange);
                let text =
                    format!("the client did not answer `{}`: {}", asked.method, error.message);
                return self.answer(exchange, Err(&ErrorObject::internal(text)));
            }
        }
        inputs.open = inputs.open.saturating_sub(1);
        if inputs.open == 0 {
            self.enter_again(exchange);
        }
    }

    fn enter_again(&mut self, exchange: ExchangeId) {
        let Phase::Legacy(legacy) = &self.phase else { return };
        let Some(entry) = self.pending.get_mut(exchange) else { return };
        let Some(inputs) = &mut entry.inputs else { return };
        // It was read once already; reading it again is cheaper than keeping a copy of every call.
        let incoming = match LEGACY.decode_request(&inputs.method, inputs.params.as_ref()) {
            Ok(incoming) => incoming,
            Err(error) => return self.answer(exchange, Err(&error)),
        };
        inputs.attempt += 1;
        let mut again = Exchange::reenter(exchange, inputs.attempt, incoming.request);
        again.context = incoming.context;
        legacy.paste(&mut again.context);
        again.context.extensions = inputs.extensions.clone();
        again.context.input_responses = Some(inputs.responses.clone());
        again.context.request_state = inputs.request_state.take();
        self.events.push_back(ServerEvent::Exchange(again));
    }

    /// Takes back the questions of an exchange that waits for them no more.
    pub(super) fn withdraw_inputs(&mut self, exchange: ExchangeId) {
        let Phase::Legacy(legacy) = &mut self.phase else { return };
        for (id, _) in legacy.asked.extract_if(.., |_, asked| asked.is_of(exchange)) {
            take_back(&mut self.outbox, id);
        }
    }

    /// Takes back a question that belongs to no exchange.
    pub(super) fn withdraw_aside(&mut self, name: u64) {
        let Phase::Legacy(legacy) = &mut self.phase else { return };
        let of = |asked: &Asked| matches!(asked.about, About::Aside(other) if other == name);
        for (id, _) in legacy.asked.extract_if(.., |_, asked| of(asked)) {
            take_back(&mut self.outbox, id);
        }
    }

    /// Gives up on questions that the client did not answer in time.
    pub(super) fn expire_inputs(&mut self, now: Instant) {
        self.expire_listening(now);
        while let Phase::Legacy(legacy) = &self.phase
            && let Some(asked) = legacy.asked.values().next().filter(|asked| asked.deadline <= now)
        {
            let text = format!("the client did not answer `{}` in time", asked.method);
            let late = ErrorObject::internal(text);
            match asked.about {
                About::Exchange(exchange, _) => {
                    self.withdraw_inputs(exchange);
                    self.answer(exchange, Err(&late));
                }
                About::Aside(name) => {
                    self.withdraw(name);
                    self.as_gateway(|gateway, conn| gateway.answered(conn, name, Err(late)));
                }
            }
        }
    }
}

/// A discovery in the dress of a handshake.
fn dressed(found: DiscoverResult, version: ProtocolVersion) -> InitializeResult {
    let server_info =
        found.server_info().unwrap_or_else(|| Implementation::new("unnamed", "unknown"));
    let mut capabilities = found.capabilities;
    // Readers of this era look for what is not in their revision under `experimental`.
    for (id, settings) in capabilities.extensions.iter().flatten() {
        let experimental = capabilities.experimental.get_or_insert_default();
        experimental.entry(id.clone()).or_insert_with(|| settings.clone());
    }
    let mut result = InitializeResult::new(capabilities, version.as_str(), server_info);
    result.instructions = found.instructions;
    result.meta = found.meta.and_then(|mut meta| {
        meta.remove(keys::SERVER_INFO);
        (!meta.is_empty()).then_some(meta)
    });
    result.extra = found.extra;
    result
}

/// Extensions that a client of this era could only declare as experimental.
fn take_experimental(capabilities: &mut ClientCapabilities) {
    for (id, settings) in capabilities.experimental.iter().flatten() {
        if id.contains('/') {
            let extensions = capabilities.extensions.get_or_insert_default();
            extensions.entry(id.clone()).or_insert_with(|| settings.clone());
        }
    }
}

/// Gives a page to open the id that this era wants (2025-11-25, "Elicitation", "URL Mode").
fn name_page(question: &mut InputRequest, exchange: ExchangeId, id: i64) {
    if let InputRequest::Elicit(ElicitRequestParams::Url(page)) = question
        && page.extra.get(ELICITATION_ID).is_none()
        && let Ok(name) = RawText::of(&format!("{exchange:?}-{id}"))
    {
        page.extra.insert(ELICITATION_ID, name);
    }
}

const ELICITATION_ID: &str = "elicitationId";

/// Tells the client that the answer to a question is wanted no more.
fn take_back(outbox: &mut Outbox, id: i64) {
    let text = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
    );
    outbox.push(None, |out| out.extend_from_slice(text.as_bytes()));
}

pub(super) fn write_question(out: &mut Vec<u8>, id: i64, question: &InputRequest) {
    // A question reads `{"method":…}`; the frame goes in front of its members.
    let Ok(body) = serde_json::to_string(question) else { return };
    out.extend_from_slice(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},").as_bytes());
    out.extend_from_slice(body.get(1..).unwrap_or_default().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_that_is_unknown_gets_an_offer() {
        for (requested, agreed) in [
            ("2024-11-05", "2024-11-05"),
            ("2025-03-26", "2025-03-26"),
            ("2025-06-18", "2025-06-18"),
            ("2025-11-25", "2025-11-25"),
            ("2026-07-28", "2025-11-25"),
            ("1999-01-01", "2025-11-25"),
            ("", "2025-11-25"),
        ] {
            assert_eq!(negotiate(requested).as_str(), agreed, "{requested}");
        }
    }
}
