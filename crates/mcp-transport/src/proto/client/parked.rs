//! Questions of a legacy server in the middle of a call.
//!
//! The call's exchange ends as "input required", with a request state that names the call; the call
//! itself stays in flight. An exchange with that state brings the answers and goes on waiting, so
//! that what the server did before it asked happens once.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Instant;

use mcp_types::wire;
use mcp_types::{
    ErrorObject, Exchange, ExchangeId, InputRequest, InputRequiredResult, Members, Origin, Outcome,
    RawText, RequestId,
};

use super::{ClientConn, Entry, Phase};
use crate::proto::server::RefusedInputs;

/// How many calls may be parked at once, and how many more questions may wait behind one.
const MOST: usize = 64;

/// How many bytes all questions that wait behind others may have together.
const MOST_BYTES: usize = 16 << 20;

/// A call of which the server waits for an answer, and nobody here waits for the call.
#[derive(Debug)]
pub(super) struct Parked {
    entry: Entry,
    /// The server's requests, by the key under which their answers come.
    questions: Vec<(String, RequestId)>,
    /// What the server asked while the call was parked already; asked in the next round.
    later: Vec<Asked>,
    /// The call's own answer, if it came while nobody waited.
    answer: Option<Result<RawText, ErrorObject>>,
    pub(super) deadline: Instant,
}

/// A question of the server.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: RequestId,
    pub(super) question: InputRequest,
    /// How long it is.
    pub(super) bytes: usize,
}

impl ClientConn {
    /// Ends the call in flight to which a question of the server belongs.
    pub(super) fn park(
        &mut self,
        now: Instant,
        asked: Asked,
        stream: Option<&RequestId>,
    ) -> Result<(), ErrorObject> {
        if !matches!(self.phase, Phase::Legacy(..)) {
            return Err(ErrorObject::method_not_found(asked.question.method()));
        }
        let later = self.parked.values().flat_map(|parked| &parked.later);
        let kept = later.map(|asked| asked.bytes).sum::<usize>();
        // On a shared stream a question names no call; the latest that can be asked has it.
        let named = |entry: &Entry| stream.is_none_or(|stream| entry.request == *stream);
        let asking = self.pending.exchanges().into_iter().filter(|exchange| {
            let method = self
                .pending
                .get(*exchange)
                .filter(|entry| !entry.parked && named(entry))
                .map(|entry| &*entry.method);
            matches!(method, Some("tools/call" | "prompts/get" | "resources/read"))
        });
        let Some(exchange) = asking.max() else {
            let parked = self.parked.values_mut().filter(|parked| named(&parked.entry));
            let Some(parked) = parked.max_by_key(|parked| parked.deadline) else {
                return self.ask_peer(asked.id, asked.question);
            };
            if parked.later.len() >= MOST || kept + asked.bytes > MOST_BYTES {
                return Err(ErrorObject::internal("too many questions wait for an answer already"));
            }
            parked.later.push(asked);
            return Ok(());
        };
        if self.parked.len() >= MOST {
            return Err(ErrorObject::internal("too many calls wait for an answer already"));
        }
        let Some(entry) = self.remove(exchange) else { return Ok(()) };
        let Asked { id, question, .. } = asked;
        let key = format!("{}-{}", question.method(), id);
        let state = nonce();
        let mut asked = InputRequiredResult::new();
        asked.input_requests = Some([(key.clone(), question)].into());
        asked.request_state = Some(state.clone());
        let deadline = now + self.config.parked_timeout;
        // The call goes on at the server: its answer has to be known when it comes.
        self.keep_parked(exchange, &entry);
        let parked =
            Parked { entry, questions: vec![(key, id)], later: Vec::new(), answer: None, deadline };
        self.parked.insert(state, parked);
        self.completed(exchange, Ok(Outcome::InputRequired(asked)));
        Ok(())
    }

    /// A parked call stays in flight under its id, for nobody.
    fn keep_parked(&mut self, exchange: ExchangeId, entry: &Entry) {
        let entry = Entry {
            request: entry.request.clone(),
            method: entry.method.clone(),
            is_subscription: false,
            token: None,
            deadline: None,
            latest: None,
            parked: true,
            verbatim: None,
        };
        let request = entry.request.clone();
        self.pending.insert(Some(request), exchange, entry);
    }

    /// Takes the answer of a parked call; says whether it is one.
    pub(super) fn parked_answer(
        &mut self,
        id: &RequestId,
        answer: &Result<RawText, ErrorObject>,
    ) -> bool {
        let parked = self.parked.values_mut().find(|parked| parked.entry.request == *id);
        let Some(parked) = parked else { return false };
        parked.answer = Some(answer.clone());
        true
    }

    /// Lets an exchange that brings answers go on with its parked call; gives back any other.
    pub(super) fn unpark(&mut self, now: Instant, mut exchange: Exchange) -> Option<Exchange> {
        let state = exchange.context.request_state.as_ref();
        let Some(parked) = state.and_then(|state| self.parked.remove(state)) else {
            if exchange.context.request_state.take().is_some() {
                let text = "the call that asked for input is gone; call again";
                self.completed(exchange.id(), Err(ErrorObject::local(Origin::Timeout, text)));
                return None;
            }
            return Some(exchange);
        };
        let answers = exchange.context.input_responses.take().unwrap_or_default();
        let refused = exchange.context.extensions.get::<RefusedInputs>();
        self.answer_questions(&parked, &answers, refused);
        let verbatim = exchange.context.extensions.get_shared();
        let Parked { mut entry, answer, later, .. } = parked;
        let token = exchange.context.progress_token.take();
        entry.token = entry.token.map(|told| token.unwrap_or(told));
        entry.verbatim = verbatim;
        if let Some(other) = self.pending.exchange(&entry.request) {
            self.remove(other);
        }
        match answer {
            Some(answer) => {
                let result = self.read(&entry, answer);
                self.completed(exchange.id(), result);
            }
            None => {
                // What the person took to answer is not the server's time.
                (entry.deadline, entry.latest) =
                    (None, self.config.longest_request.map(|longest| now + longest));
                let request = entry.request.clone();
                self.pending.insert(Some(request.clone()), exchange.id(), entry);
                self.stay(now, exchange.id());
                for asked in later {
                    let id = asked.id.clone();
                    if let Err(error) = self.park(now, asked, Some(&request)) {
                        self.outbox.push(None, |out| wire::encode_error(out, Some(&id), &error));
                    }
                }
            }
        }
        None
    }

    fn answer_questions(
        &mut self,
        parked: &Parked,
        answers: &Members,
        refused: Option<&RefusedInputs>,
    ) {
        for (key, id) in &parked.questions {
            let refused = refused.and_then(|refused| refused.get(key));
            self.outbox.push(None, |out| match (answers.get(key), refused) {
                (Some(answer), _) => {
                    let _ = wire::encode_result(out, id, answer);
                }
                (None, Some(error)) => wire::encode_error(out, Some(id), &error),
                (None, None) => {
                    let error = ErrorObject::invalid_request("the client has no answer to this");
                    wire::encode_error(out, Some(id), &error);
                }
            });
        }
    }

    /// A server that takes a question back wants no answer to it any more.
    pub(super) fn question_withdrawn(&mut self, id: &RequestId) {
        for parked in self.parked.values_mut() {
            parked.questions.retain(|(_, question)| question != id);
            parked.later.retain(|asked| asked.id != *id);
        }
    }

    /// Gives up parked calls whose answers did not come.
    pub(super) fn expire_parked(&mut self, now: Instant) {
        let expired: Vec<Parked> = self
            .parked
            .extract_if(|_, parked| parked.deadline <= now)
            .map(|(_, parked)| parked)
            .collect();
        for parked in expired {
            self.give_up(parked);
        }
    }

    /// Whether a call waits under this request state.
    pub fn is_parked(&self, state: &str) -> bool {
        self.parked.contains_key(state)
    }

    /// Gives a parked call up, if it still waits: nobody will bring the answers.
    pub fn abandon(&mut self, state: &str) {
        if let Some(parked) = self.parked.remove(state) {
            self.give_up(parked);
        }
    }

    fn give_up(&mut self, parked: Parked) {
        self.answer_questions(&parked, &Members::new(), None);
        if let Some(exchange) = self.pending.exchange(&parked.entry.request) {
            self.remove(exchange);
        }
        if parked.answer.is_none() {
            self.tell_cancelled(parked.entry.request);
        }
    }
}

/// A name that nobody guesses: through a gateway, strangers could send it back.
fn nonce() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("parked-{:016x}{:016x}", random(), random())
}
