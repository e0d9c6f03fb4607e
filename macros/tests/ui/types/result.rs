//! A result that the model cannot read.

struct Hits;

#[mcp_server::tool]
async fn search() -> Hits {
    Hits
}

fn main() {}
