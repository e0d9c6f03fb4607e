//! What the server offers, and to whom.

use etdi_oauth::ApiKeys;
use etdi_oauth::resource::{Protected, ResourceError};
use mcp_server::types::Principal;
use mcp_server::{BuildError, Extension, Server, server, tool};
use mcp_transport::http::server::{HttpOptions, HttpServer};

/// Says who is calling.
#[tool]
pub async fn who_am_i(caller: Extension<Principal>) -> String {
    caller.subject.clone()
}

/// Empties the store, which takes a key with the scope `store:write`.
#[tool(scopes = ["store:write"])]
pub async fn empty_store() -> &'static str {
    "emptied"
}

/// The server with all of it.
///
/// # Errors
///
/// When two tools have one name, or one cannot describe itself.
pub fn build() -> Result<Server, BuildError> {
    server!().tool::<who_am_i>().tool::<empty_store>().build()
}

/// The server behind HTTP, for those who have one of `keys`; `url` is where clients find it.
///
/// # Errors
///
/// When the URL is neither https nor of this computer.
pub fn protected(server: Server, url: &str, keys: ApiKeys) -> Result<HttpServer, ResourceError> {
    Ok(Protected::by_api_keys(url, keys)?.http(server, HttpOptions::default()))
}
