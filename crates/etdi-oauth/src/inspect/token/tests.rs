//! Each fault of a token, and its near miss.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_types::BoxFuture;

use super::*;
use crate::VerifiedToken;

const NOW: UnixTime = UnixTime(1_800_000_000);

fn token(header: &str, claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(header), part(claims), part("SIGNATURE"))
}

const HEADER: &str = r#"{"alg":"ES256","kid":"k","typ":"at+jwt"}"#;

fn claims(more: &str) -> String {
    format!(
        r#"{{"iss":"https://auth.example","aud":"https://mcp.example","sub":"me","exp":1800000300,"iat":1799999990,"scope":"notes:read","cnf":{{"jkt":"x"}}{more}}}"#
    )
}

fn codes(token: &str) -> Vec<&'static str> {
    let report = TokenDebugger::new(NOW).debug_token(token);
    assert!(!report.valid, "nobody verified it");
    report.issues.iter().map(|issue| issue.code).collect()
}

/// Says what it was made with.
struct Says(Result<(), TokenRefusal>);

impl VerifyToken for Says {
    fn verify<'a>(
        &'a self,
        _: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<VerifiedToken, TokenRefusal>> {
        let said = self.0.clone();
        Box::pin(async move {
            said.map(|()| VerifiedToken::new("https://auth.example", "me", "c", now.plus(60)))
        })
    }
}

#[test]
fn a_sound_token_has_one_remark() {
    assert_eq!(codes(&token(HEADER, &claims(""))), ["SIGNATURE_NOT_CHECKED"]);
}

#[test]
fn each_fault_has_its_code_and_its_near_miss_has_not() {
    let sound = claims("");
    for (header, said, code) in [
        (r#"{"alg":"none","kid":"k"}"#, sound.clone(), "ALGORITHM_NONE"),
        (r#"{"alg":"nOnE","kid":"k"}"#, sound.clone(), "ALGORITHM_NONE"),
        (r#"{"kid":"k"}"#, sound.clone(), "ALGORITHM_NONE"),
        (r#"{"alg":"HS256","kid":"k"}"#, sound.clone(), "ALGORITHM_SYMMETRIC"),
        (r#"{"alg":"ES999","kid":"k"}"#, sound.clone(), "ALGORITHM_UNKNOWN"),
        (r#"{"alg":"ES256","kid":"k","jku":"https://x"}"#, sound.clone(), "KEY_IN_HEADER"),
        (r#"{"alg":"ES256","kid":"k","crit":["b64"]}"#, sound.clone(), "CRITICAL_HEADER"),
        (r#"{"alg":"ES256"}"#, sound.clone(), "NO_KEY_NAME"),
        (HEADER, sound.replace(r#""iss":"https://auth.example","#, ""), "MISSING_ISSUER"),
        (HEADER, sound.replace(r#""aud":"https://mcp.example","#, ""), "MISSING_AUDIENCE"),
        (HEADER, sound.replace(r#""exp":1800000300,"#, ""), "MISSING_EXPIRY"),
        (HEADER, sound.replace(r#""sub":"me","#, ""), "MISSING_SUBJECT"),
        (HEADER, sound.replace("1800000300", "1800000000"), "EXPIRED"),
        (HEADER, sound.replace("1800000300", r#""1800000300""#), "TIME_MISTYPED"),
        (HEADER, sound.replace("1799999990", "1800000010"), "ISSUED_LATER"),
        (HEADER, sound.replace("1799999990", "1799900000"), "OLD"),
        (HEADER, sound.replace("1800000300", "1900000000"), "LONG_LIVED"),
        (HEADER, claims(r#","nbf":1800000001"#), "NOT_YET_VALID"),
        (HEADER, claims(r#","nonce":"n""#), "ID_TOKEN"),
        (HEADER, sound.replace(r#","scope":"notes:read""#, ""), "NO_SCOPES"),
        (HEADER, sound.replace("notes:read", "notes:* x"), "BROAD_SCOPE"),
        (HEADER, sound.replace("notes:read", "Admin"), "BROAD_SCOPE"),
        (HEADER, sound.replace(r#","cnf":{"jkt":"x"}"#, ""), "UNBOUND"),
    ] {
        let codes = codes(&token(header, &said));
        assert!(codes.contains(&code), "{code}: {codes:?}");
        assert!(!self::codes(&token(HEADER, &sound)).contains(&code), "{code}");
    }
    for near in ["recall:read", "calls", "rooted.tree", "small", "badminton:play"] {
        let said = sound.replace("notes:read", near);
        assert_eq!(codes(&token(HEADER, &said)), ["SIGNATURE_NOT_CHECKED"], "{near}");
    }
}

#[test]
fn what_is_no_token_is_said_to_be_none() {
    let long = "a".repeat(MAX_TOKEN + 1);
    let twice = token(r#"{"alg":"ES256","alg":"none"}"#, "{}");
    let list = token(HEADER, "[]");
    for text in ["", "opaque", "a.b", "a.b.c", "a.b.c.d.e", "..", "é.é.é", &long, &twice, &list]
    {
        let report = TokenDebugger::new(NOW).debug_token(text);
        assert!(!report.well_formed && !report.valid, "{text}");
        assert_eq!(report.issues[0].code, "MALFORMED");
    }
}

#[test]
fn the_signature_is_nowhere_in_the_report() {
    let token = token(HEADER, &claims(r#","tool_version":"1.0.0""#));
    let signature = token.rsplit('.').next().unwrap();
    let report = TokenDebugger::new(NOW).debug_token(&token);
    let text = format!("{report:?}{}", serde_json::to_string(&report).unwrap());
    assert!(!text.contains(signature) && !text.contains("SIGNATURE\""), "{text}");
    assert_eq!((report.signature_bytes, report.compliance), (9, 100));
}

#[tokio::test]
async fn only_a_verified_token_without_grave_faults_is_valid() {
    let debugger = TokenDebugger::new(NOW);
    let sound = token(HEADER, &claims(""));
    let good = debugger.verify_token(&sound, &Says(Ok(()))).await;
    assert!(good.valid && good.verified == Some(true) && good.issues.is_empty(), "{good:?}");
    let bad = debugger.verify_token(&sound, &Says(Err(TokenRefusal::Signature))).await;
    assert!(!bad.valid && bad.verified == Some(false));
    assert_eq!(bad.issues[0].code, "SIGNATURE");
    let unknown = Says(Err(TokenRefusal::Unavailable("no route".to_owned())));
    let unknown = debugger.verify_token(&sound, &unknown).await;
    assert!(!unknown.valid && unknown.verified.is_none());
    // A verifier that lets everything through makes no token of an ID token.
    let lax =
        debugger.verify_token(&token(HEADER, &claims(r#","nonce":"n""#)), &Says(Ok(()))).await;
    assert!(!lax.valid, "{lax:?}");
}

#[test]
fn two_tokens_are_compared_member_by_member() {
    let debugger = TokenDebugger::new(NOW);
    let first = debugger.debug_token(&token(HEADER, &claims(r#","n":1.0,"old":true"#)));
    let said = claims(r#","n":1,"new":[1]"#).replace("notes:read", "notes:write");
    let second = debugger.debug_token(&token(HEADER, &said));
    let difference = first.compared_with(&second);
    let changed: Vec<_> = difference.changes.iter().map(|change| change.member.as_str()).collect();
    assert_eq!(changed, ["claims.new", "claims.old", "claims.scope"]);
    assert_eq!(difference.changes[2].second.as_deref(), Some(r#""notes:write""#));
    assert!(
        difference.same.contains(&"claims.n".to_owned())
            && difference.same.contains(&"header.alg".to_owned())
    );
}
