//! Tools that outlive their request, as the suite's scenarios for the Tasks extension call them.

use std::time::Duration;

use mcp_server::task::{TaskStore, Tasks};
use mcp_server::types::ErrorObject;
use mcp_server::{Context, Elicited, ServerBuilder, ToolError, data, tool};

/// Greets somebody, at once.
#[tool]
async fn greet(name: String) -> String {
    format!("Hello, {name}!")
}

/// Takes its time.
#[tool(task)]
async fn slow_compute(cx: Context, seconds: f64, label: Option<String>) -> String {
    let steps = seconds.clamp(0.0, 3_600.0).ceil();
    let mut done = 0.0;
    while done < steps {
        tokio::time::sleep(Duration::from_secs_f64((seconds - done).min(1.0))).await;
        done += 1.0;
        cx.progress(done, steps).await;
    }
    format!("computed {} in {seconds} s", label.as_deref().unwrap_or("something"))
}

/// Fails after a while, for the model to read.
#[tool(task = "required")]
async fn failing_job() -> Result<String, ToolError> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    Err("the job failed, as it always does".into())
}

/// Fails with an error of the protocol.
#[tool(task = "required")]
async fn protocol_error_job() -> Result<String, ErrorObject> {
    Err(ErrorObject::internal("the job broke, as it always does"))
}

#[data]
struct Confirmation {
    confirm: bool,
}

/// Deletes a file that is not there, once that is confirmed.
#[tool(task = "required")]
async fn confirm_delete(cx: Context, filename: String) -> Result<String, ToolError> {
    let answer = cx.elicit::<Confirmation>("confirm", format!("Delete {filename}?"))?;
    Ok(match answer {
        Elicited::Accepted(Confirmation { confirm: true }) => format!("deleted {filename}"),
        _ => format!("kept {filename}"),
    })
}

#[data]
struct Name {
    name: String,
}

/// Asks two questions at once.
#[tool(task = "required")]
async fn multi_input(cx: Context) -> Result<String, ToolError> {
    let (first, second) = cx.all((
        cx.elicit::<Name>("first", "What is the first name?"),
        cx.elicit::<Name>("second", "What is the second name?"),
    ))?;
    Ok(format!("{} and {}", named(first), named(second)))
}

/// Asks for a name in the request, and greets it in a task.
#[tool]
async fn test_tool_with_task(cx: Context) -> Result<String, ToolError> {
    let name = named(cx.elicit::<Name>("user_name", "What is your name?")?);
    cx.into_task()?;
    Ok(format!("Hello, {name}!"))
}

fn named(answer: Elicited<Name>) -> String {
    answer.accepted().map_or_else(|| "nobody".to_owned(), |form| form.name)
}

pub(crate) fn add(builder: ServerBuilder, store: impl TaskStore) -> ServerBuilder {
    builder
        .tasks(Tasks::new(store).poll_interval(Duration::from_millis(200)))
        .tool::<greet>()
        .tool::<slow_compute>()
        .tool::<failing_job>()
        .tool::<protocol_error_job>()
        .tool::<confirm_delete>()
        .tool::<multi_input>()
        .tool::<test_tool_with_task>()
}
