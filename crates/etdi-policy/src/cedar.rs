//! Cedar, evaluated in this process.
//!
//! What a policy can name is the schema that [`schema_of`] writes: a principal (`Etdi::User`,
//! `Etdi::Agent` or `Etdi::Unknown`), an action for each tool, all of them in
//! `Etdi::Action::"tools/call"`, the tool as resource, in its `Etdi::Server`, and a context with
//! the arguments typed as the tool's own `inputSchema` says.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use cedar_policy::{Authorizer, Decision as Verdict, PolicyId};
use etdi_core::definition::ToolDefinition;
use etdi_core::digest::Digest;
use etdi_core::policy::{Decision, PolicyEngine, Request, Status};
use mcp_types::BoxFuture;

use crate::files::{self, Source};
use crate::{LoadError, Problem};

pub(crate) mod load;
pub(crate) mod request;
mod schema;

use load::Loaded;
use request::Known;

pub use schema::schema_of;

/// Decides by policies in Cedar: what none permits is denied, and one that forbids wins.
///
/// A policy's id is its annotation `@id`, else the name of its file and its number there.
/// `@reason` on a policy that forbids is told with the denial, `@obligation` on one that permits
/// is what must be done then (`sign`, `alert`; several with spaces between). A folder may hold an
/// `entities.json` beside its `*.cedar` files, which says what groups users and agents are in.
///
/// Cheap to clone; clones share their policies, so that one reload is for all.
#[derive(Clone)]
pub struct CedarEngine(Arc<Inner>);

struct Inner {
    folder: Option<PathBuf>,
    loaded: RwLock<Arc<Loaded>>,
    /// What is known of tools that were asked about, by definition and standing.
    tools: Mutex<BTreeMap<Standing, Arc<Known>>>,
}

/// A tool as policies see it: its server, its definition, what is known of it, what is granted.
type Standing = (String, Digest, Status, Option<Vec<String>>);

/// The most tools that are known at a time; beyond, all are read anew.
const MAX_TOOLS: usize = 1_024;

impl CedarEngine {
    /// An engine with the policies of these texts.
    ///
    /// # Errors
    ///
    /// All that is wrong with them, each with its file and line.
    pub fn new(sources: impl IntoIterator<Item = Source>) -> Result<Self, LoadError> {
        let sources: Vec<Source> = sources.into_iter().collect();
        Ok(Self::with(Loaded::new(&sources, None)?, None))
    }

    /// An engine with the policies of the `*.cedar` files of a folder. They are read now, and when
    /// [`CedarEngine::reload`] is called.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read, and all that is wrong with its policies.
    pub fn from_folder(folder: impl Into<PathBuf>) -> Result<Self, LoadError> {
        let folder = folder.into();
        Ok(Self::with(read(&folder)?, Some(folder)))
    }

    fn with(loaded: Loaded, folder: Option<PathBuf>) -> Self {
        Self(Arc::new(Inner {
            folder,
            loaded: RwLock::new(Arc::new(loaded)),
            tools: Mutex::default(),
        }))
    }

    /// Reads the folder again. Calls that are being decided finish by the old policies.
    ///
    /// # Errors
    ///
    /// As [`CedarEngine::from_folder`]; the policies then stay as they were.
    pub fn reload(&self) -> Result<(), LoadError> {
        let folder = self.0.folder.as_deref().ok_or(LoadError::NoFolder)?;
        let loaded = Arc::new(read(folder)?);
        *self.0.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        self.0.tools.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    /// Holds the policies to the schema of these tools: a policy that names a tool, an argument
    /// or an attribute that there is not, or compares what cannot be equal, would never do what
    /// its author meant. Nothing found, nothing wrong.
    ///
    /// # Errors
    ///
    /// When the tools make no schema, which is a fault of their definitions.
    pub fn check<'a>(
        &self,
        tools: impl IntoIterator<Item = (&'a str, &'a ToolDefinition)>,
    ) -> Result<Vec<Problem>, LoadError> {
        self.loaded().check(&schema_of(tools))
    }

    /// The ids of the policies, in order.
    pub fn policies(&self) -> Vec<String> {
        self.loaded().ids()
    }

    fn loaded(&self) -> Arc<Loaded> {
        self.0.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Decides about a request, at once.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let loaded = self.loaded();
        let asked = self.known(request, &loaded).and_then(|known| {
            let asked = known.request(request)?;
            Ok((known, asked))
        });
        let (known, asked) = match asked {
            Ok(asked) => asked,
            Err(error) => return Decision::failed(&error),
        };
        let response = Authorizer::new().is_authorized(&asked, &loaded.policies, &known.entities);
        let diagnostics = response.diagnostics();
        // Cedar leaves out a policy that fails. If it was one that forbids, all that is left
        // permits: so a failure denies, whichever policy it was in.
        if let Some(error) = diagnostics.errors().next() {
            return Decision::failed(error);
        }
        let mut ids: Vec<&PolicyId> = diagnostics.reason().collect();
        ids.sort();
        let texts = || ids.iter().map(ToString::to_string);
        match response.decision() {
            Verdict::Allow => {
                let mut decision = Decision::permit(texts());
                for id in &ids {
                    decision.obligations.extend(loaded.obligations(id));
                }
                decision
            }
            Verdict::Deny => {
                let mut decision = Decision::deny(texts());
                decision.reasons.extend(ids.iter().filter_map(|id| loaded.reason(id)));
                decision
            }
        }
    }

    fn known(&self, request: &Request<'_>, loaded: &Loaded) -> Result<Arc<Known>, request::Unfit> {
        let resource = &request.resource;
        let definition = resource.definition.ok_or(request::Unfit::Unlisted)?;
        let granted = resource.granted.as_ref();
        let key = (
            resource.server.to_owned(),
            definition.digest(),
            resource.status,
            granted.map(|granted| granted.iter().map(|&scope| scope.to_owned()).collect()),
        );
        let lock = || self.0.tools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&key) {
            return Ok(known.clone());
        }
        let known = Arc::new(Known::new(resource, definition, &loaded.entities)?);
        let mut tools = lock();
        if tools.len() >= MAX_TOOLS {
            tools.clear();
        }
        tools.insert(key, known.clone());
        Ok(known)
    }
}

impl PolicyEngine for CedarEngine {
    fn authorize<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Decision> {
        Box::pin(std::future::ready(self.decide(request)))
    }
}

impl fmt::Debug for CedarEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CedarEngine")
            .field("folder", &self.0.folder)
            .field("policies", &self.policies().len())
            .finish_non_exhaustive()
    }
}

fn read(folder: &Path) -> Result<Loaded, LoadError> {
    let sources = files::read_folder(folder, "cedar")?;
    let entities = folder.join("entities.json");
    let entities = match entities.is_file() {
        true => Some(Source::new("entities.json", files::read(&entities)?)),
        false => None,
    };
    Loaded::new(&sources, entities.as_ref())
}

#[cfg(test)]
mod tests;
