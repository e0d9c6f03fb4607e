//! Tools that promise more than `etdi.lock` says, or went back to a lower version.

#[mcp_server::tool(
    etdi,
    version = "1.3.0",
    etdi_crate = etdi_core,
    permissions = ["notes:read", "notes:write"],
    max_call_depth = 3
)]
async fn locked_search() {}

mod older {
    #[mcp_server::tool(etdi, version = "1.1.9", etdi_crate = etdi_core, permissions = ["notes:read"])]
    async fn locked_search() {}
}

mod raised {
    #[mcp_server::tool(etdi, version = "2.0.0", etdi_crate = etdi_core, permissions = ["notes:*"])]
    async fn locked_search() {}
}

fn main() {}
