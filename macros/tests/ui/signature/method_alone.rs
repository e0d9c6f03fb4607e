//! `#[tool]` on a method of an unmarked block.

struct Notes;

impl Notes {
    #[mcp_server::tool]
    async fn search(&self, query: String) -> String {
        query
    }
}

fn main() {}
