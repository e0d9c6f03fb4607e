//! Statements of ETDI that are missing or bad, as far as that can be seen without a key.
//!
//! An ordinary server has none, which says nothing against it: that they are missing is a finding only
//! for whoever expects them ([`SecurityAnalyzer::expecting_etdi`](super::SecurityAnalyzer)). What is
//! there and contradicts the definition is one for everybody. Whether a signature holds is the business
//! of [`crate::verify`].

use super::Severity;
use super::declared;
use super::finding::{Code, Family};
use super::report::Report;
use super::subject::{Kind, Subject};
use crate::definition::{DefinitionError, RawTool};
use crate::time::UnixTime;
use crate::wire::ToolClaims;

pub(super) static CODES: [&Code; 7] =
    [&MISSING, &UNSIGNED, &BAD_BLOCK, &BAD_STATEMENT, &OTHER, &EXPIRED, &EARLY];

static MISSING: Code = code(
    "signing/missing",
    Severity::Low,
    "nobody vouches for it",
    "Without a statement of its publisher, a definition can change from one listing to the next, and \
     nothing says who wrote it.",
    "Approve it as it is, by its digest; ask its publisher to sign.",
);

static UNSIGNED: Code = code(
    "signing/unsigned",
    Severity::Low,
    "it declares, and nobody signed",
    "The block in its `_meta` is a claim like any other text until a publisher signs the definition.",
    "Sign it with `etdi sign`; until then take what it declares as hearsay.",
);

static BAD_BLOCK: Code = code(
    "signing/bad-block",
    Severity::Medium,
    "its declaration is not of the format",
    "Clients that check definitions refuse a tool whose block they cannot read: a version that is no \
     Semantic Version, a permission outside the grammar, a member of another type.",
    "Have its author make the block with an SDK that checks it.",
);

static BAD_STATEMENT: Code = code(
    "signing/bad-statement",
    Severity::Medium,
    "a proof that is none",
    "What stands among the attestations is no signed statement about a definition.",
    "Have its author sign it anew.",
);

static OTHER: Code = code(
    "signing/other-definition",
    Severity::High,
    "a proof of something else",
    "The statement names another definition, another tool or another version than the one beside it: it \
     was copied, or the definition has changed since.",
    "Do not approve it; have its publisher sign what the server lists.",
);

static EXPIRED: Code = code(
    "signing/expired",
    Severity::Medium,
    "a proof that has expired",
    "The publisher vouched until then and not longer.",
    "Have its publisher sign it anew.",
);

static EARLY: Code = code(
    "signing/not-yet-valid",
    Severity::Low,
    "a proof of the future",
    "The statement holds from a later time on; a clock is wrong, here or at the publisher's.",
    "Check the clocks.",
);

const fn code(
    name: &'static str,
    severity: Severity,
    title: &'static str,
    why: &'static str,
    advice: &'static str,
) -> Code {
    Code { name, family: Family::Signing, severity, title, why, advice }
}

/// Where statements stand.
const PLACE: &str = "/_meta/dev.etdi~1etdi/attestations";

pub(super) fn look(
    subject: &Subject<'_>,
    text: &str,
    expected: bool,
    now: Option<UnixTime>,
    report: &mut Report<'_, '_>,
) {
    if subject.kind != Kind::Tool {
        return;
    }
    if declared::block(subject).is_none() {
        if expected && subject.root.get("security").is_none() {
            report.of(&MISSING, "", 0.0, "it has no declaration and no signature");
        }
        return;
    }
    let raw = RawTool::read(text);
    if let Err(error @ DefinitionError::Block(_)) = &raw {
        report.of(
            &BAD_BLOCK,
            "/_meta/dev.etdi~1etdi",
            0.1,
            format!("its declaration is refused: {error}"),
        );
    }
    let statements = declared::statements(subject);
    if statements.is_empty() {
        report.of(&UNSIGNED, "/_meta/dev.etdi~1etdi", 0.0, "it declares, and nobody signed");
    }
    for (number, statement) in statements.into_iter().enumerate() {
        let place = format!("{PLACE}/{number}");
        match declared::claims(statement) {
            None => {
                report.of(&BAD_STATEMENT, &place, 0.15, "it is no statement about a definition")
            }
            Some(claims) => {
                about(&claims, subject, raw.as_ref().ok(), &place, report);
                times(&claims, now, &place, report);
            }
        }
    }
}

/// What a statement is about, against what it stands beside.
fn about(
    claims: &ToolClaims,
    subject: &Subject<'_>,
    raw: Option<&RawTool>,
    place: &str,
    report: &mut Report<'_, '_>,
) {
    let tool = claims.sub.rsplit_once('#').map(|(_, tool)| tool);
    if tool.is_some_and(|tool| tool != subject.name) {
        let what = format!("it is about {}", report.shown(&claims.sub));
        return report.of(&OTHER, place, 0.4, what);
    }
    let Some(raw) = raw else { return };
    if claims.dig != raw.digest() {
        return report.of(&OTHER, place, 0.4, "the definition is not the one that was signed");
    }
    let version = raw.definition().block().map(|block| &block.version);
    if version.is_some_and(|version| *version != claims.ver) {
        let what = format!("it is about version {}", report.shown(&claims.ver.to_string()));
        report.of(&OTHER, place, 0.3, what);
    }
}

fn times(claims: &ToolClaims, now: Option<UnixTime>, place: &str, report: &mut Report<'_, '_>) {
    let Some(now) = now else { return };
    if claims.exp <= now.seconds() {
        let what = format!("it ended at {}", UnixTime(claims.exp));
        report.of(&EXPIRED, place, 0.02, what);
    } else if claims.nbf > now.seconds().saturating_add(300) {
        let what = format!("it holds from {} on", UnixTime(claims.nbf));
        report.of(&EARLY, place, 0.02, what);
    }
}

#[cfg(test)]
mod tests {
    use super::super::SecurityAnalyzer;
    use super::*;
    use crate::declaration::Declaration;
    use crate::digest::Digest;

    fn claims(name: &str, digest: &str, version: &str) -> String {
        let claims = format!(
            r#"{{"iss":"https://a.example","sub":"https://s.example#{name}","aud":"etdi:definition",
            "iat":1,"nbf":1,"exp":1000,"jti":"x","dig":"{digest}","ver":"{version}"}}"#
        );
        let encode = |text: &str| crate::base64url::encode(text.as_bytes());
        format!("{}.{}.c2ln", encode(r#"{"alg":"EdDSA"}"#), encode(&claims))
    }

    fn tool(version: &str, statements: &[String]) -> String {
        format!(
            r#"{{"name":"add","description":"Adds numbers.","inputSchema":{{"type":"object"}},
            "_meta":{{"dev.etdi/etdi":{{"v":1,"version":"{version}","attestations":{}}}}}}}"#,
            serde_json::to_string(statements).unwrap()
        )
    }

    fn codes(text: &str, now: u64) -> Vec<&'static str> {
        let analyzer = SecurityAnalyzer::new().at(UnixTime(now)).expecting_etdi();
        let found = analyzer.analyze_tool(text).findings;
        let ours = found.iter().map(|one| one.code.name);
        ours.filter(|name| name.starts_with("signing/")).collect()
    }

    #[test]
    fn what_is_there_is_held_against_the_definition() {
        assert!(Declaration::new("1.0.0").block().is_ok());
        let digest = RawTool::read(&tool("1.0.0", &[])).unwrap().digest().to_string();
        let other = Digest::of_bytes(b"other").to_string();
        let with = |name: &str, digest: &str, version: &str| {
            tool("1.0.0", &[claims(name, digest, version)])
        };
        for (text, now, expected) in [
            (with("add", &digest, "1.0.0"), 10, None),
            (with("add", &digest, "1.0.0"), 1_000, Some("signing/expired")),
            (with("pay", &digest, "1.0.0"), 10, Some("signing/other-definition")),
            (with("add", &other, "1.0.0"), 10, Some("signing/other-definition")),
            (with("add", &digest, "2.0.0"), 10, Some("signing/other-definition")),
            (tool("1.0.0", &["a.b.c".to_owned()]), 10, Some("signing/bad-statement")),
            (tool("one", &[]), 10, Some("signing/bad-block")),
            (tool("1.0.0", &[]), 10, Some("signing/unsigned")),
            (r#"{"name":"add","inputSchema":{}}"#.to_owned(), 10, Some("signing/missing")),
        ] {
            let found = codes(&text, now);
            match expected {
                Some(code) => assert!(found.contains(&code), "{text}: {found:?}"),
                None => assert!(found.is_empty(), "{text}: {found:?}"),
            }
        }
        let plain = SecurityAnalyzer::new().analyze_tool(r#"{"name":"add","inputSchema":{}}"#);
        assert!(plain.findings.is_empty(), "an ordinary server has none, and that is no finding");
    }
}
