//! Which era does the server speak? Verdicts on what it says to the first request.
//!
//! See the specification (2026-07-28), "Versioning and compatibility" and "stdio, backward
//! compatibility". A discovery is sent first. What identifies a modern server is exactly: a
//! discovery result, or an error that only modern servers know. Everything else, silence too, is a
//! legacy server, which gets a handshake; no single error code decides.

use mcp_types::error::codes;
use mcp_types::version::Era;
use mcp_types::{DiscoverResult, ErrorObject, ProtocolVersion, RawText};

/// What to do after the answer to the probe.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The server is modern, and speaks this revision of ours.
    Modern(ProtocolVersion, Box<DiscoverResult>),
    /// The server is modern; ask again in this revision.
    Retry(ProtocolVersion),
    /// The server wants a handshake.
    Legacy,
    /// The server is modern, and we cannot talk to it: with these revisions, or for this reason.
    Incompatible(String),
}

/// Judges the answer to a discovery that was sent in the revision `sent`.
pub(crate) fn judge(sent: ProtocolVersion, answer: &Result<RawText, ErrorObject>) -> Verdict {
    match answer {
        Ok(text) => match text.parse::<DiscoverResult>() {
            Ok(found) => match choose(&found.supported_versions) {
                Choice::Modern(version) => Verdict::Modern(version, Box::new(found)),
                Choice::Legacy => Verdict::Legacy,
                // A server that names nothing has answered in the revision in which it was asked.
                Choice::None if found.supported_versions.is_empty() => {
                    Verdict::Modern(sent, Box::new(found))
                }
                Choice::None => Verdict::Incompatible(list(&found.supported_versions)),
            },
            Err(_) => Verdict::Legacy,
        },
        Err(error) if error.code == codes::UNSUPPORTED_PROTOCOL_VERSION => {
            let supported = supported(error);
            match choose(&supported) {
                Choice::Modern(version) if version != sent => Verdict::Retry(version),
                Choice::Legacy => Verdict::Legacy,
                Choice::Modern(_) | Choice::None => Verdict::Incompatible(list(&supported)),
            }
        }
        Err(error) if is_modern(error.code) => Verdict::Incompatible(error.message.clone()),
        Err(_) => Verdict::Legacy,
    }
}

enum Choice {
    Modern(ProtocolVersion),
    Legacy,
    None,
}

/// The newest modern revision that both sides know; legacy only if there is no modern one.
fn choose(supported: &[String]) -> Choice {
    let ours = || supported.iter().filter_map(|text| ProtocolVersion::parse(text));
    match ours().filter(|version| version.era() == Era::Modern).max() {
        Some(version) => Choice::Modern(version),
        None if ours().next().is_some() => Choice::Legacy,
        None => Choice::None,
    }
}

/// The revisions that the server names in an error.
pub(crate) fn supported(error: &ErrorObject) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Data {
        supported: Vec<String>,
    }
    let data = error.data.as_ref().and_then(|data| data.parse::<Data>().ok());
    data.map(|data| data.supported).unwrap_or_default()
}

fn is_modern(code: i64) -> bool {
    mcp_types::error::CODES.iter().any(|row| row.code == code && row.modern && !row.legacy)
}

fn list(versions: &[String]) -> String {
    match versions {
        [] => "the server names no revision that it speaks".to_owned(),
        versions => format!("the server speaks only {}", versions.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer = Result<&'static str, (i64, &'static str)>;

    fn verdict(answer: Answer) -> Verdict {
        let answer = match answer {
            Ok(text) => Ok(RawText::new(text).unwrap()),
            Err((code, data)) => {
                let mut error = ErrorObject::new(code, "no");
                error.data = RawText::new(data).ok();
                Err(error)
            }
        };
        judge(ProtocolVersion::NEWEST, &answer)
    }

    fn name(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Modern(..) => "modern",
            Verdict::Retry(_) => "retry",
            Verdict::Legacy => "legacy",
            Verdict::Incompatible(_) => "incompatible",
        }
    }

    #[test]
    fn the_compatibility_matrix() {
        let table: &[(Answer, &str)] = &[
            (Ok(r#"{"supportedVersions":["2026-07-28"],"capabilities":{}}"#), "modern"),
            (
                Ok(r#"{"supportedVersions":["2099-01-01","2026-07-28"],"capabilities":{}}"#),
                "modern",
            ),
            (Ok(r#"{"supportedVersions":[],"capabilities":{}}"#), "modern"),
            (Ok(r#"{"supportedVersions":["2025-11-25"],"capabilities":{}}"#), "legacy"),
            (Ok(r#"{"supportedVersions":["2099-01-01"],"capabilities":{}}"#), "incompatible"),
            (Ok("{}"), "legacy"),
            (Ok("null"), "legacy"),
            (Err((-32601, "null")), "legacy"),
            (Err((-32602, "null")), "legacy"),
            (Err((-32600, "null")), "legacy"),
            (Err((-32603, "null")), "legacy"),
            (Err((-32000, "null")), "legacy"),
            (Err((0, "null")), "legacy"),
            (Err((-32022, r#"{"supported":["2026-07-28"],"requested":"x"}"#)), "incompatible"),
            (Err((-32022, r#"{"supported":["2099-01-01"],"requested":"x"}"#)), "incompatible"),
            (Err((-32022, r#"{"supported":["2025-06-18"],"requested":"x"}"#)), "legacy"),
            (Err((-32022, "null")), "incompatible"),
            (Err((-32021, r#"{"requiredCapabilities":{}}"#)), "incompatible"),
            (Err((-32020, "null")), "incompatible"),
        ];
        for (answer, expected) in table {
            assert_eq!(name(&verdict(*answer)), *expected, "{answer:?}");
        }
    }

    #[test]
    fn a_server_that_wants_another_modern_revision_is_asked_again() {
        let mut error = ErrorObject::new(codes::UNSUPPORTED_PROTOCOL_VERSION, "no");
        error.data = RawText::new(r#"{"supported":["2026-07-28","2025-11-25"]}"#).ok();
        // No second modern revision is published yet, so an older one stands for it.
        let sent = ProtocolVersion::V2025_11_25;
        assert_eq!(judge(sent, &Err(error)), Verdict::Retry(ProtocolVersion::V2026_07_28));
    }
}
