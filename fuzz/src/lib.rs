//! One function for each thing of ours that reads foreign bytes. Given any bytes it returns; what
//! must hold of what was read is asserted on the way.
//!
//! `fuzz_targets/` gives them to libFuzzer (CONTRIBUTING.md says how), and a test of the workspace
//! runs them over `seeds/` and over damaged seeds, so that they cannot rot.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a finding is a panic")]

mod analyze;
mod clients;
mod codecs;
mod frames;
mod http;
mod ijson;
mod issuer;
mod jws;
mod sse;
mod template;
mod tokens;

pub use analyze::analyze;
pub use clients::clients;
pub use codecs::codecs;
pub use frames::frames;
pub use http::http;
pub use ijson::ijson;
pub use issuer::issuer;
pub use jws::jws;
pub use sse::sse;
pub use template::template;
pub use tokens::tokens;

/// All targets, by the names of their binaries and of their folders in `seeds/`.
pub const TARGETS: &[(&str, fn(&[u8]))] = &[
    ("analyze", analyze),
    ("clients", clients),
    ("codecs", codecs),
    ("frames", frames),
    ("http", http),
    ("ijson", ijson),
    ("issuer", issuer),
    ("jws", jws),
    ("sse", sse),
    ("template", template),
    ("tokens", tokens),
];

/// The first line and the rest, of what is text.
fn line_and_rest(data: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(data).ok()?;
    Some(text.split_once('\n').unwrap_or((text, "")))
}

/// `data` cut in pieces of `length` bytes.
fn pieces(data: &[u8], length: u8) -> impl Iterator<Item = &[u8]> {
    data.chunks(usize::from(length).max(1))
}
