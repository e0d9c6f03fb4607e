//! What a resource returns becomes contents.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcp_types::{
    BlobResourceContents, ErrorObject, ReadResourceResult, ResourceContents, TextResourceContents,
};
use serde::Serialize;

use super::Read;
use crate::error::protocol_error;
use crate::{CacheHint, Json, ToolError};

/// What a resource can return.
///
/// Text and bytes become the contents of the URI that was asked for, with the media type of the
/// definition; without one it is `text/plain` or `application/octet-stream`. `None` says that there
/// is no such resource. A `Result` of these may fail with anything that can be displayed, which the
/// client is told as an internal error; an [`ErrorObject`] is told as it is.
#[diagnostic::on_unimplemented(
    message = "a resource cannot return `{Self}`",
    label = "these are no contents",
    note = "return text, bytes, `Json`, `ResourceContents`, a list of them, `ReadResourceResult`, \
            or an `Option` or `Result` of one of these"
)]
pub trait IntoResourceResult {
    /// Makes the result of this reading.
    ///
    /// # Errors
    ///
    /// What the client is told instead.
    fn into_resource_result(self, read: &Read) -> Result<ReadResourceResult, ErrorObject>;
}

macro_rules! contents {
    ($($type:ty: ($value:ident, $read:ident) => $contents:expr;)*) => {$(
        impl IntoResourceResult for $type {
            fn into_resource_result(self, $read: &Read) -> Result<ReadResourceResult, ErrorObject> {
                let $value = self;
                Ok(ReadResourceResult::new($contents))
            }
        }
    )*};
}

contents! {
    String: (value, read) => vec![text(value, read, "text/plain")];
    &'static str: (value, read) => vec![text(value.to_owned(), read, "text/plain")];
    Cow<'static, str>: (value, read) => vec![text(value.into_owned(), read, "text/plain")];
    Vec<u8>: (value, read) => vec![blob(&value, read)];
    &'static [u8]: (value, read) => vec![blob(value, read)];
    ResourceContents: (value, _read) => vec![value];
    TextResourceContents: (value, _read) => vec![ResourceContents::Text(value)];
    BlobResourceContents: (value, _read) => vec![ResourceContents::Blob(value)];
    Vec<ResourceContents>: (value, _read) => value;
}

fn text(value: String, read: &Read, or: &str) -> ResourceContents {
    let mut contents = TextResourceContents::new(value, read.uri.clone());
    contents.mime_type = Some(read.mime_type.as_deref().unwrap_or(or).to_owned());
    ResourceContents::Text(contents)
}

fn blob(value: &[u8], read: &Read) -> ResourceContents {
    let mut contents = BlobResourceContents::new(STANDARD.encode(value), read.uri.clone());
    let mime_type = read.mime_type.as_deref().unwrap_or("application/octet-stream");
    contents.mime_type = Some(mime_type.to_owned());
    ResourceContents::Blob(contents)
}

/// Data as JSON text, `application/json` unless the definition says otherwise.
impl<T: Serialize> IntoResourceResult for Json<T> {
    fn into_resource_result(self, read: &Read) -> Result<ReadResourceResult, ErrorObject> {
        let value = serde_json::to_string(&self.0).map_err(|error| {
            tracing::error!(%error, uri = read.uri, "the resource cannot be written as JSON");
            ErrorObject::internal("the resource cannot be written as JSON")
        })?;
        Ok(ReadResourceResult::new(vec![text(value, read, "application/json")]))
    }
}

impl IntoResourceResult for ReadResourceResult {
    fn into_resource_result(self, _: &Read) -> Result<ReadResourceResult, ErrorObject> {
        Ok(self)
    }
}

impl<T: IntoResourceResult> IntoResourceResult for Option<T> {
    fn into_resource_result(self, read: &Read) -> Result<ReadResourceResult, ErrorObject> {
        self.ok_or_else(|| read.not_found())?.into_resource_result(read)
    }
}

impl<T: IntoResourceResult, E: Into<ToolError> + 'static> IntoResourceResult for Result<T, E> {
    fn into_resource_result(self, read: &Read) -> Result<ReadResourceResult, ErrorObject> {
        self.map_err(protocol_error)?.into_resource_result(read)
    }
}

/// Contents, and for how long and for whom a client may keep them (specification, "Caching").
///
/// ```
/// use std::time::Duration;
/// use mcp_server::{CacheHint, Cached, server, types::Resource};
///
/// let server = server!().resource_fn(Resource::new("rates", "bank://rates"), async |_cx, _read| {
///     Cached("EUR 1.08", CacheHint::public(Duration::from_secs(60)))
/// });
/// # server.build()?;
/// # Ok::<(), mcp_server::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cached<T>(pub T, pub CacheHint);

impl<T: IntoResourceResult> IntoResourceResult for Cached<T> {
    fn into_resource_result(self, read: &Read) -> Result<ReadResourceResult, ErrorObject> {
        let mut result = self.0.into_resource_result(read)?;
        result.ttl_ms = Some(self.1.ttl_ms());
        result.cache_scope = Some(self.1.scope());
        Ok(result)
    }
}
