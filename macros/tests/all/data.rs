//! Data that tools take and return, in a package without serde and schemars.

use futures_executor::block_on;
use mcp_server::types::{
    CallToolRequestParams, ClientRequest, Exchange, Outcome, RawText, ServerResult,
};
use mcp_server::{data, server, tool};
use tower_service::Service;

/// Where to look.
#[data]
#[derive(Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Filter {
    /// Only these.
    all_tags: Vec<String>,
    kind: Option<Kind>,
}

#[data]
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Short,
    Long(u8),
}

#[data]
struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

/// No more than a name that other crates give to an extractor.
#[mcp_server::data(crate = mcp_server)]
struct Claims {
    subject: String,
}

/// Searches.
#[tool]
async fn search(filter: Filter, claims: Option<Claims>) -> Page<Filter> {
    Page { items: vec![filter], next: claims.map(|claims| claims.subject) }
}

fn called(arguments: &str) -> String {
    let mut server = server!().tool::<search>().build().unwrap();
    let mut params = CallToolRequestParams::new("search");
    params.arguments = Some(RawText::new(arguments).unwrap());
    let outcome = block_on(server.call(Exchange::new(ClientRequest::CallTool(params))));
    match outcome.unwrap() {
        Outcome::Complete(ServerResult::CallTool(result)) => match result.structured_content {
            Some(data) => data.to_string(),
            None => format!("{:?}", result.content),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_type_is_data_without_other_crates() {
    assert_eq!(
        called(r#"{"filter":{"allTags":["a"],"kind":{"Long":3}}}"#),
        r#"{"items":[{"allTags":["a"],"kind":{"Long":3}}]}"#
    );
    assert!(called(r#"{"filter":{}}"#).contains("`allTags`"));
    let server = server!().tool::<search>().build().unwrap();
    let tools = server.tools();
    let text = tools.first().unwrap().text().get();
    for part in
        [r#""description":"Where to look.""#, r#""description":"Only these.""#, "outputSchema"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// `Claims` is no extractor, so the model may send it.
#[test]
fn only_names_that_exist_are_taken_from_the_exchange() {
    let given = r#"{"filter":{"allTags":[]},"claims":{"subject":"ann"}}"#;
    assert_eq!(called(given), r#"{"items":[{"allTags":[]}],"next":"ann"}"#);
}
