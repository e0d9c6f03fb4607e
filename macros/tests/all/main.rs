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
    // The crate that the cases are built in; what lies beside its `Cargo.toml` the macro reads.
    let target = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let cases = target.join("tests/trybuild").join(env!("CARGO_PKG_NAME"));
    std::fs::create_dir_all(&cases).unwrap();
    std::fs::write(cases.join("etdi.lock"), include_str!("etdi.lock")).unwrap();
    std::fs::write(cases.join("etdi.manifest.jws"), "a manifest\n").unwrap();
    let tests = trybuild::TestCases::new();
    tests.compile_fail("tests/ui/*/*.rs");
    tests.pass("tests/built/*.rs");
    drop(tests);

    // The same crate with files that are there and cannot be read.
    std::fs::write(cases.join("etdi.lock"), [0xff]).unwrap();
    std::fs::write(cases.join("etdi.manifest.jws"), [0xff]).unwrap();
    let tests = trybuild::TestCases::new();
    tests.compile_fail("tests/unreadable/*.rs");
}
