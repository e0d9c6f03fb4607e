//! One allowance for all nodes.

use std::time::Duration;

use mcp_redis::{Failure, StoreName};
use mcp_transport::{Allowance, RateStore as _, Took, rate_store_contract};

use crate::server::RedisServer;
use crate::{failed, round_trips};

#[tokio::test]
async fn two_nodes_keep_the_contract() {
    let server = RedisServer::start();
    let (one, other) = (server.node().await, server.node().await);
    rate_store_contract(&[&one.rates(), &other.rates()]).await.unwrap();
    let learned = server.ask(&["KEYS", "*"]);
    assert!(!learned.contains("contract"), "Redis learns no name: {learned}");
}

#[tokio::test]
async fn an_allowance_fills_and_is_forgotten_when_it_is_full() {
    let server = RedisServer::start();
    let node = server.node().await;
    let (rates, allowance) = (node.rates(), Allowance::new(20.0, 2));
    let before = round_trips(&node, StoreName::Rates);
    for _ in 0..2 {
        assert_eq!(rates.take("a", allowance).await.unwrap(), Took::Admitted);
    }
    // The script that Redis did not know was sent once more.
    assert_eq!(round_trips(&node, StoreName::Rates) - before, 3);
    let mut took = rates.take("a", allowance).await.unwrap();
    for _ in 0..100 {
        let Took::Wait(wait) = took else { break };
        assert!(wait <= Duration::from_millis(50), "{wait:?}");
        tokio::time::sleep(wait).await;
        took = rates.take("a", allowance).await.unwrap();
    }
    assert_eq!(took, Took::Admitted);
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(server.ask(&["KEYS", "*:full"]), "");
}

#[tokio::test]
async fn a_redis_that_is_gone_says_so_in_bounded_time() {
    let mut server = RedisServer::start();
    let node = server.node().await;
    server.kill();
    let began = std::time::Instant::now();
    assert!(node.rates().take("a", Allowance::new(1.0, 1)).await.is_err());
    assert!(began.elapsed() < Duration::from_secs(5));
    let counted =
        [Failure::Unreachable, Failure::TooSlow].map(|one| failed(&node, StoreName::Rates, one));
    assert_eq!(counted.iter().sum::<u64>(), 1);
}
