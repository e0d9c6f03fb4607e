//! Streamable HTTP over real sockets, with raw bytes.

#![allow(dead_code, missing_docs, unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
mod guard;
mod modern;
mod raw;
