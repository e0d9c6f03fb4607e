//! The canonical form of RFC 8785: the one text over which digests are taken.
//!
//! [`canonicalize`] reads strictly and writes; [`write`] writes a value that was read before. The
//! writer is ours because it is on the path of every definition and of signed arguments; the
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

use crate::ijson::{IjsonError, Limits, Number, Text, Value};

/// The canonical form of a text.
///
/// # Errors
///
/// When the text is not I-JSON or exceeds `limits`, see [`Value::parse`].
pub fn canonicalize(text: &str, limits: Limits) -> Result<String, IjsonError> {
    let value = Value::parse(text, limits)?;
    let mut out = String::with_capacity(text.len());
    write(&value, &mut out);
    Ok(out)
}

/// Appends the canonical form of `value`.
pub fn write(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(*number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(list) => {
            out.push('[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(value, out);
            }
            out.push(']');
        }
        Value::Object(object) => {
            out.push('{');
            for (index, (name, value)) in object.members().iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(name, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
    }
}

/// RFC 8785, section 3.2.2.3: as ECMAScript writes it.
fn write_number(number: Number, out: &mut String) {
    out.push_str(ryu_js::Buffer::new().format_finite(number.get()));
}

/// RFC 8785, section 3.2.2.2: only quote, backslash and control characters are escaped.
fn write_text(text: &Text<'_>, out: &mut String) {
    out.push('"');
    if text.is_plain() {
        out.push_str(text.as_str());
    } else {
        write_escaped(text.as_str(), out);
    }
    out.push('"');
}

fn write_escaped(text: &str, out: &mut String) {
    let must = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    let mut rest = text;
    while let Some(at) = rest.as_bytes().iter().position(must) {
        let (plain, tail) = rest.split_at(at);
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
            None => {}
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests;
