//! Type parameters and `impl`.

#[mcp_server::tool]
async fn search<T>(query: T) -> impl Sized {
    query
}

fn main() {}
