//! An argument without a name.

#[mcp_server::tool]
async fn add((a, b): (i64, i64)) -> i64 {
    a + b
}

fn main() {}
