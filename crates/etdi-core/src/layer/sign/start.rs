//! What a server offers against what its manifest and its lock say, before it starts.

use std::collections::BTreeMap;
use std::fmt;

use mcp_types::{
    ClientRequest, ErrorObject, ExchangeService, Outcome, PaginatedRequestParams, RequestContext,
    RequestParams, ServerResult, error::codes,
};

use super::{Manifest, StartError};
use crate::definition::{DefinitionError, RawTool};
use crate::digest::Digest;
use crate::layer::{MAX_PAGES, ask, on_behalf};
use crate::lock::{Lock, State};
use crate::manifest::{instructions_digest, prompt_digest, template_digest};

/// Something that the server offers and that is not as it was signed or locked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// What it is: `tool`, `prompt`, `resource template` or `instructions`.
    pub kind: &'static str,
    /// Its name; empty for the instructions.
    pub name: String,
    /// Whether it differs from the lock alone; else from the manifest.
    pub in_lock: bool,
    /// The digest in the manifest or the lock; `None` when it names no such thing.
    pub signed: Option<Digest>,
    /// The digest of what the server offers.
    pub offered: Digest,
    /// What changed, as far as that is known.
    pub what: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        if !self.name.is_empty() {
            write!(f, " `{}`", self.name.escape_debug())?;
        }
        let how = if self.in_lock { "locked" } else { "signed" };
        match self.signed {
            None => write!(f, " is not {how}")?,
            Some(signed) => write!(f, " was {how} as {signed} and is {}", self.offered)?,
        }
        match &self.what {
            Some(what) => write!(f, " ({what})"),
            None => Ok(()),
        }
    }
}

/// The tools that are not as they were signed; those that the delegated key signed are.
pub(super) fn tools(
    manifest: &Manifest,
    tools: &[RawTool],
    lock: Option<&Lock>,
    unsigned: &BTreeMap<String, String>,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    for tool in tools {
        let name = tool.definition().name();
        let signed = manifest.contents.tools.get(name).copied();
        let as_signed = match signed {
            Some(signed) => signed == tool.digest(),
            None => !unsigned.contains_key(name) && manifest.delegates(name),
        };
        if as_signed {
            continue;
        }
        let changes = lock.map(|lock| lock.compare(tool.definition()).changes.join(", "));
        let what = changes.filter(|changes| !changes.is_empty());
        differences.push(Difference {
            kind: "tool",
            name: name.to_owned(),
            in_lock: false,
            signed,
            offered: tool.digest(),
            what: what.or_else(|| unsigned.get(name).cloned()),
        });
    }
    differences
}

/// The tools that are not as they were locked; those that a key may sign at run time, and those that
/// promise nothing, are in no lock.
pub(super) fn locked(
    lock: &Lock,
    manifest: Option<&Manifest>,
    tools: &[RawTool],
) -> Vec<Difference> {
    let mut differences = Vec::new();
    for tool in tools {
        let finding = lock.compare(tool.definition());
        let name = tool.definition().name();
        let fine = match finding.state {
            State::Same | State::NoVersion => true,
            State::New => manifest.is_some_and(|manifest| manifest.delegates(name)),
            _ => false,
        };
        if fine {
            continue;
        }
        let changes = finding.changes.join(", ");
        differences.push(Difference {
            kind: "tool",
            name: name.to_owned(),
            in_lock: true,
            signed: lock.tools().get(name).map(|locked| locked.digest),
            offered: tool.digest(),
            what: Some(changes).filter(|changes| !changes.is_empty()),
        });
    }
    differences
}

/// Prompts, templates and instructions that are not as they were signed, of the kinds that the
/// manifest covers.
pub(super) async fn features<S: ExchangeService>(
    manifest: &Manifest,
    service: &mut S,
    context: &RequestContext,
) -> Result<Vec<Difference>, StartError> {
    let contents = &manifest.contents;
    let mut differences = Vec::new();
    let mut compare = |kind, name: String, signed: Option<Digest>, offered| {
        if signed != Some(offered) {
            differences.push(Difference {
                kind,
                name,
                in_lock: false,
                signed,
                offered,
                what: None,
            });
        }
    };
    let unfit = |name: &str, error: DefinitionError| StartError::Definition {
        tool: name.to_owned(),
        error,
    };
    if !contents.prompts.is_empty() {
        let list = |params| ClientRequest::ListPrompts(params);
        for page in pages(service, context, list).await? {
            let ServerResult::ListPrompts(page) = page else { continue };
            for prompt in page.prompts.iter() {
                let (name, digest) =
                    prompt_digest(prompt).map_err(|error| unfit(&prompt.name, error))?;
                let signed = contents.prompts.get(&name).copied();
                compare("prompt", name, signed, digest);
            }
        }
    }
    if !contents.resource_templates.is_empty() {
        let list = |params| ClientRequest::ListResourceTemplates(params);
        for page in pages(service, context, list).await? {
            let ServerResult::ListResourceTemplates(page) = page else { continue };
            for template in page.resource_templates.iter() {
                let (uri, digest) = template_digest(template)
                    .map_err(|error| unfit(&template.uri_template, error))?;
                let signed = contents.resource_templates.get(&uri).copied();
                compare("resource template", uri, signed, digest);
            }
        }
    }
    if let Some(signed) = contents.instructions {
        let request = ClientRequest::Discover(RequestParams::new());
        let answer = ask(service, on_behalf(context, request)).await.map_err(StartError::List)?;
        let text = match &answer {
            Outcome::Complete(ServerResult::Discover(result)) => result.instructions.as_deref(),
            _ => None,
        };
        if let Some(text) = text {
            let digest = instructions_digest(text)
                .map_err(|error| unfit("instructions", DefinitionError::Json(error)))?;
            compare("instructions", String::new(), Some(signed), digest);
        }
    }
    Ok(differences)
}

/// All pages of one kind; none where the server does not know the method.
async fn pages<S: ExchangeService>(
    service: &mut S,
    context: &RequestContext,
    request: impl Fn(PaginatedRequestParams) -> ClientRequest,
) -> Result<Vec<ServerResult>, StartError> {
    let mut found = Vec::new();
    let mut cursor = None;
    for _ in 0..MAX_PAGES {
        let mut params = PaginatedRequestParams::new();
        params.cursor = cursor;
        let page = match ask(service, on_behalf(context, request(params))).await {
            Ok(Outcome::Complete(page)) => page,
            Ok(_) => return Ok(found),
            Err(error) if error.code == codes::METHOD_NOT_FOUND => return Ok(found),
            Err(error) => return Err(StartError::List(error)),
        };
        cursor = match &page {
            ServerResult::ListPrompts(page) => page.next_cursor.clone(),
            ServerResult::ListResourceTemplates(page) => page.next_cursor.clone(),
            _ => None,
        };
        found.push(page);
        if cursor.is_none() {
            return Ok(found);
        }
    }
    Err(StartError::List(ErrorObject::internal("the server lists on more than 1024 pages")))
}
