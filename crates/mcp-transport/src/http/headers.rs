//! The headers of the protocol: their names, how a value is written in one, and how two compare.
//!
//! See the specification (2026-07-28), "Streamable HTTP", "Request metadata" and "Value encoding".
//! Both ends read this page, so that what one writes is what the other accepts.

// Each end uses its half.
#![cfg_attr(not(all(feature = "http-client", feature = "http-server")), allow(dead_code))]

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use mcp_types::{ByteString, ClientRequest, RawText, Unreadable};
use serde::Deserialize;

/// The revision in which a request is written.
pub(crate) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The method of the request.
pub(crate) const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// What the request is about: a tool, a prompt, a resource or a task.
pub(crate) const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// The session, in revisions with a handshake.
pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// The last event that a client has seen of a broken stream, in revisions with a handshake.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What the name of a header that repeats an argument starts with; header names are lower case
/// here.
pub(crate) const PARAM_PREFIX: &str = "mcp-param-";

const SENTINEL: (&str, &str) = ("=?base64?", "?=");

/// `text` as the value of `Mcp-Name` or `Mcp-Param-*`: as it is where a header can carry it, and in
/// the form `=?base64?…?=` where it cannot or where it looks like that form.
pub(crate) fn encode(text: &str) -> HeaderValue {
    let looks_encoded = text.starts_with(SENTINEL.0) && text.ends_with(SENTINEL.1);
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
        && !text.starts_with([' ', '\t'])
        && !text.ends_with([' ', '\t']);
    if plain
        && !looks_encoded
        && let Ok(value) = HeaderValue::from_str(text)
    {
        return value;
    }
    let encoded = format!("{}{}{}", SENTINEL.0, STANDARD.encode(text), SENTINEL.1);
    // The alphabet of Base64 is one of headers.
    HeaderValue::from_str(&encoded).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// What the value of `Mcp-Name` or `Mcp-Param-*` says.
///
/// Refuses bytes that are neither visible ASCII nor a space or tab, wrong padding or letters in the
/// encoded form, and what decodes to no UTF-8. A value without the exact markers is taken as it is.
pub(crate) fn decode(value: &[u8]) -> Result<Cow<'_, str>, Unreadable> {
    let value = value.trim_ascii();
    if !value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        return Err(Unreadable);
    }
    let text = str::from_utf8(value).map_err(|_| Unreadable)?;
    // Between the markers something may be empty, but the two must not share letters.
    let inner = text.strip_prefix(SENTINEL.0).and_then(|rest| rest.strip_suffix(SENTINEL.1));
    let Some(inner) = inner else { return Ok(Cow::Borrowed(text)) };
    let bytes = STANDARD.decode(inner).map_err(|_| Unreadable)?;
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Unreadable)
}

/// Whether the header's value, decoded, is `text`.
pub(crate) fn says(value: &HeaderValue, text: &str) -> bool {
    decode(value.as_bytes()).is_ok_and(|said| said == text)
}

/// What `Mcp-Name` has to say for this request; `None` for a method without it.
///
/// A method of the Tasks extension that works on one task is about that task's id.
pub(crate) fn name_of(request: &ClientRequest) -> Option<Cow<'_, str>> {
    match request {
        ClientRequest::CallTool(params) => Some(Cow::Borrowed(&params.name)),
        ClientRequest::GetPrompt(params) => Some(Cow::Borrowed(&params.name)),
        ClientRequest::ReadResource(params) => Some(Cow::Borrowed(&params.uri)),
        ClientRequest::Extension { method, params } => {
            task_of(method, params.as_ref()).map(|id| Cow::Owned(String::from(&*id)))
        }
        _ => None,
    }
}

fn task_of(method: &str, params: Option<&RawText>) -> Option<ByteString> {
    #[derive(Deserialize)]
    struct Task {
        #[serde(rename = "taskId")]
        task_id: String,
    }
    matches!(method, "tasks/get" | "tasks/update" | "tasks/cancel").then_some(())?;
    params?.parse::<Task>().ok().map(|task| task.task_id.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_written_as_the_table_of_the_specification_says() {
        for (text, header) in [
            ("us-west1", "us-west1"),
            ("", ""),
            ("a b\tc", "a b\tc"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("\tx", "=?base64?CXg=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
            ("=?BASE64?literal?=", "=?BASE64?literal?="),
            ("=?base64?=", "=?base64?PT9iYXNlNjQ/PQ==?="),
        ] {
            assert_eq!(encode(text), header, "{text:?}");
            assert_eq!(decode(header.as_bytes()).unwrap(), text, "{header:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_value() {
        for bad in [
            &b"=?base64?SGVsbG8?="[..],
            b"=?base64?SGVs bG8=?=",
            b"=?base64?SGVsbG8=!?=",
            b"=?base64?/w==?=",
            b"=?base64?SGVsbG9=?=",
            b"caf\xe9",
            "café".as_bytes(),
            b"a\x01b",
        ] {
            assert_eq!(decode(bad), Err(Unreadable), "{}", bad.escape_ascii());
        }
        assert_eq!(decode(b"  spaces around  ").unwrap(), "spaces around");
        assert!(says(&HeaderValue::from_static("=?base64?ZWNobw==?="), "echo"));
        assert!(!says(&HeaderValue::from_static("Echo"), "echo"));
    }

    #[test]
    fn a_task_is_named_by_its_id() {
        let request = |method: &str| ClientRequest::Extension {
            method: method.into(),
            params: RawText::new(r#"{"taskId":"t-1"}"#).ok(),
        };
        assert_eq!(name_of(&request("tasks/cancel")).as_deref(), Some("t-1"));
        assert_eq!(name_of(&request("skills/list")), None);
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "\\PC*|[ \\t\\r\\n=?base64A-Z+/]*") {
            let value = encode(&text);
            prop_assert!(value.to_str().is_ok());
            // What a peer's HTTP library does with spaces around a value changes nothing.
            let padded = [b" ", value.as_bytes(), b"\t"].concat();
            prop_assert_eq!(decode(&padded).unwrap(), text);
        }
    }
}
