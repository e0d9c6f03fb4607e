//! `etdi` writes one constant and its entry in `_meta`; without it there is nothing of the kind.

use etdi_core::declaration::Declaration;
use mcp_server::types::Listed;
use mcp_server::{Server, server, tool, tools};

#[tool]
async fn log_access() {}

/// Searches.
#[tool(
    etdi,
    version = "1.2.0",
    permissions = ["notes:read", "notes:*" = "to sort them", optional("net:api.example.com")],
    scopes = ["tools:execute"],
    provider = "https://acme.example",
    max_call_depth = 2,
    allowed_callees = [log_access, "remote_tool"],
    blocked_callers = ["shell"],
    require_request_signing,
    etdi_crate = etdi_core
)]
async fn search(query: String) -> String {
    query
}

#[tool(scopes = ["notes:read"])]
async fn scoped() {}

struct Notes;

#[tools(etdi_crate = etdi_core)]
impl Notes {
    #[tool(etdi, version = "2.0.0")]
    async fn list(&self) {}
}

fn meta(server: &Server, name: &str) -> Option<String> {
    let tool = server.tools().into_iter().find(|tool| tool.name == name).unwrap();
    let meta = tool.meta.as_ref()?;
    Some(Listed::new(meta.clone()).unwrap().text().to_string())
}

#[test]
fn the_declaration_is_a_constant_and_stands_in_the_listing() {
    const SEARCH: Declaration = search::DECLARATION;
    assert_eq!(SEARCH.allowed_callees, Some(&["log_access", "remote_tool"][..]));

    let server = server!()
        .tool::<search>()
        .tool::<log_access>()
        .tool::<scoped>()
        .tools(Notes)
        .build()
        .unwrap();
    assert_eq!(
        meta(&server, "search").unwrap(),
        concat!(
            r#"{"dev.etdi/scopes":["tools:execute"],"dev.etdi/etdi":{"v":1,"version":"1.2.0","#,
            r#""provider":{"id":"https://acme.example"},"permissions":[{"scope":"notes:read","required":true},"#,
            r#"{"scope":"notes:*","description":"to sort them","required":true},"#,
            r#"{"scope":"net:api.example.com","required":false}],"scopes":["tools:execute"],"#,
            r#""call":{"max_depth":2,"allowed_callees":["log_access","remote_tool"],"#,
            r#""blocked_callers":["shell"],"require_approval_for_chains":false},"request_signing":"required"}}"#
        )
    );
    assert_eq!(meta(&server, "log_access"), None);
    assert_eq!(meta(&server, "scoped").unwrap(), r#"{"dev.etdi/scopes":["notes:read"]}"#);
    assert!(meta(&server, "list").unwrap().contains(r#""version":"2.0.0""#));
}
