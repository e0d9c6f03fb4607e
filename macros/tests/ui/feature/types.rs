//! What no text can be read into, and what is no message.

use mcp_server::prompt;

struct Day;

#[prompt]
async fn plan(_day: Day) -> String {
    String::new()
}

#[prompt]
async fn count() -> u64 {
    7
}

fn main() {
    let _ = mcp_server::server!().prompt::<plan>();
}
