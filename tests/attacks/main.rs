//! Attacks, a file for each kind: each works on a client without ETDI, and is refused with it.
//!
//! Servers and attackers are in this process, over an in-memory stream. `etdi demo` shows the same
//! table with processes and their standard streams. The numbers T1 to T36 are those of
//! `docs/threat-model.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

mod definitions;
mod downgrade;
mod parser;
mod replay;
mod signatures;
mod table;
mod world;
