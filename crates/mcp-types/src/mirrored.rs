//! Arguments that an HTTP request repeats in its headers.

use crate::error::codes;
use crate::{ByteString, ErrorObject, Members, RawText};

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

    /// Holds `Mcp-Param-{header}` against the argument that `path`, names of members, leads to (2026-07-28,
    /// "Custom headers from tool parameters", "Server Validation").
    ///
    /// # Errors
    ///
    /// `HeaderMismatch` (-32020) where one of them is there without the other, the header cannot be read,
    /// or the two say different things. `null` is an argument that is not there.
    pub fn check(
        &self,
        header: &str,
        path: &[String],
        arguments: Option<&RawText>,
    ) -> Result<(), ErrorObject> {
        let problem = match (self.get(header), value_at(arguments, path)) {
            (None, None) => return Ok(()),
            (Some(Ok(said)), Some(value)) if says(said, &value) => return Ok(()),
            (None, Some(_)) => "is missing",
            (Some(Err(_)), _) => "cannot be read",
            (Some(Ok(_)), None) => "repeats an argument that is not there",
            (Some(Ok(_)), Some(_)) => "differs from the argument",
        };
        let place = path.join(".");
        let text = format!("the header `Mcp-Param-{header}` for `{place}` {problem}");
        Err(ErrorObject::new(codes::HEADER_MISMATCH, text))
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

/// The argument at `path`; `None` where there is none, or `null`.
fn value_at(arguments: Option<&RawText>, path: &[String]) -> Option<RawText> {
    let mut value = arguments?.clone();
    for name in path {
        value = value.parse::<Members>().ok()?.get(name)?.clone();
    }
    (!value.is_null()).then_some(value)
}

/// Whether a header says what the argument is.
fn says(said: &str, value: &RawText) -> bool {
    let text = value.get().trim();
    match text.as_bytes().first() {
        Some(b'"') => value.parse::<String>().is_ok_and(|text| text == said),
        Some(b't' | b'f') => text == said,
        Some(b'-' | b'0'..=b'9') => text == said || same_number(text, said),
        // A list or an object is nothing that a header could repeat.
        _ => false,
    }
}

/// Whether two texts are the same number (2026-07-28, "Server Validation": `42.0` is `42`).
fn same_number(left: &str, right: &str) -> bool {
    // The reader of JSON takes neither `inf` nor `+1`, as the one of Rust does.
    let read = |text: &str| serde_json::from_str::<f64>(text).ok();
    // Beyond this, different integers become the same number.
    let exact = |number: f64| number.abs() < 9_007_199_254_740_992.0;
    matches!((read(left), read(right)), (Some(a), Some(b)) if a == b && exact(a))
}
