//! URLs that peers name, as text that stays as it is and as what it means.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use serde::de::DeserializeOwned;
use url::{Host, Url};

pub(crate) use crate::shown::shown;

/// The longest URL.
const MAX_LENGTH: usize = 2_048;

/// Reads a URL by which OAuth may speak: HTTPS, or HTTP to this computer where `loopback` says so;
/// no user and no fragment in it.
///
/// # Errors
///
/// The rule that it breaks, in words.
pub(crate) fn checked(text: &str, loopback: bool) -> Result<Url, &'static str> {
    if text.len() > MAX_LENGTH {
        return Err("it is longer than 2048 bytes");
    }
    if text.bytes().any(|byte| byte <= b' ' || byte == b'\\' || byte >= 0x7f) {
        return Err("it holds a character that belongs into no URL");
    }
    let url = Url::parse(text).map_err(|_| "it is no absolute URL")?;
    match url.scheme() {
        "https" => {}
        "http" if loopback && is_loopback(&url) => {}
        "http" => return Err("it is not HTTPS"),
        _ => return Err("its scheme is not `https`"),
    }
    let authority = text.split('/').nth(2).unwrap_or_default();
    if authority.contains('@') || !url.username().is_empty() || url.password().is_some() {
        return Err("it names a user");
    }
    if url.host().is_none() {
        return Err("it names no host");
    }
    if url.fragment().is_some() {
        return Err("it has a fragment");
    }
    Ok(url)
}

/// Whether a URL leads to this computer, as far as its text says.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

/// A URL without query and fragment as `scheme://authority` and path, both as they are written.
pub(crate) fn split(text: &str) -> (&str, &str) {
    let plain = text.split(['?', '#']).next().unwrap_or_default();
    let start = plain.find("://").map_or(0, |at| at + 3);
    let end = plain.get(start..).and_then(|rest| rest.find('/')).map(|at| start + at);
    plain.split_at(end.unwrap_or(plain.len()))
}

/// Whether two URLs are of one origin.
pub(crate) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// 256 random bits as 43 characters of base64url.
///
/// # Errors
///
/// When the system gives no random bytes.
pub(crate) fn random() -> Result<String, ring::error::Unspecified> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Reads a JSON object; a list, which would count as the members in their order, is none.
///
/// # Errors
///
/// When it is something else, or says a member twice that is read.
pub(crate) fn object<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    match text.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(text),
        _ => Err(serde::de::Error::custom("it is no object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_may_name() {
        for (text, loopback, fine) in [
            ("https://auth.example/token", false, true),
            ("http://auth.example/token", true, false),
            ("http://127.0.0.1:8080/token", true, true),
            ("http://127.0.0.1:8080/token", false, false),
            ("http://localhost:8080/token", true, true),
            ("http://localhost.evil.example/token", true, false),
            ("http://[::1]/token", true, true),
            ("javascript:alert(1)", true, false),
            ("file:///etc/passwd", true, false),
            ("https://auth.example@evil.example/", true, false),
            ("https://@evil.example/", true, false),
            ("https://auth.example/#part", true, false),
            ("https://auth.example/ token", true, false),
            ("https:\\\\auth.example\\", true, false),
            ("//auth.example", true, false),
        ] {
            assert_eq!(checked(text, loopback).is_ok(), fine, "{text}");
        }
        assert!(checked(&format!("https://a.example/{}", "a".repeat(3_000)), false).is_err());
    }

    #[test]
    fn the_parts_stay_as_they_are() {
        assert_eq!(split("https://A.example/B?c#d"), ("https://A.example", "/B"));
        assert_eq!(split("https://a.example"), ("https://a.example", ""));
        assert_eq!(split("https://a.example?x"), ("https://a.example", ""));
        assert_ne!(random().unwrap(), random().unwrap());
        assert_eq!(random().unwrap().len(), 43);
    }
}
