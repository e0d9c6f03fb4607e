//! What the macros write, and what they refuse.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod data;
mod declaration;
mod renamed;

/// Mistakes and their messages, which are exact for the compiler in `rust-toolchain.toml`.
///
/// `TRYBUILD=overwrite` writes them anew.
#[test]
fn mistakes_are_refused_at_their_tokens() {
    trybuild::TestCases::new().compile_fail("tests/ui/*/*.rs");
}
