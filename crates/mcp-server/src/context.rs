//! What a running tool can see and do: state, progress, log, questions to the client.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use mcp_types::error::codes;
use mcp_types::{
    ElicitRequestFormParams, ElicitRequestParams, ElicitResult, ErrorObject, InputRequest,
    InputRequiredResult, LoggingLevel, LoggingMessageNotificationParams, Members, Notifier,
    Outcome, ProgressNotificationParams, RawText, RequestContext, ServerNotification,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Suspended;
use crate::tool::Call;

/// One call, as its tool sees it. `S` is the server's state.
///
/// A clone is another handle to the same call. Cancellation needs no word here: a cancelled call
/// is a dropped future, so an `async` tool stops at its next `.await`.
///
/// ```
/// use mcp_server::{Context, ToolError, tool, types::LoggingLevel};
///
/// /// Counts to `n`.
/// #[tool]
/// async fn count(cx: Context, n: u32) -> Result<String, ToolError> {
///     for step in 1..=n {
///         cx.progress(step, f64::from(n)).await;
///     }
///     cx.log(LoggingLevel::Info, "counted").await;
///     Ok(format!("counted to {n}"))
/// }
/// ```
pub struct Context<S = ()> {
    state: Arc<S>,
    shared: Arc<Shared>,
}

/// What all handles to one call have in common.
struct Shared {
    tool: String,
    request: RequestContext,
    notifier: Notifier,
    /// The last progress as bits of an `f64`: it may only grow.
    progress: AtomicU64,
    asked: Mutex<Asked>,
}

/// What the tool asked of the client, and what went wrong while it asked.
#[derive(Default)]
struct Asked {
    questions: BTreeMap<String, InputRequest>,
    failure: Option<ErrorObject>,
}

impl<S> Context<S> {
    pub(crate) fn new(call: Call<S>) -> (Self, Option<RawText>) {
        let Call { tool, arguments, request, notifier, state } = call;
        let progress = AtomicU64::new(f64::NEG_INFINITY.to_bits());
        let asked = Mutex::default();
        let shared = Shared { tool, request, notifier, progress, asked };
        (Self { state, shared: Arc::new(shared) }, arguments)
    }

    /// The server's state.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The server's state, shared.
    pub fn shared_state(&self) -> &Arc<S> {
        &self.state
    }

    /// The name under which the tool was called.
    pub fn tool(&self) -> &str {
        &self.shared.tool
    }

    /// The envelope of the request: who asks, what the client can do, what it sent along.
    pub fn request(&self) -> &RequestContext {
        &self.shared.request
    }

    /// What an outer layer put into the exchange, such as the proven identity of the caller.
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.shared.request.extensions.get()
    }

    /// The same call without the state, for tools that serve under any state.
    pub(crate) fn stateless(&self) -> Context {
        static NO_STATE: LazyLock<Arc<()>> = LazyLock::new(Arc::default);
        Context { state: NO_STATE.clone(), shared: self.shared.clone() }
    }

    /// Tells the client how far the call is: `done` of `total`, or of nobody knows how much.
    ///
    /// Nothing is sent when the client did not ask, or when `done` did not grow (specification,
    /// "Progress"). It waits while the client reads slowly.
    pub async fn progress(&self, done: impl Into<f64>, total: impl Into<Option<f64>>) {
        self.report(done.into(), total.into(), None).await;
    }

    /// The same with a sentence for people.
    pub async fn progress_with(
        &self,
        done: impl Into<f64>,
        total: impl Into<Option<f64>>,
        message: impl Into<String>,
    ) {
        self.report(done.into(), total.into(), Some(message.into())).await;
    }

    async fn report(&self, done: f64, total: Option<f64>, message: Option<String>) {
        let Some(token) = &self.shared.request.progress_token else { return };
        let grown =
            self.shared.progress.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                (done > f64::from_bits(last)).then_some(done.to_bits())
            });
        if grown.is_err() || !done.is_finite() {
            return;
        }
        let mut params = ProgressNotificationParams::new(done, token.clone());
        params.total = total;
        params.message = message;
        self.notify(ServerNotification::Progress(params)).await;
    }

    /// Tells the client what happens, if it wants to hear of this level (specification, "Logging").
    ///
    /// The client is not the operator: what only the operator may read belongs into `tracing`.
    pub async fn log<T: Serialize + ?Sized>(&self, level: LoggingLevel, data: &T) {
        let wanted = self.shared.request.log_level;
        if wanted.is_none_or(|wanted| severity(level) < severity(wanted)) {
            return;
        }
        let Ok(data) = RawText::of(data) else { return };
        let mut params = LoggingMessageNotificationParams::new(data, level);
        params.logger = Some(self.shared.tool.clone());
        self.notify(ServerNotification::Message(params)).await;
    }

    async fn notify(&self, notification: ServerNotification) {
        // A closed connection drops this call at its next `.await`; there is nobody to tell.
        let _ = self.shared.notifier.notify(notification).await;
    }

    /// Asks the client, and gives its answer once it is there.
    ///
    /// `key` names the question within the call. Without an answer this is `Err(Suspended)`: leave
    /// with `?`, and the tool runs again *from the top* with the answer. So ask first, act after.
    ///
    /// # Errors
    ///
    /// [`Suspended`], which the caller never sees as an error: it is asked instead. When the client
    /// did not declare that it can answer such a question, or answers nonsense, the call fails with
    /// an error of the protocol.
    pub fn input<T: DeserializeOwned>(
        &self,
        key: &str,
        request: InputRequest,
    ) -> Result<T, Suspended> {
        match self.answer(key) {
            Some(answer) => answer.parse().map_err(|error| {
                let error = error.within(key).within("inputResponses");
                self.fail(ErrorObject::invalid_params(error.to_string()))
            }),
            None => {
                if let Some(error) = self.cannot_ask(&request) {
                    return Err(self.fail(error));
                }
                self.asked(|asked| asked.questions.insert(key.to_owned(), request));
                Err(Suspended)
            }
        }
    }

    /// Asks the user to fill in a form; see [`Context::input`] (specification, "Elicitation").
    ///
    /// # Errors
    ///
    /// As [`Context::input`].
    pub fn elicit(
        &self,
        key: &str,
        form: ElicitRequestFormParams,
    ) -> Result<ElicitResult, Suspended> {
        self.input(key, InputRequest::Elicit(ElicitRequestParams::Form(form)))
    }

    fn answer(&self, key: &str) -> Option<RawText> {
        let request = &self.shared.request;
        let now = request.input_responses.as_ref().and_then(|answers| answers.get(key));
        now.cloned().or_else(|| self.earlier_answers()?.remove(key))
    }

    /// Answers of earlier rounds. They come back from the client as they went, and are no more
    /// trusted than its answers of this round, so they need no seal.
    fn earlier_answers(&self) -> Option<Members> {
        let state = self.shared.request.request_state.as_ref()?;
        RawText::new(state.as_str()).ok()?.parse().ok()
    }

    fn cannot_ask(&self, request: &InputRequest) -> Option<ErrorObject> {
        let client = self.shared.request.client_capabilities();
        let (declared, capability) = match request {
            InputRequest::CreateMessage(_) => (client.sampling.is_some(), "sampling"),
            InputRequest::ListRoots(_) => (client.roots.is_some(), "roots"),
            InputRequest::Elicit(_) => (client.elicitation.is_some(), "elicitation"),
            _ => return None,
        };
        if declared {
            return None;
        }
        let required = BTreeMap::from([(capability, BTreeMap::<(), ()>::new())]);
        let message =
            format!("the tool needs a client that declares the capability `{capability}`");
        let error = ErrorObject::new(codes::MISSING_CLIENT_CAPABILITY, message);
        Some(error.with_data(&BTreeMap::from([("requiredCapabilities", required)])))
    }

    fn fail(&self, error: ErrorObject) -> Suspended {
        self.asked(|asked| asked.failure = Some(error));
        Suspended
    }

    fn asked<T>(&self, change: impl FnOnce(&mut Asked) -> T) -> T {
        change(&mut self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the call comes to if the tool left to ask, whatever it returned.
    pub(crate) fn suspension(&self) -> Option<Result<Outcome, ErrorObject>> {
        let Asked { questions, failure } = self.asked(std::mem::take);
        if let Some(error) = failure {
            return Some(Err(error));
        }
        if questions.is_empty() {
            return None;
        }
        let mut result = InputRequiredResult::new();
        result.input_requests = Some(questions);
        let mut answers = self.earlier_answers().unwrap_or_default();
        for (key, answer) in self.shared.request.input_responses.iter().flat_map(Members::iter) {
            answers.insert(key.to_owned(), answer.clone());
        }
        if !answers.is_empty() {
            result.request_state = RawText::of(&answers).ok().map(|text| text.get().to_owned());
        }
        Some(Ok(Outcome::InputRequired(result)))
    }
}

/// The levels of RFC 5424 from the least to the most severe.
fn severity(level: LoggingLevel) -> u8 {
    match level {
        LoggingLevel::Debug => 0,
        LoggingLevel::Info => 1,
        LoggingLevel::Notice => 2,
        LoggingLevel::Warning => 3,
        LoggingLevel::Error => 4,
        LoggingLevel::Critical => 5,
        LoggingLevel::Alert => 6,
        LoggingLevel::Emergency => 7,
    }
}

impl<S> Clone for Context<S> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), shared: self.shared.clone() }
    }
}

impl<S> std::fmt::Debug for Context<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("tool", &self.shared.tool).finish_non_exhaustive()
    }
}
