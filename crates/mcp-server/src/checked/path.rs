//! A path that stays below a folder.

use schemars::Schema;

use super::{Refused, Rule, Text, explain, shown};

/// A path below some folder: `notes/today.md`.
///
/// The text alone is checked here; what a symbolic link does is known to the file system, so open it
/// with a [`Folder`](super::Folder) (feature `files`), never by joining it to a path.
pub type RelativePath = Text<InRoot>;

/// Names with `/` between them, none of which leads out: no `..`, no leading `/`, no drive, no `\`,
/// no control character; at most 1,024 bytes.
#[derive(Debug)]
pub enum InRoot {}

const LONGEST: usize = 1024;

impl Rule for InRoot {
    type Parsed = ();

    fn check(text: &str) -> Result<(), Refused> {
        let reason = if text.is_empty() {
            "is empty"
        } else if text.len() > LONGEST {
            "is too long"
        } else if text.starts_with('/') {
            "is absolute"
        } else if text.contains('\\') {
            "has a `\\`, write `/`"
        } else if text.contains(':') {
            // A drive or a stream of a file on some systems.
            "has a `:`"
        } else if text.chars().any(char::is_control) {
            "has a control character"
        } else {
            match text.split('/').find(|name| matches!(*name, "" | "." | "..")) {
                None => return Ok(()),
                Some("..") => "leads out of the folder by `..`",
                Some(_) => "has an empty name or a `.` in it",
            }
        };
        Err(Refused::new(format!(
            "the path {} {reason}; give a path relative to the folder, such as `notes/today.md`",
            shown(text)
        )))
    }

    fn describe(schema: &mut Schema) {
        schema.insert("minLength".into(), 1.into());
        schema.insert("maxLength".into(), LONGEST.into());
        // No `/` in front; the rest is said in words, which every reader of schemas can follow.
        schema.insert("pattern".into(), r"^[^/\\:][^\\:]*$".into());
        explain(schema, "a path relative to the server's folder, without `..`");
    }
}
