//! A parameter that the template does not know.

use mcp_server::resource;

#[resource("users://{id}/profile")]
async fn profile(uid: u64) -> String {
    uid.to_string()
}

#[resource("today", colour = "red")]
async fn today() -> String {
    String::new()
}

fn main() {
    let _ = mcp_server::server!().resource::<profile>();
}
