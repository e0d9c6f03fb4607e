//! Programs that a reader can run.

#![doc = include_str!("../README.md")]

pub mod settings;
pub mod stand_in;
