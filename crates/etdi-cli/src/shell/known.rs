//! What is known of a server between two lines, for completion: names, arguments, values.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::talk::Talk;

/// What the server listed last. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Known(Arc<Inner>);

#[derive(Default)]
struct Inner {
    lists: Mutex<Lists>,
    outdated: AtomicBool,
}

/// The lists.
#[derive(Default)]
pub(super) struct Lists {
    /// The tools, with their arguments and the values that these can have where they are few.
    pub(super) tools: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// The prompts, with their arguments.
    pub(super) prompts: BTreeMap<String, Vec<String>>,
    /// The URIs of resources.
    pub(super) resources: Vec<String>,
    /// The templates of URIs.
    pub(super) templates: Vec<String>,
}

impl Known {
    /// The lists, locked.
    pub(super) fn lists(&self) -> MutexGuard<'_, Lists> {
        self.0.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the lists are no longer those of the server.
    pub(super) fn outdate(&self) {
        self.0.outdated.store(true, Ordering::Relaxed);
    }

    /// Whether they are to be asked for anew.
    pub(super) fn is_outdated(&self) -> bool {
        self.0.outdated.load(Ordering::Relaxed)
    }

    /// Forgets everything.
    pub(super) fn forget(&self) {
        *self.lists() = Lists::default();
    }

    /// Asks the server for all of it. What cannot be listed is not completed; the command that needs
    /// it says why.
    pub(super) async fn learn(&self, talk: &Talk) {
        self.0.outdated.store(false, Ordering::Relaxed);
        let mut found = Lists::default();
        if talk.session.about().capabilities.tools.is_some()
            && let Ok(reviews) = talk.session.discover_tools().await
        {
            found.tools = reviews
                .iter()
                .map(|review| {
                    let definition = review.definition().map(|one| one.canonical());
                    let definition = definition.and_then(|text| serde_json::from_str(text).ok());
                    (review.name().to_owned(), arguments(&definition.unwrap_or_default()))
                })
                .collect();
        }
        for prompt in talk.prompts().await.unwrap_or_default() {
            let names = prompt.arguments.iter().flatten().map(|one| one.name.to_string());
            found.prompts.insert(prompt.name.to_string(), names.collect());
        }
        let resources = talk.resources().await.unwrap_or_default();
        found.resources = resources.iter().map(|one| one.uri.to_string()).collect();
        let templates = talk.templates().await.unwrap_or_default();
        found.templates = templates.iter().map(|one| one.uri_template.to_string()).collect();
        *self.lists() = found;
    }
}

/// The arguments that a tool's schema describes.
fn arguments(definition: &Value) -> BTreeMap<String, Vec<String>> {
    let properties =
        definition.get("inputSchema").and_then(|one| one.get("properties")?.as_object());
    let values = |property: &Value| {
        let listed = property.get("enum").and_then(Value::as_array);
        let kind = property.get("type").and_then(Value::as_str);
        match (listed, kind) {
            (Some(listed), _) => listed
                .iter()
                .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
                .collect(),
            (None, Some("boolean")) => vec!["true".to_owned(), "false".to_owned()],
            _ => Vec::new(),
        }
    };
    let properties = properties.into_iter().flatten();
    properties.map(|(name, property)| (name.clone(), values(property))).collect()
}
