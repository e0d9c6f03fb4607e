//! What a tool asks, in the forms of the protocol, and what it makes of the answers.

use futures_executor::block_on;
use mcp_server::types::error::codes;
use mcp_server::types::version::ProtocolVersion;
use mcp_server::types::*;
use mcp_server::{Context, Elicited, Server, ToolError, data, server, tool};
use tower_service::Service;

use crate::request;

/// A client that declares `capabilities`, and its call of a tool.
pub(crate) struct Caller {
    server: Server,
    capabilities: &'static str,
    pub(crate) state: Option<String>,
    pub(crate) principal: Option<Principal>,
}

impl Caller {
    pub(crate) fn new(server: Server, capabilities: &'static str) -> Self {
        Self { server, capabilities, state: None, principal: None }
    }

    /// Calls with answers by key, and remembers the state for the next call.
    pub(crate) fn call(
        &mut self,
        name: &str,
        arguments: &str,
        answers: &[(&'static str, &str)],
    ) -> Result<Outcome, ErrorObject> {
        let mut exchange = Exchange::new(request(name, arguments));
        let capabilities = RawText::new(self.capabilities).unwrap();
        exchange.context.set_client(ProtocolVersion::NEWEST, None, Some(capabilities));
        exchange.context.request_state = self.state.clone();
        if let Some(principal) = &self.principal {
            exchange.context.extensions.insert(principal.clone());
        }
        let answers = answers.iter().map(|(key, text)| (*key, RawText::new(*text).unwrap()));
        exchange.context.input_responses = Some(answers.collect());
        let outcome = block_on(self.server.call(exchange))?;
        if let Outcome::InputRequired(asked) = &outcome {
            self.state = asked.request_state.clone();
        }
        Ok(outcome)
    }

    /// The same on one line: the text of the result, the questions, or the error.
    pub(crate) fn shown(
        &mut self,
        name: &str,
        arguments: &str,
        answers: &[(&'static str, &str)],
    ) -> String {
        match self.call(name, arguments, answers) {
            Ok(Outcome::Complete(ServerResult::CallTool(result))) => {
                crate::text(&result).to_owned()
            }
            Ok(Outcome::InputRequired(asked)) => {
                let questions = asked.input_requests.unwrap_or_default();
                let lines = questions.iter().map(|(key, question)| {
                    format!("{key}? {}", serde_json::to_string(question).unwrap())
                });
                lines.collect::<Vec<_>>().join(" ")
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                let data = error.data.as_ref().map(|data| format!(" {data}")).unwrap_or_default();
                format!("{} {}{data}", error.code, error.message)
            }
        }
    }
}

const ALL: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#;

#[data]
struct Guest {
    name: String,
    #[serde(default)]
    seats: u8,
}

#[tool]
async fn book(cx: Context) -> Result<String, ToolError> {
    Ok(match cx.elicit::<Guest>("guest", "Who comes?")? {
        Elicited::Accepted(guest) => format!("{} {}", guest.name, guest.seats),
        Elicited::Declined => "nobody".into(),
        Elicited::Cancelled => "later".into(),
    })
}

#[test]
fn a_form_is_made_of_a_type_and_its_answer_read_into_it() {
    let server = server!().tool::<book>().build().unwrap();
    let mut caller = Caller::new(server, r#"{"elicitation":{}}"#);
    let mut answer = |text: &str| caller.shown("book", "{}", &[("guest", text)]);
    for (text, shown) in [
        (r#"{"action":"accept","content":{"name":"Ada","seats":2}}"#, "Ada 2"),
        (r#"{"action":"accept","content":{"name":"Ada","seats":null,"more":{}}}"#, "Ada 0"),
        (r#"{"action":"decline"}"#, "nobody"),
        (r#"{"action":"cancel"}"#, "later"),
        (r#"{"action":"accept"}"#, "-32602 `inputResponses.guest.content.name`: must be filled in"),
        (
            r#"{"action":"accept","content":{"name":["Ada"]}}"#,
            "-32602 `inputResponses.guest.content.name`: expected a text",
        ),
        (
            r#"{"action":"accept","content":{"name":"Ada","seats":256}}"#,
            "-32602 `inputResponses.guest.content.seats`: expected at most 255",
        ),
    ] {
        assert_eq!(answer(text), shown, "{text}");
    }
    let asked = caller.shown("book", "{}", &[]);
    assert_eq!(
        asked,
        r#"guest? {"method":"elicitation/create","params":{"message":"Who comes?","requestedSchema":{"type":"object","properties":{"name":{"type":"string"},"seats":{"default":0,"maximum":255,"minimum":0,"type":"integer"}},"required":["name"]}}}"#
    );
}

#[data]
struct Nested {
    inner: Guest,
}

#[tool]
async fn no_form(cx: Context) -> Result<String, ToolError> {
    cx.elicit::<Nested>("nested", "?")?;
    Ok("unreachable".into())
}

#[test]
fn a_type_that_is_no_form_is_a_fault_of_the_server() {
    let server = server!().tool::<no_form>().build().unwrap();
    let shown = Caller::new(server, ALL).shown("no_form", "{}", &[]);
    assert_eq!(shown, "-32603 the server asks for something that fits in no form");
}

#[tool]
async fn everything(cx: Context) -> Result<String, ToolError> {
    let page = cx.elicit_url("page", "Please log in.", "https://example.com/login");
    let roots = cx.list_roots("roots");
    let sample = cx.sample("sample", CreateMessageRequestParams::new(10, Vec::new()));
    let (page, roots, sample) = cx.all((page, roots, sample))?;
    Ok(format!("{page:?} {} {}", roots.len(), sample.model))
}

#[test]
fn several_questions_are_asked_together_and_the_open_ones_again() {
    let server = server!().tool::<everything>().build().unwrap();
    let mut caller = Caller::new(server, ALL);
    let asked = caller.shown("everything", "{}", &[]);
    assert!(asked.starts_with(r#"page? {"method":"elicitation/create","params":{"mode":"url""#));
    assert!(asked.contains(r#"roots? {"method":"roots/list""#), "{asked}");
    assert!(asked.contains(r#"sample? {"method":"sampling/createMessage""#), "{asked}");
    let roots = ("roots", r#"{"roots":[{"uri":"file:///a"},{"uri":"file:///b"}]}"#);
    let asked = caller.shown("everything", "{}", &[roots, ("page", r#"{"action":"accept"}"#)]);
    assert!(asked.starts_with("sample? ") && !asked.contains("roots?"), "{asked}");
    let sample = r#"{"content":{"type":"text","text":"hi"},"model":"m-1","role":"assistant"}"#;
    assert_eq!(caller.shown("everything", "{}", &[("sample", sample)]), "Accepted(()) 2 m-1");
}

#[tool]
async fn with_tools(cx: Context) -> Result<String, ToolError> {
    let mut request = CreateMessageRequestParams::new(10, Vec::new());
    request.tools = Some(Vec::new());
    Ok(cx.sample("sample", request)?.model)
}

#[tool]
async fn capable(cx: Context) -> String {
    let can = [
        cx.client_can_elicit(),
        cx.client_can_elicit_url(),
        cx.client_can_sample(),
        cx.client_can_sample_with_tools(),
        cx.client_has_roots(),
    ];
    can.map(|can| if can { 'y' } else { 'n' }).iter().collect()
}

#[test]
fn only_what_the_client_declared_is_asked() {
    let server = server!().tool::<book>().tool::<everything>().tool::<with_tools>();
    let server = server.tool::<capable>().build().unwrap();
    let shown =
        |capabilities, name| Caller::new(server.clone(), capabilities).shown(name, "{}", &[]);
    for (capabilities, name, missing) in [
        ("{}", "book", r#"{"elicitation":{}}"#),
        (r#"{"elicitation":{"url":{}}}"#, "book", r#"{"elicitation":{"form":{}}}"#),
        (r#"{"elicitation":{}}"#, "everything", r#"{"elicitation":{"url":{}}}"#),
        (r#"{"elicitation":{"url":{}}}"#, "everything", r#"{"roots":{}}"#),
        (r#"{"elicitation":{"url":{}},"roots":{}}"#, "everything", r#"{"sampling":{}}"#),
        (r#"{"sampling":{}}"#, "with_tools", r#"{"sampling":{"tools":{}}}"#),
    ] {
        let shown = shown(capabilities, name);
        let code = codes::MISSING_CLIENT_CAPABILITY.to_string();
        assert!(shown.starts_with(&code), "{capabilities} {name}: {shown}");
        let data = format!(r#" {{"requiredCapabilities":{missing}}}"#);
        assert!(shown.ends_with(&data), "{capabilities} {name}: {shown}");
    }
    for (capabilities, expected) in [
        ("{}", "nnnnn"),
        (r#"{"elicitation":{}}"#, "ynnnn"),
        (r#"{"elicitation":{"form":{}},"sampling":{}}"#, "ynynn"),
        (r#"{"elicitation":{"url":{}},"sampling":{"tools":{}},"roots":{}}"#, "nyyyy"),
    ] {
        assert_eq!(shown(capabilities, "capable"), expected, "{capabilities}");
    }
}

#[cfg(not(feature = "sealed-state"))]
#[test]
fn a_step_is_not_run_where_its_result_cannot_be_kept() {
    #[tool]
    async fn once(cx: Context) -> Result<u32, ToolError> {
        cx.once("step", async || -> Result<u32, ToolError> { panic!("the step ran") }).await
    }

    let server = server!().tool::<once>().build().unwrap();
    let shown = Caller::new(server, ALL).shown("once", "{}", &[]);
    assert_eq!(shown, "-32603 the server cannot keep what it did so far, so it did nothing");
}
