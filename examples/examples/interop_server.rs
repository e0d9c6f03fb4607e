//! What `tests/interop/README.md` asks of every server, over stdio; others' clients are run
//! against it.

use std::time::Duration;

use mcp_server::{Context, Elicited, ToolError, data, server, tool};

/// Gives its message back.
#[tool]
async fn echo(
    /// What to give back.
    message: String,
) -> String {
    format!("echo: {message}")
}

/// Counts its steps, one progress notification each.
#[tool]
async fn slow(
    cx: Context,
    /// How many steps.
    #[arg(default = 3)]
    steps: u32,
    /// How long to wait after each step.
    #[arg(default = 20)]
    delay_ms: u64,
) -> String {
    for step in 1..=steps {
        cx.progress_with(step, f64::from(steps), format!("step {step}")).await;
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    format!("slow done: {steps}")
}

/// Who is asked.
#[data]
struct Person {
    name: String,
}

/// Asks the user for a name.
#[tool]
async fn ask(cx: Context) -> Result<String, ToolError> {
    Ok(match cx.elicit::<Person>("name", "What is your name?")? {
        Elicited::Accepted(person) => format!("hello {}", person.name),
        Elicited::Declined => "ask decline".into(),
        Elicited::Cancelled => "ask cancel".into(),
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let server = server!().tool::<echo>().tool::<slow>().tool::<ask>().build()?;
    Ok(mcp_transport::serve(server, mcp_transport::stdio()?).await?)
}
