//! Keys of a declaration that nobody asked for.

#[mcp_server::tool(permissions = ["notes:read"], version = "1.0.0")]
async fn search() {}

fn main() {}
