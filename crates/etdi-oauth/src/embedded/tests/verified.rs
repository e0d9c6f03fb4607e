//! The tokens of the embedded server, as a server verifies them that knows its issuer alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use etdi_core::time::UnixTime;
use http::Request;
use http_body_util::{BodyExt, Full};
use mcp_types::BoxFuture;

use super::world::*;
use crate::embedded::AuthorizationRoutes;
use crate::{Fetch, FetchError, FetchRequest, FetchResponse, Issuer, JwtVerifier, VerifyToken};

/// Fetches from the routes without a network.
struct Through(AuthorizationRoutes);

impl Fetch for Through {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, FetchError>> {
        Box::pin(async move {
            let path = request.url.strip_prefix(ISSUER).expect(&request.url).to_owned();
            let asked = Request::builder().uri(path).header("host", "auth.example");
            let answer = self.0.serve(asked.body(Full::new(Bytes::new())).unwrap()).await;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            Ok(FetchResponse::new(status, body.to_vec()))
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
