//! Calls run at once, so none has the object for itself.

struct Notes(u64);

#[mcp_server::tools]
impl Notes {
    #[tool]
    async fn count(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

fn main() {}
