//! End-to-end tests of the workspace. This page is the README, so that its programs compile and run.
#![doc = include_str!("../../README.md")]
