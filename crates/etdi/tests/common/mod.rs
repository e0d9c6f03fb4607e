//! What a user does with a server by every verb of the client, whatever it is reached by.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use etdi::core::approval::{Answer, Approver, Granted, Question, Reason};
use etdi::core::attestation::Attestation;
use etdi::core::event::EventKind;
use etdi::core::identity::{ProviderId, ServerIdentity};
use etdi::core::key::{Algorithm, SigningKey};
use etdi::core::trust::TrustAnchors;
use etdi::{
    Error, ErrorKind, EtdiClient, EtdiServerConfig, Secured, Target, ToolId, VerificationStatus,
    secure, system_time,
};
use mcp_client::text_of;
use mcp_server::{Server, server, tool};
use mcp_types::BoxFuture;
use serde_json::json;

/// Says hello.
#[tool(etdi, version = "1.0.0", permissions = ["greetings:say"])]
fn greet(name: String) -> String {
    format!("Hello, {name}.")
}

mod next {
    /// Says hello, and to whom else.
    #[mcp_server::tool(etdi, version = "2.0.0", permissions = ["greetings:say", "people:read"])]
    pub(crate) fn greet(name: String) -> String {
        format!("Hello, {name}, and all.")
    }
}

/// Which of the two is behind the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    First,
    Next,
}

/// Answers as it is told, and keeps why it was asked.
#[derive(Default)]
struct Person {
    declines: AtomicUsize,
    asked: Mutex<Vec<Reason>>,
}

impl Approver for Person {
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Answer> {
        self.asked.lock().unwrap().push(question.reason);
        let answer = match self.declines.load(Ordering::Relaxed) {
            0 => Answer::approve(Granted::All, "ada"),
            _ => Answer::Decline,
        };
        Box::pin(std::future::ready(answer))
    }
}

/// The publisher.
fn acme() -> ProviderId {
    "https://acme.example".parse().unwrap()
}

/// One of the two servers, signed by a publisher who is also its operator.
pub(crate) async fn signed(
    version: Version,
    identity: &ServerIdentity,
    key: &Arc<SigningKey>,
) -> Secured<Server> {
    let server = match version {
        Version::First => server!().tool::<greet>().build().unwrap(),
        Version::Next => server!().tool::<next::greet>().build().unwrap(),
    };
    let statement = Attestation::new(acme(), identity.clone(), system_time());
    let config = EtdiServerConfig::new(identity.clone()).signing(statement, key.clone());
    let config = match identity.is_https() {
        // Its certificate is what proves who it is.
        true => config,
        false => config.instance_key(key.clone()),
    };
    secure(server, config).await.unwrap()
}

/// What a user does with a server, from the first look to the end.
pub(crate) async fn all_verbs(
    identity: ServerIdentity,
    reach: impl AsyncFn(Version, &ServerIdentity, &Arc<SigningKey>) -> Target,
) {
    let key = Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
    let mut trust = TrustAnchors::new();
    trust.trust(acme(), key.verifying_key().clone());
    let person = Arc::new(Person::default());
    let client = EtdiClient::builder().trust(trust).approver(person.clone()).user("ada").build();
    let heard = Arc::new(AtomicUsize::new(0));
    let counter = heard.clone();
    let listener = client.on("tool_approved".parse().unwrap(), move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    client.initialize().await.unwrap();

    let first = reach(Version::First, &identity, &key).await;
    client.connect_to_server(first, "hello").await.unwrap();
    let taken = reach(Version::First, &identity, &key).await;
    let error = client.connect_to_server(taken, "hello").await.unwrap_err();
    assert!(matches!(error, Error::ServerName { .. }));

    let tools = client.discover_tools(None).await.unwrap();
    assert_eq!(tools.len(), 1);
    let id = ToolId::new("hello", "greet");
    assert_eq!(tools[0].id(), &id);
    assert_eq!(tools[0].verification_status(), VerificationStatus::Verified);
    assert!(!client.is_tool_approved(&id).await.unwrap());
    assert!(client.check_version_change(&id).await.unwrap().is_none());

    // Some permissions, and then all.
    let approved = client.approve_tool(&tools[0], Some(&[])).await;
    assert_eq!(approved.unwrap_err().code(), "PERMISSION_DENIED");
    assert!(!client.check_permission(&id, "greetings:say").await.unwrap());
    let called = client.invoke_tool(&id, &json!({"name": "Ada"})).await.unwrap_err();
    assert_eq!(
        (called.code().as_str(), called.kind()),
        ("PERMISSION_DENIED", ErrorKind::PermissionDenied)
    );
    client.request_reapproval(&id).await.unwrap();
    assert!(client.check_permission(&id, "greetings:say").await.unwrap());
    assert!(!client.check_permission(&id, "greetings:shout").await.unwrap());
    let result = client.invoke_tool(&id, &json!({"name": "Ada"})).await.unwrap();
    assert_eq!(text_of(&result), "Hello, Ada.");
    assert_eq!(heard.load(Ordering::Relaxed), 2);
    assert!(client.off(listener));

    // The next version wants more.
    assert!(client.disconnect("hello").await && !client.disconnect("hello").await);
    let second = reach(Version::Next, &identity, &key).await;
    client.connect_to_server(second, "hello").await.unwrap();
    let change = client.check_version_change(&id).await.unwrap().unwrap();
    assert_eq!(
        (change.approved.as_deref(), change.listed.as_deref()),
        (Some("1.0.0"), Some("2.0.0"))
    );
    assert!(change.needs_approval && change.changes.adds_permissions());
    person.declines.store(1, Ordering::Relaxed);
    let refused = client.invoke_tool(&id, &json!({"name": "Ada"})).await.unwrap_err();
    assert_eq!(refused.code(), "PERMISSIONS_CHANGED");
    assert!(client.request_reapproval(&id).await.is_err());
    person.declines.store(0, Ordering::Relaxed);
    client.request_reapproval(&id).await.unwrap();
    let result = client.invoke_tool(&id, &json!({"name": "Ada"})).await.unwrap();
    assert_eq!(text_of(&result), "Hello, Ada, and all.");

    let missing = client.invoke_tool(ToolId::new("hello", "wave"), &json!({})).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::ToolNotFound);
    let nowhere = client.discover_tools(Some(&["nowhere"])).await.unwrap_err();
    assert!(matches!(nowhere, Error::NoSuchServer { .. }));
    let stats = client.get_stats();
    assert_eq!((stats.servers, stats.tools, stats.verified, stats.approved), (1, 1, 1, 1));
    assert_eq!(stats.calls, 2);
    client.cleanup().await;
    assert_eq!(client.servers(), [""; 0]);
    let stats = client.get_stats();
    assert_eq!(stats.events[EventKind::ClientConnected.name()], 2);
    assert_eq!(stats.events[EventKind::ClientDisconnected.name()], 2);
}
