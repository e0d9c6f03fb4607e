//! Rules about flows, and labels that a host gives.

use serde::{Deserialize, Serialize};

use super::{Confidentiality, Integrity, Label, Origin};
use crate::policy::Pattern;

/// Which labels texts have, and where they must not go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FlowRules {
    /// What is known of texts by where they come from; of several that apply the first counts.
    /// What none applies to is untrusted and private.
    pub labels: Vec<Labelling>,
    /// What is forbidden. A text never flows to the server that it came from.
    pub rules: Vec<FlowRule>,
}

/// What is known of the texts of some origins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Labelling {
    /// Which servers; all when there is no list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<Pattern>>,
    /// Which of their tools, prompts and resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<Pattern>>,
    /// Whether the texts may tell a model what to do.
    pub integrity: Integrity,
    /// Who may read them.
    pub confidentiality: Confidentiality,
}

/// Something that must not happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FlowRule {
    /// The name by which a refusal cites it.
    pub id: String,
    /// Where the text comes from.
    #[serde(default)]
    pub from: End,
    /// Where it must not go.
    #[serde(default)]
    pub to: End,
    /// When the rule applies.
    #[serde(default)]
    pub on: On,
    /// Why, for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One end of a flow: everything that is named must be so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct End {
    /// The servers, by identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<Pattern>>,
    /// Servers that are left out, whatever `servers` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub except: Option<Vec<Pattern>>,
    /// The tools, prompts and resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<Pattern>>,
    /// Where text comes from: only text of this integrity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integrity: Option<Integrity>,
    /// Where text comes from: only text of at least this confidentiality.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidentiality: Option<Confidentiality>,
}

/// When a rule applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum On {
    /// When the text stands in what is about to be sent. A paraphrase is not found.
    #[default]
    Text,
    /// Once such text came in at all, whatever is about to be sent: holds against a paraphrase.
    Seen,
}

impl FlowRules {
    /// What is known of a text of this origin.
    pub fn label(&self, origin: Origin) -> Label {
        let found = self.labels.iter().find(|one| {
            matches(one.servers.as_ref(), &origin.server)
                && matches(one.sources.as_ref(), &origin.source)
        });
        let mut label = Label::new(origin);
        if let Some(found) = found {
            (label.integrity, label.confidentiality) = (found.integrity, found.confidentiality);
        }
        label
    }
}

impl FlowRule {
    /// A rule about all text that stands in what is sent: nothing of one server goes to another.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), from: End::default(), to: End::default(), on: On::Text, reason: None }
    }

    /// Whether it is about text of this label on its way to this source of this server.
    pub(super) fn forbids(&self, label: &Label, server: &str, source: &str) -> bool {
        label.origin.server != server
            && self.from.has(&label.origin.server, &label.origin.source)
            && self.from.integrity.is_none_or(|wanted| wanted == label.integrity)
            && self.from.confidentiality.is_none_or(|least| label.confidentiality >= least)
            && self.to.has(server, source)
    }
}

impl End {
    /// The servers of these patterns.
    pub fn servers<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        let servers = Some(patterns.into_iter().map(Pattern::from).collect());
        Self { servers, ..Self::default() }
    }

    pub(super) fn has(&self, server: &str, source: &str) -> bool {
        matches(self.servers.as_ref(), server)
            && !self.except.as_ref().is_some_and(|list| matches(Some(list), server))
            && matches(self.sources.as_ref(), source)
    }
}

fn matches(patterns: Option<&Vec<Pattern>>, name: &str) -> bool {
    patterns.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(name)))
}
