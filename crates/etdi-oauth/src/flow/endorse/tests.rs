//! What an identity provider may give in place of a statement, and that none of it is kept.

use std::sync::Arc;

use etdi_core::attestation::Attestation;
use etdi_core::definition::RawTool;
use etdi_core::endorsement::EndorsementRequest;
use etdi_core::identity::ServerIdentity;
use etdi_core::jws;
use etdi_core::key::{Algorithm, SigningKey};
use etdi_core::time::UnixTime;
use etdi_core::wire::StatementType;
use serde_json::{Value, json};

use crate::scripted::Scripted;
use crate::{
    Clock, Endorsed, FetchResponse, OAuthError, RegisteredClient, ServerMetadata, TokenEndpoint,
};

const NOW: UnixTime = UnixTime(1_767_323_045);
const ISSUER: &str = "https://id.example/";

struct Provider {
    fetch: Arc<Scripted>,
    key: SigningKey,
    metadata: ServerMetadata,
}

impl Provider {
    fn new(algorithm: Algorithm) -> Self {
        let (fetch, key) =
            (Arc::new(Scripted::default()), SigningKey::generate(algorithm).unwrap());
        let mut jwk: Value = serde_json::from_str(&key.verifying_key().to_jwk()).unwrap();
        // As vendors name their keys.
        jwk["kid"] = json!("2026-11");
        fetch.text("https://id.example/keys", json!({ "keys": [jwk] }).to_string());
        let metadata = ServerMetadata {
            issuer: ISSUER.to_owned(),
            token_endpoint: Some("https://id.example/token".to_owned()),
            jwks_uri: Some("https://id.example/keys".to_owned()),
            ..ServerMetadata::default()
        };
        Self { fetch, key, metadata }
    }

    async fn gives(&self, answer: Value) -> Result<Endorsed, OAuthError> {
        let answer = FetchResponse::new(200, answer.to_string().into_bytes());
        self.fetch.says("https://id.example/token", answer);
        let client = RegisteredClient::with_secret(ISSUER, "publisher", "a secret of some length");
        let endpoint =
            TokenEndpoint::new(self.fetch.clone(), self.metadata.clone(), client).unwrap();
        endpoint.clock(Clock::new(|| NOW)).endorse(&asked()).await
    }

    /// A JWS of a type, with the claims that were asked for and something changed.
    fn signed(&self, typ: &str, change: impl FnOnce(&mut Value)) -> String {
        let text = asked().sign(3_600, NOW, &self.key).unwrap();
        let part = |at| {
            let part = text.split('.').nth(at).unwrap();
            let bytes =
                base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, part);
            serde_json::from_slice::<Value>(&bytes.unwrap()).unwrap()
        };
        let (mut header, mut claims) = (part(0), part(1));
        header["typ"] = json!(typ);
        header["kid"] = json!("2026-11");
        change(&mut claims);
        let encode = |value: &Value| {
            base64::Engine::encode(
                &base64::engine::general_purpose::URL_SAFE_NO_PAD,
                value.to_string(),
            )
        };
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.key.sign(signed.as_bytes()).unwrap();
        let signature =
            base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature);
        format!("{signed}.{signature}")
    }
}

fn asked() -> EndorsementRequest {
    let tool = RawTool::read(
        r#"{"name":"search","inputSchema":{"type":"object"},
            "_meta":{"dev.etdi/etdi":{"v":1,"version":"1.0.0"}}}"#,
    );
    let server = ServerIdentity::url("https://mcp.acme.example/mcp").unwrap();
    let statement = Attestation::new("https://id.example".parse().unwrap(), server, NOW);
    EndorsementRequest::tool(&statement, tool.unwrap().definition()).unwrap()
}

fn answer(text: &str) -> Value {
    json!({ "access_token": text, "token_type": "N_A",
        "issued_token_type": "etdi:token-type:definition" })
}

#[tokio::test]
async fn a_statement_comes_back_and_nothing_else() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let provider = Provider::new(algorithm);
        let good = provider.signed("etdi-tool+jwt", |_| ());
        let endorsed = provider.gives(answer(&good)).await.unwrap();
        let expected = Endorsed {
            statement: good.clone(),
            key_id: "2026-11".to_owned(),
            expires: NOW.plus(3_600),
        };
        assert_eq!(endorsed, expected);

        // The same claims as every kind of token that there is.
        for typ in ["at+jwt", "application/at+jwt", "JWT", "", "etdi-manifest+jwt", "etdi-call+jwt"]
        {
            let token = provider.signed(typ, |_| ());
            let refused = provider.gives(answer(&token)).await.unwrap_err().to_string();
            assert!(refused.contains("etdi-tool+jwt"), "{typ}: {refused}");
            assert!(!refused.contains(&token), "a token does not get into messages");
        }
        for (name, value) in [
            ("iss", json!("https://other.example")),
            ("aud", json!("https://mcp.acme.example/mcp")),
            ("sub", json!("https://mcp.acme.example/mcp#shell")),
            ("dig", json!("sha-256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
            ("ver", json!("9.0.0")),
            ("exp", json!(NOW.0)),
            ("exp", json!(NOW.0 + 400 * 86_400)),
        ] {
            let other = provider.signed("etdi-tool+jwt", |claims| claims[name] = value.clone());
            let refused = provider.gives(answer(&other)).await;
            assert!(matches!(refused, Err(OAuthError::Token { .. })), "{name} {value}");
        }
        // A key that the issuer does not publish.
        let stranger = Provider::new(algorithm).signed("etdi-tool+jwt", |_| ());
        assert!(provider.gives(answer(&stranger)).await.is_err());
        let unknown = jws::sign(StatementType::Tool, "{}", &provider.key).unwrap();
        assert!(provider.gives(answer(&unknown)).await.is_err());
        // What says itself that it is a token is not looked at.
        for (name, value) in [
            ("token_type", json!("Bearer")),
            ("issued_token_type", json!("urn:ietf:params:oauth:token-type:access_token")),
            ("issued_token_type", json!("etdi:token-type:manifest")),
            ("issued_token_type", Value::Null),
        ] {
            let mut said = answer(&good);
            said[name] = value;
            assert!(provider.gives(said).await.is_err(), "{name}");
        }
    }
}

#[tokio::test]
async fn an_issuer_that_is_no_origin_signs_nothing() {
    for issuer in ["https://login.example/tenant/v2.0", "http://127.0.0.1:9000"] {
        let mut provider = Provider::new(Algorithm::Es256);
        provider.metadata.issuer = issuer.to_owned();
        assert!(matches!(provider.metadata.provider(), Err(OAuthError::NotOffered { .. })));
    }
    let mut provider = Provider::new(Algorithm::Es256);
    provider.metadata.jwks_uri = Some("http://id.example/keys".to_owned());
    let good = provider.signed("etdi-tool+jwt", |_| ());
    assert!(provider.gives(answer(&good)).await.is_err());
}

/// Where the server decides by authorization details, it gets them; where it does not, it does not.
#[tokio::test]
async fn details_are_sent_to_who_knows_them() {
    for (known, expected) in
        [(None, false), (Some("other"), false), (Some("etdi:definition"), true)]
    {
        let mut provider = Provider::new(Algorithm::Es256);
        provider.metadata.authorization_details_types_supported =
            known.map(|one| vec![one.to_owned()]);
        provider.gives(json!({"access_token": "x", "token_type": "Bearer"})).await.unwrap_err();
        let sent = String::from_utf8(provider.fetch.last().body).unwrap();
        assert_eq!(sent.contains("authorization_details="), expected, "{known:?}");
        assert!(sent.contains("requested_token_type=etdi%3Atoken-type%3Adefinition"), "{sent}");
    }
}
