//! All that a server offers beside its tools, and what holds for every listing.

mod builder;
mod check;
mod editor;
mod serve;

use mcp_types::{
    CompleteReference, Prompt as PromptDefinition, RawText, Resource as Definition,
    ResourceTemplate, ServerCapabilities, ServerCapabilitiesPrompts, ServerCapabilitiesResources,
    ServerCapabilitiesTools,
};

pub use editor::Editor;

use crate::completion::{self, Completions};
use crate::lifespan::Source;
use crate::listing::{CacheHints, Listing, Visibility};
use crate::registry::{New, Registry};
use crate::resource::ResourceDefinition;
use crate::server::{listed, unwritable};
use crate::{BuildError, Prompt, Resource, UriTemplate, prompt, resource};

/// A prompt, ready to be asked for.
pub(crate) struct Prompted {
    handler: Box<dyn prompt::Handler>,
    completions: Completions,
}

/// The resources under a template, ready to be read.
pub(crate) struct Templated {
    template: UriTemplate,
    handler: Box<dyn resource::Handler>,
    completions: Completions,
}

type NewPrompt = New<PromptDefinition, Prompted>;
type NewResource = New<Definition, dyn resource::Handler>;
type NewTemplate = New<ResourceTemplate, Templated>;

/// A resource of either kind.
enum AnyResource {
    One(NewResource),
    Many(NewTemplate),
}

/// What is offered, while the server is made. What went wrong is told by `build`.
#[derive(Default)]
pub(crate) struct Draft {
    prompts: Vec<Result<NewPrompt, BuildError>>,
    resources: Vec<Result<AnyResource, BuildError>>,
    completions: Vec<(CompleteReference, String, Box<dyn completion::Handler>)>,
    visibility: Visibility,
    hints: CacheHints,
    changing: Vec<Listing>,
}

/// What is offered, beside tools.
pub(crate) struct Catalog {
    prompts: Registry<PromptDefinition, Prompted>,
    resources: Registry<Definition, dyn resource::Handler>,
    templates: Registry<ResourceTemplate, Templated>,
    pub(crate) visibility: Visibility,
    hints: CacheHints,
    changing: Vec<Listing>,
    completes: bool,
}

impl Draft {
    /// Checks all that was added, and makes it what a server looks things up in.
    ///
    /// With `list_changes` every list that is not empty may change.
    pub(crate) fn build(
        self,
        page_size: usize,
        list_changes: bool,
        has_tools: bool,
    ) -> Result<Catalog, BuildError> {
        let mut prompts = self.prompts.into_iter().collect::<Result<Vec<_>, _>>()?;
        let (mut resources, mut templates) = (Vec::new(), Vec::new());
        for resource in self.resources {
            match resource? {
                AnyResource::One(resource) => resources.push(resource),
                AnyResource::Many(template) => templates.push(template),
            }
        }
        for (target, argument, completion) in self.completions {
            let place = match &target {
                CompleteReference::Prompt(reference) => {
                    let prompt = prompts.iter_mut().find(|prompt| prompt.name == reference.name);
                    prompt
                        .filter(|prompt| has_argument(&prompt.listed, &argument))
                        .map(|prompt| &mut prompt.handler.completions)
                }
                CompleteReference::Resource(reference) => {
                    let template = templates.iter_mut().find(|new| new.name == reference.uri);
                    template
                        .filter(|new| new.handler.template.variables().any(|name| name == argument))
                        .map(|new| &mut new.handler.completions)
                }
                _ => None,
            };
            let Some(completions) = place else {
                return Err(BuildError::NothingToComplete { target: shown(&target), argument });
            };
            completions.insert(argument, completion);
        }
        let completes = prompts.iter().any(|prompt| !prompt.handler.completions.is_empty())
            || templates.iter().any(|template| !template.handler.completions.is_empty());
        let duplicate = |uri| BuildError::DuplicateResource { uri };
        let mut hints = self.hints;
        if self.visibility.is_limited() {
            // A listing that depends on who asks is nobody else's.
            hints.make_private();
        }
        let mut changing = self.changing;
        if list_changes {
            let there = [
                (Listing::Tools, has_tools),
                (Listing::Prompts, !prompts.is_empty()),
                (Listing::Resources, !resources.is_empty()),
                (Listing::ResourceTemplates, !templates.is_empty()),
            ];
            changing.extend(there.into_iter().filter(|(_, is)| *is).map(|(listing, _)| listing));
        }
        Ok(Catalog {
            prompts: Registry::new(prompts, page_size)
                .map_err(|name| BuildError::DuplicatePrompt { name })?,
            resources: Registry::new(resources, page_size).map_err(duplicate)?,
            templates: Registry::new(templates, page_size).map_err(duplicate)?,
            visibility: self.visibility,
            hints,
            changing,
            completes,
        })
    }
}

impl Catalog {
    /// Declares what there is, and nothing else.
    pub(crate) fn declare(
        &self,
        has_tools: bool,
        capabilities: &mut ServerCapabilities,
    ) -> Result<(), BuildError> {
        let changes = |listing| self.changing.contains(&listing).then_some(true);
        let tools = changes(Listing::Tools);
        if has_tools || tools.is_some() {
            let mut declared = ServerCapabilitiesTools::new();
            declared.list_changed = tools;
            capabilities.tools = Some(declared);
        }
        let prompts = changes(Listing::Prompts);
        if !self.prompts.is_empty() || prompts.is_some() {
            let mut declared = ServerCapabilitiesPrompts::new();
            declared.list_changed = prompts;
            capabilities.prompts = Some(declared);
        }
        let resources = changes(Listing::Resources).or_else(|| changes(Listing::ResourceTemplates));
        if !(self.resources.is_empty() && self.templates.is_empty()) || resources.is_some() {
            let declared =
                capabilities.resources.get_or_insert_with(ServerCapabilitiesResources::new);
            declared.list_changed = resources.or(declared.list_changed);
        }
        if self.completes {
            let empty = RawText::of(&mcp_types::Members::new()).map_err(unwritable)?;
            capabilities.completions = Some(empty);
        }
        Ok(())
    }

    /// The hint that the whole server gives.
    pub(crate) fn general_hint(&self) -> Option<crate::CacheHint> {
        self.hints.general()
    }
}

fn has_argument(definition: &PromptDefinition, name: &str) -> bool {
    definition.arguments.iter().flatten().any(|argument| argument.name == name)
}

fn shown(target: &CompleteReference) -> String {
    match target {
        CompleteReference::Prompt(reference) => format!("the prompt `{}`", reference.name),
        CompleteReference::Resource(reference) => format!("the template `{}`", reference.uri),
        _ => "what is unknown".to_owned(),
    }
}

/// A prompt with the state of its server, checked by itself.
fn prompted<S: Send + Sync + 'static>(
    prompt: Box<dyn Prompt<S>>,
    state: &Source<S>,
) -> Result<NewPrompt, BuildError> {
    let definition = prompt.definition()?;
    check::prompt(&definition)?;
    let completions = bound(prompt.completions(), state);
    if let Some(argument) = completions.keys().find(|name| !has_argument(&definition, name)) {
        let target = format!("the prompt `{}`", definition.name);
        return Err(BuildError::NothingToComplete { target, argument: argument.clone() });
    }
    let handler = Box::new(prompt::Bound::new(prompt, state.clone(), &definition));
    Ok(New {
        name: definition.name.clone(),
        listed: listed(&definition.name.clone(), definition)?,
        handler: Box::new(Prompted { handler, completions }),
    })
}

/// A resource with the state of its server, checked by itself.
fn resourced<S: Send + Sync + 'static>(
    resource: Box<dyn Resource<S>>,
    state: &Source<S>,
) -> Result<AnyResource, BuildError> {
    let definition = resource.definition()?;
    let completions = bound(resource.completions(), state);
    let handler = Box::new(resource::Bound::new(resource, state.clone(), &definition));
    let uri = definition.uri().to_owned();
    match definition {
        ResourceDefinition::Resource(definition) => {
            check::resource(&definition)?;
            if let Some(argument) = completions.into_keys().next() {
                let target = format!("the resource `{uri}`");
                return Err(BuildError::NothingToComplete { target, argument });
            }
            let listed = listed(&uri, *definition)?;
            Ok(AnyResource::One(New { name: uri, listed, handler }))
        }
        ResourceDefinition::Template(definition) => {
            let template = check::template(&definition)?;
            let has = |argument: &str| template.variables().any(|name| name == argument);
            if let Some(argument) = completions.keys().find(|argument| !has(argument)) {
                let target = format!("the template `{uri}`");
                return Err(BuildError::NothingToComplete { target, argument: argument.clone() });
            }
            let listed = listed(&uri, *definition)?;
            let handler = Box::new(Templated { template, handler, completions });
            Ok(AnyResource::Many(New { name: uri, listed, handler }))
        }
    }
}

fn bound<S: Send + Sync + 'static>(
    completions: Vec<(String, Box<dyn crate::Complete<S>>)>,
    state: &Source<S>,
) -> Completions {
    let bound = completions.into_iter().map(|(argument, complete)| {
        let state = state.clone();
        let handler: Box<dyn completion::Handler> = Box::new(completion::Bound { complete, state });
        (argument, handler)
    });
    bound.collect()
}
