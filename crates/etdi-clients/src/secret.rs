//! What looks like a secret, so that it is named and never shown.

use crate::dialect::{Launch, References};
use crate::expand::is_reference;
use crate::format::{Format, spliced};
use crate::tree::{Kind, Node, Value};

/// What a secret of a well-known service begins with.
const PREFIXES: [&str; 22] = [
    "sk-",
    "sk_live_",
    "rk_live_",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xapp-",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "eyJ",
    "npm_",
    "pypi-",
    "hf_",
    "dop_v1_",
    "-----BEGIN",
];

/// Words in the name of what holds a secret.
const WORDS: [&str; 14] = [
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "api_key",
    "apikey",
    "api-key",
    "private_key",
    "access_key",
    "authorization",
    "credential",
    "auth_key",
    "_pat",
];

/// Whether a value looks like a secret, by its name or by itself.
///
/// ```
/// use etdi_clients::looks_secret;
///
/// assert!(looks_secret("GITHUB_TOKEN", "a1b2c3d4e5"));
/// assert!(looks_secret("X", "ghp_0123456789abcdef"));
/// assert!(!looks_secret("GITHUB_TOKEN", "${GITHUB_TOKEN}"));
/// assert!(!looks_secret("TOKEN_FILE", "/run/secrets/token"));
/// assert!(!looks_secret("LOG_LEVEL", "debug"));
/// ```
pub fn looks_secret(name: &str, value: &str) -> bool {
    let value = value.trim();
    let bare = ["Bearer ", "bearer ", "Basic ", "token "]
        .iter()
        .find_map(|scheme| value.strip_prefix(scheme))
        .unwrap_or(value);
    if bare.len() < 6 || bare.starts_with(['$', '{', '<']) || is_place(bare) {
        return has_password(value);
    }
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word))
        || PREFIXES.iter().any(|prefix| bare.starts_with(prefix) && bare.len() >= prefix.len() + 8)
        || has_password(value)
}

fn is_place(value: &str) -> bool {
    ["/", "~", "./", "../", "%", "C:\\", "file:"].iter().any(|begin| value.starts_with(begin))
}

/// A URL with a password, or with a key in its query.
fn has_password(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    let filled = |text: &str| text.len() > 2 && !text.starts_with(['$', '{', '<']);
    if user.and_then(|user| user.split_once(':')).is_some_and(|(_, password)| filled(password)) {
        return true;
    }
    let query = value.split_once('?').map_or("", |(_, query)| query);
    query.split(['&', '#']).filter_map(|pair| pair.split_once('=')).any(|(name, value)| {
        let name = name.to_ascii_lowercase();
        let is_key = name == "key" || WORDS.iter().any(|word| name.contains(word));
        is_key && filled(value) && value.len() >= 6
    })
}

/// The arguments of a command line that look like secrets, by their place.
fn secret_arguments(args: &[String]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, word) in args.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| args.get(at)).map_or("", String::as_str);
        let (name, value) = match word.split_once('=') {
            Some((name, value)) if !word.contains("://") => (name, value),
            _ if before.starts_with('-') && !before.contains('=') => (before, word.as_str()),
            _ => ("", word.as_str()),
        };
        if !value.starts_with('-') && looks_secret(name, value) {
            let option = name.trim_start_matches('-');
            let shown =
                if option.is_empty() { format!("argument {}", at + 1) } else { name.to_owned() };
            found.push((at, shown));
        }
    }
    found
}

/// Arguments without what looks like a secret in them.
pub(crate) fn shown_arguments(args: &[String]) -> Vec<String> {
    let secret = secret_arguments(args);
    let shown = |(at, word): (usize, &String)| {
        let is_secret = secret.iter().any(|(place, _)| *place == at);
        match word.split_once('=').filter(|_| !word.contains("://")) {
            _ if !is_secret => word.clone(),
            Some((name, _)) => format!("{name}=(hidden)"),
            None if word.contains("://") => shown_url(word),
            None => "(hidden)".to_owned(),
        }
    };
    args.iter().enumerate().map(shown).collect()
}

/// A URL without user, query and fragment.
pub(crate) fn shown_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (place, more) = rest.split_at(end);
    let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let more = if more.is_empty() { "" } else { "?(hidden)" };
    format!("{scheme}://{host}{path}{more}")
}

/// Where a launch holds what looks like a secret in clear: names of variables, headers, options.
pub(crate) fn in_clear(launch: &Launch, references: References) -> Vec<String> {
    let named = |pairs: &[(String, String)]| {
        pairs
            .iter()
            .filter(|(_, value)| !is_reference(value, references))
            .filter(|(name, value)| looks_secret(name, value))
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    };
    match launch {
        Launch::Program(program) => {
            let arguments = secret_arguments(&program.args).into_iter().map(|(_, shown)| shown);
            named(&program.env).into_iter().chain(arguments).collect()
        }
        Launch::Remote(remote) => {
            let url = looks_secret("", &remote.url).then(|| "url".to_owned());
            named(&remote.headers).into_iter().chain(url).collect()
        }
    }
}

/// What stands in the place of a value that is not shown.
const HIDDEN: &str = "\"(hidden)\"";

/// A text that can be shown: without the values of variables and headers, and what else looks like a
/// secret.
pub(crate) fn shown(format: Format, text: &str) -> String {
    let (_, body) = crate::format::without_mark(text);
    let Ok(root) = format.parse(body) else { return String::new() };
    let mut places = Vec::new();
    hide(&root, "", false, &mut places);
    places.sort_by_key(|place: &std::ops::Range<usize>| place.start);
    let mut shown = body.to_owned();
    for place in places.into_iter().rev() {
        shown = spliced(&shown, place, HIDDEN);
    }
    shown
}

fn hide(node: &Node, name: &str, all: bool, places: &mut Vec<std::ops::Range<usize>>) {
    match &node.kind {
        Kind::Scalar(Value::Text(text)) => {
            if all || looks_secret(name, text) {
                places.push(node.span.clone());
            }
        }
        // A number can be a password.
        Kind::Scalar(Value::Number(_)) if all => places.push(node.span.clone()),
        Kind::Scalar(_) => {}
        Kind::List(nodes) => {
            let words: Vec<String> =
                nodes.iter().map(|node| node.value().scalar().unwrap_or_default()).collect();
            let secret = secret_arguments(&words);
            for (at, node) in nodes.iter().enumerate() {
                let is_secret = secret.iter().any(|(place, _)| *place == at);
                hide(node, "", all || is_secret, places);
            }
        }
        Kind::Map(members) => {
            let holders = ["env", "envs", "environment", "headers", "http_headers"];
            for member in members {
                let all = all || holders.contains(&member.name.as_str());
                hide(&member.node, &member.name, all, places);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_line_holds_no_secret() {
        let args =
            ["--token", "abcdef123", "--api-key=abcdef123", "postgres://u:abcdef123@h/db", "x"];
        let shown = shown_arguments(&args.map(ToOwned::to_owned)).join(" ");
        assert_eq!(shown, "--token (hidden) --api-key=(hidden) postgres://h/db x");
        assert_eq!(shown_url("https://u:p@h:1/a?key=1#x"), "https://h:1/a?(hidden)");
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        let text = r#"{"a": {"env": {"X": "plain-but-hidden", "N": 4711}, "args": ["--api-key", "abcdef123", "--token=abcdef123", "-v"]},
            "history": ["ghp_0123456789abcdef"], "url": "https://x.example/?api_key=abcdef123", "k": "postgres://u:pass123@h/db", "n": 1}"#;
        let shown = shown(Format::Json, text);
        for secret in ["plain-but", "4711", "abcdef123", "ghp_", "pass123"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
        assert!(shown.contains("\"-v\"") && shown.contains("\"n\": 1"));
    }
}
