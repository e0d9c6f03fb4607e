//! Streamable HTTP over real sockets, with raw bytes.

#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::field_reassign_with_default)]

mod anything;
#[path = "../common/mod.rs"]
mod common;
mod gate;
mod guard;
mod modern;
mod nodes;
mod raw;
mod resume;
mod sessions;
mod slow;
mod streams;
mod two_nodes;
