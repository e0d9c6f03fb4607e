//! Where a text came from, and what that means.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Where a text came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Origin {
    /// The identity of the server.
    pub server: String,
    /// What of it gave the text: the name of a tool or prompt, the URI of a resource.
    pub source: String,
    /// The digest of the tool's definition, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

impl Origin {
    /// A text of a server, given by one of its tools, prompts or resources.
    pub fn new(server: impl Into<String>, source: impl Into<String>) -> Self {
        Self { server: server.into(), source: source.into(), digest: None }
    }
}

/// Whether a text may tell a model what to do.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Integrity {
    /// Anybody may have written it: mails, issues, web pages.
    #[default]
    Untrusted,
    /// Written by somebody whom the user trusts.
    Trusted,
}

/// Who may read a text.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Confidentiality {
    /// Anybody.
    Public,
    /// The user, and whom the user lets.
    #[default]
    Private,
    /// Nobody but the user and the server that it came from.
    Secret,
}

/// What is known about a text: its origin, how far it can be trusted, who may read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Label {
    /// Where it came from.
    pub origin: Origin,
    /// Whether it may tell a model what to do.
    #[serde(default)]
    pub integrity: Integrity,
    /// Who may read it.
    #[serde(default)]
    pub confidentiality: Confidentiality,
}

impl Label {
    /// Untrusted and private: what is known of a text of which only the origin is.
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            integrity: Integrity::default(),
            confidentiality: Confidentiality::default(),
        }
    }
}

/// Text of one origin that was found in what is about to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What is known about it.
    pub label: Label,
    /// In which argument it stands, `None` where it begins in none of them.
    pub argument: Option<String>,
    /// How many characters of letters and digits at least are the same.
    pub length: usize,
    /// How it is written there.
    pub form: Form,
    /// How it begins in what is about to be sent, at most [`Finding::MAX_EXCERPT`] characters.
    /// To show to the user; it may be a secret, so it goes into no log.
    pub excerpt: String,
}

impl Finding {
    /// The most characters of an excerpt.
    pub const MAX_EXCERPT: usize = 80;

    /// The identity of the server that it came from.
    pub fn server(&self) -> &str {
        &self.label.origin.server
    }
}

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Form {
    /// As it came.
    Plain,
    /// In an encoding that was undone: base64, hexadecimal digits, or `%` and two of them.
    Encoded,
}

/// What flow tracking knows about an exchange, in its extensions: for policy engines.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    texts: Vec<Finding>,
    seen: std::sync::Arc<[Label]>,
}

impl Findings {
    /// These texts and these labels: for whoever tracks flows.
    pub fn new(texts: Vec<Finding>, seen: std::sync::Arc<[Label]>) -> Self {
        Self { texts, seen }
    }

    /// Whose text stands in what is about to be sent.
    pub fn texts(&self) -> &[Finding] {
        &self.texts
    }

    /// Whose text came in since the conversation began.
    pub fn seen(&self) -> &[Label] {
        &self.seen
    }
}
