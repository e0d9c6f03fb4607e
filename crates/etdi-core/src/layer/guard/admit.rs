//! Letting a call through, or not.

use std::fmt;

use mcp_types::{
    CallToolRequestParams, CalledBy, ClientRequest, ErrorObject, Exchange, Outcome, Principal,
    RawText, RequestContext, ServerResult,
};
use serde_json::json;

use super::{CallKeys, Guarding, Known};
use crate::audit;
use crate::chain::token::TokenCheck;
use crate::chain::{ChainError, Frame, Member};
use crate::definition::{RawTool, ToolDefinition};
use crate::digest::Digest;
use crate::event::{Event, EventKind, Severity};
use crate::identity::qualified;
use crate::key::{KeyId, KeyRing};
use crate::legacy::call::{self, LegacyCalls, LegacySignedCall};
use crate::level::{KeyTrust, SecurityLevel};
use crate::permission::Scope;
use crate::policy::{Obligation, Request, Resource, Side, Status};
use crate::receipt::Receipt;
use crate::request::{Call, CallRefusal, Check, SignedCall};
use crate::wire::{self, CallConstraints, RequestSigning};

/// A call that was let in.
pub(super) struct Admitted {
    definition: ToolDefinition,
    signed: Option<SignedCall>,
    /// Whether it had to be signed, and this server does not insist.
    against_rule: bool,
}

impl Guarding {
    /// Checks the statement of a call.
    pub(super) async fn check(
        &self,
        statement: &RawText,
        exchange: &Exchange,
        known: &Known,
    ) -> Result<SignedCall, ErrorObject> {
        let definition = self.definition(known)?;
        let checked = self.check_text(statement, exchange, definition).await;
        checked.map_err(|refusal| self.refuse(definition, refusal))
    }

    async fn check_text(
        &self,
        statement: &RawText,
        exchange: &Exchange,
        definition: &ToolDefinition,
    ) -> Result<SignedCall, CallRefusal> {
        let statement: String = statement
            .parse()
            .map_err(|_| CallRefusal::SignatureInvalid { why: "it is no text".to_owned() })?;
        let context = &exchange.context;
        let call = self.call_in(exchange, definition);
        if self.nonces.is_none() && self.always_signed() {
            let why = "the server has no nonces, and takes no call without one".to_owned();
            return Err(CallRefusal::SignatureInvalid { why });
        }
        let configured = self.policy.key_trust == KeyTrust::ConfiguredRoots;
        let nobody = KeyRing::new();
        let check = Check::new(&*self.replay, (self.clock)())
            .nonces(self.nonces.as_deref())
            .extensions(&context.extensions)
            .first_use(!configured)
            .unbound(self.policy.level == SecurityLevel::Basic);
        let check = match &self.keys {
            CallKeys::Any if configured => check.keys(&nobody),
            CallKeys::Any => check,
            CallKeys::Known(ring) => check.keys(ring),
            CallKeys::Clients(clients) => check.clients(&**clients),
        };
        match exchange.attempt() {
            0 => check.call(&statement, &call).await,
            // It was let in before, and its statement is used.
            _ => check.again(&statement, &call).await,
        }
    }

    /// The call that an exchange makes.
    fn call_in<'a>(&'a self, exchange: &'a Exchange, definition: &'a ToolDefinition) -> Call<'a> {
        let context = &exchange.context;
        let arguments = match &exchange.request {
            ClientRequest::CallTool(params) => params.arguments.as_ref(),
            _ => None,
        };
        Call::new(&self.server, definition.name(), definition.digest())
            .arguments(arguments.map(RawText::get))
            .inputs(context.input_responses.as_ref(), context.request_state.as_deref())
    }

    /// Who takes the older signature of a call, where it has one and no statement.
    pub(super) fn older(
        &self,
        params: &CallToolRequestParams,
        statement: Option<&RawText>,
    ) -> Option<&LegacyCalls> {
        let suffices = self.policy.level != SecurityLevel::Strict && !self.always_signed();
        let taken = self.legacy.as_deref().filter(|_| suffices)?;
        (statement.is_none() && call::is_signed(params)).then_some(taken)
    }

    /// Checks the older signature of a call.
    pub(super) async fn check_older(
        &self,
        exchange: &mut Exchange,
        known: Option<&Known>,
        statement: Option<RawText>,
    ) -> Result<(), ErrorObject> {
        exchange.context.extensions.remove::<LegacySignedCall>();
        let ClientRequest::CallTool(params) = &exchange.request else { return Ok(()) };
        let Some(calls) = self.older(params, statement.as_ref()) else { return Ok(()) };
        // It names no definition, so it can be held against any tool.
        let definition = known.map(|known| self.definition(known)).transpose()?;
        let checked = match exchange.attempt() {
            0 => calls.check(params, &*self.replay, (self.clock)()).await,
            _ => calls.again(params),
        };
        match checked {
            Ok(Some(signed)) => exchange.context.extensions.insert(signed),
            Ok(None) => {}
            Err(error) => {
                let refusal = CallRefusal::Legacy(error);
                return Err(match definition {
                    Some(definition) => self.refuse(definition, refusal),
                    None => self.refuse_as(&params.name, None, refusal),
                });
            }
        }
        Ok(())
    }

    /// Lets a call through that has no statement and no tokens, where no gate stands.
    pub(super) fn admit(&self, exchange: &mut Exchange, known: &Known) -> Result<(), ErrorObject> {
        exchange.context.extensions.remove::<LegacySignedCall>();
        let admitted = self.enter(exchange, Some(known), None, None)?;
        self.note_call(exchange, known.name(), admitted.as_ref())
    }

    /// Enters the tool: signed where it must be, in a chain that is allowed. `None` for a tool that
    /// is not listed, which declares nothing.
    pub(super) fn enter(
        &self,
        exchange: &mut Exchange,
        known: Option<&Known>,
        signed: Option<SignedCall>,
        from: Option<Frame>,
    ) -> Result<Option<Admitted>, ErrorObject> {
        let Some(known) = known else {
            self.enter_unlisted(exchange)?;
            return Ok(None);
        };
        let definition = self.definition(known)?;
        let refuse = |refusal| self.refuse(definition, refusal);
        let older = exchange.context.extensions.get::<LegacySignedCall>();
        let is_signed = signed.is_some() || older.is_some();
        let must = self.always_signed() && !self.comes_from_within(&exchange.context);
        let against_rule = !is_signed && (must || demands_signature(definition));
        if against_rule && (must || self.refuses_unsigned()) {
            let tool = definition.name().to_owned();
            let error = refuse(CallRefusal::SignatureRequired { tool });
            return Err(unsigned(&exchange.context, error));
        }
        let caller = from.or_else(|| self.caller_of(&exchange.context));
        let member = known.member(&self.name, definition);
        let frame = self.frame(exchange, caller.as_ref(), member, Some(definition.digest()))?;
        let frame = frame.minting(self.minter.as_ref());
        let caller_is_a_tool = frame.caller().is_some();
        let extensions = &mut exchange.context.extensions;
        extensions.insert(frame);
        match &signed {
            Some(signed) => extensions.insert(signed.clone()),
            // What the client signed was the call of the tool that calls this one.
            None if caller_is_a_tool => _ = extensions.remove::<SignedCall>(),
            None => {}
        }
        Ok(Some(Admitted { definition: definition.clone(), signed, against_rule }))
    }

    /// The frame of a tool that is entered: judged and counted, the first time; what is only noted is
    /// noted.
    fn frame(
        &self,
        exchange: &Exchange,
        caller: Option<&Frame>,
        member: &Member,
        digest: Option<Digest>,
    ) -> Result<Frame, ErrorObject> {
        let session = session(&exchange.context);
        let now = (self.clock)();
        let mut noted = Vec::new();
        let frame = match exchange.attempt() {
            0 => {
                let note = |error| noted.push(error);
                self.chains.enter_noting(caller, member, &session, now, false, note)
            }
            // It was counted before.
            _ => self.chains.enter_again(caller, member),
        };
        let chained = |error: &ChainError| {
            let event = Event::new(error.kind().event()).severity(error.kind().severity());
            let mut event = self.of_chain(event, caller, member.tool(), &session);
            event.digest = digest;
            event
        };
        for error in &noted {
            self.note(&chained(error).detail(&format_args!("noted, not refused: {error}")))?;
        }
        frame.map_err(|error| {
            let event = chained(&error);
            self.refuse_with(event, CallRefusal::ChainDenied(error))
        })
    }

    /// Enters a tool that is not listed to who calls it. Nothing says what it declares, so nobody
    /// could sign its call; a tool that calls it is held to what that one declares, and so is what
    /// the hidden one calls in turn.
    fn enter_unlisted(&self, exchange: &mut Exchange) -> Result<(), ErrorObject> {
        let ClientRequest::CallTool(params) = &exchange.request else { return Ok(()) };
        let name = &params.name;
        if self.always_signed() {
            let why = "the tool is not listed to who calls it, and only signed calls are taken";
            return Err(self.no_tool(name, &why));
        }
        let caller = self.caller_of(&exchange.context);
        let frame = match &caller {
            // Whoever is outside chooses the name, which must not be remembered.
            None => Frame::anew(None, &self.undeclared(name, Vec::new()), self.chains.policy()),
            Some(_) if name.len() > RawTool::MAX_NAME => {
                let why = "the name is longer than that of a tool can be";
                return Err(self.no_tool(name, &why));
            }
            // It may be meant for more, of which nothing is known here: what called it is the bound.
            Some(caller) => {
                let member = self.undeclared(name, caller.member().scopes().to_vec());
                self.frame(exchange, Some(caller), &member, None)?
            }
        };
        let frame = frame.minting(self.minter.as_ref());
        let extensions = &mut exchange.context.extensions;
        extensions.insert(frame);
        // If something was signed, then the call of the tool that calls this one.
        extensions.remove::<SignedCall>();
        Ok(())
    }

    /// A tool of which nothing is known but its name, and what it may do at most.
    fn undeclared(&self, name: &str, scopes: Vec<Scope>) -> Member {
        Member::new(&self.name, name, Digest::of_bytes(b""), CallConstraints::default(), scopes)
    }

    /// Refuses what a call of a tool brings that nobody lists: neither a statement nor tokens can be
    /// held against a definition that is not known.
    pub(super) fn nothing_to_hold_to(&self, name: &str) -> ErrorObject {
        let why = "the tool is not listed to who calls it, so nothing shows what the call was \
                   signed for";
        self.no_tool(name, &why)
    }

    fn no_tool(&self, name: &str, why: &impl fmt::Display) -> ErrorObject {
        self.note_refused(name, why);
        let name = name.escape_debug();
        ErrorObject::invalid_params(format!(
            "there is no tool `{name}`, list the tools that there are"
        ))
    }

    /// Whether a tool of this very server calls, which was called with a signature itself.
    fn comes_from_within(&self, context: &RequestContext) -> bool {
        let caller = context.extensions.get::<Frame>();
        caller.is_some_and(|caller| caller.member().server() == self.name)
    }

    /// Has the gate decide about a call that was let in otherwise.
    pub(super) async fn pass_gate(
        &self,
        exchange: &Exchange,
        name: &str,
        known: Option<&Known>,
    ) -> Result<(), ErrorObject> {
        let Some(gate) = &self.gate else { return Ok(()) };
        let resource = match known.and_then(Known::definition) {
            Some(definition) => Resource::of(&self.name, definition, Status::Served),
            None => Resource::new(&self.name, name),
        };
        let extensions = &exchange.context.extensions;
        let caller = extensions.get::<Frame>().and_then(Frame::caller);
        let mut request = Request::of(exchange, resource, (self.clock)());
        request = request.called_by(caller, &self.name);
        request.context.side = Side::Server;
        request.context.level = Some(self.policy.level);
        let signed = extensions.get::<SignedCall>();
        request.subject.key = signed.map(|signed| signed.key);
        let refuse = |refusal| {
            let mut event = Event::new(EventKind::ToolRefused).on(&self.name, name);
            event.digest = request.resource.digest;
            event.kid = request.subject.key;
            self.refuse_with(event.severity(Severity::High), refusal)
        };
        let tool = || name.to_owned();
        match gate.decide(&request, exchange.context.runtime.as_ref()).await {
            Ok(permitted) => match permitted.obligations.contains(&Obligation::Sign) {
                true if signed.is_none() => {
                    Err(refuse(CallRefusal::SignatureRequired { tool: tool() }))
                }
                _ => Ok(()),
            },
            Err(_) => Err(refuse(CallRefusal::PermissionDenied { tool: tool() })),
        }
    }

    /// The frame of the tool that calls, if one does. A handler that this guard did not let in, such
    /// as a prompt's or that of a task that goes on in another process, has none: it gets one here.
    fn caller_of(&self, context: &RequestContext) -> Option<Frame> {
        if let Some(frame) = context.extensions.get::<Frame>() {
            return Some(frame.clone());
        }
        let CalledBy(name) = context.extensions.get()?;
        let known = self.declared.get(context, name);
        let tool = known.as_ref().and_then(|known| Some((known, known.definition()?)));
        let member = match tool {
            Some((known, definition)) => known.member(&self.name, definition).clone(),
            None => self.undeclared(name, Vec::new()),
        };
        Some(Frame::anew(None, &member, self.chains.policy()))
    }

    /// The frame of the tool of another server that calls, by its tokens.
    pub(super) async fn came_from(
        &self,
        tokens: &RawText,
        exchange: &Exchange,
        known: &Known,
        signer: Option<KeyId>,
    ) -> Result<Frame, ErrorObject> {
        let definition = self.definition(known)?;
        let call = self.call_in(exchange, definition);
        let check = TokenCheck {
            call: &call,
            signer,
            peers: &self.peers,
            replay: &*self.replay,
            strangers: &*self.strangers,
            now: (self.clock)(),
            again: exchange.attempt() > 0,
        };
        let checked = check.frame(tokens).await;
        checked.map_err(|error| self.refuse(definition, CallRefusal::ChainDenied(error)))
    }

    /// Adds the receipt to what a signed call came to.
    pub(super) fn acknowledge(
        &self,
        outcome: Outcome,
        admitted: Option<Admitted>,
    ) -> Result<Outcome, ErrorObject> {
        let (Some(signer), Some(Admitted { definition, signed: Some(signed), .. })) =
            (&self.receipts, admitted)
        else {
            return Ok(outcome);
        };
        let Outcome::Complete(ServerResult::CallTool(mut result)) = outcome else {
            return Ok(outcome);
        };
        let (name, digest) = (definition.name(), definition.digest());
        let receipt = Receipt::new(&self.server, name, digest, signed.key, &signed.id);
        // Without it a client that wants one refuses the result, so nothing is hidden.
        if let Ok(text) = receipt.sign(&result, signer, (self.clock)())
            && let Ok(text) = RawText::of(&text)
        {
            result.meta.get_or_insert_with(mcp_types::Meta::new).insert(wire::RECEIPT, text);
        }
        Ok(Outcome::Complete(ServerResult::CallTool(result)))
    }

    /// Notes a call that is let through; once, also where its handler is entered anew.
    pub(super) fn note_call(
        &self,
        exchange: &Exchange,
        name: &str,
        admitted: Option<&Admitted>,
    ) -> Result<(), ErrorObject> {
        if self.audit.is_none() || exchange.attempt() > 0 {
            return Ok(());
        }
        let event = Event::new(EventKind::ToolInvoked).severity(Severity::Low);
        let Some(admitted) = admitted else {
            let why = "the tool is not listed to who calls it, so no declaration was held to";
            let event = event.on(&self.name, name).severity(Severity::Medium).detail(&why);
            return self.note(&self.called_within(event, exchange, name));
        };
        let mut event = event.on(&self.name, admitted.definition.name());
        event.digest = Some(admitted.definition.digest());
        if let Some(signed) = &admitted.signed {
            event.kid = Some(signed.key);
            event = event.correlated(&signed.id);
        }
        if let Some(older) = exchange.context.extensions.get::<LegacySignedCall>() {
            event.kid = Some(older.key);
            let why = "signed by name, arguments and time alone, as the Python SDK does";
            event = event.severity(Severity::Medium).detail(&why);
        }
        if admitted.against_rule {
            let why = "the tool wants signed calls, and this server takes unsigned ones";
            event = event.severity(Severity::High).detail(&why);
        }
        self.note(&self.called_within(event, exchange, name))
    }

    /// The same event with the tool that called, if one did.
    fn called_within(&self, event: Event, exchange: &Exchange, name: &str) -> Event {
        let context = &exchange.context;
        match context.extensions.get::<Frame>().and_then(Frame::caller) {
            Some(caller) => self.of_chain(event, Some(caller), name, &session(context)),
            None => event,
        }
    }

    /// Notes an event before something is done.
    fn note(&self, event: &Event) -> Result<(), ErrorObject> {
        let Some((auditor, mode)) = &self.audit else { return Ok(()) };
        // Who calls is not told which file failed.
        audit::record(&**auditor, event, (self.clock)(), *mode).map(|_| ()).map_err(|_| {
            ErrorObject::internal(
                "the server's audit trail cannot be written, so nothing is called",
            )
        })
    }

    /// An event of a tool that is called by another, or from outside.
    fn of_chain(&self, event: Event, caller: Option<&Frame>, tool: &str, session: &str) -> Event {
        let depth = caller.map_or(1, |caller| caller.depth().saturating_add(1));
        let caller = caller.map(|caller| caller.member().name_on(&self.name));
        event.on(&self.name, tool).call(session, caller, tool, depth)
    }

    /// Notes a call that is refused for what this server cannot do.
    pub(super) fn note_refused(&self, name: &str, why: &impl fmt::Display) {
        let Some((auditor, _)) = &self.audit else { return };
        let event = Event::new(EventKind::ToolRefused).on(&self.name, name).detail(why);
        // The call is refused in any case.
        _ = auditor.record(&event, (self.clock)());
    }

    /// The definition of a tool that is called.
    fn definition<'a>(&self, known: &'a Known) -> Result<&'a ToolDefinition, ErrorObject> {
        known.definition().ok_or_else(|| {
            let why = "the tool's definition cannot be read, so it is not served";
            self.note_refused(known.name(), &why);
            ErrorObject::internal(why)
        })
    }

    /// Notes a call that is refused, and gives its error.
    fn refuse(&self, definition: &ToolDefinition, refusal: CallRefusal) -> ErrorObject {
        self.refuse_as(definition.name(), Some(definition.digest()), refusal)
    }

    fn refuse_as(&self, tool: &str, digest: Option<Digest>, refusal: CallRefusal) -> ErrorObject {
        let (kind, severity) = match &refusal {
            CallRefusal::NonceRequired { .. } => (EventKind::ToolRefused, Severity::Low),
            CallRefusal::SignatureRequired { .. } | CallRefusal::Stale { .. } => {
                (EventKind::ToolRefused, Severity::Medium)
            }
            CallRefusal::ChainDenied(error) => (error.kind().event(), error.kind().severity()),
            _ => (EventKind::SignatureFailed, Severity::High),
        };
        let mut event = Event::new(kind).severity(severity).on(&self.name, tool);
        event.digest = digest;
        self.refuse_with(event, refusal)
    }

    fn refuse_with(&self, event: Event, refusal: CallRefusal) -> ErrorObject {
        if let Some((auditor, _)) = &self.audit {
            let event = event.detail(&format_args!("{}: {refusal}", refusal.code()));
            // The call is refused in any case.
            _ = auditor.record(&event, (self.clock)());
        }
        refusal.into()
    }
}

/// Whose rate a call counts in: that of its user, by whoever vouches for them.
fn session(context: &RequestContext) -> String {
    let principal = context.extensions.get::<Principal>();
    principal.map(|one| qualified(&one.issuer, &one.subject)).unwrap_or_default()
}

fn demands_signature(definition: &ToolDefinition) -> bool {
    let signing = definition.block().map(|block| block.request_signing);
    signing == Some(RequestSigning::Required)
}

/// A client that does not know the extension is told so in the protocol's own way.
fn unsigned(context: &RequestContext, refusal: ErrorObject) -> ErrorObject {
    let declared = context.client_capabilities().extensions.unwrap_or_default();
    if declared.contains_key(wire::EXTENSION) {
        return refusal;
    }
    let data = json!({
        wire::ERROR_DATA: "SIGNATURE_REQUIRED",
        "requiredCapabilities": { "extensions": { wire::EXTENSION: {} } },
    });
    let code = mcp_types::error::codes::MISSING_CLIENT_CAPABILITY;
    let message = format!(
        "{}; a client with the extension `{}` does so once it has a key",
        refusal.message,
        wire::EXTENSION
    );
    ErrorObject::new(code, message).with_data(&data)
}
