//! Tokens that only their issuer can read: it is asked about each (RFC 7662).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as Lock, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use etdi_core::digest::Digest;
use etdi_core::key::SigningKey;
use etdi_core::time::UnixTime;
use mcp_types::BoxFuture;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::claims::{Claims, Source};
use super::header::MAX_TOKEN;
use super::{Issuer, TokenRefusal, VerifiedToken, VerifierError, VerifyToken};
use crate::shelf::Shelf;
use crate::{Fetch, FetchError, FetchRequest, Method, SecretText};

/// How long an answer counts by default, and at most, in seconds.
const KEEP: u64 = 30;
const MAX_KEEP: u64 = 300;

/// For how many seconds it is not asked again about a token that it could not be asked about.
const RETRY: u64 = 5;

/// The most tokens of which an answer is kept.
const MAX_KEPT: usize = 4_096;

/// The most bytes of an answer.
const MAX_ANSWER: usize = 64 << 10;

/// For how many seconds an assertion counts.
const ASSERTION: u64 = 60;

/// How this server shows the issuer who it is.
#[non_exhaustive]
pub enum IntrospectionAuth {
    /// With a shared secret in a header (RFC 6749, section 2.3.1).
    Basic {
        /// The name under which the issuer knows this server.
        client: String,
        /// The secret.
        secret: SecretText,
    },
    /// With a signature (`private_key_jwt`, RFC 7523, section 2.2).
    PrivateKeyJwt {
        /// The name under which the issuer knows this server.
        client: String,
        /// The key, whose public half the issuer has.
        key: Box<SigningKey>,
        /// What the issuer calls that key; its thumbprint, most often.
        kid: String,
    },
}

impl IntrospectionAuth {
    /// With a shared secret.
    pub fn basic(client: impl Into<String>, secret: impl Into<SecretText>) -> Self {
        Self::Basic { client: client.into(), secret: secret.into() }
    }

    /// With a key that the issuer knows by its thumbprint.
    pub fn private_key(client: impl Into<String>, key: SigningKey) -> Self {
        let kid = key.id().to_string();
        Self::PrivateKeyJwt { client: client.into(), key: Box::new(key), kid }
    }

    /// Adds what shows who asks to a request whose form is being written.
    fn show(
        &self,
        audience: &str,
        now: UnixTime,
        form: &mut Serializer<'_, String>,
        headers: &mut Vec<(String, String)>,
    ) -> Option<()> {
        match self {
            Self::Basic { client, secret } => {
                // Both are written as in a form first (RFC 6749, section 2.3.1).
                let encoded = |text: &str| -> Zeroizing<String> {
                    Zeroizing::new(url::form_urlencoded::byte_serialize(text.as_bytes()).collect())
                };
                let (client, secret) = (encoded(client), encoded(secret.expose()));
                let pair = Zeroizing::new(format!("{}:{}", &*client, &*secret));
                let pair = STANDARD.encode(pair.as_bytes());
                headers.push(("authorization".to_owned(), format!("Basic {pair}")));
            }
            Self::PrivateKeyJwt { client, key, kid } => {
                let mut random = [0; 16];
                SystemRandom::new().fill(&mut random).ok()?;
                let header = serde_json::json!({
                    "alg": key.verifying_key().algorithm().name(), "kid": kid, "typ": "JWT",
                });
                let claims = serde_json::json!({
                    "iss": client, "sub": client, "aud": audience,
                    "iat": now.0, "exp": now.plus(ASSERTION).0,
                    "jti": URL_SAFE_NO_PAD.encode(random),
                });
                let part = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
                let signed = format!("{}.{}", part(&header), part(&claims));
                let signature = key.sign(signed.as_bytes()).ok()?;
                let assertion = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
                form.append_pair("client_id", client)
                    .append_pair(
                        "client_assertion_type",
                        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                    )
                    .append_pair("client_assertion", &assertion);
            }
        }
        Some(())
    }
}

impl std::fmt::Debug for IntrospectionAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, client) = match self {
            Self::Basic { client, .. } => ("Basic", client),
            Self::PrivateKeyJwt { client, .. } => ("PrivateKeyJwt", client),
        };
        write!(f, "{kind}({client})")
    }
}

/// Verifies access tokens by asking the issuer about each.
///
/// An answer, of either kind, is kept for half a minute, by a digest of the token: so much later than
/// its revocation a token may still count. Whoever comes with the same token meanwhile waits for the
/// first answer. An answer that names no audience counts for none. Cheap to clone; clones share what
/// is kept.
///
/// ```
/// use std::sync::Arc;
///
/// use etdi_oauth::{IntrospectionAuth, GuardedFetch, Introspection, Issuer, Rules};
///
/// let verifier = Introspection::new(
///     Issuer::new("https://login.example.com", "https://mcp.example.com/mcp"),
///     "https://login.example.com/introspect",
///     IntrospectionAuth::basic("mcp-server", "a secret of the environment"),
///     Arc::new(GuardedFetch::new(Rules::default())),
/// )?;
/// # drop(verifier);
/// # Ok::<(), etdi_oauth::VerifierError>(())
/// ```
#[derive(Clone)]
pub struct Introspection(Arc<Inner>);

struct Inner {
    issuer: Issuer,
    endpoint: String,
    client: IntrospectionAuth,
    fetch: Arc<dyn Fetch>,
    keep: AtomicU64,
    known: Lock<Shelf<Digest, Arc<Mutex<Option<Kept>>>>>,
}

struct Kept {
    answer: Result<VerifiedToken, TokenRefusal>,
    until: UnixTime,
    at: UnixTime,
}

impl Introspection {
    /// Asks `endpoint` about tokens of `issuer`, as `client`.
    ///
    /// # Errors
    ///
    /// When a URL is neither https nor of this machine, or the issuer has no audience.
    pub fn new(
        issuer: Issuer,
        endpoint: impl Into<String>,
        client: IntrospectionAuth,
        fetch: Arc<dyn Fetch>,
    ) -> Result<Self, VerifierError> {
        let endpoint = endpoint.into();
        issuer.check()?;
        let secure = url::Url::parse(&endpoint).is_ok_and(|url| super::issuer::is_secure(&url));
        if !secure {
            let what = "its introspection endpoint is neither https nor of this machine";
            return Err(VerifierError::Issuer { issuer: issuer.issuer, what });
        }
        let (keep, known) = (KEEP.into(), Lock::new(Shelf::new(MAX_KEPT)));
        Ok(Self(Arc::new(Inner { issuer, endpoint, client, fetch, keep, known })))
    }

    /// Keeps answers for so many seconds: 300 at most, and 0 to ask each time.
    #[must_use]
    pub fn keep(self, seconds: u64) -> Self {
        self.0.keep.store(seconds.min(MAX_KEEP), Ordering::Relaxed);
        self
    }
}

impl Inner {
    async fn verify(&self, token: &str, now: UnixTime) -> Result<VerifiedToken, TokenRefusal> {
        if token.len() > MAX_TOKEN {
            return Err(TokenRefusal::TooLong { most: MAX_TOKEN });
        }
        let digest = Digest::of_bytes(token.as_bytes());
        let place = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&digest);
        let mut kept = place.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.at <= now && now < kept.until) {
            return kept.answer.clone();
        }
        let answer = self.ask(token, now).await;
        let keep = self.keep.load(Ordering::Relaxed);
        let until = match &answer {
            Ok(token) => now.plus(keep).min(token.expires),
            Err(error) if error.is_passing() => now.plus(keep.min(RETRY)),
            Err(_) => now.plus(keep),
        };
        *kept = Some(Kept { answer: answer.clone(), until, at: now });
        answer
    }

    async fn ask(&self, token: &str, now: UnixTime) -> Result<VerifiedToken, TokenRefusal> {
        let unavailable = |why: String| {
            TokenRefusal::Unavailable(format!("the introspection of `{}`: {why}", self.endpoint))
        };
        let request = self.question(token, now);
        let request =
            request.ok_or_else(|| unavailable("this server cannot sign who it is".to_owned()))?;
        let answer = self.fetch.fetch(request).await;
        let answer = answer.map_err(|error| unavailable(error.to_string()))?;
        if answer.status != 200 {
            return Err(unavailable(FetchError::status(answer.status)));
        }
        let text =
            String::from_utf8(answer.body).map_err(|error| unavailable(error.to_string()))?;
        self.judge(&text, now)
    }

    /// The request of RFC 7662, section 2.1.
    fn question(&self, token: &str, now: UnixTime) -> Option<FetchRequest> {
        let mut request = FetchRequest::get(&*self.endpoint);
        request.method = Method::Post;
        request.most_bytes = MAX_ANSWER;
        request.headers.push(("accept".to_owned(), "application/json".to_owned()));
        let media = "application/x-www-form-urlencoded";
        request.headers.push(("content-type".to_owned(), media.to_owned()));
        let mut form = Serializer::new(String::new());
        form.append_pair("token", token).append_pair("token_type_hint", "access_token");
        self.client.show(&self.issuer.issuer, now, &mut form, &mut request.headers)?;
        request.body = form.finish().into_bytes();
        Some(request)
    }

    fn judge(&self, text: &str, now: UnixTime) -> Result<VerifiedToken, TokenRefusal> {
        let claims = Claims::parse(text)?;
        #[derive(Deserialize)]
        struct Answer {
            active: bool,
        }
        match serde_json::from_str(text) {
            Ok(Answer { active: true }) => {}
            Ok(Answer { active: false }) => return Err(TokenRefusal::Inactive),
            Err(_) => {
                let (claim, expected) = ("active", "`true` or `false`");
                return Err(TokenRefusal::Mistyped { claim, expected });
            }
        }
        if claims.get("iss").is_some() && claims.issuer()? != self.issuer.issuer {
            return Err(TokenRefusal::Issuer(super::header::shown(claims.issuer()?)));
        }
        // A refresh token is active too, and is no access token.
        if let Some(kind) = claims.text("token_type")?
            && !["bearer", "dpop", "access_token"].iter().any(|one| kind.eq_ignore_ascii_case(one))
        {
            let (found, expected) = (super::header::shown(kind), "an access token".to_owned());
            return Err(TokenRefusal::Type { found, expected });
        }
        claims.judge(text, &self.issuer, Source::Introspection, now, 0)
    }
}

impl VerifyToken for Introspection {
    fn verify<'a>(
        &'a self,
        token: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<VerifiedToken, TokenRefusal>> {
        Box::pin(self.0.verify(token, now))
    }

    fn issuers(&self) -> Vec<String> {
        vec![self.0.issuer.issuer.clone()]
    }

    fn keep(&self) -> u64 {
        // It keeps them itself.
        0
    }
}

impl std::fmt::Debug for Introspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introspection")
            .field("issuer", &self.0.issuer.issuer)
            .field("endpoint", &self.0.endpoint)
            .field("client", &self.0.client)
            .finish_non_exhaustive()
    }
}
