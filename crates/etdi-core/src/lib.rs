//! Signed tool definitions, verification, approvals and the layers that enforce them.

mod base64url;
pub mod canonical;
pub mod digest;
pub mod ijson;

// Approvals, levels and events.
pub mod level;
pub mod time;
