//! Text as it is, for people: what does not show is escaped.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with every character escaped that a terminal or a page would not show as itself:
/// controls (line ends too), format characters such as bidirectional overrides, zero-width and
/// tag characters, variation selectors, fillers, unusual spaces, private use and non-characters.
///
/// What a person approves must be what the model reads; use this for every text of a peer.
///
/// ```
/// use etdi_core::change::visible;
///
/// assert_eq!(visible("pay\u{202e}100\u{1b}[2K"), r"pay\u{202e}100\u{1b}[2K");
/// assert_eq!(visible("Météo 天気"), "Météo 天気");
/// ```
pub fn visible(text: &str) -> Cow<'_, str> {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain || !text.chars().any(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if is_unseen(c) => {
                // Writing to a string cannot fail.
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Whether a text carries characters that hide something from its reader. Line ends, tabs,
/// unusual spaces, emoji selectors and joiners between letters of scripts that need them do not
/// count.
pub fn has_hidden(text: &str) -> bool {
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let natural = match c {
            '\n' | '\r' | '\t' => true,
            '\u{fe0e}' | '\u{fe0f}' => before.is_some_and(is_plain_beyond_ascii),
            '\u{200c}' | '\u{200d}' => {
                before.is_some_and(|c| is_plain_beyond_ascii(c) || c == '\u{fe0f}')
                    && rest.peek().copied().is_some_and(is_plain_beyond_ascii)
            }
            c => !is_unseen(c) || is_space(c),
        };
        if !natural {
            return true;
        }
        before = Some(c);
    }
    false
}

fn is_plain_beyond_ascii(c: char) -> bool {
    !c.is_ascii() && !is_unseen(c)
}

fn is_space(c: char) -> bool {
    matches!(
        c,
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

fn is_unseen(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    c.is_control()
        || is_space(c)
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{e000}'..='\u{f8ff}'
                | '\u{fdd0}'..='\u{fdef}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
        )
        || u32::from(c) >= 0xe_0000
        || u32::from(c) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::{has_hidden, visible};

    #[test]
    fn escapes_what_does_not_show() {
        for (text, shown, hidden) in [
            ("plain, with ünïcode and 日本", "plain, with ünïcode and 日本", false),
            ("two\nlines\tand a tab", "two\\nlines\\tand a tab", false),
            ("nbsp\u{a0}here", "nbsp\\u{a0}here", false),
            ("zero\u{200b}width", "zero\\u{200b}width", true),
            ("\u{e0041}\u{e0042}", "\\u{e0041}\\u{e0042}", true),
            ("\u{2066}bidi\u{2069}", "\\u{2066}bidi\\u{2069}", true),
            ("esc\u{1b}[31m", "esc\\u{1b}[31m", true),
            ("del\u{7f} c1\u{9b}", "del\\u{7f} c1\\u{9b}", true),
            ("soft\u{ad}hyphen", "soft\\u{ad}hyphen", true),
            ("filler\u{3164}", "filler\\u{3164}", true),
            ("\u{feff}bom", "\\u{feff}bom", true),
            ("private \u{e123} \u{f0000}", "private \\u{e123} \\u{f0000}", true),
            ("warning \u{26a0}\u{fe0f}", "warning \u{26a0}\\u{fe0f}", false),
            ("data\u{fe0f}\u{fe0f}", "data\\u{fe0f}\\u{fe0f}", true),
            ("family \u{1f468}\u{200d}\u{1f469}", "family \u{1f468}\\u{200d}\u{1f469}", false),
            ("a\u{200d}b", "a\\u{200d}b", true),
            ("\u{e0100}", "\\u{e0100}", true),
        ] {
            assert_eq!(visible(text), shown);
            assert_eq!(has_hidden(text), hidden, "{shown}");
        }
    }
}
