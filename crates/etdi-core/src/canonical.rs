//! The canonical form of RFC 8785: the one text over which digests are taken.
//!
//! [`canonicalize`] reads strictly and writes; [`write()`] and [`of`] write what was read before.
//! The writer is ours because it is on the path of every definition and of signed arguments; the
//! spelling of numbers is that of `ryu-js`.
//!
//! ```
//! use etdi_core::canonical::canonicalize;
//! use etdi_core::ijson::Limits;
//!
//! let text = canonicalize(r#"{ "b": 1.50, "a": "\u20ac" }"#, Limits::DEFINITION)?;
//! assert_eq!(text, r#"{"a":"€","b":1.5}"#);
//!
//! // What could be read in two ways has no canonical form.
//! assert!(canonicalize(r#"{"a":1,"a":2}"#, Limits::DEFINITION).is_err());
//! # Ok::<(), etdi_core::ijson::IjsonError>(())
//! ```

use core::fmt::Write;

use crate::ijson::{Document, IjsonError, Limits, Number, Shape, Value, plain_length};

/// The canonical form of a text.
///
/// # Errors
///
/// When the text is not I-JSON or exceeds `limits`, see [`Document::parse`].
pub fn canonicalize(text: &str, limits: Limits) -> Result<String, IjsonError> {
    let document = Document::parse(text, limits)?;
    let mut out = String::with_capacity(text.len());
    write(document.root(), &mut out);
    Ok(out)
}

/// The canonical form of a value.
pub fn of(value: Value<'_>) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

/// Appends the canonical form of `value`.
pub fn write(value: Value<'_>, out: &mut String) {
    match value.shape() {
        Shape::Null => out.push_str("null"),
        Shape::Bool(true) => out.push_str("true"),
        Shape::Bool(false) => out.push_str("false"),
        Shape::Number(number) => write_number(number, out),
        Shape::String(text, plain) => write_text(text, plain, out),
        Shape::Array => {
            out.push('[');
            for (index, (_, _, value)) in value.children().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(value, out);
            }
            out.push(']');
        }
        Shape::Object => {
            out.push('{');
            for (index, (name, plain, value)) in value.children().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(name, plain, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
    }
}

/// RFC 8785, section 3.2.2.3: as ECMAScript writes it.
fn write_number(number: Number, out: &mut String) {
    match number.as_i64() {
        Some(integer) => write_integer(integer, out),
        None => out.push_str(ryu_js::Buffer::new().format_finite(number.get())),
    }
}

/// Most numbers of a definition are small integers, which need no general algorithm.
fn write_integer(integer: i64, out: &mut String) {
    if integer < 0 {
        out.push('-');
    }
    let mut digits = [0; 20];
    let mut rest = integer.unsigned_abs();
    let mut count = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    let written = digits.get(digits.len() - count..).unwrap_or_default();
    out.push_str(core::str::from_utf8(written).unwrap_or_default());
}

/// RFC 8785, section 3.2.2.2: only quote, backslash and control characters are escaped.
fn write_text(text: &str, plain: bool, out: &mut String) {
    out.push('"');
    if plain {
        out.push_str(text);
    } else {
        write_escaped(text, out);
    }
    out.push('"');
}

fn write_escaped(text: &str, out: &mut String) {
    let mut rest = text;
    loop {
        let (plain, tail) = rest.split_at(plain_length(rest.as_bytes()).0);
        out.push_str(plain);
        let mut characters = tail.chars();
        match characters.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\t') => out.push_str("\\t"),
            Some('\n') => out.push_str("\\n"),
            Some('\u{c}') => out.push_str("\\f"),
            Some('\r') => out.push_str("\\r"),
            // Writing into a string cannot fail.
            Some(control) => _ = write!(out, "\\u{:04x}", u32::from(control)),
            None => return,
        }
        rest = characters.as_str();
    }
}

#[cfg(test)]
mod tests;
