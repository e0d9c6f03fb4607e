//! T19: a listing that may be kept for long, and so outlives what it was allowed for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use etdi::core::approval::ApprovalStore;
use etdi_cli::demo::attacks::TOOL;
use mcp_client::{CacheLayer, Cached, Client};
use mcp_transport::Connection;
use mcp_types::{CacheScope, ErrorObject, Exchange, ExchangeFuture, Outcome, ServerResult};
use serde_json::json;
use tower_layer::Layer;
use tower_service::Service;

use crate::world::{Bound, NOW, World, honest_peer};

/// Says that its listings may be kept for a year, by everybody.
#[derive(Clone)]
struct Lasting(Connection);

impl Service<Exchange> for Lasting {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let answer = self.0.call(exchange);
        Box::pin(async move {
            let mut outcome = answer.await?;
            if let Outcome::Complete(ServerResult::ListTools(listed)) = &mut outcome {
                listed.ttl_ms = Some(365 * 24 * 3_600_000);
                listed.cache_scope = Some(CacheScope::Public);
            }
            Ok(outcome)
        })
    }
}

async fn cached(world: &World) -> Cached<Lasting> {
    CacheLayer::new(Instant::now).layer(Lasting(world.honest_server().await))
}

#[tokio::test]
async fn a_kept_listing_is_worth_no_more_than_its_signature_and_its_approval() {
    let arguments = json!({"query": "milk"});
    for withdrawn in [true, false] {
        let world = World::new(Bound::Key).await;
        let plain = Client::new(cached(&world).await);
        plain.all_tools().await.unwrap();
        let now = Arc::new(AtomicU64::new(0));
        let passed = now.clone();
        let client = world.builder(world.store.clone());
        let client = client.clock(move || NOW.plus(passed.load(Ordering::SeqCst))).build();
        let session = client.over(cached(&world).await, honest_peer()).await.unwrap();
        session.invoke_tool(TOOL, &arguments).await.unwrap();

        if withdrawn {
            for approval in world.store.list().await.unwrap().approvals {
                world.store.remove(&approval.key, approval.generation).await.unwrap();
            }
        } else {
            now.store(20 * 365 * 24 * 3_600, Ordering::SeqCst);
        }
        // Who keeps the listing alone goes on.
        assert!(plain.all_tools().await.unwrap().iter().any(|tool| tool.name == TOOL));
        plain.call_tool(TOOL, &arguments).await.unwrap();

        let refused = session.invoke_tool(TOOL, &arguments).await.unwrap_err();
        assert!(refused.is_refusal(), "{refused}");
        let expected = if withdrawn { "NOT_APPROVED" } else { "ATTESTATION_EXPIRED" };
        assert_eq!(refused.code(), expected);
        assert!(!session.client().all_tools().await.unwrap().iter().any(|it| it.name == TOOL));
    }
}
