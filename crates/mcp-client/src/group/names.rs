//! Names of a group: which server's, and which of its own.

use mcp_types::ErrorObject;

use super::{Member, Shared};

/// Stands between an alias and a name. No alias contains it or could be continued to it, so the
/// first one in a name ends the alias.
const BETWEEN: &str = "__";

/// The longest alias: names should have no more than 128 characters in all (specification, "Tool
/// Names"), and models' interfaces allow fewer.
const LONGEST: usize = 32;

pub(super) fn is_alias(text: &str) -> bool {
    let of_alias = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=LONGEST).contains(&text.len())
        && text.chars().all(of_alias)
        && !text.contains(BETWEEN)
        && !text.starts_with('_')
        && !text.ends_with('_')
}

/// The name in the group of what a server calls `name`.
pub(super) fn spaced(alias: &str, name: &str) -> String {
    format!("{alias}{BETWEEN}{name}")
}

impl Shared {
    pub(super) fn split<'a>(&self, name: &'a str) -> Option<(&Member, &'a str)> {
        let (at, name) = self.find(name)?;
        Some((self.members.get(at)?, name))
    }

    /// The server that a name is of, and the name under which it knows it.
    pub(super) fn find<'a>(&self, name: &'a str) -> Option<(usize, &'a str)> {
        let (alias, name) = name.split_once(BETWEEN)?;
        let at = self.members.iter().position(|member| member.alias == alias)?;
        Some((at, name))
    }

    /// Puts the server's own name in place of the group's; gives the server.
    pub(super) fn rename(&self, what: &str, name: &mut String) -> Result<usize, ErrorObject> {
        let Some((at, own)) = self.find(name) else {
            let shown: String = name.chars().take(128).collect();
            return Err(ErrorObject::invalid_params(format!(
                "there is no {what} `{}`, see `{what}s/list`; each name begins with its server's, \
                 as in `server{BETWEEN}name`",
                shown.escape_debug()
            )));
        };
        *name = own.to_owned();
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_can_be_told_from_the_name_behind_it() {
        for alias in ["a", "github", "my-server_2", "A1"] {
            assert!(is_alias(alias), "{alias}");
            for name in ["x", "_x", "__x", "x__y", ""] {
                assert_eq!(spaced(alias, name).split_once(BETWEEN), Some((alias, name)));
            }
        }
        for text in ["", "_a", "a_", "a__b", "a b", "a.b", "ä", &"a".repeat(33)] {
            assert!(!is_alias(text), "{text}");
        }
    }
}
