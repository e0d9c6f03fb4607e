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

/// What serde passes over, or reads by way of another type, need not be data.
#[data]
enum Skipping {
    Told(u8),
    #[serde(skip)]
    Kept(#[expect(dead_code, reason = "only its type matters")] std::sync::Mutex<u8>),
    #[cfg(any())]
    Nowhere(Nowhere),
}

#[data]
#[derive(Clone)]
#[serde(rename = "id", try_from = "String", into = "String")]
struct Id(std::sync::Arc<std::sync::Mutex<String>>);

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.is_empty() {
            true => Err("an id is not empty"),
            false => Ok(Self(std::sync::Arc::new(text.into()))),
        }
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0.lock().unwrap().clone()
    }
}

/// Goes on.
#[tool]
fn go_on(id: Id) -> Skipping {
    match id.0.lock().unwrap().len() as u8 {
        0 => Skipping::Kept(0.into()),
        len => Skipping::Told(len),
    }
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
    called_by("search", arguments)
}

fn called_by(tool: &str, arguments: &str) -> String {
    let mut server = server!().tool::<search>().tool::<go_on>().build().unwrap();
    let mut params = CallToolRequestParams::new(tool);
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

#[test]
fn what_serde_passes_over_or_converts_need_not_be_data() {
    assert_eq!(called_by("go_on", r#"{"id":"abc"}"#), r#"{"result":{"Told":3}}"#);
    assert!(called_by("go_on", r#"{"id":""}"#).contains("an id is not empty"));
}

/// `Claims` is no extractor, so the model may send it.
#[test]
fn only_names_that_exist_are_taken_from_the_exchange() {
    let given = r#"{"filter":{"allTags":[]},"claims":{"subject":"ann"}}"#;
    assert_eq!(called(given), r#"{"items":[{"allTags":[]}],"next":"ann"}"#);
}
