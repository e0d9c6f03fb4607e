//! A token taken apart, without believing it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::canonical;
use etdi_core::ijson::{Document, Limits, Value};
use etdi_core::key::Algorithm;
use etdi_core::time::UnixTime;
use mcp_types::RawText;
use serde::Serialize;

use super::{Issue, Severity};
use crate::shown::shown;
use crate::verify::{KEY_HEADERS, MAX_TOKEN, OF_ID_TOKENS};
use crate::{TokenRefusal, VerifyToken};

/// Parts of a scope's name that stand for everything.
const BROAD: [&str; 6] = ["*", "admin", "root", "all", "full_access", "superuser"];

/// A day in seconds.
const DAY: u64 = 86_400;

/// Takes tokens apart and says what is wrong with them.
///
/// ```
/// use etdi_core::time::UnixTime;
/// use etdi_oauth::inspect::{Severity, TokenDebugger};
///
/// // {"alg":"none"} . {"sub":"me"} and no signature
/// let report = TokenDebugger::new(UnixTime(1_800_000_000)).debug_token("eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.");
/// assert!(report.well_formed && !report.valid);
/// assert_eq!(report.claims.unwrap().get(), r#"{"sub":"me"}"#);
/// assert_eq!(report.issues[0].code, "ALGORITHM_NONE");
/// assert_eq!(report.issues[0].severity, Severity::Critical);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TokenDebugger {
    now: UnixTime,
}

/// What a token says, and what is wrong with it. Its signature is in no part of the report.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TokenReport {
    /// Whether it is a signed token at all (RFC 7515, section 3.1).
    pub well_formed: bool,
    /// Whether it counts: the signature was verified, and nothing was found that matters as much as
    /// [`Severity::High`]. Always `false` for a token that nobody verified.
    pub valid: bool,
    /// Whether the signature and all that the verifier checks hold; `None` where no verifier was asked.
    pub verified: Option<bool>,
    /// The header, in canonical form.
    pub header: Option<RawText>,
    /// The claims, in canonical form.
    pub claims: Option<RawText>,
    /// How many bytes of signature it has.
    pub signature_bytes: usize,
    /// What was found, the worst first.
    pub issues: Vec<Issue>,
    /// How much of what the Python tool looks for is there, of 100: the tool's id (`tool_id` or `sub`)
    /// 20, its version (`tool_version`) 15, `scope` or `scp` 25, `iss` 20, `aud` 20. It says nothing
    /// of whether the token is good.
    pub compliance: u8,
}

impl TokenDebugger {
    /// For tokens as they are at `now`.
    pub fn new(now: UnixTime) -> Self {
        Self { now }
    }

    /// Takes a token apart. Whatever it is, there is a report; nobody's signature is checked.
    pub fn debug_token(&self, token: &str) -> TokenReport {
        let mut report = self.read(token);
        if report.well_formed {
            report.issues.push(Issue::new(
                "SIGNATURE_NOT_CHECKED",
                Severity::Info,
                "nobody checked who signed it, so all that it says is only said",
                "name the issuer and the audience, then its keys are asked",
            ));
        }
        report.sort();
        report
    }

    /// The same, and has it verified.
    pub async fn verify_token(&self, token: &str, verifier: &dyn VerifyToken) -> TokenReport {
        let mut report = self.read(token);
        match verifier.verify(token, self.now).await {
            Ok(_) => report.verified = Some(true),
            Err(refusal) => report.refused(&refusal),
        }
        report.sort();
        report.valid = report.verified == Some(true)
            && report.issues.iter().all(|issue| issue.severity < Severity::High);
        report
    }

    fn read(&self, token: &str) -> TokenReport {
        let mut report = TokenReport {
            well_formed: false,
            valid: false,
            verified: None,
            header: None,
            claims: None,
            signature_bytes: 0,
            issues: Vec::new(),
            compliance: 0,
        };
        if let Err(why) = self.take_apart(token.trim(), &mut report) {
            let advice = "paste the whole token, without `Bearer`; an opaque token is asked about by \
                          introspection";
            report.issues.push(Issue::new("MALFORMED", Severity::Critical, why, advice));
        }
        report
    }

    fn take_apart(&self, token: &str, report: &mut TokenReport) -> Result<(), String> {
        if token.len() > MAX_TOKEN {
            return Err(format!("it is longer than {MAX_TOKEN} bytes"));
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = match parts.as_slice() {
            [header, claims, signature] => [*header, *claims, *signature],
            [_, _, _, _, _] => {
                return Err("it is encrypted (RFC 7516): only whom it is for reads it".into());
            }
            _ => return Err("it has not three parts with dots between them".to_owned()),
        };
        let signature = URL_SAFE_NO_PAD.decode(signature);
        let signature = signature.map_err(|_| "its signature is not base64url without padding")?;
        let header = text("header", header)?;
        let header = object("header", &header)?;
        let claims = text("claims", claims)?;
        let claims = object("claims", &claims)?;
        report.well_formed = true;
        report.signature_bytes = signature.len();
        report.header = RawText::new(canonical::of(header.root())).ok();
        report.claims = RawText::new(canonical::of(claims.root())).ok();
        self.judge_header(header.root(), report);
        self.judge_claims(claims.root(), report);
        Ok(())
    }

    fn judge_header(&self, header: Value<'_>, report: &mut TokenReport) {
        let named = header.get("alg").and_then(Value::as_str).unwrap_or_default();
        if named.eq_ignore_ascii_case("none") || named.is_empty() {
            report.found(
                "ALGORITHM_NONE",
                Severity::Critical,
                "it is not signed (`alg` is `none`): anybody can write one",
                "have the issuer sign its tokens, and accept none without",
            );
        } else if named.starts_with("HS") {
            report.found(
                "ALGORITHM_SYMMETRIC",
                Severity::High,
                format!(
                    "it is signed with a shared secret (`{}`): who can check it can write it",
                    shown(named)
                ),
                "let the issuer sign with RS256, PS256, ES256 or EdDSA",
            );
        } else if Algorithm::named(named).is_none() {
            report.found(
                "ALGORITHM_UNKNOWN",
                Severity::High,
                format!("its algorithm `{}` is none that is accepted here", shown(named)),
                "let the issuer sign with RS256, PS256, ES256 or EdDSA",
            );
        }
        for name in KEY_HEADERS.into_iter().filter(|name| header.get(name).is_some()) {
            report.found(
                "KEY_IN_HEADER",
                Severity::High,
                format!("its header brings its own key (`{name}`), so anybody's key would do"),
                "keys come from the issuer's key set alone (RFC 8725, section 3.10)",
            );
        }
        if header.get("crit").is_some() {
            report.found(
                "CRITICAL_HEADER",
                Severity::High,
                "its header demands an extension (`crit`), and no one is understood here",
                "let the issuer leave it out",
            );
        }
        if header.get("kid").and_then(Value::as_str).is_none_or(str::is_empty) {
            report.found(
                "NO_KEY_NAME",
                Severity::Medium,
                "it does not name its key (`kid`), so it does not survive a rotation",
                "let the issuer name its keys; a verifier here refuses tokens without",
            );
        }
    }

    fn judge_claims(&self, claims: Value<'_>, report: &mut TokenReport) {
        let has = |name: &str| claims.get(name).is_some();
        for (there, points) in [
            (has("tool_id") || has("sub"), 20),
            (has("tool_version"), 15),
            (has("scope") || has("scp"), 25),
            (has("iss"), 20),
            (has("aud"), 20),
        ] {
            report.compliance += if there { points } else { 0 };
        }
        for (name, code, what, advice) in MISSING {
            if !has(name) {
                report.found(code, Severity::High, what, advice);
            }
        }
        if let Some(name) = OF_ID_TOKENS.into_iter().find(|name| has(name)) {
            report.found(
                "ID_TOKEN",
                Severity::High,
                format!("it is an ID token (`{name}`): it tells a client who logged in"),
                "show a server the access token",
            );
        }
        self.judge_times(claims, report);
        judge_scopes(claims, report);
        if !has("cnf") {
            report.found(
                "UNBOUND",
                Severity::Info,
                "it is a bearer token: whoever has it can use it",
                "bind tokens to the client's key by DPoP (RFC 9449) where the issuer can",
            );
        }
    }

    fn judge_times(&self, claims: Value<'_>, report: &mut TokenReport) {
        let mut times = [None; 3];
        for (name, time) in ["exp", "nbf", "iat"].into_iter().zip(&mut times) {
            let Some(value) = claims.get(name) else { continue };
            *time = value.as_number().and_then(|number| number.as_i64());
            if value.as_number().is_none() {
                report.found(
                    "TIME_MISTYPED",
                    Severity::High,
                    format!("`{name}` is no number of seconds"),
                    "let the issuer write times as numbers (RFC 7519, section 2)",
                );
            }
        }
        let now = i64::try_from(self.now.seconds()).unwrap_or(i64::MAX);
        let [ends, begins, issued] = times;
        let ago = |time: i64| span(now.saturating_sub(time));
        if let Some(at) = ends.filter(|at| *at <= now) {
            let what = format!("it ended {} ago", ago(at));
            report.found("EXPIRED", Severity::High, what, "ask for a new one");
        }
        if let Some(at) = begins.filter(|at| *at > now) {
            let what = format!("it counts only in {}", span(at.saturating_sub(now)));
            let advice = "wait, or set the clocks of issuer and server right";
            report.found("NOT_YET_VALID", Severity::High, what, advice);
        }
        let Some(issued) = issued else { return };
        if issued > now {
            let what = format!("it was issued {} in the future", span(issued.saturating_sub(now)));
            let advice = "set the clocks of issuer and server right";
            report.found("ISSUED_LATER", Severity::Medium, what, advice);
        } else if now.saturating_sub(issued) > DAY.cast_signed() {
            let what = format!("it was issued {} ago", ago(issued));
            let advice = "use short tokens, and refresh them";
            report.found("OLD", Severity::Low, what, advice);
        }
        let lasts = ends.map_or(0, |ends| ends.saturating_sub(issued));
        if lasts > DAY.cast_signed() {
            let what = format!("it lasts {}, and so does a stolen one", span(lasts));
            report.found(
                "LONG_LIVED",
                Severity::Medium,
                what,
                "let it last minutes, and refresh it",
            );
        }
    }
}

/// Claims without which a token counts nowhere.
const MISSING: [(&str, &str, &str, &str); 4] = [
    (
        "iss",
        "MISSING_ISSUER",
        "it does not say who issued it (`iss`)",
        "let the issuer name itself",
    ),
    (
        "aud",
        "MISSING_AUDIENCE",
        "it does not say for whom it is (`aud`), so every server could use it at every other",
        "ask for it with a `resource` (RFC 8707), or what the provider calls an audience",
    ),
    ("exp", "MISSING_EXPIRY", "it never ends (`exp`)", "let the issuer say when it ends"),
    ("sub", "MISSING_SUBJECT", "it does not say whom it is about (`sub`)", "let the issuer say so"),
];

fn judge_scopes(claims: Value<'_>, report: &mut TokenReport) {
    let mut scopes = Vec::new();
    for value in
        ["scope", "scp", "roles", "permissions"].into_iter().filter_map(|name| claims.get(name))
    {
        scopes.extend(value.as_str().into_iter().flat_map(|text| text.split(' ')));
        scopes.extend(value.as_array().into_iter().flatten().filter_map(Value::as_str));
    }
    scopes.retain(|scope| !scope.is_empty());
    if scopes.is_empty() {
        report.found(
            "NO_SCOPES",
            Severity::Low,
            "it holds no scopes: tools that need one are not for it",
            "ask for the scopes that the tools declare",
        );
    }
    let broad = |scope: &&&str| {
        scope.split([':', '.', '/']).any(|part| BROAD.contains(&part.to_ascii_lowercase().as_str()))
    };
    for scope in scopes.iter().filter(broad).take(8) {
        report.found(
            "BROAD_SCOPE",
            Severity::Medium,
            format!("the scope `{}` stands for everything", shown(scope)),
            "ask for what is needed and nothing else",
        );
    }
}

impl TokenReport {
    fn found(
        &mut self,
        code: &'static str,
        severity: Severity,
        what: impl Into<String>,
        advice: &'static str,
    ) {
        self.issues.push(Issue::new(code, severity, what, advice));
    }

    /// Takes over what a verifier said.
    fn refused(&mut self, refusal: &TokenRefusal) {
        if refusal.is_passing() {
            let advice = "try again once the issuer answers";
            return self.found(refusal.code(), Severity::High, refusal.to_string(), advice);
        }
        self.verified = Some(false);
        if !self.issues.iter().any(|issue| issue.code == refusal.code()) {
            let advice = "a server with these settings refuses it; set them or the issuer right";
            self.found(refusal.code(), Severity::High, refusal.to_string(), advice);
        }
    }

    /// The worst first, else as they were found.
    fn sort(&mut self) {
        self.issues.sort_by_key(|issue| std::cmp::Reverse(issue.severity));
    }
}

pub(super) fn text(part: &str, encoded: &str) -> Result<String, String> {
    let bytes = URL_SAFE_NO_PAD.decode(encoded);
    let bytes =
        bytes.map_err(|_| format!("the text of its {part} is not base64url without padding"))?;
    String::from_utf8(bytes).map_err(|_| format!("the text of its {part} is no UTF-8"))
}

pub(super) fn object<'t>(part: &str, text: &'t str) -> Result<Document<'t>, String> {
    let document = Document::parse(text, Limits::STATEMENT);
    let document = document.map_err(|error| format!("its {part}: {error}"))?;
    match document.root().is_object() {
        true => Ok(document),
        false => Err(format!("the text of its {part} is no JSON object")),
    }
}

/// A span of seconds in the words of a person.
fn span(seconds: i64) -> String {
    let (count, unit) = match seconds {
        ..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / DAY.cast_signed(), "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
