//! A gate says who is served, before a body is read.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use mcp_transport::http::server::{HttpOptions, HttpServer, ResponseBody};
use mcp_transport::http::{Admission, Document, Gate, Refused, insufficient_scope};
use mcp_types::*;
use tower_service::Service;

use crate::common::{INITIALIZE, modern, text};

/// Lets in whoever says `now` or `later`.
struct Words;

impl Gate for Words {
    fn admit(&self, request: &Parts) -> Admission {
        let said = request.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let known = |who: &str| {
            let mut known = Extensions::new();
            known.insert(Principal::new("words", who));
            Ok(known)
        };
        match said {
            Some(b"now") => Admission::Now(known("now")),
            Some(b"later") => {
                let known = known("later");
                Admission::Later(Box::pin(async move {
                    tokio::task::yield_now().await;
                    known
                }))
            }
            Some(b"never") => Admission::Later(Box::pin(async { Err(refused()) })),
            _ => Admission::Now(Err(refused())),
        }
    }

    fn documents(&self) -> Vec<Document> {
        vec![Document::new("/.well-known/words", r#"{"words":2}"#)]
    }

    fn step_up(&self, scopes: &[String]) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("Words more=\"{}\"", scopes.join(" "))).ok()
    }
}

fn refused() -> Refused {
    let words = HeaderValue::from_static("Words");
    Refused::new(StatusCode::UNAUTHORIZED, "say a word").header(header::WWW_AUTHENTICATE, words)
}

/// Says who calls; nobody may call the tool `more`.
#[derive(Clone)]
struct Who;

impl Service<Exchange> for Who {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let who = exchange.context.extensions.get::<Principal>().map(|who| who.subject.clone());
        Box::pin(async move {
            match exchange.request {
                ClientRequest::CallTool(call) if call.name == "more" => {
                    Err(insufficient_scope("more", &["a", "b"]))
                }
                ClientRequest::CallTool(_) => text(who.unwrap_or_default()),
                _ => {
                    let found = DiscoverResult::new(ServerCapabilities::new(), Vec::new());
                    Ok(ServerResult::Discover(Box::new(found)).into())
                }
            }
        })
    }
}

fn server() -> HttpServer {
    let mut options = HttpOptions::default();
    options.gate = Some(Arc::new(Words));
    HttpServer::with(Who, options)
}

async fn read(answer: Response<ResponseBody>) -> (StatusCode, Option<String>, String) {
    let (head, mut body) = answer.into_parts();
    let mut text = Vec::new();
    while let Some(frame) =
        std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await
    {
        text.extend(frame.unwrap().into_data().unwrap());
    }
    let challenge = head.headers.get(header::WWW_AUTHENTICATE);
    let challenge = challenge.map(|value| value.to_str().unwrap().to_owned());
    (head.status, challenge, String::from_utf8(text).unwrap())
}

fn call(said: &str, tool: &str) -> Request<String> {
    let body = modern(1, "tools/call", &format!(r#""name":"{tool}","arguments":{{}}"#));
    let request = Request::post("/mcp")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", tool);
    let request = if said.is_empty() { request } else { request.header("authorization", said) };
    request.body(body).unwrap()
}

#[tokio::test]
async fn who_is_let_in_is_known_and_the_others_are_told() {
    let server = server();
    for said in ["now", "later"] {
        let (status, _, body) = read(server.serve(call(said, "who")).await.unwrap()).await;
        assert_eq!(status, 200);
        assert!(body.contains(&format!(r#""text":"{said}""#)), "{body}");
    }
    for said in ["", "never", "NOW"] {
        let (status, challenge, body) = read(server.serve(call(said, "who")).await.unwrap()).await;
        assert_eq!((status.as_u16(), challenge.as_deref()), (401, Some("Words")));
        assert!(body.contains("say a word"), "{body}");
    }
}

/// A body that must not be asked for.
struct Unread;

impl http_body::Body for Unread {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        panic!("the body of a stranger was read")
    }
}

#[tokio::test]
async fn no_body_of_a_stranger_is_read_and_no_layer_in_front_vouches_for_one() {
    for said in ["", "never"] {
        let (mut parts, _) = call(said, "who").into_parts();
        parts.extensions.insert(Principal::new("words", "now"));
        let answer = server().serve(Request::from_parts(parts, Unread)).await.unwrap();
        assert_eq!(answer.status(), 401);
    }
    let mut request = call("now", "who");
    request.extensions_mut().insert(Principal::new("a layer", "somebody"));
    let (_, _, body) = read(server().serve(request).await.unwrap()).await;
    assert!(body.contains(r#""text":"now""#), "{body}");
}

#[tokio::test]
async fn documents_are_for_everybody_on_this_host() {
    let get = |path: &str, host: &str| {
        Request::get(path).header("host", host).body(String::new()).unwrap()
    };
    let (status, _, body) =
        read(server().serve(get("/.well-known/words", "localhost")).await.unwrap()).await;
    assert_eq!((status.as_u16(), &*body), (200, r#"{"words":2}"#));
    let foreign = server().serve(get("/.well-known/words", "evil.example")).await.unwrap();
    assert_eq!(foreign.status(), 403);
    let other = server().serve(get("/.well-known/other", "localhost")).await.unwrap();
    assert_eq!(other.status(), 401);
}

#[tokio::test]
async fn a_browser_asks_beforehand_without_credentials() {
    let mut options = HttpOptions::default().allow_origin("https://app.example");
    options.gate = Some(Arc::new(Words));
    let server = HttpServer::with(Who, options);
    let ask = |origin: &str| {
        Request::options("/mcp")
            .header("host", "localhost")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization")
            .body(String::new())
            .unwrap()
    };
    let answer = server.serve(ask("https://app.example")).await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.headers()["access-control-allow-headers"], "authorization");
    assert_eq!(server.serve(ask("https://evil.example")).await.unwrap().status(), 403);
    let mut refused = call("", "who");
    refused.headers_mut().insert("origin", HeaderValue::from_static("https://app.example"));
    let answer = server.serve(refused).await.unwrap();
    let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap();
    assert!(answer.status() == 401 && exposed.contains("WWW-Authenticate"), "{exposed}");
}

#[tokio::test]
async fn a_call_that_lacks_scopes_is_challenged_in_both_eras() {
    let server = server();
    let (status, challenge, body) = read(server.serve(call("now", "more")).await.unwrap()).await;
    assert_eq!((status.as_u16(), challenge.as_deref()), (403, Some("Words more=\"a b\"")));
    assert!(body.contains(r#""requiredScopes":["a","b"]"#), "{body}");

    let old = |session: Option<&str>, said: &str, body: &str| {
        let request = Request::post("/mcp")
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("authorization", said)
            .header("accept", "application/json, text/event-stream");
        let request = match session {
            Some(id) => request.header("mcp-session-id", id),
            None => request,
        };
        request.body(body.to_owned()).unwrap()
    };
    let begun = server.serve(old(None, "now", INITIALIZE)).await.unwrap();
    let id = begun.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    let more = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"more"}}"#;
    let answer = server.serve(old(Some(&id), "now", more)).await.unwrap();
    let (status, challenge, _) = read(answer).await;
    assert_eq!((status.as_u16(), challenge.as_deref()), (403, Some("Words more=\"a b\"")));
    // The session is of whom the gate let in.
    let answer = server.serve(old(Some(&id), "later", more)).await.unwrap();
    assert_eq!(answer.status(), 404);
    assert_eq!(server.serve(old(Some(&id), "", more)).await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_browser_that_asks_beforehand_needs_no_word() {
    let request = Request::options("/mcp").header("host", "localhost").body(String::new()).unwrap();
    let answer = server().call(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(answer.headers().contains_key(header::ALLOW), "{:?}", answer.headers());
}
