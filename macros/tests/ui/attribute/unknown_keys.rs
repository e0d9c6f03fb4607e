//! All wrong keys are shown at once.

#[mcp_server::tool(titel = "Sum", annotations(readonly), inline)]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

fn main() {}
