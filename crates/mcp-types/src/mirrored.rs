//! Arguments that an HTTP request repeats in its headers.

use crate::ByteString;

/// The `Mcp-Param-*` headers of one HTTP request, decoded (2026-07-28, "Custom headers from tool
/// parameters").
///
/// The transport puts them into an exchange's [`Extensions`](crate::Extensions); the server, which
/// knows the tool's schema, holds them against the arguments. A transport without headers puts
/// nothing, and nothing is compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MirroredParams(Vec<(ByteString, Result<ByteString, Unreadable>)>);

/// A header whose `=?base64?…?=` form could not be decoded to UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

impl MirroredParams {
    /// No headers: a request over HTTP that mirrors nothing.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds the header `Mcp-Param-{name}`; `value` is what it says, decoded. One that is added twice
    /// has no one value, and is unreadable.
    pub fn push(&mut self, name: ByteString, value: Result<ByteString, Unreadable>) {
        match self.0.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            Some((_, known)) => *known = Err(Unreadable),
            None => self.0.push((name, value)),
        }
    }

    /// The value of `Mcp-Param-{name}`, whose case does not matter.
    pub fn get(&self, name: &str) -> Option<Result<&str, Unreadable>> {
        let (_, value) = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value.as_ref().map(|text| &**text).map_err(|&unreadable| unreadable))
    }

    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
