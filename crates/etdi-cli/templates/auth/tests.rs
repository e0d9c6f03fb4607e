//! Who is let in, over a socket of this computer; and what the tools do, without one.

use std::time::{SystemTime, UNIX_EPOCH};

use etdi_core::time::UnixTime;
use etdi_oauth::ApiKeys;
use mcp_client::types::Implementation;
use mcp_client::{Client, Error, text_of};
use mcp_transport::http::server::serve_http;
use mcp_transport::http::{HttpConnectOptions, HttpConnection, connect_http_with, http_status};
use serde_json::json;
use tokio::net::TcpListener;

type Failed = Box<dyn std::error::Error>;

/// A server of this test, with a key that may read and one that may write.
async fn serve() -> Result<(String, [String; 2]), Failed> {
    let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    let keys = ApiKeys::new();
    let reader = keys.create("reader", ["store:read"], None, now)?.expose().to_owned();
    let writer = keys.create("writer", ["store:write"], None, now)?.expose().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    let server = {{crate}}::protected({{crate}}::build()?, &url, keys)?;
    tokio::spawn(serve_http(server, listener, std::future::pending()));
    Ok((url, [reader, writer]))
}

fn client(url: &str, key: Option<&str>) -> Result<Client<HttpConnection>, Failed> {
    let mut options = HttpConnectOptions::new(Implementation::new("test", "1.0.0"));
    if let Some(key) = key {
        options.headers.insert("x-api-key", key.parse()?);
    }
    Ok(Client::new(connect_http_with(url, options)?))
}

#[tokio::test]
async fn who_has_a_key_is_let_in_under_its_name() -> Result<(), Failed> {
    let (url, [reader, writer]) = serve().await?;
    let said = client(&url, Some(&reader))?.call_tool("who_am_i", &json!({})).await?;
    assert_eq!(text_of(&said), "reader");
    let said = client(&url, Some(&writer))?.call_tool("empty_store", &json!({})).await?;
    assert_eq!(text_of(&said), "emptied");
    Ok(())
}

#[tokio::test]
async fn the_others_are_not() -> Result<(), Failed> {
    let (url, [reader, _]) = serve().await?;
    let wrong = "mcpk_0123456789012345678901234567890123456789012";
    for key in [None, Some(wrong)] {
        match client(&url, key)?.call_tool("who_am_i", &json!({})).await {
            Err(Error::Connection(error)) => assert_eq!(http_status(&error), Some(401)),
            other => return Err(format!("let in with {key:?}: {other:?}").into()),
        }
    }
    let refused = client(&url, Some(&reader))?.call_tool("empty_store", &json!({})).await;
    assert!(refused.is_err(), "a key without the scope emptied the store: {refused:?}");
    Ok(())
}
