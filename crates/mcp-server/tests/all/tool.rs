//! Functions that are tools: their definitions, and their calls.

use std::collections::BTreeMap;
use std::fmt;

use mcp_server::types::{ContentBlock, ErrorObject, Exchange};
use mcp_server::{
    Context, Extension, Server, State, Suspended, ToolError, schemars, serde, server, tool, tools,
};
use tower_service::Service;

use crate::{request, shown};

/// Adds two numbers.
///
/// Overflow is refused.
#[tool(title = "Sum", annotations(read_only, open_world = false))]
async fn add(
    /// The first summand.
    a: i64,
    b: Option<i64>,
) -> Result<i64, &'static str> {
    a.checked_add(b.unwrap_or(0)).ok_or("the sum is too large")
}

#[tool(name = "say-it", inline)]
fn say(
    #[arg(default = "world")] whom: String,
    #[arg(name = "loud")] is_loud: Option<bool>,
) -> String {
    let text = format!("hello {whom}");
    if is_loud == Some(true) { text.to_uppercase() } else { text }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(crate = "mcp_server::serde")]
#[schemars(crate = "mcp_server::schemars")]
struct Hit {
    /// Where it is.
    line: u32,
    text: Option<String>,
}

#[derive(Debug)]
enum Refusal {
    Suspended(#[allow(dead_code)] Suspended),
    Empty,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing to look for")
    }
}

impl From<Suspended> for Refusal {
    fn from(suspended: Suspended) -> Self {
        Self::Suspended(suspended)
    }
}

type Found<T> = Result<T, Refusal>;

/// A sync tool that may block.
#[tool]
fn find(#[serde(default)] r#type: String) -> Found<Hit> {
    if r#type.is_empty() { Err(Refusal::Empty) } else { Ok(Hit { line: 7, text: None }) }
}

#[tool]
async fn map() -> BTreeMap<String, u8> {
    BTreeMap::from([("a".into(), 1)])
}

#[tool]
async fn both() -> (Vec<ContentBlock>, Hit) {
    (vec![ContentBlock::text("line 7")], Hit { line: 7, text: Some("x".into()) })
}

#[tool(structured = false)]
async fn plain() -> Hit {
    Hit { line: 1, text: None }
}

#[tool]
async fn nothing() {}

#[tool]
async fn r#match() -> Result<(), ErrorObject> {
    Err(ErrorObject::invalid_params("not like this"))
}

#[tool]
async fn io() -> Result<String, ToolError> {
    Ok(std::fs::read_to_string("/no/such/file")?)
}

#[tool]
async fn boxed() -> Result<&'static str, Box<dyn std::error::Error + Send + Sync>> {
    Err("boxed")?
}

fn functions() -> Server {
    server!()
        .tool::<add>()
        .tool::<say>()
        .tool::<find>()
        .tool::<map>()
        .tool::<both>()
        .tool::<plain>()
        .tool::<nothing>()
        .tool::<r#match>()
        .tool::<io>()
        .tool::<boxed>()
        .build()
        .unwrap()
}

fn listed(server: &Server, name: &str) -> String {
    let tool = server.tools().into_iter().find(|tool| tool.name == name).unwrap();
    tool.text().to_string()
}

#[test]
fn definitions_say_what_the_source_says() {
    let server = functions();
    let object = |members: &str| {
        format!(r#"{{"additionalProperties":false,"properties":{members},"type":"object"}}"#)
    };
    assert_eq!(
        listed(&server, "add"),
        concat!(
            r#"{"name":"add","annotations":{"openWorldHint":false,"readOnlyHint":true},"#,
            r#""description":"Adds two numbers.\n\nOverflow is refused.","#,
            r#""inputSchema":{"additionalProperties":false,"properties":{"a":{"description":"The first summand.","#,
            r#""type":"integer"},"b":{"type":"integer"}},"required":["a"],"type":"object"},"#,
            r#""outputSchema":{"properties":{"result":{"type":"integer"}},"required":["result"],"type":"object"},"#,
            r#""title":"Sum"}"#
        )
    );
    assert_eq!(
        listed(&server, "say-it"),
        format!(
            r#"{{"name":"say-it","inputSchema":{}}}"#,
            object(r#"{"loud":{"type":"boolean"},"whom":{"default":"world","type":"string"}}"#)
        )
    );
    let hit = r#"{"properties":{"line":{"description":"Where it is.","minimum":0,"type":"integer"},"text":{"type":"string"}},"required":["line"],"type":"object"}"#;
    assert_eq!(
        listed(&server, "find"),
        format!(
            r#"{{"name":"find","description":"A sync tool that may block.","inputSchema":{},"outputSchema":{hit}}}"#,
            object(r#"{"type":{"default":"","type":"string"}}"#)
        )
    );
    assert_eq!(
        listed(&server, "plain"),
        format!(r#"{{"name":"plain","inputSchema":{}}}"#, object("{}"))
    );
    assert_eq!(
        listed(&server, "both"),
        format!(r#"{{"name":"both","inputSchema":{},"outputSchema":{hit}}}"#, object("{}"))
    );
    assert_eq!(
        listed(&server, "match"),
        format!(r#"{{"name":"match","inputSchema":{}}}"#, object("{}"))
    );
}

#[test]
fn calls_give_what_the_functions_return() {
    let server = functions();
    for (name, arguments, expected) in [
        ("add", r#"{"a":2,"b":3}"#, r#"{"result":5} + {"result":5}"#),
        ("add", r#"{"a":2,"b":null}"#, r#"{"result":2} + {"result":2}"#),
        ("add", r#"{"a":9223372036854775807,"b":1}"#, "error: the sum is too large"),
        ("add", r#"{"b":3}"#, "error: the argument `a` is missing"),
        ("add", r#"{"a":1,"c":3}"#, "error: there is no argument `c`, did you mean `a`?"),
        (
            "add",
            r#"{"a":"1"}"#,
            "error: the argument `a` does not fit: expected an integer, got string \"1\"",
        ),
        ("say-it", "{}", "hello world"),
        ("say-it", r#"{"whom":"you","loud":true}"#, "HELLO YOU"),
        (
            "say-it",
            r#"{"is_loud":true}"#,
            "error: there is no argument `is_loud`, the arguments are `whom`, `loud`",
        ),
        ("find", r#"{"type":"x"}"#, r#"{"line":7} + {"line":7}"#),
        ("find", "{}", "error: nothing to look for"),
        ("map", "{}", r#"{"result":{"a":1}} + {"result":{"a":1}}"#),
        ("both", "{}", r#"line 7 + {"line":7,"text":"x"}"#),
        ("plain", "{}", r#"{"line":1,"text":null}"#),
        ("nothing", "{}", ""),
        ("nothing", r#"{"x":1}"#, "error: there is no argument `x`, the tool takes none"),
        ("match", "{}", "-32602 not like this"),
        ("io", "{}", "error: No such file or directory (os error 2)"),
        ("boxed", "{}", "error: boxed"),
    ] {
        assert_eq!(shown(&server, name, arguments), expected, "{name} {arguments}");
    }
}

#[test]
fn the_functions_stay_functions() {
    assert_eq!(futures_executor::block_on(add(1, None)), Ok(1));
    assert_eq!(say("you".into(), None), "hello you");
}

struct Notes(Vec<&'static str>);

#[tool]
async fn count(cx: Context<Notes>) -> usize {
    cx.state().0.len()
}

#[tool]
fn first(State(notes): State<std::sync::Arc<Notes>>) -> &'static str {
    notes.0[0]
}

#[tool]
async fn whoami(cx: Context, user: Extension<User>) -> String {
    format!("{} in {}", user.0.0, cx.tool())
}

struct User(&'static str);

#[tools]
impl Notes {
    /// Searches the notes.
    #[tool]
    async fn search(&self, cx: Context, word: String) -> Vec<&'static str> {
        assert_eq!(cx.tool(), "search");
        self.0.iter().copied().filter(|note| note.contains(&word)).collect()
    }

    #[tool(name = "last_note")]
    fn last(&self) -> Result<&'static str, ToolError> {
        self.0.last().copied().ok_or_else(|| Self::nothing().into())
    }

    #[tool]
    async fn made(of: Option<u8>) -> Option<u8> {
        of
    }

    fn nothing() -> &'static str {
        "there are no notes"
    }
}

#[test]
fn methods_share_their_object() {
    let server = server!().tools(Notes(vec!["milk", "silk"])).build().unwrap();
    let names: Vec<_> = server.tools().iter().map(|tool| tool.name.clone()).collect();
    assert_eq!(names, ["search", "last_note", "made"]);
    assert_eq!(
        shown(&server, "search", r#"{"word":"ilk"}"#),
        r#"{"result":["milk","silk"]} + {"result":["milk","silk"]}"#
    );
    assert_eq!(shown(&server, "last_note", "{}"), "silk");
    assert_eq!(shown(&server, "made", "{}"), "{} + {}");
    let empty = server!().tools(Notes(vec![])).build().unwrap();
    assert_eq!(shown(&empty, "last_note", "{}"), "error: there are no notes");
}

#[test]
fn state_and_extensions_come_from_the_exchange() {
    let notes = || Notes(vec!["milk"]);
    let server = server!()
        .state(notes())
        .tool::<count>()
        .tool::<whoami>()
        .state(std::sync::Arc::new(notes()))
        .tool::<first>();
    let mut server = server.build().unwrap();
    assert_eq!(shown(&server, "count", "{}"), r#"{"result":1} + {"result":1}"#);
    assert_eq!(shown(&server, "first", "{}"), "milk");
    assert_eq!(
        shown(&server, "whoami", "{}"),
        "-32603 the server lacks a layer that this tool needs"
    );

    let mut exchange = Exchange::new(request("whoami", "{}"));
    exchange.context.extensions.insert(User("ann"));
    let outcome = futures_executor::block_on(server.call(exchange)).unwrap();
    assert!(format!("{outcome:?}").contains("ann in whoami"));
}
