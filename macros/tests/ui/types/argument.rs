//! An argument of a type that no model can send.

struct Filter;

#[mcp_server::tool]
async fn search(query: String, filter: Filter) -> String {
    let _ = filter;
    query
}

fn main() {}
