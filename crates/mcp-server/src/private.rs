//! The door for generated code. Its name carries the version; nothing in it is a promise.

use std::sync::Arc;

use mcp_types::{ErrorObject, Meta, Outcome, RawText, Tool as Definition};
use serde::Serialize;

pub use mcp_types::{ExchangeFuture, Icon, ToolAnnotations};
pub use schemars;
pub use serde;
pub use std::boxed::Box;
pub use std::default::Default;
pub use std::option::Option::{self, None, Some};
pub use std::result::Result::{self, Err, Ok};
pub use std::string::String;
pub use std::vec::Vec;

pub use crate::tool::args::read as arguments;
pub use crate::tool::result::{
    ContentKind, DataKind, NoSplit, PlainKind, Probe, ProtocolSplit, ToolSplit, UnknownKind,
};
pub use crate::tool::schema::input as input_schema;
pub use crate::{BuildError, Call, Context, FromContext, Tool, ToolError, ToolSet};

/// The definition type, apart from the trait of the same name.
pub type ToolDefinition = Definition;

/// What a call comes to.
pub type CallOutcome = Result<Outcome, ErrorObject>;

/// What a call with wrong arguments comes to: the model may do better.
#[cold]
pub fn wrong_arguments(error: ToolError) -> CallOutcome {
    crate::tool::result::outcome(Err(error))
}

/// The future of a sync tool that runs where it may block.
pub async fn blocking<S>(
    cx: &Context<S>,
    work: impl FnOnce() -> CallOutcome + Send + 'static,
) -> CallOutcome {
    crate::tool::blocking(cx.request().runtime.clone(), work).await
}

/// As [`blocking`], for tools that take nothing from the exchange.
pub async fn blocking_call<S>(
    call: &Call<S>,
    work: impl FnOnce() -> CallOutcome + Send + 'static,
) -> CallOutcome {
    crate::tool::blocking(call.request.runtime.clone(), work).await
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

/// The object whose methods are tools.
pub type Shared<T> = Arc<T>;
