//! Two methods under one name.

struct Notes;

#[mcp_server::tools]
impl Notes {
    #[tool]
    fn search(&self) {}

    #[tool(name = "search")]
    fn find(&self) {}
}

fn main() {}
