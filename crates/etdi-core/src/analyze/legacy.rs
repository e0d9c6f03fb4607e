//! The score of the Python tool, for those who come from it: 0 to 100, by its rules and its codes.
//!
//! It asks whether a definition carries the fork's OAuth data and narrow permissions, and reads none of
//! its texts; [`Analysis::risk`](super::Analysis) is the number to go by. Two things differ from the
//! original: a permission is broad by a whole word, so that `recall` and `calls` are not, and our own
//! block with its statements counts as security data.

use serde::Serialize;

use super::Severity;
use super::declared::{self, Declared};
use super::permissions::{self, DESCRIPTION};
use super::subject::Subject;
use super::tree::Node;
use crate::safe::SafeText;
use crate::time::UnixTime;
use crate::version::Version;

/// What the Python tool would have said.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LegacyScore {
    /// 0 to 100, higher is better.
    pub score: u8,
    /// By its codes.
    pub findings: Vec<LegacyFinding>,
    /// How many permissions there are, of five: 0 to 1.
    pub scope_coverage: f64,
    /// What to do, where the score is below 80 or below 50.
    pub recommendations: Vec<&'static str>,
}

/// One of its findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LegacyFinding {
    /// Its code, such as `MISSING_SECURITY`.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What it is about, where that is something: a permission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<SafeText>,
}

/// What a kind of finding takes off the score: critical, high, medium, low.
type Prices = [i64; 4];

const STRUCTURE: Prices = [30, 20, 10, 5];
const PERMISSION: Prices = [25, 15, 8, 3];
const OAUTH: Prices = [25, 15, 8, 3];
const NO_SECURITY: i64 = 50;
const BROAD: i64 = 30;

struct Sum {
    score: i64,
    findings: Vec<LegacyFinding>,
}

impl Sum {
    fn add(&mut self, code: &'static str, severity: Severity, prices: Prices, about: Option<&str>) {
        let [critical, high, medium, low] = prices;
        self.score -= match severity {
            Severity::Critical => critical,
            Severity::High => high,
            Severity::Medium => medium,
            Severity::Low => low,
        };
        let subject = about.map(|about| SafeText::within(about, 160));
        self.findings.push(LegacyFinding { code, severity, subject });
    }
}

pub(super) fn score(subject: &Subject<'_>, now: Option<UnixTime>) -> LegacyScore {
    let mut sum = Sum { score: 100, findings: Vec::new() };
    let permissions = declared::permissions(subject);
    let secured = security(subject, &permissions, now, &mut sum);
    version(subject, &mut sum);
    if permissions.is_empty() {
        sum.add("NO_PERMISSIONS", Severity::Medium, PERMISSION, None);
    }
    let mut broad = false;
    for one in permissions.iter().take(256) {
        if permissions::broad(one.scope).is_some_and(is_broad) {
            // Paid for once, whatever their number.
            broad = true;
            sum.add("BROAD_PERMISSION", Severity::High, [0; 4], Some(one.scope));
        }
        if one.description.chars().count() < DESCRIPTION {
            let code = "INSUFFICIENT_PERMISSION_DESCRIPTION";
            sum.add(code, Severity::Low, PERMISSION, Some(one.scope));
        }
    }
    if broad {
        sum.score -= BROAD;
    } else if let Some(valid) = secured {
        sum.score += if valid { 10 } else { 0 };
        sum.score += if permissions.is_empty() { 0 } else { 5 };
    }
    let score = u8::try_from(sum.score.clamp(0, 100)).unwrap_or_default();
    let mut recommendations = Vec::new();
    if score < 50 {
        recommendations.push("do not use this tool before what was found is mended");
    } else if score < 80 {
        recommendations.push("use this tool with care, and mend what was found");
    }
    let scope_coverage = (permissions.len() as f64 / 5.0).min(1.0);
    LegacyScore { score, findings: sum.findings, scope_coverage, recommendations }
}

/// The words of the original.
fn is_broad(word: &str) -> bool {
    word.contains('*') || matches!(&*word.to_lowercase(), "admin" | "root" | "all")
}

/// Whether there are security data, and if so whether a token in them holds now.
fn security(
    subject: &Subject<'_>,
    permissions: &[Declared<'_>],
    now: Option<UnixTime>,
    sum: &mut Sum,
) -> Option<bool> {
    let statements = declared::statements(subject);
    let provider =
        subject.root.get("provider").or_else(|| declared::block(subject)?.get("provider"));
    if provider.and_then(|one| one.get("id")).and_then(Node::text).is_none_or(str::is_empty) {
        sum.add("MISSING_PROVIDER_ID", Severity::Medium, STRUCTURE, None);
    }
    if let Some(statement) = statements.first() {
        return Some(attested(statement, subject, now, sum));
    }
    let Some(security @ Node::Members(_)) = subject.root.get("security") else {
        sum.score -= NO_SECURITY;
        let finding =
            LegacyFinding { code: "MISSING_SECURITY", severity: Severity::Critical, subject: None };
        sum.findings.push(finding);
        return None;
    };
    let Some(oauth @ Node::Members(_)) = security.get("oauth") else {
        sum.add("MISSING_OAUTH", Severity::High, STRUCTURE, None);
        return Some(false);
    };
    let text = |name| oauth.get(name).and_then(Node::text).filter(|text| !text.is_empty());
    if text("provider").is_none() {
        sum.add("MISSING_PROVIDER", Severity::High, STRUCTURE, None);
    }
    let Some(token) = text("token") else {
        sum.add("MISSING_TOKEN", Severity::Critical, STRUCTURE, None);
        return Some(false);
    };
    Some(bears(token, subject, permissions, now, sum))
}

/// A statement of ours, by the rules for tokens.
fn attested(statement: &str, subject: &Subject<'_>, now: Option<UnixTime>, sum: &mut Sum) -> bool {
    let Some(claims) = declared::claims(statement) else {
        sum.add("INVALID_JWT_FORMAT", Severity::Critical, OAUTH, None);
        return false;
    };
    if claims.sub.rsplit_once('#').is_none_or(|(_, tool)| tool != subject.name) {
        sum.add("TOOL_ID_MISMATCH", Severity::High, OAUTH, None);
        return false;
    }
    let version = declared::block(subject).and_then(|block| block.get("version"));
    if version.and_then(Node::text).is_some_and(|version| version != claims.ver.to_string()) {
        sum.add("TOOL_VERSION_MISMATCH", Severity::Medium, OAUTH, None);
    }
    lasts(Some(claims.exp), now, sum)
}

/// Whether a token is of this tool and holds now.
fn bears(
    token: &str,
    subject: &Subject<'_>,
    permissions: &[Declared<'_>],
    now: Option<UnixTime>,
    sum: &mut Sum,
) -> bool {
    let payload = declared::payload(token);
    let claims = payload.as_deref().and_then(|payload| Node::read(payload).ok());
    let Some(claims @ Node::Members(_)) = claims else {
        sum.add("INVALID_JWT_FORMAT", Severity::Critical, OAUTH, None);
        return false;
    };
    let text = |name| claims.get(name).and_then(Node::text);
    let own = |name| subject.root.get(name).and_then(Node::text);
    let before = sum.findings.len();
    if let Some(id) = text("tool_id").or_else(|| text("sub"))
        && own("id").is_some_and(|own| own != id)
    {
        sum.add("TOOL_ID_MISMATCH", Severity::High, OAUTH, None);
    }
    if let Some(version) = text("tool_version")
        && own("version").is_some_and(|own| own != version)
    {
        sum.add("TOOL_VERSION_MISMATCH", Severity::Medium, OAUTH, None);
    }
    let list = claims.get("scope").or_else(|| claims.get("scp"));
    let held: Vec<&str> = match list {
        Some(Node::Text(text)) => text.split_whitespace().collect(),
        Some(list) => list.list().iter().filter_map(Node::text).collect(),
        None => Vec::new(),
    };
    if permissions.iter().take(256).any(|one| !held.contains(&one.scope)) {
        sum.add("MISSING_SCOPES", Severity::High, OAUTH, None);
    }
    let end = match claims.get("exp") {
        Some(Node::Number(end)) if *end >= 0.0 => Some(*end as u64),
        _ => None,
    };
    lasts(end, now, sum) && sum.findings.len() == before
}

/// Whether what ends then holds now. Without a clock nothing is known to hold.
fn lasts(end: Option<u64>, now: Option<UnixTime>, sum: &mut Sum) -> bool {
    let Some(now) = now else { return false };
    if end.is_some_and(|end| end <= now.seconds()) {
        sum.add("TOKEN_EXPIRED", Severity::High, OAUTH, None);
        return false;
    }
    true
}

fn version(subject: &Subject<'_>, sum: &mut Sum) {
    let block = declared::block(subject).and_then(|block| block.get("version"));
    let version = block.or_else(|| subject.root.get("version"));
    if version
        .is_some_and(|version| version.text().is_none_or(|text| text.parse::<Version>().is_err()))
    {
        sum.add("INVALID_VERSION_FORMAT", Severity::Low, STRUCTURE, None);
    }
}

#[cfg(test)]
mod tests {
    use super::super::SecurityAnalyzer;
    use crate::time::UnixTime;

    fn token(claims: &str) -> String {
        let encode = |text: &str| crate::base64url::encode(text.as_bytes());
        format!("{}.{}.c2ln", encode(r#"{"alg":"RS256"}"#), encode(claims))
    }

    fn scored(permissions: &str, security: &str, version: &str) -> (u8, Vec<&'static str>) {
        let text = format!(
            r#"{{"id":"get_weather","name":"Get Weather","version":"{version}","description":"Météo",
            "provider":{{"id":"acme","name":"Acme"}},"schema":{{"type":"object"}},
            "permissions":{permissions},"security":{security}}}"#
        );
        let analyzer = SecurityAnalyzer::new().at(UnixTime(1_000));
        let legacy = analyzer.analyze_tool(&text).legacy.unwrap();
        (legacy.score, legacy.findings.iter().map(|one| one.code).collect())
    }

    #[test]
    fn the_rules_are_those_of_the_original() {
        let read = r#"[{"scope":"weather:read","description":"Read the weather"}]"#;
        let of =
            |scope: &str, text: &str| format!(r#"[{{"scope":"{scope}","description":"{text}"}}]"#);
        let oauth = |claims: &str| {
            format!(r#"{{"oauth":{{"token":"{}","provider":"auth0"}}}}"#, token(claims))
        };
        let good = oauth(
            r#"{"tool_id":"get_weather","tool_version":"1.0.0","scope":"weather:read","exp":2000}"#,
        );
        let mut table: Vec<(String, String, &str, u8, Vec<&str>)> = vec![
            (read.into(), good.clone(), "1.0.0", 100, vec![]),
            (read.into(), "null".into(), "1.0.0", 50, vec!["MISSING_SECURITY"]),
            ("[]".into(), "null".into(), "1.0.0", 42, vec!["MISSING_SECURITY", "NO_PERMISSIONS"]),
            (read.into(), "{}".into(), "1.0.0", 85, vec!["MISSING_OAUTH"]),
            (
                read.into(),
                good.clone(),
                "one",
                92,
                vec!["TOOL_VERSION_MISMATCH", "INVALID_VERSION_FORMAT"],
            ),
            (
                read.into(),
                r#"{"oauth":{}}"#.into(),
                "1.0.0",
                55,
                vec!["MISSING_PROVIDER", "MISSING_TOKEN"],
            ),
            (
                read.into(),
                r#"{"oauth":{"token":"x","provider":"p"}}"#.into(),
                "1.0.0",
                80,
                vec!["INVALID_JWT_FORMAT"],
            ),
            (
                of("weather:read", "short"),
                good.clone(),
                "1.0.0",
                100,
                vec!["INSUFFICIENT_PERMISSION_DESCRIPTION"],
            ),
            (
                read.into(),
                oauth(r#"{"sub":"other","scope":"weather:read","exp":2000}"#),
                "1.0.0",
                90,
                vec!["TOOL_ID_MISMATCH"],
            ),
            (
                read.into(),
                oauth(r#"{"sub":"get_weather","scope":"weather:read","exp":999}"#),
                "1.0.0",
                90,
                vec!["TOKEN_EXPIRED"],
            ),
            (
                read.into(),
                oauth(r#"{"sub":"get_weather","exp":2000}"#),
                "1.0.0",
                90,
                vec!["MISSING_SCOPES"],
            ),
        ];
        // Where it is broad, nothing is added.
        for scope in ["*", "weather:admin", "root", "weather:all"] {
            let claims = format!(r#"{{"tool_id":"get_weather","scope":"{scope}","exp":2000}}"#);
            let row = (
                of(scope, "Read the weather"),
                oauth(&claims),
                "1.0.0",
                70,
                vec!["BROAD_PERMISSION"],
            );
            table.push(row);
        }
        // The fault of the original: words within words.
        for scope in ["recall:read", "calls:read"] {
            let claims = format!(r#"{{"tool_id":"get_weather","scope":"{scope}","exp":2000}}"#);
            table.push((of(scope, "Read the weather"), oauth(&claims), "1.0.0", 100, vec![]));
        }
        for (permissions, security, version, score, codes) in table {
            assert_eq!(
                scored(&permissions, &security, version),
                (score, codes),
                "{permissions} {security}"
            );
        }
    }
}
