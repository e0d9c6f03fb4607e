//! Where the keys of issuers come from: pins, then what an issuer publishes.
//!
//! A [`KeySource`] answers one question, which key an issuer calls by a name, and tells three
//! things apart: there is one, there is none, and *it cannot be told now*. [`InOrder`] asks several,
//! [`PinnedKeys`] are those that an approval was given with, `etdi-oauth` has one that asks the
//! issuer over HTTPS. [`IssuerKeys`] makes a [`ProofVerifier`] of a source: it asks before a
//! listing is checked, and checks in place.
//!
//! ```
//! use std::sync::Arc;
//!
//! use etdi_core::jws;
//! use etdi_core::key::{Algorithm, SigningKey};
//! use etdi_core::key_source::{IssuerKeys, PinnedKeys};
//! use etdi_core::proof::{ProofVerifier, Trust};
//! use etdi_core::time::UnixTime;
//! use etdi_core::wire::StatementType;
//!
//! let key = SigningKey::generate(Algorithm::EdDsa)?;
//! let pins = PinnedKeys::new();
//! pins.pin("https://acme.example".parse()?, key.verifying_key().clone(), Trust::FirstUse);
//! let keys = IssuerKeys::new(Arc::new(pins));
//!
//! let proof = jws::sign(StatementType::Tool, r#"{"iss":"https://acme.example"}"#, &key)?;
//! let now = UnixTime(1_767_323_045);
//! let check = || keys.verify_proof(&proof, StatementType::Tool, now).map_err(|error| error.code());
//! assert_eq!(check(), Err("KEY_UNAVAILABLE"), "nobody was asked yet");
//! # futures_executor::block_on(async {
//! keys.prepare(&[&proof], now).await;
//! # });
//! assert_eq!(check().unwrap().trust, Trust::FirstUse);
//!
//! // A key counts for its issuer only.
//! let other = jws::sign(StatementType::Tool, r#"{"iss":"https://other.example"}"#, &key)?;
//! # futures_executor::block_on(async {
//! keys.prepare(&[&other], now).await;
//! # });
//! assert!(keys.verify_proof(&other, StatementType::Tool, now).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use mcp_types::BoxFuture;

use crate::bounded::Bounded;
use crate::identity::ProviderId;
use crate::jws::{IssuedJws, JwsError};
use crate::key::{AllowList, KeyId, VerifyingKey};
use crate::proof::{Evidence, ProofVerifier, Trust};
use crate::time::UnixTime;
use crate::together::each;
use crate::verify::VerifyError;
use crate::wire::StatementType;

mod watched;

pub use watched::WatchedKeys;

/// Tells which key an issuer calls by a name. Object safe.
///
/// A listing asks about several issuers at a time, and several sessions may ask about one: a source
/// that fetches lets those who ask the same wait for one answer. A question may be dropped before it
/// is answered.
pub trait KeySource: Send + Sync {
    /// The key that `issuer` calls `kid`, at `now`. For our own statements `kid` is a thumbprint
    /// (RFC 7638); identity providers choose their names.
    ///
    /// # Errors
    ///
    /// [`KeySourceError::Unknown`] when the issuer has no such key as far as this source knows,
    /// [`KeySourceError::Unavailable`] when that cannot be told now.
    fn key<'a>(
        &'a self,
        issuer: &'a ProviderId,
        kid: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<FoundKey, KeySourceError>>;
}

/// A key that a source knows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundKey {
    /// The key.
    pub key: VerifyingKey,
    /// How it was found.
    pub trust: Trust,
    /// Until when the answer counts; then the source is asked again. `None` for as long as the
    /// source lives.
    pub until: Option<UnixTime>,
}

impl FoundKey {
    /// A key for as long as its source lives.
    pub fn new(key: VerifyingKey, trust: Trust) -> Self {
        Self { key, trust, until: None }
    }

    /// Says until when the answer counts.
    #[must_use]
    pub fn until(mut self, until: UnixTime) -> Self {
        self.until = Some(until);
        self
    }
}

/// Why a source gives no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeySourceError {
    /// It knows of no such key of the issuer.
    #[error("{issuer} has no key `{}` as far as is known here", .kid.escape_debug())]
    Unknown {
        /// Whose key.
        issuer: ProviderId,
        /// Its name.
        kid: String,
    },
    /// It cannot tell now: something cannot be reached, or answers wrongly.
    #[error("the keys of {issuer} cannot be had now: {why}")]
    Unavailable {
        /// Whose keys.
        issuer: ProviderId,
        /// What failed.
        why: String,
    },
}

impl KeySourceError {
    /// Of the refusals of two sources that were asked in turn, the one that counts for both: that one
    /// could not tell is no less so because another knows of no such key.
    #[must_use]
    pub fn or(self, later: Self) -> Self {
        match later {
            Self::Unavailable { .. } => later,
            Self::Unknown { .. } => self,
        }
    }

    /// There is no such key.
    pub fn unknown(issuer: &ProviderId, kid: &str) -> Self {
        Self::Unknown { issuer: issuer.clone(), kid: kid.to_owned() }
    }
}

/// Several sources, the most trusted first: configuration, approval pins, the issuer.
///
/// A source that does not know passes the question on; one that cannot tell does so too, and when
/// none of the others knows, that it could not tell is the answer.
#[derive(Clone)]
pub struct InOrder(Arc<[Arc<dyn KeySource>]>);

impl InOrder {
    /// Asks these in their order.
    pub fn new(sources: impl IntoIterator<Item = Arc<dyn KeySource>>) -> Self {
        Self(sources.into_iter().collect())
    }
}

impl KeySource for InOrder {
    fn key<'a>(
        &'a self,
        issuer: &'a ProviderId,
        kid: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<FoundKey, KeySourceError>> {
        Box::pin(async move {
            let mut answer = KeySourceError::unknown(issuer, kid);
            for source in self.0.iter() {
                match source.key(issuer, kid, now).await {
                    Ok(found) => return Ok(found),
                    Err(error) => answer = answer.or(error),
                }
            }
            Err(answer)
        })
    }
}

/// Keys that were taken over when a tool was approved, or that a host knows otherwise, by issuer.
/// Named by thumbprint only.
#[derive(Debug, Default)]
pub struct PinnedKeys(RwLock<BTreeMap<ProviderId, Pins>>);

type Pins = BTreeMap<KeyId, (VerifyingKey, Trust)>;

impl PinnedKeys {
    /// No pins.
    pub fn new() -> Self {
        Self::default()
    }

    /// Pins a key, with the trust that it was found with.
    pub fn pin(&self, issuer: ProviderId, key: VerifyingKey, trust: Trust) {
        let mut pins = self.0.write().unwrap_or_else(PoisonError::into_inner);
        pins.entry(issuer).or_default().insert(key.id(), (key, trust));
    }

    /// Forgets a key of an issuer; what it vouched for is refused within a minute.
    pub fn unpin(&self, issuer: &ProviderId, key: KeyId) {
        let mut pins = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = pins.get_mut(issuer) {
            keys.remove(&key);
        }
    }
}

impl KeySource for PinnedKeys {
    fn key<'a>(
        &'a self,
        issuer: &'a ProviderId,
        kid: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<FoundKey, KeySourceError>> {
        let pins = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = kid.parse().ok().and_then(|id: KeyId| pins.get(issuer)?.get(&id));
        // Asking again costs nothing, and what was unpinned must not live on as an answer.
        let until = now.plus(NEGATIVE);
        let found = found.map(|(key, trust)| FoundKey::new(key.clone(), *trust).until(until));
        let answer = found.ok_or_else(|| KeySourceError::unknown(issuer, kid));
        Box::pin(std::future::ready(answer))
    }
}

/// The most answers that are kept, and the most questions of one listing.
const MAX_ANSWERS: usize = 1_024;
const MAX_QUESTIONS: usize = 64;

/// How many questions wait for an answer at a time.
const AT_ONCE: usize = 8;

/// For how many seconds an answer that is no key is kept.
const NEGATIVE: u64 = 60;

type Answer = Result<FoundKey, KeySourceError>;

/// What was answered to whose name of a key, and when.
type Answers = Bounded<(ProviderId, String), (Answer, UnixTime), MAX_ANSWERS>;

/// Checks proofs with the keys of a [`KeySource`].
///
/// Issuers sign with EdDSA and ES256 and name their keys by thumbprint. Those that are configured
/// as identity providers may sign with RS256 and PS256 as well, and name keys as they like.
pub struct IssuerKeys {
    source: Arc<dyn KeySource>,
    identity_providers: BTreeSet<ProviderId>,
    answers: Mutex<Answers>,
    epoch: AtomicU64,
}

impl IssuerKeys {
    /// Asks a source.
    pub fn new(source: Arc<dyn KeySource>) -> Self {
        Self {
            source,
            identity_providers: BTreeSet::new(),
            answers: Mutex::default(),
            epoch: AtomicU64::new(0),
        }
    }

    /// Lets an identity provider sign statements in a publisher's place.
    #[must_use]
    pub fn identity_provider(mut self, issuer: ProviderId) -> Self {
        self.identity_providers.insert(issuer);
        self
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was answered about a key, as long as that counts.
    fn answer(&self, issuer: &ProviderId, kid: &str, now: UnixTime) -> Option<Answer> {
        let answers = self.answers();
        let (answer, asked) = answers.get(&(issuer.clone(), kid.to_owned()))?;
        let counts = match answer {
            Ok(found) => found.until.is_none_or(|until| now < until),
            // A clock that was set back must not keep it for ever.
            Err(_) => *asked <= now && now < asked.plus(NEGATIVE),
        };
        counts.then(|| answer.clone())
    }

    fn keep(&self, issuer: ProviderId, kid: String, answer: Answer, now: UnixTime) {
        let mut answers = self.answers();
        let lost = |old: &Answer| match (old, &answer) {
            (Ok(old), Ok(new)) => old.key != new.key || old.trust != new.trust,
            (Ok(_), Err(KeySourceError::Unknown { .. })) => true,
            _ => false,
        };
        let key = (issuer, kid);
        if answers.get(&key).is_some_and(|(old, _)| lost(old)) {
            self.epoch.fetch_add(1, Ordering::Relaxed);
        }
        answers.insert(key, (answer, now));
    }
}

impl std::fmt::Debug for IssuerKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuerKeys")
            .field("identity_providers", &self.identity_providers)
            .finish_non_exhaustive()
    }
}

impl ProofVerifier for IssuerKeys {
    fn verify_proof(
        &self,
        proof: &str,
        kind: StatementType,
        now: UnixTime,
    ) -> Result<Evidence, VerifyError> {
        let jws = IssuedJws::read(proof, kind, AllowList::IDENTITY_PROVIDER)?;
        let issuer = jws.unverified_issuer().ok_or(VerifyError::Claims { member: "iss" })?;
        let kid = jws.kid().to_owned();
        let provider = self.identity_providers.contains(&issuer);
        let thumbprint: Option<KeyId> = kid.parse().ok();
        if !provider && (thumbprint.is_none() || !kind.algorithms().permits(jws.algorithm())) {
            let error = if thumbprint.is_none() { JwsError::KeyId } else { JwsError::Algorithm };
            return Err(error.into());
        }
        let message = |why: &str| VerifyError::KeyUnavailable {
            issuer: issuer.to_string(),
            message: why.to_owned(),
        };
        let found = match self.answer(&issuer, &kid, now) {
            None => return Err(message("there is no answer yet, try again")),
            Some(Err(KeySourceError::Unavailable { why, .. })) => return Err(message(&why)),
            Some(Err(KeySourceError::Unknown { issuer, kid })) => {
                return Err(match thumbprint {
                    Some(key) => VerifyError::UnknownKey { key },
                    None => VerifyError::KeyUnnamed { issuer, kid },
                });
            }
            Some(Ok(found)) => found,
        };
        let id = found.key.id();
        if !provider && thumbprint != Some(id) {
            return Err(JwsError::Signature { key: id }.into());
        }
        // What is verified is the payload that named the issuer.
        let claims = jws.verify(&found.key)?;
        let evidence = Evidence::new(issuer, id, found.trust, claims);
        Ok(Evidence { until: found.until, ..evidence })
    }

    fn prepares(&self) -> bool {
        true
    }

    fn prepare<'a>(&'a self, proofs: &'a [&'a str], now: UnixTime) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let questions: BTreeSet<(ProviderId, String)> = proofs
                .iter()
                .filter_map(|proof| IssuedJws::question(proof))
                .filter(|(issuer, kid)| self.answer(issuer, kid, now).is_none())
                .take(MAX_QUESTIONS)
                .collect();
            let ask = |(issuer, kid): (ProviderId, String)| -> BoxFuture<'_, ()> {
                Box::pin(async move {
                    let answer = self.source.key(&issuer, &kid, now).await;
                    self.keep(issuer, kid, answer, now);
                })
            };
            each(questions.into_iter().map(ask), AT_ONCE).await;
        })
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
