//! Permissions that break the grammar, each at its literal.

#[mcp_server::tool(etdi, version = "1.0.0", permissions = ["notes", "Notes:read", "a:*:b", "a:b", "a:b"])]
async fn search() {}

fn main() {}
