//! What two tokens say differently.

use std::collections::BTreeMap;

use etdi_core::canonical;
use serde::Serialize;

use super::TokenReport;
use super::token::object;

/// What differs between two tokens, by member of header and claims. Values are canonical JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TokenDifference {
    /// What both say otherwise, or only one says.
    pub changes: Vec<Change>,
    /// What both say alike.
    pub same: Vec<String>,
}

/// One member that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// Which, such as `claims.aud`.
    pub member: String,
    /// What the first says, `None` for nothing.
    pub first: Option<String>,
    /// What the second says, `None` for nothing.
    pub second: Option<String>,
}

impl TokenReport {
    /// What another token says differently. A token that is not well formed says nothing.
    pub fn compared_with(&self, other: &Self) -> TokenDifference {
        let (first, second) = (self.members(), other.members());
        let mut difference = TokenDifference::default();
        let mut names: Vec<&String> = first.keys().chain(second.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            match (first.get(name), second.get(name)) {
                (one, two) if one == two => difference.same.push(name.clone()),
                (one, two) => difference.changes.push(Change {
                    member: name.clone(),
                    first: one.cloned(),
                    second: two.cloned(),
                }),
            }
        }
        difference
    }

    fn members(&self) -> BTreeMap<String, String> {
        let mut members = BTreeMap::new();
        for (part, text) in [("header", &self.header), ("claims", &self.claims)] {
            let document = text.as_ref().and_then(|text| object(part, text.get()).ok());
            let Some(document) = document else { continue };
            for (name, value) in document.root().as_object().into_iter().flatten() {
                members.insert(format!("{part}.{name}"), canonical::of(value));
            }
        }
        members
    }
}
