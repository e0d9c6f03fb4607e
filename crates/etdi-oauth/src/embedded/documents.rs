//! Client id metadata documents: clients whose id is the URL of what they say about themselves.

use std::sync::{Arc, Mutex as Lock, PoisonError};

use etdi_core::ijson::{Document, Limits, Value};
use etdi_core::time::UnixTime;
use tokio::sync::Mutex;
use url::Url;

use super::bucket::Bucket;
use super::client::{Client, Source};
use super::server::ServerError;
use crate::shelf::Shelf;
use crate::{Fetch, FetchRequest};

/// Documents, fetched through a guarded fetcher and kept.
pub(super) struct Documents {
    fetch: Arc<dyn Fetch>,
    kept: Lock<Shelf<String, Arc<Mutex<Option<Kept>>>>>,
    /// Anybody can name a URL, so that they are counted.
    fetches: Bucket,
}

#[derive(Clone)]
struct Kept {
    read: Result<Client, String>,
    until: UnixTime,
}

/// What a document may have of bytes: the draft's recommendation (section 6.6).
const MOST_BYTES: usize = 5 << 10;
const MOST_KEPT: usize = 256;

/// How long a document is kept that does not say, at least and at most; and one that is none, in
/// seconds.
const FRESH: u64 = 3_600;
const BOUNDS: (u64, u64) = (60, 86_400);
const WRONG: u64 = 60;

const PER_MINUTE: u32 = 60;

impl Documents {
    pub(super) fn new(fetch: Arc<dyn Fetch>) -> Self {
        let kept = Lock::new(Shelf::new(MOST_KEPT));
        Self { fetch, kept, fetches: Bucket::per_minute(PER_MINUTE) }
    }

    /// The client at a URL.
    pub(super) async fn client(&self, id: &str, now: UnixTime) -> Result<Client, ServerError> {
        if !may_be_id(id) {
            let why = "its URL needs `https`, a path in plain spelling, and no fragment or user";
            return Err(ServerError::Client(why.to_owned()));
        }
        let place = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&id.to_owned());
        // Whoever comes while it is fetched waits here, and finds it fetched.
        let mut place = place.lock().await;
        let fresh = place.as_ref().filter(|kept| now < kept.until);
        let kept = match fresh {
            Some(kept) => kept.clone(),
            None => {
                if !self.fetches.take(now) {
                    return Err(ServerError::Busy);
                }
                let kept = self.fetch(id, now).await;
                *place = Some(kept.clone());
                kept
            }
        };
        kept.read.map_err(ServerError::Client)
    }

    async fn fetch(&self, id: &str, now: UnixTime) -> Kept {
        let mut request = FetchRequest::get(id);
        request.most_bytes = MOST_BYTES;
        request.headers.push(("accept".to_owned(), "application/json".to_owned()));
        let wrong = |why: &str| Kept { read: Err(why.to_owned()), until: now.plus(WRONG) };
        // What the fetcher met on its way is not for whoever named the URL (section 6.5).
        let Ok(answer) = self.fetch.fetch(request).await else {
            return wrong("it cannot be fetched");
        };
        let kind = answer.header("content-type").unwrap_or("application/json");
        let json = kind.split(';').next().is_some_and(|kind| {
            let kind = kind.trim();
            kind.eq_ignore_ascii_case("application/json") || kind.ends_with("+json")
        });
        if answer.status != 200 || !json {
            return wrong("it is not answered with status 200 and JSON");
        }
        let age = answer.header("cache-control").and_then(max_age).unwrap_or(FRESH);
        match read(id, &answer.body) {
            Ok(client) => Kept { read: Ok(client), until: now.plus(age.clamp(BOUNDS.0, BOUNDS.1)) },
            Err(why) => wrong(&why),
        }
    }
}

fn read(id: &str, body: &[u8]) -> Result<Client, String> {
    let text = std::str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
    let document = Document::parse(text, Limits::STATEMENT);
    let document = document.map_err(|_| "it is not strict JSON".to_owned())?;
    let root = document.root();
    let member = |name| root.get(name).and_then(Value::as_str);
    if member("client_id") != Some(id) {
        return Err("its `client_id` is not its URL".to_owned());
    }
    if member("client_name").is_none_or(str::is_empty) {
        return Err("its `client_name` is missing".to_owned());
    }
    if root.get("client_secret").is_some() || root.get("client_secret_expires_at").is_some() {
        return Err("it holds a secret, which is none any more".to_owned());
    }
    Client::read(id.to_owned(), root, None, Source::Document).map_err(|error| error.to_string())
}

/// Whether a URL may be the id of a client (section 3 of the draft).
fn may_be_id(id: &str) -> bool {
    let Ok(url) = Url::parse(id) else { return false };
    let bare = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    id.len() <= 2_048 && url.as_str() == id && url.scheme() == "https" && bare && url.path() != "/"
}

fn max_age(header: &str) -> Option<u64> {
    let mut directives = header.split(',').map(str::trim);
    if header.contains("no-store") || header.contains("no-cache") {
        return Some(0);
    }
    directives.find_map(|one| one.strip_prefix("max-age=")?.parse().ok())
}
