//! Signed checkpoints: the end of a trail, vouched for by a key that who writes lines may not have.

use super::ChainHead;
use crate::attestation::to_json;
use crate::jws::{self, Jws};
use crate::key::{KeyId, KeyRing};
use crate::proof::{SignError, Signer};
use crate::time::UnixTime;
use crate::wire::{CheckpointClaims, KEY_ISSUER, StatementType};

/// Signs the end of a trail.
pub(super) fn sign(
    head: &ChainHead,
    signer: &dyn Signer,
    now: UnixTime,
) -> Result<String, SignError> {
    let claims = CheckpointClaims {
        iss: format!("{KEY_ISSUER}{}", signer.verifying_key().id()),
        iat: now.0,
        entries: head.entries,
        digest: head.digest,
    };
    jws::sign(StatementType::Checkpoint, &to_json(&claims)?, signer)
}

/// Checks a checkpoint against the chain before it. With keys it has to be signed by one of them;
/// without, only what it says is compared. Gives the key that is said to have signed.
pub(super) fn check(text: &str, head: &ChainHead, keys: Option<&KeyRing>) -> Result<KeyId, String> {
    let jws = Jws::read(text, StatementType::Checkpoint).map_err(|error| error.to_string())?;
    let id = jws.key_id();
    let claims: CheckpointClaims = serde_json::from_str(jws.unverified_payload())
        .map_err(|_| "it lacks a member".to_owned())?;
    if claims.entries != head.entries || claims.digest != head.digest {
        return Err("it is about another trail".to_owned());
    }
    if claims.iss != format!("{KEY_ISSUER}{id}") {
        return Err("it is issued by another than its key".to_owned());
    }
    if let Some(keys) = keys {
        let key = keys.get(id).ok_or_else(|| format!("key {id} is not known here"))?;
        jws.verify(key).map_err(|error| error.to_string())?;
    }
    Ok(id)
}
