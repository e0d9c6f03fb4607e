//! Users who log in elsewhere: with Google, GitHub or a company's own provider, which says who they
//! are. What this server then issues is its own.
//!
//! The order is what makes it safe. The user is asked about the client on our own page, every time,
//! because the provider knows one client only, this server, and asks about that one once for all
//! (2026-07-28, "Confused Deputy Problem"). Only a yes makes a `state`; it is good once, in the
//! browser that said yes, for the provider it was made for, at a redirect URI of that provider's own
//! (RFC 9700, section 4.4). What the provider gives is looked at here and forgotten: no client ever
//! sees a token of it.

use std::sync::{Arc, Mutex as Lock, PoisonError};

use etdi_core::time::UnixTime;
use tokio::sync::Mutex;
use url::form_urlencoded;

use super::bucket::Bucket;
use super::refusal::Refusal;
use super::seal::{random, sha256};
use super::server::{AuthorizationRequest, Return, ServerError, Verdict, Visit};
use super::settings::Settings;
use crate::flow::{self, OAuthError, TokenEndpoint};
use crate::{Clock, Fetch, IdTokenVerifier, ServerMetadata};

mod allowed;
mod pending;
mod provider;

pub use allowed::{Admit, Allowed, UpstreamUser};
pub use provider::{Upstream, UpstreamError};

use pending::{Begun, Pending};
use provider::Kind;

/// How long a provider's metadata counts, in seconds.
const FRESH: u64 = 3_600;

/// How many logins are begun in a minute, by all together.
const PER_MINUTE: u32 = 600;

/// The providers with which users log in, and the logins that are on their way. Those end with the
/// process, ten minutes after they began, or when so many others were begun since.
///
/// ```
/// use std::sync::Arc;
///
/// use etdi_oauth::embedded::{Allowed, Upstream, Upstreams};
/// use etdi_oauth::{GuardedFetch, Rules};
///
/// let upstreams = Upstreams::new(Arc::new(GuardedFetch::new(Rules::default())))
///     .with(Upstream::google("client-id", "client-secret", Allowed::only().domain("acme.example")))?
///     .with(Upstream::github("client-id", "client-secret", Allowed::only().id("583231")))?;
///
/// // Everybody has an account with Google, so nobody is let in who was not named.
/// let nobody = Upstream::google("client-id", "client-secret", Allowed::only());
/// assert!(upstreams.with(nobody).is_err());
/// # Ok::<(), etdi_oauth::embedded::UpstreamError>(())
/// ```
pub struct Upstreams {
    fetch: Arc<dyn Fetch>,
    all: Vec<Ready>,
    pending: Lock<Pending>,
    begun: Bucket,
}

struct Ready {
    upstream: Upstream,
    /// Of an OpenID provider.
    verifier: Option<IdTokenVerifier>,
    /// What it published, and until when that counts.
    known: Mutex<Option<(ServerMetadata, UnixTime)>>,
}

/// A login that is over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoggedIn {
    /// The id of the client that the user agreed to.
    pub client: String,
    /// What the user agreed to.
    pub request: AuthorizationRequest,
    /// Who the user is, or why there is nobody.
    pub user: Result<UpstreamUser, Refusal>,
}

impl Upstreams {
    /// None yet. What providers publish and give comes through `fetch`, which has to be a guarded
    /// one.
    pub fn new(fetch: Arc<dyn Fetch>) -> Self {
        let (all, pending) = (Vec::new(), Lock::new(Pending::default()));
        Self { fetch, all, pending, begun: Bucket::per_minute(PER_MINUTE) }
    }

    /// Adds a provider. The user is sent back to `/callback/` and its name, below the issuer; that is
    /// the URI to register with it.
    ///
    /// # Errors
    ///
    /// When its name or issuer is there already or cannot be one, or nobody may log in with it.
    pub fn with(mut self, upstream: Upstream) -> Result<Self, UpstreamError> {
        upstream.check()?;
        let same = |one: &Ready| {
            one.upstream.name == upstream.name || one.upstream.issuer() == upstream.issuer()
        };
        if self.all.iter().any(same) {
            return Err(UpstreamError::Twice(upstream.name));
        }
        let verifier = upstream.verifier(&self.fetch)?;
        self.all.push(Ready { upstream, verifier, known: Mutex::default() });
        Ok(self)
    }

    /// The providers, each with its name in URLs and the one for people.
    pub fn offered(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all.iter().map(|one| (&*one.upstream.name, &*one.upstream.label))
    }

    fn named(&self, name: &str) -> Option<&Ready> {
        self.all.iter().find(|one| one.upstream.name == name)
    }

    fn pending<T>(&self, work: impl FnOnce(&mut Pending) -> T) -> T {
        work(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends a user to a provider who has just agreed to what the visit is about. To be called after
    /// that was asked, and never before: the provider asks about no client of ours.
    ///
    /// # Errors
    ///
    /// When there is no randomness, or more logins are begun than are taken.
    pub async fn begin(
        &self,
        name: &str,
        visit: &Visit<'_>,
        settings: &Settings,
        now: UnixTime,
    ) -> Result<Verdict, ServerError> {
        let (Some(ready), Some(cookie)) = (self.named(name), visit.cookie) else {
            return Ok(Verdict::Stale);
        };
        if !self.begun.take(now) {
            return Err(ServerError::Full);
        }
        let upstream = &ready.upstream;
        let server = match ready.metadata(&*self.fetch, now).await {
            Ok(server) => server,
            Err(error) => return Ok(Verdict::Refused(upstream.failed(&error))),
        };
        let back = settings.endpoint(&format!("/callback/{name}"));
        let asked =
            flow::AuthorizationRequest::new(&server, &upstream.client, &back, "", &upstream.scopes);
        let asked = match asked {
            Ok(asked) => asked,
            Err(error) => return Ok(Verdict::Refused(upstream.failed(&error))),
        };
        let nonce = random()?;
        let asked = match upstream.kind {
            Kind::OpenId { .. } => asked.with("nonce", &nonce),
            Kind::GitHub { .. } => asked,
        };
        let url = asked.url().as_str().to_owned();
        let state = sha256(asked.url().state().expose());
        let begun = Begun {
            upstream: upstream.name.clone(),
            browser: sha256(cookie),
            client: visit.client.id.clone(),
            request: visit.request.clone(),
            asked,
            nonce,
        };
        self.pending(|pending| pending.put(state, begun, now));
        Ok(Verdict::Elsewhere(url))
    }

    /// Takes a user back. `None` where no login of this browser with this provider is on its way.
    pub async fn finish(&self, back: &Return<'_>, now: UnixTime) -> Option<LoggedIn> {
        let ready = self.named(back.upstream)?;
        let mut pairs = form_urlencoded::parse(back.query.as_bytes());
        let (_, state) = pairs.find(|(name, _)| name == "state")?;
        let browser = sha256(back.cookie?);
        let of_this = |begun: &Begun| begun.upstream == back.upstream && begun.browser == browser;
        let begun = self.pending(|pending| pending.take(&sha256(&state), of_this, now))?;
        let user = match ready.user(&self.fetch, &begun, back.query, now).await {
            Ok(user) if ready.upstream.allowed.admits(&user).await => Ok(user),
            Ok(_) => Err(Refusal::Unlisted),
            Err(refusal) => Err(refusal),
        };
        Some(LoggedIn { client: begun.client, request: begun.request, user })
    }
}

impl Ready {
    /// What the provider publishes. Who waits for it waits together.
    async fn metadata(
        &self,
        fetch: &dyn Fetch,
        now: UnixTime,
    ) -> Result<ServerMetadata, OAuthError> {
        if let Kind::GitHub { server, .. } = &self.upstream.kind {
            return Ok(ServerMetadata::clone(server));
        }
        let mut known = self.known.lock().await;
        if let Some((server, _)) = known.as_ref().filter(|(_, until)| now < *until) {
            return Ok(server.clone());
        }
        let (issuer, loopback) = (self.upstream.issuer(), self.upstream.is_here());
        let server = ServerMetadata::find(fetch, issuer, loopback).await?;
        *known = Some((server.clone(), now.plus(FRESH)));
        Ok(server)
    }

    /// Who logged in, by what the provider answers.
    async fn user(
        &self,
        fetch: &Arc<dyn Fetch>,
        begun: &Begun,
        query: &str,
        now: UnixTime,
    ) -> Result<UpstreamUser, Refusal> {
        let upstream = &self.upstream;
        let failed = |error: OAuthError| match &error {
            OAuthError::Denied { error: said, .. } if said.starts_with("access_denied") => {
                Refusal::Denied
            }
            error => upstream.failed(error),
        };
        let code = begun.asked.code(query).map_err(failed)?;
        let server = self.metadata(&**fetch, now).await.map_err(failed)?;
        let endpoint = TokenEndpoint::new(fetch.clone(), server, upstream.client.clone());
        let endpoint = endpoint.map_err(failed)?.clock(Clock::new(move || now));
        let tokens = endpoint.authorization_code(&begun.asked, &code).await.map_err(failed)?;
        match &self.verifier {
            Some(verifier) => {
                let missing = || upstream.failed(&"it gave no ID token");
                let token = tokens.id_token.ok_or_else(missing)?;
                let (nonce, access) = (Some(&*begun.nonce), Some(&tokens.access));
                let token = verifier.verify(token.expose(), nonce, access, now).await;
                token
                    .map_err(|refusal| upstream.failed(&refusal))
                    .map(|token| upstream.of_token(token))
            }
            None => {
                let user = upstream.of_account(&**fetch, &tokens.access).await;
                user.map_err(|why| upstream.failed(&why))
            }
        }
    }
}

impl std::fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.offered().map(|(name, _)| name)).finish()
    }
}
