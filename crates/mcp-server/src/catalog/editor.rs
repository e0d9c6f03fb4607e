//! Changes of what a running server offers.

use std::future::Future;
use std::sync::Arc;

use mcp_types::{Prompt as PromptDefinition, RawText, Tool as ToolDefinition};

use super::{AnyResource, prompted, resourced};
use crate::lifespan::Source;
use crate::listing::Listing;
use crate::prompt::{PromptArguments, PromptFn};
use crate::resource::ResourceFn;
use crate::server::{servable, tooled};
use crate::tool::ToolFn;
use crate::{
    BuildError, Context, IntoPromptResult, IntoResourceResult, IntoToolResult, Prompt, Read,
    Resource, ResourceDefinition, Server, Tool,
};

/// Adds to and takes from what a running server offers, and tells the clients that subscribed.
///
/// [`Server::editor`] gives one to the program around the server, [`Context::editor`] to a handler.
/// The server must have declared that the listing may change, with
/// [`changing`](crate::ServerBuilder::changing); what is under way when a tool is taken away still
/// ends as it would have. A handler should not change a listing as a side effect that its caller
/// does not expect: what a client sees must not vary with what *it* asked before.
///
/// ```
/// use mcp_server::{Listing, server, types::{JsonSchema, Tool}};
///
/// let server = server!().changing(Listing::Tools).build()?;
/// let editor = server.editor();
/// let ping = Tool::new("ping", JsonSchema::empty_object());
/// editor.tool_fn(ping, async |_cx, _arguments| "pong")?;
/// assert_eq!(server.tools().len(), 1);
/// assert!(editor.remove_tool("ping"));
/// assert_eq!(server.tools().len(), 0);
///
/// // Clients were told that there are no prompts, and there never will be.
/// # use mcp_server::types::Prompt;
/// assert!(editor.prompt_fn(Prompt::new("hello"), async |_cx, _arguments| "Hello!").is_err());
/// # Ok::<(), mcp_server::BuildError>(())
/// ```
pub struct Editor<S = ()> {
    server: Server,
    state: Source<S>,
}

impl Server {
    /// Changes what the server offers, if it declared that this may change.
    pub fn editor(&self) -> Editor {
        Editor { server: self.clone(), state: Source::there(()) }
    }
}

impl<S: Send + Sync + 'static> Context<S> {
    /// Changes what the server offers; what is added sees the state of this call.
    pub fn editor(&self) -> Editor<S> {
        Editor { server: self.server().clone(), state: Source::from(self.shared_state().clone()) }
    }
}

impl<S: Send + Sync + 'static> Editor<S> {
    /// An editor whose additions see this state.
    pub fn with_state<T: Send + Sync + 'static>(self, state: Arc<T>) -> Editor<T> {
        Editor { server: self.server, state: Source::from(state) }
    }

    /// Adds a tool.
    ///
    /// # Errors
    ///
    /// [`BuildError`]: the tool could not have been built in, its name is taken, or the server did
    /// not declare that its tools change.
    pub fn add_tool(&self, tool: impl Tool<S>) -> Result<(), BuildError> {
        self.may_change(Listing::Tools)?;
        let server = &self.server.0;
        let new = servable(tooled(Box::new(tool), &self.state)?, server.tasks.is_some())?;
        let added = server.tools.add(new);
        added.map_err(|name| BuildError::DuplicateName { name })?;
        self.changed(Listing::Tools);
        Ok(())
    }

    /// Adds a tool that is a definition and a closure; see
    /// [`ServerBuilder::tool_fn`](crate::ServerBuilder::tool_fn).
    ///
    /// # Errors
    ///
    /// As [`Editor::add_tool`].
    pub fn tool_fn<F, Fut>(&self, definition: ToolDefinition, run: F) -> Result<(), BuildError>
    where
        F: Fn(Context<S>, RawText) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoToolResult> + Send + 'static,
    {
        self.add_tool(ToolFn { definition, run })
    }

    /// Takes a tool away; `false` when there is none of this name, or tools do not change.
    pub fn remove_tool(&self, name: &str) -> bool {
        self.remove(Listing::Tools, || self.server.0.tools.remove(name))
    }

    /// Adds a prompt. It is completed only on a server that completed something when it was built.
    ///
    /// # Errors
    ///
    /// As [`Editor::add_tool`].
    pub fn add_prompt(&self, prompt: impl Prompt<S>) -> Result<(), BuildError> {
        self.may_change(Listing::Prompts)?;
        let new = prompted(Box::new(prompt), &self.state)?;
        let added = self.server.0.catalog.prompts.add(new);
        added.map_err(|name| BuildError::DuplicatePrompt { name })?;
        self.changed(Listing::Prompts);
        Ok(())
    }

    /// Adds a prompt that is a definition and a closure; see
    /// [`ServerBuilder::prompt_fn`](crate::ServerBuilder::prompt_fn).
    ///
    /// # Errors
    ///
    /// As [`Editor::add_tool`].
    pub fn prompt_fn<F, Fut>(&self, definition: PromptDefinition, run: F) -> Result<(), BuildError>
    where
        F: Fn(Context<S>, PromptArguments) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoPromptResult> + Send + 'static,
    {
        self.add_prompt(PromptFn { definition, run })
    }

    /// Takes a prompt away; `false` when there is none of this name, or prompts do not
    /// change.
    pub fn remove_prompt(&self, name: &str) -> bool {
        self.remove(Listing::Prompts, || self.server.0.catalog.prompts.remove(name))
    }

    /// Adds a resource, or the resources of a template.
    ///
    /// # Errors
    ///
    /// As [`Editor::add_tool`].
    pub fn add_resource(&self, resource: impl Resource<S>) -> Result<(), BuildError> {
        let catalog = &self.server.0.catalog;
        let duplicate = |uri| BuildError::DuplicateResource { uri };
        let listing = match resourced(Box::new(resource), &self.state)? {
            AnyResource::One(one) => {
                self.may_change(Listing::Resources)?;
                catalog.resources.add(one).map_err(duplicate)?;
                Listing::Resources
            }
            AnyResource::Many(many) => {
                self.may_change(Listing::ResourceTemplates)?;
                catalog.templates.add(many).map_err(duplicate)?;
                Listing::ResourceTemplates
            }
        };
        self.changed(listing);
        Ok(())
    }

    /// Adds a resource that is a definition and a closure; see
    /// [`ServerBuilder::resource_fn`](crate::ServerBuilder::resource_fn).
    ///
    /// # Errors
    ///
    /// As [`Editor::add_tool`].
    pub fn resource_fn<F, Fut>(
        &self,
        definition: impl Into<ResourceDefinition>,
        run: F,
    ) -> Result<(), BuildError>
    where
        F: Fn(Context<S>, Read) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoResourceResult> + Send + 'static,
    {
        self.add_resource(ResourceFn { definition: definition.into(), run })
    }

    /// Takes a resource away, by its URI or its template; `false` when there is none, or
    /// resources do not change.
    pub fn remove_resource(&self, uri: &str) -> bool {
        let catalog = &self.server.0.catalog;
        self.remove(Listing::Resources, || catalog.resources.remove(uri))
            || self.remove(Listing::ResourceTemplates, || catalog.templates.remove(uri))
    }

    fn may_change(&self, listing: Listing) -> Result<(), BuildError> {
        match self.server.0.catalog.changing.contains(&listing) {
            true => Ok(()),
            false => Err(BuildError::Unchanging { listing }),
        }
    }

    fn remove(&self, listing: Listing, remove: impl FnOnce() -> bool) -> bool {
        let removed = self.may_change(listing).is_ok() && remove();
        if removed {
            self.changed(listing);
        }
        removed
    }

    fn changed(&self, listing: Listing) {
        self.server.0.list_changed(listing);
    }
}

impl<S> Clone for Editor<S> {
    fn clone(&self) -> Self {
        Self { server: self.server.clone(), state: self.state.clone() }
    }
}

impl<S> std::fmt::Debug for Editor<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Editor").field("server", &self.server).finish_non_exhaustive()
    }
}
