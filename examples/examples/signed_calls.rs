//! A server that is secured tool by tool, and calls that nobody can make in another's name.
//!
//! `signed_calls` runs both ends in one process and prints what each call comes to: a plain tool,
//! one whose definition is signed, and one whose calls must be signed too: with a nonce of the
//! server, so that nobody signs ahead, and a receipt for what came of it.

use std::sync::Arc;

use etdi::core::approval::{Answer, Approver, Granted, Question};
use etdi::core::identity::ServerIdentity;
use etdi::core::key::{Algorithm, KeyRing, SigningKey};
use etdi::core::layer::CallKeys;
use etdi::core::nonce::SecretNonces;
use etdi::core::trust::TrustAnchors;
use etdi::core::verify::Peer;
use etdi::{EtdiClient, EtdiServerConfig, secure};
use mcp_client::types::BoxFuture;
use mcp_client::{Client, text_of};
use mcp_server::{BuildError, Server, server, tool};
use mcp_transport::LimitsLayer;
use serde_json::json;
use tower_layer::Layer as _;

/// A tool as any server has it.
#[tool]
async fn standard_tool(data: String) -> String {
    format!("Processed: {data}")
}

/// A tool whose definition is signed, with what it may do.
#[tool(etdi, version = "1.0.0", permissions = ["data:read", "data:write"])]
async fn secure_tool(sensitive_data: String) -> String {
    format!("Securely processed: {sensitive_data}")
}

/// A tool that wants to know who calls.
#[tool(etdi, version = "1.0.0", permissions = ["banking:transfer"], require_request_signing)]
async fn transfer_funds(cents: u64, to_account: String) -> String {
    format!("Transferred {cents} cents to {to_account}")
}

fn bank() -> Result<Server, BuildError> {
    server!().tool::<standard_tool>().tool::<secure_tool>().tool::<transfer_funds>().build()
}

/// Stands for the person who is asked before a tool is called for the first time.
struct Agrees;

impl Approver for Agrees {
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Answer> {
        println!("asked about {}", question.facts.definition.name());
        Box::pin(std::future::ready(Answer::approve(Granted::All, "the example")))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let publisher = SigningKey::generate(Algorithm::EdDsa)?;
    let caller = SigningKey::generate(Algorithm::EdDsa)?;
    let identity = ServerIdentity::package("pkg:cargo/signed-calls")?;

    let mut anchors = TrustAnchors::new();
    anchors.trust_key(publisher.verifying_key().clone());
    let mut callers = KeyRing::new();
    callers.insert(caller.verifying_key().clone());

    let config = EtdiServerConfig::new(identity.clone())
        .operator(Arc::new(publisher))
        .call_keys(CallKeys::Known(callers))
        .nonces(Arc::new(SecretNonces::new()?))
        .receipts();
    let service = LimitsLayer::new().layer(secure(bank()?, config).await?);

    // Whoever knows nothing of signatures uses the other tools as ever.
    let plain = Client::stack(service.clone());
    let transfer = json!({ "cents": 100, "to_account": "mallory" });
    println!("{}", text_of(&plain.call_tool("standard_tool", &json!({ "data": "x" })).await?));
    match plain.call_tool("transfer_funds", &transfer).await {
        Ok(result) => println!("unsigned: {}", text_of(&result)),
        Err(error) => println!("unsigned: {error}"),
    }

    let client = EtdiClient::builder()
        .trust(anchors)
        .approver(Arc::new(Agrees))
        .caller(Arc::new(caller))
        .build();
    let session =
        client.over(Client::stack(service).service().clone(), Peer::new(identity)).await?;
    let secured = session.invoke_tool("secure_tool", &json!({ "sensitive_data": "y" })).await?;
    println!("{}", text_of(&secured));
    let transfer = json!({ "cents": 100, "to_account": "ada" });
    println!("{}", text_of(&session.invoke_tool("transfer_funds", &transfer).await?));
    Ok(())
}
