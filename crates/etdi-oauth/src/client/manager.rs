//! Tokens of programs that act for themselves, kept and renewed; and several issuers to get them
//! from, in an order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as Lock, PoisonError};

use etdi_core::time::UnixTime;
use mcp_types::BoxFuture;
use tokio::sync::Mutex;

use crate::flow::{OAuthError, TokenEndpoint};
use crate::shelf::Shelf;
use crate::token::{TokenScheme, TokenSource, Tokens};
use crate::{AccessToken, TokenError};

/// The most tokens of one issuer that are kept.
const MOST_TOKENS: usize = 256;

/// For how many seconds a failure is not repeated, at first and at most.
const RETRY: (u64, u64) = (5, 300);

/// Gets tokens at one issuer by the client credentials grant and keeps each until shortly before
/// its end. However many ask for one at once, it is got once; a failure is not repeated within five
/// seconds. Cheap to clone; clones share what is kept.
///
/// A token is kept apart for each resource and set of scopes: none serves where another was asked
/// for.
#[derive(Clone)]
pub struct TokenManager {
    endpoint: TokenEndpoint,
    kept: Arc<Lock<Shelf<Wanted, Arc<Mutex<Slot>>>>>,
}

/// A resource, and scopes in order.
type Wanted = (String, Vec<String>);

#[derive(Default)]
struct Slot {
    tokens: Option<Tokens>,
    failed: Option<(UnixTime, OAuthError)>,
}

impl TokenManager {
    /// Keeps the tokens of one client at one issuer.
    pub fn new(endpoint: TokenEndpoint) -> Self {
        Self { endpoint, kept: Arc::new(Lock::new(Shelf::new(MOST_TOKENS))) }
    }

    fn slot(&self, resource: &str, scopes: &[String]) -> Arc<Mutex<Slot>> {
        let mut scopes = scopes.to_vec();
        scopes.sort_unstable();
        scopes.dedup();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&(resource.to_owned(), scopes))
    }

    /// A token for `resource` that holds for a while.
    ///
    /// # Errors
    ///
    /// When the issuer refuses, gives less than what was asked for, or cannot be reached.
    pub async fn token(&self, resource: &str, scopes: &[String]) -> Result<Tokens, OAuthError> {
        let slot = self.slot(resource, scopes);
        // Whoever comes while it is got waits here, and finds it.
        let mut slot = slot.lock().await;
        let now = self.endpoint.now();
        if let Some(tokens) = slot.tokens.as_ref().filter(|tokens| tokens.holds(now)) {
            return Ok(tokens.clone());
        }
        if let Some((at, error)) = &slot.failed
            && *at <= now
            && now < at.plus(RETRY.0)
        {
            return Err(error.clone());
        }
        let result = self.endpoint.client_credentials(resource, scopes).await;
        let result = result.and_then(|tokens| {
            match scopes.iter().find(|one| !tokens.scopes.contains(one)) {
                // A dialect asks by one scope for what others stand for.
                Some(missing) if self.endpoint.grants_by_name() => {
                    let why = format!("it lacks the scope `{}`", crate::web::shown(missing));
                    Err(OAuthError::Token { issuer: self.endpoint.issuer(), why })
                }
                _ => Ok(tokens),
            }
        });
        slot.failed = result.as_ref().err().map(|error| (now, error.clone()));
        slot.tokens = result.as_ref().ok().cloned();
        result
    }

    /// Tokens for several resources: all of them or none.
    ///
    /// # Errors
    ///
    /// The first failure. Nobody is left with a part, which could be taken for the whole.
    pub async fn tokens(
        &self,
        wanted: &[(String, Vec<String>)],
    ) -> Result<Vec<Tokens>, OAuthError> {
        let mut tokens = Vec::with_capacity(wanted.len());
        for (resource, scopes) in wanted {
            tokens.push(self.token(resource, scopes).await?);
        }
        Ok(tokens)
    }

    /// Forgets a token and takes it back where the issuer offers that (RFC 7009): for a server that
    /// says that it does not count any more, and at the end.
    ///
    /// # Errors
    ///
    /// When the issuer did not take it back; it is forgotten here all the same.
    pub async fn revoke(&self, resource: &str, scopes: &[String]) -> Result<(), OAuthError> {
        let slot = self.slot(resource, scopes);
        let tokens = std::mem::take(&mut *slot.lock().await).tokens;
        if let Some(tokens) = tokens {
            self.endpoint.revoke(tokens.access.expose(), "access_token").await?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for TokenManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenManager").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Several issuers to get tokens from: the first that can be reached.
///
/// Another one is asked where an issuer is away, and only then: a refusal is an answer. An issuer
/// that is away is not asked again for five seconds, then ten and so on to five minutes. Nothing here
/// verifies tokens, because there is no such thing as another issuer for a token that is there.
///
/// ```
/// use etdi_oauth::{OAuthManager, TokenManager};
///
/// # fn example(main: TokenManager, spare: TokenManager) {
/// let manager = OAuthManager::new().provider("okta", main).provider("auth0", spare);
/// assert!(manager.health().iter().all(|provider| provider.failures == 0));
/// # }
/// ```
#[derive(Debug, Default)]
pub struct OAuthManager {
    providers: Vec<Provider>,
}

#[derive(Debug)]
struct Provider {
    name: String,
    tokens: TokenManager,
    health: Lock<Health>,
}

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    until: UnixTime,
    last: Option<String>,
}

/// How an issuer does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderHealth {
    /// Its name here.
    pub name: String,
    /// How many times in a row it was away.
    pub failures: u32,
    /// Until when it is not asked.
    pub until: UnixTime,
    /// What happened last.
    pub last: Option<String>,
}

impl OAuthManager {
    /// Without any issuer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an issuer behind those that are there.
    #[must_use]
    pub fn provider(mut self, name: impl Into<String>, tokens: TokenManager) -> Self {
        self.providers.push(Provider { name: name.into(), tokens, health: Lock::default() });
        self
    }

    /// A token, and the name of the issuer that gave it.
    ///
    /// # Errors
    ///
    /// A refusal of the first that answered, or what happened to the last one when none did.
    pub async fn token(
        &self,
        resource: &str,
        scopes: &[String],
    ) -> Result<(&str, Tokens), OAuthError> {
        let mut failed = OAuthError::Setting("there is no issuer to get a token from".to_owned());
        // Where all are away the one that may be back soonest is asked all the same.
        let now = |provider: &Provider| provider.tokens.endpoint.now();
        let open = |provider: &&Provider| provider.until() <= now(provider);
        let mut chosen: Vec<&Provider> = self.providers.iter().filter(open).collect();
        if chosen.is_empty() {
            chosen.extend(self.providers.iter().min_by_key(|provider| provider.until()));
        }
        for provider in chosen {
            match provider.tokens.token(resource, scopes).await {
                Ok(tokens) => {
                    provider.note(None, now(provider));
                    return Ok((&provider.name, tokens));
                }
                Err(error) if error.is_passing() => {
                    provider.note(Some(&error), now(provider));
                    failed = error;
                }
                Err(error) => return Err(error),
            }
        }
        Err(failed)
    }

    /// How each issuer does, in their order.
    pub fn health(&self) -> Vec<ProviderHealth> {
        let health = |provider: &Provider| {
            let health = provider.health.lock().unwrap_or_else(PoisonError::into_inner);
            ProviderHealth {
                name: provider.name.clone(),
                failures: health.failures,
                until: health.until,
                last: health.last.clone(),
            }
        };
        self.providers.iter().map(health).collect()
    }

    /// Asks every issuer for a token, whatever is known of it, and says how that went.
    pub async fn check(
        &self,
        resource: &str,
        scopes: &[String],
    ) -> BTreeMap<String, Result<(), OAuthError>> {
        let mut found = BTreeMap::new();
        for provider in &self.providers {
            let result = provider.tokens.token(resource, scopes).await.map(drop);
            let error = result.as_ref().err().filter(|error| error.is_passing());
            provider.note(error, provider.tokens.endpoint.now());
            found.insert(provider.name.clone(), result);
        }
        found
    }
}

impl Provider {
    fn until(&self) -> UnixTime {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).until
    }

    fn note(&self, error: Option<&OAuthError>, now: UnixTime) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(error) = error else {
            *health = Health::default();
            return;
        };
        // Those who shared a failure count as one.
        if now < health.until {
            return;
        }
        let wait = RETRY.0.saturating_mul(1 << health.failures.min(10)).min(RETRY.1);
        health.failures = health.failures.saturating_add(1);
        health.until = now.plus(wait);
        health.last = Some(error.to_string());
    }
}

impl TokenSource for OAuthManager {
    fn token<'a>(
        &'a self,
        resource: &'a str,
        scopes: &'a [&'a str],
        _: UnixTime,
    ) -> BoxFuture<'a, Result<AccessToken, TokenError>> {
        Box::pin(async move {
            let scopes: Vec<String> = scopes.iter().map(|&scope| scope.to_owned()).collect();
            let refused = |error: OAuthError| match error {
                OAuthError::Fetch(error) => TokenError::Fetch(error),
                OAuthError::Refused { issuer, error, .. } => TokenError::Refused { issuer, error },
                error => {
                    TokenError::Refused { issuer: resource.to_owned(), error: error.to_string() }
                }
            };
            let (issuer, tokens) = self.token(resource, &scopes).await.map_err(refused)?;
            if tokens.scheme != TokenScheme::Bearer {
                let error = "the token is bound to a key, which is not handed out here".to_owned();
                return Err(TokenError::Refused { issuer: issuer.to_owned(), error });
            }
            Ok(tokens.access)
        })
    }
}

#[cfg(test)]
mod tests;
