//! The layer that answers what a server asks before it can answer.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use mcp_types::{
    ClientCapabilities, ClientRequest, CreateMessageResult, ElicitAction, ElicitRequestParams,
    ElicitResult, ErrorObject, Exchange, ExchangeFuture, ExchangeService, InputHandler,
    InputRequest, InputRequiredResult, Lease, ListRootsResult, Members, Origin, Outcome, RawText,
};
use tower_layer::Layer;
use tower_service::Service;

use crate::together::together;

mod form;
mod handler;

pub use form::Form;
pub use handler::Inputs;

/// Answers what the server asks in the middle of a request, and sends the request again with the
/// answers (specification, "Multi Round-Trip Requests").
///
/// All questions of a round are put to the handler at once; the round is over when all are
/// answered. What the server wants back with the answers goes back as it came, unread. The layer
/// declares what its handler can do on each exchange, so that servers know what they may ask.
/// Whether the server asks in the way of newer or of older revisions makes no difference here; but
/// older ones are told once, with the first request of a connection, what their client can do, so
/// the layer has to stand there by then.
///
/// - An answer that does not fit its question ends the request with an error of this process.
/// - A form or page that the handler cannot show is told to the server as cancelled. Other
///   questions that it cannot answer stay without an answer, and the server decides what becomes
///   of the request; when it insists, the request ends with the handler's error.
/// - A question that this layer did not declare, but whoever stands above did, goes to them: the
///   request's outcome is then "input required".
///
/// ```
/// # use mcp_client::types::ExchangeService;
/// use mcp_client::{Client, InputLayer, Inputs};
/// use mcp_client::types::Root;
///
/// # fn example(connection: impl ExchangeService) {
/// let inputs = Inputs::new()
///     .elicit(|form| async move {
///         println!("{}", form.message());
///         form.accept_with_defaults()
///     })
///     .roots(|| async { Ok(vec![Root::new("file:///home/ada/work")]) });
/// let client = Client::new(connection).layer(InputLayer::new(inputs));
/// # }
/// ```
#[derive(Clone)]
pub struct InputLayer {
    shared: Arc<Shared>,
}

struct Shared {
    handler: Arc<dyn InputHandler>,
    capabilities: ClientCapabilities,
    declared: Option<RawText>,
    rounds: u32,
}

impl InputLayer {
    /// A layer that answers by `inputs`, and declares what they can do.
    pub fn new(inputs: Inputs) -> Self {
        let capabilities = inputs.capabilities();
        Self::with(Arc::new(inputs), capabilities)
    }

    /// A layer that answers by a handler of your own, which can do what `capabilities` say.
    pub fn with(handler: Arc<dyn InputHandler>, capabilities: ClientCapabilities) -> Self {
        let declared = RawText::of(&capabilities).ok();
        Self { shared: Arc::new(Shared { handler, capabilities, declared, rounds: 10 }) }
    }

    /// How many rounds of questions one request may take; 10 by default.
    #[must_use]
    pub fn rounds(self, most: u32) -> Self {
        let Shared { handler, capabilities, declared, .. } = &*self.shared;
        let (handler, capabilities) = (handler.clone(), capabilities.clone());
        let declared = declared.clone();
        Self { shared: Arc::new(Shared { handler, capabilities, declared, rounds: most }) }
    }
}

impl InputLayer {
    /// Answers questions that came another way than as a request's outcome.
    pub(crate) async fn answer(
        &self,
        questions: BTreeMap<String, InputRequest>,
    ) -> Result<(Members, Option<ErrorObject>), ErrorObject> {
        self.shared.answer(questions).await
    }
}

impl std::fmt::Debug for InputLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InputLayer")
            .field("capabilities", &self.shared.capabilities)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for InputLayer {
    type Service = Answering<S>;

    fn layer(&self, inner: S) -> Answering<S> {
        Answering { inner, layer: self.clone() }
    }
}

/// A service whose questions are answered; made by [`InputLayer`].
#[derive(Debug, Clone)]
pub struct Answering<S> {
    inner: S,
    layer: InputLayer,
}

impl<S: ExchangeService> Service<Exchange> for Answering<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Exchange) -> ExchangeFuture {
        let shared = self.layer.shared.clone();
        let above = exchange.context.declared().is_some();
        let above = if above { exchange.context.client_capabilities() } else { Default::default() };
        if let Some(declared) = &shared.declared {
            exchange.context.declare(declared);
        }
        if !can_be_asked(&exchange.request) {
            return Box::pin(self.inner.call(exchange));
        }
        // Whoever calls may turn away while a question is open; what waits for it ends then.
        let ours = exchange.context.extensions.get::<Lease>().is_none();
        if ours {
            exchange.context.extensions.insert(Lease::new());
        }
        let again = exchange.clone();
        let first = self.inner.call(exchange);
        let service = self.inner.clone();
        Box::pin(async move {
            let asked = match first.await? {
                Outcome::InputRequired(asked) => asked,
                done => return Ok(done),
            };
            let outcome = fulfil(service, shared, &again, asked, &above).await;
            if let (true, Ok(Outcome::InputRequired(_))) = (ours, &outcome) {
                // Whoever stands above brings the answers.
                again.context.extensions.get::<Lease>().into_iter().for_each(Lease::release);
            }
            outcome
        })
    }
}

/// The requests that a server may answer with questions (specification, "Supported Requests").
fn can_be_asked(request: &ClientRequest) -> bool {
    use ClientRequest::{CallTool, GetPrompt, ReadResource};
    matches!(request, CallTool(_) | GetPrompt(_) | ReadResource(_))
}

/// How many questions one round may have: each may open a window before a person.
const MOST_QUESTIONS: usize = 32;

async fn fulfil<S: ExchangeService>(
    mut service: S,
    shared: Arc<Shared>,
    template: &Exchange,
    mut asked: InputRequiredResult,
    above: &ClientCapabilities,
) -> Result<Outcome, ErrorObject> {
    let mut silent = false;
    for _ in 0..shared.rounds {
        let questions = asked.input_requests.take().unwrap_or_default();
        let ours = |question: &InputRequest| covers(&shared.capabilities, question);
        if questions.values().any(|question| !ours(question) && covers(above, question)) {
            asked.input_requests = Some(questions);
            return Ok(Outcome::InputRequired(asked));
        }
        if questions.len() > MOST_QUESTIONS {
            let text = format!("the server asks {} questions at once", questions.len());
            return Err(ErrorObject::local(Origin::Refused, text));
        }
        let had_questions = !questions.is_empty();
        let (answers, refusal) = shared.answer(questions).await?;
        if let Some(refusal) = refusal.filter(|_| answers.is_empty()) {
            if silent {
                return Err(refusal);
            }
            silent = true;
        }
        // A request of its own: a new name, so that whatever decides once per exchange looks again.
        let mut exchange = Exchange::new(template.request.clone());
        exchange.context = template.context.clone();
        exchange.notifier = template.notifier.clone();
        exchange.context.input_responses = had_questions.then_some(answers);
        exchange.context.request_state = asked.request_state.take();
        poll_fn(|cx| service.poll_ready(cx)).await?;
        asked = match service.call(exchange).await? {
            Outcome::InputRequired(asked) => asked,
            done => return Ok(done),
        };
    }
    let text = format!(
        "the server asked for input {} times and did not answer the request, try it anew",
        shared.rounds
    );
    Err(ErrorObject::local(Origin::Refused, text))
}

impl Shared {
    /// Puts all questions to the handler at once; gives the answers, and why one is missing.
    async fn answer(
        &self,
        questions: BTreeMap<String, InputRequest>,
    ) -> Result<(Members, Option<ErrorObject>), ErrorObject> {
        let (mut asked, mut asking, mut refusal) = (Vec::new(), Vec::new(), None);
        for (key, question) in questions {
            if !covers(&self.capabilities, &question) {
                refusal = Some(undeclared(&question));
                continue;
            }
            asked.push((key, question.clone()));
            asking.push(self.handler.handle(question));
        }
        let mut answers = Members::new();
        let answered = together(asking, None).await.into_iter().flatten();
        for ((key, question), answer) in asked.into_iter().zip(answered) {
            let answer = match (answer, &question) {
                (Ok(answer), question) => fitting(&key, question, answer)?,
                (Err(error), InputRequest::Elicit(_)) => {
                    // The server hears of a user who closed the form; only a log tells the rest.
                    tracing::warn!(question = key, %error, "a question could not be answered");
                    text_of(&ElicitResult::new(ElicitAction::Cancel))?
                }
                (Err(error), _) => {
                    refusal = Some(error);
                    continue;
                }
            };
            answers.insert(key, answer);
        }
        Ok((answers, refusal))
    }
}

/// Whether somebody who declares `capabilities` may be asked this.
fn covers(capabilities: &ClientCapabilities, question: &InputRequest) -> bool {
    match question {
        InputRequest::CreateMessage(_) => capabilities.sampling.is_some(),
        InputRequest::ListRoots(_) => capabilities.roots.is_some(),
        InputRequest::Elicit(params) => capabilities.elicitation.as_ref().is_some_and(|modes| {
            match params {
                ElicitRequestParams::Url(_) => modes.url.is_some(),
                // An empty declaration means forms.
                _ => modes.form.is_some() || modes.url.is_none(),
            }
        }),
        _ => false,
    }
}

fn undeclared(question: &InputRequest) -> ErrorObject {
    let text = format!(
        "the server asks for `{}`, which this client did not declare; add it to the input layer",
        question.method()
    );
    ErrorObject::local(Origin::Refused, text)
}

/// The answer as it goes out, if it answers the question.
fn fitting(key: &str, question: &InputRequest, answer: RawText) -> Result<RawText, ErrorObject> {
    let unfit = |error: mcp_types::DecodeError| {
        let text = format!("the answer to `{}` does not fit: {error}", question.method());
        ErrorObject::local(Origin::Refused, format!("{text} (question `{}`)", key.escape_debug()))
    };
    match question {
        InputRequest::CreateMessage(_) => {
            answer.parse::<CreateMessageResult>().map(|_| answer).map_err(unfit)
        }
        InputRequest::ListRoots(_) => {
            answer.parse::<ListRootsResult>().map(|_| answer).map_err(unfit)
        }
        InputRequest::Elicit(params) => {
            let mut result: ElicitResult = answer.parse().map_err(unfit)?;
            match params {
                ElicitRequestParams::Form(form) if result.action == ElicitAction::Accept => {
                    let content = result.content.get_or_insert_default();
                    if let Some(error) = form.requested_schema.check(content).pop() {
                        return Err(unfit(error.within("content")));
                    }
                    text_of(&result)
                }
                // A page is answered outside of the protocol, and no is no.
                _ if result.content.take().is_some() => text_of(&result),
                _ => Ok(answer),
            }
        }
        _ => Ok(answer),
    }
}

fn text_of(result: &impl serde::Serialize) -> Result<RawText, ErrorObject> {
    RawText::of(result).map_err(|error| ErrorObject::internal(error.to_string()))
}
