//! The client against servers in the same program, real ones and scripted ones.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod cache;
mod calls;
mod group;
mod input;
mod listing;
mod rivals;
mod script;
mod subscription;
mod task;
mod trace;
