//! Signed tool definitions, verification, approvals and the layers that enforce them.

mod base64url;
#[cfg(test)]
mod grammar;
mod random;

pub mod attestation;
pub mod binding;
pub mod canonical;
pub mod chain;
pub mod declaration;
pub mod definition;
pub mod digest;
pub mod identity;
pub mod ijson;
pub mod jws;
pub mod key;
pub mod layer;
pub mod manifest;
pub mod permission;
pub mod proof;
pub mod request;
pub mod trust;
pub mod verify;
pub mod version;
pub mod wire;

pub mod approval;
pub mod audit;
pub mod change;
pub mod event;
pub mod level;
pub mod store;
pub mod time;
