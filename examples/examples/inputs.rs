//! Tools that ask: the user by a form or a page, the client's model, the client itself. And a client
//! that answers.
//!
//! `inputs` serves standard streams. `inputs ask` is a client: it starts this program, answers what
//! it asks, and goes through everything else that a client can want.

use mcp_client::types::{
    CreateMessageResult, ElicitAction, ElicitResult, Implementation, LoggingLevel, Root,
    SamplingMessageContentBlock,
};
use mcp_client::{Client, DisplayName as _, InputLayer, Inputs, text_of};
use mcp_server::types::{CreateMessageRequestParams, Role, SamplingMessage, TextContent};
use mcp_server::{Context, Elicited, ToolError, data, prompt, resource, server, tool};
use mcp_transport::LimitsLayer;
use mcp_transport::process::Command;
use serde_json::json;
use tower_layer::Layer as _;

/// A form: its fields are texts, numbers, booleans and choices, and nothing deeper.
#[data]
struct ConfirmBooking {
    /// Confirm the booking?
    confirm: bool,
    /// Special requests.
    #[serde(default)]
    notes: String,
}

/// Books a table, once the user has confirmed it.
#[tool]
async fn book_table(cx: Context, date: String, party_size: u8) -> Result<String, ToolError> {
    let question = format!("Confirm booking for {party_size} on {date}?");
    // The tool runs again from here when the answer is there: ask first, act after.
    Ok(match cx.elicit::<ConfirmBooking>("confirm", question)? {
        Elicited::Accepted(ConfirmBooking { confirm: true, notes }) => {
            let number: u32 = cx.once("book", async || Ok::<_, ToolError>(1)).await?;
            format!("Booked as number {number}! Notes: {notes}")
        }
        Elicited::Accepted(_) | Elicited::Cancelled => "Booking cancelled".to_owned(),
        Elicited::Declined => "Booking declined".to_owned(),
    })
}

/// Sums a text up by the client's model, and asks for the client's folders in the same round.
#[tool]
async fn sum_up(cx: Context, text: String) -> Result<String, ToolError> {
    let block = SamplingMessageContentBlock::Text(TextContent::new(text));
    let message = SamplingMessage::new(block.into(), Role::User);
    let answer = cx.sample("summary", CreateMessageRequestParams::new(200, vec![message]));
    let (answer, roots) = cx.all((answer, cx.list_roots("roots")))?;
    Ok(format!("{} ({} roots): {:?}", answer.model, roots.len(), answer.content))
}

/// Pays a deposit. What must not pass through the client, such as a card number, is asked on a page.
#[tool]
async fn pay_deposit(cx: Context) -> Result<&'static str, ToolError> {
    let page = "https://pay.example.com/deposit";
    Ok(match cx.elicit_url("deposit", "The restaurant wants a deposit.", page)? {
        // The user agreed to open the page; whether they paid, the payment service knows.
        Elicited::Accepted(()) => "Call again once the deposit is paid",
        Elicited::Declined | Elicited::Cancelled => "No deposit, no table",
    })
}

/// An example of a prompt.
#[prompt(name = "example-prompt")]
async fn example_prompt(arg1: String) -> String {
    format!("Tell me about {arg1}")
}

/// The opening hours.
#[resource("hours://today")]
async fn hours() -> &'static str {
    "12 to 23"
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("ask") {
        return ask().await;
    }
    let server = server!()
        .tool::<book_table>()
        .tool::<sum_up>()
        .tool::<pay_deposit>()
        .prompt::<example_prompt>()
        .resource::<hours>()
        .build()?;
    Ok(mcp_transport::serve(LimitsLayer::new().layer(server), mcp_transport::stdio()?).await?)
}

async fn ask() -> anyhow::Result<()> {
    let inputs = Inputs::new()
        .elicit(|form| async move {
            println!("asked: {}", form.message());
            form.accept(&json!({ "confirm": true, "notes": "by the window" }))
        })
        .elicit_url(|page| async move {
            println!("asked to open: {}", page.url);
            Ok(ElicitResult::new(ElicitAction::Decline))
        })
        .sample(|_request| async {
            let text = SamplingMessageContentBlock::Text(TextContent::new("Hello from the model"));
            Ok(CreateMessageResult::new(text.into(), "example-model", Role::Assistant))
        })
        .roots(|| async { Ok(vec![Root::new("file:///home/ada/work")]) });
    let io = Command::new(std::env::current_exe()?).spawn()?;
    let connection = mcp_transport::connect(io, Implementation::new("inputs", "1.0.0"));
    let client = Client::new(connection.clone()).layer(InputLayer::new(inputs));

    for prompt in client.all_prompts().await? {
        println!("prompt {}", prompt.display_name());
    }
    let prompt = client.get_prompt("example-prompt", [("arg1", "tables")]).await?;
    println!("{} message", prompt.messages.len());
    for resource in client.all_resources().await? {
        let contents = client.read_resource(&resource.uri).await?.contents;
        println!("resource {}: {} piece", resource.display_name(), contents.len());
    }
    for tool in client.all_tools().await? {
        println!("tool {}", mcp_client::display_name(&tool));
    }
    let booking = json!({ "date": "Friday", "party_size": 4 });
    println!("{}", text_of(&client.call_tool("book_table", &booking).await?));
    let call = client.tool_call("sum_up").arguments(&json!({ "text": "a long story" }))?;
    println!("{}", text_of(&call.log_level(LoggingLevel::Info).send().await?));
    println!("{}", text_of(&client.call_tool("pay_deposit", &json!({})).await?));
    connection.close().await;
    Ok(())
}
