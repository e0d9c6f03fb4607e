//! The tokens of the embedded server, as a server verifies them that knows its issuer alone, and as a
//! client gets them that knows that server alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use etdi_core::time::UnixTime;
use http::Request;
use http_body_util::{BodyExt, Full};
use mcp_types::BoxFuture;

use super::world::*;
use crate::embedded::AuthorizationRoutes;
use crate::{
    Fetch, FetchError, FetchRequest, FetchResponse, Introspection, IntrospectionAuth, Issuer,
    JwtVerifier, Method, VerifyToken,
};

/// Fetches from the routes without a network, and what a protected server says of itself.
#[derive(Clone)]
pub(super) struct Through(pub(super) AuthorizationRoutes);

impl Fetch for Through {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, FetchError>> {
        Box::pin(async move {
            let Some(path) = request.url.strip_prefix(ISSUER) else {
                let said = serde_json::json!({ "resource": RESOURCE,
                    "authorization_servers": [ISSUER] });
                let known = "https://mcp.example/.well-known/oauth-protected-resource/mcp";
                let status = if request.url == known { 200 } else { 404 };
                return Ok(FetchResponse::new(status, said.to_string().into_bytes()));
            };
            let method = if request.method == Method::Post { "POST" } else { "GET" };
            let mut asked = Request::builder().method(method).uri(path);
            asked = asked.header("host", "auth.example");
            for (name, value) in &request.headers {
                asked = asked.header(name, value);
            }
            let body = Full::new(Bytes::from(request.body));
            let answer = self.0.serve(asked.body(body).unwrap()).await;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let mut response = FetchResponse::new(head.status.as_u16(), body.to_vec());
            for (name, value) in &head.headers {
                let value = value.to_str().unwrap().to_owned();
                response.headers.push((name.to_string(), value));
            }
            Ok(response)
        })
    }
}

#[tokio::test]
async fn a_server_takes_tokens_that_are_meant_for_it() {
    let world = World::new().await;
    let fetch = Arc::new(Through(world.routes.clone()));
    let here = JwtVerifier::new(Issuer::new(ISSUER, RESOURCE), fetch.clone()).unwrap();
    let elsewhere = Issuer::new(ISSUER, "https://other.example/mcp");
    let elsewhere = JwtVerifier::new(elsewhere, fetch).unwrap();
    let (token, refresh) = world.tokens("app").await;
    let now = || UnixTime(world.now());
    let verified = here.verify(&token, now()).await.unwrap();
    assert_eq!((&*verified.issuer, &*verified.subject), (ISSUER, "alice"));
    let scopes: Vec<&str> = verified.scopes.iter().map(|scope| &**scope).collect();
    assert_eq!(scopes, ["read", "write"]);
    assert!(elsewhere.verify(&token, now()).await.is_err(), "it is for another server");
    assert!(here.verify(&refresh, now()).await.is_err(), "and a refresh token for none");
    let mut parts: BTreeMap<usize, &str> = token.split('.').enumerate().collect();
    parts.insert(2, "AAAA");
    let forged = parts.into_values().collect::<Vec<_>>().join(".");
    assert!(here.verify(&forged, now()).await.is_err());

    // A key that changes makes no call fail.
    world.server.rotate_keys(now()).await.unwrap();
    for _ in 0..3 {
        world.wait(1_801);
        let token = world.tokens("app").await.0;
        assert!(here.verify(&token, now()).await.is_ok());
    }
    world.wait(700);
    assert!(here.verify(&token, now()).await.is_err(), "it has expired");
}

/// A resource server that asks is not told that a refresh token holds, which lasts for weeks; nor
/// where it is the client as well.
#[tokio::test]
async fn a_refresh_token_is_no_access_token_for_who_asks_about_it() {
    let world = World::new().await;
    let (access, refresh) = world.tokens("app").await;
    let (basic, code) = (basic("web", SECRET), world.code("web").await);
    let form = but(&redeeming("web", &code), "client_id", "");
    let said = world.post("/token", &[("authorization", &basic)], &form).await;
    let own = said.get("refresh_token");
    let fetch = Arc::new(Through(world.routes.clone()));
    for (name, refusal) in [("machine", "INACTIVE"), ("web", "TYPE")] {
        let (issuer, auth) =
            (Issuer::new(ISSUER, RESOURCE), IntrospectionAuth::basic(name, SECRET));
        let endpoint = format!("{ISSUER}/introspect");
        let verifier = Introspection::new(issuer, endpoint, auth, fetch.clone()).unwrap();
        let now = UnixTime(world.now());
        assert_eq!(verifier.verify(&access, now).await.unwrap().subject, "alice");
        assert_eq!(verifier.verify(&refresh, now).await.unwrap_err().code(), "INACTIVE");
        assert_eq!(verifier.verify(&own, now).await.unwrap_err().code(), refusal);
    }
}

/// Registers, asks the user, redeems, renews: both ends of it are ours.
#[cfg(feature = "client")]
#[tokio::test]
async fn a_client_logs_in_and_stays_so() {
    use http::{HeaderMap, StatusCode, Uri};
    use mcp_transport::http::Reaction;

    use crate::client::Refusal;
    use crate::{AskWith, AuthorizationUrl, Clock, DpopUse, OAuthClient};

    for (dpop, scheme) in [(DpopUse::Never, "Bearer "), (DpopUse::Always, "DPoP ")] {
        let world = Arc::new(World::new().await);
        let fetch = Arc::new(Through(world.routes.clone()));
        let (user, time) = (world.clone(), world.clock.clone());
        let agree = move |url: AuthorizationUrl| {
            let world = user.clone();
            async move {
                let path = url.as_str().strip_prefix(ISSUER).unwrap().to_owned();
                Ok(world.agree(&path).await.header("location").to_owned())
            }
        };
        let seconds = move || UnixTime(time.load(std::sync::atomic::Ordering::SeqCst));
        let client = OAuthClient::interactive(RESOURCE, AskWith::new(BACK, agree))
            .fetch(fetch.clone())
            .clock(Clock::new(seconds))
            .dpop(dpop)
            .build()
            .unwrap();
        let uri: Uri = RESOURCE.parse().unwrap();
        let mut challenge = HeaderMap::new();
        challenge.insert("www-authenticate", "Bearer scope=\"write\"".parse().unwrap());
        let (uri, headers, status) = (&uri, &challenge, StatusCode::UNAUTHORIZED);
        let refusal = Refusal { uri, status, headers, authorization: None, attempt: 0 };
        assert_eq!(client.react(refusal).await, Ok(Reaction::TryAgain));

        let here = JwtVerifier::new(Issuer::new(ISSUER, RESOURCE), fetch).unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let mut headers = HeaderMap::new();
            client.put(&http::Method::POST, uri, &mut headers).await.unwrap();
            let token = headers["authorization"].to_str().unwrap().strip_prefix(scheme).unwrap();
            let verified = here.verify(token, UnixTime(world.now())).await.unwrap();
            assert_eq!(&*verified.subject, "alice");
            assert!(verified.scopes.contains("write") && !verified.scopes.contains("read"));
            assert!(!seen.contains(&token.to_owned()), "it was renewed");
            seen.push(token.to_owned());
            world.wait(590);
        }
    }
}
