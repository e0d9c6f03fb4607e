//! A callee that was renamed.

#[mcp_server::tool(etdi, version = "1.0.0", etdi_crate = etdi_core, allowed_callees = [log_acces])]
async fn search() {}

#[mcp_server::tool]
async fn log_access() {}

fn main() {}
