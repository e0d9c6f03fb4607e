//! Identity, listing, dispatch, faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mcp_server::types::error::codes;
use mcp_server::types::*;
use mcp_server::{Call, Context, Server, ToolError, server};
use tower_service::Service;

use crate::{ask, call, text};

fn definition(name: &str) -> Tool {
    Tool::new(name, JsonSchema::empty_object())
}

fn three_tools() -> Server {
    server!()
        .state(String::from("state"))
        .instructions("use with care")
        .page_size(2)
        .tool_fn(definition("echo"), async |cx: Context<String>, arguments| {
            format!("{} {arguments}", cx.state())
        })
        .tool_fn(definition("fail"), async |_, _| {
            Err::<(), _>(ToolError::new("try another id").log("disk 7 is full"))
        })
        .tool_fn(definition("panic"), async |_, arguments: RawText| {
            assert!(arguments.get() == "{}", "boom");
        })
        .build()
        .unwrap()
}

#[test]
fn discover_tells_who_and_what() {
    let outcome = ask(&three_tools(), ClientRequest::Discover(RequestParams::new())).unwrap();
    let Outcome::Complete(ServerResult::Discover(result)) = outcome else { panic!() };
    let info = result.server_info().unwrap();
    assert_eq!(
        (info.name.as_str(), info.version.as_str()),
        ("mcp-server", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(result.instructions.as_deref(), Some("use with care"));
    assert!(result.capabilities.tools.is_some() && result.capabilities.logging.is_some());
    assert!(result.capabilities.prompts.is_none() && result.capabilities.resources.is_none());

    let outcome = ask(&server!().build().unwrap(), ClientRequest::Discover(RequestParams::new()));
    let Ok(Outcome::Complete(ServerResult::Discover(result))) = outcome else { panic!() };
    assert_eq!(result.capabilities, ServerCapabilities::new());
}

#[test]
fn a_listing_comes_in_pages() {
    let server = three_tools();
    let (mut names, mut params) = (Vec::new(), PaginatedRequestParams::new());
    loop {
        let outcome = ask(&server, ClientRequest::ListTools(params.clone())).unwrap();
        let Outcome::Complete(ServerResult::ListTools(page)) = outcome else { panic!() };
        names.push(page.tools.iter().map(|tool| tool.name.clone()).collect::<Vec<_>>());
        if page.next_cursor.is_none() {
            break;
        }
        params.cursor = page.next_cursor;
    }
    assert_eq!(names, [vec!["echo", "fail"], vec!["panic"]]);
    params.cursor = Some("nonsense".into());
    let error = ask(&server, ClientRequest::ListTools(params)).unwrap_err();
    assert_eq!(error.code, codes::INVALID_PARAMS);
}

#[test]
fn a_call_reaches_its_tool_with_state_and_arguments() {
    let server = three_tools();
    let result = call(&server, "echo", r#"{"a": 1}"#).unwrap();
    assert_eq!((text(&result), result.is_error), (r#"state {"a": 1}"#, None));
    let without = ClientRequest::CallTool(CallToolRequestParams::new("echo"));
    let Ok(Outcome::Complete(ServerResult::CallTool(result))) = ask(&server, without) else {
        panic!()
    };
    assert_eq!(text(&result), "state {}");
}

#[test]
fn the_model_reads_its_part_of_a_failure() {
    let result = call(&three_tools(), "fail", "{}").unwrap();
    assert_eq!((text(&result), result.is_error), ("try another id", Some(true)));
}

#[test]
fn a_panic_ends_its_own_call() {
    let server = three_tools();
    assert_eq!(call(&server, "panic", r#"{"a":1}"#).unwrap_err().code, codes::INTERNAL_ERROR);
    assert!(call(&server, "panic", "{}").unwrap().content.is_empty());
}

#[test]
fn what_is_not_there_is_an_error_of_the_protocol() {
    let server = three_tools();
    let error = call(&server, "nope", "{}").unwrap_err();
    assert_eq!(error.code, codes::INVALID_PARAMS);
    assert_eq!(error.message, "there is no tool `nope`, see `tools/list`");
    let error = call(&server, "painc", "{}").unwrap_err();
    assert_eq!(error.message, "there is no tool `painc`, did you mean `panic`?");
    let request = ClientRequest::ListPrompts(PaginatedRequestParams::new());
    assert_eq!(ask(&server, request).unwrap_err().code, codes::METHOD_NOT_FOUND);
}

#[test]
fn a_server_is_checked_when_it_is_built() {
    let build = |names: &[&str]| {
        let add = |server: mcp_server::ServerBuilder, name: &&str| {
            server.tool_fn(definition(name), async |_, _| ())
        };
        names.iter().fold(server!(), add).build().map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(build(&["a.b-c_D9", &"x".repeat(128)]), Ok(()));
    for (names, message) in [
        (&["a", "b", "a"][..], "two tools are named `a`, give one of them another name"),
        (&[""], "the tool name `` is refused: give it at least one character"),
        (&["a b"], "the tool name `a b` is refused: use only A-Z, a-z, 0-9, `_`, `.` and `-`"),
        (&["é"], "the tool name `é` is refused: use only A-Z, a-z, 0-9, `_`, `.` and `-`"),
    ] {
        assert_eq!(build(names), Err(message.to_owned()));
    }
    assert!(build(&[&"x".repeat(129)]).is_err());
    assert!(Server::new("", "1").build().is_err());
    assert!(Server::new("a", "").build().is_err());
}

#[test]
fn dropping_a_call_drops_its_tool() {
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = dropped.clone();
    let server = server!().tool_fn(definition("wait"), move |_, _| {
        let flag = Flag(flag.clone());
        async move {
            let _flag = flag;
            std::future::pending::<()>().await;
        }
    });
    let mut server = server.build().unwrap();
    let request = ClientRequest::CallTool(CallToolRequestParams::new("wait"));
    let running = server.call(Exchange::new(request));
    assert!(!dropped.load(Ordering::Relaxed));
    drop(running);
    assert!(dropped.load(Ordering::Relaxed));
}

/// A tool written by hand.
struct Count;

impl mcp_server::Tool for Count {
    fn definition(&self) -> Result<Tool, mcp_server::BuildError> {
        Ok(definition("count"))
    }

    fn call(&self, call: Call) -> ExchangeFuture {
        Box::pin(async move { Ok(ServerResult::CallTool(CallToolResult::text(call.tool)).into()) })
    }
}

#[test]
fn a_tool_can_be_written_by_hand() {
    let server = server!().add_tool(Count).build().unwrap();
    assert_eq!(text(&call(&server, "count", "{}").unwrap()), "count");
}

/// A made-up extension.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Translation {
    languages: Vec<String>,
}

impl mcp_server::types::ExtensionCapability for Translation {
    const ID: &'static str = "com.example/translation";
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Nameless(u8);

impl mcp_server::types::ExtensionCapability for Nameless {
    const ID: &'static str = "nameless";
}

#[test]
fn extensions_are_declared_by_type() {
    let settings = Translation { languages: vec!["de".into()] };
    let server = mcp_server::server!().extension(&settings).build().unwrap();
    let discover = ClientRequest::Discover(mcp_server::types::RequestParams::new());
    let outcome = futures_executor::block_on(tower_service::Service::call(
        &mut server.clone(),
        Exchange::new(discover),
    ));
    let Ok(Outcome::Complete(ServerResult::Discover(found))) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(found.capabilities.extension().unwrap(), Some(settings));
    let refused = mcp_server::server!().extension(&Nameless(1)).build().unwrap_err();
    assert!(refused.to_string().contains("`nameless`"), "{refused}");
}
