//! JSON as Python's `json.dumps(value, sort_keys=True)` writes it, to the byte.
//!
//! Members are sorted by code points, everything but printable ASCII is escaped, and numbers keep
//! Python's spelling: integers of any length as they are, floats by `repr`.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::ForkError;

/// What stands between members and behind names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PythonStyle {
    /// `,` and `:`.
    Compact,
    /// `, ` and `: `, Python's default.
    Spaced,
}

impl PythonStyle {
    fn comma(self) -> &'static str {
        match self {
            Self::Compact => ",",
            Self::Spaced => ", ",
        }
    }

    fn colon(self) -> &'static str {
        match self {
            Self::Compact => ":",
            Self::Spaced => ": ",
        }
    }
}

/// Nesting beyond this is refused.
const MAX_DEPTH: usize = 64;

/// Rewrites a JSON text as Python would write what it reads from it. Of duplicate members the last
/// one counts, as in Python.
///
/// ```
/// use etdi_core::legacy::{PythonStyle, python_json};
///
/// let text = r#"{"b": "é", "a": [1e-7, 100, 12345678901234567890]}"#;
/// let written = python_json(text, PythonStyle::Compact)?;
/// assert_eq!(written, r#"{"a":[1e-07,100,12345678901234567890],"b":"\u00e9"}"#);
/// # Ok::<(), etdi_core::legacy::ForkError>(())
/// ```
///
/// # Errors
///
/// [`ForkError::Unreadable`] for what is no JSON, a number that Python reads as infinite, and
/// nesting beyond 64 levels.
pub fn python_json(text: &str, style: PythonStyle) -> Result<String, ForkError> {
    let value: &RawValue = serde_json::from_str(text).map_err(|_| unreadable("it is no JSON"))?;
    let mut out = String::with_capacity(text.len());
    write(value.get(), style, 0, &mut out)?;
    Ok(out)
}

fn unreadable(why: &'static str) -> ForkError {
    ForkError::Unreadable { what: "the text".to_owned(), why }
}

fn write(text: &str, style: PythonStyle, depth: usize, out: &mut String) -> Result<(), ForkError> {
    const BROKEN: &str = "it is no JSON";
    if depth > MAX_DEPTH {
        return Err(unreadable("it is nested too deeply"));
    }
    let text = text.trim();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> =
                serde_json::from_str(text).map_err(|_| unreadable(BROKEN))?;
            out.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push_str(style.comma());
                }
                string(name, out);
                out.push_str(style.colon());
                write(value.get(), style, depth + 1, out)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> =
                serde_json::from_str(text).map_err(|_| unreadable(BROKEN))?;
            out.push('[');
            for (index, value) in elements.iter().enumerate() {
                if index > 0 {
                    out.push_str(style.comma());
                }
                write(value.get(), style, depth + 1, out)?;
            }
            out.push(']');
        }
        Some(b'"') => {
            let value: String = serde_json::from_str(text).map_err(|_| unreadable(BROKEN))?;
            string(&value, out);
        }
        Some(b'-' | b'0'..=b'9') => number(text, out)?,
        _ => out.push_str(text),
    }
    Ok(())
}

fn string(text: &str, out: &mut String) {
    use core::fmt::Write;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

fn number(text: &str, out: &mut String) -> Result<(), ForkError> {
    if !text.contains(['.', 'e', 'E']) {
        out.push_str(if text == "-0" { "0" } else { text });
        return Ok(());
    }
    let value: f64 = text.parse().map_err(|_| unreadable("it is no JSON"))?;
    if !value.is_finite() {
        return Err(unreadable("a number in it is infinite"));
    }
    // The shortest digits that read back, which Python's repr has too; only the form differs.
    let shortest = format!("{value:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let fixed = format!("{value}");
        out.push_str(&fixed);
        if !fixed.contains('.') {
            out.push_str(".0");
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        out.push_str(&format!("{digits}e{sign}{:02}", exponent.unsigned_abs()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each written by Python 3: `json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))`.
    #[test]
    fn writes_what_python_writes() {
        for (text, written) in [
            ("1.0", "1.0"),
            ("1e-7", "1e-07"),
            ("1E16", "1e+16"),
            ("1e15", "1000000000000000.0"),
            ("123456789012345680.0", "1.2345678901234568e+17"),
            ("0.1", "0.1"),
            ("-0.0", "-0.0"),
            ("-0", "0"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("1.5e300", "1.5e+300"),
            ("5e-324", "5e-324"),
            ("1e2", "100.0"),
            ("12345.678", "12345.678"),
            ("9007199254740993.0", "9007199254740992.0"),
            (
                r#"{"b":"é\u2028😀\u007f\"\\\n\t\u0001/","a":[1,2,12345678901234567890123,true,null]}"#,
                r#"{"a":[1,2,12345678901234567890123,true,null],"b":"\u00e9\u2028\ud83d\ude00\u007f\"\\\n\t\u0001/"}"#,
            ),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            ("[]", "[]"),
            ("{}", "{}"),
        ] {
            assert_eq!(python_json(text, PythonStyle::Compact).unwrap(), written);
        }
        let spaced = python_json(r#"{"a":[1,2],"b":null}"#, PythonStyle::Spaced).unwrap();
        assert_eq!(spaced, r#"{"a": [1, 2], "b": null}"#);
        assert!(python_json("1e400", PythonStyle::Compact).is_err());
        assert!(python_json("{", PythonStyle::Compact).is_err());
        let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
        assert!(python_json(&deep, PythonStyle::Compact).is_err());
    }
}
