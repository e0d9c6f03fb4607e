//! Results: what a tool returns becomes content for the model and data for programs.

use std::marker::PhantomData;

use mcp_types::{
    AudioContent, CallToolResult, ContentBlock, EmbeddedResource, ErrorObject, ImageContent,
    JsonSchema, Outcome, RawText, ResourceLink, ServerResult, TextContent,
};
use serde::Serialize;

use super::schema::Shape;
use crate::ToolError;

/// What a tool can return as it is.
///
/// Texts and content blocks are content; [`Json`] and pairs of content and data also carry data,
/// with its schema. A function with `#[tool]` may also return any type that has `Serialize` and
/// `JsonSchema`, and a `Result` of each of these.
#[diagnostic::on_unimplemented(
    message = "a tool cannot return `{Self}`",
    label = "the model cannot read this",
    note = "mark it with `#[mcp_server::data]`, or derive `Serialize` and `JsonSchema`: the model gets it as JSON",
    note = "or return text, content blocks, `CallToolResult`, or a `Result` of one of these",
    note = "with `#[tool(structured = false)]`, `Serialize` alone is enough"
)]
pub trait IntoToolResult {
    /// Makes the result.
    ///
    /// # Errors
    ///
    /// The failure that the model should read.
    fn into_tool_result(self) -> Result<CallToolResult, ToolError>;

    /// The schema of its data, if it has data (specification, "Output schema").
    ///
    /// # Errors
    ///
    /// When the schema has no JSON form.
    fn output_schema() -> Result<Option<JsonSchema>, serde_json::Error>
    where
        Self: Sized,
    {
        Ok(None)
    }
}

macro_rules! content {
    ($($type:ty: $value:ident => $blocks:expr;)*) => {$(
        impl IntoToolResult for $type {
            fn into_tool_result(self) -> Result<CallToolResult, ToolError> {
                let $value = self;
                Ok(CallToolResult::new($blocks))
            }
        }
    )*};
}

content! {
    (): _nothing => Vec::new();
    String: text => vec![ContentBlock::text(text)];
    &'static str: text => vec![ContentBlock::text(text)];
    std::borrow::Cow<'static, str>: text => vec![ContentBlock::text(text)];
    ContentBlock: block => vec![block];
    Vec<ContentBlock>: blocks => blocks;
    TextContent: text => vec![ContentBlock::Text(text)];
    ImageContent: image => vec![ContentBlock::Image(image)];
    AudioContent: audio => vec![ContentBlock::Audio(audio)];
    ResourceLink: link => vec![ContentBlock::ResourceLink(link)];
    EmbeddedResource: resource => vec![ContentBlock::Resource(resource)];
}

impl IntoToolResult for CallToolResult {
    fn into_tool_result(self) -> Result<CallToolResult, ToolError> {
        Ok(self)
    }
}

/// Data as a tool's result: structured content, and the same as text.
///
/// Only needed where the type decides, as in [`Server::tool_fn`](crate::ServerBuilder::tool_fn); a
/// function with `#[tool]` returns the data itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize + schemars::JsonSchema + 'static> IntoToolResult for Json<T> {
    fn into_tool_result(self) -> Result<CallToolResult, ToolError> {
        data(&self.0)
    }

    fn output_schema() -> Result<Option<JsonSchema>, serde_json::Error> {
        Ok(Some(Shape::of::<T>()?.schema.clone()))
    }
}

/// Content for the model, and data for programs.
impl<T: Serialize + schemars::JsonSchema + 'static> IntoToolResult for (Vec<ContentBlock>, T) {
    fn into_tool_result(self) -> Result<CallToolResult, ToolError> {
        let mut result = CallToolResult::new(self.0);
        result.structured_content = Some(structured(&self.1)?);
        Ok(result)
    }

    fn output_schema() -> Result<Option<JsonSchema>, serde_json::Error> {
        Json::<T>::output_schema()
    }
}

impl<T: IntoToolResult, E: Into<ToolError>> IntoToolResult for Result<T, E> {
    fn into_tool_result(self) -> Result<CallToolResult, ToolError> {
        self.map_err(Into::into)?.into_tool_result()
    }

    fn output_schema() -> Result<Option<JsonSchema>, serde_json::Error> {
        T::output_schema()
    }
}

fn structured<T: Serialize + schemars::JsonSchema + 'static>(
    value: &T,
) -> Result<RawText, ToolError> {
    Shape::of::<T>().and_then(|shape| shape.write(value)).map_err(unwritable)
}

fn data<T: Serialize + schemars::JsonSchema + 'static>(
    value: &T,
) -> Result<CallToolResult, ToolError> {
    let text = structured(value)?;
    let mut result = CallToolResult::text(text.get());
    result.structured_content = Some(text);
    Ok(result)
}

fn unwritable(error: serde_json::Error) -> ToolError {
    ToolError::new("the tool's result cannot be written as JSON").log(error)
}

/// What comes of a call: the model's failure is a result too, and the operator's part is logged.
pub(crate) fn outcome(result: Result<CallToolResult, ToolError>) -> Result<Outcome, ErrorObject> {
    let result = result.unwrap_or_else(|error| {
        if let Some(detail) = error.detail() {
            tracing::warn!(detail, "the tool failed");
        }
        CallToolResult::error(error.message())
    });
    Ok(ServerResult::CallTool(result).into())
}

/// A function's return type, for the generated code to ask what can be done with it.
///
/// Method resolution chooses: a trait on `&&Probe<T>` is found before one on `&Probe<T>`. That
/// works for concrete types only, which is why generated code does it and no generic function can.
pub struct Probe<T>(PhantomData<fn() -> T>);

impl<T> Probe<T> {
    /// The probe for `T`.
    pub const NEW: Self = Self(PhantomData);
}

/// What a function's failure becomes.
pub enum Failure {
    /// A result that the model reads.
    Tool(ToolError),
    /// An error of the protocol.
    Protocol(ErrorObject),
}

/// Finds how success and failure are told apart: errors of the protocol before the model's.
pub trait ProtocolSplit<T> {
    /// How they are told apart.
    fn split(&self) -> Protocol<T>;
}

/// As [`ProtocolSplit`], for failures that the model reads.
pub trait ToolSplit<T, E> {
    /// How they are told apart.
    fn split(&self) -> Fallible<T, E>;
}

/// As [`ProtocolSplit`], for functions that cannot fail.
pub trait NoSplit<T> {
    /// How they are told apart.
    fn split(&self) -> Infallible<T>;
}

impl<T> ProtocolSplit<T> for &&Probe<Result<T, ErrorObject>> {
    fn split(&self) -> Protocol<T> {
        Protocol(PhantomData)
    }
}

impl<T, E> ToolSplit<T, E> for &Probe<Result<T, E>> {
    fn split(&self) -> Fallible<T, E> {
        Fallible(PhantomData)
    }
}

impl<T> NoSplit<T> for Probe<T> {
    fn split(&self) -> Infallible<T> {
        Infallible(PhantomData)
    }
}

/// Failures are errors of the protocol.
pub struct Protocol<T>(PhantomData<fn() -> T>);

/// Failures are read by the model.
pub struct Fallible<T, E>(PhantomData<fn() -> (T, E)>);

/// There are no failures.
pub struct Infallible<T>(PhantomData<fn() -> T>);

impl<T> Protocol<T> {
    /// The probe of a success.
    pub fn success(&self) -> Probe<T> {
        Probe::NEW
    }

    /// Success and failure apart.
    pub fn apart(&self, returned: Result<T, ErrorObject>) -> Result<T, Failure> {
        returned.map_err(Failure::Protocol)
    }
}

impl<T, E> Fallible<T, E> {
    /// The probe of a success.
    pub fn success(&self) -> Probe<T> {
        Probe::NEW
    }

    /// Success and failure apart.
    pub fn apart(&self, returned: Result<T, E>) -> Result<T, Failure>
    where
        E: Into<ToolError>,
    {
        returned.map_err(|error| Failure::Tool(error.into()))
    }
}

impl<T> Infallible<T> {
    /// The probe of what is returned.
    pub fn success(&self) -> Probe<T> {
        Probe::NEW
    }

    /// A success.
    pub fn apart(&self, returned: T) -> Result<T, Failure> {
        Ok(returned)
    }
}

/// Finds how a success is written: content before data.
pub trait ContentKind<T> {
    /// How it is written.
    fn kind(&self) -> Content<T>;
    /// How it is written when no data is wanted.
    fn plain(&self) -> Content<T>;
}

/// As [`ContentKind`], for data.
pub trait DataKind<T> {
    /// How it is written.
    fn kind(&self) -> Data<T>;
}

/// As [`ContentKind`], for data that is written as text alone.
pub trait PlainKind<T> {
    /// How it is written.
    fn plain(&self) -> Plain<T>;
}

/// As [`ContentKind`], for what cannot be written; using it is the compile error.
pub trait UnknownKind<T> {
    /// Not at all.
    fn kind(&self) -> Unknown<T>;
    /// Not at all.
    fn plain(&self) -> Unknown<T>;
}

impl<T: IntoToolResult> ContentKind<T> for &&Probe<T> {
    fn kind(&self) -> Content<T> {
        Content(PhantomData)
    }

    fn plain(&self) -> Content<T> {
        Content(PhantomData)
    }
}

impl<T: Serialize + schemars::JsonSchema> DataKind<T> for &Probe<T> {
    fn kind(&self) -> Data<T> {
        Data(PhantomData)
    }
}

impl<T: Serialize> PlainKind<T> for &Probe<T> {
    fn plain(&self) -> Plain<T> {
        Plain(PhantomData)
    }
}

impl<T> UnknownKind<T> for Probe<T> {
    fn kind(&self) -> Unknown<T> {
        Unknown(PhantomData)
    }

    fn plain(&self) -> Unknown<T> {
        Unknown(PhantomData)
    }
}

/// Writes content.
pub struct Content<T>(PhantomData<fn() -> T>);

/// Writes data.
pub struct Data<T>(PhantomData<fn() -> T>);

/// Writes data as text alone.
pub struct Plain<T>(PhantomData<fn() -> T>);

/// Cannot be written; the bound of `finish` says what to do.
pub struct Unknown<T>(PhantomData<fn() -> T>);

impl<T> Unknown<T> {
    /// What the call would come to.
    pub fn finish(self, result: Result<T, Failure>) -> Result<Outcome, ErrorObject>
    where
        T: IntoToolResult,
    {
        Content(PhantomData).finish(result)
    }

    /// None, so that one mistake is one error.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn schema(self) -> Result<Option<JsonSchema>, serde_json::Error> {
        Ok(None)
    }
}

impl<T: IntoToolResult> Content<T> {
    /// What the call comes to.
    pub fn finish(self, result: Result<T, Failure>) -> Result<Outcome, ErrorObject> {
        finish(result.map(IntoToolResult::into_tool_result))
    }

    /// The schema of the data.
    ///
    /// # Errors
    ///
    /// When it has no JSON form.
    pub fn schema(self) -> Result<Option<JsonSchema>, serde_json::Error> {
        T::output_schema()
    }
}

impl<T: Serialize + schemars::JsonSchema + 'static> Data<T> {
    /// What the call comes to.
    pub fn finish(self, result: Result<T, Failure>) -> Result<Outcome, ErrorObject> {
        finish(result.map(|value| data(&value)))
    }

    /// The schema of the data.
    ///
    /// # Errors
    ///
    /// When it has no JSON form.
    pub fn schema(self) -> Result<Option<JsonSchema>, serde_json::Error> {
        Json::<T>::output_schema()
    }
}

impl<T: Serialize> Plain<T> {
    /// What the call comes to.
    pub fn finish(self, result: Result<T, Failure>) -> Result<Outcome, ErrorObject> {
        finish(result.map(|value| {
            let text = serde_json::to_string(&value).map_err(unwritable)?;
            Ok(CallToolResult::text(text))
        }))
    }

    /// None: that is the point.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn schema(self) -> Result<Option<JsonSchema>, serde_json::Error> {
        Ok(None)
    }
}

fn finish(
    result: Result<Result<CallToolResult, ToolError>, Failure>,
) -> Result<Outcome, ErrorObject> {
    match result {
        Ok(result) => outcome(result),
        Err(Failure::Tool(error)) => outcome(Err(error)),
        Err(Failure::Protocol(error)) => Err(error),
    }
}
