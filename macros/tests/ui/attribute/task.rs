//! A word that says nothing about tasks.

#[mcp_server::tool(task = "always")]
async fn render(frames: u32) -> u32 {
    frames
}

fn main() {}
