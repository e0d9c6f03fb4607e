//! Text that is shown as text, in HTML too.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Any text of at most `MAX` characters; displayed, it is HTML text: `&`, `<`, `>`, `"` and `'` are
/// written as references.
///
/// Right in the content of an element and in a quoted attribute; not in a script, a style, a URL or
/// an attribute that runs as code, where no escaping of this kind helps.
///
/// ```
/// use mcp_server::checked::Escaped;
///
/// let said = Escaped::<100>::new("<img src=x onerror=alert(1)>")?;
/// assert_eq!(format!("<p>{said}</p>"), "<p>&lt;img src=x onerror=alert(1)&gt;</p>");
/// # Ok::<(), mcp_server::checked::Refused>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Escaped<const MAX: usize>(super::Text<super::Length<0, MAX>>);

impl<const MAX: usize> Escaped<MAX> {
    /// Takes a text.
    ///
    /// # Errors
    ///
    /// It is longer than `MAX` characters.
    pub fn new(text: impl Into<String>) -> Result<Self, super::Refused> {
        super::Text::new(text).map(Self)
    }

    /// The text as it came, for every place that is not HTML.
    pub fn raw(&self) -> &str {
        self.0.as_str()
    }
}

impl<const MAX: usize> fmt::Display for Escaped<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.raw();
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            let (plain, special) = rest.split_at(at);
            f.write_str(plain)?;
            let mut chars = special.chars();
            f.write_str(match chars.next() {
                Some('&') => "&amp;",
                Some('<') => "&lt;",
                Some('>') => "&gt;",
                Some('"') => "&quot;",
                _ => "&#39;",
            })?;
            rest = chars.as_str();
        }
        f.write_str(rest)
    }
}
