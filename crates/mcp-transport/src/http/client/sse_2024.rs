//! The HTTP+SSE transport of the first revision: a stream of the server's messages, opened by a
//! GET, and beside it a URL for the client's, which the stream names first.
//!
//! See the specification (2024-11-05), "Transports", "HTTP with SSE".

use std::time::Duration;

use http::{HeaderMap, Uri};
use mcp_types::ErrorObject;
use tokio::time::Instant;

use super::answer::{Events, Form, beginning, form, until};
use super::endpoint::Endpoint;
use crate::framing::FrameLimits;

/// How many events may come before the one that names the URL.
const MOST_BEFORE: usize = 16;

/// Opens the stream, and says where messages go.
pub(super) async fn open(
    endpoint: &Endpoint,
    limits: FrameLimits,
    patience: Duration,
) -> Result<(Uri, Events), ErrorObject> {
    let response = endpoint.get(&HeaderMap::new(), Some(patience)).await?;
    let (head, body) = response.into_parts();
    if !head.status.is_success() || form(&head.headers) != Form::Events {
        return Err(endpoint.status(&head, &beginning(body).await));
    }
    let mut events = Events::new(body, limits.line);
    let end = Instant::now().checked_add(patience);
    for _ in 0..MOST_BEFORE {
        let event = until(end, events.next(endpoint)).await.ok_or_else(|| endpoint.late())??;
        let Some(event) = event else { break };
        if event.name.as_deref() == Some("endpoint") {
            let named = String::from_utf8_lossy(&event.data).into_owned();
            let uri = resolve(&endpoint.uri, named.trim()).ok_or_else(|| {
                endpoint.broken("names a URL for messages that is none of its own")
            })?;
            return Ok((uri, events));
        }
    }
    Err(endpoint.broken("opened a stream that names no URL for messages"))
}

/// The URL that `reference` means on a page at `base`, if it has the same origin.
///
/// Messages carry secrets, and a server must not be able to have them sent to another.
fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let origin = format!("{}://{}", base.scheme_str()?, base.authority()?);
    let path = base.path();
    let before_query = reference.split('?').next().unwrap_or_default();
    let joined = if before_query.contains("://") {
        reference.to_owned()
    } else if reference.starts_with("//") {
        format!("{}:{reference}", base.scheme_str()?)
    } else if reference.starts_with('/') {
        format!("{origin}{reference}")
    } else if reference.starts_with('?') {
        format!("{origin}{path}{reference}")
    } else {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{origin}{folder}/{reference}")
    };
    let uri: Uri = joined.parse().ok()?;
    let same = |one: &Uri| {
        let port = one.port_u16().or(match one.scheme_str() {
            Some("https") => Some(443),
            _ => Some(80),
        });
        (one.scheme_str().map(str::to_owned), one.host().map(str::to_ascii_lowercase), port)
    };
    let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    (plain && same(&uri) == same(base)).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_to_the_same_origin_only() {
        let base: Uri = "http://example.com:8080/mcp/sse?key=1".parse().unwrap();
        for (reference, expected) in [
            ("/messages?id=1", Some("http://example.com:8080/messages?id=1")),
            ("messages", Some("http://example.com:8080/mcp/messages")),
            ("?id=1", Some("http://example.com:8080/mcp/sse?id=1")),
            ("/m?to=http://x.org/", Some("http://example.com:8080/m?to=http://x.org/")),
            ("http://example.com:8080/m", Some("http://example.com:8080/m")),
            ("http://EXAMPLE.com:8080/m", Some("http://EXAMPLE.com:8080/m")),
            ("//example.com:8080/m", Some("http://example.com:8080/m")),
            ("https://example.com:8080/m", None),
            ("http://example.com/m", None),
            ("http://example.org:8080/m", None),
            ("//example.org/m", None),
            ("http://u@example.com:8080/m", None),
            ("http://example.com:8080@example.org/m", None),
            ("/a b", None),
        ] {
            let seen = resolve(&base, reference).map(|uri| uri.to_string());
            assert_eq!(seen.as_deref(), expected, "{reference}");
        }
        let plain: Uri = "http://example.com/sse".parse().unwrap();
        assert!(resolve(&plain, "http://example.com:80/m").is_some());
    }
}
