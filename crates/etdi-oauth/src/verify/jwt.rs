//! Signed access tokens (RFC 7519, RFC 9068), read as RFC 8725 wants it.

use std::collections::HashMap;
use std::sync::Arc;

use etdi_core::key::{Algorithm, AllowList};
use etdi_core::time::UnixTime;
use mcp_types::BoxFuture;

use super::claims::{Claims, Source};
use super::header::{Unverified, shown};
use super::places::Places;
use super::{Issuer, Issuers, TokenRefusal, VerifiedToken, VerifyToken};
use crate::crypto::{self, CryptoError};
use crate::{Fetch, JwksCache, JwksError};

/// By how much clocks may differ, in seconds.
pub(super) const LEEWAY: u64 = 60;

/// The most by which one may say that they differ.
pub(super) const MAX_LEEWAY: u64 = 300;

/// Why there is no verifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// What is said of an issuer cannot be.
    #[error("the issuer `{}` cannot be taken: {what}", .issuer.escape_debug())]
    Issuer {
        /// Its name.
        issuer: String,
        /// What is wrong.
        what: &'static str,
    },
    /// Two issuers have one name.
    #[error("the issuer `{}` is named twice, join its audiences", .0.escape_debug())]
    Twice(String),
    /// What this process verifies signatures with does not work.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// Verifies access tokens that are signed by the keys that an issuer publishes.
///
/// It cannot be made without an issuer, nor an issuer without an audience. Which algorithm counts
/// follows from the key, never from the token; a header that brings a key, fetches one or demands an
/// extension is refused; `exp` has to be there, and every time is a number. Keys are kept by a
/// [`JwksCache`], so that a rotation is noticed with the first token of a new key, and made-up names
/// of keys cost at most one fetch a minute. Cheap to clone.
///
/// ```
/// use std::sync::Arc;
///
/// use etdi_oauth::{GuardedFetch, Issuer, JwtVerifier, Rules, provider};
///
/// let fetch = Arc::new(GuardedFetch::new(Rules::default()));
/// let verifier = JwtVerifier::new(
///     provider::auth0::issuer("example.eu.auth0.com", "https://mcp.example.com/mcp"),
///     fetch.clone(),
/// )?;
/// # drop(verifier);
///
/// // Without anybody for whom tokens are meant there is none.
/// assert!(JwtVerifier::new(Issuer::new("https://login.example.com", ""), fetch).is_err());
/// # Ok::<(), etdi_oauth::VerifierError>(())
/// ```
#[derive(Clone)]
pub struct JwtVerifier(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    issuers: HashMap<String, Issuer>,
    /// In the order in which they were named.
    names: Vec<String>,
    signatures: Signatures,
    leeway: u64,
}

/// The keys that issuers publish, wherever they are.
#[derive(Clone)]
pub(super) struct Signatures {
    pub(super) keys: JwksCache,
    places: Places,
}

impl JwtVerifier {
    /// Takes tokens of these issuers, whose keys come through `fetch`: from where [`Issuer::jwks_uri`]
    /// says, or else from where the issuer's metadata says.
    ///
    /// # Errors
    ///
    /// When an issuer has no https URL or no audience, or stands twice; when
    /// signatures cannot be verified in this process ([`crypto::install`]).
    pub fn new(issuers: impl Into<Issuers>, fetch: Arc<dyn Fetch>) -> Result<Self, VerifierError> {
        crypto::install()?;
        let (mut known, mut names) = (HashMap::new(), Vec::new());
        for issuer in issuers.into().0 {
            issuer.check()?;
            names.push(issuer.issuer.clone());
            if let Some(twice) = known.insert(issuer.issuer.clone(), issuer) {
                return Err(VerifierError::Twice(twice.issuer));
            }
        }
        let signatures = Signatures::new(fetch);
        Ok(Self(Arc::new(Inner { issuers: known, names, signatures, leeway: LEEWAY })))
    }

    /// Keeps keys elsewhere, such as in a cache that others use too.
    #[must_use]
    pub fn keys(self, keys: JwksCache) -> Self {
        let signatures = Signatures { keys, places: self.0.signatures.places.clone() };
        Self(Arc::new(Inner { signatures, ..Inner::clone(&self.0) }))
    }

    /// By how many seconds the clocks of issuers may differ from ours: 60 by default, 300 at most.
    #[must_use]
    pub fn leeway(self, seconds: u64) -> Self {
        let leeway = seconds.min(MAX_LEEWAY);
        Self(Arc::new(Inner { leeway, ..Inner::clone(&self.0) }))
    }
}

impl Inner {
    async fn verify(&self, token: &str, now: UnixTime) -> Result<VerifiedToken, TokenRefusal> {
        let token = Unverified::read(token)?;
        let claims = Claims::parse(&token.claims)?;
        let named = claims.issuer()?;
        let issuer = self.issuers.get(named).ok_or_else(|| TokenRefusal::Issuer(shown(named)))?;
        if !issuer.shape.types.contains(&token.kind) {
            let expected = issuer.shape.types.join("` or `");
            return Err(TokenRefusal::Type {
                found: token.kind,
                expected: format!("`{expected}`"),
            });
        }
        let (place, algorithms) = (issuer.jwks_uri.as_deref(), issuer.algorithms.as_deref());
        self.signatures.check(&token, &issuer.issuer, place, algorithms, now).await?;
        claims.judge(&token.claims, issuer, Source::Token, now, self.leeway)
    }
}

impl Signatures {
    pub(super) fn new(fetch: Arc<dyn Fetch>) -> Self {
        Self { keys: JwksCache::new(fetch.clone()), places: Places::new(fetch) }
    }

    /// Whether a key of `issuer` signed the token, by one of `algorithms` where there is such a list.
    /// The keys are at `place`, or where the issuer's metadata says.
    pub(super) async fn check(
        &self,
        token: &Unverified<'_>,
        issuer: &str,
        place: Option<&str>,
        algorithms: Option<&[Algorithm]>,
        now: UnixTime,
    ) -> Result<(), TokenRefusal> {
        let algorithm = token.algorithm;
        if algorithms.is_some_and(|allowed| !allowed.contains(&algorithm)) {
            return Err(TokenRefusal::Algorithm(algorithm.name().to_owned()));
        }
        let url = match place {
            Some(url) => url.to_owned(),
            None => self.places.of(issuer, now).await.map_err(TokenRefusal::Unavailable)?,
        };
        let key = self.keys.key(&url, &token.kid, AllowList::IDENTITY_PROVIDER, now).await;
        let key = key.map_err(|error| match error {
            JwksError::Unknown(kid) => TokenRefusal::UnknownKey(shown(&kid)),
            JwksError::Unavailable(why) => TokenRefusal::Unavailable(why),
        })?;
        if key.key.algorithm() != algorithm {
            let key = shown(&token.kid);
            return Err(TokenRefusal::OtherAlgorithm { key, named: algorithm.name() });
        }
        match crypto::verify(&key.key, token.signed, token.signature) {
            true => Ok(()),
            false => Err(TokenRefusal::Signature),
        }
    }
}

impl VerifyToken for JwtVerifier {
    fn verify<'a>(
        &'a self,
        token: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<VerifiedToken, TokenRefusal>> {
        Box::pin(self.0.verify(token, now))
    }

    fn issuers(&self) -> Vec<String> {
        self.0.names.clone()
    }
}

impl std::fmt::Debug for JwtVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtVerifier").field("issuers", &self.0.names).finish_non_exhaustive()
    }
}
