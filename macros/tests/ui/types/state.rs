//! A tool of a server with another state.

use mcp_server::{Context, server, tool};

struct Notes;

#[tool]
async fn search(cx: Context<Notes>) -> String {
    cx.tool().to_owned()
}

fn main() {
    let _ = server!().tool::<search>();
}
