//! How servers are talked to.

use super::*;

/// `options.timeout_seconds`.
#[tokio::test]
async fn how_long_a_server_may_take() {
    let mut config = in_memory();
    config.options.timeout_seconds = 1;
    let server = watched();
    server.seen.lock().unwrap().stuck = true;
    let target = Target::service(server, Peer::new(notes()));
    let begun = std::time::Instant::now();
    let error = client(&config).connect_to_server(target, "notes").await.unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::VerificationTimeout, "{error}");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(10), "{took:?}");
}

/// `options.retry_attempts`: connecting and listing, and never a call.
#[tokio::test]
async fn how_often_it_is_tried_again() {
    for (retries, gone, connects) in [(0, 1, false), (1, 1, true), (1, 2, false), (3, 3, true)] {
        let mut config = in_memory();
        config.options.retry_attempts = retries;
        let server = watched();
        server.seen.lock().unwrap().gone = gone;
        let target = Target::service(server.clone(), Peer::new(notes()));
        let result = client(&config).connect_to_server(target, "notes").await;
        assert_eq!(result.is_ok(), connects, "{retries} {gone}");
        let asked = server.seen.lock().unwrap().discoveries;
        assert_eq!(asked, if connects { gone + 1 } else { retries + 1 });
    }
    let mut config = in_memory();
    config.options.retry_attempts = 3;
    config.options.enable_caching = true;
    let server = watched();
    server.seen.lock().unwrap().ttl_ms = Some(60_000);
    let client = connected(&config, server.clone()).await;
    client.discover_tools(None).await.unwrap();
    server.seen.lock().unwrap().gone = 1;
    let called = client.invoke_tool(crate::ToolId::new("notes", "plain"), &json!({})).await;
    assert_eq!(called.unwrap_err().code(), "CONNECTION_LOST");
    assert_eq!(server.signed().len(), 1, "a call is made once");
}

/// `options.enable_caching` and `options.cache_ttl_seconds`: as long as the server says, and no
/// longer than the setting.
#[tokio::test]
async fn how_long_a_listing_is_kept() {
    for (enable, most, says, listings) in [
        (true, 300, Some(60_000), 1),
        (true, 300, None, 3),
        (true, 0, Some(60_000), 3),
        (false, 300, Some(60_000), 3),
    ] {
        let mut config = in_memory();
        config.options.enable_caching = enable;
        config.options.cache_ttl_seconds = most;
        let server = watched();
        server.seen.lock().unwrap().ttl_ms = says;
        let client = connected(&config, server.clone()).await;
        for _ in 0..3 {
            client.discover_tools(None).await.unwrap();
        }
        assert_eq!(server.seen.lock().unwrap().listings, listings, "{enable} {most} {says:?}");
    }
}

/// `options.enable_metrics`.
#[tokio::test]
async fn what_is_counted() {
    for enable in [true, false] {
        let mut config = in_memory();
        config.options.enable_metrics = enable;
        let client = connected(&config, watched()).await;
        let call = async |tool: &str| {
            client.invoke_tool(crate::ToolId::new("notes", tool), &json!({})).await
        };
        call("plain").await.unwrap();
        assert!(call("nothing").await.is_err());
        let stats = client.get_stats();
        assert_eq!(stats.servers, 1);
        let counted = (stats.tools, stats.approved, stats.verified, stats.calls, stats.refused);
        assert_eq!(counted, if enable { (1, 1, 0, 1, 1) } else { (0, 0, 0, 0, 0) });
        let invoked = stats.events.get(EventKind::ToolInvoked.name());
        assert_eq!(invoked, enable.then_some(&1));
        let observed = client.observed();
        let of = |tool: &str| observed.get(&crate::ToolId::new("notes", tool));
        let plain = of("plain").map(|seen| (seen.answered, seen.errors, seen.refused, seen.failed));
        assert_eq!(plain, enable.then_some((1, 0, 0, 0)));
        let nothing = of("nothing").map(|seen| (seen.answered, seen.refused, seen.failed));
        assert_eq!(nothing, enable.then_some((0, 1, 0)));
        assert!(of("plain").is_none_or(|seen| seen.last.0 > 0));
    }
}
