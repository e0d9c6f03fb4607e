//! The order, whom documents are about, and what an origin may say of another.

use etdi_core::jws;
use etdi_core::key::{Algorithm, KeyRing, SigningKey};
use etdi_core::key_source::IssuerKeys;
use etdi_core::proof::ProofVerifier;
use etdi_core::wire::StatementType;

use super::*;
use crate::scripted::Scripted;

const NOW: UnixTime = UnixTime(1_767_323_045);
const ACME: &str = "https://acme.example";
const JWKS: &str = "https://keys.example/acme";

fn acme() -> ProviderId {
    ACME.parse().unwrap()
}

fn at(path: &str) -> String {
    format!("{ACME}{path}")
}

fn about(member: &str, who: &str, more: &str) -> String {
    format!(r#"{{"{member}":"{who}"{more}}}"#)
}

fn with_keys(member: &str, who: &str, url: &str) -> String {
    about(member, who, &format!(r#","jwks_uri":"{url}""#))
}

struct World {
    fetch: Arc<Scripted>,
    discovery: Discovery,
    key: SigningKey,
}

impl World {
    fn new() -> Self {
        let fetch = Arc::new(Scripted::default());
        let discovery = Discovery::new(fetch.clone());
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        fetch.text(JWKS, ring(&key));
        Self { fetch, discovery, key }
    }

    async fn ask(&self, now: UnixTime) -> Result<FoundKey, KeySourceError> {
        self.discovery.key(&acme(), &self.key.id().to_string(), now).await
    }
}

fn ring(key: &SigningKey) -> String {
    [key.verifying_key().clone()].into_iter().collect::<KeyRing>().to_jwks()
}

fn is_unknown<T>(result: &Result<T, KeySourceError>) -> bool {
    matches!(result, Err(KeySourceError::Unknown { .. }))
}

#[tokio::test]
async fn each_place_is_asked_in_order() {
    let world = World::new();
    let server = ServerIdentity::url("https://acme.example/mcp").unwrap();
    world.discovery.resource(&server);
    assert!(is_unknown(&world.ask(NOW).await));
    assert_eq!(
        world.fetch.asked(),
        [
            at("/.well-known/oauth-protected-resource/mcp"),
            at("/.well-known/oauth-authorization-server"),
            at("/.well-known/openid-configuration"),
            at("/.well-known/etdi-configuration"),
        ]
    );
    for (path, member, who) in [
        ("/.well-known/oauth-protected-resource/mcp", "resource", "https://acme.example/mcp"),
        ("/.well-known/oauth-authorization-server", "issuer", ACME),
        ("/.well-known/openid-configuration", "issuer", "https://acme.example/"),
        ("/.well-known/etdi-configuration", "issuer", ACME),
    ] {
        let world = World::new();
        world.discovery.resource(&server);
        world.fetch.text(&at(path), with_keys(member, who, JWKS));
        let found = world.ask(NOW).await.unwrap();
        assert_eq!((found.key.id(), found.trust), (world.key.id(), Trust::Issuer), "{path}");
        assert!(found.until.is_some());
        let asked = world.fetch.asked();
        assert_eq!(asked.last().unwrap(), JWKS);
        world.fetch.forget();
        assert!(world.ask(NOW.plus(100)).await.is_ok());
        assert!(world.fetch.asked().is_empty(), "what is kept is not asked for again");
    }
}

#[tokio::test]
async fn a_key_that_one_place_lacks_is_in_the_next() {
    let world = World::new();
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    world.fetch.text("https://idp.example/jwks", ring(&other));
    let openid = with_keys("issuer", ACME, "https://idp.example/jwks");
    world.fetch.text(&at(OPENID), openid);
    assert!(is_unknown(&world.ask(NOW).await));
    world.fetch.text(&at(ETDI), with_keys("issuer", ACME, JWKS));
    assert!(world.ask(NOW.plus(3_600)).await.is_ok());
}

#[tokio::test]
async fn a_document_about_another_counts_for_nobody() {
    for document in [
        with_keys("issuer", "https://evil.example", JWKS),
        with_keys("issuer", "https://acme.example.evil.example", JWKS),
        with_keys("issuer", "https://acme.example//", JWKS),
        with_keys("issuer", "https://ACME.example", JWKS),
        with_keys("resource", ACME, JWKS),
        with_keys("issuer", ACME, "http://keys.example/acme"),
        with_keys("issuer", ACME, "file:///etc/passwd"),
        about("issuer", ACME, r#","jwks_uri":7"#),
        format!(r#"{{"issuer":"https://evil.example","issuer":"{ACME}","jwks_uri":"{JWKS}"}}"#),
        "[]".to_owned(),
        "<html>".to_owned(),
    ] {
        let world = World::new();
        world.fetch.text(&at(ETDI), &document);
        let answer = world.ask(NOW).await;
        let unavailable = matches!(answer, Err(KeySourceError::Unavailable { .. }));
        assert!(unavailable, "{document} {answer:?}");
        assert!(!world.fetch.asked().contains(&JWKS.to_owned()), "{document}");
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_not_a_no() {
    let world = World::new();
    world.fetch.fails(&at(ETDI));
    let answer = world.ask(NOW).await;
    assert!(matches!(answer, Err(KeySourceError::Unavailable { .. })), "{answer:?}");
    world.fetch.forget();
    for second in 0..60 {
        _ = world.ask(NOW.plus(second)).await;
    }
    assert!(world.fetch.asked().is_empty(), "a failure is not repeated for a minute");
    world.fetch.text(&at(ETDI), with_keys("issuer", ACME, JWKS));
    assert!(world.ask(NOW.plus(60)).await.is_ok());
}

#[tokio::test]
async fn a_server_says_nothing_of_another_origin() {
    let world = World::new();
    for url in ["https://evil.example/mcp", "http://acme.example/mcp", "https://acme.example:8443/"]
    {
        world.discovery.resource(&ServerIdentity::url(url).unwrap());
    }
    world.discovery.resource(&ServerIdentity::package("pkg:cargo/notes").unwrap());
    let evil = "https://evil.example/.well-known/oauth-protected-resource/mcp";
    world.fetch.text(evil, with_keys("resource", "https://evil.example/mcp", JWKS));
    assert!(is_unknown(&world.ask(NOW).await));
    assert!(world.fetch.asked().iter().all(|url| url.starts_with("https://acme.example/")));
    // Issuers that are keys have no place to ask at.
    world.fetch.forget();
    let own = ProviderId::of_key(world.key.id());
    assert!(is_unknown(&world.discovery.key(&own, "x", NOW).await));
    assert_eq!(world.discovery.list(&own, NOW).await, Ok(None));
    assert!(world.fetch.asked().is_empty());
}

#[tokio::test]
async fn revocation_lists_are_found() {
    let world = World::new();
    let list = || async { world.discovery.list(&acme(), NOW).await };
    assert_eq!(list().await, Ok(None), "an origin that publishes nothing has no list");
    // Not for as long as metadata is kept: whoever begins to publish one has a reason.
    let url = "https://acme.example/first";
    let document = about("issuer", ACME, &format!(r#","revocations_uri":"{url}""#));
    world.fetch.text(&at(ETDI), document);
    world.fetch.text(url, "a.b.c");
    assert_eq!(list().await, Ok(None), "asked a moment ago");
    let later = world.discovery.list(&acme(), NOW.plus(60)).await;
    assert_eq!(later, Ok(Some("a.b.c".to_owned())));
    let world = World::new();
    let list = |now| {
        let discovery = world.discovery.clone();
        async move { discovery.list(&acme(), now).await }
    };
    world.fetch.fails(&at(ETDI));
    assert!(list(NOW).await.is_err(), "a failure is not the same");
    let url = "https://acme.example/revocations";
    let document = about("issuer", ACME, &format!(r#","revocations_uri":"{url}","servers":[]"#));
    world.fetch.text(&at(ETDI), document);
    assert!(list(NOW.plus(60)).await.is_err(), "it is said to be there, and is not");
    world.fetch.text(url, "a.b.c\n");
    assert_eq!(list(NOW.plus(60)).await, Ok(Some("a.b.c".to_owned())));
}

/// From a statement to its issuer's key, as a client does it.
#[tokio::test]
async fn a_statement_is_verified_with_the_keys_of_its_issuer() {
    let world = World::new();
    world.fetch.text(&at(ETDI), with_keys("issuer", ACME, JWKS));
    let keys = IssuerKeys::new(Arc::new(world.discovery.clone()));
    let sign =
        |key: &SigningKey| jws::sign(StatementType::Tool, &about("iss", ACME, ""), key).unwrap();
    let (honest, stolen) =
        (sign(&world.key), sign(&SigningKey::generate(Algorithm::EdDsa).unwrap()));
    keys.prepare(&[&honest, &stolen], NOW).await;
    let evidence = keys.verify_proof(&honest, StatementType::Tool, NOW).unwrap();
    assert_eq!((evidence.issuer, evidence.trust), (acme(), Trust::Issuer));
    let error = keys.verify_proof(&stolen, StatementType::Tool, NOW).unwrap_err();
    assert_eq!(error.code(), "KEY_UNKNOWN");
}

#[tokio::test]
async fn listings_that_name_the_same_issuers_share_one_fetch() {
    let world = World::new();
    let issuers: Vec<String> = (0..20).map(|one| format!("https://issuer-{one}.example")).collect();
    let proof = |issuer: &String| {
        let claims = format!(r#"{{"iss":"{issuer}"}}"#);
        jws::sign(StatementType::Tool, &claims, &world.key).unwrap()
    };
    for issuer in &issuers {
        let (jwks, about) = (format!("{issuer}/jwks"), format!("{issuer}{ETDI}"));
        world.fetch.text(&jwks, ring(&world.key));
        world.fetch.text(&about, with_keys("issuer", issuer, &jwks));
    }
    let proofs: Vec<String> = issuers.iter().map(proof).collect();
    let proofs: Vec<&str> = proofs.iter().map(String::as_str).collect();
    let sessions = [0, 1, 2].map(|_| IssuerKeys::new(Arc::new(world.discovery.clone())));
    let [one, two, three] = &sessions;
    tokio::join!(one.prepare(&proofs, NOW), two.prepare(&proofs, NOW), three.prepare(&proofs, NOW));
    for (keys, proof) in sessions.iter().flat_map(|keys| proofs.iter().map(move |one| (keys, one)))
    {
        assert!(keys.verify_proof(proof, StatementType::Tool, NOW).is_ok());
    }
    let asked = world.fetch.asked();
    let different: BTreeSet<&String> = asked.iter().collect();
    assert_eq!(asked.len(), different.len(), "none was fetched twice");
    assert_eq!(asked.len(), 20 * 4, "three documents and the keys of each");
    // The next issuer's document is asked for before the first one's keys are there.
    let first = asked.iter().position(|url| url.ends_with("/jwks")).unwrap();
    let begun = asked.iter().take(first).filter(|url| url.contains(AUTHORIZATION_SERVER)).count();
    assert!(begun >= 8, "{begun} issuers were asked before the first had answered");
}
