//! The ETDI host: what puts client, transport and trust together.
//!
//! A host is a program that calls other people's tools for a model. It wants three things to hold
//! before a call: that a known publisher vouches for exactly this tool, that a person accepted
//! exactly this tool, and that the program behind it is the one that was meant. An [`EtdiClient`]
//! holds what such decisions need (policy, trusted publishers, approvals, somebody to ask, an audit
//! trail), and makes a [`Session`] for each server. On the other side [`secure`] makes a server
//! sign what it lists and guard what is called.
//!
//! ```
//! use std::sync::Arc;
//!
//! use etdi::core::approval::{Answer, Approver, Granted, Question};
//! use etdi::core::identity::ServerIdentity;
//! use etdi::core::key::{Algorithm, SigningKey};
//! use etdi::core::trust::TrustAnchors;
//! use etdi::core::verify::Peer;
//! use etdi::{EtdiClient, EtdiServerConfig, secure};
//! use mcp_server::{server, tool};
//!
//! /// Says hello.
//! #[tool(etdi, version = "1.0.0", permissions = ["greetings:say"])]
//! fn greet(name: String) -> String {
//!     format!("Hello, {name}.")
//! }
//!
//! /// Says yes to tools that only greet.
//! struct OnlyGreetings;
//!
//! impl Approver for OnlyGreetings {
//!     fn ask<'a>(&'a self, question: Question<'a>) -> mcp_types::BoxFuture<'a, Answer> {
//!         let harmless = question.permissions().iter().all(|p| p.scope.as_str() == "greetings:say");
//!         let answer = match harmless && !question.alarm {
//!             true => Answer::approve(Granted::All, "the rule for greetings"),
//!             false => Answer::Decline,
//!         };
//!         Box::pin(std::future::ready(answer))
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! let key = Arc::new(SigningKey::generate(Algorithm::EdDsa)?);
//! let identity = ServerIdentity::package("pkg:cargo/greeter")?;
//! let config = EtdiServerConfig::new(identity.clone()).operator(key.clone());
//! let server = secure(server!().tool::<greet>().build()?, config).await?;
//!
//! let mut trusted = TrustAnchors::new();
//! trusted.trust_key(key.verifying_key().clone());
//! let client = EtdiClient::builder().trust(trusted).approver(Arc::new(OnlyGreetings)).build();
//! // A client can stand on a server without a transport; `client.connect(..)` starts a program.
//! let session = client.over(server, Peer::new(identity)).await?;
//! let result = session.invoke_tool("greet", &serde_json::json!({"name": "Ada"})).await?;
//! assert_eq!(mcp_client::text_of(&result), "Hello, Ada.");
//!
//! // At strict nobody's key is taken at first use: the same tool is neither shown nor called.
//! let stranger = EtdiClient::builder()
//!     .level(etdi::core::level::SecurityLevel::Strict)
//!     .approver(Arc::new(OnlyGreetings))
//!     .build();
//! # let config = EtdiServerConfig::new(ServerIdentity::package("pkg:cargo/greeter")?).operator(key);
//! # let server = secure(server!().tool::<greet>().build()?, config).await?;
//! # let identity = ServerIdentity::package("pkg:cargo/greeter")?;
//! let session = stranger.over(server, Peer::new(identity)).await?;
//! assert!(session.client().all_tools().await?.is_empty());
//! let refused = session.invoke_tool("greet", &serde_json::json!({"name": "Ada"})).await;
//! assert_eq!(refused.unwrap_err().code(), "UNVERIFIED");
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What it leaves out: identity providers (`etdi-oauth`), several servers spaced by name, answers
//! to what servers ask of the client.

mod caller_key;
mod callers;
mod client;
mod error;
mod policing;
mod program;
mod secure;
mod servers;
mod session;

#[cfg(feature = "server")]
mod tools;

pub mod config;
pub mod gateway;
pub mod guard;
#[cfg(feature = "http")]
pub mod http;
pub mod keyring;
#[cfg(feature = "otel")]
pub mod otel;
#[cfg(feature = "websocket")]
pub mod websocket;

pub use etdi_core as core;
pub use etdi_core::verify::VerificationStatus;
#[cfg(any(feature = "discovery", feature = "oauth"))]
pub use etdi_oauth as oauth;

pub use caller_key::{CallerKeyError, caller_key, caller_key_in};
pub use callers::Callers;
pub use client::{EtdiClient, EtdiClientBuilder, system_time};
pub use error::{Error, ErrorKind, SecureError};
pub use gateway::{Gateway, Gatewayed};
pub use guard::{Guard, Guarded, Refused};
pub use program::Program;
pub use secure::{AUTHORING, EtdiServerConfig, Secured, secure};
pub use servers::{
    DiscoveredTool, InvalidToolId, Observed, Reached, Stats, Target, ToolId, VersionChange,
};
pub use session::{ApproveError, Session};
#[cfg(feature = "server")]
pub use tools::{Declared, SecureTools};

/// A session by the name that the ETDI README has for it.
pub type SecureSession<S = mcp_transport::Connection> = Session<S>;

/// The snippets of the page for those who come from Python are compiled as tests.
#[cfg(all(doctest, feature = "oauth", feature = "server"))]
#[doc = include_str!("../../../docs/from-python.md")]
mod from_python {}

/// So are those of the page about approvals.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/approvals.md")]
mod approvals_page {}
