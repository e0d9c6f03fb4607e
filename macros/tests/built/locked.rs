//! What is locked and signed is in the program: the same version, and not another.

#[mcp_server::tool(
    etdi,
    version = "1.2.0",
    etdi_crate = etdi_core,
    permissions = ["notes:read"],
    max_call_depth = 2
)]
async fn locked_search() {}

#[mcp_server::tool(etdi, version = "1.0.0", etdi_crate = etdi_core)]
async fn not_locked() {}

fn main() {
    let locked = locked_search::DECLARATION;
    assert!(locked.locked_digest.is_some_and(|digest| digest.starts_with("sha-256:")));
    assert_eq!(locked.manifest, Some("a manifest\n"));
    assert_eq!(not_locked::DECLARATION.locked_digest, None);
}
