//! Who may speak at all: host, origin, method and media types, before a byte of the body is read.
//!
//! A page in a browser can make its own name resolve to the reader's machine, and then talk to what
//! listens there (DNS rebinding). Its requests name a foreign host or origin, so both are compared
//! with what is allowed (2026-07-28, "Streamable HTTP", "Security & Endpoint").

use http::header::{ACCEPT, CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};

/// Hosts and origins that are served.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    /// Hosts besides those of the loopback interface; one without a port stands for every port.
    pub(crate) hosts: Vec<String>,
    /// Origins besides the one that the request itself goes to.
    pub(crate) origins: Vec<String>,
    pub(crate) any_host: bool,
    pub(crate) any_origin: bool,
}

/// Why a request is refused before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Host,
    Origin,
    Accept,
    ContentType,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::Origin => StatusCode::FORBIDDEN,
            Self::Accept => StatusCode::NOT_ACCEPTABLE,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Host => {
                "the `Host` header names no host of this server; its operator can allow it"
            }
            Self::Origin => {
                "the `Origin` header names no page that may call this server; its operator can \
                 allow it"
            }
            Self::Accept => {
                "the answer is `application/json` or `text/event-stream`: name both in `Accept`"
            }
            Self::ContentType => "the message has to be sent as `Content-Type: application/json`",
        }
    }
}

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

impl Guard {
    /// Refuses requests for other hosts, and requests of pages that are not of this host.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let target = uri.authority().map(|name| name.as_str().as_bytes());
        let mut named = headers.get_all(HOST).iter();
        let host = match (named.next(), named.next()) {
            (Some(host), None) => host.as_bytes(),
            // HTTP/2 has the host in the request's target.
            (None, _) => target.unwrap_or_default(),
            // Two hosts: whoever stands before us may have looked at the other one.
            (Some(_), Some(_)) => return Err(Refusal::Host),
        };
        // The target may name another: whoever stands before us may have looked at that one.
        let all = [Some(host), target];
        if !self.any_host && !all.iter().flatten().all(|name| self.knows_host(name)) {
            return Err(Refusal::Host);
        }
        let allowed = |origin: &[u8]| self.any_origin || self.knows_origin(origin, host);
        if headers.get_all(ORIGIN).iter().all(|origin| allowed(origin.as_bytes())) {
            Ok(())
        } else {
            Err(Refusal::Origin)
        }
    }

    /// Whether a page of this origin may call, though it may be of another host.
    pub(crate) fn invites(&self, origin: &HeaderValue) -> bool {
        let listed = |known: &String| origin.as_bytes().eq_ignore_ascii_case(known.as_bytes());
        self.any_origin || self.origins.iter().any(listed)
    }

    fn knows_host(&self, host: &[u8]) -> bool {
        let name = without_port(host);
        LOOPBACK.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
            || self.hosts.iter().any(|known| {
                let known = known.as_bytes();
                host.eq_ignore_ascii_case(known) || name.eq_ignore_ascii_case(known)
            })
    }

    fn knows_origin(&self, origin: &[u8], host: &[u8]) -> bool {
        let rest = [&b"http://"[..], b"https://"].iter().find_map(|s| origin.strip_prefix(*s));
        rest.is_some_and(|rest| !rest.is_empty() && rest.eq_ignore_ascii_case(host))
            || self.origins.iter().any(|known| origin.eq_ignore_ascii_case(known.as_bytes()))
    }
}

/// A host without its port; brackets keep the colons of an address apart from it.
fn without_port(host: &[u8]) -> &[u8] {
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (name, port) = host.split_at(host.len() - digits);
    match name.split_last() {
        Some((b':', name)) if !port.is_empty() => name,
        _ => host,
    }
}

/// Whether a POST brings JSON and takes the answer, which is JSON or a stream.
pub(crate) fn check_media(headers: &HeaderMap, stream_needed: bool) -> Result<(), Refusal> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let json = |value: &HeaderValue| is_media(value.as_bytes(), b"application/json");
    if !types.next().is_some_and(json) || types.next().is_some() {
        return Err(Refusal::ContentType);
    }
    // What nearly every client sends, letter by letter.
    let usual = headers.get(ACCEPT).is_some_and(|value| value.as_bytes() == BOTH);
    if usual
        || accepts(headers, b"application/json")
            && (!stream_needed || accepts(headers, b"text/event-stream"))
    {
        Ok(())
    } else {
        Err(Refusal::Accept)
    }
}

const BOTH: &[u8] = b"application/json, text/event-stream";

/// Whether the client takes `media`; one that says nothing takes everything.
pub(crate) fn accepts(headers: &HeaderMap, media: &[u8]) -> bool {
    let mut values = headers.get_all(ACCEPT).iter().peekable();
    let kind = media.split(|&byte| byte == b'/').next().unwrap_or_default();
    values.peek().is_none()
        || values.any(|value| {
            value.as_bytes().split(|&byte| byte == b',').any(|range| {
                let range = essence(range);
                range.eq_ignore_ascii_case(media)
                    || range == b"*/*"
                    || range.strip_suffix(b"/*").is_some_and(|k| k.eq_ignore_ascii_case(kind))
            })
        })
}

fn is_media(value: &[u8], media: &[u8]) -> bool {
    essence(value).eq_ignore_ascii_case(media)
}

/// A media type without its parameters.
fn essence(value: &[u8]) -> &[u8] {
    value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn foreign_hosts_and_pages_are_refused() {
        let closed = Guard::default();
        let open = Guard {
            hosts: vec!["mcp.example.com".into(), "one.example.com:8443".into()],
            origins: vec!["https://app.example.com".into()],
            ..Guard::default()
        };
        let anything = Guard { any_host: true, any_origin: true, ..Guard::default() };
        // Host, Origin (empty: none), and what the three say.
        let (host, origin) = (Some(Refusal::Host), Some(Refusal::Origin));
        let table = [
            ("localhost", "", None, None, None),
            ("LOCALHOST:8080", "", None, None, None),
            ("127.0.0.1:1", "http://127.0.0.1:1", None, None, None),
            ("[::1]:8080", "http://[::1]:8080", None, None, None),
            ("[::1]", "", None, None, None),
            ("localhost:80", "http://localhost:81", origin, origin, None),
            ("localhost:80", "http://evil.example.com", origin, origin, None),
            ("localhost:80", "null", origin, origin, None),
            ("localhost:80", "http://", origin, origin, None),
            ("localhost:80", "ftp://localhost:80", origin, origin, None),
            ("localhost:80", "http://localhost:80.evil.com", origin, origin, None),
            ("localhost:80", "https://app.example.com", origin, None, None),
            ("evil.example.com", "http://evil.example.com", host, host, None),
            ("localhost.evil.com", "", host, host, None),
            ("127.0.0.1.evil.com:80", "", host, host, None),
            ("localhost:", "", host, host, None),
            ("localhost:8x", "", host, host, None),
            ("::1", "", host, host, None),
            ("", "", host, host, None),
            ("mcp.example.com", "", host, None, None),
            ("mcp.example.com:443", "https://mcp.example.com:443", host, None, None),
            ("one.example.com:8443", "", host, None, None),
            ("one.example.com:80", "", host, host, None),
        ];
        for (name, page, first, second, third) in table {
            let mut lines = vec![("host", name)];
            if !page.is_empty() {
                lines.push(("origin", page));
            }
            let map = headers(&lines);
            for (guard, expected) in [(&closed, first), (&open, second), (&anything, third)] {
                let uri = Uri::from_static("/mcp");
                assert_eq!(guard.check(&uri, &map).err(), expected, "{name} {page}");
            }
        }
    }

    #[test]
    fn a_host_is_named_once_and_may_stand_in_the_target() {
        let guard = Guard::default();
        let check = |uri, lines: &[_]| guard.check(&Uri::from_static(uri), &headers(lines)).is_ok();
        assert!(check("http://localhost:80/mcp", &[]));
        assert!(!check("http://evil.example.com/mcp", &[]));
        assert!(check("http://localhost:80/mcp", &[("host", "localhost:80")]));
        assert!(!check("http://evil.example.com/mcp", &[("host", "localhost")]));
        assert!(!check("http://localhost/mcp", &[("host", "evil.example.com")]));
        assert!(!check("/mcp", &[]));
        assert!(!check("/mcp", &[("host", "localhost"), ("host", "evil.example.com")]));
        let pages = [("host", "localhost"), ("origin", "http://localhost"), ("origin", "null")];
        assert!(!check("/mcp", &pages));
    }

    #[test]
    fn media_types_are_held_to_the_protocol() {
        let both = ("accept", "application/json, text/event-stream");
        let json = ("content-type", "application/json");
        let (bad_type, bad_accept) = (Some(Refusal::ContentType), Some(Refusal::Accept));
        let table: &[(&[_], _)] = &[
            (&[json, both], None),
            (&[json], None),
            (&[json, ("accept", "*/*")], None),
            (&[json, ("accept", "application/*;q=0.5,text/*")], None),
            (&[json, ("accept", "application/json"), ("accept", "text/event-stream")], None),
            (&[json, ("accept", "Text/Event-Stream; q=1, APPLICATION/JSON")], None),
            (&[("content-type", "Application/JSON ; charset=utf-8"), both], None),
            (&[json, ("accept", "application/json")], bad_accept),
            (&[json, ("accept", "text/event-stream")], bad_accept),
            (&[json, ("accept", "")], bad_accept),
            (&[json, ("accept", "text/html")], bad_accept),
            (&[both], bad_type),
            (&[("content-type", "text/plain"), both], bad_type),
            (&[("content-type", "application/json5"), both], bad_type),
            (&[json, ("content-type", "text/plain"), both], bad_type),
        ];
        for (lines, expected) in table {
            assert_eq!(check_media(&headers(lines), true).err(), *expected, "{lines:?}");
        }
        assert!(check_media(&headers(&[json, ("accept", "application/json")]), false).is_ok());
    }
}
