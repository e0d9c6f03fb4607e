//! A declaration in a package that does not depend on `etdi`.

#[mcp_server::tool(
    etdi,
    version = "1.0.0",
    permissions = ["notes:read"],
    max_call_depth = 1
)]
async fn search(query: String) -> String {
    query
}

fn main() {}
