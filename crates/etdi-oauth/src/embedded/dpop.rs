//! Proofs of possession (RFC 9449) at the token endpoint, and the nonces that they need.

use etdi_core::key::KeyId;
use etdi_core::time::UnixTime;
use http::HeaderMap;
use url::Url;

use super::jose::Jwt;
use super::refusal::Refusal;
use super::seal::Seal;

/// A proof that holds, and was perhaps shown before.
pub(super) struct Proof {
    /// Of which key.
    pub(super) key: KeyId,
    /// Under which name it is remembered, and until when.
    pub(super) name: String,
    pub(super) until: UnixTime,
}

/// How far the clock of a client may be off, and how old a proof may be, in seconds.
const SKEW: u64 = 60;

/// How long a nonce is good, in seconds.
const NONCE: u64 = 300;

/// How far the clock of another node may be ahead of ours, in seconds.
const AHEAD: u64 = 30;

/// Nonces that say themselves when they were made.
pub(super) struct Nonces {
    seal: Seal,
    wanted: bool,
}

impl Nonces {
    pub(super) fn new(seal: Seal, wanted: bool) -> Self {
        Self { seal, wanted }
    }

    /// A fresh one, if proofs need one.
    pub(super) fn make(&self, now: UnixTime) -> Option<String> {
        self.wanted.then(|| {
            let made = now.seconds().to_string();
            format!("{made}.{}", self.seal.over("nonce", &[&made]))
        })
    }

    pub(super) fn holds(&self, nonce: Option<String>, now: UnixTime) -> bool {
        let fresh = |nonce: &str| {
            let (made, seal) = nonce.split_once('.')?;
            let given: u64 = made.parse().ok()?;
            // The clock of the node that gave it out may be a little ahead.
            let young = given <= now.seconds().saturating_add(AHEAD)
                && now.seconds().saturating_sub(given) <= NONCE;
            Some(young && self.seal.is("nonce", &[made], seal))
        };
        !self.wanted || nonce.as_deref().and_then(fresh) == Some(true)
    }
}

/// Reads the proof of a POST to `url`, if there is one.
pub(super) fn read(
    headers: &HeaderMap,
    url: &str,
    nonces: &Nonces,
    now: UnixTime,
) -> Result<Option<Proof>, Refusal> {
    let mut all = headers.get_all("dpop").iter();
    let Some(proof) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Refusal::Proof("there are two"));
    }
    let bad = Refusal::Proof;
    let text = proof.to_str().map_err(|_| bad("it is not ASCII"))?;
    let jwt = Jwt::read(text, &["dpop+jwt"]).map_err(bad)?;
    let key = jwt.own_key().ok_or(bad("its header has no `jwk`"))?.map_err(bad)?;
    let claims = jwt.verify(&key).map_err(bad)?;
    if claims.text("htm").as_deref() != Some("POST") {
        return Err(bad("its `htm` is not the method"));
    }
    let named = claims.text("htu").and_then(|url| target(&url));
    if named.is_none() || named != target(url) {
        return Err(bad("its `htu` is not this endpoint"));
    }
    let made = claims.time("iat").map_err(bad)?.ok_or(bad("it has no `iat`"))?;
    if made > now.plus(SKEW) || made.plus(SKEW) < now {
        return Err(bad("it is too old or from the future, check the clock"));
    }
    for (name, over) in [("exp", true), ("nbf", false)] {
        let time = claims.time(name).map_err(bad)?;
        if time.is_some_and(|time| if over { time <= now } else { time > now.plus(SKEW) }) {
            return Err(bad("it does not count now"));
        }
    }
    let jti = claims.text("jti").filter(|jti| !jti.is_empty() && jti.len() <= 256);
    let jti = jti.ok_or(bad("it has no `jti`"))?;
    if !nonces.holds(claims.text("nonce"), now) {
        return Err(Refusal::ProofNonce);
    }
    let name = format!("dpop {} {}", key.id(), super::seal::sha256(&jti));
    Ok(Some(Proof { key: key.id(), name, until: made.plus(2 * SKEW + 1) }))
}

/// A URL without query and fragment, in its plain spelling (section 4.3).
fn target(url: &str) -> Option<Url> {
    let mut url = Url::parse(url).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    Some(url)
}
