//! The one type for text that is shown where somebody decides.
//!
//! What a person approves must be what the model reads. A [`SafeText`] is made here alone, from a text
//! that a peer has written: what does not show is an escape, marks that pile up are, long rows of
//! blanks are counted, and it has an end. It is one line. [`SafeText::of`] shows everything,
//! [`SafeText::plain`] refuses what would need to be shown otherwise.
//!
//! ```
//! use etdi_core::safe::SafeText;
//!
//! assert_eq!(SafeText::of("pay\u{202e}001").as_str(), r"pay\u{202e}001");
//! assert_eq!(SafeText::of(&format!("a{}b", " ".repeat(300))).as_str(), "a [300 spaces] b");
//! assert!(SafeText::plain("pay\u{202e}001").is_err());
//! assert_eq!(SafeText::plain("Météo 天気")?.as_str(), "Météo 天気");
//! # Ok::<(), etdi_core::safe::UnsafeText>(())
//! ```

use core::fmt;

use serde::Serialize;

use crate::change::{has_hidden, visible};

/// A text that hides nothing from its reader.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SafeText(String);

impl SafeText {
    /// The most characters that are shown; what is longer says how much of it is not.
    pub const MAX: usize = 1 << 16;

    /// The text with everything in it shown.
    pub fn of(text: &str) -> Self {
        Self::within(text, Self::MAX)
    }

    /// The same with no more than `most` characters of the text, for a place that has not more room.
    pub fn within(text: &str, most: usize) -> Self {
        let most = most.min(Self::MAX);
        let cut = text.char_indices().nth(most).map_or(text.len(), |(at, _)| at);
        let start = text.get(..cut).unwrap_or(text);
        let mut shown = match has_trick(start) {
            true => visible(&spelled(start)).into_owned(),
            false => visible(start).into_owned(),
        };
        let rest = text.get(cut..).unwrap_or_default().chars().count();
        if rest > 0 {
            // Writing to a string cannot fail.
            let _ = fmt::Write::write_fmt(&mut shown, format_args!("… [{rest} more characters]"));
        }
        Self(shown)
    }

    /// The text as it is, if it is one line that hides nothing and is not too long.
    ///
    /// # Errors
    ///
    /// [`UnsafeText`] for any other, with the text as [`SafeText::of`] shows it.
    pub fn plain(text: &str) -> Result<Self, UnsafeText> {
        let shown = Self::of(text);
        match shown.0 == text && !has_hidden(text) {
            true => Ok(shown),
            false => Err(UnsafeText(shown)),
        }
    }

    /// The text to show.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl AsRef<str> for SafeText {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<SafeText> for String {
    fn from(text: SafeText) -> Self {
        text.0
    }
}

/// A text that cannot be shown as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text `{0}` hides something or is too long, ask for one in plain letters")]
pub struct UnsafeText(SafeText);

impl UnsafeText {
    /// The text, with what it hides.
    pub fn shown(&self) -> &SafeText {
        &self.0
    }
}

/// How many blanks in a row, and marks on one letter, are shown as they are.
const BLANKS: usize = 16;
const MARKS: usize = 4;

fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// Whether there is a row of blanks or marks that [`spelled`] writes otherwise.
fn has_trick(text: &str) -> bool {
    let (mut blanks, mut marks) = (0, MARKS);
    text.chars().any(|c| {
        blanks = if c == ' ' { blanks + 1 } else { 0 };
        marks = if is_mark(c) { marks + 1 } else { 0 };
        blanks > BLANKS || marks > MARKS
    })
}

/// Rows of blanks as their number, and marks with nothing to stand on as escapes.
fn spelled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut blanks, mut marks) = (0, MARKS);
    let flush = |out: &mut String, blanks: &mut usize| {
        match *blanks {
            0..=BLANKS => out.extend(core::iter::repeat_n(' ', *blanks)),
            many => out.push_str(&format!(" [{many} spaces] ")),
        }
        *blanks = 0;
    };
    for c in text.chars() {
        if c == ' ' {
            blanks += 1;
            marks = 0;
            continue;
        }
        flush(&mut out, &mut blanks);
        marks = if is_mark(c) { marks + 1 } else { 0 };
        match marks > MARKS {
            true => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            false => out.push(c),
        }
    }
    flush(&mut out, &mut blanks);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_shown() {
        let piled = format!("a{}", "\u{336}".repeat(6));
        for (text, shown, plain) in [
            ("plain, with ünïcode and 日本", "plain, with ünïcode and 日本", true),
            ("two\nlines", "two\\nlines", false),
            ("\u{1b}[2K\u{e0041}", "\\u{1b}[2K\\u{e0041}", false),
            (&*piled, "a\u{336}\u{336}\u{336}\u{336}\\u{336}\\u{336}", false),
            ("\u{301}on nothing", "\\u{301}on nothing", false),
            ("e\u{301}", "e\u{301}", true),
            ("a  b", "a  b", true),
        ] {
            assert_eq!(SafeText::of(text).as_str(), shown);
            assert_eq!(SafeText::plain(text).is_ok(), plain, "{shown}");
        }
        assert_eq!(SafeText::of(&" ".repeat(40)).as_str(), " [40 spaces] ");
    }

    #[test]
    fn it_has_an_end() {
        assert_eq!(SafeText::within("abcdef", 4).as_str(), "abcd… [2 more characters]");
        let long = "ü".repeat(SafeText::MAX + 5);
        assert!(SafeText::of(&long).as_str().ends_with("… [5 more characters]"));
        assert!(SafeText::plain(&long).is_err());
    }
}
