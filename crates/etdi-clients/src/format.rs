//! The three formats of configuration files: how each is read, and edited in place.
//!
//! An edit changes the bytes of one member and what holds it to its neighbours. Whatever an editor
//! made is read again before anybody gets it: it must say what the old text said but for the edit,
//! else the text is refused, not written.

use crate::tree::{Node, Value, line_of};
use crate::{json, toml, yaml};

/// How a configuration file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// JSON; comments and trailing commas are read and kept.
    Json,
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
}

/// The largest file that is read, in bytes. Claude Code keeps its history beside its servers.
pub const MAX_FILE: u64 = 64 << 20;

/// Why a text is not what its format wants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Broken {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// Why a text cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// It is broken already.
    #[error("{0}, mend that first")]
    Broken(#[from] Broken),
    /// Something on the way to the place is no map.
    #[error("`{name}` on line {line} is not a table of named members, make it one first")]
    NotAMap {
        /// The member.
        name: String,
        /// Its line.
        line: usize,
    },
    /// The member stands there more than once.
    #[error("`{name}` stands there twice, on lines {first} and {second}, take one out first")]
    Twice {
        /// The member.
        name: String,
        /// The line of the first.
        first: usize,
        /// The line of the second.
        second: usize,
    },
    /// The text is written in a way that is not edited here.
    #[error("{what}: edit this file by hand")]
    Unsupported {
        /// What stands in the way.
        what: String,
    },
}

/// One change of one member.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Sets the member at this path of names, maps on the way included.
    Set(Vec<String>, Value),
    /// Takes the member at this path out; nothing happens where there is none.
    Remove(Vec<String>),
}

impl Format {
    /// Reads a text. One with nothing in it is an empty map.
    ///
    /// # Errors
    ///
    /// Where it is not written as the format says.
    pub fn parse(self, text: &str) -> Result<Node, Broken> {
        let (_, text) = without_mark(text);
        match self {
            Self::Json => json::parse(text),
            Self::Toml => toml::parse(text),
            Self::Yaml => yaml::parse(text),
        }
    }

    /// Makes changes one after the other, in place.
    ///
    /// # Errors
    ///
    /// When the text is broken, or written so that it cannot be edited without a risk for the rest.
    pub fn edit(self, text: &str, edits: &[Edit]) -> Result<String, EditError> {
        let (mark, body) = without_mark(text);
        let mut expected = self.parse(body)?.value();
        let mut edited = body.to_owned();
        for edit in edits {
            let root = self.parse(&edited)?;
            edited = match edit {
                Edit::Set(path, value) => {
                    expected.set(path, value.clone());
                    match self {
                        Self::Json => json::set(&edited, &root, path, value)?,
                        Self::Toml => toml::set(&edited, path, value)?,
                        Self::Yaml => yaml::set(&edited, &root, path, value)?,
                    }
                }
                Edit::Remove(path) if root.at(path).is_none() => continue,
                Edit::Remove(path) => {
                    expected.remove(path);
                    match self {
                        Self::Json => json::remove(&edited, &root, path)?,
                        Self::Toml => toml::remove(&edited, &root, path)?,
                        Self::Yaml => yaml::remove(&edited, &root, path)?,
                    }
                }
            };
        }
        match self.parse(&edited) {
            Ok(root) if self.same(root.value(), expected) => Ok(format!("{mark}{edited}")),
            _ => Err(EditError::Unsupported {
                what: "the change would not read back as it was meant".to_owned(),
            }),
        }
    }
}

impl Format {
    /// Whether two texts say the same. A TOML table without members may not be written at all.
    fn same(self, one: Value, two: Value) -> bool {
        match self {
            Self::Toml => without_empty(one) == without_empty(two),
            Self::Json | Self::Yaml => one == two,
        }
    }
}

fn without_empty(value: Value) -> Value {
    let Value::Map(members) = value else { return value };
    let members = members.into_iter().map(|(name, value)| (name, without_empty(value)));
    Value::Map(
        members
            .filter(|(_, value)| !matches!(value, Value::Map(members) if members.is_empty()))
            .collect(),
    )
}

/// The changes that make one value of another, as small as they can be, so that what is the same
/// keeps its bytes.
pub fn difference(path: &[String], old: &Value, new: &Value) -> Vec<Edit> {
    let (Value::Map(before), Value::Map(after)) = (old, new) else {
        return match old == new {
            true => Vec::new(),
            false => vec![Edit::Set(path.to_vec(), new.clone())],
        };
    };
    let below = |name: &String| [path, std::slice::from_ref(name)].concat();
    let mut edits = Vec::new();
    for (name, value) in after {
        match old.get(name) {
            Some(was) => edits.extend(difference(&below(name), was, value)),
            None => edits.push(Edit::Set(below(name), value.clone())),
        }
    }
    let gone = before.iter().filter(|(name, _)| new.get(name).is_none());
    edits.extend(gone.map(|(name, _)| Edit::Remove(below(name))));
    edits
}

/// The byte order mark that some editors begin a file with, and the rest.
pub(crate) fn without_mark(text: &str) -> (&str, &str) {
    match text.strip_prefix('\u{feff}') {
        Some(rest) => ("\u{feff}", rest),
        None => ("", text),
    }
}

/// A text with a range of its bytes replaced.
pub(crate) fn spliced(text: &str, range: std::ops::Range<usize>, with: &str) -> String {
    let (before, after) = (text.get(..range.start), text.get(range.end..));
    [before.unwrap_or_default(), with, after.unwrap_or_default()].concat()
}

/// The line end of a text: that of its first line.
pub(crate) fn line_end(text: &str) -> &'static str {
    match text.find('\n').and_then(|at| text.get(..at)) {
        Some(first) if first.ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// Where the line of a byte begins.
pub(crate) fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1)
}

/// The white space that the line of a byte begins with.
pub(crate) fn indent_at(text: &str, at: usize) -> &str {
    let line = text.get(line_start(text, at)..).unwrap_or_default();
    let end = line.find(|c| c != ' ' && c != '\t').unwrap_or(line.len());
    line.get(..end).unwrap_or_default()
}

/// Refuses a member that stands in its map twice: which one counts is the reader's choice.
pub(crate) fn once(text: &str, node: &Node, name: &str) -> Result<(), EditError> {
    let mut found = node.members().iter().filter(|member| member.name == name);
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => Err(EditError::Twice {
            name: name.to_owned(),
            first: line_of(text, first.name_span.start),
            second: line_of(text, second.name_span.start),
        }),
        _ => Ok(()),
    }
}
