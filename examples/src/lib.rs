//! Programs that a reader can run.

#![doc = include_str!("../README.md")]
