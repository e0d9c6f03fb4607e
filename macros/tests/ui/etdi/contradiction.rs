//! Constraints that contradict each other.

#[mcp_server::tool(
    etdi,
    version = "1.0.0",
    max_call_depth = 1,
    allowed_callees = [log_access],
    blocked_callees = [log_access]
)]
async fn search() {}

fn main() {}
