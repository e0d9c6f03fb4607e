//! Tokens as the vendors document them, and keys that come and go.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::key::{Algorithm, SigningKey};
use etdi_core::time::UnixTime;
use serde_json::{Value, json};

use super::*;
use crate::provider::{self, ClaimShape};
use crate::scripted::Scripted;
use crate::{FetchResponse, JwksCache};

const NOW: UnixTime = UnixTime(1_800_000_000);
const TENANT: &str = "aaaabbbb-0000-cccc-1111-dddd2222eeee";
const APPLICATION: &str = "00001111-aaaa-2222-bbbb-3333cccc4444";

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::Es256).unwrap()
}

fn jwks(keys: &[(&str, &SigningKey)]) -> String {
    let keys = keys.iter().map(|(kid, key)| {
        let mut jwk: Value = serde_json::from_str(&key.verifying_key().to_jwk()).unwrap();
        jwk["kid"] = json!(kid);
        jwk
    });
    json!({ "keys": keys.collect::<Vec<_>>() }).to_string()
}

fn token(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn timed(mut claims: Value) -> Value {
    claims["iat"] = json!(NOW.0 - 10);
    claims["exp"] = json!(NOW.0 + 3_600);
    claims
}

/// Whether a token of the issuers at `url` is verified, and what it says.
async fn verified(
    issuers: Issuers,
    url: &str,
    header: Value,
    claims: Value,
) -> Result<VerifiedToken, TokenRefusal> {
    let (fetch, key) = (Arc::new(Scripted::default()), key());
    fetch.text(url, jwks(&[("k1", &key)]));
    let verifier = JwtVerifier::new(issuers, fetch).unwrap();
    let mut header = header;
    (header["alg"], header["kid"]) = (json!("ES256"), json!("k1"));
    verifier.verify(&token(&key, &header, &timed(claims)), NOW).await
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// <https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles>
#[tokio::test]
async fn tokens_of_auth0() {
    let (api, url) = ("https://notes.example/mcp", "https://t.eu.auth0.com/.well-known/jwks.json");
    let issuers = || provider::auth0::issuer("t.eu.auth0.com", api);
    let machine = json!({
        "iss": "https://t.eu.auth0.com/", "sub": "2TZsZ@clients", "aud": api,
        "azp": "2TZsZ", "scope": "notes:read notes:write", "gty": "client-credentials",
    });
    let found = verified(issuers(), url, json!({ "typ": "JWT" }), machine).await.unwrap();
    assert_eq!((&*found.subject, found.client.as_deref()), ("2TZsZ@clients", Some("2TZsZ")));
    assert_eq!(found.scopes, set(&["notes:read", "notes:write"]));

    let user = json!({
        "iss": "https://t.eu.auth0.com/", "sub": "auth0|507f1f77bcf86cd799439011",
        "aud": [api, "https://t.eu.auth0.com/userinfo"], "azp": "my_client",
        "scope": "openid notes:read", "permissions": ["notes:delete"], "org_id": "org_9",
    });
    let found = verified(issuers(), url, json!({ "typ": "JWT" }), user).await.unwrap();
    assert_eq!(found.scopes, set(&["notes:delete", "notes:read", "openid"]));
    assert_eq!(found.tenant.as_deref(), Some("org_9"));

    let profile = json!({
        "iss": "https://t.eu.auth0.com/", "sub": "auth0|5", "aud": api, "client_id": "my_client",
        "jti": "hFlxZnnlWVeVQXRbd6oTqR", "scope": "notes:read",
    });
    let found = verified(issuers(), url, json!({ "typ": "at+jwt" }), profile).await.unwrap();
    assert_eq!(found.id.as_deref(), Some("hFlxZnnlWVeVQXRbd6oTqR"));

    // What the user shows to the client is no access token.
    let id_token = json!({
        "iss": "https://t.eu.auth0.com/", "sub": "auth0|5", "aud": api, "azp": "my_client",
        "nonce": "n-0S6_WzA2Mj",
    });
    let refused = verified(issuers(), url, json!({ "typ": "JWT" }), id_token).await.unwrap_err();
    assert_eq!(refused, TokenRefusal::IdToken);
}

/// <https://developer.okta.com/docs/reference/api/oidc/#access-token>
#[tokio::test]
async fn tokens_of_okta() {
    let url = "https://o.okta.com/oauth2/default/v1/keys";
    let issuers = || provider::okta::issuer("https://o.okta.com/", "default", "api://default");
    let claims = json!({
        "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
        "iss": "https://o.okta.com/oauth2/default", "aud": "api://default", "sub": "john.doe@a.example",
        "cid": "nmdP1fcyvdVO11AL7ECm", "uid": "00ujmkLgagxeRrAg20g3", "scp": ["openid", "notes:read"],
        "groups": ["Everyone"],
    });
    let found = verified(issuers(), url, json!({}), claims.clone()).await.unwrap();
    assert_eq!(found.client.as_deref(), Some("nmdP1fcyvdVO11AL7ECm"));
    assert_eq!((found.scopes, found.roles), (set(&["notes:read", "openid"]), set(&["Everyone"])));

    let only = || issuers().each(|issuer| issuer.only_clients(["another"]));
    let refused = verified(only(), url, json!({}), claims.clone()).await.unwrap_err();
    assert!(matches!(refused, TokenRefusal::Client(_)), "{refused}");
    let internal = json!({ "typ": "application/okta-internal-at+jwt" });
    let refused = verified(issuers(), url, internal, claims).await.unwrap_err();
    assert!(matches!(refused, TokenRefusal::Type { .. }), "{refused}");
}

/// <https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>
#[tokio::test]
async fn tokens_of_entra() {
    let second = format!("https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys");
    let first = format!("https://login.microsoftonline.com/{TENANT}/discovery/keys");
    let issuers = || provider::entra::tenant(TENANT, APPLICATION).unwrap();
    let jwt = || json!({ "typ": "JWT" });
    let delegated = json!({
        "aud": APPLICATION, "iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
        "azp": "client-of-the-user", "azpacr": "0", "name": "Ada", "oid": "00000000-0000-0000-66f3-3332eca7ea81",
        "preferred_username": "ada@a.example", "scp": "user_impersonation Notes.Read",
        "sub": "HKZpfaHyWadeOouYlitjrI", "tid": TENANT, "ver": "2.0", "roles": ["Reader"],
    });
    let found = verified(issuers(), &second, jwt(), delegated.clone()).await.unwrap();
    assert_eq!(
        found.scopes,
        set(&["Notes.Read", "user_impersonation"]),
        "roles are no scopes here"
    );
    assert_eq!((found.roles, found.tenant.as_deref()), (set(&["Reader"]), Some(TENANT)));

    let application = json!({
        "aud": format!("api://{APPLICATION}"), "iss": format!("https://sts.windows.net/{TENANT}/"),
        "appid": "a-daemon", "appidacr": "1", "idtyp": "app", "oid": "o", "roles": ["Notes.Read.All"],
        "sub": "o", "tid": TENANT, "ver": "1.0",
    });
    let found = verified(issuers(), &first, jwt(), application.clone()).await.unwrap();
    assert_eq!(found.scopes, set(&["Notes.Read.All"]), "an application acts for nobody");

    let mut of_another = delegated.clone();
    of_another["iss"] =
        json!("https://login.microsoftonline.com/11112222-0000-cccc-1111-dddd2222eeee/v2.0");
    let refused = verified(issuers(), &second, jwt(), of_another).await.unwrap_err();
    assert!(matches!(refused, TokenRefusal::Issuer(_)), "{refused}");
    let mut of_another = delegated.clone();
    of_another["tid"] = json!("11112222-0000-cccc-1111-dddd2222eeee");
    let refused = verified(issuers(), &second, jwt(), of_another).await.unwrap_err();
    assert!(matches!(refused, TokenRefusal::Tenant(_)), "{refused}");
    // An ID token of the same registration has the same audience.
    let mut id_token = delegated;
    for name in ["azp", "azpacr", "scp"] {
        id_token.as_object_mut().unwrap().remove(name);
    }
    let refused = verified(issuers(), &second, jwt(), id_token).await.unwrap_err();
    assert_eq!(refused, TokenRefusal::Missing("client"));

    use provider::entra::{Cloud, EntraError, tenants};
    assert!(matches!(
        provider::entra::tenant("contoso.onmicrosoft.com", APPLICATION),
        Err(EntraError::Tenant(_))
    ));
    let nobody = tenants([], APPLICATION, &Cloud::default()).unwrap_err();
    assert_eq!(nobody, EntraError::NoTenant);
    let china = Cloud::new("login.partner.microsoftonline.cn", "sts.chinacloudapi.cn");
    let two =
        tenants([TENANT, "11112222-0000-CCCC-1111-dddd2222eeee"], APPLICATION, &china).unwrap();
    assert_eq!(two.0.len(), 4);
}

#[tokio::test]
async fn any_issuer_by_the_claims_that_it_writes() {
    let shape: ClaimShape = serde_json::from_value(json!({
        "types": ["jwt"], "client": ["azp"], "scopes": ["https://id.example/scopes"], "tenant": "org",
    }))
    .unwrap();
    let issuer = Issuer::new("https://id.example", "https://mcp.example/mcp")
        .jwks_uri("https://id.example/jwks")
        .shape(shape)
        .only_tenants(["a"]);
    let claims = json!({
        "iss": "https://id.example", "aud": "https://mcp.example/mcp", "sub": "u", "org": "a",
        "https://id.example/scopes": ["x"], "department": "sales",
    });
    let header = json!({ "typ": "application/JWT" });
    let found = verified(issuer.into(), "https://id.example/jwks", header, claims).await.unwrap();
    assert_eq!((&found.scopes, found.tenant.as_deref()), (&set(&["x"]), Some("a")));
    #[derive(serde::Deserialize)]
    struct Own {
        department: String,
    }
    assert_eq!(found.claims::<Own>().unwrap().department, "sales");
    assert!(!format!("{found:?}").contains("sales"), "claims are not shown");
    let principal = found.principal();
    assert_eq!((&*principal.issuer, &*principal.subject), ("https://id.example", "u"));
}

fn own() -> Issuer {
    Issuer::new("https://id.example", "https://mcp.example/mcp").jwks_uri("https://id.example/jwks")
}

fn plain(key: &SigningKey, kid: &str, now: UnixTime) -> String {
    let claims = json!({
        "iss": "https://id.example", "aud": "https://mcp.example/mcp", "sub": "u",
        "exp": now.0 + 3_600,
    });
    token(key, &json!({ "alg": "ES256", "typ": "at+jwt", "kid": kid }), &claims)
}

#[tokio::test]
async fn a_rotation_is_noticed_without_a_failed_call_and_made_up_keys_cost_nothing() {
    let (fetch, old, new) = (Arc::new(Scripted::default()), key(), key());
    let url = "https://id.example/jwks";
    fetch.text(url, jwks(&[("old", &old)]));
    let verifier = JwtVerifier::new(own(), fetch.clone()).unwrap();
    verifier.verify(&plain(&old, "old", NOW), NOW).await.unwrap();
    fetch.text(url, jwks(&[("old", &old), ("new", &new)]));
    let later = NOW.plus(120);
    verifier.verify(&plain(&new, "new", later), later).await.unwrap();
    assert_eq!(fetch.asked().len(), 2, "the set was fetched again for the name that it lacked");

    fetch.forget();
    let forged = key();
    for number in 0..10_000_u64 {
        let at = later.plus(61 + number / 200);
        let kid = format!("made-up-{number}");
        let refused = verifier.verify(&plain(&forged, &kid, at), at).await.unwrap_err();
        assert!(matches!(refused, TokenRefusal::UnknownKey(_)), "{refused}");
    }
    assert_eq!(fetch.asked().len(), 1, "50 seconds of it");

    // The old key is withdrawn: once the set is stale its tokens are refused.
    fetch.text(url, jwks(&[("new", &new)]));
    let stale = NOW.plus(10_000);
    let refused = verifier.verify(&plain(&old, "old", stale), stale).await.unwrap_err();
    assert!(matches!(refused, TokenRefusal::UnknownKey(_)), "{refused}");
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_is_no_fault_of_the_token() {
    let (fetch, key) = (Arc::new(Scripted::default()), key());
    fetch.fails("https://id.example/jwks");
    let verifier = JwtVerifier::new(own(), fetch).unwrap();
    let refused = verifier.verify(&plain(&key, "k", NOW), NOW).await.unwrap_err();
    assert!(refused.is_passing(), "{refused}");
}

#[test]
fn a_verifier_without_what_it_needs_is_not_made() {
    let fetch = || Arc::new(Scripted::default());
    let refused = |issuers: Issuers| JwtVerifier::new(issuers, fetch()).unwrap_err();
    let bad: Vec<Issuers> = vec![
        Issuer::new("https://id.example", "").jwks_uri("https://id.example/jwks").into(),
        own().audience(" ").into(),
        Issuer::new("http://id.example", "a").jwks_uri("https://id.example/jwks").into(),
        own().jwks_uri("http://id.example/jwks").into(),
        own().jwks_uri("ftp://localhost/jwks").into(),
        Issuer::new("id.example", "a").into(),
        own().only_clients([""; 0]).into(),
        own().only_tenants(["a"]).into(),
    ];
    for issuers in bad {
        assert!(matches!(refused(issuers), VerifierError::Issuer { .. }));
    }
    assert!(matches!(refused(Issuers::from(own()).and(own())), VerifierError::Twice(_)));
    let local = Issuer::new("http://localhost:1", "a").jwks_uri("http://127.0.0.1:1/jwks");
    assert!(JwtVerifier::new(local, fetch()).is_ok());
    _ = JwksCache::new(fetch());
}

/// RFC 8414, section 3: what an issuer publishes of itself says where its keys are.
#[tokio::test]
async fn keys_are_found_by_what_the_issuer_publishes() {
    const ISSUER: &str = "https://id.example/tenant";
    const PLACES: [&str; 3] = [
        "https://id.example/.well-known/oauth-authorization-server/tenant",
        "https://id.example/.well-known/openid-configuration/tenant",
        "https://id.example/tenant/.well-known/openid-configuration",
    ];
    let metadata =
        |issuer: &str, jwks: &str| json!({ "issuer": issuer, "jwks_uri": jwks }).to_string();
    let key = key();
    let claims = json!({ "iss": ISSUER, "aud": "https://mcp.example/mcp", "sub": "u" });
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k" });
    let token = token(&key, &header, &timed(claims));
    let world = || {
        let fetch = Arc::new(Scripted::default());
        fetch.text("https://keys.example/jwks", jwks(&[("k", &key)]));
        let issuer = Issuer::new(ISSUER, "https://mcp.example/mcp");
        (JwtVerifier::new(issuer, fetch.clone()).unwrap(), fetch)
    };
    for place in PLACES {
        let (verifier, fetch) = world();
        fetch.text(place, metadata(ISSUER, "https://keys.example/jwks"));
        for _ in 0..3 {
            verifier.verify(&token, NOW).await.unwrap();
        }
        let asked = fetch.asked();
        assert_eq!(asked.last().unwrap(), "https://keys.example/jwks");
        assert!(asked.len() <= 4, "once: {asked:?}");
        // Found before, it counts while the metadata cannot be had.
        fetch.fails(place);
        verifier.verify(&token, NOW.plus(3_600)).await.unwrap();
    }
    for bad in [
        metadata("https://id.example/tenant/", "https://keys.example/jwks"),
        metadata("https://evil.example", "https://keys.example/jwks"),
        metadata(ISSUER, "http://keys.example/jwks"),
        json!({ "issuer": ISSUER }).to_string(),
        "[]".to_owned(),
    ] {
        let (verifier, fetch) = world();
        fetch.text(PLACES[0], bad);
        for second in 0..59 {
            let refused = verifier.verify(&token, NOW.plus(second)).await.unwrap_err();
            assert!(refused.is_passing(), "{refused}");
        }
        assert_eq!(fetch.asked().len(), 3, "the three places, once in a minute");
    }
}

mod introspected {
    use super::*;

    const ENDPOINT: &str = "https://id.example/introspect";

    fn asked(fetch: &Arc<Scripted>, client: IntrospectionAuth) -> Introspection {
        Introspection::new(own(), ENDPOINT, client, fetch.clone()).unwrap()
    }

    fn answer() -> Value {
        json!({
            "active": true, "aud": ["https://mcp.example/mcp"], "sub": "u", "client_id": "c",
            "scope": "a b", "token_type": "Bearer", "exp": NOW.0 + 3_600,
        })
    }

    fn basic() -> IntrospectionAuth {
        IntrospectionAuth::basic("the server", "p:w%")
    }

    #[tokio::test]
    async fn it_is_asked_once_in_a_while_about_each_token() {
        let fetch = Arc::new(Scripted::default());
        fetch.text(ENDPOINT, answer().to_string());
        let verifier = asked(&fetch, basic());
        let (one, two) = tokio::join!(verifier.verify("t", NOW), verifier.verify("t", NOW));
        let found = one.unwrap();
        assert_eq!((found.scopes, found.client.as_deref()), (set(&["a", "b"]), Some("c")));
        two.unwrap();
        assert_eq!(fetch.asked().len(), 1, "who comes meanwhile waits");
        let request = fetch.last();
        assert_eq!(request.body, b"token=t&token_type_hint=access_token");
        // RFC 6749, section 2.3.1: both are written as in a form, and then joined.
        let pair = base64::engine::general_purpose::STANDARD.encode("the+server:p%3Aw%25");
        let shown = request.headers.iter().find(|(name, _)| name == "authorization").unwrap();
        assert_eq!(shown.1, format!("Basic {pair}"));

        fetch.text(ENDPOINT, r#"{"active":false}"#);
        verifier.verify("t", NOW.plus(29)).await.unwrap();
        assert_eq!(verifier.verify("t", NOW.plus(30)).await.unwrap_err(), TokenRefusal::Inactive);
        fetch.text(ENDPOINT, answer().to_string());
        let again = verifier.verify("t", NOW.plus(31)).await.unwrap_err();
        assert_eq!(again, TokenRefusal::Inactive, "a refusal is kept as well");
    }

    #[tokio::test]
    async fn answers_that_are_for_somebody_else_or_nobody_are_refused() {
        let with = |name: &str, value: Value| {
            let mut answer = answer();
            match value {
                Value::Null => _ = answer.as_object_mut().unwrap().remove(name),
                value => answer[name] = value,
            }
            answer.to_string()
        };
        for (text, code) in [
            (with("aud", Value::Null), "MISSING"),
            (with("aud", json!("https://other.example")), "AUDIENCE"),
            (with("iss", json!("https://evil.example")), "ISSUER"),
            (with("active", json!("true")), "MISTYPED"),
            (with("active", json!(1)), "MISTYPED"),
            (with("active", Value::Null), "MISTYPED"),
            (with("exp", json!(NOW.0)), "EXPIRED"),
            (with("exp", json!("tomorrow")), "MISTYPED"),
            (with("token_type", json!("refresh_token")), "TYPE"),
            // Ory Hydra calls a refresh token a bearer token as well; Keycloak says it in `typ`.
            (with("token_use", json!("refresh_token")), "TYPE"),
            (with("typ", json!("Refresh")), "TYPE"),
            (with("typ", json!("ID")), "TYPE"),
            (with("nonce", json!("x")), "ID_TOKEN"),
            (r#"{"active":false,"active":true}"#.to_owned(), "CLAIMS"),
            ("[]".to_owned(), "MALFORMED"),
        ] {
            let fetch = Arc::new(Scripted::default());
            fetch.text(ENDPOINT, &*text);
            let refused = asked(&fetch, basic()).verify("t", NOW).await.unwrap_err();
            assert_eq!(refused.code(), code, "{text}");
        }
        for response in [FetchResponse::new(401, Vec::new()), FetchResponse::new(200, vec![0xff])] {
            let fetch = Arc::new(Scripted::default());
            fetch.says(ENDPOINT, response);
            let refused = asked(&fetch, basic()).verify("t", NOW).await.unwrap_err();
            assert!(refused.is_passing(), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_server_may_show_who_it_is_by_a_signature() {
        let (fetch, key) = (Arc::new(Scripted::default()), key());
        fetch.text(ENDPOINT, answer().to_string());
        let public = key.verifying_key().clone();
        let client = IntrospectionAuth::private_key("server", key);
        assert_eq!(format!("{client:?}"), "PrivateKeyJwt(server)");
        asked(&fetch, client).verify("t", NOW).await.unwrap();
        let body = String::from_utf8(fetch.last().body).unwrap();
        let assertion = body.split("client_assertion=").nth(1).unwrap();
        let (signed, signature) = assertion.rsplit_once('.').unwrap();
        assert!(crate::crypto::verify(&public, signed, signature), "{body}");
        let claims = URL_SAFE_NO_PAD.decode(signed.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(
            (&claims["sub"], &claims["aud"]),
            (&json!("server"), &json!("https://id.example"))
        );
    }
}
