//! Tokens that are bound to a key (RFC 9449).

use etdi_core::nonce::{Nonces as _, SecretNonces};

use super::*;

/// A proof as a client makes one, with a change.
fn proof(key: &SigningKey, token: &str, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    static NAMES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let name = NAMES.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string();
    let mut jwk: Value = serde_json::from_str(&key.verifying_key().to_jwk()).unwrap();
    jwk["kid"] = json!("whatever the client calls it");
    let mut header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
    let ath = etdi_core::digest::Digest::of_bytes(token.as_bytes());
    let mut claims = json!({
        "jti": name, "htm": "POST", "htu": RESOURCE, "iat": NOW.0,
        "ath": URL_SAFE_NO_PAD.encode(ath.as_bytes()),
    });
    change(&mut header, &mut claims);
    let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = key.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::Es256).unwrap()
}

async fn shown(server: &HttpServer, token: &str, proof: &str) -> (u16, String, String) {
    let scheme = format!("DPoP {token}");
    call(server, "open", &[("authorization", &scheme), ("dpop", proof)]).await
}

#[tokio::test]
async fn a_proof_counts_for_its_request_its_token_now_and_once() {
    let (world, key) = (World::new(), key());
    let server = world.protected().http(Tools, HttpOptions::default());
    let token = world.token(|it| it["cnf"] = json!({ "jkt": key.id().to_string() }));
    let good = |_: &mut Value, _: &mut Value| {};
    for _ in 0..2 {
        let (status, _, body) = shown(&server, &token, &proof(&key, &token, good)).await;
        assert_eq!(status, 200, "{body}");
    }
    let once = proof(&key, &token, good);
    assert_eq!(shown(&server, &token, &once).await.0, 200);
    let (status, challenge, _) = shown(&server, &token, &once).await;
    assert!(status == 401 && challenge.contains("used before"), "{challenge}");
    assert!(challenge.starts_with("DPoP ") && challenge.contains(METADATA), "{challenge}");

    type Change = fn(&mut Value, &mut Value);
    let wrong: &[(&str, Change)] = &[
        ("another method", |_, claims| claims["htm"] = json!("GET")),
        ("another server", |_, claims| claims["htu"] = json!("https://evil.example/mcp")),
        ("another path", |_, claims| claims["htu"] = json!("http://localhost:8000/other")),
        ("another token", |_, claims| claims["ath"] = json!("AAAA")),
        ("no token", |_, claims| _ = claims.as_object_mut().unwrap().remove("ath")),
        ("an hour ago", |_, claims| claims["iat"] = json!(NOW.0 - 3_600)),
        ("just too old", |_, claims| claims["iat"] = json!(NOW.0 - 61)),
        ("tomorrow", |_, claims| claims["iat"] = json!(NOW.0 + 86_400)),
        ("a time that is a text", |_, claims| claims["iat"] = json!(NOW.0.to_string())),
        ("no time", |_, claims| _ = claims.as_object_mut().unwrap().remove("iat")),
        ("no name", |_, claims| claims["jti"] = json!("")),
        ("a long name", |_, claims| claims["jti"] = json!("x".repeat(300))),
        ("no algorithm", |header, _| header["alg"] = json!("none")),
        ("a shared key", |header, _| header["alg"] = json!("HS256")),
        ("another algorithm", |header, _| header["alg"] = json!("RS256")),
        ("another type", |header, _| header["typ"] = json!("JWT")),
        ("an extension", |header, _| header["crit"] = json!(["x"])),
        ("no key", |header, _| _ = header.as_object_mut().unwrap().remove("jwk")),
        ("a private key", |header, _| header["jwk"]["d"] = json!("AAAA")),
        ("a stranger's key", |header, _| {
            let other = SigningKey::generate(Algorithm::Es256).unwrap();
            header["jwk"] = serde_json::from_str(&other.verifying_key().to_jwk()).unwrap();
        }),
    ];
    for (name, change) in wrong {
        let (status, challenge, _) = shown(&server, &token, &proof(&key, &token, *change)).await;
        assert!(status == 401 && challenge.contains("invalid_dpop_proof"), "{name}: {challenge}");
    }
    // A thief has a key as well, and not the one that the token names.
    let thief = self::key();
    let (status, challenge, _) = shown(&server, &token, &proof(&thief, &token, good)).await;
    assert!(status == 401 && challenge.contains("invalid_token"), "{challenge}");
    let bearer = format!("Bearer {token}");
    assert_eq!(call(&server, "open", &[("authorization", &bearer)]).await.0, 401);
    let scheme = format!("DPoP {token}");
    assert_eq!(call(&server, "open", &[("authorization", &scheme)]).await.0, 401);
    let unbound = world.token(|_| {});
    assert_eq!(shown(&server, &unbound, &proof(&key, &unbound, good)).await.0, 401);
    let queried = proof(&key, &token, |_, claims| claims["htu"] = json!(format!("{RESOURCE}?a#b")));
    assert_eq!(shown(&server, &token, &queried).await.0, 200, "both parts do not count");
}

/// A client is sent to log in again by 401, which helps nobody where proofs are too many.
#[tokio::test]
async fn where_there_is_no_room_for_a_proof_nobody_has_to_log_in() {
    let (world, key) = (World::new(), key());
    let store = Arc::new(etdi_core::request::MemoryReplayStore::new(2));
    let server = world.protected().dpop_replay_store(store);
    let server = server.http(Tools, HttpOptions::default());
    let token = world.token(|it| it["cnf"] = json!({ "jkt": key.id().to_string() }));
    let long = proof(&key, &token, |_, claims| claims["jti"] = json!("x".repeat(200)));
    assert_eq!(shown(&server, &token, &long).await.0, 200);
    assert!(shown(&server, &token, &long).await.1.contains("used before"));
    let next = || proof(&key, &token, |_, _| {});
    assert_eq!(shown(&server, &token, &next()).await.0, 200);
    let (status, challenge, _) = shown(&server, &token, &next()).await;
    assert_eq!((status, &*challenge), (503, ""));
}

#[tokio::test]
async fn a_server_may_want_nonces_and_nothing_unbound() {
    let (world, key) = (World::new(), key());
    let nonces = Arc::new(SecretNonces::shared(&[7; 32]));
    let protected = world.protected().require_dpop().dpop_nonces(nonces);
    let server = protected.http(Tools, HttpOptions::default());
    let token = world.token(|it| it["cnf"] = json!({ "jkt": key.id().to_string() }));
    let scheme = format!("DPoP {token}");
    let first = proof(&key, &token, |_, _| {});
    let asked = request("tools/call", "open", &[("authorization", &scheme), ("dpop", &first)]);
    let answer = server.serve(asked).await.unwrap();
    let nonce = answer.headers()["dpop-nonce"].to_str().unwrap().to_owned();
    let (status, challenge, _) = read(answer).await;
    assert!(status == 401 && challenge.contains("use_dpop_nonce"), "{challenge}");
    let second = proof(&key, &token, |_, claims| claims["nonce"] = json!(nonce));
    assert_eq!(shown(&server, &token, &second).await.0, 200);
    let stale = SecretNonces::shared(&[7; 32]).issue(NOW.minus(121));
    let third = proof(&key, &token, |_, claims| claims["nonce"] = json!(stale));
    assert!(shown(&server, &token, &third).await.1.contains("use_dpop_nonce"));
    let unbound = format!("Bearer {}", world.token(|_| {}));
    assert_eq!(call(&server, "open", &[("authorization", &unbound)]).await.0, 401);
}
