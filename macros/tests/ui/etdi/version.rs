//! No version, and a wrong one.

#[mcp_server::tool(etdi)]
async fn search() {}

#[mcp_server::tool(etdi, version = "1.2")]
async fn find() {}

fn main() {}
