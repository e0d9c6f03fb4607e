//! The server behind HTTP, for those who have a key: `{{name}} [ADDRESS]`.
//!
//! The key comes from `API_KEY` in the environment, at least 32 characters; without it one is made, and
//! shown once.

use std::time::{SystemTime, UNIX_EPOCH};

use etdi_core::time::UnixTime;
use etdi_oauth::ApiKeys;
use mcp_transport::http::server::serve_http;
use tokio::net::TcpListener;

/// What the holder of the key may do.
const SCOPES: [&str; 1] = ["store:write"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    let keys = ApiKeys::new();
    match std::env::var("API_KEY") {
        Ok(key) => keys.add("owner", &key, SCOPES, None, now)?,
        Err(_) => {
            let key = keys.create("owner", SCOPES, None, now)?;
            eprintln!("the key, shown this once: {}", key.expose());
        }
    }
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(address).await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    eprintln!("{url}, for those who send a key in `X-API-Key`");
    let server = {{crate}}::protected({{crate}}::build()?, &url, keys)?;
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    Ok(serve_http(server, listener, stop).await?)
}
