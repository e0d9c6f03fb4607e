//! The authorization request and its answer: PKCE with S256, `state`, and `iss` (RFC 9207).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::digest::Digest;
use url::Url;
use url::form_urlencoded;

use super::endpoint::Form;
use super::{OAuthError, RegisteredClient, TokenEndpoint};
use crate::token::Tokens;
use crate::web::{checked, random, shown};
use crate::{SecretText, ServerMetadata};

/// The most bytes of an answer.
const MAX_ANSWER: usize = 16 << 10;

/// Where a user is sent. It is HTTPS, or a page of this computer, and nothing else.
#[derive(Clone)]
pub struct AuthorizationUrl {
    url: Url,
    state: SecretText,
}

impl AuthorizationUrl {
    /// The URL, for a browser.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// What its answer has to bring.
    #[cfg(feature = "embedded")]
    pub(crate) fn state(&self) -> &SecretText {
        &self.state
    }

    /// The host that the user gets to see.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether an answer is one to this request, by its `state`.
    pub fn is_answered_by(&self, query: &str) -> bool {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.any(|(name, value)| name == "state" && self.state.is(&value))
    }
}

impl fmt::Debug for AuthorizationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthorizationUrl({})", self.host())
    }
}

/// One authorization request: what has to be known again when its answer comes.
#[derive(Debug)]
pub struct AuthorizationRequest {
    url: AuthorizationUrl,
    /// Who is asked, from metadata that was checked.
    issuer: String,
    /// Whether an answer has to say from whom it is.
    names_itself: bool,
    verifier: SecretText,
    redirect_uri: String,
    resource: String,
    scopes: Vec<String>,
}

impl AuthorizationRequest {
    /// Makes a request of `client`, with a verifier and a `state` of its own.
    ///
    /// # Errors
    ///
    /// When the server has no such endpoint, or does not say that it takes S256 (2026-07-28,
    /// "Authorization Code Protection").
    pub fn new(
        server: &ServerMetadata,
        client: &RegisteredClient,
        redirect_uri: &str,
        resource: &str,
        scopes: &[String],
    ) -> Result<Self, OAuthError> {
        let endpoint = server.endpoint("authorization_endpoint", &server.authorization_endpoint)?;
        let name = "authorization_endpoint";
        let mut url = checked(endpoint, true).map_err(|why| OAuthError::Endpoint {
            issuer: shown(&server.issuer),
            name,
            why: why.to_owned(),
        })?;
        let methods = &server.code_challenge_methods_supported;
        let unsaid = methods.is_none() && client.dialect.s256_unsaid;
        if !unsaid && !methods.iter().flatten().any(|one| one == "S256") {
            return Err(server.not_offered("PKCE with S256, without which codes can be stolen"));
        }
        let (verifier, state) = (random()?, random()?);
        let challenge = URL_SAFE_NO_PAD.encode(Digest::of_bytes(verifier.as_bytes()).as_bytes());
        let dialect = &client.dialect;
        let scope = dialect.spell(scopes);
        let ours = [
            ("response_type", "code"),
            ("client_id", &client.id),
            ("redirect_uri", redirect_uri),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("state", &state),
        ];
        let offline = scopes.iter().any(|scope| scope == "offline_access");
        let about = [
            ("prompt", Some("consent").filter(|_| offline && !dialect.offline_unprompted)),
            ("resource", Some(resource).filter(|_| !dialect.no_resource)),
            ("audience", dialect.audience.as_deref()),
            ("scope", Some(&*scope).filter(|scope| !scope.is_empty())),
        ];
        // An endpoint may bring parameters, but none of ours.
        let taken = |name: &str| {
            ours.iter().any(|(one, _)| *one == name)
                || about.iter().any(|(one, value)| *one == name && value.is_some())
                || ["resource", "scope"].contains(&name)
        };
        if url.query_pairs().any(|(name, _)| taken(&name)) {
            let why = "it brings parameters of the request".to_owned();
            return Err(OAuthError::Endpoint { issuer: shown(&server.issuer), name, why });
        }
        let about = about.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        url.query_pairs_mut().extend_pairs(ours).extend_pairs(about);
        Ok(Self {
            url: AuthorizationUrl { url, state: SecretText::new(state) },
            issuer: server.issuer.clone(),
            names_itself: server.authorization_response_iss_parameter_supported == Some(true),
            verifier: SecretText::new(verifier),
            redirect_uri: redirect_uri.to_owned(),
            resource: resource.to_owned(),
            scopes: scopes.to_vec(),
        })
    }

    /// The same request with another parameter.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.url.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Where the user is sent.
    pub fn url(&self) -> &AuthorizationUrl {
        &self.url
    }

    /// The code of an answer: the URL to which the user was sent back, or its query.
    ///
    /// # Errors
    ///
    /// When the answer is not one to this request, does not come from who was asked, or is a
    /// refusal. Nothing of an answer of somebody else is shown.
    pub fn code(&self, answer: &str) -> Result<SecretText, OAuthError> {
        if answer.len() > MAX_ANSWER {
            return Err(OAuthError::Response("it is longer than 16 KiB"));
        }
        let answer = answer.trim();
        let plain = answer.split('#').next().unwrap_or_default();
        let query = plain.split_once('?').map_or(plain, |(_, query)| query);
        let [mut code, mut state, mut iss, mut error, mut description] = [const { None }; 5];
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "code" => &mut code,
                "state" => &mut state,
                "iss" => &mut iss,
                "error" => &mut error,
                "error_description" => &mut description,
                _ => continue,
            };
            if place.replace(SecretText::new(value)).is_some() {
                return Err(OAuthError::Response("it says one thing twice"));
            }
        }
        if !state.is_some_and(|state| self.url.state.is(state.expose())) {
            return Err(OAuthError::Response("its `state` is not that of this login"));
        }
        let foreign =
            |why: String| OAuthError::ResponseIssuer { expected: shown(&self.issuer), why };
        match iss {
            // Byte for byte: nothing is normalized.
            Some(iss) if iss.expose() != self.issuer => {
                return Err(foreign(format!("it names `{}`", shown(iss.expose()))));
            }
            None if self.names_itself => return Err(foreign("it names nobody".to_owned())),
            _ => {}
        }
        if let Some(error) = error {
            let mut error = shown(error.expose());
            if let Some(description) = description {
                error = format!("{error}: {}", shown(description.expose()));
            }
            return Err(OAuthError::Denied { issuer: shown(&self.issuer), error });
        }
        code.filter(|code| !code.is_empty()).ok_or(OAuthError::Response("it has no code"))
    }
}

impl TokenEndpoint {
    /// The tokens for a code, with the verifier that only this request has.
    ///
    /// # Errors
    ///
    /// When the request was one to another issuer, or as
    /// [`TokenEndpoint::client_credentials`].
    pub async fn authorization_code(
        &self,
        request: &AuthorizationRequest,
        code: &SecretText,
    ) -> Result<Tokens, OAuthError> {
        if request.issuer != self.server.issuer {
            return Err(OAuthError::Response("its code belongs to another issuer"));
        }
        let mut form = Form::new();
        form.put("grant_type", "authorization_code");
        form.put("code", code.expose());
        form.put("redirect_uri", &request.redirect_uri);
        form.put("code_verifier", request.verifier.expose());
        // Without `scope`: it is that of the authorization.
        form.put_target(&self.client.dialect, &request.resource, &[]);
        self.grant(&form, &request.scopes).await
    }
}

#[cfg(test)]
mod tests;
