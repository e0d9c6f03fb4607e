//! The server at its socket: an exchange in, an outcome out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[cfg(feature = "glob")]
mod access;
mod call;
mod context;
mod feature;
mod input;
mod lifespan;
mod listing;
mod prompt;
mod resource;
#[cfg(feature = "sealed-state")]
mod sealed;
mod service;
mod span;
mod subscription;
mod task;
mod tool;

use futures_executor::block_on;
use mcp_server::Server;
use mcp_server::types::*;
use tower_service::Service;

fn ask(server: &Server, request: ClientRequest) -> Result<Outcome, ErrorObject> {
    block_on(server.clone().call(Exchange::new(request)))
}

fn request(name: &str, arguments: &str) -> ClientRequest {
    let mut params = CallToolRequestParams::new(name);
    params.arguments = Some(RawText::new(arguments).unwrap());
    ClientRequest::CallTool(params)
}

fn call(server: &Server, name: &str, arguments: &str) -> Result<CallToolResult, ErrorObject> {
    match ask(server, request(name, arguments))? {
        Outcome::Complete(ServerResult::CallTool(result)) => Ok(result),
        other => panic!("{other:?}"),
    }
}

fn text(result: &CallToolResult) -> &str {
    match &result.content[..] {
        [ContentBlock::Text(text)] => &text.text,
        other => panic!("{other:?}"),
    }
}

/// Text, structured content and failure of a call, on one line.
fn shown(server: &Server, name: &str, arguments: &str) -> String {
    let result = match call(server, name, arguments) {
        Ok(result) => result,
        Err(error) => return format!("{} {}", error.code, error.message),
    };
    let mut parts = Vec::new();
    if result.is_error == Some(true) {
        parts.push("error:".to_owned());
    }
    parts.extend(result.content.iter().map(|block| match block {
        ContentBlock::Text(text) => text.text.clone(),
        other => format!("{other:?}"),
    }));
    parts.extend(result.structured_content.map(|data| format!("+ {data}")));
    parts.join(" ")
}
