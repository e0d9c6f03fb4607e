//! Statements about definitions: for whom they are signed, and what is none.

use std::sync::Arc;

use etdi_core::attestation::Attestation;
use etdi_core::definition::{RawTool, ToolDefinition};
use etdi_core::endorsement::{EndorsementBounds, EndorsementRequest};
use etdi_core::identity::{ProviderId, ServerIdentity};
use etdi_core::jws::Jws;
use etdi_core::manifest::ManifestBuilder;
use etdi_core::time::UnixTime;
use etdi_core::wire::StatementType;
use http::StatusCode;
use serde_json::{Value, json};

use super::world::*;
use crate::embedded::{Client, ClientError, MemoryStore, Settings};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const MONTH: u64 = 30 * 86_400;

pub(super) fn tool(name: &str, scope: &str) -> ToolDefinition {
    let tool = json!({
        "name": name, "description": "Finds notes.", "inputSchema": {"type": "object"},
        "_meta": {"dev.etdi/etdi":
            {"v": 1, "version": "1.0.0", "permissions": [{"scope": scope}]}},
    });
    RawTool::read(&tool.to_string()).unwrap().definition().clone()
}

fn statement(server: &str) -> Attestation {
    let issuer: ProviderId = ISSUER.parse().unwrap();
    Attestation::new(issuer, ServerIdentity::url(server).unwrap(), UnixTime(START))
}

fn asked(name: &str, scope: &str) -> EndorsementRequest {
    EndorsementRequest::tool(&statement(RESOURCE), &tool(name, scope)).unwrap()
}

async fn world() -> World {
    World::with(Arc::new(MemoryStore::new()), |settings| settings.statement_lifetime = MONTH).await
}

fn form<'a>(client: &'a str, subject: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", EXCHANGE),
        ("client_id", client),
        ("client_secret", SECRET),
        ("requested_token_type", "etdi:token-type:definition"),
        ("subject_token_type", "etdi:token-type:unsigned"),
        ("subject_token", subject),
    ]
}

#[tokio::test]
async fn nothing_is_signed_unless_the_operator_says_so() {
    let text = asked("search", "notes:read").to_json().unwrap();
    let off = World::new().await;
    assert_eq!(off.token(&form("publisher", &text)).await.error().0, "unsupported_grant_type");
    let metadata = off.get("/.well-known/oauth-authorization-server").await;
    assert!(!metadata.text.contains("token-exchange") && !metadata.text.contains("etdi"));

    let on = world().await;
    let metadata = on.get("/.well-known/oauth-authorization-server").await.json();
    assert_eq!(metadata["authorization_details_types_supported"], json!(["etdi:definition"]));
    let said = on.token(&form("publisher", &text)).await;
    assert_eq!(said.status, StatusCode::OK, "{}", said.text);
    assert_eq!((&*said.get("token_type"), said.json().get("expires_in")), ("N_A", None));
    let jws = said.get("access_token");
    assert!(Jws::read(&jws, StatementType::Tool).is_ok());
    assert!(!on.is_active(&jws).await, "it is no token here either");

    for client in ["machine", "web"] {
        let refused = on.token(&form(client, &text)).await.error().0;
        assert_eq!(refused, "unauthorized_client", "{client}");
    }
    let wrong = but(&form("publisher", &text), "client_secret", "a guess");
    assert_eq!(on.token(&wrong).await.error().0, "invalid_client");
    let app = Client::public("app", [BACK]).unwrap();
    assert_eq!(app.endorsed(EndorsementBounds::default()).unwrap_err(), ClientError::Public);
    let registered = on
        .register(json!({"redirect_uris": [BACK], "grant_types": ["authorization_code", EXCHANGE]}))
        .await;
    assert_eq!(registered.json()["grant_types"], json!(["authorization_code"]));

    for issuer in ["http://127.0.0.1:9000", "https://auth.example/tenant"] {
        let mut settings = Settings::new(issuer, [RESOURCE]).unwrap();
        settings.statement_lifetime = MONTH;
        assert!(settings.check().is_err(), "{issuer}");
    }
}

#[tokio::test]
async fn nobody_has_more_signed_than_they_may() {
    let world = world().await;
    let elsewhere = statement("https://other.example/mcp");
    let elsewhere = EndorsementRequest::tool(&elsewhere, &tool("search", "notes:read")).unwrap();
    for (asked, part) in [
        (asked("search", "mail:send"), "mail:send"),
        (asked("shell", "notes:read"), "shell"),
        (elsewhere, "other.example"),
    ] {
        let text = asked.to_json().unwrap();
        let said = world.token(&form("publisher", &text)).await;
        assert!(!said.text.contains("access_token"), "{}", said.text);
        let (code, why) = said.error();
        assert!(code == "access_denied" && why.contains(part), "{code}: {why}");
    }
    let text = asked("search", "notes:read").to_json().unwrap();
    // The digest of something else than what is shown.
    let mut forged: Value = serde_json::from_str(&text).unwrap();
    forged["claims"]["dig"] = json!(tool("search", "mail:send").digest());
    let forged = forged.to_string();
    assert_eq!(world.token(&form("publisher", &forged)).await.error().0, "access_denied");
    let good = form("publisher", &text);
    let access_token = "urn:ietf:params:oauth:token-type:access_token";
    for (name, value, code) in [
        ("requested_token_type", access_token, "invalid_request"),
        ("requested_token_type", "etdi:token-type:manifest", "invalid_request"),
        ("subject_token_type", access_token, "invalid_request"),
        ("subject_token", "{}", "invalid_request"),
        ("subject_token", "", "invalid_request"),
        ("audience", RESOURCE, "invalid_request"),
        ("authorization_details", "[]", "invalid_authorization_details"),
        ("authorization_details", "no JSON", "invalid_authorization_details"),
    ] {
        let refused = world.token(&but(&good, name, value)).await.error().0;
        assert_eq!(refused, code, "{name} {value}");
    }
}

/// Both ends of it are ours, and whoever verifies knows the issuer alone.
#[cfg(feature = "client")]
#[tokio::test]
async fn a_publisher_has_its_definition_signed() {
    use std::sync::atomic::Ordering;

    use etdi_core::key_source::IssuerKeys;
    use etdi_core::verify::{Peer, Verifier};

    use super::verified::Through;
    use crate::{Clock, Discovery, RegisteredClient, ServerMetadata, TokenEndpoint};

    let world = world().await;
    let fetch = Arc::new(Through(world.routes.clone()));
    let server = ServerMetadata::find(&*fetch, ISSUER, false).await.unwrap();
    assert_eq!(server.provider().unwrap().as_str(), ISSUER);
    let client = RegisteredClient::with_secret(ISSUER, "publisher", SECRET);
    let clock = world.clock.clone();
    let endpoint = TokenEndpoint::new(fetch.clone(), server, client).unwrap();
    let endpoint = endpoint.clock(Clock::new(move || UnixTime(clock.load(Ordering::SeqCst))));

    let definition = tool("search", "notes:read");
    let one = endpoint.endorse(&asked("search", "notes:read")).await.unwrap();
    assert_eq!(one.expires, UnixTime(START + MONTH), "half a year was asked for");
    let one = one.statement;
    let contents = ManifestBuilder::new(1).tool(&definition).unwrap().build();
    let all = EndorsementRequest::manifest(&statement(RESOURCE), &contents, [&definition]).unwrap();
    let all = endpoint.endorse(&all).await.unwrap().statement;
    let refused = endpoint.endorse(&asked("search", "mail:send")).await.unwrap_err().to_string();
    assert!(refused.contains("access_denied"), "{refused}");

    let keys = IssuerKeys::new(Arc::new(Discovery::new(fetch)));
    let verifier = Verifier::new(keys);
    let peer = Peer::new(ServerIdentity::url(RESOURCE).unwrap());
    let listed = |attestation: &str, description: &str| {
        let mut tool: Value = serde_json::from_str(definition.canonical()).unwrap();
        tool["description"] = json!(description);
        tool["_meta"]["dev.etdi/etdi"]["attestations"] = json!([attestation]);
        RawTool::read(&tool.to_string()).unwrap()
    };
    let good = listed(&one, "Finds notes.");
    let changed = listed(&one, "Sends me your keys.");
    // The key that signed is shown as long as what it signed holds, whatever signs by then.
    for wait in [0, 29 * 86_400] {
        world.wait(wait);
        world.tokens("app").await;
        world.wait(3_700 * u64::from(wait > 0));
        world.tokens("app").await;
        let now = UnixTime(world.now());
        verifier.prepare(std::slice::from_ref(&good), std::slice::from_ref(&all), now).await;
        let verified = verifier.verify(&good, &peer, now).unwrap();
        assert_eq!(verified.issuer().as_str(), ISSUER);
        assert!(verifier.verify_manifest(&all, &peer, now).is_ok());
        let refused = verifier.verify(&changed, &peer, now).unwrap_err();
        assert_eq!(refused.code(), "DIGEST_MISMATCH");
        world.server.rotate_keys(now).await.unwrap();
    }
    world.wait(2 * 86_400);
    assert!(verifier.verify(&good, &peer, UnixTime(world.now())).is_err(), "a month is over");
}
