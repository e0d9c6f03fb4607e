//! Requests about prompts, resources, completions and listings.

use std::collections::BTreeMap;

use mcp_types::{
    CacheScope, ClientRequest, CompleteReference, CompleteRequestParams, ErrorObject,
    ExchangeFuture, GetPromptRequestParams, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, Outcome, RequestContext, ServerResult,
};
use tracing::Span;

use super::{Catalog, has_argument};
use crate::Server;
use crate::completion::{self, Completions};
use crate::listing::{Listing, Offer, ResourceAction};
use crate::nearest::hint;
use crate::registry::{Page, Registry};
use crate::resource::not_found_near;
use crate::service::{Incoming, ServerFuture, shown};

impl Server {
    /// Starts what answers a request that is no call of a tool.
    pub(crate) fn serve(
        &self,
        span: Span,
        request: ClientRequest,
        incoming: Incoming,
    ) -> ServerFuture {
        match request {
            ClientRequest::GetPrompt(params) => self.get_prompt(span, params, incoming),
            ClientRequest::ReadResource(params) => self.read_resource(span, params.uri, incoming),
            ClientRequest::Complete(params) => self.complete(span, *params, incoming),
            other => {
                let listed = span.in_scope(|| self.list(&other, &incoming.request));
                ServerFuture::ready(&span, listed.map(Outcome::from))
            }
        }
    }

    fn get_prompt(
        &self,
        span: Span,
        params: GetPromptRequestParams,
        incoming: Incoming,
    ) -> ServerFuture {
        let catalog = &self.0.catalog;
        let GetPromptRequestParams { name, arguments, .. } = params;
        let prompt = catalog.prompts.find(&name);
        let visible = |listed: &_| catalog.visibility.shows(&incoming.request, listed);
        let Some(prompt) = prompt.filter(|prompt| visible(&**prompt.listed)) else {
            return ServerFuture::ready(&span, Err(catalog.no_prompt(&name, &incoming.request)));
        };
        let arguments = arguments.unwrap_or_default();
        ServerFuture::start(span, || prompt.handler.handler.get(name, arguments, incoming))
    }

    fn read_resource(&self, span: Span, uri: String, incoming: Incoming) -> ServerFuture {
        let Catalog { resources, templates, visibility, .. } = &self.0.catalog;
        let request = &incoming.request;
        if !visibility.lets(request, ResourceAction::Read, &uri) {
            let error = self.0.catalog.no_resource(&uri, request);
            return ServerFuture::ready(&span, Err(error));
        }
        let is_private = visibility.has_access_list();
        let one = resources.find(&uri);
        if let Some(one) = one.filter(|one| visibility.shows(request, &**one.listed)) {
            let read = || one.handler.read(uri, BTreeMap::new(), incoming);
            return ServerFuture::start(span, || kept_private(is_private, read()));
        }
        let found = templates.search(|entry| {
            let shown = visibility.shows(request, &**entry.listed);
            if shown { entry.handler.template.matches(&uri) } else { None }
        });
        match found {
            Some((entry, variables)) => {
                let read = || entry.handler.handler.read(uri, variables, incoming);
                ServerFuture::start(span, || kept_private(is_private, read()))
            }
            None => ServerFuture::ready(&span, Err(self.0.catalog.no_resource(&uri, request))),
        }
    }

    fn complete(
        &self,
        span: Span,
        params: CompleteRequestParams,
        incoming: Incoming,
    ) -> ServerFuture {
        let Catalog { prompts, resources, templates, visibility, completes, .. } = &self.0.catalog;
        if !completes {
            return ServerFuture::ready(
                &span,
                Err(ErrorObject::method_not_found("completion/complete")),
            );
        }
        let request = &incoming.request;
        let argument = params.argument.name.clone();
        match &params.r#ref {
            CompleteReference::Prompt(reference) => {
                let prompt = prompts.find(&reference.name);
                let Some(prompt) = prompt.filter(|it| visibility.shows(request, &**it.listed))
                else {
                    let error = self.0.catalog.no_prompt(&reference.name, request);
                    return ServerFuture::ready(&span, Err(error));
                };
                let is_known = has_argument(&prompt.listed, &argument);
                suggest(span, &prompt.handler.completions, is_known, params, incoming)
            }
            CompleteReference::Resource(reference) => {
                let uri = &reference.uri;
                let is_meant = |template: &crate::UriTemplate| {
                    template.as_str() == uri || template.matches(uri).is_some()
                };
                let template = templates.search(|entry| {
                    let shown = visibility.lists(request, &**entry.listed);
                    (shown && is_meant(&entry.handler.template)).then_some(())
                });
                if let Some((entry, ())) = template {
                    let is_known = entry.handler.template.variables().any(|name| name == argument);
                    return suggest(span, &entry.handler.completions, is_known, params, incoming);
                }
                let one = resources.find(uri);
                ServerFuture::ready(
                    &span,
                    Err(match one.filter(|one| visibility.lists(request, &**one.listed)) {
                        Some(_) => no_argument(&argument),
                        None => self.0.catalog.no_resource(uri, request),
                    }),
                )
            }
            _ => ServerFuture::ready(
                &span,
                Err(ErrorObject::invalid_params(
                    "the reference is none of `ref/prompt` and `ref/resource`",
                )),
            ),
        }
    }

    fn list(
        &self,
        request: &ClientRequest,
        context: &RequestContext,
    ) -> Result<ServerResult, ErrorObject> {
        let (tools, catalog) = (&self.0.tools, &self.0.catalog);
        let declared = &self.0.discover.capabilities;
        match request {
            ClientRequest::Discover(_) => Ok(self.0.discover.clone().into()),
            ClientRequest::ListTools(params) if declared.tools.is_some() => {
                let (page, next) = catalog.page(tools, params.cursor.as_deref(), context)?;
                let mut result = ListToolsResult::new(page.into());
                result.next_cursor = next;
                if let Some(hint) = catalog.hints.of(Listing::Tools) {
                    (result.ttl_ms, result.cache_scope) = (Some(hint.ttl_ms()), Some(hint.scope()));
                }
                Ok(ServerResult::ListTools(result))
            }
            ClientRequest::ListPrompts(params) if declared.prompts.is_some() => {
                let (page, next) =
                    catalog.page(&catalog.prompts, params.cursor.as_deref(), context)?;
                let mut result = ListPromptsResult::new(page.into());
                result.next_cursor = next;
                if let Some(hint) = catalog.hints.of(Listing::Prompts) {
                    (result.ttl_ms, result.cache_scope) = (Some(hint.ttl_ms()), Some(hint.scope()));
                }
                Ok(ServerResult::ListPrompts(result))
            }
            ClientRequest::ListResources(params) if declared.resources.is_some() => {
                let (page, next) =
                    catalog.page(&catalog.resources, params.cursor.as_deref(), context)?;
                let mut result = ListResourcesResult::new(page.into());
                result.next_cursor = next;
                if let Some(hint) = catalog.hints.of(Listing::Resources) {
                    (result.ttl_ms, result.cache_scope) = (Some(hint.ttl_ms()), Some(hint.scope()));
                }
                Ok(ServerResult::ListResources(result))
            }
            ClientRequest::ListResourceTemplates(params) if declared.resources.is_some() => {
                let (page, next) =
                    catalog.page(&catalog.templates, params.cursor.as_deref(), context)?;
                let mut result = ListResourceTemplatesResult::new(page.into());
                result.next_cursor = next;
                if let Some(hint) = catalog.hints.of(Listing::ResourceTemplates) {
                    (result.ttl_ms, result.cache_scope) = (Some(hint.ttl_ms()), Some(hint.scope()));
                }
                Ok(ServerResult::ListResourceTemplates(result))
            }
            other => Err(ErrorObject::method_not_found(other.method())),
        }
    }
}

impl Catalog {
    /// Whether there is something under the URI, and nothing of it for this request; or an access list
    /// that keeps it from hearing of whatever there is.
    pub(crate) fn hides(&self, request: &RequestContext, uri: &str) -> bool {
        if !self.visibility.is_limited() {
            return false;
        }
        if !self.visibility.lets(request, ResourceAction::Subscribe, uri) {
            return true;
        }
        let shows_one = |shown: bool| shown.then_some(());
        let one = self.resources.find(uri);
        let is_shown =
            one.as_ref().is_some_and(|one| self.visibility.shows(request, &**one.listed))
                || self
                    .templates
                    .search(|entry| {
                        let shown = self.visibility.shows(request, &**entry.listed);
                        shows_one(shown && entry.handler.template.matches(uri).is_some())
                    })
                    .is_some();
        let is_there = || {
            let matches = |template: &crate::UriTemplate| template.matches(uri).is_some();
            one.is_some()
                || self.templates.search(|it| shows_one(matches(&it.handler.template))).is_some()
        };
        !is_shown && is_there()
    }

    #[cold]
    fn no_prompt(&self, name: &str, request: &RequestContext) -> ErrorObject {
        let near = self.prompts.near(name, |prompt| self.visibility.shows(request, prompt));
        let hint = hint(near.as_deref(), "see `prompts/list`");
        ErrorObject::invalid_params(format!("there is no prompt `{}`, {hint}", shown(name)))
    }

    #[cold]
    fn no_resource(&self, uri: &str, request: &RequestContext) -> ErrorObject {
        let near = self.resources.near(uri, |one| self.visibility.lists(request, one));
        not_found_near(uri, near.as_deref())
    }

    /// One page of a listing, as the request may see it.
    fn page<T, H: ?Sized>(
        &self,
        registry: &Registry<T, H>,
        cursor: Option<&str>,
        request: &RequestContext,
    ) -> Result<Page<T>, ErrorObject>
    where
        for<'d> Offer<'d>: From<&'d T>,
    {
        let page = registry.page(cursor, |definition| self.visibility.lists(request, definition));
        page.ok_or_else(bad_cursor)
    }
}

fn suggest(
    span: Span,
    completions: &Completions,
    is_known: bool,
    params: CompleteRequestParams,
    incoming: Incoming,
) -> ServerFuture {
    match completions.get(&params.argument.name) {
        Some(handler) => ServerFuture::start(span, || handler.complete(params, incoming)),
        None if is_known => ServerFuture::ready(&span, Ok(completion::nothing().into())),
        None => ServerFuture::ready(&span, Err(no_argument(&params.argument.name))),
    }
}

/// A result that depends on who reads is nobody else's, whatever the resource says of it.
fn kept_private(is_private: bool, reading: ExchangeFuture) -> ExchangeFuture {
    if !is_private {
        return reading;
    }
    Box::pin(async move {
        let mut outcome = reading.await?;
        if let Outcome::Complete(ServerResult::ReadResource(result)) = &mut outcome {
            result.cache_scope = result.cache_scope.as_ref().map(|_| CacheScope::Private);
        }
        Ok(outcome)
    })
}

#[cold]
fn bad_cursor() -> ErrorObject {
    ErrorObject::invalid_params("the cursor is not one of this server, list again from the start")
}

#[cold]
fn no_argument(name: &str) -> ErrorObject {
    let message = format!("there is no argument `{}` to complete", shown(name));
    ErrorObject::invalid_params(message)
}
