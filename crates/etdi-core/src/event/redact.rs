//! Takes what looks like a secret out of a text before it is kept.

use std::borrow::Cow;

/// What stands in place of a secret.
const MARK: &str = "[redacted]";

/// Words after which a secret follows, up to the next space.
const BEFORE: [&str; 4] = ["bearer ", "basic ", "dpop ", "token "];

/// Members of URLs and forms whose value is a secret.
const MEMBERS: [&str; 8] = [
    "access_token=",
    "refresh_token=",
    "id_token=",
    "client_secret=",
    "api_key=",
    "password=",
    "secret=",
    "code=",
];

/// The text without JSON Web Tokens, PEM keys, credentials behind an authorization scheme and the
/// secret members of URLs. It can only take out what has the form of a secret: texts that are
/// given to events are our own words in the first place.
pub(super) fn secrets(text: &str) -> Cow<'_, str> {
    // Most texts have neither a space nor an equals sign, with which these words end.
    let suspicious = text.contains("eyJ")
        || text.contains("PRIVATE KEY")
        || text.contains(' ') && BEFORE.iter().any(|word| contains(text, word))
        || text.contains('=') && MEMBERS.iter().any(|word| contains(text, word));
    if !suspicious {
        return Cow::Borrowed(text);
    }
    if text.contains("PRIVATE KEY") {
        return Cow::Borrowed(MARK);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((start, end)) = next(rest) {
        out.push_str(rest.get(..start).unwrap_or_default());
        out.push_str(MARK);
        rest = rest.get(end..).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The place of the first secret.
fn next(text: &str) -> Option<(usize, usize)> {
    let token = text.match_indices("eyJ").find_map(|(start, _)| {
        let part = |c: char| c.is_ascii_alphanumeric() || "-_.=".contains(c);
        let end = end_of(text, start, part);
        let dots = text.get(start..end)?.bytes().filter(|byte| *byte == b'.').count();
        // One dot is enough: a text may have been cut in the middle of a token.
        (dots >= 1 && end >= start + 16).then_some((start, end))
    });
    let visible = |c: char| !c.is_whitespace() && !"\"'`,;)".contains(c);
    let behind = BEFORE.iter().flat_map(|word| {
        places(text, word).map(|place| place + word.len()).find_map(|start| {
            let end = end_of(text, start, visible);
            // A sentence about bearers is no secret.
            (end >= start + 12).then_some((start, end))
        })
    });
    let members = MEMBERS.iter().flat_map(|word| {
        places(text, word).map(|place| place + word.len()).find_map(|start| {
            let end = end_of(text, start, |c| visible(c) && c != '&');
            (end > start).then_some((start, end))
        })
    });
    token.into_iter().chain(behind).chain(members).min()
}

fn end_of(text: &str, start: usize, belongs: impl Fn(char) -> bool) -> usize {
    let tail = text.get(start..).unwrap_or_default();
    start + tail.find(|c| !belongs(c)).unwrap_or(tail.len())
}

fn contains(text: &str, word: &str) -> bool {
    places(text, word).next().is_some()
}

/// Where an ASCII word stands, in any case.
fn places<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let windows = text.as_bytes().windows(word.len()).enumerate();
    windows.filter(|(_, window)| window.eq_ignore_ascii_case(word.as_bytes())).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_before_secrets_end_as_is_looked_for() {
        assert!(BEFORE.iter().all(|word| word.ends_with(' ')));
        assert!(MEMBERS.iter().all(|word| word.ends_with('=')));
    }

    #[test]
    fn secrets_are_taken_out_and_sentences_stay() {
        let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.AAAA-BBBB_CCCC";
        for (text, kept) in [
            ("the bearer of bad news", "the bearer of bad news"),
            ("a tool named eyJack", "a tool named eyJack"),
            (&format!("token {jwt}, again {jwt}."), "token [redacted], again [redacted]"),
            (
                "Authorization: BEARER abcdefghijklmnop next",
                "Authorization: BEARER [redacted] next",
            ),
            (
                "https://a.example/cb?code=xyz&state=1",
                "https://a.example/cb?code=[redacted]&state=1",
            ),
            ("a bearer of news, bearer abcdefghijklmnop", "a bearer of news, bearer [redacted]"),
            ("client_secret=s3cret&x=1 ok", "client_secret=[redacted]&x=1 ok"),
            ("-----BEGIN PRIVATE KEY-----\nMC4C", "[redacted]"),
        ] {
            let shown = secrets(text);
            assert!(!shown.contains(jwt), "{shown}");
            assert_eq!(shown.trim_end_matches('.'), kept);
        }
    }
}
