//! The tools that a client has already, which names and texts are held against.

use std::collections::HashMap;

use serde::Serialize;

use crate::approval::looks;

/// A tool that is known: approved, or offered by another server of the same client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub struct KnownTool {
    /// Its name.
    pub name: String,
    /// What the client calls its server.
    pub server: String,
    /// Who publishes it, where that is known. Servers of one publisher may speak of each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
}

impl KnownTool {
    /// A tool of a server without a known publisher.
    pub fn new(name: impl Into<String>, server: impl Into<String>) -> Self {
        Self { name: name.into(), server: server.into(), publisher: None }
    }

    /// Says who publishes it.
    #[must_use]
    pub fn publisher(mut self, publisher: impl Into<String>) -> Self {
        self.publisher = Some(publisher.into());
        self
    }
}

/// Whose definition is looked at. Without one, every known tool is another publisher's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Origin<'a> {
    pub(super) server: Option<&'a str>,
    pub(super) publisher: Option<&'a str>,
}

impl Origin<'_> {
    /// Whether a known tool is by the same hand.
    pub(super) fn is_of(&self, tool: &KnownTool) -> bool {
        self.server == Some(&*tool.server)
            || self.publisher.is_some() && self.publisher == tool.publisher.as_deref()
    }
}

/// The most known tools that are kept, and the longest name of one.
const MOST: usize = 1 << 14;
pub(super) const LONGEST: usize = 128;

/// Known tools by their names and by what these look like.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) tools: Vec<KnownTool>,
    by_name: HashMap<String, Vec<usize>>,
    by_look: HashMap<String, Vec<usize>>,
    letters: Vec<u64>,
    /// The servers in lower case, each once for each publisher, with one of their tools.
    servers: Vec<(String, usize)>,
}

impl Known {
    pub(super) fn new(tools: impl IntoIterator<Item = KnownTool>) -> Self {
        let fits = |tool: &KnownTool| !tool.name.is_empty() && tool.name.len() <= LONGEST;
        let mut tools: Vec<KnownTool> = tools.into_iter().filter(fits).take(MOST).collect();
        tools.sort();
        tools.dedup();
        let mut known = Self::default();
        for (at, tool) in tools.iter().enumerate() {
            known.by_name.entry(tool.name.clone()).or_default().push(at);
            for look in looks(&tool.name) {
                known.by_look.entry(look).or_default().push(at);
            }
            known.letters.push(letters(&tool.name));
            let server = tool.server.to_ascii_lowercase();
            if !known.servers.iter().any(|(one, _)| *one == server) {
                known.servers.push((server, at));
            }
        }
        known.tools = tools;
        known
    }

    /// The servers of others, in lower case, with one of the tools of each.
    pub(super) fn servers(&self, origin: &Origin<'_>) -> impl Iterator<Item = (&str, &KnownTool)> {
        let all =
            self.servers.iter().filter_map(|(name, at)| Some((&**name, self.tools.get(*at)?)));
        all.filter(|(_, tool)| !origin.is_of(tool))
    }

    /// The tools of exactly this name.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = &KnownTool> {
        let all = self.by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        all.iter().filter_map(|at| self.tools.get(*at))
    }

    /// The tools whose names a person could take for this one.
    pub(super) fn looking_like(&self, name: &str) -> Vec<&KnownTool> {
        let mut all: Vec<usize> = looks(name)
            .iter()
            .filter_map(|look| self.by_look.get(look))
            .flatten()
            .copied()
            .collect();
        all.sort_unstable();
        all.dedup();
        all.iter().filter_map(|at| self.tools.get(*at)).collect()
    }

    /// The tools whose names differ from this one in few letters, or may.
    pub(super) fn near(&self, name: &str) -> impl Iterator<Item = &KnownTool> {
        let (own, length) = (letters(name), name.len());
        self.tools.iter().zip(&self.letters).filter_map(move |(tool, letters)| {
            let near = (letters ^ own).count_ones() <= 4 && tool.name.len().abs_diff(length) <= 2;
            near.then_some(tool)
        })
    }

    /// Whether the same hand offers something under a name, or under one that ends in it.
    pub(super) fn has_sibling(&self, name: &str, origin: &Origin<'_>) -> bool {
        let ends = |tool: &KnownTool| {
            let rest = tool.name.strip_suffix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with(['_', '-', '.']))
        };
        (origin.server.is_some() || origin.publisher.is_some())
            && self.tools.iter().any(|tool| ends(tool) && origin.is_of(tool))
    }
}

/// Which letters and digits a name has, case aside.
fn letters(name: &str) -> u64 {
    name.bytes().fold(0, |all, byte| match byte.to_ascii_lowercase() {
        byte @ b'a'..=b'z' => all | 1 << (byte - b'a'),
        byte @ b'0'..=b'9' => all | 1 << (26 + byte - b'0'),
        0x80.. => all | 1 << 36,
        _ => all,
    })
}
