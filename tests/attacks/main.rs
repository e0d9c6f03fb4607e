//! Attacks, a file for each kind: each works on a client without ETDI, and is refused with it.
//!
//! Servers and attackers are in this process, over an in-memory stream. `etdi demo` shows the same
//! table with processes and their standard streams. The first line of a file names its threats by
//! their numbers in `docs/threat-model.md`; `cargo xtask tidy` wants each of them named or explained.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

mod cache;
mod calls;
mod chains;
mod definitions;
mod downgrade;
mod exhaustion;
mod files;
mod flows;
mod logins;
mod manifests;
mod oauth;
mod parser;
mod poisoning;
mod policy;
mod rebinding;
mod replay;
mod sessions;
mod signatures;
mod sleeper;
mod squatting;
mod state;
mod table;
mod trail;
mod upstream;
mod world;
