//! Argument types that refuse: text that was checked before the tool saw it.
//!
//! What a model sends is what somebody on the internet may have told it to send. A tool that takes
//! [`Text<R>`](Text) instead of `String` never runs with text that breaks the rule `R`: the call
//! is answered with the reason, which the model reads, and the rule stands in the tool's schema, so
//! that the model knows it before it calls.
//!
//! ```
//! use mcp_server::checked::{Length, RelativePath, Text};
//! use mcp_server::{server, tool};
//!
//! /// Renames a file.
//! #[tool]
//! fn rename(path: RelativePath, title: Text<Length<1, 80>>) -> String {
//!     format!("{path} is now called {title}")
//! }
//!
//! let server = server!().tool::<rename>().build()?;
//! assert!(RelativePath::new("../../etc/passwd").is_err());
//! # Ok::<(), mcp_server::BuildError>(())
//! ```
//!
//! | rule | text that |
//! |---|---|
//! | [`Length`] | has so many characters |
//! | [`Matches`] | a regular expression describes whole (feature `pattern`) |
//! | [`InRoot`] | names a file below a folder; [`Folder`] opens it without following a link out (feature `files`) |
//! | [`Web`] | is a URL under a policy (feature `url`) |
//! | [`GlobPattern`] | is a glob (feature `glob`) |
//! | [`Deny`] | holds none of these words |
//! | `(A, B)` | keeps both rules |
//!
//! [`Escaped`] takes any text and shows it as HTML text. A rule of your own is a type that
//! implements [`Rule`].
//!
//! # What no rule can do
//!
//! A pattern does not stop SQL injection: bind parameters do (`WHERE name = ?1`). A word list does
//! not stop a prompt injection. [`Deny`] and [`Escaped`] are a second fence behind the right one,
//! never the fence.

// What the table speaks of is there with all features only.
#![cfg_attr(
    not(all(feature = "files", feature = "glob", feature = "pattern", feature = "url")),
    allow(rustdoc::broken_intra_doc_links)
)]

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod deny;
mod escaped;
#[cfg(feature = "files")]
mod files;
#[cfg(feature = "glob")]
mod glob;
mod path;
#[cfg(feature = "pattern")]
mod pattern;
mod plain;
#[cfg(feature = "url")]
mod web;

pub use deny::{Deny, DenyList};
pub use escaped::Escaped;
#[cfg(feature = "files")]
pub use files::{Entry, FileError, Folder};
#[cfg(feature = "glob")]
pub use glob::GlobPattern;
pub use path::{InRoot, RelativePath};
#[cfg(feature = "pattern")]
pub use pattern::{Matches, Pattern};
pub use plain::Length;
#[cfg(feature = "url")]
pub use web::{Web, WebPolicy};

/// What text must be like.
pub trait Rule {
    /// What the check makes of the text, kept beside it.
    type Parsed: Send + Sync;

    /// Checks a text.
    ///
    /// # Errors
    ///
    /// Why it is refused and what would be accepted, for the model to read.
    fn check(text: &str) -> Result<Self::Parsed, Refused>;

    /// Adds the rule to the schema of a string, as far as JSON Schema can say it.
    fn describe(schema: &mut Schema);
}

/// Why a text was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(String);

impl Refused {
    /// `reason` completes the sentence "the argument `x` does not fit: …".
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// A text that keeps the rule `R`; there is no other way to have one.
pub struct Text<R: Rule> {
    text: String,
    parsed: R::Parsed,
    rule: PhantomData<fn() -> R>,
}

impl<R: Rule> Text<R> {
    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// The rule's reason.
    pub fn new(text: impl Into<String>) -> Result<Self, Refused> {
        let text = text.into();
        let parsed = R::check(&text)?;
        Ok(Self { text, parsed, rule: PhantomData })
    }

    /// The text as it came.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What the check made of it.
    pub fn parsed(&self) -> &R::Parsed {
        &self.parsed
    }

    /// The text itself.
    pub fn into_string(self) -> String {
        self.text
    }
}

impl<R: Rule> Deref for Text<R> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl<R: Rule> AsRef<str> for Text<R> {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl<R: Rule> fmt::Display for Text<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<R: Rule> fmt::Debug for Text<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl<R: Rule> TryFrom<String> for Text<R> {
    type Error = Refused;

    fn try_from(text: String) -> Result<Self, Refused> {
        Self::new(text)
    }
}

impl<R: Rule> std::str::FromStr for Text<R> {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        Self::new(text)
    }
}

impl<R: Rule> Clone for Text<R>
where
    R::Parsed: Clone,
{
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), parsed: self.parsed.clone(), rule: PhantomData }
    }
}

impl<R: Rule> PartialEq for Text<R> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<R: Rule> Eq for Text<R> {}

impl<'de, R: Rule> Deserialize<'de> for Text<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<R: Rule> Serialize for Text<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<R: Rule> JsonSchema for Text<R> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        std::any::type_name::<Self>().into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = schemars::json_schema!({ "type": "string" });
        R::describe(&mut schema);
        schema
    }
}

impl<A: Rule, B: Rule> Rule for (A, B) {
    type Parsed = (A::Parsed, B::Parsed);

    fn check(text: &str) -> Result<Self::Parsed, Refused> {
        Ok((A::check(text)?, B::check(text)?))
    }

    fn describe(schema: &mut Schema) {
        A::describe(schema);
        B::describe(schema);
    }
}

/// Adds a sentence to the description, after what another rule said.
fn explain(schema: &mut Schema, sentence: &str) {
    let said = schema.get("description").and_then(|text| text.as_str());
    let text = said.map_or_else(|| sentence.to_owned(), |said| format!("{said}; {sentence}"));
    schema.insert("description".into(), text.into());
}

/// A wrong text in the reason: a little of it, with nothing invisible.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(60).collect();
    let rest = if start.len() < text.len() { "…" } else { "" };
    format!("`{}{rest}`", start.escape_debug())
}

#[cfg(test)]
mod tests;
