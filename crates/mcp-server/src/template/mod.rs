//! URI templates (RFC 6570, levels 1 to 3): filled in, and matched back.
//!
//! The RFC defines the way from values to a URI alone. The way back is ours and follows from it: a
//! URI matches when filling in the values that were found gives an equivalent URI. It takes a
//! time that grows with the product of the lengths of URI and template, whatever the two are.

mod expand;
mod find;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

pub use parse::TemplateError;

/// The longest URI that is held against a template, in bytes.
const LONGEST_URI: usize = 8 * 1024;

/// A URI with places for values, such as `users://{id}/profile`.
///
/// All operators of levels 1 to 3 are understood; the modifiers of level 4 (`{x*}`, `{x:3}`) are
/// refused, because a URI does not tell where such a value ended.
///
/// ```
/// use mcp_server::UriTemplate;
///
/// let template = UriTemplate::new("notes://{folder}/{+path}{?rev}")?;
/// let found = template.matches("notes://home/a/b%20c.md?rev=7").unwrap_or_default();
/// assert_eq!(found.get("folder").map(String::as_str), Some("home"));
/// assert_eq!(found.get("path").map(String::as_str), Some("a/b c.md"));
///
/// let uri = template.expand(|name| found.get(name).cloned());
/// assert_eq!(uri, "notes://home/a/b%20c.md?rev=7");
///
/// assert!(template.matches("notes://home/sweet/home?colour=red").is_none());
/// assert!(UriTemplate::new("notes://{folder").is_err());
/// # Ok::<(), mcp_server::TemplateError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct UriTemplate {
    text: String,
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Expression { operator: Operator, names: Vec<String> },
}

/// What stands behind the `{` (RFC 6570, section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Simple,
    Reserved,
    Fragment,
    Label,
    Path,
    Parameter,
    Query,
    Continuation,
}

impl UriTemplate {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// When it breaks the grammar of RFC 6570, section 2, uses a modifier of level 4, or names a
    /// variable twice.
    pub fn new(text: impl Into<String>) -> Result<Self, TemplateError> {
        let text = text.into();
        let parts = parse::parts(&text)?;
        Ok(Self { text, parts })
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of its variables, in order.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        let names = self.parts.iter().filter_map(|part| match part {
            Part::Expression { names, .. } => Some(names),
            Part::Literal(_) => None,
        });
        names.flatten().map(String::as_str)
    }

    /// The URI with these values; a variable without one is left out (RFC 6570, section 3).
    pub fn expand<V: AsRef<str>>(&self, value: impl Fn(&str) -> Option<V>) -> String {
        expand::expand(&self.parts, value)
    }

    /// The values with which the template gives `uri`, percent-decoded; `None` when there are none.
    ///
    /// A variable takes as much as it can, the first one first. A variable that stands for nothing
    /// is absent. The members of a `{?query}` may come in any order, unknown ones do not match.
    /// Decoding can bring any character into a value, a `/` or `..` as well: never join it to a
    /// path unchecked.
    pub fn matches(&self, uri: &str) -> Option<BTreeMap<String, String>> {
        if uri.len() > LONGEST_URI {
            return None;
        }
        find::find(&self.parts, uri)
    }
}

impl Operator {
    /// What comes before the first value that is there.
    fn first(self) -> &'static str {
        match self {
            Self::Simple | Self::Reserved => "",
            Self::Fragment => "#",
            Self::Label => ".",
            Self::Path => "/",
            Self::Parameter => ";",
            Self::Query => "?",
            Self::Continuation => "&",
        }
    }

    /// What comes between values.
    fn between(self) -> char {
        match self {
            Self::Simple | Self::Reserved | Self::Fragment => ',',
            Self::Label => '.',
            Self::Path => '/',
            Self::Parameter => ';',
            Self::Query | Self::Continuation => '&',
        }
    }

    /// Whether each value stands behind its name.
    fn is_named(self) -> bool {
        matches!(self, Self::Parameter | Self::Query | Self::Continuation)
    }

    /// Whether values keep the characters that structure a URI.
    fn keeps_reserved(self) -> bool {
        matches!(self, Self::Reserved | Self::Fragment)
    }
}

impl fmt::Debug for UriTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UriTemplate").field(&self.text).finish()
    }
}

impl fmt::Display for UriTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986, section 2.2.
fn is_reserved(byte: u8) -> bool {
    b":/?#[]@!$&'()*+,;=".contains(&byte)
}
