//! Manifests: the statements of their signers, and what they list.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::claimed::claimed;
use super::claims::{check_audience, check_times, claims};
use super::peer::bind;
use super::{Claimed, Peer, Verdict, Verifier, VerifyError, Vouched, curable, vouched};
use crate::binding::Possession;
use crate::digest::Digest;
use crate::identity::ProviderId;
use crate::key::{KeyId, VerifyingKey};
use crate::manifest::{MAX_DELEGATIONS, MAX_SIGNERS, outruns};
use crate::proof::{Evidence, Trust};
use crate::time::UnixTime;
use crate::wire::{Delegation, ManifestClaims, ManifestContents, StatementType};

/// How many manifests are remembered in parts.
pub(super) const CACHED_MANIFESTS: usize = 64;

/// A manifest whose statements hold for a peer. Names digests; a tool is verified against it.
///
/// Cheap to clone. That its counter is not lower than one seen before is for whoever remembers
/// counters to check, see [`ServerMemory`](crate::approval::ServerMemory).
#[derive(Clone, Debug)]
pub struct VerifiedManifest {
    pub(super) listed: Arc<ManifestClaims>,
    pub(super) digest: Digest,
    pub(super) delegated: Arc<[(VerifyingKey, Delegation)]>,
    pub(super) vouched: Arc<Vouched>,
    pub(super) others: Vec<(ProviderId, Trust)>,
}

impl VerifiedManifest {
    /// What it lists.
    pub fn contents(&self) -> &ManifestContents {
        &self.listed.contents
    }

    /// The digest of each tool by its name.
    pub fn tools(&self) -> &BTreeMap<String, Digest> {
        &self.listed.contents.tools
    }

    /// The digest of what it lists.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Who signed it; the first of several.
    pub fn issuer(&self) -> &ProviderId {
        &self.vouched.issuer
    }

    /// All who verifiably signed it.
    pub fn issuers(&self) -> impl Iterator<Item = &ProviderId> {
        self.signers().map(|(issuer, _)| issuer)
    }

    /// The same, each with how its key was found.
    pub(crate) fn signers(&self) -> impl Iterator<Item = (&ProviderId, Trust)> {
        let first = (&self.vouched.issuer, self.vouched.trust);
        core::iter::once(first).chain(self.others.iter().map(|(issuer, trust)| (issuer, *trust)))
    }

    /// The key that signed; that of the first of several signers.
    pub fn key(&self) -> KeyId {
        self.vouched.key
    }

    /// How the key was found.
    pub fn trust(&self) -> Trust {
        self.vouched.trust
    }

    /// Until when it holds.
    pub fn expires(&self) -> UnixTime {
        self.vouched.expires
    }

    /// SHA-256 of the statements that were verified, as they arrived.
    pub fn attestations(&self) -> &[Digest] {
        &self.vouched.attestations
    }

    /// What each of its signers claims of the program and the interface behind the tools. Shown,
    /// never believed by itself.
    pub fn claimed(&self) -> &[Claimed] {
        &self.vouched.claimed
    }
}

/// A manifest that was taken apart, which costs more than checking it again.
#[derive(Clone)]
pub(super) struct Parsed {
    claims: Arc<ManifestClaims>,
    contents: Digest,
    delegated: Arc<[(VerifyingKey, Delegation)]>,
}

impl Verifier {
    /// Checks a manifest.
    ///
    /// # Errors
    ///
    /// As [`Verifier::verify`], for the one statement.
    pub fn verify_manifest(
        &self,
        text: &str,
        peer: &Peer,
        now: UnixTime,
    ) -> Result<VerifiedManifest, VerifyError> {
        let evidence = self.evidence(text, StatementType::Manifest, peer, now)?;
        let digest = Digest::of_bytes(text.as_bytes());
        let Parsed { claims, contents, delegated } = self.parsed(&evidence, digest)?;
        check_audience(&claims.aud)?;
        check_times(claims.nbf, claims.exp, now)?;
        if outruns(claims.contents.seq, now) {
            let message = "its counter is more than a year of seconds ahead".to_owned();
            return Err(VerifyError::MalformedClaims { message });
        }
        let key = (evidence.key, &evidence.introduced_by[..]);
        self.check_revoked(&evidence.issuer, key, &claims.jti, None, now)?;
        let bound = bind(&claims.sub, claims.cnf.as_ref(), claims.prov.as_ref(), peer)?;
        self.check_holder(&evidence.issuer, &bound.1)?;
        let listed = peer.possession.as_ref().and_then(Possession::manifest);
        if listed.is_some_and(|listed| listed != contents) {
            let why = "it is about another list of tools".to_owned();
            return Err(VerifyError::PossessionInvalid { why });
        }
        let said = claimed(&evidence.issuer, claims.prov.as_ref(), claims.contract.as_ref())?;
        let vouched = vouched(evidence, bound, claims.exp, (None, said), digest);
        Ok(VerifiedManifest {
            listed: claims,
            digest: contents,
            delegated,
            vouched: Arc::new(vouched),
            others: Vec::new(),
        })
    }

    /// Checks the statements of several signers about one manifest. Those by keys that nobody here
    /// knows are passed over as long as one is verified.
    ///
    /// # Errors
    ///
    /// As [`Verifier::verify`]; [`VerifyError::Unsigned`] when there is none, and
    /// [`VerifyError::ManifestsDiffer`] when two that are verified list different things.
    pub fn verify_manifests<T: AsRef<str>>(
        &self,
        texts: &[T],
        peer: &Peer,
        now: UnixTime,
    ) -> Result<VerifiedManifest, VerifyError> {
        let mut first: Option<VerifiedManifest> = None;
        let mut unverifiable = None;
        for text in texts.iter().take(MAX_SIGNERS) {
            match (self.verify_manifest(text.as_ref(), peer, now), &mut first) {
                (Ok(one), None) => first = Some(one),
                (Ok(one), Some(first)) if one.contents() == first.contents() => {
                    let vouched = Arc::make_mut(&mut first.vouched);
                    vouched.attestations.extend(one.attestations());
                    vouched.claimed.extend(one.claimed().iter().cloned());
                    vouched.expires = vouched.expires.min(one.expires());
                    first.others.push((one.issuer().clone(), one.trust()));
                }
                (Ok(_), Some(_)) => return Err(VerifyError::ManifestsDiffer),
                (Err(error), _) if error.verdict() == Verdict::Wrong => return Err(error),
                (Err(error), _) => unverifiable = curable(unverifiable, error),
            }
        }
        first.ok_or_else(|| unverifiable.unwrap_or(VerifyError::Unsigned))
    }

    /// The parts of a manifest, from memory where it was taken apart before.
    fn parsed(&self, evidence: &Evidence, digest: Digest) -> Result<Parsed, VerifyError> {
        if let Some(parsed) = self.cache().manifests.get(&digest) {
            return Ok(parsed.clone());
        }
        let claims: ManifestClaims = claims(evidence)?;
        let contents = claims.contents.digest();
        // A key that cannot be read signs nothing.
        let keys = claims.contents.delegations.iter().take(MAX_DELEGATIONS);
        let delegated = keys.filter_map(|one| {
            VerifyingKey::from_jwk(&one.jwk.to_string()).ok().map(|key| (key, one.clone()))
        });
        let parsed = Parsed { delegated: delegated.collect(), claims: Arc::new(claims), contents };
        self.cache().manifests.insert(digest, parsed.clone());
        Ok(parsed)
    }
}
