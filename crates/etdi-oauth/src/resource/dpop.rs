//! Proofs that whoever shows a token holds the key that it is bound to (RFC 9449).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::digest::Digest;
use etdi_core::ijson::{Document, Limits, Value};
use etdi_core::key::{Algorithm, KeyId, VerifyingKey};
use etdi_core::nonce::Nonces;
use etdi_core::request::{MemoryReplayStore, ReplayStore, Taken};
use etdi_core::time::UnixTime;
use serde_json::Map;

use crate::crypto;

/// The most bytes of a proof, and of its name.
const MAX_PROOF: usize = 8 << 10;
const MAX_NAME: usize = 256;

/// How many seconds old a proof may be, and how far the clock of its maker may be ahead.
const WINDOW: u64 = 60;

/// Members of a JWK that are about the key itself (RFC 7638).
const MEMBERS: [&str; 6] = ["kty", "crv", "x", "y", "n", "e"];

/// The algorithms of proofs, as metadata and challenges name them.
pub(super) const ALGORITHMS: [&str; 4] = ["ES256", "EdDSA", "RS256", "PS256"];

/// Checks proofs.
#[derive(Clone)]
pub(super) struct Proofs {
    pub(super) nonces: Option<Arc<dyn Nonces>>,
    pub(super) replay: Arc<dyn ReplayStore>,
    /// Whether a token counts only if it is bound.
    pub(super) required: bool,
}

impl Default for Proofs {
    fn default() -> Self {
        Self { nonces: None, replay: Arc::new(MemoryReplayStore::default()), required: false }
    }
}

/// The request that a proof has to be for.
pub(super) struct Shown<'r> {
    pub(super) method: &'r str,
    pub(super) url: &'r str,
    pub(super) token: &'r str,
    /// The key that the token names.
    pub(super) bound_to: Option<KeyId>,
}

/// Why a proof does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoProof {
    /// It is not one for this request.
    Invalid(&'static str),
    /// It has to name a nonce of this server (section 9).
    UseNonce,
    /// It may be good, and cannot be remembered now.
    Busy,
}

impl Proofs {
    /// The key that made `proof` for this request, now and once (section 4.3).
    pub(super) async fn check(
        &self,
        proof: &str,
        shown: Shown<'_>,
        now: UnixTime,
    ) -> Result<KeyId, NoProof> {
        let (key, name, until) = self.read(proof, &shown, now)?;
        if Some(key) != shown.bound_to {
            // Refused by whoever asks; no stranger's key takes up room.
            return Ok(key);
        }
        match self.replay.take(key, &name, until, now).await {
            Taken::First => Ok(key),
            Taken::Before => Err(NoProof::Invalid("the proof was used before")),
            Taken::Full => Err(NoProof::Busy),
        }
    }

    fn read(
        &self,
        proof: &str,
        shown: &Shown<'_>,
        now: UnixTime,
    ) -> Result<(KeyId, String, UnixTime), NoProof> {
        let malformed = NoProof::Invalid("the proof is malformed");
        if proof.len() > MAX_PROOF {
            return Err(malformed);
        }
        let (signed, signature) = proof.rsplit_once('.').ok_or(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(malformed)?;
        let (header, claims) = (decode(header).ok_or(malformed)?, decode(claims).ok_or(malformed)?);
        let read = |text| Document::parse(text, Limits::STATEMENT).map_err(|_| malformed);
        let (header, claims) = (read(&header)?, read(&claims)?);
        let key = key(header.root())?;
        if !crypto::verify(&key, signed, signature) {
            return Err(NoProof::Invalid("the proof is not signed by its key"));
        }
        let claim = |name| claims.root().get(name).and_then(Value::as_str);
        if claim("htm") != Some(shown.method) || !claim("htu").is_some_and(|url| is(url, shown.url))
        {
            return Err(NoProof::Invalid("the proof is for another request"));
        }
        let hash = Digest::of_bytes(shown.token.as_bytes());
        if claim("ath") != Some(&*URL_SAFE_NO_PAD.encode(hash.as_bytes())) {
            return Err(NoProof::Invalid("the proof is for another token"));
        }
        let made = claims.root().get("iat").and_then(Value::as_number);
        let made = made.and_then(|made| u64::try_from(made.as_i64()?).ok()).map(UnixTime);
        let made = made.ok_or(NoProof::Invalid("the proof has no time"))?;
        if made > now.plus(WINDOW) || made.plus(WINDOW) < now {
            return Err(NoProof::Invalid("the proof is not of now"));
        }
        if let Some(nonces) = &self.nonces
            && !claim("nonce").is_some_and(|nonce| nonces.holds(nonce, now))
        {
            return Err(NoProof::UseNonce);
        }
        let name = claim("jti").filter(|name| !name.is_empty() && name.len() <= MAX_NAME);
        let name = name.ok_or(NoProof::Invalid("the proof has no name of its own"))?;
        // Clients choose how long it is, and what remembers it has a bound.
        let name = Digest::of_bytes(name.as_bytes()).to_string();
        Ok((key.id(), name, made.plus(WINDOW + 1)))
    }
}

/// The key that the header brings: the one place where one may, because a token names it.
fn key(header: Value<'_>) -> Result<VerifyingKey, NoProof> {
    let wrong = NoProof::Invalid("the proof is of another kind");
    let member = |name| header.get(name).and_then(Value::as_str);
    let kind = member("typ").map(str::to_ascii_lowercase);
    let algorithm = member("alg").and_then(Algorithm::named).ok_or(wrong)?;
    if kind.as_deref() != Some("dpop+jwt") || header.get("crit").is_some() {
        return Err(wrong);
    }
    let wrong = NoProof::Invalid("the proof brings no public key of its algorithm");
    let jwk = header.get("jwk").ok_or(wrong)?;
    let is_private = ["d", "k", "p", "q", "dp", "dq", "qi", "oth"];
    if is_private.into_iter().any(|name| jwk.get(name).is_some()) {
        return Err(wrong);
    }
    let members = MEMBERS.into_iter().filter_map(|name| {
        let value = jwk.get(name).and_then(Value::as_str)?;
        Some((name.to_owned(), serde_json::Value::from(value)))
    });
    let text = serde_json::Value::Object(Map::from_iter(members)).to_string();
    let key = VerifyingKey::from_jwk(&text).map_err(|_| wrong)?;
    key.with_algorithm(algorithm).map_err(|_| wrong)
}

/// Whether both name one resource, without query and fragment (section 4.3, item 9).
fn is(named: &str, asked: &str) -> bool {
    let plain = |text: &str| {
        let mut url = url::Url::parse(text).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        Some(url)
    };
    plain(named).is_some_and(|named| Some(named) == plain(asked))
}

fn decode(part: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
