//! Resources: data that a client reads by its URI (specification, "Resources").

#[cfg(feature = "glob")]
mod access;
#[cfg(feature = "glob")]
mod place;
mod result;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use mcp_types::{
    BoxFuture, ErrorObject, ExchangeFuture, ReadResourceResult, Resource as Definition,
    ResourceTemplate, ServerResult,
};

#[cfg(feature = "glob")]
pub use access::{PatternError, ResourceAccess, Who};
pub use result::{Cached, IntoResourceResult};

use crate::completion::Complete;
use crate::lifespan::Source;
use crate::nearest::hint;
use crate::service::{Incoming, refused, shown};
use crate::{BuildError, Context};

/// The future of a resource's contents.
pub type ResourceFuture = BoxFuture<'static, Result<ReadResourceResult, ErrorObject>>;

/// A resource of a server whose state is `S`: one URI, or all that a template gives.
///
/// [`#[resource]`](macro@crate::resource) writes it for a function. By hand it is for resources that are
/// known only at run time, though [`resource_fn`](crate::ServerBuilder::resource_fn) is shorter.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a resource of a server whose state is `{S}`",
    note = "mark the function with `#[resource(\"…\")]`",
    note = "when the resource takes `Context<T>` or `State<T>`, call `.state(...)` before you add it"
)]
pub trait Resource<S = ()>: Send + Sync + 'static {
    /// What the listings say about it. Asked once, when the resource is added.
    ///
    /// # Errors
    ///
    /// When the resource cannot describe itself; the server is not built then.
    fn definition(&self) -> Result<ResourceDefinition, BuildError>;

    /// Reads it. Dropping the future cancels it.
    ///
    /// What the resource asks of the client through `cx` goes before what it returns.
    fn read(&self, cx: Context<S>, read: Read) -> ResourceFuture;

    /// What completes the variables of its template, by their names.
    fn completions(&self) -> Vec<(String, Box<dyn Complete<S>>)> {
        Vec::new()
    }

    /// Whether it may send log messages: the server then declares the capability `logging`.
    fn may_log(&self) -> bool {
        true
    }
}

/// What the listings say about a resource.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ResourceDefinition {
    /// One URI, which `resources/list` names.
    Resource(Box<Definition>),
    /// All URIs of a template, which `resources/templates/list` names.
    Template(Box<ResourceTemplate>),
}

impl From<Definition> for ResourceDefinition {
    fn from(definition: Definition) -> Self {
        Self::Resource(Box::new(definition))
    }
}

impl From<ResourceTemplate> for ResourceDefinition {
    fn from(definition: ResourceTemplate) -> Self {
        Self::Template(Box::new(definition))
    }
}

impl ResourceDefinition {
    /// The URI or the template.
    pub fn uri(&self) -> &str {
        match self {
            Self::Resource(definition) => &definition.uri,
            Self::Template(definition) => &definition.uri_template,
        }
    }

    fn mime_type(&self) -> Option<&String> {
        match self {
            Self::Resource(definition) => definition.mime_type.as_ref(),
            Self::Template(definition) => definition.mime_type.as_ref(),
        }
    }
}

/// One reading of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Read {
    /// The URI that was asked for.
    pub uri: String,
    /// The media type that the definition gives.
    pub mime_type: Option<Arc<str>>,
    /// What the variables of the template stand for, percent-decoded: a value may hold any
    /// character, so never join it to a path unchecked. Empty for a resource without a template.
    pub variables: BTreeMap<String, String>,
}

impl Read {
    /// There is no such resource, or none for this caller: the two must look the same.
    ///
    /// A resource that returns `Option` says it with `None`.
    pub fn not_found(&self) -> ErrorObject {
        not_found(&self.uri)
    }
}

/// The error for a URI that leads nowhere (specification, "Resources", error handling).
#[cold]
pub(crate) fn not_found(uri: &str) -> ErrorObject {
    not_found_near(uri, None)
}

/// The same error with the URI that was probably meant.
#[cold]
pub(crate) fn not_found_near(uri: &str, near: Option<&str>) -> ErrorObject {
    let hint = hint(near, "see `resources/list` and its templates");
    let message = format!("there is no resource `{}`, {hint}", shown(uri));
    ErrorObject::invalid_params(message).with_data(&BTreeMap::from([("uri", uri)]))
}

/// A resource together with the state of its server.
pub(crate) trait Handler: Send + Sync {
    fn read(
        &self,
        uri: String,
        variables: BTreeMap<String, String>,
        incoming: Incoming,
    ) -> ExchangeFuture;
}

pub(crate) struct Bound<S> {
    resource: Box<dyn Resource<S>>,
    state: Source<S>,
    mime_type: Option<Arc<str>>,
}

impl<S> Bound<S> {
    pub(crate) fn new(
        resource: Box<dyn Resource<S>>,
        state: Source<S>,
        definition: &ResourceDefinition,
    ) -> Self {
        let mime_type = definition.mime_type().map(|mime_type| Arc::from(mime_type.as_str()));
        Self { resource, state, mime_type }
    }
}

impl<S: Send + Sync + 'static> Handler for Bound<S> {
    fn read(
        &self,
        uri: String,
        variables: BTreeMap<String, String>,
        incoming: Incoming,
    ) -> ExchangeFuture {
        let state = match self.state.get() {
            Ok(state) => state,
            Err(error) => return refused(error),
        };
        let cx = Context::enter(uri.clone(), incoming, state);
        let read = Read { uri, mime_type: self.mime_type.clone(), variables };
        let running = self.resource.read(cx.clone(), read);
        Box::pin(async move {
            let result = running.await;
            cx.suspension().unwrap_or_else(|| {
                let mut result = result?;
                let request = cx.request();
                if request.input_responses.is_some() || request.request_state.is_some() {
                    // What answers brought about is no answer to the bare URI ("Cache key").
                    (result.ttl_ms, result.cache_scope) = (None, None);
                }
                Ok(ServerResult::ReadResource(result).into())
            })
        })
    }
}

/// A resource made of a definition and a closure.
pub(crate) struct ResourceFn<F> {
    pub(crate) definition: ResourceDefinition,
    pub(crate) run: F,
}

impl<S, F, Fut> Resource<S> for ResourceFn<F>
where
    S: Send + Sync + 'static,
    F: Fn(Context<S>, Read) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoResourceResult> + Send + 'static,
{
    fn definition(&self) -> Result<ResourceDefinition, BuildError> {
        Ok(self.definition.clone())
    }

    fn read(&self, cx: Context<S>, read: Read) -> ResourceFuture {
        let running = (self.run)(cx, read.clone());
        Box::pin(async move { running.await.into_resource_result(&read) })
    }
}

/// Text or bytes that do not change.
pub(crate) struct Fixed<T> {
    pub(crate) definition: Definition,
    pub(crate) contents: T,
}

impl<S, T: IntoResourceResult + Clone + Send + Sync + 'static> Resource<S> for Fixed<T> {
    fn definition(&self) -> Result<ResourceDefinition, BuildError> {
        Ok(self.definition.clone().into())
    }

    fn read(&self, _: Context<S>, read: Read) -> ResourceFuture {
        let result = self.contents.clone().into_resource_result(&read);
        Box::pin(std::future::ready(result))
    }

    fn may_log(&self) -> bool {
        false
    }
}
