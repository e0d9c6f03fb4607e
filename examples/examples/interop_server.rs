//! What `tests/interop/README.md` asks of every server, over stdio; others' clients are run
//! against it.

use std::collections::BTreeMap;
use std::time::Duration;

use mcp_server::types::{
    ElicitAction, ElicitRequestFormParams, ElicitRequestFormParamsRequestedSchema,
    PrimitiveSchemaDefinition, StringSchema,
};
use mcp_server::{Context, ToolError, server, tool};

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

/// Asks the user for a name.
#[tool]
async fn ask(cx: Context) -> Result<String, ToolError> {
    let name = PrimitiveSchemaDefinition::String(StringSchema::new());
    let mut schema =
        ElicitRequestFormParamsRequestedSchema::new(BTreeMap::from([("name".into(), name)]));
    schema.required = Some(vec!["name".into()]);
    let answer = cx.elicit("name", ElicitRequestFormParams::new("What is your name?", schema))?;
    if answer.action != ElicitAction::Accept {
        return Ok(format!("ask {}", answer.action));
    }
    let content = answer.content.unwrap_or_default();
    let name = content.get("name").ok_or("the answer has no `name`")?;
    Ok(format!("hello {}", name.parse::<String>()?))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let server = server!().tool::<echo>().tool::<slow>().tool::<ask>().build()?;
    Ok(mcp_transport::serve(server, mcp_transport::stdio()?).await?)
}
