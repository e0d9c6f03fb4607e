//! What a completion must take, and what can name one.

use mcp_server::{completion, tool};

#[completion]
fn cities(value: String, country: String) -> Vec<String> {
    vec![value, country]
}

#[completion]
fn nothing() -> Vec<String> {
    Vec::new()
}

#[tool]
async fn search(#[arg(complete = cities)] city: String) -> String {
    city
}

fn main() {
    let _ = mcp_server::server!().tool::<search>();
}
