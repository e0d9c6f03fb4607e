//! A token endpoint, asked by one client: a form, an answer within bounds.

use std::sync::Arc;

use etdi_core::time::UnixTime;
use serde::{Deserialize, Deserializer};
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use super::{Dialect, OAuthError, RegisteredClient, scopes};
use crate::token::{TokenScheme, Tokens};
use crate::web::{object, shown};
use crate::{AccessToken, DpopKey, Fetch, FetchRequest, FetchResponse, Method, SecretText};
use crate::{Clock, ServerMetadata};

/// The most bytes of an answer with a token.
const MAX_ANSWER: usize = 128 << 10;

/// The longest time for which a token is believed to hold: a year.
const MAX_LIFE: u64 = 366 * 86_400;

/// A form, as it is sent. Wiped when it is dropped, as far as it did not grow.
pub(crate) struct Form(Zeroizing<String>);

impl Form {
    pub(crate) fn new() -> Self {
        Self(Zeroizing::new(String::with_capacity(4 << 10)))
    }

    pub(crate) fn put(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.extend(byte_serialize(name.as_bytes()));
        self.0.push('=');
        self.0.extend(byte_serialize(value.as_bytes()));
    }

    /// The grant's parameters that say for what a token is.
    pub(crate) fn put_target(&mut self, dialect: &Dialect, resource: &str, scopes: &[String]) {
        if !dialect.no_resource {
            self.put("resource", resource);
        }
        if let Some(audience) = &dialect.audience {
            self.put("audience", audience);
        }
        if !scopes.is_empty() {
            self.put("scope", &dialect.spell(scopes));
        }
    }
}

/// A text as it stands in a form.
pub(super) fn form_encoded(text: &str) -> Zeroizing<String> {
    Zeroizing::new(byte_serialize(text.as_bytes()).collect())
}

/// The token endpoint of an issuer, as one client of it asks.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use etdi_oauth::{GuardedFetch, RegisteredClient, Rules, ServerMetadata, TokenEndpoint};
///
/// # async fn example() -> Result<(), etdi_oauth::OAuthError> {
/// let fetch = Arc::new(GuardedFetch::new(Rules::default()));
/// let server = ServerMetadata::find(&*fetch, "https://auth.example", false).await?;
/// let client = RegisteredClient::with_secret("https://auth.example", "report", "7Fjf…");
/// let endpoint = TokenEndpoint::new(fetch, server, client)?;
/// let tokens = endpoint.client_credentials("https://mcp.example/mcp", &[]).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TokenEndpoint {
    pub(super) fetch: Arc<dyn Fetch>,
    pub(super) server: ServerMetadata,
    pub(super) client: RegisteredClient,
    pub(super) dpop: Option<Arc<DpopKey>>,
    clock: Clock,
}

impl TokenEndpoint {
    /// The endpoint of `server` for `client`.
    ///
    /// # Errors
    ///
    /// When the client is one of another issuer: nobody else sees its credentials.
    pub fn new(
        fetch: Arc<dyn Fetch>,
        server: ServerMetadata,
        client: RegisteredClient,
    ) -> Result<Self, OAuthError> {
        if client.issuer != server.issuer {
            let known = format!("`{}`", shown(&client.issuer));
            let issuer = shown(&server.issuer);
            return Err(OAuthError::RegisteredElsewhere { issuer, known });
        }
        Ok(Self { fetch, server, client, dpop: None, clock: Clock::system() })
    }

    /// Asks for tokens that are bound to a key.
    #[must_use]
    pub fn dpop(mut self, key: Arc<DpopKey>) -> Self {
        self.dpop = Some(key);
        self
    }

    /// Reads the time elsewhere.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.clock.now()
    }

    /// The issuer's name as messages show it.
    pub(crate) fn issuer(&self) -> String {
        shown(&self.server.issuer)
    }

    /// Whether what is granted has the names of what is asked for.
    pub(crate) fn grants_by_name(&self) -> bool {
        self.client.dialect.application_scope.is_none()
    }

    pub(super) fn token_url(&self) -> Result<&str, OAuthError> {
        self.server.endpoint("token_endpoint", &self.server.token_endpoint)
    }

    /// Sends a grant and gives the tokens that came for it.
    pub(super) async fn grant(&self, form: &Form, asked: &[String]) -> Result<Tokens, OAuthError> {
        let url = self.token_url()?;
        let answer = self.send(url, form, self.dpop.as_deref()).await?;
        if answer.status != 200 {
            return Err(self.refusal(&answer));
        }
        self.tokens(&answer, asked)
    }

    /// Sends a form as this client; once more where the server wants a nonce in the proof.
    pub(super) async fn send(
        &self,
        url: &str,
        form: &Form,
        dpop: Option<&DpopKey>,
    ) -> Result<FetchResponse, OAuthError> {
        let mut retried = false;
        loop {
            let mut form = Form(form.0.clone());
            let mut request = FetchRequest::get(url);
            request.method = Method::Post;
            request.most_bytes = MAX_ANSWER;
            let now = self.now();
            self.client.authenticate(&self.server, &mut form, &mut request.headers, now)?;
            for (name, value) in [
                ("accept", "application/json"),
                ("content-type", "application/x-www-form-urlencoded"),
            ] {
                request.headers.push((name.to_owned(), value.to_owned()));
            }
            if let Some(key) = dpop {
                request.headers.push(("dpop".to_owned(), key.proof("POST", url, None, now)?));
            }
            request.body = form.0.as_bytes().to_vec();
            let answer = self.fetch.fetch(request).await?;
            let nonce = answer.header("dpop-nonce");
            let learned = match (dpop, nonce) {
                (Some(key), Some(nonce)) => key.learn(url, nonce),
                _ => false,
            };
            let wanted = matches!(answer.status, 400 | 401)
                && Refusal::read(&answer).is_some_and(|one| one.error == "use_dpop_nonce");
            if !(wanted && learned) || retried {
                return Ok(answer);
            }
            retried = true;
        }
    }

    /// What the server says of why it gives nothing.
    pub(super) fn refusal(&self, answer: &FetchResponse) -> OAuthError {
        if answer.status >= 500 || answer.status == 429 {
            return OAuthError::Unavailable { issuer: self.issuer(), status: answer.status };
        }
        let Some(refusal) = Refusal::read(answer) else {
            let error = format!("it answered with status {}", answer.status);
            return OAuthError::Refused {
                issuer: self.issuer(),
                error,
                description: String::new(),
            };
        };
        let description = refusal.error_description.map(|text| format!(": {}", shown(&text)));
        OAuthError::Refused {
            issuer: self.issuer(),
            error: shown(&refusal.error),
            description: description.unwrap_or_default(),
        }
    }

    pub(super) fn answer(&self, answer: &FetchResponse) -> Result<Answer, OAuthError> {
        object(&answer.body).map_err(|_| self.bad("it is no answer with a token"))
    }

    pub(super) fn bad(&self, why: impl Into<String>) -> OAuthError {
        OAuthError::Token { issuer: self.issuer(), why: why.into() }
    }

    fn tokens(&self, answer: &FetchResponse, asked: &[String]) -> Result<Tokens, OAuthError> {
        let answer = self.answer(answer)?;
        let scheme = match &answer.token_type {
            kind if kind.eq_ignore_ascii_case("bearer") => TokenScheme::Bearer,
            kind if kind.eq_ignore_ascii_case("dpop") && self.dpop.is_some() => TokenScheme::DPoP,
            kind => return Err(self.bad(format!("a token of type `{}`", shown(kind)))),
        };
        let plain = |byte: u8| (0x21..=0x7e).contains(&byte);
        let text = answer.access_token.expose();
        if text.is_empty() || !text.bytes().all(plain) {
            return Err(self.bad("the token cannot stand in a header"));
        }
        let now = self.now();
        let granted = answer
            .scope
            .map(|scope| scopes(scope.split(' ').map(|scope| self.client.dialect.plain(scope))));
        Ok(Tokens {
            access: AccessToken::new(text.to_owned()),
            scheme,
            issued: now,
            expires: answer.expires_in.map(|seconds| now.plus(seconds.min(MAX_LIFE))),
            refresh: answer.refresh_token.filter(|token| !token.is_empty()),
            scopes: granted.unwrap_or_else(|| asked.to_vec()),
            id_token: answer.id_token,
        })
    }
}

impl std::fmt::Debug for TokenEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenEndpoint")
            .field("issuer", &self.server.issuer)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// RFC 6749, section 5.1, with what RFC 8693 adds.
#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) access_token: SecretText,
    pub(super) token_type: String,
    #[serde(default, deserialize_with = "seconds")]
    pub(super) expires_in: Option<u64>,
    refresh_token: Option<SecretText>,
    scope: Option<String>,
    id_token: Option<SecretText>,
    pub(super) issued_token_type: Option<String>,
}

/// A number, which some issuers write as a text.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(f64),
        Text(String),
        Nothing,
    }
    let number = match Either::deserialize(deserializer)? {
        Either::Number(number) => number,
        Either::Text(text) => text.trim().parse().map_err(serde::de::Error::custom)?,
        Either::Nothing => return Ok(None),
    };
    // Saturates; what is less than nothing has ended.
    Ok(Some(number as u64))
}

/// RFC 6749, section 5.2.
#[derive(Deserialize)]
pub(super) struct Refusal {
    pub(super) error: String,
    error_description: Option<String>,
}

impl Refusal {
    pub(super) fn read(answer: &FetchResponse) -> Option<Self> {
        object(&answer.body).ok()
    }
}

#[cfg(test)]
mod tests;
