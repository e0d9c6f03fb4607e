//! T15: the state that a server hands out between two rounds of a call comes back changed, or with
//! another call.

use mcp_server::types::{
    CallToolRequestParams, ClientRequest, ErrorObject, Exchange, Outcome, Principal,
    ProtocolVersion, RawText, ServerResult,
};
use mcp_server::{
    Context, Elicited, SealError, Server, StateSealer, ToolError, data, server, tool,
};
use tower_service::Service;

/// What most servers do: the state goes out as it is.
struct Unsealed;

impl StateSealer for Unsealed {
    fn seal(&self, state: &str, _: &[u8]) -> Result<String, SealError> {
        Ok(state.to_owned())
    }

    fn open(&self, sealed: &str, _: &[u8]) -> Result<String, SealError> {
        Ok(sealed.to_owned())
    }
}

#[data]
struct Consent {
    agreed: bool,
}

/// Orders something at the price of the moment.
#[tool]
async fn order(cx: Context, item: String) -> Result<String, ToolError> {
    let price = cx.once("price", async || Ok::<_, ToolError>(9_000)).await?;
    match cx.elicit::<Consent>("agree", format!("{item} for {price}?"))? {
        Elicited::Accepted(Consent { agreed: true }) => Ok(format!("sold {item} for {price}")),
        _ => Ok("nothing sold".into()),
    }
}

async fn call(
    server: &mut Server,
    item: &str,
    user: &str,
    state: Option<String>,
) -> Result<Outcome, ErrorObject> {
    let mut params = CallToolRequestParams::new("order");
    params.arguments = Some(RawText::of(&serde_json::json!({"item": item})).unwrap());
    let mut exchange = Exchange::new(ClientRequest::CallTool(params));
    let context = &mut exchange.context;
    let capabilities = RawText::new(r#"{"elicitation":{"form":{}}}"#).unwrap();
    context.set_client(ProtocolVersion::NEWEST, None, Some(capabilities));
    context.extensions.insert(Principal::new("https://issuer.example", user));
    if state.is_some() {
        let yes = RawText::new(r#"{"action":"accept","content":{"agreed":true}}"#).unwrap();
        context.input_responses = Some([("agree", yes)].into_iter().collect());
    }
    context.request_state = state;
    server.call(exchange).await
}

/// What is sold in the second round, when its state goes through `change` and its call is for
/// `item` by `user`.
async fn sold(
    mut server: Server,
    item: &str,
    user: &str,
    change: fn(String) -> String,
) -> Result<String, ErrorObject> {
    let asked = call(&mut server, "car", "ada", None).await?;
    let Outcome::InputRequired(asked) = asked else { panic!("{asked:?}") };
    let state = asked.request_state.map(change);
    match call(&mut server, item, user, state).await? {
        Outcome::Complete(ServerResult::CallTool(result)) => {
            Ok(result.content[0].as_text().unwrap().to_owned())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_state_that_was_changed_or_moved_is_no_state() {
    let plain = || server!().tool::<order>().seal_state(Unsealed).build().unwrap();
    let sealed = || server!().tool::<order>().build().unwrap();
    let same = |state: String| state;
    assert_eq!(sold(sealed(), "car", "ada", same).await.unwrap(), "sold car for 9000");

    let cheap = |state: String| state.replacen("9000", "1", 1);
    let works = sold(plain(), "car", "ada", cheap).await.unwrap();
    assert_eq!(works, "sold car for 1");
    let flipped = |mut state: String| {
        let last = state.pop().unwrap();
        state.push(if last == 'A' { 'B' } else { 'A' });
        state
    };
    assert!(sold(sealed(), "car", "ada", flipped).await.is_err());
    assert!(sold(sealed(), "car", "ada", |_| r#"{"done":{"price":1}}"#.into()).await.is_err());

    // What one call was told counts for no other call, and for nobody else.
    for (item, user) in [("yacht", "ada"), ("car", "eve")] {
        assert_eq!(sold(plain(), item, user, same).await.unwrap(), format!("sold {item} for 9000"));
        assert!(sold(sealed(), item, user, same).await.is_err(), "{item} {user}");
    }
}
