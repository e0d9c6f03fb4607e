//! A lock and a manifest that are no text.

#[mcp_server::tool(etdi, version = "1.0.0", etdi_crate = etdi_core)]
async fn search() {}

fn main() {}
