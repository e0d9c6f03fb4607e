//! Who asks at the token endpoint (RFC 6749, section 2.3; RFC 7523, section 3).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use etdi_core::key::{AllowList, JwkSet, VerifyingKey};
use etdi_core::time::UnixTime;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use url::form_urlencoded;

use super::client::{Authentication, Client, Source};
use super::form::Form;
use super::jose::Jwt;
use super::refusal::Refusal;
use super::routes::Shared;
use super::seal::sha256;

/// The type of a client assertion.
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long an assertion may last from now on, and how far a clock may be off, in seconds.
const LONGEST: u64 = 600;
const SKEW: u64 = 60;

/// How many assertions a minute are taken of clients that no operator configured, from all together.
/// Each is remembered for as long as it lasts, in the room that proofs and revocations need as well:
/// whoever registers a key must not be able to fill it.
pub(super) const OF_STRANGERS: u32 = 1_200;

/// How a client showed who it is.
enum Shown {
    Nothing,
    Secret(String),
    Assertion(String),
}

/// The client that asks, which has shown that it is that.
pub(super) async fn authenticate(
    shared: &Shared,
    headers: &HeaderMap,
    form: &Form,
    now: UnixTime,
) -> Result<Client, Refusal> {
    let (id, shown) = shown(headers, form)?;
    let client = shared.client(&id, now).await?;
    match (&client.authentication, shown) {
        (Authentication::None, Shown::Nothing) => Ok(client),
        (Authentication::Secret { digest, .. }, Shown::Secret(secret)) => {
            match shared.seal.same(digest, &sha256(&secret)) {
                true => Ok(client),
                false => Err(Refusal::Secret),
            }
        }
        (Authentication::Keys { .. } | Authentication::KeysAt { .. }, Shown::Assertion(jwt)) => {
            assertion(shared, &client, &jwt, now).await?;
            Ok(client)
        }
        (wanted, _) => Err(Refusal::Unauthenticated(wanted.method())),
    }
}

fn shown(headers: &HeaderMap, form: &Form) -> Result<(String, Shown), Refusal> {
    let named = form.get("client_id");
    let secret = form.get("client_secret");
    let assertion = form.get("client_assertion");
    let mut basic = headers.get_all(AUTHORIZATION).iter();
    let (basic, more) = (basic.next(), basic.next().is_some());
    let ways = [basic.is_some(), secret.is_some(), assertion.is_some()];
    if more || ways.into_iter().filter(|way| *way).count() > 1 {
        return Err(Refusal::TwoWays);
    }
    if let Some(basic) = basic {
        let bad = Refusal::Unauthenticated("client_secret_basic");
        let text = basic.to_str().ok().and_then(|text| text.split_once(' '));
        let text = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
        let bytes = text.and_then(|(_, text)| STANDARD.decode(text.trim()).ok());
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(bad.clone())?;
        let (id, secret) = text.split_once(':').ok_or(bad)?;
        let (id, secret) = (decoded(id), decoded(secret));
        if named.is_some_and(|named| named != id) {
            return Err(Refusal::TwoWays);
        }
        return Ok((id, Shown::Secret(secret)));
    }
    if let Some(jwt) = assertion {
        if form.get("client_assertion_type") != Some(ASSERTION) {
            return Err(Refusal::Assertion("its type is not that of a JWT"));
        }
        let id = named.map(str::to_owned).or_else(|| subject(jwt));
        let id = id.ok_or(Refusal::Assertion("it names no client"))?;
        return Ok((id, Shown::Assertion(jwt.to_owned())));
    }
    let id = named.ok_or(Refusal::Missing("client_id"))?.to_owned();
    Ok((id, secret.map_or(Shown::Nothing, |secret| Shown::Secret(secret.to_owned()))))
}

/// One part of Basic credentials (RFC 6749, section 2.3.1).
fn decoded(part: &str) -> String {
    let mut parts = form_urlencoded::parse(part.as_bytes());
    match (part.contains(['&', '=']), parts.next()) {
        (false, Some((text, _))) => text.into_owned(),
        // Whoever did not encode it meant it as it stands.
        _ => part.to_owned(),
    }
}

/// The client that an assertion names, before it is verified: for finding its keys, and for nothing
/// else.
fn subject(jwt: &str) -> Option<String> {
    let payload = super::seal::decode(jwt.split('.').nth(1)?)?;
    let payload = String::from_utf8(payload).ok()?;
    let limits = etdi_core::ijson::Limits::STATEMENT;
    let document = etdi_core::ijson::Document::parse(&payload, limits).ok()?;
    document.root().get("sub")?.as_str().map(str::to_owned)
}

async fn assertion(
    shared: &Shared,
    client: &Client,
    text: &str,
    now: UnixTime,
) -> Result<(), Refusal> {
    let bad = Refusal::Assertion;
    let jwt = Jwt::read(text, &["", "JWT", "client-authentication+jwt"]).map_err(bad)?;
    let key = key(shared, client, &jwt, now).await?;
    let claims = jwt.verify(&key).map_err(bad)?;
    let own = |name| claims.text(name).as_deref() == Some(&client.id);
    if !own("iss") || !own("sub") {
        return Err(bad("its `iss` and `sub` must be the client's id"));
    }
    let audience = claims.single("aud").ok_or(bad("its `aud` must be this server alone"))?;
    let token = shared.settings.endpoint("/token");
    if audience != shared.settings.issuer() && audience != token {
        return Err(bad("its `aud` is not this server"));
    }
    let until = claims.time("exp").map_err(bad)?.ok_or(bad("it has no `exp`"))?;
    if until <= now || until > now.plus(LONGEST + SKEW) {
        return Err(Refusal::AssertionTime);
    }
    for name in ["nbf", "iat"] {
        if claims.time(name).map_err(bad)?.is_some_and(|time| time > now.plus(SKEW)) {
            return Err(bad("it is from the future, check the clock"));
        }
    }
    let jti = claims.text("jti").filter(|jti| !jti.is_empty() && jti.len() <= 256);
    let jti = jti.ok_or(bad("it has no `jti`"))?;
    if client.source != Source::Configured && !shared.assertions.take(now) {
        return Err(Refusal::TooMany);
    }
    let name = format!("assertion {}", sha256(&format!("{} {jti}", client.id)));
    match shared.server.first_use(&name, until, now).await? {
        true => Ok(()),
        false => Err(Refusal::AssertionReplayed),
    }
}

/// The client's key that the assertion says it was signed with.
async fn key(
    shared: &Shared,
    client: &Client,
    jwt: &Jwt<'_>,
    now: UnixTime,
) -> Result<VerifyingKey, Refusal> {
    let unknown = Refusal::Assertion("the client has no such key");
    let (kid, allowed) = (jwt.header("kid"), AllowList::IDENTITY_PROVIDER);
    match &client.authentication {
        Authentication::Keys { jwks } => {
            let set = JwkSet::read(jwks, allowed).map_err(|_| unknown.clone())?;
            let key = match kid {
                Some(kid) => set.get(&kid).cloned(),
                // Without a name there is no choice.
                None => {
                    let keys = set.keys();
                    let mut keys = keys.iter();
                    keys.next().filter(|_| keys.next().is_none()).cloned()
                }
            };
            key.ok_or(unknown)
        }
        Authentication::KeysAt { uri } => {
            let sets = shared.client_keys.as_ref().ok_or(unknown.clone())?;
            let kid = kid.ok_or(unknown.clone())?;
            let key = sets.key(uri, &kid, allowed, now).await;
            key.map(|found| found.key).map_err(|_| unknown)
        }
        _ => Err(unknown),
    }
}
