//! ID tokens: who logged in, as an issuer tells the one client that asked (OpenID Connect Core,
//! sections 2 and 3.1.3.7).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::key::Algorithm;
use etdi_core::time::UnixTime;
use mcp_types::RawText;
use ring::digest;
use serde::de::DeserializeOwned;

use super::claims::Claims;
use super::header::{Unverified, shown};
use super::jwt::{LEEWAY, MAX_LEEWAY, Signatures};
use super::{TokenRefusal, VerifierError, is_secure};
use crate::{AccessToken, Fetch, JwksCache, SecretText, crypto};

/// Claims that only access tokens have (RFC 9068, section 2.2; Microsoft, Okta).
const OF_ACCESS_TOKENS: [&str; 3] = ["scope", "scp", "client_id"];

/// The longest subject (OpenID Connect Core, section 2).
const MAX_SUBJECT: usize = 255;

/// Verifies the ID tokens that one issuer gives to one client.
///
/// An ID token says to that client who logged in, and nothing to anybody else: it is never taken for
/// an access token here, nor one of those for it. Which algorithm counts follows from the key that
/// the issuer publishes. Cheap to clone.
///
/// ```
/// use std::sync::Arc;
///
/// use etdi_oauth::{GuardedFetch, IdTokenVerifier, Rules};
///
/// let fetch = Arc::new(GuardedFetch::new(Rules::default()));
/// let verifier = IdTokenVerifier::new("https://accounts.google.com", "our-client-id", fetch.clone())?;
/// # drop(verifier);
///
/// // A token for nobody in particular would be one for everybody.
/// assert!(IdTokenVerifier::new("https://accounts.google.com", "", fetch).is_err());
/// # Ok::<(), etdi_oauth::VerifierError>(())
/// ```
#[derive(Clone)]
pub struct IdTokenVerifier(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    issuer: String,
    /// What its tokens may call it instead.
    also: Vec<String>,
    client: String,
    audiences: Vec<String>,
    jwks_uri: Option<String>,
    algorithms: Option<Vec<Algorithm>>,
    signatures: Signatures,
    leeway: u64,
}

impl IdTokenVerifier {
    /// Takes tokens of `issuer` that are meant for the client that it knows as `client`. Its keys
    /// come through `fetch`, from where its metadata says.
    ///
    /// # Errors
    ///
    /// When the issuer has no https URL, the client no id, or signatures cannot be verified in this
    /// process ([`crypto::install`]).
    pub fn new(
        issuer: impl Into<String>,
        client: impl Into<String>,
        fetch: Arc<dyn Fetch>,
    ) -> Result<Self, VerifierError> {
        crypto::install()?;
        let (issuer, client) = (issuer.into(), client.into());
        let bad = |what| VerifierError::Issuer { issuer: issuer.clone(), what };
        if !url::Url::parse(&issuer).is_ok_and(|url| is_secure(&url)) {
            return Err(bad("its URL is neither https nor of this machine"));
        }
        if client.trim().is_empty() {
            return Err(bad("the client's id is empty, name the one that the issuer gave"));
        }
        Ok(Self(Arc::new(Inner {
            issuer,
            also: Vec::new(),
            client,
            audiences: Vec::new(),
            jwks_uri: None,
            algorithms: None,
            signatures: Signatures::new(fetch),
            leeway: LEEWAY,
        })))
    }

    fn with(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Inner::clone(&self.0);
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// Says where the keys are, where the issuer's metadata is not to be asked.
    #[must_use]
    pub fn jwks_uri(self, url: impl Into<String>) -> Self {
        self.with(|inner| inner.jwks_uri = Some(url.into()))
    }

    /// Another name by which the issuer's tokens may call it, such as Google's without `https://`.
    #[must_use]
    pub fn also_named(self, name: impl Into<String>) -> Self {
        self.with(|inner| inner.also.push(name.into()))
    }

    /// Takes tokens that name this audience beside the client. By default a token that is meant for
    /// somebody else as well is refused.
    #[must_use]
    pub fn trust_audience(self, audience: impl Into<String>) -> Self {
        self.with(|inner| inner.audiences.push(audience.into()))
    }

    /// Takes only tokens that are signed by these algorithms; by default all that are known count,
    /// each for keys of its own type alone.
    #[must_use]
    pub fn only_algorithms(self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.with(|inner| inner.algorithms = Some(algorithms.into_iter().collect()))
    }

    /// Keeps keys elsewhere, such as in a cache that others use too.
    #[must_use]
    pub fn keys(self, keys: JwksCache) -> Self {
        self.with(|inner| inner.signatures.keys = keys)
    }

    /// By how many seconds the issuer's clock may differ from ours: 60 by default, 300 at most.
    #[must_use]
    pub fn leeway(self, seconds: u64) -> Self {
        self.with(|inner| inner.leeway = seconds.min(MAX_LEEWAY))
    }

    /// The issuer.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// Verifies a token at the time `now`. `nonce` is what the login was begun with: without one a
    /// token of another login counts, so `None` is for logins that have no place for it (RFC 8628).
    /// `access` is the access token that came with it, which it may name.
    ///
    /// # Errors
    ///
    /// One [`TokenRefusal`] a cause.
    pub async fn verify(
        &self,
        token: &str,
        nonce: Option<&str>,
        access: Option<&AccessToken>,
        now: UnixTime,
    ) -> Result<IdToken, TokenRefusal> {
        self.0.verify(token, nonce, access, now).await
    }
}

impl std::fmt::Debug for IdTokenVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdTokenVerifier")
            .field("issuer", &self.0.issuer)
            .field("client", &self.0.client)
            .finish_non_exhaustive()
    }
}

impl Inner {
    async fn verify(
        &self,
        token: &str,
        nonce: Option<&str>,
        access: Option<&AccessToken>,
        now: UnixTime,
    ) -> Result<IdToken, TokenRefusal> {
        let token = Unverified::read(token)?;
        if !matches!(&*token.kind, "" | "jwt") {
            let expected = "`jwt`, or none".to_owned();
            return Err(TokenRefusal::Type { found: token.kind, expected });
        }
        let claims = Claims::parse(&token.claims)?;
        let named = claims.issuer()?;
        if named != self.issuer && !self.also.iter().any(|name| name == named) {
            return Err(TokenRefusal::Issuer(shown(named)));
        }
        let (place, algorithms) = (self.jwks_uri.as_deref(), self.algorithms.as_deref());
        self.signatures.check(&token, &self.issuer, place, algorithms, now).await?;
        let (expires, issued) = self.times(&claims, now)?;
        self.meant(&claims)?;
        if OF_ACCESS_TOKENS.iter().any(|claim| claims.get(claim).is_some()) {
            return Err(TokenRefusal::AccessToken);
        }
        match (nonce, claims.text("nonce")?) {
            (Some(asked), Some(found)) if !SecretText::new(asked).is(found) => {
                return Err(TokenRefusal::Nonce);
            }
            (Some(_), None) => return Err(TokenRefusal::Missing("nonce")),
            _ => {}
        }
        if let (Some(hash), Some(access)) = (claims.text("at_hash")?, access)
            && half_hash(token.algorithm, access.expose()) != hash
        {
            return Err(TokenRefusal::AccessTokenHash);
        }
        let subject = claims.text("sub")?.ok_or(TokenRefusal::Missing("sub"))?;
        if subject.len() > MAX_SUBJECT {
            let expected = "a text of at most 255 bytes";
            return Err(TokenRefusal::Mistyped { claim: "sub", expected });
        }
        let text = RawText::new(&*token.claims);
        let text = text.map_err(|_| TokenRefusal::Malformed("its claims are no JSON object"))?;
        let checked = claims.get("email_verified").map(etdi_core::canonical::of);
        let email = claims.text("email")?.filter(|_| checked.as_deref() == Some("true"));
        Ok(IdToken {
            issuer: self.issuer.clone(),
            subject: subject.to_owned(),
            email: email.map(str::to_owned),
            expires,
            issued,
            claims: text,
        })
    }

    fn times(
        &self,
        claims: &Claims<'_>,
        now: UnixTime,
    ) -> Result<(UnixTime, UnixTime), TokenRefusal> {
        let expires = claims.time("exp")?.ok_or(TokenRefusal::Missing("exp"))?;
        if expires.plus(self.leeway) <= now {
            return Err(TokenRefusal::Expired(expires));
        }
        if let Some(from) = claims.time("nbf")?.filter(|from| *from > now.plus(self.leeway)) {
            return Err(TokenRefusal::NotYet(from));
        }
        let issued = claims.time("iat")?.ok_or(TokenRefusal::Missing("iat"))?;
        if issued > now.plus(self.leeway) {
            return Err(TokenRefusal::IssuedLater(issued));
        }
        Ok((expires, issued))
    }

    /// For this client, and for nobody that it does not trust (rules 3 to 5).
    fn meant(&self, claims: &Claims<'_>) -> Result<(), TokenRefusal> {
        let other = |found: &str| TokenRefusal::OtherClient {
            found: shown(found),
            expected: self.client.clone(),
        };
        let audiences = claims.texts("aud")?.ok_or(TokenRefusal::Missing("aud"))?;
        if !audiences.contains(&&*self.client) {
            return Err(other(audiences.first().copied().unwrap_or_default()));
        }
        let known = |one: &str| one == self.client || self.audiences.iter().any(|own| own == one);
        if let Some(found) = audiences.iter().find(|one| !known(one)) {
            return Err(other(found));
        }
        match claims.text("azp")? {
            Some(party) if party != self.client => Err(other(party)),
            None if audiences.len() > 1 => Err(TokenRefusal::Missing("azp")),
            _ => Ok(()),
        }
    }
}

/// The left half of a token's hash (OpenID Connect Core, section 3.1.3.6). Ed25519 hashes by SHA-512.
fn half_hash(algorithm: Algorithm, token: &str) -> String {
    let hash = match algorithm {
        Algorithm::EdDsa => &digest::SHA512,
        _ => &digest::SHA256,
    };
    let hash = digest::digest(hash, token.as_bytes());
    let half = hash.as_ref().get(..hash.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(half.unwrap_or_default())
}

/// What a verified ID token says.
#[derive(Clone)]
#[non_exhaustive]
pub struct IdToken {
    /// Who issued it, by the name that the verifier was given.
    pub issuer: String,
    /// Who logged in (`sub`), unique with the issuer.
    pub subject: String,
    /// The user's address, where the issuer says that it was verified (`email_verified`).
    pub email: Option<String>,
    /// When the token ends (`exp`).
    pub expires: UnixTime,
    /// When it was issued (`iat`).
    pub issued: UnixTime,
    /// All claims, as the text of a JSON object.
    pub claims: RawText,
}

impl IdToken {
    /// The claims as a type of one's own.
    ///
    /// # Errors
    ///
    /// When they are no `T`.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, mcp_types::DecodeError> {
        self.claims.parse()
    }
}

impl std::fmt::Debug for IdToken {
    /// Claims are about a person, and are not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdToken")
            .field("issuer", &self.issuer)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
