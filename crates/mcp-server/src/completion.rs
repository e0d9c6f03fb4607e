//! Completion: what a user may mean while typing an argument (specification, "Completion").

use std::collections::{BTreeMap, HashMap};
use std::future::Future;

use mcp_types::{
    BoxFuture, CompleteRequestParams, CompleteResult, CompleteResultCompletion, ErrorObject,
    ExchangeFuture, ServerResult,
};

use crate::error::protocol_error;
use crate::lifespan::Source;
use crate::service::{Incoming, refused};
use crate::{Context, ToolError};

/// The most values that one answer may hold (specification, "Completion results").
const MOST: usize = 100;

/// What a user is typing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completing {
    /// The argument of the prompt, or the variable of the template.
    pub argument: String,
    /// What is typed so far.
    pub value: String,
    /// The other arguments, as far as they are decided.
    pub arguments: BTreeMap<String, String>,
}

impl Completing {
    /// Those of `all` that begin with what is typed, whatever the case, and then those that hold
    /// it.
    ///
    /// ```
    /// # use mcp_server::{server, types::{Prompt, PromptArgument}};
    /// # let mut plan = Prompt::new("plan");
    /// # plan.arguments = Some(vec![PromptArgument::new("day")]);
    /// # let server = server!().prompt_fn(plan, async |_, _| "plan");
    /// let server = server.complete_prompt("plan", "day", async |_cx, completing| {
    ///     completing.matching(["Monday", "Tuesday", "Wednesday", "Sunday"])
    /// });
    /// # server.build()?;
    /// # Ok::<(), mcp_server::BuildError>(())
    /// ```
    pub fn matching<T: Into<String>>(&self, all: impl IntoIterator<Item = T>) -> Vec<String> {
        matching(&self.value, all)
    }
}

/// Those of `all` that begin with `typed`, and then those that hold it.
fn matching<T: Into<String>>(typed: &str, all: impl IntoIterator<Item = T>) -> Vec<String> {
    let typed = typed.to_lowercase();
    let (mut first, mut then) = (Vec::new(), Vec::new());
    for value in all {
        let value = value.into();
        match value.to_lowercase().find(&typed) {
            Some(0) => first.push(value),
            Some(_) => then.push(value),
            None => {}
        }
    }
    first.append(&mut then);
    first
}

/// The future of suggestions.
pub type CompletionFuture = BoxFuture<'static, Result<CompleteResultCompletion, ErrorObject>>;

/// Completes an argument of a prompt or a variable of a template, on a server whose state is `S`.
///
/// [`#[completion]`](macro@crate::completion) writes it for a function.
#[diagnostic::on_unimplemented(
    message = "`{Self}` completes nothing on a server whose state is `{S}`",
    note = "mark the function with `#[completion]`",
    note = "when it takes `Context<T>` or `State<T>`, call `.state(...)` before you add it"
)]
pub trait Complete<S = ()>: Send + Sync + 'static {
    /// Suggests values, the best first. Dropping the future cancels it.
    fn complete(&self, cx: Context<S>, completing: Completing) -> CompletionFuture;
}

/// What a completion can return: a list of texts, a [`CompleteResultCompletion`], or a `Result` of
/// them.
///
/// Of more than 100 values the first 100 are sent, and the client is told that there are more.
#[diagnostic::on_unimplemented(
    message = "a completion cannot return `{Self}`",
    note = "return `Vec<String>`, `CompleteResultCompletion`, or a `Result` of one of them"
)]
pub trait IntoCompletion {
    /// Makes the suggestions.
    ///
    /// # Errors
    ///
    /// What the client is told instead.
    fn into_completion(self) -> Result<CompleteResultCompletion, ErrorObject>;
}

impl IntoCompletion for Vec<String> {
    fn into_completion(self) -> Result<CompleteResultCompletion, ErrorObject> {
        Ok(CompleteResultCompletion::new(self))
    }
}

impl IntoCompletion for Vec<&'static str> {
    fn into_completion(self) -> Result<CompleteResultCompletion, ErrorObject> {
        Ok(CompleteResultCompletion::new(self.into_iter().map(str::to_owned).collect()))
    }
}

impl IntoCompletion for CompleteResultCompletion {
    fn into_completion(self) -> Result<CompleteResultCompletion, ErrorObject> {
        Ok(self)
    }
}

impl<T: IntoCompletion, E: Into<ToolError> + 'static> IntoCompletion for Result<T, E> {
    fn into_completion(self) -> Result<CompleteResultCompletion, ErrorObject> {
        self.map_err(protocol_error)?.into_completion()
    }
}

/// Cuts what is too long, and says so.
fn bounded(mut completion: CompleteResultCompletion) -> CompleteResultCompletion {
    let found = completion.values.len();
    if found > MOST {
        completion.values.truncate(MOST);
        completion.has_more = Some(true);
        completion.total = completion.total.or_else(|| i64::try_from(found).ok());
    }
    completion
}

/// What completes the arguments of one prompt or template.
pub(crate) type Completions = HashMap<String, Box<dyn Handler>>;

/// A completion together with the state of its server.
pub(crate) trait Handler: Send + Sync {
    fn complete(&self, params: CompleteRequestParams, incoming: Incoming) -> ExchangeFuture;
}

pub(crate) struct Bound<S> {
    pub(crate) complete: Box<dyn Complete<S>>,
    pub(crate) state: Source<S>,
}

impl<S: Send + Sync + 'static> Handler for Bound<S> {
    fn complete(&self, params: CompleteRequestParams, incoming: Incoming) -> ExchangeFuture {
        let state = match self.state.get() {
            Ok(state) => state,
            Err(error) => return refused(error),
        };
        let cx = Context::enter(params.argument.name.clone(), incoming, state);
        let arguments = params.context.and_then(|context| context.arguments).unwrap_or_default();
        let mcp_types::CompleteRequestParamsArgument { name, value, .. } = params.argument;
        let completing = Completing { argument: name, value, arguments };
        let running = self.complete.complete(cx, completing);
        Box::pin(async move {
            let result = CompleteResult::new(bounded(running.await?));
            Ok(ServerResult::Complete(result).into())
        })
    }
}

/// No suggestions, for what can be completed but nobody does.
pub(crate) fn nothing() -> ServerResult {
    ServerResult::Complete(CompleteResult::new(CompleteResultCompletion::new(Vec::new())))
}

/// A completion made of a closure.
pub(crate) struct CompleteFn<F>(pub(crate) F);

impl<S, F, Fut> Complete<S> for CompleteFn<F>
where
    S: Send + Sync + 'static,
    F: Fn(Context<S>, Completing) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoCompletion> + Send + 'static,
{
    fn complete(&self, cx: Context<S>, completing: Completing) -> CompletionFuture {
        let running = (self.0)(cx, completing);
        Box::pin(async move { running.await.into_completion() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_so_comes_first() {
        let all = ["Sunday", "monday", "Day", "today"];
        assert_eq!(matching("DAY", all), ["Day", "Sunday", "monday", "today"]);
        assert_eq!(matching("", all), all);
        assert!(matching("x", all).is_empty());
    }

    #[test]
    fn long_lists_are_cut() {
        let values = |count: usize| vec![String::new(); count];
        let cut = bounded(CompleteResultCompletion::new(values(101)));
        assert_eq!((cut.values.len(), cut.has_more, cut.total), (100, Some(true), Some(101)));
        let whole = bounded(CompleteResultCompletion::new(values(100)));
        assert_eq!((whole.values.len(), whole.has_more, whole.total), (100, None, None));
    }
}
