//! The builder's part about prompts, resources, completions and listings.

use std::future::Future;

use mcp_types::{
    CompleteReference, Prompt as PromptDefinition, PromptReference, RequestContext,
    Resource as Definition, ResourceTemplateReference,
};

use super::{prompted, resourced};
use crate::completion::{self, CompleteFn};
use crate::listing::{CacheHint, Listing, Offer};
use crate::prompt::{PromptArguments, PromptFn};
use crate::resource::{Fixed, ResourceFn};
use crate::{
    Complete, Completing, Context, IntoCompletion, IntoPromptResult, IntoResourceResult, Prompt,
    Read, Resource, ResourceDefinition, ServerBuilder,
};

impl<S: Send + Sync + 'static> ServerBuilder<S> {
    /// Adds the prompt that `#[prompt]` made of the function `T`.
    pub fn prompt<T: Prompt<S> + Default>(self) -> Self {
        self.add_prompt(T::default())
    }

    /// Adds a prompt that is a value.
    pub fn add_prompt(self, prompt: impl Prompt<S>) -> Self {
        self.add_boxed_prompt(Box::new(prompt))
    }

    pub(crate) fn add_boxed_prompt(mut self, prompt: Box<dyn Prompt<S>>) -> Self {
        self.parts.may_log |= prompt.may_log();
        self.parts.draft.prompts.push(prompted(prompt, &self.state));
        self
    }

    /// Adds a prompt that is known only at run time: a definition, and what to do with the
    /// arguments. The required ones are there, and none that the definition does not name.
    ///
    /// ```
    /// use mcp_server::{Server, types::{Prompt, PromptArgument}};
    ///
    /// let mut review = Prompt::new("review");
    /// let mut code = PromptArgument::new("code");
    /// code.required = Some(true);
    /// review.arguments = Some(vec![code]);
    /// let server = Server::new("example", "1.0.0")
    ///     .prompt_fn(review, async |_cx, mut arguments| {
    ///         format!("Review this code:\n{}", arguments.remove("code").unwrap_or_default())
    ///     })
    ///     .build()?;
    /// # Ok::<(), mcp_server::BuildError>(())
    /// ```
    pub fn prompt_fn<F, Fut>(self, definition: PromptDefinition, run: F) -> Self
    where
        F: Fn(Context<S>, PromptArguments) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoPromptResult> + Send + 'static,
    {
        self.add_prompt(PromptFn { definition, run })
    }

    /// Adds the resource that `#[resource]` made of the function `T`.
    pub fn resource<T: Resource<S> + Default>(self) -> Self {
        self.add_resource(T::default())
    }

    /// Adds a resource that is a value.
    ///
    /// A URI is looked up among the resources first and then held against the templates, in the
    /// order in which they were added.
    pub fn add_resource(self, resource: impl Resource<S>) -> Self {
        self.add_boxed_resource(Box::new(resource))
    }

    pub(crate) fn add_boxed_resource(mut self, resource: Box<dyn Resource<S>>) -> Self {
        self.parts.may_log |= resource.may_log();
        self.parts.draft.resources.push(resourced(resource, &self.state));
        self
    }

    /// Adds a resource that is known only at run time: a definition, and what to do when somebody
    /// reads it. A template is one as well.
    ///
    /// ```
    /// use mcp_server::{Read, Server, types::{Resource, ResourceTemplate}};
    ///
    /// let server = Server::new("example", "1.0.0")
    ///     .resource_fn(Resource::new("motd", "town://motd"), async |_cx, _read| "All is well.")
    ///     .resource_fn(ResourceTemplate::new("house", "town://houses/{number}"), async |_cx, read: Read| {
    ///         let number = read.variables.get("number")?;
    ///         (number != "13").then(|| format!("House {number}"))
    ///     })
    ///     .build()?;
    /// # Ok::<(), mcp_server::BuildError>(())
    /// ```
    pub fn resource_fn<F, Fut>(self, definition: impl Into<ResourceDefinition>, run: F) -> Self
    where
        F: Fn(Context<S>, Read) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoResourceResult> + Send + 'static,
    {
        self.add_resource(ResourceFn { definition: definition.into(), run })
    }

    /// Adds a resource whose contents do not change: text, or bytes such as those of
    /// `include_bytes!`. Its `size` is filled in.
    ///
    /// ```
    /// use mcp_server::{Server, types::Resource};
    ///
    /// let server = Server::new("example", "1.0.0")
    ///     .static_resource(Resource::new("licence", "doc://licence"), "Do as you like.")
    ///     .static_resource(Resource::new("dot", "doc://dot"), &b"\x89PNG"[..])
    ///     .build()?;
    /// # Ok::<(), mcp_server::BuildError>(())
    /// ```
    pub fn static_resource<T>(self, mut definition: Definition, contents: T) -> Self
    where
        T: IntoResourceResult + AsRef<[u8]> + Clone + Send + Sync + 'static,
    {
        let size = i64::try_from(contents.as_ref().len()).ok();
        definition.size = definition.size.or(size);
        self.add_resource(Fixed { definition, contents })
    }

    /// Completes an argument of a prompt while a user types it.
    ///
    /// The prompt may be added before or after; when the server is built it must be there, and must
    /// have the argument.
    pub fn complete_prompt<F, Fut>(
        self,
        prompt: impl Into<String>,
        argument: impl Into<String>,
        complete: F,
    ) -> Self
    where
        F: Fn(Context<S>, Completing) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoCompletion> + Send + 'static,
    {
        let target = CompleteReference::Prompt(PromptReference::new(prompt));
        self.add_completion(target, argument, CompleteFn(complete))
    }

    /// Completes a variable of a template while a user types it; see
    /// [`complete_prompt`](Self::complete_prompt).
    pub fn complete_resource<F, Fut>(
        self,
        template: impl Into<String>,
        variable: impl Into<String>,
        complete: F,
    ) -> Self
    where
        F: Fn(Context<S>, Completing) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoCompletion> + Send + 'static,
    {
        let target = CompleteReference::Resource(ResourceTemplateReference::new(template));
        self.add_completion(target, variable, CompleteFn(complete))
    }

    /// Completes an argument of a prompt, or a variable of a template, by a value that can.
    pub fn add_completion(
        mut self,
        target: CompleteReference,
        argument: impl Into<String>,
        complete: impl Complete<S>,
    ) -> Self {
        let state = self.state.clone();
        let handler = completion::Bound { complete: Box::new(complete), state };
        self.parts.draft.completions.push((target, argument.into(), Box::new(handler)));
        self
    }

    /// Shows only what `rule` lets through: everything else is missing from the listings, and a
    /// call of it finds what is unknown. A second rule narrows the first.
    ///
    /// The rule sees what a request brought with it, such as the identity that an outer layer
    /// proved. It may depend on nothing else: what a client sees must not vary with its connection
    /// or with what it asked before (specification, "Capabilities" of tools, prompts and resources).
    /// Listings under a rule are never declared public to caches. A layer that lists by itself, as
    /// signing does once when a server starts, has no identity and sees what a stranger sees.
    ///
    /// ```
    /// use mcp_server::{Offer, server, tool, types::Principal};
    ///
    /// /// Deletes everything.
    /// #[tool]
    /// async fn wipe() {}
    ///
    /// let server = server!().tool::<wipe>().visible(|request, offer| {
    ///     let may = |principal: &Principal| principal.scopes.contains("admin");
    ///     offer.name() != "wipe" || request.extensions.get().is_some_and(may)
    /// });
    /// # server.build()?;
    /// # Ok::<(), mcp_server::BuildError>(())
    /// ```
    pub fn visible(
        mut self,
        rule: impl Fn(&RequestContext, Offer<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        let so_far = std::mem::take(&mut self.parts.draft.visibility);
        self.parts.draft.visibility = so_far.and(rule);
        self
    }

    /// Lets nobody list, read or subscribe to a resource but those to whom `list` gives it; see
    /// [`ResourceAccess`](crate::ResourceAccess). A second list takes the place of the first, and rules
    /// of [`visible`](Self::visible) narrow it. Listings and what is read are never declared public to caches.
    #[cfg(feature = "glob")]
    pub fn resource_access(mut self, list: crate::ResourceAccess) -> Self {
        let so_far = std::mem::take(&mut self.parts.draft.visibility);
        self.parts.draft.visibility = so_far.under(std::sync::Arc::new(list));
        self
    }

    /// Says how long all listings, and what `server/discover` tells, may be kept. Without it they
    /// are stale at once, and private.
    pub fn cache(mut self, hint: CacheHint) -> Self {
        self.parts.draft.hints.set_general(hint);
        self
    }

    /// Says how long one listing may be kept.
    pub fn cache_listing(mut self, listing: Listing, hint: CacheHint) -> Self {
        self.parts.draft.hints.set(listing, hint);
        self
    }

    /// Declares that a listing may change while the server runs, even if it is empty now: clients
    /// can subscribe to its changes, and an [`Editor`](crate::Editor) may make them.
    pub fn changing(mut self, listing: Listing) -> Self {
        self.parts.draft.changing.push(listing);
        self
    }
}
