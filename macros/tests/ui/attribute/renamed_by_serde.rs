//! A name that only serde knew.

#[mcp_server::tool]
fn find(#[serde(rename = "type")] kind: String) -> String {
    kind
}

fn main() {}
