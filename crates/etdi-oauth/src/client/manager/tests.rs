//! What is kept, what is asked again, and who is asked when somebody is away.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::*;
use crate::flow::{Dialect, RegisteredClient};
use crate::scripted::Scripted;
use crate::{Clock, FetchResponse, ServerMetadata};

const MCP: &str = "https://mcp.example";

struct World {
    fetch: Arc<Scripted>,
    now: Arc<AtomicU64>,
}

impl World {
    fn new() -> Self {
        let world = Self { fetch: Arc::default(), now: Arc::new(AtomicU64::new(1_000)) };
        for name in ["one", "two"] {
            world.gives(name, "");
        }
        world
    }

    fn url(name: &str) -> String {
        format!("https://{name}.example/token")
    }

    fn gives(&self, name: &str, more: &str) {
        let answer =
            format!(r#"{{"access_token":"{name}","token_type":"bearer","expires_in":600{more}}}"#);
        self.fetch.text(&Self::url(name), answer);
    }

    fn tokens_as(&self, client: RegisteredClient, name: &str) -> TokenManager {
        let server = json!({"issuer": client.issuer, "token_endpoint": Self::url(name)});
        let server: ServerMetadata = serde_json::from_value(server).unwrap();
        let endpoint = TokenEndpoint::new(self.fetch.clone(), server, client).unwrap();
        let now = self.now.clone();
        TokenManager::new(endpoint.clock(Clock::new(move || UnixTime(now.load(Ordering::Relaxed)))))
    }

    fn tokens(&self, name: &str) -> TokenManager {
        let issuer = format!("https://{name}.example");
        self.tokens_as(RegisteredClient::with_secret(issuer, "us", "secret"), name)
    }

    fn pass(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    fn asked(&self) -> usize {
        let count = self.fetch.asked().len();
        self.fetch.forget();
        count
    }
}

fn scopes(list: &[&str]) -> Vec<String> {
    list.iter().map(|&one| one.to_owned()).collect()
}

#[tokio::test]
async fn a_token_is_got_once_for_all() {
    let world = World::new();
    let tokens = world.tokens("one");
    let (ab, ba) = (scopes(&["a", "b"]), scopes(&["b", "a", "b"]));
    let one = || tokens.token(MCP, &ab);
    let (first, second, third) = tokio::join!(one(), one(), tokens.token(MCP, &ba));
    assert!(first.is_ok() && second.is_ok() && third.is_ok());
    assert_eq!(world.asked(), 1);
    for (resource, list) in [(MCP, &["a"][..]), (MCP, &[]), ("https://other.example", &["a", "b"])]
    {
        tokens.token(resource, &scopes(list)).await.unwrap();
        assert_eq!(world.asked(), 1, "{resource} {list:?}");
    }
    world.pass(600 - 31);
    one().await.unwrap();
    assert_eq!(world.asked(), 0);
    world.pass(1);
    one().await.unwrap();
    assert_eq!(world.asked(), 1, "it would end soon");
    tokens.revoke(MCP, &ab).await.unwrap();
    one().await.unwrap();
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn a_failure_is_not_hammered_and_a_batch_is_whole() {
    let world = World::new();
    let tokens = world.tokens("one");
    let refusal = br#"{"error":"invalid_target"}"#.to_vec();
    let wanted = [(MCP.to_owned(), vec![]), ("https://other.example".to_owned(), scopes(&["x"]))];
    assert_eq!(tokens.tokens(&wanted).await.unwrap().len(), 2);
    world.asked();
    world.pass(1_000);
    world.fetch.says(&World::url("one"), FetchResponse::new(400, refusal));
    let one = || tokens.token(MCP, &[]);
    let (first, second) = tokio::join!(one(), one());
    assert!(first.is_err() && first.unwrap_err() == second.unwrap_err());
    assert!(tokens.tokens(&wanted).await.is_err(), "no part of it");
    assert_eq!(world.asked(), 1);
    world.pass(5);
    assert!(one().await.is_err());
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn less_than_was_asked_for_is_nothing() {
    let world = World::new();
    world.gives("one", r#","scope":"a""#);
    let ab = scopes(&["a", "b"]);
    let less = world.tokens("one").token(MCP, &ab).await;
    assert!(matches!(less, Err(OAuthError::Token { .. })), "{less:?}");
    world.gives("one", r#","scope":"b a c""#);
    assert!(world.tokens("one").token(MCP, &ab).await.is_ok());
    // Where one scope stands for all that an application may do, names say nothing.
    world.gives("one", r#","scope":"api://x/.default""#);
    let dialect =
        Dialect { application_scope: Some("api://x/.default".into()), ..Dialect::default() };
    let client = RegisteredClient::with_secret("https://one.example", "us", "secret");
    assert!(world.tokens_as(client.dialect(dialect), "one").token(MCP, &ab).await.is_ok());
}

#[tokio::test]
async fn another_issuer_is_asked_where_one_is_away() {
    let world = World::new();
    let manager = OAuthManager::new()
        .provider("one", world.tokens("one"))
        .provider("two", world.tokens("two"));
    let who = async || manager.token(MCP, &[]).await.map(|(name, _)| name.to_owned());
    assert_eq!(who().await.unwrap(), "one");
    world.pass(1_000);
    for away in [None, Some(503), Some(429)] {
        match away {
            None => world.fetch.fails(&World::url("one")),
            Some(status) => {
                let body = br#"{"error":"invalid_client"}"#.to_vec();
                world.fetch.says(&World::url("one"), FetchResponse::new(status, body));
            }
        }
        world.pass(1_000);
        assert_eq!(who().await.unwrap(), "two", "{away:?}");
    }
    let health = &manager.health()[0];
    assert_eq!((health.failures, health.last.is_some()), (3, true));
    // It is back, and asked again once its time has come.
    world.gives("one", "");
    world.fetch.forget();
    assert_eq!(who().await.unwrap(), "two");
    assert_eq!(world.asked(), 0);
    world.pass(20);
    assert_eq!(who().await.unwrap(), "one");
    assert_eq!(manager.health()[0].failures, 0);
}

#[tokio::test]
async fn a_refusal_is_an_answer() {
    let world = World::new();
    let manager = OAuthManager::new()
        .provider("one", world.tokens("one"))
        .provider("two", world.tokens("two"));
    let refusal = br#"{"error":"access_denied"}"#.to_vec();
    world.fetch.says(&World::url("one"), FetchResponse::new(403, refusal));
    let refused = manager.token(MCP, &[]).await.map(drop);
    assert!(matches!(refused, Err(OAuthError::Refused { .. })), "{refused:?}");
    assert_eq!(world.fetch.asked(), [World::url("one")], "no other issuer is asked for it");
    let checked = manager.check(MCP, &[]).await;
    assert!(checked["one"].is_err() && checked["two"].is_ok());
    let source: &dyn TokenSource = &manager;
    let refused = source.token(MCP, &["a"], UnixTime(0)).await;
    assert!(matches!(refused, Err(TokenError::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn where_all_are_away_somebody_is_asked() {
    let world = World::new();
    let manager = OAuthManager::new().provider("one", world.tokens("one"));
    world.fetch.fails(&World::url("one"));
    assert!(manager.token(MCP, &[]).await.is_err());
    world.gives("one", "");
    world.pass(5);
    assert!(manager.token(MCP, &[]).await.is_ok());
    assert!(OAuthManager::new().token(MCP, &[]).await.is_err());
}
