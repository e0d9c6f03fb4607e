//! Clients: who they are, where they may be sent back to, how they prove who they are.

use etdi_core::endorsement::EndorsementBounds;
use etdi_core::ijson::Value;
use etdi_core::key::{AllowList, JwkSet};
use serde::{Deserialize, Serialize};
use url::Url;

use super::refusal::Refusal;
use super::seal::sha256;
use super::settings::is_loopback;

/// A client. The fields that a stranger may have chosen are checked when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Client {
    /// Its id.
    pub id: String,
    /// What it calls itself. Nobody has checked that, unless it was configured.
    pub name: Option<String>,
    /// Where it may be sent back to.
    pub redirect_uris: Vec<String>,
    /// How it may ask for tokens.
    pub grants: Vec<GrantType>,
    /// How it proves who it is.
    pub authentication: Authentication,
    /// The most that it may be granted; `None` for all that there is.
    pub scopes: Option<Vec<String>>,
    /// Whether all its tokens are bound to a key (RFC 9449, section 5.2).
    pub dpop: bool,
    /// Who told of it.
    pub source: Source,
    /// Which statements about definitions it may have signed; none by default, and none that anybody
    /// but the operator tells of. See [`Client::endorsed`].
    #[serde(skip)]
    pub endorsed: Option<EndorsementBounds>,
}

/// How a client may ask for tokens (RFC 6749, section 1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GrantType {
    /// With a code that a user let it have.
    #[serde(rename = "authorization_code")]
    AuthorizationCode,
    /// With a refresh token.
    #[serde(rename = "refresh_token")]
    RefreshToken,
    /// In its own name. For clients that the operator configured, and for nobody else: no user is
    /// asked.
    #[serde(rename = "client_credentials")]
    ClientCredentials,
    /// By showing what it wants to have signed (RFC 8693): a statement about definitions. For clients
    /// that the operator lets do so.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:token-exchange")]
    TokenExchange,
}

impl GrantType {
    /// The grant type of a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "authorization_code" => Some(Self::AuthorizationCode),
            "refresh_token" => Some(Self::RefreshToken),
            "client_credentials" => Some(Self::ClientCredentials),
            "urn:ietf:params:oauth:grant-type:token-exchange" => Some(Self::TokenExchange),
            _ => None,
        }
    }
}

/// How a client proves who it is at the token endpoint.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Authentication {
    /// Not at all: a program on somebody's computer can keep no secret.
    None,
    /// By a secret, of which only the SHA-256 digest is kept.
    Secret {
        /// The digest, in base64url.
        digest: String,
        /// Whether it said that it would send it in the form; it may do either.
        post: bool,
    },
    /// By signing with one of these keys (`private_key_jwt`).
    Keys {
        /// A JWK set.
        jwks: String,
    },
    /// By signing with a key of the set at this URL.
    KeysAt {
        /// The URL.
        uri: String,
    },
}

impl Authentication {
    /// The method's name (RFC 7591, section 2).
    pub(super) fn method(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Secret { post: false, .. } => "client_secret_basic",
            Self::Secret { post: true, .. } => "client_secret_post",
            Self::Keys { .. } | Self::KeysAt { .. } => "private_key_jwt",
        }
    }
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.method())
    }
}

/// Who told of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Source {
    /// The operator.
    Configured,
    /// The client itself, by registering.
    Registered,
    /// The document at the URL that is its id.
    Document,
}

/// The shortest secret that an operator may choose, in characters.
const LEAST_SECRET: usize = 16;

const MOST_REDIRECTS: usize = 16;
const MOST_URI: usize = 2_048;
const MOST_NAME: usize = 200;
const MOST_KEYS: usize = 16 << 10;

impl Client {
    /// A client that keeps no secret, such as a program on a user's computer.
    ///
    /// # Errors
    ///
    /// When it names no URI to be sent back to, or one that is neither `https` nor loopback.
    pub fn public<U: Into<String>>(
        id: impl Into<String>,
        redirect_uris: impl IntoIterator<Item = U>,
    ) -> Result<Self, ClientError> {
        let redirect_uris: Vec<String> = redirect_uris.into_iter().map(Into::into).collect();
        if redirect_uris.is_empty() {
            return Err(ClientError::NoRedirect);
        }
        Self::configured(id.into(), redirect_uris, Authentication::None)
    }

    /// A client with a secret. With URIs to be sent back to it may act for users; without, in its own
    /// name.
    ///
    /// # Errors
    ///
    /// As [`Client::public`], and when the secret has less than 16 characters.
    pub fn with_secret<U: Into<String>>(
        id: impl Into<String>,
        secret: &str,
        redirect_uris: impl IntoIterator<Item = U>,
    ) -> Result<Self, ClientError> {
        if secret.chars().count() < LEAST_SECRET {
            return Err(ClientError::Secret);
        }
        let authentication = Authentication::Secret { digest: sha256(secret), post: false };
        let redirect_uris = redirect_uris.into_iter().map(Into::into).collect();
        Self::configured(id.into(), redirect_uris, authentication)
    }

    /// A client that signs with one of the keys of a JWK set (`private_key_jwt`).
    ///
    /// # Errors
    ///
    /// As [`Client::public`], and when the set has no key that can be used.
    pub fn with_keys<U: Into<String>>(
        id: impl Into<String>,
        jwks: &str,
        redirect_uris: impl IntoIterator<Item = U>,
    ) -> Result<Self, ClientError> {
        if !holds_keys(jwks) {
            return Err(ClientError::Keys);
        }
        let authentication = Authentication::Keys { jwks: jwks.to_owned() };
        let redirect_uris = redirect_uris.into_iter().map(Into::into).collect();
        Self::configured(id.into(), redirect_uris, authentication)
    }

    fn configured(
        id: String,
        redirect_uris: Vec<String>,
        authentication: Authentication,
    ) -> Result<Self, ClientError> {
        if id.is_empty() || id.len() > MOST_URI || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ClientError::Id);
        }
        if let Some(bad) = redirect_uris.iter().find(|uri| !may_be_sent_to(uri)) {
            return Err(ClientError::Redirect(bad.clone()));
        }
        let mut grants = Vec::new();
        if !redirect_uris.is_empty() {
            grants.extend([GrantType::AuthorizationCode, GrantType::RefreshToken]);
        }
        if authentication != Authentication::None {
            grants.push(GrantType::ClientCredentials);
        }
        let (name, scopes, dpop, source) = (None, None, false, Source::Configured);
        let endorsed = None;
        Ok(Self { id, name, redirect_uris, grants, authentication, scopes, dpop, source, endorsed })
    }

    /// Lets it have statements about definitions signed, within these bounds, where the server signs
    /// any at all ([`Settings::statement_lifetime`](super::Settings::statement_lifetime)).
    ///
    /// # Errors
    ///
    /// When the client proves to nobody who it is.
    pub fn endorsed(mut self, bounds: EndorsementBounds) -> Result<Self, ClientError> {
        if !self.is_confidential() {
            return Err(ClientError::Public);
        }
        if !self.grants.contains(&GrantType::TokenExchange) {
            self.grants.push(GrantType::TokenExchange);
        }
        self.endorsed = Some(bounds);
        Ok(self)
    }

    /// Reads what a client says about itself (RFC 7591, section 2). `secret` is the digest of the one
    /// that it gets, if it wants one.
    pub(super) fn read(
        id: String,
        said: Value<'_>,
        secret: Option<&str>,
        source: Source,
    ) -> Result<Self, Refusal> {
        let bad = Refusal::ClientMetadata;
        let text = |name| match said.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(bad(name)),
        };
        let texts = |name| -> Result<Option<Vec<String>>, Refusal> {
            let Some(list) = said.get(name) else { return Ok(None) };
            let list = list.as_array().filter(|list| list.len() <= MOST_REDIRECTS);
            let list = list.ok_or(bad(name))?;
            let texts = list.map(|one| one.as_str().map(str::to_owned).ok_or(bad(name)));
            Ok(Some(texts.collect::<Result<_, _>>()?))
        };
        let redirect_uris = texts("redirect_uris")?.unwrap_or_default();
        if redirect_uris.is_empty() || !redirect_uris.iter().all(|uri| may_be_sent_to(uri)) {
            return Err(Refusal::RegisteredRedirect);
        }
        let grants = texts("grant_types")?.unwrap_or_else(|| vec!["authorization_code".to_owned()]);
        // What is not offered is left out of the answer (section 3.2.1); a client that nobody
        // configured never acts in its own name, and has nothing signed.
        let grants = grants.iter().filter_map(|name| GrantType::named(name));
        let own = [GrantType::ClientCredentials, GrantType::TokenExchange];
        let grants: Vec<_> = grants.filter(|one| !own.contains(one)).collect();
        if !grants.contains(&GrantType::AuthorizationCode) {
            return Err(bad("grant_types"));
        }
        if texts("response_types")?.is_some_and(|types| types != ["code"]) {
            return Err(bad("response_types"));
        }
        let name = text("client_name")?;
        if name.is_some_and(|name| name.len() > MOST_NAME || name.chars().any(char::is_control)) {
            return Err(bad("client_name"));
        }
        if text("application_type")?.is_some_and(|kind| !matches!(kind, "native" | "web")) {
            return Err(bad("application_type"));
        }
        let method = text("token_endpoint_auth_method")?;
        let default = if source == Source::Document { "none" } else { "client_secret_basic" };
        let authentication = match (method.unwrap_or(default), secret) {
            ("none", _) => Authentication::None,
            ("client_secret_basic", Some(digest)) => {
                Authentication::Secret { digest: digest.to_owned(), post: false }
            }
            ("client_secret_post", Some(digest)) => {
                Authentication::Secret { digest: digest.to_owned(), post: true }
            }
            ("private_key_jwt", _) => keys(said, &text)?,
            _ => return Err(bad("token_endpoint_auth_method")),
        };
        let scopes = text("scope")?.map(|text| text.split(' ').map(str::to_owned).collect());
        let dpop = match said.get("dpop_bound_access_tokens") {
            None => false,
            Some(value) => match etdi_core::canonical::of(value).as_str() {
                "true" => true,
                "false" => false,
                _ => return Err(bad("dpop_bound_access_tokens")),
            },
        };
        let (name, endorsed) = (name.map(str::to_owned), None);
        Ok(Self { id, name, redirect_uris, grants, authentication, scopes, dpop, source, endorsed })
    }

    /// Whether it may be sent back to `uri`: exactly as it was registered, only that a program on the
    /// user's computer takes whatever port it gets (RFC 8252, section 7.3).
    pub fn allows(&self, uri: &str) -> bool {
        let same = |known: &String| match (portless(known), portless(uri)) {
            (Some(known), Some(asked)) => known == asked,
            _ => known == uri,
        };
        may_be_sent_to(uri) && self.redirect_uris.iter().any(same)
    }

    /// Whether it proves who it is.
    pub fn is_confidential(&self) -> bool {
        self.authentication != Authentication::None
    }
}

fn keys<'v>(
    said: Value<'v>,
    text: &impl Fn(&'static str) -> Result<Option<&'v str>, Refusal>,
) -> Result<Authentication, Refusal> {
    match (said.get("jwks"), text("jwks_uri")?) {
        (Some(jwks), None) => {
            let jwks = etdi_core::canonical::of(jwks);
            match jwks.len() <= MOST_KEYS && holds_keys(&jwks) {
                true => Ok(Authentication::Keys { jwks }),
                false => Err(Refusal::ClientMetadata("jwks")),
            }
        }
        (None, Some(uri)) if uri.len() <= MOST_URI && uri.starts_with("https://") => {
            Ok(Authentication::KeysAt { uri: uri.to_owned() })
        }
        _ => Err(Refusal::ClientMetadata("jwks_uri")),
    }
}

fn holds_keys(jwks: &str) -> bool {
    JwkSet::read(jwks, AllowList::IDENTITY_PROVIDER).is_ok_and(|set| !set.is_empty())
}

/// Whether a user may be sent there at all: `https` anywhere, `http` on this computer, nothing else
/// (2026-07-28, "Communication Security").
fn may_be_sent_to(uri: &str) -> bool {
    let Ok(url) = Url::parse(uri) else { return false };
    let secure = uri.starts_with("https://") || uri.starts_with("http://") && is_loopback(&url);
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'<' | b'>');
    let bare = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    let named = url.host_str().is_some_and(|host| !host.contains('*'));
    secure && bare && named && uri.len() <= MOST_URI && uri.bytes().all(plain)
}

/// Host and path of a URI on loopback, without its port.
fn portless(uri: &str) -> Option<(&'static str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    ["127.0.0.1", "[::1]", "localhost"].into_iter().find_map(|host| {
        let rest = rest.strip_prefix(host)?;
        let path = match rest.strip_prefix(':') {
            Some(rest) => rest.trim_start_matches(|one: char| one.is_ascii_digit()),
            None => rest,
        };
        (path.is_empty() || path.starts_with(['/', '?'])).then_some((host, path))
    })
}

/// A client that cannot be configured so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The id cannot be one.
    #[error("the client's id is empty or holds more than printable ASCII, choose another")]
    Id,
    /// Nowhere to be sent back to.
    #[error("the client has no redirect URI, name at least one")]
    NoRedirect,
    /// A URI that nobody may be sent to.
    #[error("`{0}` cannot be a redirect URI, use `https`, or `http` on loopback, without fragment")]
    Redirect(String),
    /// The secret can be guessed.
    #[error("the client's secret is too short, use at least 16 characters")]
    Secret,
    /// No key can be used.
    #[error("the client's keys are no JWK set with a key for signatures")]
    Keys,
    /// Anybody could have statements signed as it.
    #[error("a client that proves nothing has nothing signed, give it a secret or a key")]
    Public,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_compared_letter_by_letter() {
        let known =
            ["https://app.example/cb?a=1", "http://127.0.0.1:3000/cb", "http://localhost/cb"];
        let client = Client::public("app", known).unwrap();
        for good in [
            "https://app.example/cb?a=1",
            "http://127.0.0.1:3000/cb",
            "http://127.0.0.1:49152/cb",
            "http://127.0.0.1/cb",
            "http://localhost:8080/cb",
        ] {
            assert!(client.allows(good), "{good}");
        }
        for bad in [
            "https://app.example/cb",
            "https://app.example/cb?a=1&b",
            "https://app.example/cb?a=1#f",
            "https://APP.example/cb?a=1",
            "https://app.example:443/cb?a=1",
            "https://app.example:8443/cb?a=1",
            "https://app.example/x/../cb?a=1",
            "https://app.example.evil.example/cb?a=1",
            "https://evil.example/cb?a=1",
            "https://app.example@evil.example/cb?a=1",
            "https://127.0.0.1:3000/cb",
            "http://127.0.0.1:3000/cb/",
            "http://127.0.0.1:3000/cb?x",
            "http://127.0.0.1:3000@evil.example/cb",
            "http://127.0.0.1:3000:1/cb",
            "http://127.0.0.2:3000/cb",
            "http://[::1]:3000/cb",
            "http://localhost.evil.example/cb",
            "http://localhost:99999/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "",
        ] {
            assert!(!client.allows(bad), "{bad}");
        }
    }

    #[test]
    fn clients_that_cannot_be() {
        for bad in [
            "http://app.example/cb",
            "com.example.app:/cb",
            "javascript:alert(1)",
            "https://*.example/cb",
            "https://app.example/cb#x",
            "//app.example/cb",
            "https://app.example/\r\ncb",
        ] {
            let error = Client::public("app", [bad]).unwrap_err();
            assert_eq!(error, ClientError::Redirect(bad.to_owned()));
        }
        assert_eq!(Client::public("app", [""; 0]), Err(ClientError::NoRedirect));
        assert_eq!(Client::with_secret("app", "short", [""; 0]), Err(ClientError::Secret));
        assert_eq!(Client::with_keys("app", r#"{"keys":[]}"#, [""; 0]), Err(ClientError::Keys));
        assert_eq!(Client::public("a b", ["https://a.example/"]), Err(ClientError::Id));
    }
}
