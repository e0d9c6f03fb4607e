//! Tools that ask: forms, models, roots, in one round and in several.

use mcp_server::types::{
    BooleanSchema, CreateMessageRequestParams, CreateMessageResult, ElicitRequestFormParams,
    ElicitRequestFormParamsRequestedSchema, PrimitiveSchemaDefinition, RawText, Role,
    SamplingMessage, SamplingMessageContentBlock, TextContent,
};
use mcp_server::{Context, Elicited, ServerBuilder, Suspended, ToolError, data, tool};

#[data]
struct Name {
    name: String,
}

#[data]
struct User {
    /// How the user is called here.
    username: String,
    /// Where letters go.
    #[schemars(email)]
    email: String,
}

fn question(text: &str) -> CreateMessageRequestParams {
    let block = SamplingMessageContentBlock::Text(TextContent::new(text));
    CreateMessageRequestParams::new(100, vec![SamplingMessage::new(block.into(), Role::User)])
}

fn said(answer: &CreateMessageResult) -> String {
    RawText::of(&answer.content).map_or_else(|_| String::new(), |text| text.get().to_owned())
}

fn named(answer: Elicited<Name>) -> String {
    answer.accepted().map_or_else(|| "nobody".to_owned(), |form| form.name)
}

/// Asks the client's model.
#[tool]
async fn test_sampling(cx: Context, prompt: String) -> Result<String, ToolError> {
    Ok(format!("LLM response: {}", said(&cx.sample("answer", question(&prompt))?)))
}

/// Asks the user for a name and an address.
#[tool]
async fn test_elicitation(cx: Context, message: String) -> Result<String, ToolError> {
    let answer = cx.elicit::<User>("user", message)?.accepted();
    Ok(match answer {
        Some(user) => format!("User response: {} <{}>", user.username, user.email),
        None => "The user did not answer.".into(),
    })
}

/// A form that is written by hand.
fn form(cx: &Context, fields: &str) -> Result<String, ToolError> {
    let schema = format!(r#"{{"type":"object","properties":{fields}}}"#);
    let schema: ElicitRequestFormParamsRequestedSchema = RawText::new(schema)?.parse()?;
    let form = ElicitRequestFormParams::new("Please look at these values.", schema);
    Ok(match cx.elicit_form("form", form)? {
        Elicited::Accepted(fields) => format!("Elicitation completed: {fields:?}"),
        Elicited::Declined | Elicited::Cancelled => "Elicitation completed: no answer".into(),
    })
}

/// Asks with a default for each kind of field.
#[tool]
async fn test_elicitation_sep1034_defaults(cx: Context) -> Result<String, ToolError> {
    form(
        &cx,
        r#"{
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
            "verified": {"type": "boolean", "default": true}
        }"#,
    )
}

/// Asks with each kind of choice.
#[tool]
async fn test_elicitation_sep1330_enums(cx: Context) -> Result<String, ToolError> {
    let titled =
        r#"[{"const": "value1", "title": "First"}, {"const": "value2", "title": "Second"}]"#;
    let plain = r#""enum": ["option1", "option2", "option3"]"#;
    form(
        &cx,
        &format!(
            r#"{{
            "untitledSingle": {{"type": "string", {plain}}},
            "titledSingle": {{"type": "string", "oneOf": {titled}}},
            "legacyEnum": {{"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["First", "Second"]}},
            "untitledMulti": {{"type": "array", "items": {{"type": "string", {plain}}}}},
            "titledMulti": {{"type": "array", "items": {{"anyOf": {titled}}}}}
        }}"#
        ),
    )
}

/// Needs a client that can ask a model.
#[tool]
async fn test_missing_capability(cx: Context) -> Result<String, ToolError> {
    Ok(said(&cx.sample("answer", question("Are you there?"))?))
}

/// Asks the user, on a stream or not.
#[tool]
async fn test_streaming_elicitation(cx: Context) -> Result<String, ToolError> {
    Ok(format!("Hello, {}!", named(cx.elicit("user_name", "What is your name?")?)))
}

/// Asks the user for a name.
#[tool]
async fn test_input_required_result_elicitation(cx: Context) -> Result<String, ToolError> {
    Ok(format!("Hello, {}!", named(cx.elicit("user_name", "What is your name?")?)))
}

/// Asks the client's model for a capital.
#[tool]
async fn test_input_required_result_sampling(cx: Context) -> Result<String, ToolError> {
    Ok(said(&cx.sample("capital_question", question("What is the capital of France?"))?))
}

/// Asks the client for its roots.
#[tool]
async fn test_input_required_result_list_roots(cx: Context) -> Result<String, ToolError> {
    Ok(format!("{} roots", cx.list_roots("client_roots")?.len()))
}

/// Asks for yes or no.
fn confirmed(cx: &Context, key: &str) -> Result<bool, Suspended> {
    let ok = PrimitiveSchemaDefinition::Boolean(BooleanSchema::new());
    let schema = ElicitRequestFormParamsRequestedSchema::new([("ok".to_owned(), ok)].into());
    let form = ElicitRequestFormParams::new("Go on?", schema);
    Ok(matches!(cx.elicit_form(key, form)?, Elicited::Accepted(_)))
}

/// Keeps a value between its two rounds.
#[tool]
async fn test_input_required_result_request_state(cx: Context) -> Result<String, ToolError> {
    let kept: String = cx.once("kept", async || Ok::<_, ToolError>("kept".into())).await?;
    Ok(format!("state-ok: {kept}, confirmed {}", confirmed(&cx, "confirm")?))
}

/// Asks user, model and client at once.
#[tool]
async fn test_input_required_result_multiple_inputs(cx: Context) -> Result<String, ToolError> {
    let _: bool = cx.once("asked", async || Ok::<_, ToolError>(true)).await?;
    let (name, greeting, roots) = cx.all((
        cx.elicit::<Name>("user_name", "What is your name?"),
        cx.sample("greeting", question("Say hello.")),
        cx.list_roots("client_roots"),
    ))?;
    Ok(format!("{}, {}, {} roots", named(name), said(&greeting), roots.len()))
}

#[data]
struct Color {
    color: String,
}

/// Asks twice, the second time because of the first answer.
#[tool]
async fn test_input_required_result_multi_round(cx: Context) -> Result<String, ToolError> {
    let _: bool = cx.once("asked", async || Ok::<_, ToolError>(true)).await?;
    let name = named(cx.elicit("step1", "Step 1: What is your name?")?);
    let color = cx.elicit::<Color>("step2", format!("Step 2: {name}, which color do you like?"))?;
    let color = color.accepted().map_or_else(|| "no color".to_owned(), |form| form.color);
    Ok(format!("{name} likes {color}"))
}

/// Refuses a state that it did not make.
#[tool]
async fn test_input_required_result_tampered_state(cx: Context) -> Result<String, ToolError> {
    let kept: String = cx.once("kept", async || Ok::<_, ToolError>("kept".into())).await?;
    Ok(format!("{kept}, confirmed {}", confirmed(&cx, "confirm")?))
}

/// Asks whatever the client can answer.
#[tool]
async fn test_input_required_result_capabilities(cx: Context) -> Result<String, ToolError> {
    if cx.client_can_elicit() {
        return Ok(named(cx.elicit("user_name", "What is your name?")?));
    }
    Ok(said(&cx.sample("greeting", question("Say hello."))?))
}

/// Adds all of these.
pub(crate) fn add(server: ServerBuilder) -> ServerBuilder {
    server
        .tool::<test_sampling>()
        .tool::<test_elicitation>()
        .tool::<test_elicitation_sep1034_defaults>()
        .tool::<test_elicitation_sep1330_enums>()
        .tool::<test_missing_capability>()
        .tool::<test_streaming_elicitation>()
        .tool::<test_input_required_result_elicitation>()
        .tool::<test_input_required_result_sampling>()
        .tool::<test_input_required_result_list_roots>()
        .tool::<test_input_required_result_request_state>()
        .tool::<test_input_required_result_multiple_inputs>()
        .tool::<test_input_required_result_multi_round>()
        .tool::<test_input_required_result_tampered_state>()
        .tool::<test_input_required_result_capabilities>()
}
