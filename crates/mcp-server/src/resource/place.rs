//! The place that a URI names, as every reader of it understands it.

use super::access::is_scheme;

/// The most bytes of a URI.
const LONGEST: usize = 8_192;

/// A URI, decoded, whose meaning is no matter of who reads it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'u> {
    /// What stands before the query, decoded.
    pub(super) path: String,
    /// The query as it was sent: who reads it splits it before decoding.
    pub(super) query: Option<&'u str>,
}

/// Reads a URI. `None` when two readers could take it for different places: one that decodes before
/// it splits, or resolves `..`, and one that does not.
pub(super) fn place(uri: &str) -> Option<Place<'_>> {
    let odd = |one: char| one.is_control() || one.is_whitespace() || one == '\\' || one == '#';
    if uri.len() > LONGEST || uri.contains(odd) {
        return None;
    }
    let (path, query) = match uri.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (uri, None),
    };
    let (scheme, _) = path.split_once(':')?;
    if !is_scheme(scheme) {
        return None;
    }
    let path = decoded(path)?;
    let rest = path.get(scheme.len() + 1..)?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let last = rest.split('/').count() - 1;
    for (at, part) in rest.split('/').enumerate() {
        if is_dots(part) || (part.is_empty() && at != 0 && at != last) {
            return None;
        }
    }
    // A template may take the query for the end of the path.
    if query.is_some_and(climbs) {
        return None;
    }
    Some(Place { path, query })
}

fn is_dots(part: &str) -> bool {
    part.contains('.') && part.trim_matches(['.', ' ']).is_empty()
}

/// Whether a reader that decodes a query before it splits it at `/` finds a part of dots.
fn climbs(query: &str) -> bool {
    let mut parts = vec![String::new()];
    let mut rest = query;
    while let Some(one) = rest.chars().next() {
        let coded = rest.get(..3).map(str::to_ascii_lowercase);
        let (read, length) = match coded.as_deref() {
            Some("%2e") => ('.', 3),
            Some("%2f" | "%5c") => ('/', 3),
            Some("%20") => (' ', 3),
            _ => (one, one.len_utf8()),
        };
        match read {
            '/' => parts.push(String::new()),
            read => parts.last_mut().into_iter().for_each(|part| part.push(read)),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    // What stands before the first `/` belongs to the part in front of the `?`.
    parts.iter().skip(1).any(|part| is_dots(part))
}

/// Decodes, unless that changes how the text is to be read.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
        let byte = high * 16 + low;
        if b"/\\%?#".contains(&byte) {
            return None;
        }
        out.push(byte);
    }
    let text = String::from_utf8(out).ok()?;
    (!text.contains(char::is_control)).then_some(text)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_however_it_is_spelled() {
        for (uri, path, query) in [
            ("file:///public/a.txt", "file:///public/a.txt", None),
            ("file:///%70ublic/a%2Etxt", "file:///public/a.txt", None),
            ("file:///my%20files/%C3%A4", "file:///my files/ä", None),
            ("note://x/a/", "note://x/a/", None),
            ("urn:isbn:1", "urn:isbn:1", None),
            ("find://notes?q=a%2Fb&r=..", "find://notes", Some("q=a%2Fb&r=..")),
            ("file:///", "file:///", None),
            ("file:///a/.hidden/..b", "file:///a/.hidden/..b", None),
        ] {
            assert_eq!(place(uri), Some(Place { path: path.to_owned(), query }), "{uri}");
        }
    }

    #[test]
    fn what_two_readers_read_differently_is_no_place() {
        for uri in [
            "",
            "a",
            "/etc/passwd",
            ":x",
            "1file:///x",
            "fi%6Ce:///x",
            "file:///public/../private",
            "file:///public/./x",
            "file:///..",
            "file://../x",
            "file:..",
            "file:///public/%2e%2e/private",
            "file:///public/.%2E/private",
            "file:///public/..%2fprivate",
            "file:///public%2f..%2fprivate",
            "file:///public/..%5cprivate",
            "file:///public/..\\private",
            "file:///public/%252e%252e/private",
            "file:///public/%2e%2e%20/private",
            "file:///public/.../private",
            "file:////etc/passwd",
            "file:///public//private",
            "file:///public/a%00.txt",
            "file:///public/a\0",
            "file:///public/a%0A",
            "file:///public/a%C2%85",
            "file:///public/%c0%ae%c0%ae/private",
            "file:///public/%ff",
            "file:///public/%4",
            "file:///public/%zz",
            "file:///public/a?/../b",
            "file:///public/a?b=c/..",
            "file:///public/a?%2F%2e%2E/b",
            "file:///public/a?%5c.%2e%20/b",
            "file:///public/a#b",
            "file:///public/a%23b",
            "file:///public/a%3Fb",
            "file:///public/a b",
            "file:///public/a\tb",
            "file:///public/a\u{2028}b",
        ] {
            assert_eq!(place(uri), None, "{uri:?}");
        }
        assert_eq!(place(&format!("x:{}", "a".repeat(LONGEST))), None);
    }
}
