//! Texts in another form: base64, hexadecimal digits, escapes, character references.

use core::ops::Range;

use super::super::Severity;
use super::super::finding::Code;
use super::super::report::Report;
use super::super::subject::{Piece, Role};
use super::code;

pub(super) static ENCODED: Code = code(
    "smuggling/encoded-text",
    Severity::Medium,
    "a text in base64 or hexadecimal digits",
    "A model decodes it as it reads; a person sees letters without meaning.",
    "Read what it says; a definition has no need to say it in this form.",
);

pub(super) static ESCAPED: Code = code(
    "smuggling/escaped-text",
    Severity::Medium,
    "letters written as escapes",
    "Percent signs, character references and backslash escapes for plain letters hide words from whoever \
     reads the text as it stands.",
    "Read what it says; ask its author to write it in plain letters.",
);

/// The shortest runs that are looked at.
const BASE64: usize = 16;
const HEX: usize = 24;
const ESCAPES: usize = 4;

/// The most runs of one piece.
const RUNS: usize = 32;

pub(super) fn look(piece: &Piece<'_>, report: &mut Report<'_, '_>) {
    let text = piece.text;
    if text.len() < BASE64 {
        return;
    }
    let data = text.contains("data:image/");
    for span in runs(text) {
        let Some(run) = text.get(span.clone()) else { continue };
        let Some((decoded, form)) = decode(run) else { continue };
        // What a token says of itself, and an icon.
        let token = decoded.starts_with("{\"") || data && decoded.contains("<svg");
        let looked_at = report.unveil(piece, form, decoded.clone());
        // One too many to be looked at is what it hides among.
        if !token || !looked_at {
            blob(piece, span, &decoded, form, report);
        }
    }
    for (span, decoded) in escaped(text) {
        let what = format!("escapes say: {}", report.shown(&decoded));
        report.at(&ESCAPED, piece, Some(span), 0.6, what);
        report.unveil(piece, "in escapes", decoded);
    }
}

fn blob(
    piece: &Piece<'_>,
    span: Range<usize>,
    decoded: &str,
    form: &str,
    report: &mut Report<'_, '_>,
) {
    let length = decoded.chars().count();
    let words = decoded.split_whitespace().count();
    let example = matches!(piece.role, Role::Value | Role::Other | Role::Output);
    let risk = match () {
        () if length < 16 => 0.02,
        () if example && (length < 32 || words < 3) => 0.1,
        () if words < 3 && length < 32 => 0.3,
        () => 0.6,
    };
    let what = format!("{form} stands: {}", report.shown(decoded));
    report.at(&ENCODED, piece, Some(span), risk, what);
}

/// Runs of letters of these alphabets.
fn runs(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = 0;
    core::iter::from_fn(move || {
        loop {
            let within = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
            let start = at + bytes.get(at..)?.iter().position(within)?;
            let rest = bytes.get(start..)?;
            let length = rest.iter().position(|byte| !within(byte)).unwrap_or(rest.len());
            at = start + length;
            if length >= BASE64 {
                return Some(start..at);
            }
        }
    })
}

fn decode(run: &str) -> Option<(String, &'static str)> {
    let hex = run.strip_prefix("0x").unwrap_or(run);
    if hex.len() >= HEX
        && hex.len().is_multiple_of(2)
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        let pairs = hex.as_bytes().chunks_exact(2);
        let byte = |pair| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok();
        return Some((sentence(pairs.map(byte).collect::<Option<_>>()?)?, "in hexadecimal digits"));
    }
    // Letters of both cases and a digit or sign: what encoded words have, and few names.
    let has = |test: fn(&u8) -> bool| run.as_bytes().iter().any(test);
    if !has(u8::is_ascii_uppercase) || !has(u8::is_ascii_lowercase) {
        return None;
    }
    // A path before it has the same letters.
    let tail = run.rfind('/').and_then(|at| run.get(at + 1..)).filter(|tail| tail.len() >= BASE64);
    let text = [Some(run), tail].into_iter().flatten().find_map(|run| sentence(base64(run)?))?;
    Some((text, "in base64"))
}

fn base64(run: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(run.len() * 3 / 4);
    let (mut buffer, mut bits) = (0u32, 0);
    for byte in run.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        buffer = buffer << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(buffer >> bits & 0xff).ok()?);
            buffer &= (1 << bits) - 1;
        }
    }
    Some(out)
}

/// Bytes as a text, if they are one that somebody wrote: letters for the greater part, all of it shown.
fn sentence(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    let (mut all, mut letters) = (0, 0);
    for c in text.chars() {
        if c.is_control() && !c.is_whitespace() {
            return None;
        }
        all += 1;
        // What does not show is text as well, as far as smugglers are concerned.
        letters += usize::from(c.is_alphanumeric() || c == ' ' || u32::from(c) >= 0xe0000);
    }
    (all > 3 && letters * 2 >= all).then_some(text)
}

/// Letters thirteen places on, where something speaks of that.
pub(super) fn rotated(text: &str) -> String {
    let rotate = |c: char, first: u8| match u8::try_from(c) {
        Ok(byte) => char::from((byte - first + 13) % 26 + first),
        Err(_) => c,
    };
    let rotated = text.chars().map(|c| match c {
        'a'..='z' => rotate(c, b'a'),
        'A'..='Z' => rotate(c, b'A'),
        c => c,
    });
    rotated.collect()
}

/// Escapes in a row that stand for letters that need none.
fn escaped(text: &str) -> Vec<(Range<usize>, String)> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| b"%&\\".contains(byte)) {
        return Vec::new();
    }
    let (mut all, mut at) = (Vec::new(), 0);
    while at < bytes.len() && all.len() < RUNS {
        let (start, mut decoded, mut count) = (at, String::new(), 0);
        while let Some((length, c)) = bytes.get(at..).and_then(one_escape) {
            decoded.push(c);
            at += length;
            count += 1;
            // Words of escapes have plain spaces between them.
            if bytes.get(at) == Some(&b' ') && bytes.get(at + 1..).and_then(one_escape).is_some() {
                decoded.push(' ');
                at += 1;
            }
        }
        let plain = decoded.chars().filter(|c| c.is_ascii_alphanumeric() || *c == ' ').count();
        if count >= ESCAPES && plain * 3 >= decoded.len() * 2 {
            all.push((start..at, decoded));
        }
        at += usize::from(at == start);
    }
    all
}

/// One escape at the start of a text, its length and what it stands for.
fn one_escape(bytes: &[u8]) -> Option<(usize, char)> {
    let number = |digits: &[u8], radix| {
        let code = u32::from_str_radix(core::str::from_utf8(digits).ok()?, radix).ok()?;
        char::from_u32(code)
    };
    let digits = |from: usize, most: usize, test: fn(&u8) -> bool| {
        let rest = bytes.get(from..).unwrap_or_default();
        rest.iter().take(most).take_while(|byte| test(byte)).count()
    };
    let (start, most, test): (usize, usize, fn(&u8) -> bool) = match bytes {
        [b'%', ..] => {
            return Some((3, number(bytes.get(1..3)?, 16)?)).filter(|(_, c)| c.is_ascii());
        }
        [b'\\', b'u', b'{', ..] => (3, 6, u8::is_ascii_hexdigit),
        [b'\\', b'u', ..] => return Some((6, number(bytes.get(2..6)?, 16)?)),
        [b'\\', b'x', ..] => return Some((4, number(bytes.get(2..4)?, 16)?)),
        [b'&', b'#', b'x' | b'X', ..] => (3, 6, u8::is_ascii_hexdigit),
        [b'&', b'#', ..] => (2, 7, u8::is_ascii_digit),
        _ => return None,
    };
    let length = digits(start, most, test);
    let end = start + length;
    let closed = matches!(bytes.get(end), Some(b';' | b'}'));
    let radix = if start == 2 { 10 } else { 16 };
    Some((end + usize::from(closed), number(bytes.get(start..end)?, radix)?)).filter(|_| length > 0)
}
