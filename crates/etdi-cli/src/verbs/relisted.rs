//! What a server lists now beside what the manifest that is there was signed for, by name.

use std::collections::{BTreeMap, BTreeSet};

use etdi::core::change::visible;
use etdi::core::digest::Digest;
use etdi::core::wire::ManifestContents;
use serde_json::{Value, json};

/// One thing of which a new manifest would say something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `added`, `changed` or `removed`.
    pub how: &'static str,
    /// What it is, such as `tool`.
    pub what: &'static str,
    /// Its name; empty for the instructions, of which there are no two.
    pub name: String,
}

impl Difference {
    /// For programs.
    pub fn data(&self) -> Value {
        json!({ "how": self.how, "what": self.what, "name": self.name })
    }
}

impl std::fmt::Display for Difference {
    /// Its line for people; a name is the server's choice and is shown with nothing hidden.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { how, what, name } = self;
        match name.is_empty() {
            true => write!(f, "{how} {what}"),
            false => write!(f, "{how} {what} `{}`", visible(name)),
        }
    }
}

/// What differs between the contents that were signed and those that are to be signed: tools,
/// prompts, resource templates and instructions, each in the order of their names.
pub fn differences(signed: &ManifestContents, listed: &ManifestContents) -> Vec<Difference> {
    let alone =
        |one: Option<Digest>| one.map(|digest| (String::new(), digest)).into_iter().collect();
    let mut found = Vec::new();
    named("tool", &signed.tools, &listed.tools, &mut found);
    named("prompt", &signed.prompts, &listed.prompts, &mut found);
    let templates = (&signed.resource_templates, &listed.resource_templates);
    named("resource template", templates.0, templates.1, &mut found);
    let (before, now) = (alone(signed.instructions), alone(listed.instructions));
    named("instructions", &before, &now, &mut found);
    found
}

fn named(
    what: &'static str,
    before: &BTreeMap<String, Digest>,
    now: &BTreeMap<String, Digest>,
    found: &mut Vec<Difference>,
) {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    found.extend(names.into_iter().filter_map(|name| {
        let how = match (before.get(name), now.get(name)) {
            (None, _) => "added",
            (_, None) => "removed",
            (one, other) if one == other => return None,
            _ => "changed",
        };
        Some(Difference { how, what, name: name.clone() })
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let contents = |tools: &[(&str, &str)], instructions: Option<&str>| {
            let digest = |text: &str| Digest::of_bytes(text.as_bytes());
            let mut contents = ManifestContents::default();
            contents.tools =
                tools.iter().map(|(name, text)| ((*name).to_owned(), digest(text))).collect();
            contents.prompts.insert("greet".to_owned(), digest("kept"));
            contents.instructions = instructions.map(digest);
            contents
        };
        let before = contents(&[("gone", "1"), ("kept", "2"), ("other", "3")], None);
        let now = contents(&[("kept", "2"), ("new\u{1b}", "4"), ("other", "5")], Some("obey"));
        let lines: Vec<_> = differences(&before, &now).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "removed tool `gone`",
                r"added tool `new\u{1b}`",
                "changed tool `other`",
                "added instructions",
            ]
        );
        assert_eq!(differences(&now, &now), []);
    }
}
