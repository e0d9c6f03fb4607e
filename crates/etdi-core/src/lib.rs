//! Signed tool definitions, verification, approvals and the layers that enforce them.

mod base64url;
#[cfg(test)]
mod grammar;

pub mod canonical;
pub mod declaration;
pub mod definition;
pub mod digest;
pub mod identity;
pub mod ijson;
pub mod key;
pub mod permission;
pub mod version;
pub mod wire;

pub mod approval;
pub mod audit;
pub mod change;
pub mod event;
pub mod level;
pub mod store;
pub mod time;
