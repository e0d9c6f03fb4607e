//! From values to a URI (RFC 6570, section 3).

use std::fmt::Write as _;

use super::{Part, is_reserved, is_unreserved};

pub(super) fn expand<V: AsRef<str>>(parts: &[Part], value: impl Fn(&str) -> Option<V>) -> String {
    let mut out = String::new();
    for part in parts {
        let (operator, names) = match part {
            Part::Literal(text) => {
                out.push_str(text);
                continue;
            }
            Part::Expression { operator, names } => (*operator, names),
        };
        let mut is_first = true;
        for name in names {
            let Some(value) = value(name) else { continue };
            let value = value.as_ref();
            match std::mem::take(&mut is_first) {
                true => out.push_str(operator.first()),
                false => out.push(operator.between()),
            }
            if operator.is_named() {
                out.push_str(name);
                // Only `;x` drops the sign of an empty value (section 3.2.7).
                if !(value.is_empty() && operator.between() == ';') {
                    out.push('=');
                }
            }
            encode(&mut out, value, operator.keeps_reserved());
        }
    }
    out
}

/// Writes `value` with what may not stand in a URI percent-encoded (section 1.5).
pub(super) fn encode(out: &mut String, value: &str, keeps_reserved: bool) {
    let mut rest = value.as_bytes();
    while let [byte, behind @ ..] = rest {
        let keeps = is_unreserved(*byte) || (keeps_reserved && is_reserved(*byte));
        let triplet = keeps_reserved && is_triplet(rest);
        match keeps || triplet {
            true => out.push(char::from(*byte)),
            // Writing to a string cannot fail.
            false => _ = write!(out, "%{byte:02X}"),
        }
        rest = behind;
    }
}

/// Whether a percent-encoded byte stands here.
pub(super) fn is_triplet(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}
