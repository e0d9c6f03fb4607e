//! What is no data.

#[mcp_server::data]
fn hit() {}

#[mcp_server::data(etdi_crate = etdi_core)]
struct Hit;

fn main() {}
