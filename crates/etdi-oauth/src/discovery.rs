//! Where an issuer's keys are, and what it revoked: found by what it publishes at its own origin.
//!
//! In this order: `jwks_uri` of the protected resource metadata (RFC 9728) of the servers of that
//! origin that are dialled; of the metadata of an authorization server (RFC 8414, OpenID Connect),
//! where the issuer is one; of `/.well-known/etdi-configuration`, for publishers who operate
//! neither. A key that one of them does not have is looked for in the next. Nothing but what comes
//! over HTTPS from the issuer's own origin says where its keys are, and each document names whom it
//! is about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex as Lock, PoisonError};

use etdi_core::identity::{ProviderId, ServerIdentity};
use etdi_core::ijson::{Document, Limits, Value};
use etdi_core::key::AllowList;
use etdi_core::key_source::{FoundKey, KeySource, KeySourceError};
use etdi_core::proof::Trust;
use etdi_core::revocation::RevocationSource;
use etdi_core::time::UnixTime;
use mcp_types::BoxFuture;
use tokio::sync::Mutex;

use crate::jwks::max_age;
use crate::shelf::Shelf;
use crate::{Fetch, FetchError, FetchRequest, JwksCache, JwksError};

/// How long metadata counts that does not say so, and the bounds of what it can say, in seconds.
const FRESH: u64 = 3_600;
const FRESH_BOUNDS: (u64, u64) = (300, 86_400);

/// For how many seconds a failure is not repeated.
const RETRY: u64 = 60;

/// The most issuers whose metadata is kept.
const MAX_ISSUERS: usize = 256;

/// The most bytes of a document, and of a revocation list.
const MAX_METADATA: usize = 128 << 10;
const MAX_LIST: usize = 512 << 10;

const ETDI: &str = "/.well-known/etdi-configuration";
const AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";
const PROTECTED_RESOURCE: &str = "/.well-known/oauth-protected-resource";

/// Finds keys and revocation lists of issuers that are HTTPS origins. Cheap to clone; clones share
/// what is kept.
///
/// ```
/// use std::sync::Arc;
///
/// use etdi_core::key_source::{InOrder, IssuerKeys, KeySource, PinnedKeys};
/// use etdi_oauth::{Discovery, GuardedFetch, Rules};
///
/// let discovery = Discovery::new(Arc::new(GuardedFetch::new(Rules::default())));
/// let sources: [Arc<dyn KeySource>; 2] = [Arc::new(PinnedKeys::new()), Arc::new(discovery)];
/// // Given to the verifier after the anchors of the configuration.
/// let keys = IssuerKeys::new(Arc::new(InOrder::new(sources)));
/// ```
#[derive(Clone)]
pub struct Discovery {
    fetch: Arc<dyn Fetch>,
    jwks: JwksCache,
    resources: Arc<Lock<BTreeMap<String, BTreeSet<String>>>>,
    identity_providers: BTreeSet<ProviderId>,
    issuers: Arc<Lock<Shelf<ProviderId, Arc<Mutex<Metadata>>>>>,
}

/// What is known of one issuer.
#[derive(Clone, Debug, Default)]
struct Metadata {
    documents: BTreeMap<String, Kept>,
}

/// One document as it was fetched last.
#[derive(Clone, Debug)]
struct Kept {
    answer: Answer,
    at: UnixTime,
    until: UnixTime,
}

/// A document that names its keys, or what came in its place.
type Answer = Result<Option<Named>, String>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Named {
    jwks_uri: Option<String>,
    revocations_uri: Option<String>,
}

impl Discovery {
    /// Fetches through `fetch`, which must be a guarded one: peers name issuers.
    pub fn new(fetch: Arc<dyn Fetch>) -> Self {
        let jwks = JwksCache::new(fetch.clone());
        Self {
            fetch,
            jwks,
            resources: Arc::default(),
            identity_providers: BTreeSet::new(),
            issuers: Arc::new(Lock::new(Shelf::new(MAX_ISSUERS))),
        }
    }

    /// Keeps key sets elsewhere, or with other times.
    #[must_use]
    pub fn jwks(mut self, cache: JwksCache) -> Self {
        self.jwks = cache;
        self
    }

    /// Lets an identity provider sign with RS256 and PS256.
    #[must_use]
    pub fn identity_provider(mut self, issuer: ProviderId) -> Self {
        self.identity_providers.insert(issuer);
        self
    }

    /// The identity providers that were named.
    pub fn identity_providers(&self) -> impl Iterator<Item = &ProviderId> {
        self.identity_providers.iter()
    }

    /// Says that a server is dialled: its protected resource metadata may say where the keys of its
    /// origin are. Whatever is no HTTPS URL is left out.
    pub fn resource(&self, server: &ServerIdentity) {
        if let ServerIdentity::Url(url) = server
            && let Some(origin) = origin(url)
        {
            let mut resources = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
            if resources.len() < MAX_ISSUERS {
                resources.entry(origin.to_owned()).or_default().insert(url.to_string());
            }
        }
    }

    /// The documents that may name an issuer's keys, each with the member that says whom it is about
    /// and what that must be.
    fn documents(&self, issuer: &str) -> Vec<(String, &'static str, String)> {
        let resources = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
        let own = resources.get(issuer).into_iter().flatten().take(8);
        let resources = own.map(|url| {
            // RFC 9728, section 3.1: between the host and the path.
            let path = url.strip_prefix(issuer).unwrap_or_default().trim_end_matches('/');
            (format!("{issuer}{PROTECTED_RESOURCE}{path}"), "resource", url.clone())
        });
        let others = [AUTHORIZATION_SERVER, OPENID, ETDI];
        let others = others.map(|path| (format!("{issuer}{path}"), "issuer", issuer.to_owned()));
        resources.chain(others).collect()
    }

    fn metadata(&self, issuer: &ProviderId) -> Arc<Mutex<Metadata>> {
        self.issuers.lock().unwrap_or_else(PoisonError::into_inner).get(issuer)
    }

    /// One document, from what is kept where that counts and is no older than `most` seconds.
    /// Whoever comes while it is fetched waits.
    async fn document(
        &self,
        issuer: &ProviderId,
        (url, member, expected): (String, &'static str, String),
        most: u64,
        now: UnixTime,
    ) -> Answer {
        let metadata = self.metadata(issuer);
        let mut metadata = metadata.lock().await;
        if let Some(kept) = metadata.documents.get(&url)
            && now < kept.until
            && now < kept.at.plus(most)
        {
            return kept.answer.clone();
        }
        let (answer, age) = self.fetch_document(&url, member, &expected).await;
        let kept = Kept { answer: answer.clone(), at: now, until: now.plus(age) };
        metadata.documents.insert(url, kept);
        answer
    }

    async fn fetch_document(&self, url: &str, member: &str, expected: &str) -> (Answer, u64) {
        let mut request = FetchRequest::get(url);
        request.headers.push(("accept".to_owned(), "application/json".to_owned()));
        request.most_bytes = MAX_METADATA;
        let failed = |why: String| (Err(format!("`{url}`: {why}")), RETRY);
        let answer = match self.fetch.fetch(request).await {
            Ok(answer) => answer,
            Err(error) => return (Err(error.to_string()), RETRY),
        };
        match answer.status {
            200 => {}
            404 | 410 => return (Ok(None), FRESH),
            status => return failed(FetchError::status(status)),
        }
        let said = answer.header("cache-control").and_then(max_age).unwrap_or(FRESH);
        match std::str::from_utf8(&answer.body).map(|text| named(text, member, expected)) {
            Ok(Ok(named)) => (Ok(Some(named)), said.clamp(FRESH_BOUNDS.0, FRESH_BOUNDS.1)),
            Ok(Err(why)) => failed(why),
            Err(error) => failed(error.to_string()),
        }
    }
}

impl KeySource for Discovery {
    fn key<'a>(
        &'a self,
        issuer: &'a ProviderId,
        kid: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<FoundKey, KeySourceError>> {
        Box::pin(async move {
            let mut answer = KeySourceError::unknown(issuer, kid);
            if issuer.key().is_some() {
                return Err(answer);
            }
            let unavailable = |why| KeySourceError::Unavailable { issuer: issuer.clone(), why };
            let allowed = match self.identity_providers.contains(issuer) {
                true => AllowList::IDENTITY_PROVIDER,
                false => AllowList::STATEMENTS,
            };
            let mut asked = BTreeSet::new();
            for document in self.documents(issuer.as_str()) {
                let url = match self.document(issuer, document, FRESH_BOUNDS.1, now).await {
                    Ok(Some(Named { jwks_uri: Some(url), .. })) => url,
                    Ok(_) => continue,
                    Err(why) => {
                        answer = answer.or(unavailable(why));
                        continue;
                    }
                };
                if !asked.insert(url.clone()) {
                    continue;
                }
                match self.jwks.key(&url, kid, allowed, now).await {
                    Ok(found) => {
                        return Ok(FoundKey::new(found.key, Trust::Issuer).until(found.until));
                    }
                    Err(JwksError::Unknown(_)) => {}
                    Err(JwksError::Unavailable(why)) => answer = answer.or(unavailable(why)),
                }
            }
            Err(answer)
        })
    }
}

impl RevocationSource for Discovery {
    fn list<'a>(
        &'a self,
        issuer: &'a ProviderId,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(async move {
            if issuer.key().is_some() {
                return Ok(None);
            }
            let about = issuer.as_str().to_owned();
            let document = (format!("{about}{ETDI}"), "issuer", about);
            let found = self.document(issuer, document.clone(), FRESH_BOUNDS.1, now).await?;
            let url = match found.and_then(|named| named.revocations_uri) {
                Some(url) => Some(url),
                // That there is no list is news as well, and must not be old.
                None => {
                    let found = self.document(issuer, document, RETRY, now).await?;
                    found.and_then(|named| named.revocations_uri)
                }
            };
            let Some(url) = url else { return Ok(None) };
            let mut request = FetchRequest::get(&url);
            request.headers.push(("cache-control".to_owned(), "no-cache".to_owned()));
            request.most_bytes = MAX_LIST;
            let answer = self.fetch.fetch(request).await.map_err(|error| error.to_string())?;
            match (answer.status, String::from_utf8(answer.body)) {
                (200, Ok(text)) => Ok(Some(text.trim().to_owned())),
                (200, Err(_)) => Err(format!("`{url}`: the list is not UTF-8")),
                (status, _) => Err(format!("`{url}`: {}", FetchError::status(status))),
            }
        })
    }
}

impl std::fmt::Debug for Discovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Discovery")
            .field("identity_providers", &self.identity_providers)
            .finish_non_exhaustive()
    }
}

/// `https://host:port` of an HTTPS URL that is in its plain spelling.
fn origin(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://")?;
    let end = rest.find('/').unwrap_or(rest.len());
    url.get(..url.len() - rest.len() + end)
}

/// What a document names, once it is about whom it must be.
fn named(text: &str, member: &str, expected: &str) -> Result<Named, String> {
    let limits = Limits { bytes: MAX_METADATA, ..Limits::STATEMENT };
    let document = Document::parse(text, limits).map_err(|error| error.to_string())?;
    let root = document.root();
    let about = root.get(member).and_then(Value::as_str);
    let about = about.ok_or_else(|| format!("it has no `{member}`"))?;
    // An identity provider may write its origin with a slash behind; nothing else is alike.
    if about != expected && about.strip_suffix('/') != Some(expected) {
        return Err(format!("it is about `{}`, not about `{expected}`", about.escape_debug()));
    }
    let url = |name: &str| match root.get(name) {
        None => Ok(None),
        Some(value) => match value.as_str().filter(|url| url.starts_with("https://")) {
            Some(url) => Ok(Some(url.to_owned())),
            None => Err(format!("its `{name}` is no HTTPS URL")),
        },
    };
    Ok(Named { jwks_uri: url("jwks_uri")?, revocations_uri: url("revocations_uri")? })
}

#[cfg(test)]
mod tests;
