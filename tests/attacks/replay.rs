//! T31: a signed call that is repeated, redirected or changed on its way.

use std::sync::Arc;

use etdi::core::digest::Digest;
use etdi::core::identity::ServerIdentity;
use etdi::core::key::{Algorithm, SigningKey};
use etdi::core::request::Call;
use etdi::core::time::UnixTime;
use etdi::core::wire::{CALL, ERROR_DATA};
use etdi::core::{definition::RawTool, request::LIFETIME};
use etdi::{EtdiServerConfig, secure};
use mcp_client::{Client, Error};
use mcp_server::{server, tool};
use mcp_types::{CallToolResult, ExchangeService, Members, RawText};
use serde_json::{Value, json};

use crate::world::{NOW, identity};

/// Pays somebody.
#[tool(etdi, version = "1.0.0", permissions = ["money:send"], require_request_signing)]
fn pay(to: String, amount: u32) -> String {
    format!("paid {amount} to {to}")
}

/// What the client sends along.
#[derive(Clone)]
struct Signed {
    arguments: Value,
    statement: String,
}

async fn send(
    client: &Client<impl ExchangeService>,
    call: &Signed,
) -> Result<CallToolResult, String> {
    let statement = RawText::of(&call.statement).unwrap();
    let sent = client.tool_call("pay").arguments(&call.arguments).unwrap().meta(CALL, statement);
    sent.send().await.map_err(|error| match error {
        Error::Service(error) => {
            let data: Members = error.data.unwrap().parse().unwrap();
            data.get(ERROR_DATA).unwrap().parse().unwrap()
        }
        other => other.to_string(),
    })
}

#[tokio::test]
async fn a_signed_call_counts_once_for_one_server_and_these_arguments() {
    let tools = server!().tool::<pay>().build().unwrap();
    let definition = RawTool::from_listed(&tools.tools()[0]).unwrap().digest();
    // Without ETDI the same request can be sent as often as anybody likes.
    let plain = Client::new(tools.clone());
    let arguments = json!({"to": "Ada", "amount": 100});
    assert!(plain.call_tool("pay", &arguments).await.is_ok());
    assert!(plain.call_tool("pay", &arguments).await.is_ok());

    let caller = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let sign = |server: &ServerIdentity, digest: Digest, arguments: &Value, at: UnixTime| {
        let text = arguments.to_string();
        let call = Call::new(server, "pay", digest).arguments(Some(&text));
        Signed { arguments: arguments.clone(), statement: call.sign(&caller, at).unwrap() }
    };
    let operator = Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
    let config = EtdiServerConfig::new(identity()).operator(operator).clock(|| NOW);
    let server = secure(tools, config).await.unwrap();
    let client = Client::new(server);
    let listed = client.all_tools().await.unwrap();
    let live = RawTool::from_listed(&listed[0]).unwrap().digest();

    let honest = sign(&identity(), live, &arguments, NOW);
    assert_eq!(mcp_client::text_of(&send(&client, &honest).await.unwrap()), "paid 100 to Ada");
    assert_eq!(send(&client, &honest).await.unwrap_err(), "REPLAYED");

    let mut more = sign(&identity(), live, &arguments, NOW);
    more.arguments = json!({"to": "Ada", "amount": 100_000});
    assert_eq!(send(&client, &more).await.unwrap_err(), "SIGNATURE_INVALID");

    let other = ServerIdentity::package("pkg:cargo/other").unwrap();
    let elsewhere = sign(&other, live, &arguments, NOW);
    assert_eq!(send(&client, &elsewhere).await.unwrap_err(), "WRONG_AUDIENCE");

    let old = sign(&identity(), live, &arguments, NOW.minus(LIFETIME + 60));
    assert_eq!(send(&client, &old).await.unwrap_err(), "STALE");

    let approved = sign(&identity(), Digest::of_bytes(b"what was approved"), &arguments, NOW);
    assert_eq!(send(&client, &approved).await.unwrap_err(), "DEFINITION_CHANGED");
    assert_ne!(definition, live, "the operator's provider is part of what is signed");

    let unsigned = client.call_tool("pay", &arguments).await.unwrap_err();
    assert!(matches!(unsigned, Error::Service(_)), "{unsigned}");
}
