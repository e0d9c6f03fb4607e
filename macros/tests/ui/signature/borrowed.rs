//! An argument that borrows.

#[mcp_server::tool]
async fn search(query: &str) -> String {
    query.to_owned()
}

fn main() {
    let _ = mcp_server::server!().tool::<search>();
}
