//! A failure that cannot be displayed.

struct Failure;

#[mcp_server::tool]
async fn search() -> Result<String, Failure> {
    Err(Failure)
}

fn main() {}
