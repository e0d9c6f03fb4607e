//! What the audit trail keeps of those who are not let in: why, and nothing of what they showed.

use std::sync::Arc;

use etdi_core::audit::{Entry, MemoryAuditor};
use etdi_core::event::{EventKind, Severity};
use etdi_oauth::resource::Protected;
use etdi_oauth::{ApiKeys, Clock};
use mcp_transport::http::server::{HttpOptions, HttpServer};
use serde_json::json;

use super::forge::{AUDIENCE, By, KEYS, NOW, verifier};
use super::gate::{call, request, sent, token, tools};

/// A server with keys and a trail.
fn server() -> (HttpServer, Arc<MemoryAuditor>, String) {
    let (auditor, keys) = (Arc::new(MemoryAuditor::default()), ApiKeys::new());
    let key = keys.create("build", ["notes:read"], None, NOW).unwrap();
    keys.create("old", ["notes:read"], Some(NOW), NOW).unwrap();
    let protected = Protected::new(AUDIENCE, verifier()).unwrap().clock(Clock::new(|| NOW));
    let protected = protected.require(["notes:read"]).unwrap().api_keys("x-api-key", keys).unwrap();
    let options = HttpOptions::default().allow_host("mcp.example.com");
    let server = protected.auditor(auditor.clone()).http(tools(), options);
    (server, auditor, key.expose().to_owned())
}

fn last(auditor: &MemoryAuditor) -> Entry {
    auditor.entries().pop().unwrap()
}

#[tokio::test]
async fn whoever_is_refused_is_noted_without_what_was_shown() {
    let (server, auditor, _) = server();
    let bound = KEYS.other.id().to_string();
    let tokens = [
        (token(|it| it.by = By::Stranger), "SIGNATURE", Severity::High),
        (token(|it| it.head("alg", json!("none"))), "ALGORITHM", Severity::High),
        (token(|it| it.claim("exp", json!(1))), "EXPIRED", Severity::Low),
        (token(|it| it.claim("aud", json!("https://b.example"))), "AUDIENCE", Severity::Medium),
        (token(|it| it.claim("iss", json!("https://evil.example"))), "ISSUER", Severity::Medium),
        (token(|it| it.claim("cnf", json!({ "jkt": bound }))), "UNPROVEN", Severity::High),
        (token(|it| it.claim("scope", json!("notes:none"))), "lacks scopes", Severity::Low),
        ("Bearer hunter2-hunter2".to_owned(), "MALFORMED", Severity::Medium),
    ];
    let mut noted = 0;
    for (bearer, why, severity) in tokens {
        assert!([401, 403].contains(&call(&server, "read", &bearer).await.0), "{why}");
        noted += 1;
        assert_eq!(auditor.entries().len(), noted, "{why}");
        let entry = last(&auditor);
        let text = serde_json::to_string(&entry).unwrap();
        assert!(text.contains(why) && text.contains("mcp.example.com"), "{why}: {text}");
        assert_eq!((entry.event.kind, entry.event.severity), (EventKind::TokenRefused, severity));
        for part in bearer.split([' ', '.']).filter(|part| *part != "Bearer") {
            assert!(part.is_empty() || !text.contains(part), "{why}: {part} is in {text}");
        }
    }
}

#[tokio::test]
async fn an_api_key_that_does_not_count_is_noted_by_no_more_than_its_name() {
    let (server, auditor, key) = server();
    let wrong = format!("{}x", &key[..key.len() - 1]);
    let shown = request("tools/call", "read", &[("x-api-key", &*wrong)]);
    assert_eq!(sent(&server, shown).await.0, 401);
    let text = serde_json::to_string(&last(&auditor)).unwrap();
    assert!(text.contains("token_refused") && text.contains("not known"), "{text}");
    assert!(!text.contains(&wrong[5..20]), "{text}");
}

/// A proof that is wrong is noted; a client that has no nonce yet did nothing wrong.
#[tokio::test]
async fn a_proof_that_does_not_count_is_noted() {
    let (server, auditor, _) = server();
    let bound = KEYS.other.id().to_string();
    let token = token(|it| it.claim("cnf", json!({ "jkt": bound }))).replace("Bearer", "DPoP");
    let shown =
        request("tools/call", "read", &[("authorization", &*token), ("dpop", "hunter2.x.y")]);
    assert_eq!(sent(&server, shown).await.0, 401);
    let text = serde_json::to_string(&last(&auditor)).unwrap();
    assert!(text.contains("proof") && !text.contains("hunter2"), "{text}");
}

/// Who shows nothing yet, and who is let in, is none of this.
#[tokio::test]
async fn what_is_in_order_is_not_noted() {
    let (server, auditor, key) = server();
    assert_eq!(sent(&server, request("tools/call", "read", &[])).await.0, 401);
    assert_eq!(call(&server, "read", &token(|_| {})).await.0, 200);
    let shown = request("tools/call", "read", &[("x-api-key", &*key)]);
    assert_eq!(sent(&server, shown).await.0, 200);
    assert_eq!(auditor.entries().len(), 0);
}

#[tokio::test]
async fn a_flood_of_refusals_does_not_fill_the_trail() {
    let (server, auditor, _) = server();
    for number in 0..500 {
        let made_up = token(|it| it.head("kid", json!(format!("made-up-{number}"))));
        assert!([401, 503].contains(&call(&server, "read", &made_up).await.0));
    }
    assert_eq!(auditor.entries().len(), 60);
}
