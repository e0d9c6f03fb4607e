//! Signed tool definitions, verification, approvals and the layers that enforce them.
//!
//! A model believes what a tool says about itself. Whoever can write that text, or change it after
//! a person has read it, or put another program behind it, can tell the model what to do. ETDI
//! makes three questions answerable before a call: *who published exactly this*, *did this user
//! accept exactly this*, and *is it this server that I am about to call*.
//!
//! # The way of a definition
//!
//! Each arrow is one function that can refuse; each type is proof that the ones before it held.
//!
//! | type | says | made by |
//! |---|---|---|
//! | [`Declaration`](declaration::Declaration) | what the author claims | the author, or `#[tool(etdi, …)]` |
//! | [`RawTool`](definition::RawTool) | what arrived, with one meaning and one digest | [`RawTool::from_listed`](definition::RawTool::from_listed) |
//! | [`Verified`](verify::Verified) | a known provider vouches for it, and for this server | [`Verifier::verify`](verify::Verifier::verify) |
//! | [`Approved`](approval::Approved) | the user accepted exactly this | [`Approvals`](approval::Approvals) |
//!
//! The digest is taken over the canonical form ([`canonical`]) of the *whole* tool as it stands on
//! the wire, so that nothing can hide in a member that a typed view would drop. Texts that two
//! readers could understand differently are refused before ([`ijson`]).
//!
//! # The layers
//!
//! A server is a `Service<Exchange>`; so is a client's connection. [`SignLayer`](layer::SignLayer)
//! and [`GuardLayer`](layer::GuardLayer) go around the one, [`VerifyLayer`](layer::VerifyLayer)
//! around the other:
//!
//! ```
//! use std::sync::Arc;
//!
//! use etdi_core::approval::{Approvals, MemoryStore, NoApprover};
//! use etdi_core::audit::MemoryAuditor;
//! use etdi_core::identity::ServerIdentity;
//! use etdi_core::key::{Algorithm, SigningKey};
//! use etdi_core::layer::{GuardLayer, SignLayer, VerifyLayer};
//! use etdi_core::level::Policy;
//! use etdi_core::time::UnixTime;
//! use etdi_core::trust::TrustAnchors;
//! use etdi_core::verify::{Peer, Verifier};
//! use mcp_types::ExchangeService;
//! use tower_layer::Layer;
//!
//! fn server(tools: impl ExchangeService, key: SigningKey) -> impl ExchangeService {
//!     let identity = ServerIdentity::package("pkg:cargo/notes").expect("a package URL");
//!     let clock = || UnixTime(1_767_323_045);
//!     let key = Arc::new(key);
//!     let sign = SignLayer::new(identity.clone(), clock).signing_as_key(key.clone()).instance_key(key);
//!     GuardLayer::new(identity, clock).layer(sign.layer(tools))
//! }
//!
//! fn client(connection: impl ExchangeService, argv: &[&str], trusted: TrustAnchors) -> impl ExchangeService {
//!     let approvals = Approvals::new(
//!         Policy::enhanced(),
//!         Arc::new(MemoryStore::new()),
//!         Arc::new(NoApprover),
//!         Arc::new(MemoryAuditor::default()),
//!     );
//!     let peer = Peer::new(ServerIdentity::command(argv));
//!     VerifyLayer::new(Verifier::new(trusted), approvals, peer, || UnixTime(1_767_323_045))
//!         .layer(connection)
//! }
//! ```
//!
//! # What each level promises
//!
//! [`SecurityLevel`](level::SecurityLevel) names a [`Policy`](level::Policy), which is plain data.
//! At every level a definition that is not I-JSON is refused, every tool is pinned by its digest
//! and approved before its first call, a signature that is there and wrong is refused, and a tool
//! that was signed once is not accepted unsigned again. `basic` takes unsigned tools, `enhanced`
//! takes them labelled and carries verified updates without new power over, `strict` wants
//! configured trust, signed calls and an audit trail that is written before the act.
//!
//! # What it does not promise
//!
//! A signature says who, not that a description is harmless. An approval is as good as the look
//! that the user took. A live relay to the honest server passes a proof of possession; the dialled
//! URL and the digest of the executable stop it. Between measuring a program and starting it
//! whoever may write the file can change it.
//!
//! No clock is read here, no socket is opened and no process started: `now` is an argument, a
//! layer is given its clock, and programs are measured by reading files.

mod base64url;
#[cfg(test)]
mod grammar;
mod random;
mod together;

pub mod analyze;
pub mod attestation;
pub mod binding;
mod bounded;
pub mod canonical;
pub mod chain;
pub mod client_keys;
pub mod declaration;
pub mod definition;
pub mod digest;
pub mod endorsement;
pub mod flow;
pub mod identity;
pub mod ijson;
pub mod jws;
pub mod key;
pub mod key_source;
pub mod layer;
pub mod lock;
pub mod manifest;
pub mod nonce;
pub mod permission;
pub mod policy;
pub mod proof;
pub mod receipt;
pub mod request;
pub mod revocation;
pub mod rotation;
pub mod trust;
pub mod verify;
pub mod version;
pub mod wire;

pub mod approval;
pub mod audit;
pub mod change;
pub mod event;
pub mod legacy;
pub mod level;
pub mod safe;
pub mod secret;
pub mod store;
pub mod time;
