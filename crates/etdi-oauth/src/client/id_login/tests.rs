//! A provider that is scripted, and a user who logs in there.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::key::{Algorithm, SigningKey};
use serde_json::{Value, json};
use url::Url;

use super::*;
use crate::AskWith;
use crate::flow::AuthorizationUrl;
use crate::scripted::Scripted;

const ISSUER: &str = "https://login.acme.example";
const NOW: u64 = 1_800_000_000;

struct World {
    fetch: Arc<Scripted>,
    asked: Arc<AtomicU64>,
    now: Arc<AtomicU64>,
    login: IdentityLogin,
}

/// A provider whose ID tokens are changed by `change`.
fn world(change: fn(&mut Value)) -> World {
    let fetch = Arc::new(Scripted::default());
    let key = Arc::new(SigningKey::generate(Algorithm::Es256).unwrap());
    let metadata = json!({
        "issuer": ISSUER, "authorization_endpoint": format!("{ISSUER}/authorize"),
        "token_endpoint": format!("{ISSUER}/token"), "jwks_uri": format!("{ISSUER}/keys"),
    });
    fetch.text(&format!("{ISSUER}/.well-known/openid-configuration"), metadata.to_string());
    let keys = format!(r#"{{"keys":[{}]}}"#, key.verifying_key().to_jwk());
    fetch.text(&format!("{ISSUER}/keys"), keys);
    let (asked, now) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(NOW)));
    let (provider, count, time) = (fetch.clone(), asked.clone(), now.clone());
    let ask = move |url: AuthorizationUrl| {
        count.fetch_add(1, Ordering::SeqCst);
        let url = Url::parse(url.as_str()).unwrap();
        let get = |name: &str| {
            url.query_pairs().find(|(one, _)| one == name).map(|(_, value)| value.into_owned())
        };
        assert_eq!(get("scope").as_deref(), Some("openid"));
        let now = time.load(Ordering::SeqCst);
        let mut claims = json!({
            "iss": ISSUER, "aud": "desktop", "sub": "ada", "nonce": get("nonce"),
            "iat": now, "exp": now + 600,
        });
        change(&mut claims);
        let header = json!({ "alg": "ES256", "kid": key.id().to_string() });
        let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).unwrap());
        let tokens = json!({
            "access_token": "of-the-provider", "token_type": "Bearer",
            "id_token": format!("{signed}.{signature}"),
        });
        provider.text(&format!("{ISSUER}/token"), tokens.to_string());
        let state = get("state").unwrap();
        async move { Ok(format!("http://127.0.0.1/callback?code=c&state={state}")) }
    };
    let ask = AskWith::new("http://127.0.0.1/callback", ask);
    let client = RegisteredClient::public(ISSUER, "desktop");
    let time = now.clone();
    let clock = Clock::new(move || UnixTime(time.load(Ordering::SeqCst)));
    let login = IdentityLogin::new(client, ask, fetch.clone()).unwrap().clock(clock);
    World { fetch, asked, now, login }
}

#[tokio::test]
async fn the_user_is_asked_once_while_the_token_holds() {
    let world = world(|_| ());
    let first = world.login.assertion(ISSUER).await.unwrap();
    assert_eq!(first.expose().split('.').count(), 3);
    let sent = world.fetch.asked();
    assert!(sent.contains(&format!("{ISSUER}/keys")), "it was verified: {sent:?}");
    let again = world.login.assertion(ISSUER).await.unwrap();
    assert!(again.is(first.expose()));
    assert_eq!(world.asked.load(Ordering::SeqCst), 1);
    world.now.fetch_add(541, Ordering::SeqCst);
    let renewed = world.login.assertion(ISSUER).await.unwrap();
    assert!(!renewed.is(first.expose()));
    assert_eq!(world.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_token_that_does_not_hold_goes_nowhere() {
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 4] = [
        (|claims| claims["nonce"] = json!("of-another-login"), "`nonce`"),
        (|claims| claims["aud"] = json!("another-client"), "this client is `desktop`"),
        (|claims| claims["exp"] = json!(NOW - 3_600), "ended"),
        (|claims| claims["iss"] = json!("https://evil.example"), "evil.example"),
    ];
    for (change, part) in changes {
        let refused = world(change).login.assertion(ISSUER).await.unwrap_err();
        assert!(refused.to_string().contains(part), "{refused}");
    }
    let world = world(|_| ());
    let elsewhere = world.login.assertion("https://evil.example").await;
    assert!(elsewhere.is_err(), "it is for its issuer");
    assert_eq!(world.asked.load(Ordering::SeqCst), 0);
}
