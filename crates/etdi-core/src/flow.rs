//! Flow labels: where text came from, and where it must not go.

mod label;

pub use label::{Confidentiality, Finding, Findings, Form, Integrity, Label, Origin};
