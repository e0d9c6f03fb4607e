//! Where an issuer's keys are, by the metadata that it publishes (RFC 8414, OpenID Connect Discovery).

use std::sync::{Arc, Mutex as Lock, PoisonError};

use etdi_core::ijson::{Document, Limits, Value};
use etdi_core::time::UnixTime;
use tokio::sync::Mutex;

use super::is_secure;
use crate::shelf::Shelf;
use crate::{Fetch, FetchError, FetchRequest};

/// The most bytes of a document.
const MAX_DOCUMENT: usize = 128 << 10;

/// For how many seconds a place counts, and a failure is not repeated.
const FRESH: u64 = 3_600;
const RETRY: u64 = 60;

/// The most issuers.
const MAX_ISSUERS: usize = 4_096;

/// Places of keys by issuer. Clones share what is kept.
#[derive(Clone)]
pub(super) struct Places {
    fetch: Arc<dyn Fetch>,
    known: Arc<Lock<Shelf<String, Arc<Mutex<Known>>>>>,
}

#[derive(Default)]
struct Known {
    place: Option<String>,
    failed: String,
    /// When it may be looked up again.
    next: UnixTime,
    at: UnixTime,
}

impl Places {
    pub(super) fn new(fetch: Arc<dyn Fetch>) -> Self {
        Self { fetch, known: Arc::new(Lock::new(Shelf::new(MAX_ISSUERS))) }
    }

    /// Where the keys of `issuer` are. One that was found before counts while the issuer cannot be
    /// reached; whoever comes while it is looked up waits.
    pub(super) async fn of(&self, issuer: &str, now: UnixTime) -> Result<String, String> {
        let place = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&issuer.to_owned())
        };
        let mut known = place.lock().await;
        if !(known.at <= now && now < known.next) {
            let found = self.look_up(issuer).await;
            known.at = now;
            known.next = now.plus(if found.is_ok() { FRESH } else { RETRY });
            match found {
                Ok(place) => known.place = Some(place),
                Err(why) => known.failed = why,
            }
        }
        known.place.clone().ok_or_else(|| known.failed.clone())
    }

    async fn look_up(&self, issuer: &str) -> Result<String, String> {
        let mut failed = format!("`{issuer}` publishes no metadata");
        for url in documents(issuer) {
            match self.read(&url, issuer).await {
                Ok(Some(place)) => return Ok(place),
                Ok(None) => {}
                // Another document may do; if none does, this is why.
                Err(why) => failed = format!("`{url}`: {why}"),
            }
        }
        Err(failed)
    }

    /// What one document names; `None` where there is none.
    async fn read(&self, url: &str, issuer: &str) -> Result<Option<String>, String> {
        let mut request = FetchRequest::get(url);
        request.headers.push(("accept".to_owned(), "application/json".to_owned()));
        request.most_bytes = MAX_DOCUMENT;
        let answer = self.fetch.fetch(request).await.map_err(|error| error.to_string())?;
        match answer.status {
            200 => {}
            404 | 410 => return Ok(None),
            status => return Err(FetchError::status(status)),
        }
        let text = std::str::from_utf8(&answer.body).map_err(|error| error.to_string())?;
        let document =
            Document::parse(text, Limits::STATEMENT).map_err(|error| error.to_string())?;
        let member = |name| document.root().get(name).and_then(Value::as_str);
        // RFC 8414, section 3.3: byte for byte.
        if member("issuer") != Some(issuer) {
            return Err("it is about another issuer".to_owned());
        }
        let place = member("jwks_uri").ok_or("it names no `jwks_uri`")?;
        match url::Url::parse(place).is_ok_and(|url| is_secure(&url)) {
            true => Ok(Some(place.to_owned())),
            false => Err("its `jwks_uri` is neither https nor of this machine".to_owned()),
        }
    }
}

/// Where an issuer's metadata may be, in the order of the specification (2026-07-28, "Authorization
/// Server Metadata Discovery").
fn documents(issuer: &str) -> Vec<String> {
    const OPENID: &str = "/.well-known/openid-configuration";
    let start = issuer.find("://").map_or(0, |at| at + 3);
    let end = issuer.get(start..).and_then(|rest| rest.find('/')).map(|at| start + at);
    let (origin, path) = issuer.split_at(end.unwrap_or(issuer.len()));
    let path = path.trim_end_matches('/');
    let mut documents = vec![
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}{OPENID}{path}"),
    ];
    if !path.is_empty() {
        documents.push(format!("{origin}{path}{OPENID}"));
    }
    documents
}
