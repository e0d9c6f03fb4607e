//! T25: somebody who learned the id of another user's session uses it.

use std::pin::Pin;

use axum::body::{Body, HttpBody};
use axum::http::Request;
use mcp_server::{server, tool};
use mcp_transport::http::server::{HttpOptions, HttpServer};
use mcp_types::Principal;

/// Says what only the user should read.
#[tool]
fn read_diary() -> &'static str {
    "dear diary"
}

/// What the server says to `user`, if it knows who that is: the status, the session, the answer.
async fn ask(
    server: &HttpServer,
    user: Option<&str>,
    session: Option<&str>,
    message: &str,
) -> (u16, Option<String>, String) {
    let mut request = Request::post("/mcp")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    if let Some(session) = session {
        request = request.header("mcp-session-id", session);
    }
    // What a layer in front does that checks tokens.
    if let Some(user) = user {
        request = request.extension(Principal::new("https://issuer.example", user));
    }
    let request = request.body(Body::from(message.to_owned())).unwrap();
    let answer = server.serve(request).await.unwrap();
    let status = answer.status().as_u16();
    let session = answer.headers().get("mcp-session-id");
    let session = session.map(|id| id.to_str().unwrap().to_owned());
    let mut body = answer.into_body();
    let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
    let data = frame.map(|frame| frame.unwrap().into_data().unwrap()).unwrap_or_default();
    (status, session, String::from_utf8_lossy(&data).into_owned())
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_diary","arguments":{}}}"#;

#[tokio::test]
async fn a_session_serves_whoever_began_it() {
    for knows_users in [false, true] {
        let tools = server!().tool::<read_diary>().build().unwrap();
        let server = HttpServer::with(tools, HttpOptions::default());
        let user = |name| Some(name).filter(|_| knows_users);
        let (status, session, _) = ask(&server, user("ada"), None, INITIALIZE).await;
        assert_eq!(status, 200);
        let stolen = session.as_deref();
        assert!(stolen.is_some(), "the server gives an id");

        let (status, _, said) = ask(&server, user("eve"), stolen, CALL).await;
        assert_eq!(said.contains("dear diary"), !knows_users, "{status} {said}");
        if knows_users {
            assert_eq!(status, 404, "as if there were no such session");
            let (nobody, _, _) = ask(&server, None, stolen, CALL).await;
            assert_eq!(nobody, 404, "nor for whoever is not known at all");
        }
        let (_, _, said) = ask(&server, user("ada"), stolen, CALL).await;
        assert!(said.contains("dear diary"), "{said}");
    }
}
