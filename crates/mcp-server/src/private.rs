//! The door for generated code. Its name carries the version; nothing in it is a promise.

use std::sync::Arc;

use mcp_types::{ErrorObject, JsonSchema, Meta, Outcome, RawText, Runtime, Tool as Definition};
use serde::Serialize;

pub use mcp_types::{
    Annotations, ExchangeFuture, Icon, Resource as ResourceEntry, ResourceTemplate, Role,
    ToolAnnotations,
};
pub use schemars;
pub use serde;
pub use std::boxed::Box;
pub use std::default::Default;
pub use std::option::Option::{self, None, Some};
pub use std::result::Result::{self, Err, Ok};
pub use std::string::String;
pub use std::vec::Vec;

pub use crate::task::TaskSupport;
pub use crate::tool::args::{Argument, Member, demand, member, read as arguments};
pub use crate::tool::result::{
    ContentKind, DataKind, NoSplit, PlainKind, Probe, ProtocolSplit, ToolSplit, UnknownKind,
};
pub use crate::values::Values;
pub use crate::{
    BuildError, Call, Complete, Completing, CompletionFuture, Context, FromContext, IntoCompletion,
    IntoPromptResult, IntoResourceResult, Prompt, PromptArguments, PromptFuture, Read, Resource,
    ResourceDefinition, ResourceFuture, Tool, ToolError, ToolSet,
};

/// The definition type, apart from the trait of the same name.
pub type ToolDefinition = Definition;

/// What a call comes to.
pub type CallOutcome = Result<Outcome, ErrorObject>;

/// What a call with wrong arguments comes to: the model may do better.
#[cold]
pub fn wrong_arguments(error: ToolError) -> CallOutcome {
    crate::tool::result::outcome(Err(error))
}

/// Runs a sync tool where it may block.
pub use crate::tool::blocking;

/// The arguments of a call, and what [`blocking`] needs.
pub fn arguments_and_runtime<S>(call: Call<S>) -> (Option<RawText>, Option<Arc<dyn Runtime>>) {
    (call.arguments, call.request.runtime)
}

/// What [`blocking`] needs.
pub fn runtime<S>(cx: &Context<S>) -> Option<Arc<dyn Runtime>> {
    cx.request().runtime.clone()
}

/// The schema of a tool's data, if it has any.
pub type OutputSchema = Result<Option<JsonSchema>, serde_json::Error>;

/// A definition with its name and schemas.
pub fn definition<A: schemars::JsonSchema>(
    name: &'static str,
    output: OutputSchema,
) -> Result<Definition, BuildError> {
    let input = crate::tool::schema::input::<A>().map_err(|error| refused(name, error))?;
    let mut definition = Definition::new(name, input);
    definition.output_schema = output.map_err(|error| refused(name, error))?;
    Ok(definition)
}

/// What the call comes to: what the tool asked for goes before what it returned.
pub fn unless_suspended<S>(cx: &Context<S>, outcome: CallOutcome) -> CallOutcome {
    cx.suspension().unwrap_or(outcome)
}

/// `Context` without a state, which every server can give.
pub fn stateless<S>(cx: &Context<S>) -> Context {
    cx.stateless()
}

/// Writes `value` under `key` of the definition's `_meta`.
pub fn meta<T: Serialize + ?Sized>(
    tool: &mut Definition,
    key: &'static str,
    value: &T,
) -> Result<(), BuildError> {
    let text = RawText::of(value).map_err(|error| refused(tool.name.clone(), error))?;
    tool.meta.get_or_insert_with(Meta::new).insert(key, text);
    Ok(())
}

/// Why the tool cannot describe itself.
pub fn refused(
    name: impl Into<std::borrow::Cow<'static, str>>,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> BuildError {
    BuildError::Definition { name: name.into(), source: error.into() }
}

/// The definition type, apart from the trait of the same name.
pub type PromptDefinition = mcp_types::Prompt;

/// What a prompt comes to.
pub type PromptResult = Result<mcp_types::GetPromptResult, ErrorObject>;

/// What reading a resource comes to.
pub type ResourceResult = Result<mcp_types::ReadResourceResult, ErrorObject>;

/// What completing comes to.
pub type CompletionResult = Result<mcp_types::CompleteResultCompletion, ErrorObject>;

/// One argument of a prompt's definition.
pub fn prompt_argument(
    name: &str,
    description: Option<&str>,
    required: bool,
) -> mcp_types::PromptArgument {
    let mut argument = mcp_types::PromptArgument::new(name);
    argument.description = description.map(str::to_owned);
    argument.required = Some(required);
    argument
}

/// Runs a sync prompt, resource or completion where it may block.
pub async fn run<T: Send + 'static>(
    runtime: Option<Arc<dyn Runtime>>,
    work: impl FnOnce() -> Result<T, ErrorObject> + Send + 'static,
) -> Result<T, ErrorObject> {
    let done = crate::blocking::blocking(runtime, work).await;
    done.unwrap_or_else(|busy| Err(ErrorObject::internal(busy.to_string())))
}

/// The object whose methods are tools.
pub type Shared<T> = Arc<T>;
