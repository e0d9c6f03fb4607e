//! A glob.

use globset::{GlobBuilder, GlobMatcher};
use schemars::Schema;

use super::{Refused, Rule, explain, shown};

/// A glob such as `**/*.md`: `*` and `?` stay within a name, `**` crosses them, `{a,b}` and `[a-z]`
/// choose. It is relative, has no `..`, and at most 256 bytes; matching takes time linear in the
/// path, whatever the glob.
///
/// ```
/// use mcp_server::checked::{GlobPattern, Text};
///
/// let glob = Text::<GlobPattern>::new("notes/**/*.md")?;
/// assert!(glob.parsed().is_match("notes/2026/today.md"));
/// assert!(Text::<GlobPattern>::new("../*").is_err());
/// # Ok::<(), mcp_server::checked::Refused>(())
/// ```
#[derive(Debug)]
pub enum GlobPattern {}

const LONGEST: usize = 256;

impl Rule for GlobPattern {
    type Parsed = GlobMatcher;

    fn check(text: &str) -> Result<GlobMatcher, Refused> {
        let refuse = |reason: &str| {
            Refused::new(format!("the glob {} {reason}; give one such as `**/*.md`", shown(text)))
        };
        if text.is_empty() || text.len() > LONGEST {
            return Err(refuse(&format!("must have 1 to {LONGEST} bytes")));
        }
        if text.starts_with('/') || text.contains(['\\', ':']) {
            return Err(refuse("is absolute or has a `\\` or `:`"));
        }
        if text.split(['/', '{', '}', ',']).any(|name| name == "..") {
            return Err(refuse("leads out of the folder by `..`"));
        }
        let built = GlobBuilder::new(text).literal_separator(true).backslash_escape(false).build();
        let glob = built.map_err(|error| refuse(&format!("cannot be read: {}", error.kind())))?;
        Ok(glob.compile_matcher())
    }

    fn describe(schema: &mut Schema) {
        schema.insert("minLength".into(), 1.into());
        schema.insert("maxLength".into(), LONGEST.into());
        explain(schema, "a glob relative to the server's folder, such as `**/*.md`");
    }
}
