//! A callee that is given as a path and is not the locked one.

#[mcp_server::tool(name = "log_access")]
async fn log() {}

#[mcp_server::tool]
async fn shell() {}

#[mcp_server::tool(etdi, version = "1.2.0", etdi_crate = etdi_core, allowed_callees = [log])]
async fn locked_paths() {}

mod other {
    #[mcp_server::tool(etdi, version = "1.2.1", etdi_crate = etdi_core, allowed_callees = [super::shell])]
    async fn locked_paths() {}
}

fn main() {}
