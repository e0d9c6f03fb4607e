//! What a running tool asks the client, and what comes of asking (specification, "Multi Round-Trip
//! Requests").

use std::collections::BTreeMap;
use std::sync::PoisonError;

use mcp_types::error::codes;
use mcp_types::{
    ClientCapabilities, CreateMessageRequestParams, CreateMessageResult, DecodeError,
    ElicitRequestParams, ErrorObject, InputRequest, InputRequiredResult, ListRootsRequestParams,
    ListRootsResult, Outcome, RawText, Root,
};
use serde::de::DeserializeOwned;

use super::kept::Kept;
use super::{Asked, Context};
use crate::Suspended;

impl<S> Context<S> {
    /// Asks the client, and gives its answer once it is there.
    ///
    /// `key` names the question within the call. Without an answer this is `Err(Suspended)`: leave
    /// with `?`, and the tool runs again *from the top* with the answer. So ask first, act after;
    /// what must happen before a question and not twice goes into [`Context::once`].
    ///
    /// This is the general form, for questions of extensions; [`Context::elicit`],
    /// [`Context::sample`] and [`Context::list_roots`] ask the ones of the protocol.
    ///
    /// # Errors
    ///
    /// [`Suspended`], which the caller never sees as an error: it is asked instead. When the client
    /// did not declare that it can answer such a question, the call fails with the protocol's own
    /// error for that, whose `data.requiredCapabilities` says what is missing; when the answer does
    /// not fit, with "invalid params".
    pub fn input<T: DeserializeOwned>(
        &self,
        key: &str,
        request: InputRequest,
    ) -> Result<T, Suspended> {
        match self.answer(key) {
            Some(answer) => self.read(key, &answer),
            None => self.ask(key, request),
        }
    }

    /// Asks the client's model (specification, "Sampling").
    ///
    /// ```
    /// use mcp_server::types::{
    ///     CreateMessageRequestParams, Role, SamplingMessage, SamplingMessageContentBlock,
    ///     TextContent,
    /// };
    /// use mcp_server::{Context, ToolError, tool};
    ///
    /// /// Sums a text up.
    /// #[tool]
    /// async fn sum_up(cx: Context, text: String) -> Result<String, ToolError> {
    ///     if !cx.client_can_sample() {
    ///         return Ok(text.chars().take(80).collect());
    ///     }
    ///     let block = SamplingMessageContentBlock::Text(TextContent::new(text));
    ///     let message = SamplingMessage::new(block.into(), Role::User);
    ///     let answer = cx.sample("summary", CreateMessageRequestParams::new(200, vec![message]))?;
    ///     Ok(format!("{:?}", answer.content))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Context::input`]; a request with tools also needs a client whose model can use them.
    pub fn sample(
        &self,
        key: &str,
        request: CreateMessageRequestParams,
    ) -> Result<CreateMessageResult, Suspended> {
        self.input(key, InputRequest::CreateMessage(Box::new(request)))
    }

    /// Asks the client where the server may work (specification, "Roots").
    ///
    /// # Errors
    ///
    /// As [`Context::input`].
    pub fn list_roots(&self, key: &str) -> Result<Vec<Root>, Suspended> {
        let request = InputRequest::ListRoots(ListRootsRequestParams::new());
        self.input::<ListRootsResult>(key, request).map(|result| result.roots)
    }

    /// The answers to several questions that are asked at once.
    ///
    /// A question is put when its method is called, so it is enough to look at the answers
    /// together: a tuple, an array or a list of questions is answered when all of them are.
    ///
    /// ```
    /// use mcp_server::{Context, ToolError, data, tool};
    ///
    /// #[data]
    /// struct Title {
    ///     title: String,
    /// }
    ///
    /// /// Makes a file.
    /// #[tool]
    /// async fn create(cx: Context) -> Result<String, ToolError> {
    ///     let title = cx.elicit::<Title>("title", "What shall it be called?");
    ///     let (title, roots) = cx.all((title, cx.list_roots("roots")))?;
    ///     Ok(format!("{:?} in {} places", title.accepted().map(|form| form.title), roots.len()))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Suspended`] when one is missing.
    pub fn all<Q: Questions>(&self, questions: Q) -> Result<Q::Answers, Suspended> {
        questions.answers()
    }

    /// Whether the client can ask a model, so that [`Context::sample`] may be used.
    pub fn client_can_sample(&self) -> bool {
        self.request().client_capabilities().sampling.is_some()
    }

    /// Whether the client's model can be given tools with [`Context::sample`].
    pub fn client_can_sample_with_tools(&self) -> bool {
        let sampling = self.request().client_capabilities().sampling;
        sampling.is_some_and(|sampling| sampling.tools.is_some())
    }

    /// Whether the client can say where the server may work, so that [`Context::list_roots`] may
    /// be used.
    pub fn client_has_roots(&self) -> bool {
        self.request().client_capabilities().roots.is_some()
    }

    /// The client's answer to a question, of this round or of an earlier one.
    pub(super) fn answer(&self, key: &str) -> Option<RawText> {
        let now = self.request().input_responses.as_ref().and_then(|answers| answers.get(key));
        now.or_else(|| self.kept().answers.get(key)).cloned()
    }

    pub(super) fn read<T: DeserializeOwned>(
        &self,
        key: &str,
        answer: &RawText,
    ) -> Result<T, Suspended> {
        answer.parse().map_err(|error| self.unfit(key, error))
    }

    /// The answer to a question does not fit.
    pub(super) fn unfit(&self, key: &str, error: DecodeError) -> Suspended {
        let error = error.within(key).within("inputResponses");
        self.fail(ErrorObject::invalid_params(error.to_string()))
    }

    /// Puts a question, if the client can answer such.
    pub(super) fn ask<T>(&self, key: &str, request: InputRequest) -> Result<T, Suspended> {
        if let Some(capability) = lacking(&request, &self.request().client_capabilities()) {
            return Err(self.fail(missing(capability)));
        }
        self.asked(|asked| asked.questions.insert(key.to_owned(), request));
        Err(Suspended)
    }

    /// Ends the call with an error of the protocol, whatever the handler makes of [`Suspended`].
    pub(super) fn fail(&self, error: ErrorObject) -> Suspended {
        self.asked(|asked| {
            asked.failure.get_or_insert(error);
        });
        Suspended
    }

    pub(super) fn asked<T>(&self, change: impl FnOnce(&mut Asked) -> T) -> T {
        change(&mut self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the call comes to if the handler left to ask, whatever it returned.
    pub(crate) fn suspension(&self) -> Option<Result<Outcome, ErrorObject>> {
        let Asked { questions, failure, done, calls, .. } = self.asked(std::mem::take);
        if let Some(error) = failure {
            return Some(Err(error));
        }
        if questions.is_empty() && calls.is_empty() {
            return None;
        }
        let state = self.kept().next(self.request().input_responses.as_ref(), done, calls);
        let mut result = InputRequiredResult::new();
        result.input_requests = (!questions.is_empty()).then_some(questions);
        result.request_state = state;
        Some(Ok(Outcome::InputRequired(result)))
    }

    /// What this entry leaves for the next, which is a task's: answers, and steps that have run.
    pub(crate) fn left_for_task(&self) -> Option<String> {
        let done = self.asked(|asked| asked.done.clone());
        self.kept().next(self.request().input_responses.as_ref(), done, Default::default())
    }

    /// What earlier rounds left for this one.
    pub(super) fn kept(&self) -> &Kept {
        let state = || self.request().request_state.as_deref();
        self.shared.kept.get_or_init(|| Kept::read(state(), self.keeps_results()))
    }
}

/// Questions that were asked, looked at together; see [`Context::all`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no group of questions",
    note = "give a tuple, an array or a `Vec` of what `cx.elicit(..)`, `cx.sample(..)` and the like \
            return, without `?`"
)]
pub trait Questions {
    /// The answers, in the same order.
    type Answers;

    /// The answers, if all are there.
    ///
    /// # Errors
    ///
    /// [`Suspended`] when one is missing.
    fn answers(self) -> Result<Self::Answers, Suspended>;
}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<$($name),*> Questions for ($(Result<$name, Suspended>,)*) {
            type Answers = ($($name,)*);

            fn answers(self) -> Result<Self::Answers, Suspended> {
                Ok(($(self.$index?,)*))
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);

impl<A> Questions for Vec<Result<A, Suspended>> {
    type Answers = Vec<A>;

    fn answers(self) -> Result<Vec<A>, Suspended> {
        self.into_iter().collect()
    }
}

impl<A, const N: usize> Questions for [Result<A, Suspended>; N] {
    type Answers = Vec<A>;

    fn answers(self) -> Result<Vec<A>, Suspended> {
        self.into_iter().collect()
    }
}

/// An empty declaration means forms (specification, "Elicitation", "Capabilities").
pub(super) fn shows_forms(client: &ClientCapabilities) -> bool {
    client.elicitation.as_ref().is_some_and(|how| how.form.is_some() || how.url.is_none())
}

pub(super) fn opens_pages(client: &ClientCapabilities) -> bool {
    client.elicitation.as_ref().is_some_and(|how| how.url.is_some())
}

/// What a client must declare to be asked this, and did not: a capability, perhaps with a part.
fn lacking(
    request: &InputRequest,
    client: &ClientCapabilities,
) -> Option<(&'static str, Option<&'static str>)> {
    match request {
        InputRequest::CreateMessage(asked) => match &client.sampling {
            None => Some(("sampling", None)),
            Some(how) if asked.tools.is_some() && how.tools.is_none() => {
                Some(("sampling", Some("tools")))
            }
            Some(_) => None,
        },
        InputRequest::ListRoots(_) => client.roots.is_none().then_some(("roots", None)),
        InputRequest::Elicit(ElicitRequestParams::Url(_)) => {
            (!opens_pages(client)).then_some(("elicitation", Some("url")))
        }
        InputRequest::Elicit(_) if client.elicitation.is_none() => Some(("elicitation", None)),
        InputRequest::Elicit(_) => (!shows_forms(client)).then_some(("elicitation", Some("form"))),
        // The questions of an extension are declared as the extension says.
        _ => None,
    }
}

#[cold]
fn missing((capability, part): (&'static str, Option<&'static str>)) -> ErrorObject {
    let name = part.map_or(capability.to_owned(), |part| format!("{capability}.{part}"));
    let settings: BTreeMap<_, BTreeMap<(), ()>> =
        part.map(|part| (part, BTreeMap::new())).into_iter().collect();
    let data = BTreeMap::from([("requiredCapabilities", BTreeMap::from([(capability, settings)]))]);
    let message = format!("the call needs a client that declares the capability `{name}`");
    ErrorObject::new(codes::MISSING_CLIENT_CAPABILITY, message).with_data(&data)
}
