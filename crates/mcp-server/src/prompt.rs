//! Prompts: messages that a user picks and a server fills in (specification, "Prompts").

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::Future;

use mcp_types::{
    AudioContent, BoxFuture, ContentBlock, EmbeddedResource, ErrorObject, ExchangeFuture,
    GetPromptResult, ImageContent, Prompt as Definition, PromptMessage, ResourceLink, Role,
    ServerResult, TextContent,
};

use crate::completion::Complete;
use crate::error::protocol_error;
use crate::lifespan::Source;
use crate::service::{Incoming, refused, shown};
use crate::{BuildError, Context, ToolError};

/// The arguments of a prompt by name; the protocol knows them as texts.
pub type PromptArguments = BTreeMap<String, String>;

/// The future of a prompt's messages.
pub type PromptFuture = BoxFuture<'static, Result<GetPromptResult, ErrorObject>>;

/// A prompt of a server whose state is `S`.
///
/// [`#[prompt]`](macro@crate::prompt) writes it for a function. By hand it is for prompts that are known
/// only at run time, though [`prompt_fn`](crate::ServerBuilder::prompt_fn) is shorter.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a prompt of a server whose state is `{S}`",
    note = "mark the function with `#[prompt]`",
    note = "when the prompt takes `Context<T>` or `State<T>`, call `.state(...)` before you add it"
)]
pub trait Prompt<S = ()>: Send + Sync + 'static {
    /// What `prompts/list` says about it. Asked once, when the prompt is added.
    ///
    /// # Errors
    ///
    /// When the prompt cannot describe itself; the server is not built then.
    fn definition(&self) -> Result<Definition, BuildError>;

    /// Fills the prompt in. Dropping the future cancels it.
    ///
    /// All required arguments are there, and none that the definition does not name. What the
    /// prompt asks of the client through `cx` goes before what it returns.
    fn get(&self, cx: Context<S>, arguments: PromptArguments) -> PromptFuture;

    /// What completes its arguments, by their names.
    fn completions(&self) -> Vec<(String, Box<dyn Complete<S>>)> {
        Vec::new()
    }

    /// Whether it may send log messages: the server then declares the capability `logging`.
    fn may_log(&self) -> bool {
        true
    }
}

/// What a prompt can return.
///
/// Texts and content blocks become messages of the user; who speaks otherwise says so with
/// [`PromptMessage::assistant`]. A `Result` of these may fail with anything that can be displayed,
/// which the client is told as an internal error; an [`ErrorObject`] is told as it is.
#[diagnostic::on_unimplemented(
    message = "a prompt cannot return `{Self}`",
    label = "this is no message",
    note = "return text, `PromptMessage`, content blocks, lists of these, `GetPromptResult`, or a \
            `Result` of one of them"
)]
pub trait IntoPromptResult {
    /// Makes the result.
    ///
    /// # Errors
    ///
    /// What the client is told instead.
    fn into_prompt_result(self) -> Result<GetPromptResult, ErrorObject>;
}

macro_rules! messages {
    ($($type:ty: $value:ident => $messages:expr;)*) => {$(
        impl IntoPromptResult for $type {
            fn into_prompt_result(self) -> Result<GetPromptResult, ErrorObject> {
                let $value = self;
                Ok(GetPromptResult::new($messages))
            }
        }
    )*};
}

messages! {
    String: text => vec![PromptMessage::user(text)];
    &'static str: text => vec![PromptMessage::user(text)];
    Cow<'static, str>: text => vec![PromptMessage::user(text.into_owned())];
    PromptMessage: message => vec![message];
    Vec<PromptMessage>: messages => messages;
    ContentBlock: block => vec![PromptMessage::new(block, Role::User)];
    Vec<ContentBlock>: blocks => {
        blocks.into_iter().map(|block| PromptMessage::new(block, Role::User)).collect()
    };
    TextContent: text => vec![PromptMessage::user(ContentBlock::Text(text))];
    ImageContent: image => vec![PromptMessage::user(ContentBlock::Image(image))];
    AudioContent: audio => vec![PromptMessage::user(ContentBlock::Audio(audio))];
    ResourceLink: link => vec![PromptMessage::user(ContentBlock::ResourceLink(link))];
    EmbeddedResource: resource => vec![PromptMessage::user(ContentBlock::Resource(resource))];
}

impl<const N: usize> IntoPromptResult for [PromptMessage; N] {
    fn into_prompt_result(self) -> Result<GetPromptResult, ErrorObject> {
        Ok(GetPromptResult::new(self.into()))
    }
}

impl IntoPromptResult for GetPromptResult {
    fn into_prompt_result(self) -> Result<GetPromptResult, ErrorObject> {
        Ok(self)
    }
}

impl<T: IntoPromptResult, E: Into<ToolError> + 'static> IntoPromptResult for Result<T, E> {
    fn into_prompt_result(self) -> Result<GetPromptResult, ErrorObject> {
        self.map_err(protocol_error)?.into_prompt_result()
    }
}

/// A prompt together with the state of its server.
pub(crate) trait Handler: Send + Sync {
    fn get(&self, name: String, arguments: PromptArguments, incoming: Incoming) -> ExchangeFuture;
}

pub(crate) struct Bound<S> {
    prompt: Box<dyn Prompt<S>>,
    state: Source<S>,
    /// The names of the arguments, and whether they must be there.
    arguments: Vec<(String, bool)>,
    description: Option<String>,
}

impl<S> Bound<S> {
    pub(crate) fn new(
        prompt: Box<dyn Prompt<S>>,
        state: Source<S>,
        definition: &Definition,
    ) -> Self {
        let arguments = definition.arguments.iter().flatten();
        let arguments =
            arguments.map(|argument| (argument.name.clone(), argument.required == Some(true)));
        let arguments = arguments.collect();
        Self { prompt, state, arguments, description: definition.description.clone() }
    }

    /// What is wrong with the arguments, if anything is.
    fn judge(&self, given: &PromptArguments) -> Option<ErrorObject> {
        for (name, required) in &self.arguments {
            if *required && !given.contains_key(name) {
                let message = format!("the argument `{name}` of the prompt is missing");
                return Some(ErrorObject::invalid_params(message));
            }
        }
        let is_known = |name: &String| self.arguments.iter().any(|(known, _)| known == name);
        let unknown = given.keys().find(|name| !is_known(name))?;
        let names: Vec<_> = self.arguments.iter().map(|(name, _)| format!("`{name}`")).collect();
        let unknown = shown(unknown);
        let message = match names.as_slice() {
            [] => format!("the prompt has no argument `{unknown}`, it takes none"),
            all => format!("the prompt has no argument `{unknown}`, it has {}", all.join(", ")),
        };
        Some(ErrorObject::invalid_params(message))
    }
}

impl<S: Send + Sync + 'static> Handler for Bound<S> {
    fn get(&self, name: String, arguments: PromptArguments, incoming: Incoming) -> ExchangeFuture {
        if let Some(error) = self.judge(&arguments) {
            return refused(error);
        }
        let state = match self.state.get() {
            Ok(state) => state,
            Err(error) => return refused(error),
        };
        let cx = Context::enter(name, incoming, state);
        let running = self.prompt.get(cx.clone(), arguments);
        let description = self.description.clone();
        Box::pin(async move {
            let result = running.await;
            cx.suspension().unwrap_or_else(|| {
                let mut result = result?;
                result.description = result.description.or(description);
                Ok(ServerResult::GetPrompt(result).into())
            })
        })
    }
}

/// A prompt made of a definition and a closure.
pub(crate) struct PromptFn<F> {
    pub(crate) definition: Definition,
    pub(crate) run: F,
}

impl<S, F, Fut> Prompt<S> for PromptFn<F>
where
    S: Send + Sync + 'static,
    F: Fn(Context<S>, PromptArguments) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoPromptResult> + Send + 'static,
{
    fn definition(&self) -> Result<Definition, BuildError> {
        Ok(self.definition.clone())
    }

    fn get(&self, cx: Context<S>, arguments: PromptArguments) -> PromptFuture {
        let running = (self.run)(cx, arguments);
        Box::pin(async move { running.await.into_prompt_result() })
    }
}
