//! Encodings in which a text stays readable to whoever wants it, undone.

use super::Form;

/// How many times encodings are undone, one in the other.
const DEPTH: usize = 2;

/// The least run that is taken for base64, and for hexadecimal digits.
const BASE64: usize = 12;
const HEX: usize = 16;

/// All readings of a text: as it is, and with encodings undone, no more than `limit` bytes in all.
pub(super) fn readings(text: &str, limit: usize) -> Vec<(Form, String)> {
    let mut all = vec![(Form::Plain, text.to_owned())];
    let (mut from, mut left) = (0, limit);
    for _ in 0..DEPTH {
        let until = all.len();
        for at in from..until {
            let Some(source) = all.get(at).map(|(_, text)| text.clone()) else { continue };
            let mut decoded = Vec::new();
            decoded.extend(percent(&source));
            decoded.extend(escapes(&source));
            runs(
                &source,
                |byte| byte.is_ascii_hexdigit(),
                HEX,
                |run| {
                    decoded.extend(hex(run));
                    decoded.extend(run.get(1..).and_then(hex));
                },
            );
            let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
            runs(&source, base64, BASE64, |run| {
                // A path or prefix before it has the same letters: each of four beginnings.
                for start in 0..4 {
                    decoded.extend(run.get(start..).and_then(self::base64));
                }
            });
            for text in decoded {
                let Some(rest) = left.checked_sub(text.len()) else { return all };
                left = rest;
                all.push((Form::Encoded, text));
            }
        }
        from = until;
    }
    all
}

/// Calls `found` with each run of the characters `within`, all of them ASCII.
fn runs(text: &str, within: impl Fn(u8) -> bool, least: usize, mut found: impl FnMut(&str)) {
    let runs = text.as_bytes().split(|byte| !within(*byte)).filter(|run| run.len() >= least);
    runs.filter_map(|run| core::str::from_utf8(run).ok()).for_each(&mut found);
}

fn percent(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'%') {
        return None;
    }
    let (mut out, mut at, mut any) = (Vec::with_capacity(bytes.len()), 0, false);
    while let Some(&byte) = bytes.get(at) {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| core::str::from_utf8(pair).ok());
        match (byte, pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                at += 3;
                any = true;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    any.then(|| String::from_utf8_lossy(&out).into_owned())
}

/// Undoes the escapes of JSON, for JSON in a string.
fn escapes(text: &str) -> Option<String> {
    if !text.contains('\\') {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at)?);
        let mut after = rest.get(at + 1..)?.chars();
        match after.next() {
            Some('u') => {
                let digits = after.as_str().get(..4);
                let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                match code.and_then(char::from_u32) {
                    Some(character) => {
                        out.push(character);
                        after = after.as_str().get(4..)?.chars();
                    }
                    None => out.push(' '),
                }
            }
            Some('n' | 'r' | 't' | 'b' | 'f') => out.push(' '),
            Some(other) => out.push(other),
            None => {}
        }
        rest = after.as_str();
    }
    out.push_str(rest);
    Some(out)
}

fn hex(run: &str) -> Option<String> {
    let pairs = run.as_bytes().chunks_exact(2);
    let bytes = pairs.map(|pair| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok());
    readable(bytes.collect::<Option<Vec<u8>>>()?)
}

fn base64(run: &str) -> Option<String> {
    let mut out = Vec::with_capacity(run.len() * 3 / 4);
    let (mut buffer, mut bits) = (0u32, 0);
    for byte in run.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            _ => 63,
        };
        buffer = buffer << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((buffer >> bits) as u8);
            buffer &= (1 << bits) - 1;
        }
    }
    readable(out)
}

/// What is text for the most part; anything else was no encoded text.
fn readable(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8_lossy(&bytes);
    let bad = text
        .chars()
        .filter(|character| {
            *character == char::REPLACEMENT_CHARACTER
                || character.is_control() && !character.is_whitespace()
        })
        .count();
    (bad * 4 <= text.chars().count()).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_undone_one_in_the_other() {
        let has = |text: &str, wanted: &str| {
            readings(text, 1 << 16).iter().any(|(_, one)| one.contains(wanted))
        };
        assert!(has("a%20secret%20word", "a secret word"));
        assert!(has("YSBzZWNyZXQgd29yZA==", "a secret word"));
        assert!(has("https://evil.example/x/YSBzZWNyZXQgd29yZA", "secret word"));
        assert!(has("x61207365637265 74".replace(' ', "").as_str(), "a secret"));
        assert!(has("6120736563726574", "a secret"));
        assert!(has(r"a\u0020secret\nword", "a secret word"));
        assert!(has("YSUyMHNlY3JldCUyMHdvcmQ", "a secret word"), "percent in base64");
        assert_eq!(readings("plain", 1 << 16).len(), 1);
    }

    #[test]
    fn what_is_undone_is_bounded() {
        let bomb = "41".repeat(1 << 15);
        let total: usize = readings(&bomb, 100_000).iter().map(|(_, text)| text.len()).sum();
        assert!(total <= 100_000 + bomb.len());
    }
}
