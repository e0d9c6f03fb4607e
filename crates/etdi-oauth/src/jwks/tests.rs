//! Rotation without a failed call, made-up names, outages, one fetch for all who wait.

use etdi_core::key::{Algorithm, KeyRing, SigningKey};

use super::*;
use crate::scripted::Scripted;

const URL: &str = "https://acme.example/jwks";
const NOW: UnixTime = UnixTime(1_767_323_045);
const OURS: AllowList = AllowList::STATEMENTS;

fn key() -> VerifyingKey {
    SigningKey::generate(Algorithm::EdDsa).unwrap().verifying_key().clone()
}

fn set(keys: &[&VerifyingKey]) -> String {
    keys.iter().map(|key| (*key).clone()).collect::<KeyRing>().to_jwks()
}

fn cache(fetch: &Arc<Scripted>) -> JwksCache {
    JwksCache::new(fetch.clone())
}

#[tokio::test]
async fn a_rotation_is_noticed_with_the_first_call() {
    let (old, new) = (key(), key());
    let fetch = Arc::new(Scripted::default());
    fetch.text(URL, set(&[&old]));
    let cache = cache(&fetch);
    let ask = |key: &VerifyingKey, now| {
        let (cache, kid) = (cache.clone(), key.id().to_string());
        async move { cache.key(URL, &kid, OURS, now).await }
    };
    assert_eq!(ask(&old, NOW).await.unwrap().key, old);
    assert_eq!(ask(&old, NOW.plus(3_599)).await.unwrap().until, NOW.plus(3_600));
    assert_eq!(fetch.asked().len(), 1);
    fetch.text(URL, set(&[&old, &new]));
    assert_eq!(ask(&new, NOW.plus(61)).await.unwrap().key, new);
    assert_eq!(fetch.asked().len(), 2);
    // What the issuer has taken back is gone with the next fetch.
    fetch.text(URL, set(&[&new]));
    let later = NOW.plus(61 + 3_600);
    assert_eq!(ask(&new, later).await.unwrap().key, new);
    assert!(matches!(ask(&old, later).await, Err(JwksError::Unknown(_))));
}

#[tokio::test]
async fn made_up_names_cost_one_fetch_a_minute() {
    let good = key();
    let fetch = Arc::new(Scripted::default());
    fetch.text(URL, set(&[&good]));
    let cache = cache(&fetch);
    for number in 0..10_000u64 {
        let now = NOW.plus(number / 100);
        let unknown = cache.key(URL, &format!("made-up-{number}"), OURS, now).await;
        assert!(matches!(unknown, Err(JwksError::Unknown(_))));
    }
    assert_eq!(fetch.asked().len(), 2, "100 seconds");
    assert!(cache.key(URL, &good.id().to_string(), OURS, NOW.plus(99)).await.is_ok());
}

#[tokio::test]
async fn an_outage_is_bridged_for_a_bounded_time() {
    let good = key();
    let kid = good.id().to_string();
    let fetch = Arc::new(Scripted::default());
    fetch.text(URL, set(&[&good]));
    let cache = cache(&fetch);
    assert!(cache.key(URL, &kid, OURS, NOW).await.is_ok());
    fetch.fails(URL);
    let stale = NOW.plus(3_600);
    let bridged = cache.key(URL, &kid, OURS, stale).await.unwrap();
    assert_eq!(bridged.until, stale.plus(60), "asked again soon");
    // Whether there is a new key cannot be told meanwhile.
    let unknown = cache.key(URL, "new", OURS, stale.plus(1)).await;
    assert!(matches!(unknown, Err(JwksError::Unavailable(_))), "{unknown:?}");
    let end = stale.plus(4 * 3_600);
    assert!(cache.key(URL, &kid, OURS, UnixTime(end.0 - 1)).await.is_ok());
    let over = cache.key(URL, &kid, OURS, end).await;
    assert!(matches!(over, Err(JwksError::Unavailable(_))), "{over:?}");
    // Back again, it counts at once, after the least interval.
    fetch.text(URL, set(&[&good]));
    assert!(cache.key(URL, &kid, OURS, end.plus(60)).await.is_ok());
}

#[tokio::test]
async fn failures_are_not_repeated_at_once() {
    let fetch = Arc::new(Scripted::default());
    let cache = cache(&fetch);
    for answer in ["fail", "{}", "[", r#"{"keys":[{"kty":"OKP","d":"x"}]}"#] {
        fetch.forget();
        match answer {
            "fail" => fetch.fails(URL),
            text => fetch.text(URL, text),
        }
        let cache = match answer {
            "fail" => cache.clone(),
            _ => JwksCache::new(fetch.clone()),
        };
        for second in 0..60 {
            let result = cache.key(URL, "x", OURS, NOW.plus(second)).await;
            assert!(matches!(result, Err(JwksError::Unavailable(_))), "{answer}");
        }
        assert_eq!(fetch.asked().len(), 1, "{answer}");
    }
}

#[tokio::test]
async fn all_who_wait_share_one_fetch() {
    let good = key();
    let fetch = Arc::new(Scripted::default());
    fetch.text(URL, set(&[&good]));
    let cache = cache(&fetch);
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (cache, kid) = (cache.clone(), good.id().to_string());
            tokio::spawn(async move { cache.key(URL, &kid, OURS, NOW).await.is_ok() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert_eq!(fetch.asked().len(), 1);
}

/// A stranger who hangs up once a minute must not keep the set from being fetched.
#[tokio::test]
async fn whoever_gives_up_ends_no_fetch() {
    let good = key();
    let kid = good.id().to_string();
    let fetch = Arc::new(Scripted::default());
    fetch.text(URL, set(&[&good]));
    let cache = cache(&fetch);
    assert!(cache.key(URL, &kid, OURS, NOW).await.is_ok());
    // The set is too old, and the one who fetches it again does not wait for the answer.
    let stale = NOW.plus(3_600);
    let given_up = tokio::select! {
        biased;
        _ = cache.key(URL, "made-up", OURS, stale) => false,
        () = std::future::ready(()) => true,
    };
    assert!(given_up);
    let next = cache.key(URL, &kid, OURS, stale.plus(1)).await.unwrap();
    assert_eq!(next.until, stale.plus(3_600), "it was fetched");
    assert_eq!(fetch.asked().len(), 2);
}

/// Answers once, and then not any more.
struct Hanging(Scripted);

impl Fetch for Hanging {
    fn fetch(
        &self,
        request: FetchRequest,
    ) -> mcp_types::BoxFuture<'_, Result<FetchResponse, FetchError>> {
        match self.0.asked().is_empty() {
            true => self.0.fetch(request),
            false => Box::pin(std::future::pending()),
        }
    }
}

#[tokio::test]
async fn nobody_waits_for_a_name_that_was_made_up() {
    let good = key();
    let kid = good.id().to_string();
    let scripted = Scripted::default();
    scripted.text(URL, set(&[&good]));
    let cache = JwksCache::new(Arc::new(Hanging(scripted)));
    assert!(cache.key(URL, &kid, OURS, NOW).await.is_ok());
    let later = NOW.plus(61);
    let stranger = cache.clone();
    let stranger = tokio::spawn(async move { stranger.key(URL, "made-up", OURS, later).await });
    tokio::task::yield_now().await;
    let patience = std::time::Duration::from_secs(5);
    let found = tokio::time::timeout(patience, cache.key(URL, &kid, OURS, later)).await;
    assert!(found.is_ok_and(|found| found.is_ok()));
    stranger.abort();
}

#[tokio::test]
async fn an_unchanged_set_is_not_sent_again() {
    let good = key();
    let kid = good.id().to_string();
    let fetch = Arc::new(Scripted::default());
    let mut answer = FetchResponse::new(200, set(&[&good]).into_bytes());
    answer.headers.push(("etag".to_owned(), "\"7\"".to_owned()));
    answer.headers.push(("cache-control".to_owned(), "public, max-age=600".to_owned()));
    fetch.says(URL, answer);
    let cache = cache(&fetch);
    assert_eq!(cache.key(URL, &kid, OURS, NOW).await.unwrap().until, NOW.plus(600));
    fetch.says(URL, FetchResponse::new(304, Vec::new()));
    assert!(cache.key(URL, &kid, OURS, NOW.plus(600)).await.is_ok());
    let sent = fetch.last().headers;
    assert!(sent.contains(&("if-none-match".to_owned(), "\"7\"".to_owned())), "{sent:?}");
    // Without a set there is nothing that could be unchanged.
    let empty = JwksCache::new(fetch.clone());
    assert!(matches!(empty.key(URL, &kid, OURS, NOW).await, Err(JwksError::Unavailable(_))));
}

#[test]
fn ages() {
    for (header, age) in [
        ("max-age=10", Some(10)),
        ("public, Max-Age=\"20\"", Some(20)),
        ("no-store, max-age=10", Some(0)),
        ("no-cache", Some(0)),
        ("max-age=-1", None),
        ("max-age=x", None),
        ("", None),
        ("s-maxage=10", None),
    ] {
        assert_eq!(max_age(header), age, "{header}");
    }
}
