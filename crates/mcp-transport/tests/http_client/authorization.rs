//! Who asks: headers that somebody gives, and challenges to which they react.

use http::{HeaderMap, HeaderValue};
use mcp_transport::http::{Authorize, Challenge, Reaction, Target, http_status};
use mcp_types::*;

use crate::server::*;
use crate::*;

/// Has a new token for each challenge.
#[derive(Default)]
struct Tokens {
    current: Mutex<u32>,
    stubborn: bool,
    /// How long somebody takes to log in.
    takes: Duration,
    nonces: Mutex<Vec<String>>,
}

impl Authorize for Tokens {
    fn authorize<'a>(
        &'a self,
        target: Target<'a>,
        headers: &'a mut HeaderMap,
    ) -> BoxFuture<'a, Result<(), ErrorObject>> {
        Box::pin(async move {
            let token = format!("Bearer t{}", self.current.lock().unwrap());
            headers.insert("authorization", HeaderValue::from_str(&token).unwrap());
            headers
                .insert("x-target", format!("{} {}", target.method, target.uri).parse().unwrap());
            Ok(())
        })
    }

    fn challenged<'a>(
        &'a self,
        challenge: Challenge<'a>,
    ) -> BoxFuture<'a, Result<Reaction, ErrorObject>> {
        Box::pin(async move {
            tokio::time::sleep(self.takes).await;
            *self.current.lock().unwrap() += 1;
            let asked = challenge.headers.get("www-authenticate");
            if asked.is_some_and(|asked| asked == "never") {
                return Err(ErrorObject::local(Origin::Refused, "the user said no"));
            }
            Ok(if self.stubborn { Reaction::GiveUp } else { Reaction::TryAgain })
        })
    }

    fn answered(&self, _: Target<'_>, headers: &HeaderMap) {
        let nonce = headers.get("x-nonce").map(|nonce| nonce.to_str().unwrap().to_owned());
        self.nonces.lock().unwrap().extend(nonce);
    }
}

async fn server(reply: impl Fn(&Heard) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |heard| match &*heard.what() {
        "POST server/discover" => Reply::result(heard, DISCOVERED).with("x-nonce", "n"),
        _ => reply(heard),
    })
    .await
}

fn authorized(url: &str, stubborn: bool) -> (HttpConnection, Arc<Tokens>) {
    let tokens = Arc::new(Tokens { stubborn, ..Tokens::default() });
    let mut options = options();
    options.headers.insert("authorization", HeaderValue::from_static("lost"));
    options.authorize = Some(tokens.clone());
    (connect_http_with(url, options).unwrap(), tokens)
}

#[tokio::test]
async fn a_challenge_that_is_met_is_not_seen_by_the_caller() {
    let server = server(|heard| match heard.header("authorization") {
        Some("Bearer t0") => Reply::empty(401).with("www-authenticate", "Bearer"),
        Some("Bearer t1") => Reply::empty(403).with("www-authenticate", "Bearer scope=\"x\""),
        _ => Reply::result(heard, DONE),
    })
    .await;
    let (connection, tokens) = authorized(&server.url, false);
    assert_eq!(said(&soon(send(&connection, tool("t"))).await), "done");
    let heard = server.heard();
    let sent: Vec<_> = heard.iter().map(|heard| heard.header("authorization").unwrap()).collect();
    assert_eq!(sent, ["Bearer t0", "Bearer t0", "Bearer t1", "Bearer t2"]);
    // The same message each time: the request was never served before.
    assert!(heard[1..].windows(2).all(|pair| pair[0].body == pair[1].body));
    assert_eq!(heard[1].header("x-target"), Some(&*format!("POST {}", server.url)));
    assert_eq!(*tokens.nonces.lock().unwrap(), ["n"]);
}

#[tokio::test]
async fn a_challenge_without_end_ends() {
    let server = server(|_| Reply::empty(401).with("www-authenticate", "Bearer")).await;
    let (connection, _) = authorized(&server.url, false);
    let answer = soon(send(&connection, tool("t"))).await;
    let (origin, text) = failed(&answer);
    assert!(origin == Origin::Connection && text.contains("401 Unauthorized"), "{text}");
    let calls = server.what().iter().filter(|what| *what == "POST tools/call").count();
    assert_eq!(calls, 4, "once, and three times again");
}

#[tokio::test]
async fn who_gives_up_is_not_asked_again_and_a_plain_403_is_no_challenge() {
    for (reply, stubborn, text) in [
        (Reply::empty(401), true, "answered 401 Unauthorized"),
        (Reply::empty(403), false, "answered 403 Forbidden"),
        (Reply::empty(401).with("www-authenticate", "never"), false, "the user said no"),
    ] {
        let server = server(move |_| reply.clone()).await;
        let (connection, _) = authorized(&server.url, stubborn);
        let answer = soon(send(&connection, tool("t"))).await;
        assert!(failed(&answer).1.contains(text), "{answer:?}");
        let status = ["401", "403"].iter().position(|status| text.contains(status));
        let expected = status.map(|at| [401, 403][at]);
        assert_eq!(answer.err().and_then(|error| http_status(&error)), expected);
        assert_eq!(server.what().len(), 2, "{text}");
    }
}

#[tokio::test]
async fn who_has_to_log_in_first_may_take_their_time() {
    for (first, era) in [(DISCOVERED, None), (SHAKEN, Some(mcp_transport::Era::Legacy))] {
        let server =
            Server::start(move |heard| match (heard.header("authorization"), &*heard.what()) {
                (Some("Bearer t0"), _) => Reply::empty(401).with("www-authenticate", "Bearer"),
                (_, "POST tools/call") => Reply::result(heard, DONE),
                (_, "POST notifications/initialized") => Reply::empty(202),
                _ => Reply::result(heard, first),
            })
            .await;
        let takes = Duration::from_millis(600);
        let mut options = options();
        options.authorize = Some(Arc::new(Tokens { takes, ..Tokens::default() }));
        options.config.era = era;
        options.config.opening_timeout = Duration::from_millis(300);
        options.config.request_timeout = Some(Duration::from_millis(300));
        let connection = connect_http_with(&server.url, options).unwrap();
        assert_eq!(said(&soon(send(&connection, tool("t"))).await), "done", "{era:?}");
    }
}
