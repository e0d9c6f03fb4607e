//! Signing calls, and what the server says to signed ones.

use std::sync::Arc;

use mcp_types::{ClientRequest, ErrorObject, Exchange, Origin, Outcome, RawText, ServerResult};
use serde::Deserialize;

use super::{Review, Verifying, WriteOlder, internal, refused};
use crate::approval::Approved;
use crate::chain::{Frame, Member};
use crate::definition::ToolDefinition;
use crate::digest::Digest;
use crate::event::{Event, EventKind, Severity};
use crate::identity::ServerIdentity;
use crate::key::{Algorithm, KeyId};
use crate::legacy::call;
use crate::level::{self, CallAttestation};
use crate::nonce;
use crate::proof::Signer;
use crate::receipt::{Receipt, ReceiptError};
use crate::request::{Call, TokenBinding};
use crate::verify::stands_for;
use crate::wire::{self, RequestSigning};

/// A call that was signed.
pub(super) struct Sent {
    server: ServerIdentity,
    caller: KeyId,
    id: String,
    /// The statements of earlier rounds of the same call: where a session keeps the call open, its
    /// receipt is for the one that began it.
    earlier: Vec<String>,
}

/// How many calls that wait for answers are remembered, and how many rounds of each.
const WAITING: (usize, usize) = (64, 16);

impl Verifying {
    /// Signs a call where the tool or the policy wants it.
    pub(super) fn sign(
        &self,
        exchange: &mut Exchange,
        approved: &Approved<ToolDefinition>,
        review: &Review,
        must: bool,
    ) -> Result<Option<Sent>, ErrorObject> {
        if !self.wants_signature(approved, must) {
            return Ok(None);
        }
        let caller = &self.caller_key()?;
        self.accepted_by_server(caller.verifying_key().algorithm())?;
        let server = self.audience(review);
        let nonce = self.state().nonce.clone();
        let ClientRequest::CallTool(params) = &exchange.request else { return Ok(None) };
        let context = &exchange.context;
        let (statement, id) = Call::new(&server, approved.name(), approved.digest())
            .arguments(params.arguments.as_ref().map(|text| text.get()))
            .inputs(context.input_responses.as_ref(), context.request_state.as_deref())
            .nonce(nonce.as_deref())
            .token(context.extensions.get::<TokenBinding>())
            .sign_with_id(caller, (self.clock)())
            .map_err(|error| ErrorObject::local(Origin::Refused, error.to_string()))?;
        let statement = RawText::of(&statement).map_err(|error| internal(&error))?;
        exchange.context.meta.insert(wire::CALL, statement);
        self.sign_older(exchange)?;
        let earlier = self.rounds_of(exchange.context.request_state.as_deref());
        Ok(Some(Sent { server, caller: caller.verifying_key().id(), id, earlier }))
    }

    /// Refuses to send what the server says that it does not take.
    fn accepted_by_server(&self, algorithm: Algorithm) -> Result<(), ErrorObject> {
        let state = self.state();
        if state.capability.known().is_none_or(|one| one.accepts(algorithm)) {
            return Ok(());
        }
        let why = format!(
            "the server does not take calls that are signed with {}, give the client another key, \
             such as one for EdDSA",
            algorithm.name()
        );
        Err(refused("SIGNATURE_REQUIRED", &why))
    }

    /// The key that signs calls, made now where it is made on need.
    fn caller_key(&self) -> Result<Arc<dyn Signer>, ErrorObject> {
        let Some(key) = &self.caller else {
            let why = "the call has to be signed, give the client a key";
            return Err(refused("SIGNATURE_REQUIRED", why));
        };
        key().map_err(|error| {
            let why = format!("the call has to be signed, and there is no key for it: {error}");
            refused("SIGNATURE_REQUIRED", &why)
        })
    }

    fn wants_signature(&self, approved: &Approved<ToolDefinition>, must: bool) -> bool {
        let policy = self.approvals.policy();
        let signing = approved.block().map(|block| block.request_signing);
        must || signing == Some(RequestSigning::Required)
            || policy.call_attestation == CallAttestation::Always
            || self.is_asked_to_sign(policy.receipt)
    }

    /// Whether the server says that it takes signed calls alone, or gives the receipts that the
    /// policy wants of who gives some.
    fn is_asked_to_sign(&self, receipt: level::Receipt) -> bool {
        let state = self.state();
        state.wants_signed
            || receipt == level::Receipt::RequiredIfAdvertised && state.gives_receipts
    }

    /// The statements of the call that goes on with this state.
    fn rounds_of(&self, state: Option<&str>) -> Vec<String> {
        let Some(digest) = state.map(|state| Digest::of_bytes(state.as_bytes())) else {
            return Vec::new();
        };
        let state = self.state();
        let waiting = state.waiting.iter().find(|(waits, _)| *waits == digest);
        waiting.map(|(_, rounds)| rounds.clone()).unwrap_or_default()
    }

    /// Remembers the statements of a call that waits for answers.
    fn keep_rounds(&self, state: &str, sent: &Sent) {
        let mut rounds = sent.earlier.clone();
        rounds.push(sent.id.clone());
        rounds.truncate(WAITING.1);
        let digest = Digest::of_bytes(state.as_bytes());
        let waiting = &mut self.state().waiting;
        waiting.retain(|(waits, _)| *waits != digest);
        if waiting.len() == WAITING.0 {
            waiting.pop_front();
        }
        waiting.push_back((digest, rounds));
    }

    /// Signs as the Python SDK's README says as well, for a server that knows nothing else.
    fn sign_older(&self, exchange: &mut Exchange) -> Result<(), ErrorObject> {
        let Some((signer, when)) = &self.older else { return Ok(()) };
        if *when == WriteOlder::WhenListed && !self.state().takes_older {
            return Ok(());
        }
        let ClientRequest::CallTool(params) = &mut exchange.request else { return Ok(()) };
        call::sign(params, signer, (self.clock)())
            .map_err(|error| ErrorObject::local(Origin::Refused, error.to_string()))
    }

    /// Holds a call that a tool of another server makes to what that tool declares, and sends its
    /// call token along.
    pub(super) fn in_chain(
        &self,
        exchange: &mut Exchange,
        approved: &Approved<ToolDefinition>,
        review: &Review,
        must_sign: bool,
    ) -> Result<(), ErrorObject> {
        let Some(frame) = exchange.context.extensions.get::<Frame>().cloned() else {
            return Ok(());
        };
        let server = self.audience(review);
        let callee = Member::of(&server.to_string(), approved);
        frame.may_call(&callee).map_err(|error| {
            let event = Event::new(error.kind().event()).severity(error.kind().severity());
            let event = event.on(&self.server, approved.name());
            let event = event.call("", Some(frame.tool()), approved.name(), frame.depth() + 1);
            // The call is refused in any case.
            _ = self.note(&event.detail(&error), (self.clock)());
            refused("CHAIN_DENIED", &format!("the call is not allowed: {error}"))
        })?;
        let now = (self.clock)();
        let ClientRequest::CallTool(params) = &exchange.request else { return Ok(()) };
        let context = &exchange.context;
        let call = Call::new(&server, approved.name(), approved.digest())
            .arguments(params.arguments.as_ref().map(RawText::get))
            .inputs(context.input_responses.as_ref(), context.request_state.as_deref());
        let signer = match self.wants_signature(approved, must_sign) {
            true => Some(self.caller_key()?.verifying_key().id()),
            false => None,
        };
        let token = frame.token(&call, signer, now);
        let token =
            token.map_err(|error| ErrorObject::local(Origin::Refused, error.to_string()))?;
        if let Some(token) = token {
            exchange.context.meta.insert(wire::CHAIN, token);
        }
        Ok(())
    }

    /// The server by the name that it knows itself by.
    fn audience(&self, review: &Review) -> ServerIdentity {
        if let Ok(verified) = review.verification() {
            return verified.server().clone();
        }
        let state = self.state();
        // It names itself; what is signed for it must count nowhere else.
        let named = state.possession.as_ref().map(|possession| possession.server());
        let named = named.filter(|named| stands_for(named, &self.peer.identity));
        named.unwrap_or(&self.peer.identity).clone()
    }

    /// Says in the exchange which access token goes along with a call that is signed.
    pub(super) async fn name_token(
        &self,
        exchange: &mut Exchange,
        approved: &Approved<ToolDefinition>,
        must: bool,
    ) -> Option<TokenBinding> {
        let token = self.token.as_ref().filter(|_| self.wants_signature(approved, must))?;
        let binding = token().await?;
        exchange.context.extensions.insert(binding.clone());
        Some(binding)
    }

    /// Whether a signed call was refused that named another access token than the one that goes along
    /// by now: its own was renewed, or got, on the way.
    pub(super) async fn has_other_token(
        &self,
        error: &ErrorObject,
        named: Option<&TokenBinding>,
    ) -> bool {
        #[derive(Deserialize)]
        struct Data {
            #[serde(rename = "dev.etdi/etdi")]
            code: String,
        }
        let Some(token) = &self.token else { return false };
        let data = error.data.as_ref().filter(|_| error.origin == Origin::Service);
        let refused = matches!(data.map(|data| data.parse()), Some(Ok(Data { code })) if code == "SIGNATURE_INVALID");
        refused && token().await.is_some_and(|now| Some(&now) != named)
    }

    /// Keeps the nonce that the server wants to see; `false` when it wants none.
    pub(super) fn keep_nonce(&self, error: &ErrorObject) -> bool {
        #[derive(Deserialize)]
        struct Data {
            #[serde(rename = "dev.etdi/etdi")]
            code: String,
            #[serde(rename = "dev.etdi/nonce")]
            nonce: String,
        }
        let data = error.data.as_ref().filter(|_| error.origin == Origin::Service);
        let Some(Ok(Data { code, nonce })) = data.map(|data| data.parse()) else { return false };
        let fits = code == "NONCE_REQUIRED" && nonce.len() <= nonce::MAX_LENGTH;
        if fits {
            self.state().nonce = Some(nonce);
        }
        fits
    }

    /// Holds the answer to a signed call against its receipt, as the policy wants it.
    pub(super) fn check_receipt(
        &self,
        outcome: Outcome,
        sent: Option<&Sent>,
        approved: &Approved<ToolDefinition>,
        review: &Review,
    ) -> Result<Outcome, ErrorObject> {
        let wanted = self.approvals.policy().receipt;
        if let (Some(sent), Outcome::InputRequired(asked)) = (sent, &outcome)
            && let Some(state) = &asked.request_state
        {
            self.keep_rounds(state, sent);
        }
        let (Some(sent), Outcome::Complete(ServerResult::CallTool(result))) = (sent, &outcome)
        else {
            return Ok(outcome);
        };
        if wanted == level::Receipt::Ignored {
            return Ok(outcome);
        }
        let receipt = result.meta.as_ref().and_then(|meta| meta.get(wire::RECEIPT));
        let (possession, advertised) = {
            let state = self.state();
            (state.possession.as_ref().map(|proven| proven.key()), state.gives_receipts)
        };
        let checked = match receipt {
            Some(text) => {
                let (name, digest) = (approved.name(), approved.digest());
                let attested = review.verification().ok().map(|verified| verified.key());
                let is_servers = |key| possession == Some(key) || attested == Some(key);
                let text = text.parse::<String>().map_err(|_| ReceiptError::Other("form"));
                let check = |text: &str, id: &str| {
                    let call = Receipt::new(&sent.server, name, digest, sent.caller, id);
                    call.check(text, result, is_servers).map(|_| ())
                };
                text.and_then(|text| {
                    let earlier = || sent.earlier.iter().any(|id| check(&text, id).is_ok());
                    check(&text, &sent.id).or_else(|error| match earlier() {
                        true => Ok(()),
                        false => Err(error),
                    })
                })
            }
            None if advertised && wanted == level::Receipt::RequiredIfAdvertised => {
                Err(ReceiptError::Missing)
            }
            None => Ok(()),
        };
        let Err(error) = checked else { return Ok(outcome) };
        let event = Event::new(EventKind::SignatureFailed).of_approval(approved.approval());
        let event = event.severity(Severity::Critical).correlated(&sent.id).detail(&error);
        // The result is withheld in any case.
        _ = self.note(&event, (self.clock)());
        let message = format!("the call was made, and its result is withheld: {error}");
        Err(refused(error.code(), &message))
    }
}
