//! What a running tool asks the client, and what comes of asking.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use mcp_types::error::codes;
use mcp_types::{
    ElicitRequestFormParams, ElicitRequestParams, ElicitResult, ErrorObject, InputRequest,
    InputRequiredResult, Members, Outcome, RawText,
};
use serde::de::DeserializeOwned;

use super::{Asked, Context};
use crate::Suspended;

impl<S> Context<S> {
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
