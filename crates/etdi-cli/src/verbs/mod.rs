//! The verbs of the command line, one file each.

pub mod analyze;
pub mod analyze_tool;
pub mod approvals;
pub mod approve;
pub mod audit;
pub mod auth;
pub mod call;
pub mod claims;
pub mod debug_token;
pub mod ended;
pub mod endorse;
pub mod guard;
pub mod keys;
pub mod list;
pub mod lock;
pub mod manifest;
pub mod migrate;
pub mod offered;
pub mod policy;
pub mod relisted;
pub mod scan;
pub mod sign;
pub mod signer;
pub mod target;
pub mod tools;
pub mod validate_oauth;
