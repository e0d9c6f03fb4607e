//! What a server lists, looked through by name.

use std::sync::Arc;

use etdi::core::change::visible;
use mcp_types::{Listed, Prompt, Resource, ResourceTemplate};

use crate::arguments::nearest;
use crate::exit::Failure;
use crate::talk::Talk;
use crate::verbs::target::shown_target;

impl Talk {
    /// The prompts; none where the server declares none.
    ///
    /// # Errors
    ///
    /// When they cannot be listed.
    pub async fn prompts(&self) -> Result<Vec<Arc<Listed<Prompt>>>, Failure> {
        match self.session.about().capabilities.prompts {
            Some(_) => self.client.all_prompts().await.map_err(|error| self.unlisted(error)),
            None => Ok(Vec::new()),
        }
    }

    /// The resources; none where the server declares none.
    ///
    /// # Errors
    ///
    /// When they cannot be listed.
    pub async fn resources(&self) -> Result<Vec<Arc<Listed<Resource>>>, Failure> {
        match self.session.about().capabilities.resources {
            Some(_) => self.client.all_resources().await.map_err(|error| self.unlisted(error)),
            None => Ok(Vec::new()),
        }
    }

    /// The resource templates; none where the server declares no resources.
    ///
    /// # Errors
    ///
    /// When they cannot be listed.
    pub async fn templates(&self) -> Result<Vec<Arc<Listed<ResourceTemplate>>>, Failure> {
        match self.session.about().capabilities.resources {
            Some(_) => {
                let listed = self.client.all_resource_templates().await;
                listed.map_err(|error| self.unlisted(error))
            }
            None => Ok(Vec::new()),
        }
    }

    /// That something of a name is not there, with the name that was meant, or what there is.
    pub fn missing<'n>(
        &self,
        what: &str,
        typed: &str,
        names: impl Iterator<Item = &'n str> + Clone,
        code: &str,
    ) -> Failure {
        let hint = match nearest(typed, names.clone()) {
            Some(near) => format!(", did you mean `{}`?", visible(near)),
            None => some(names),
        };
        let message = format!("the server lists no {what} `{}`{hint}", visible(typed));
        let next = format!("etdi inspect {}", shown_target(&self.target));
        Failure::usage(message, next).with_code(code)
    }
}

/// How many names are told at most.
const MOST_NAMES: usize = 8;

fn some<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut names: Vec<_> =
        names.take(MOST_NAMES + 1).map(|name| format!("`{}`", visible(name))).collect();
    if names.is_empty() {
        return ", it lists none".to_owned();
    }
    if names.len() > MOST_NAMES {
        names.truncate(MOST_NAMES);
        names.push("…".to_owned());
    }
    format!(", it has {}", names.join(", "))
}
