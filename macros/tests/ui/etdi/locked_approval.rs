//! A tool that no longer wants an approval before other tools call it, in the same version.

#[mcp_server::tool(etdi, version = "1.0.1", etdi_crate = etdi_core)]
async fn locked_pay() {}

fn main() {}
