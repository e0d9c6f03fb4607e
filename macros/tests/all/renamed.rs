//! Crates under other names, and a caller's scope that holds surprising names.

use ::etdi_core as other_etdi;
use ::mcp_server as other_server;

mod server {
    pub(super) use crate::renamed::other_server::*;
}

// Names of the prelude that generated code must not stumble over.
#[allow(dead_code)]
struct Result;
#[allow(dead_code)]
struct Ok;
#[allow(dead_code)]
struct Box;
#[allow(dead_code)]
struct Option;

#[server::tool(
    crate = crate::renamed::server,
    etdi_crate = other_etdi,
    etdi,
    version = "1.0.0"
)]
async fn shadowed(text: String) -> String {
    text
}

/// The name that everybody gives to the parameter for a state, and some to the state.
struct S(u8);

#[server::tool(crate = crate::renamed::server)]
fn stately(cx: server::Context<S>, n: u8) -> u8 {
    cx.state().0 + n
}

struct Object;

#[server::tools(crate = crate::renamed::server)]
impl Object {
    #[server::tool]
    #[cfg(not(any()))]
    fn here(&self, n: u8) -> u8 {
        n
    }

    #[server::tool]
    #[cfg(any())]
    fn gone(&self) -> NoSuchType {}

    #[server::prompt]
    fn prompted(&self, #[arg(default = "x")] text: String) -> String {
        text
    }

    #[server::resource("x:{n}")]
    #[cfg(any())]
    fn gone_as_well(&self, n: u8) -> NoSuchType {}
}

#[server::prompt(crate = crate::renamed::server)]
async fn asked(#[arg(complete = suggested)] r#type: String, n: std::option::Option<u8>) -> String {
    format!("{type} {n:?}", type = r#type)
}

#[server::completion(crate = crate::renamed::server)]
fn suggested(value: String, n: std::option::Option<u8>) -> Vec<String> {
    vec![format!("{value} {n:?}")]
}

#[server::resource("x:{type}", crate = crate::renamed::server)]
fn read(cx: server::Context<S>, r#type: u8) -> std::option::Option<String> {
    Some(format!("{} {}", cx.state().0, r#type))
}

#[test]
fn expansions_find_their_crates() {
    let server = server::Server::new("renamed", "1.0.0").tool::<shadowed>().tools(Object);
    let server = server.build().unwrap();
    let tools = server.tools();
    let names: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["shadowed", "here"]);
}

#[test]
fn a_state_may_have_any_name() {
    let server = server::Server::new("renamed", "1.0.0").state(S(1)).tool::<stately>();
    let server = server.prompt::<asked>().resource::<read>();
    assert_eq!(server.build().unwrap().tools().len(), 1);
}
