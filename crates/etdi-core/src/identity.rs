//! Who publishes and who serves: names that can be proven.
//!
//! A [`ProviderId`] names a publisher: an HTTPS origin, or a key by its thumbprint. A
//! [`ServerIdentity`] names a server as a client reaches it. Display names and `serverInfo` are
//! neither: anybody can write them.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::digest::{Digest, Purpose};
use crate::key::KeyId;

const KEY_PREFIX: &str = "etdi:key:";
const MAX_LENGTH: usize = 2048;

/// A publisher: an HTTPS origin such as `https://acme.example`, or `etdi:key:` and a thumbprint.
///
/// ```
/// use etdi_core::identity::ProviderId;
///
/// assert!("https://acme.example".parse::<ProviderId>().is_ok());
/// // One spelling only: lower case, no path, no port that is the default.
/// for other in ["https://Acme.example", "https://acme.example/", "https://acme.example:443", "Acme"] {
///     assert!(other.parse::<ProviderId>().is_err());
/// }
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderId(Box<str>);

impl ProviderId {
    /// The publisher that is known by its key alone.
    pub fn of_key(key: KeyId) -> Self {
        Self(format!("{KEY_PREFIX}{key}").into())
    }

    /// The id as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key, if the publisher is known by its key alone.
    pub fn key(&self) -> Option<KeyId> {
        self.0.strip_prefix(KEY_PREFIX)?.parse().ok()
    }
}

impl FromStr for ProviderId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let valid = match text.strip_prefix(KEY_PREFIX) {
            Some(key) => key.parse::<KeyId>().is_ok(),
            None => text.strip_prefix("https://").is_some_and(|rest| is_authority(rest, 443)),
        };
        match valid && text.len() <= MAX_LENGTH {
            true => Ok(Self(text.into())),
            false => Err(IdentityError::Provider),
        }
    }
}

/// A server as a client reaches it.
///
/// What it prints is the key under which approvals and the memory of attested servers are kept,
/// and the part of an attestation's subject before `#`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ServerIdentity {
    /// The URL that the client dialled, `https://` or (private networks) `http://`.
    Url(Box<str>),
    /// A server over stdio that the user names by its package, such as
    /// `pkg:cargo/signed-notes`.
    Package(Box<str>),
    /// A server over stdio that the user names by its instance key.
    Key(KeyId),
    /// A server over stdio that is known by its exact command line.
    Command(Digest),
}

impl ServerIdentity {
    /// The server behind a URL: scheme, lower-case host, port unless it is the default, path;
    /// no user, query or fragment.
    ///
    /// # Errors
    ///
    /// When the text is no such URL.
    pub fn url(url: &str) -> Result<Self, IdentityError> {
        let (rest, port) = match url.strip_prefix("https://") {
            Some(rest) => (rest, 443),
            None => (url.strip_prefix("http://").ok_or(IdentityError::Url)?, 80),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"\\".contains(&byte));
        match is_authority(authority, port) && plain && url.len() <= MAX_LENGTH {
            true => Ok(Self::Url(url.into())),
            false => Err(IdentityError::Url),
        }
    }

    /// The server of a package, named by its package URL.
    ///
    /// # Errors
    ///
    /// When the text does not begin with `pkg:` or holds white space, `#` or other characters
    /// that no package URL has.
    pub fn package(purl: &str) -> Result<Self, IdentityError> {
        let plain = purl.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\"\\".contains(&byte));
        match purl.starts_with("pkg:") && purl.len() > 4 && plain && purl.len() <= MAX_LENGTH {
            true => Ok(Self::Package(purl.into())),
            false => Err(IdentityError::Package),
        }
    }

    /// The server of a command line, program and arguments as they are given to the system.
    pub fn command<S: AsRef<str>>(argv: &[S]) -> Self {
        let argv: Vec<&str> = argv.iter().map(AsRef::as_ref).collect();
        // Strings have a canonical form, so that the empty text below stands for nothing.
        let text = serde_json::to_string(&argv).unwrap_or_default();
        let digest = Digest::of_json(Purpose::Command, &text);
        Self::Command(digest.unwrap_or_else(|_| Digest::of_bytes(text.as_bytes())))
    }

    /// Whether TLS names the server, so that an attestation for its URL is bound to it.
    pub fn is_https(&self) -> bool {
        matches!(self, Self::Url(url) if url.starts_with("https://"))
    }

    /// Whether what is said to it crosses a network in the clear: a URL of plain `http://` that does
    /// not lead to this computer, by `localhost` or an address of the loopback interface. What is no
    /// URL in its one spelling counts as such too.
    ///
    /// ```
    /// use etdi_core::identity::ServerIdentity;
    ///
    /// assert!(ServerIdentity::url("http://10.0.0.1/mcp")?.is_in_the_clear());
    /// assert!(!ServerIdentity::url("http://127.0.0.1:8000/mcp")?.is_in_the_clear());
    /// assert!(!ServerIdentity::url("https://acme.example/mcp")?.is_in_the_clear());
    /// # Ok::<(), etdi_core::identity::IdentityError>(())
    /// ```
    pub fn is_in_the_clear(&self) -> bool {
        let Self::Url(url) = self else { return false };
        let Some(rest) = url.strip_prefix("http://") else { return !self.is_https() };
        let authority = rest.split('/').next().unwrap_or_default();
        !(is_authority(authority, 80) && is_this_computer(split_port(authority).0))
    }

    /// Whether the server is a child process.
    pub fn is_stdio(&self) -> bool {
        !matches!(self, Self::Url(_))
    }
}

impl fmt::Display for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Package(purl) => write!(f, "stdio:{purl}"),
            Self::Key(key) => write!(f, "stdio:key:{key}"),
            Self::Command(digest) => write!(f, "stdio:command:{digest}"),
        }
    }
}

impl FromStr for ServerIdentity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let Some(rest) = text.strip_prefix("stdio:") else { return Self::url(text) };
        if let Some(key) = rest.strip_prefix("key:") {
            return key.parse().map(Self::Key).map_err(|_| IdentityError::Server);
        }
        if let Some(digest) = rest.strip_prefix("command:") {
            return digest.parse().map(Self::Command).map_err(|_| IdentityError::Server);
        }
        Self::package(rest).map_err(|_| IdentityError::Server)
    }
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// A name that looks like an address, such as `127.0.0.1.acme.example`, is a name.
fn is_this_computer(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok_and(|one| one.is_loopback()),
        None => {
            host == "localhost"
                || host.parse::<std::net::Ipv4Addr>().is_ok_and(|one| one.is_loopback())
        }
    }
}

/// `host` or `host:port` in its one spelling.
fn is_authority(text: &str, default_port: u16) -> bool {
    let (host, port) = split_port(text);
    let name =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    let host_fits = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => {
            address.parse::<std::net::Ipv6Addr>().is_ok_and(|parsed| parsed.to_string() == address)
        }
        None => !host.is_empty() && host.bytes().all(name),
    };
    let port_fits = port.is_none_or(|port| {
        port.parse::<u16>()
            .is_ok_and(|number| number != 0 && number != default_port && number.to_string() == port)
    });
    host_fits && port_fits
}

/// A text that names no publisher or server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// No publisher.
    #[error(
        "not a provider, write an origin such as `https://acme.example` in lower case without path, or `etdi:key:` and a key's thumbprint"
    )]
    Provider,
    /// No URL of a server.
    #[error(
        "not a server's URL, write scheme, lower-case host and path such as `https://acme.example/mcp`"
    )]
    Url,
    /// No package URL.
    #[error("not a package, write a package URL such as `pkg:cargo/signed-notes`")]
    Package,
    /// No identity of a server in any form.
    #[error(
        "not a server, write a URL, `stdio:pkg:…`, `stdio:key:` and a thumbprint, or `stdio:command:` and a digest"
    )]
    Server,
}

macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

as_text!(ProviderId);
as_text!(ServerIdentity);

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// A subject together with whoever vouches for it, as `issuer#subject`. Another pair never has the
/// same text: a `#` in an issuer is written `%23`.
pub(crate) fn qualified(issuer: &str, subject: &str) -> String {
    match issuer.contains(['#', '%']) {
        true => format!("{}#{subject}", issuer.replace('%', "%25").replace('#', "%23")),
        false => format!("{issuer}#{subject}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THUMB: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

    #[test]
    fn providers() {
        let key = format!("etdi:key:{THUMB}");
        for text in [
            "https://acme.example",
            "https://a",
            "https://acme.example:8443",
            "https://[::1]:1",
            &key,
        ] {
            assert_eq!(text.parse::<ProviderId>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "https://",
            "http://acme.example",
            "https://acme.example:443",
            "https://acme.example:",
            "https://acme.example:0",
            "https://acme.example:08",
            "https://acme.example:65536",
            "https://user@acme.example",
            "https://acme.example?x",
            "https://acme.example#x",
            "https://acme example",
            "https://ácme.example",
            "https://[::0001]",
            "https://[::1",
            "HTTPS://acme.example",
            "etdi:key:short",
        ] {
            assert!(text.parse::<ProviderId>().is_err(), "{text}");
        }
    }

    #[test]
    fn servers_print_what_they_read() {
        let command = ServerIdentity::command(&["notes", "--stdio"]).to_string();
        let key = format!("stdio:key:{THUMB}");
        for text in [
            "https://acme.example/mcp",
            "http://10.0.0.1:8080/mcp",
            "stdio:pkg:cargo/notes@1.0.0",
            &key,
            &command,
        ] {
            assert_eq!(text.parse::<ServerIdentity>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "stdio:",
            "stdio:notes",
            "stdio:pkg:",
            "stdio:pkg:a#b",
            "stdio:key:x",
            "stdio:command:x",
            "file:///x",
            "https://acme.example/mcp?x",
            "https://acme.example/m#x",
            "https://acme.example/a b",
        ] {
            assert!(text.parse::<ServerIdentity>().is_err(), "{text}");
        }
    }

    #[test]
    fn command_lines_are_told_apart() {
        let one = ServerIdentity::command(&["a", "b c"]);
        assert_ne!(one, ServerIdentity::command(&["a", "b", "c"]));
        assert_ne!(one, ServerIdentity::command(&["a b", "c"]));
        assert_eq!(one, ServerIdentity::command(&["a", "b c"]));
    }
}
