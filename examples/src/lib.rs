//! Programs that a reader can run.

#![doc = include_str!("../README.md")]

pub mod settings;
pub mod stand_in;

/// The snippets of the page about OAuth are compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/oauth.md")]
mod oauth_page {}
