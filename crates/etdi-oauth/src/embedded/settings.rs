//! What an authorization server is called, what it grants, and for how long.

use etdi_core::identity::ProviderId;
use url::{Host, Url};

/// The settings of an authorization server's routes.
///
/// An issuer and at least one resource have to be named: a token for nobody in particular would be
/// one for everybody (RFC 8707).
///
/// ```
/// use etdi_oauth::embedded::Settings;
///
/// let mut settings = Settings::new("http://127.0.0.1:9000", ["http://127.0.0.1:8000/mcp"])?;
/// settings.scopes = vec!["notes:read".to_owned(), "notes:write".to_owned()];
/// settings.default_scopes = vec!["notes:read".to_owned()];
/// assert!(settings.check().is_ok());
///
/// assert!(Settings::new("http://auth.example", ["https://mcp.example/"]).is_err(), "not encrypted");
/// assert!(Settings::new("https://auth.example", [""; 0]).is_err(), "no resource");
/// # Ok::<(), etdi_oauth::embedded::SettingsError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    issuer: String,
    /// The resources that tokens are issued for (RFC 8707). A request that names none means the
    /// only one, where there is only one.
    pub resources: Vec<String>,
    /// The scopes that there are; others are refused. None by default.
    pub scopes: Vec<String>,
    /// What is granted to a request that names no scope.
    pub default_scopes: Vec<String>,
    /// What every grant must have; a request without them is refused.
    pub required_scopes: Vec<String>,
    /// Whether clients may register themselves (RFC 7591). Off by default: client id metadata
    /// documents need no registration.
    pub registration: bool,
    /// How many registrations a minute are taken, from all together; 10 by default.
    pub registrations_per_minute: u32,
    /// Whether clients may be known by the URL of a document about them. On by default; the server
    /// has to fetch it, see [`Embedded::documents`](super::Embedded::documents).
    pub metadata_documents: bool,
    /// Whether tokens may be taken back (RFC 7009). On by default.
    pub revocation: bool,
    /// Whether every token must be bound to a key of the client (RFC 9449). Off by default; a client
    /// that shows a proof gets a bound token in any case.
    pub dpop_required: bool,
    /// Whether a proof needs a nonce of this server (RFC 9449, section 8). On by default.
    pub dpop_nonces: bool,
    /// How long a code is good for, in seconds; 60 by default.
    pub code_lifetime: u64,
    /// How long an access token is, in seconds; 600 by default.
    pub access_lifetime: u64,
    /// How long a refresh token is that is not used, in seconds; 30 days by default.
    pub refresh_lifetime: u64,
    /// How long the login of a user counts who logged in with a provider ([`Upstreams`](super::Upstreams)),
    /// in seconds, however often its tokens are renewed; a day by default. After that the user logs in
    /// again, if the provider and the list of who may still let that be.
    pub upstream_lifetime: u64,
    /// How long a statement about definitions holds at most that is signed for a client, in seconds. 0,
    /// the default, signs none; and a client has none signed that is not let
    /// ([`Client::endorsed`](super::Client::endorsed)). So long its keys are shown after they signed.
    pub statement_lifetime: u64,
    /// Origins of web pages that may ask for tokens from a browser. None by default.
    pub origins: Vec<String>,
    /// Other names under which the server may be asked, as `host` or `host:port`. None by default.
    pub hosts: Vec<String>,
}

impl Settings {
    /// Settings for an issuer (RFC 8414, section 2) and the resources that it issues tokens for.
    ///
    /// # Errors
    ///
    /// When the issuer is no `https` URL (or `http` on loopback) in plain spelling without query,
    /// fragment and final slash, or a resource is no absolute URI without fragment, or none is named.
    pub fn new<R: Into<String>>(
        issuer: &str,
        resources: impl IntoIterator<Item = R>,
    ) -> Result<Self, SettingsError> {
        let bad = || SettingsError::Issuer(issuer.to_owned());
        let url = Url::parse(issuer).map_err(|_| bad())?;
        let plain = match url.path() {
            "/" => url.as_str().strip_suffix('/') == Some(issuer),
            path => url.as_str() == issuer && !path.ends_with('/'),
        };
        let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        let secure = url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url);
        if !plain || !bare || !secure || url.password().is_some() {
            return Err(bad());
        }
        let settings = Self {
            issuer: issuer.to_owned(),
            resources: resources.into_iter().map(Into::into).collect(),
            scopes: Vec::new(),
            default_scopes: Vec::new(),
            required_scopes: Vec::new(),
            registration: false,
            registrations_per_minute: 10,
            metadata_documents: true,
            revocation: true,
            dpop_required: false,
            dpop_nonces: true,
            code_lifetime: 60,
            access_lifetime: 600,
            refresh_lifetime: 30 * 86_400,
            upstream_lifetime: 86_400,
            statement_lifetime: 0,
            origins: Vec::new(),
            hosts: Vec::new(),
        };
        settings.check()?;
        Ok(settings)
    }

    /// The issuer, as tokens and metadata name it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Checks what was set; the routes do it too.
    ///
    /// # Errors
    ///
    /// When a resource cannot be one, a scope is misspelt, a default or required scope is none of the
    /// scopes that there are, or an issuer that is no `https` origin is to sign statements.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.resources.is_empty() {
            return Err(SettingsError::NoResource);
        }
        for resource in &self.resources {
            let fits = Url::parse(resource).is_ok_and(|url| url.fragment().is_none());
            if !fits {
                return Err(SettingsError::Resource(resource.clone()));
            }
        }
        if self.statement_lifetime > 0 && self.provider().is_none() {
            return Err(SettingsError::Statements(self.issuer.clone()));
        }
        let known = |scope: &&String| !self.scopes.contains(scope);
        let misspelt = self.scopes.iter().find(|scope| !is_scope(scope));
        let unknown = self.default_scopes.iter().chain(&self.required_scopes).find(known);
        match misspelt.or(unknown) {
            Some(scope) => Err(SettingsError::Scope(scope.clone())),
            None => Ok(()),
        }
    }

    /// The URL of an endpoint.
    pub(super) fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    /// Who the server is as a publisher of definitions: an `https` origin, and nobody else.
    pub(super) fn provider(&self) -> Option<ProviderId> {
        self.issuer.parse().ok()
    }

    /// The path of the issuer, without a final slash.
    pub(super) fn base(&self) -> &str {
        let rest = self.issuer.split_once("://").map_or("", |(_, rest)| rest);
        rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default()
    }

    /// The origin of the issuer.
    pub(super) fn origin(&self) -> &str {
        self.issuer.strip_suffix(self.base()).unwrap_or(&self.issuer)
    }

    pub(super) fn is_secure(&self) -> bool {
        self.issuer.starts_with("https:")
    }

    /// The resource that a request means, as it is configured.
    pub(super) fn resource(&self, asked: Option<&str>) -> Option<&str> {
        let Some(asked) = asked else {
            return match &self.resources[..] {
                [only] => Some(only),
                _ => None,
            };
        };
        let asked = Url::parse(asked).ok().filter(|url| url.fragment().is_none())?;
        let same = |known: &&String| Url::parse(known).is_ok_and(|known| known == asked);
        self.resources.iter().find(same).map(String::as_str)
    }
}

/// Whether a text is one scope (RFC 6749, section 3.3).
pub(super) fn is_scope(text: &str) -> bool {
    let fits = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    !text.is_empty() && text.len() <= 256 && text.bytes().all(fits)
}

/// Whether a URL leads to this machine by its own spelling.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Settings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The issuer cannot be one.
    #[error(
        "`{0}` cannot be an issuer, give an `https` URL (or `http` on loopback) without query, \
         fragment and final slash"
    )]
    Issuer(String),
    /// No resource is named.
    #[error("no resource is named, give the URL of each server that tokens are for")]
    NoResource,
    /// A resource cannot be one.
    #[error("`{0}` cannot be a resource, give an absolute URL without a fragment")]
    Resource(String),
    /// Statements of this issuer would be nobody's.
    #[error(
        "`{0}` signs no statements about definitions, which name an `https` origin without a path as \
         who says it; leave `statement_lifetime` at 0"
    )]
    Statements(String),
    /// The system gives no randomness.
    #[error("the system gives no randomness, try again")]
    Random,
    /// A scope cannot be one, or is not among those that there are.
    #[error("`{0}` is no scope of this server, add it to the scopes that there are")]
    Scope(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_spelled_in_one_way() {
        for (issuer, base) in [
            ("https://auth.example", ""),
            ("https://auth.example/tenant/1", "/tenant/1"),
            ("http://127.0.0.1:9000", ""),
            ("http://[::1]:9000/a", "/a"),
            ("http://localhost:9000", ""),
        ] {
            let settings = Settings::new(issuer, ["https://mcp.example/"]).unwrap();
            assert_eq!((settings.issuer(), settings.base()), (issuer, base));
            assert_eq!(format!("{}{base}", settings.origin()), issuer);
        }
        for issuer in [
            "",
            "auth.example",
            "http://auth.example",
            "http://127.0.0.1.evil.example",
            "https://auth.example/",
            "https://auth.example/a/",
            "https://auth.example?a",
            "https://auth.example#a",
            "https://a@auth.example",
            "https://AUTH.example",
            "https://auth.example:443",
            "ftp://127.0.0.1",
        ] {
            assert!(Settings::new(issuer, ["https://mcp.example/"]).is_err(), "{issuer}");
        }
    }

    #[test]
    fn a_request_means_one_resource() {
        let one = Settings::new("https://a.example", ["https://m.example"]).unwrap();
        assert_eq!(one.resource(None), Some("https://m.example"));
        assert_eq!(one.resource(Some("https://m.example/")), Some("https://m.example"));
        assert_eq!(one.resource(Some("https://m.example/mcp")), None);
        assert_eq!(one.resource(Some("https://m.example#x")), None);
        let two = ["https://m.example", "https://n.example"];
        let two = Settings::new("https://a.example", two).unwrap();
        assert_eq!(two.resource(None), None);
        assert_eq!(two.resource(Some("https://n.example")), Some("https://n.example"));
    }
}
