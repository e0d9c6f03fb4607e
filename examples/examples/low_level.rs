//! The low-level server: `Service<Exchange>` by hand, for whoever wants the whole protocol.
//!
//! A server is a function from an exchange to an outcome; everything else is built on that. This
//! one has a prompt, a tool whose schemas are written out, and a database that is opened before it
//! serves and closed after it. It serves standard streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use anyhow::Result;
use mcp_server::data;
use mcp_server::types::{
    CallToolRequestParams, CallToolResult, ClientRequest, DiscoverResult, ErrorObject, Exchange,
    ExchangeFuture, GetPromptRequestParams, GetPromptResult, Implementation, JsonSchema,
    ListPromptsResult, ListToolsResult, Listed, Outcome, Prompt, PromptArgument, PromptMessage,
    ProtocolVersion, RawText, ServerCapabilities, ServerCapabilitiesPrompts,
    ServerCapabilitiesTools, ServerResult, Tool,
};
use tower_service::Service;

/// Stands for something that is opened and closed.
struct Database(AtomicU64);

impl Database {
    async fn query(&self, query: &str) -> String {
        let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        format!("answer {count} to `{query}`")
    }

    async fn close(&self) {
        eprintln!("closed after {} queries", self.0.load(Ordering::Relaxed));
    }
}

/// The server. Cheap to clone: a clone of it serves each exchange.
#[derive(Clone)]
struct LowLevel(Arc<Inner>);

struct Inner {
    database: Arc<Database>,
    discover: DiscoverResult,
    prompts: ListPromptsResult,
    tools: ListToolsResult,
}

impl Service<Exchange> for LowLevel {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let inner = self.0.clone();
        Box::pin(async move { inner.answer(exchange.request).await.map(Outcome::Complete) })
    }
}

impl Inner {
    async fn answer(&self, request: ClientRequest) -> Result<ServerResult, ErrorObject> {
        Ok(match request {
            ClientRequest::Discover(_) => ServerResult::Discover(Box::new(self.discover.clone())),
            ClientRequest::ListPrompts(_) => ServerResult::ListPrompts(self.prompts.clone()),
            ClientRequest::GetPrompt(params) => ServerResult::GetPrompt(example_prompt(&params)?),
            ClientRequest::ListTools(_) => ServerResult::ListTools(self.tools.clone()),
            ClientRequest::CallTool(params) => ServerResult::CallTool(self.query(params).await?),
            other => return Err(ErrorObject::method_not_found(other.method())),
        })
    }

    async fn query(&self, params: CallToolRequestParams) -> Result<CallToolResult, ErrorObject> {
        if params.name != "query" {
            return Err(ErrorObject::invalid_params(format!("there is no tool `{}`", params.name)));
        }
        // What the model can mend is a result that it reads, not an error of the protocol.
        let query = match params.arguments.map(|arguments| arguments.parse::<Query>()) {
            Some(Ok(Query { query })) => query,
            Some(Err(error)) => return Ok(CallToolResult::error(error)),
            None => return Ok(CallToolResult::error("the argument `query` is missing")),
        };
        let answer = Answer { answer: self.database.query(&query).await, query };
        CallToolResult::structured(&answer)
            .map_err(|error| ErrorObject::internal(error.to_string()))
    }
}

#[data]
struct Query {
    query: String,
}

#[data]
struct Answer {
    answer: String,
    query: String,
}

fn example_prompt(params: &GetPromptRequestParams) -> Result<GetPromptResult, ErrorObject> {
    if params.name != "example-prompt" {
        return Err(ErrorObject::invalid_params(format!("there is no prompt `{}`", params.name)));
    }
    let argument = params.arguments.as_ref().and_then(|arguments| arguments.get("arg1"));
    let argument = argument.ok_or_else(|| ErrorObject::invalid_params("`arg1` is missing"))?;
    let text = format!("Example prompt text about {argument}");
    Ok(GetPromptResult::new(vec![PromptMessage::user(text)]))
}

fn server(database: Arc<Database>) -> Result<LowLevel> {
    let mut argument = PromptArgument::new("arg1");
    argument.required = Some(true);
    let mut prompt = Prompt::new("example-prompt");
    prompt.arguments = Some(vec![argument]);

    let schema = |text: &str| -> Result<JsonSchema> { Ok(JsonSchema::new(RawText::new(text)?)?) };
    let text = r#"{"type":"object","properties":{"query":{"type":"string"}},"required":["query"]}"#;
    let mut tool = Tool::new("query", schema(text)?);
    tool.description = Some("Asks the database.".to_owned());
    tool.output_schema = Some(schema(
        r#"{"type":"object","required":["answer","query"],
            "properties":{"answer":{"type":"string"},"query":{"type":"string"}}}"#,
    )?);

    let mut can = ServerCapabilities::new();
    can.prompts = Some(ServerCapabilitiesPrompts::new());
    can.tools = Some(ServerCapabilitiesTools::new());
    let mut discover = DiscoverResult::new(can, vec![ProtocolVersion::NEWEST.to_string()]);
    discover.set_server_info(&Implementation::new("low-level", "1.0.0"))?;

    Ok(LowLevel(Arc::new(Inner {
        database,
        discover,
        prompts: ListPromptsResult::new(vec![Arc::new(Listed::new(prompt)?)].into()),
        tools: ListToolsResult::new(vec![Arc::new(Listed::new(tool)?)].into()),
    })))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let database = Arc::new(Database(AtomicU64::new(0)));
    let served = mcp_transport::serve(server(database.clone())?, mcp_transport::stdio()?).await;
    database.close().await;
    Ok(served?)
}
