//! The grants that need nobody to log in here: client credentials, refresh, assertions (RFC 7523),
//! token exchange (RFC 8693); and revocation (RFC 7009).

use super::endpoint::Form;
use super::{Dialect, OAuthError, TokenEndpoint};
use crate::SecretText;
use crate::token::Tokens;
use crate::web::shown;

const GRANT_JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub(super) const GRANT_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// What kind of token something is (RFC 8693, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenType {
    /// An access token.
    AccessToken,
    /// An ID token of OpenID Connect.
    IdToken,
    /// A JWT of whatever kind.
    Jwt,
    /// An identity assertion for an authorization server of another domain (ID-JAG).
    IdJag,
}

impl TokenType {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::IdToken => "urn:ietf:params:oauth:token-type:id_token",
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
            Self::IdJag => "urn:ietf:params:oauth:token-type:id-jag",
        }
    }
}

/// One token against another (RFC 8693): so a server calls others for its caller, whose own token it
/// never passes on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Exchange {
    /// The token of whom it is asked for.
    pub subject: SecretText,
    /// What kind of token that is.
    pub subject_type: TokenType,
    /// The token of who asks, where the issuer wants it, and its kind.
    pub actor: Option<(SecretText, TokenType)>,
    /// For whom the new token is (RFC 8707).
    pub resource: String,
    /// The same by a name that the issuer knows.
    pub audience: Option<String>,
    /// The scopes that are asked for.
    pub scopes: Vec<String>,
}

impl Exchange {
    /// An access token for `resource` in place of another one.
    pub fn new(
        subject: impl Into<SecretText>,
        subject_type: TokenType,
        resource: impl Into<String>,
    ) -> Self {
        let (actor, audience, scopes) = (None, None, Vec::new());
        let (subject, resource) = (subject.into(), resource.into());
        Self { subject, subject_type, actor, resource, audience, scopes }
    }

    fn form(&self, wanted: TokenType, dialect: &Dialect) -> Form {
        let mut form = Form::new();
        form.put("grant_type", GRANT_EXCHANGE);
        form.put("requested_token_type", wanted.name());
        let mut dialect = dialect.clone();
        dialect.audience = self.audience.clone().or(dialect.audience);
        form.put_target(&dialect, &self.resource, &self.scopes);
        form.put("subject_token", self.subject.expose());
        form.put("subject_token_type", self.subject_type.name());
        if let Some((actor, kind)) = &self.actor {
            form.put("actor_token", actor.expose());
            form.put("actor_token_type", kind.name());
        }
        form
    }
}

impl TokenEndpoint {
    /// A token for this client itself.
    ///
    /// # Errors
    ///
    /// When the issuer refuses or cannot be reached.
    pub async fn client_credentials(
        &self,
        resource: &str,
        scopes: &[String],
    ) -> Result<Tokens, OAuthError> {
        let dialect = &self.client.dialect;
        let scopes = dialect.application_scope.as_ref().map_or(scopes, std::slice::from_ref);
        let mut form = Form::new();
        form.put("grant_type", "client_credentials");
        form.put_target(dialect, resource, scopes);
        self.grant(&form, scopes).await
    }

    /// New tokens in place of old ones. Where the issuer gives no new refresh token the old one is
    /// in the answer; `scopes` are those that the old tokens have.
    ///
    /// # Errors
    ///
    /// As [`TokenEndpoint::client_credentials`]; `invalid_grant` means that a login is needed.
    pub async fn refresh(
        &self,
        token: &SecretText,
        resource: &str,
        scopes: &[String],
    ) -> Result<Tokens, OAuthError> {
        let mut form = Form::new();
        form.put("grant_type", "refresh_token");
        form.put("refresh_token", token.expose());
        // Without `scope` it is that of before.
        form.put_target(&self.client.dialect, resource, &[]);
        let mut tokens = self.grant(&form, scopes).await?;
        tokens.refresh.get_or_insert_with(|| token.clone());
        Ok(tokens)
    }

    /// A token for whom an assertion speaks of (RFC 7523, section 2.1): a workload by the token of
    /// its platform, a user by an ID-JAG.
    ///
    /// # Errors
    ///
    /// As [`TokenEndpoint::client_credentials`].
    pub async fn jwt_bearer(
        &self,
        assertion: &SecretText,
        resource: &str,
        scopes: &[String],
    ) -> Result<Tokens, OAuthError> {
        let mut form = Form::new();
        form.put("grant_type", GRANT_JWT_BEARER);
        form.put("assertion", assertion.expose());
        form.put_target(&self.client.dialect, resource, scopes);
        self.grant(&form, scopes).await
    }

    /// An access token in place of another token.
    ///
    /// # Errors
    ///
    /// As [`TokenEndpoint::client_credentials`].
    pub async fn exchange(&self, exchange: &Exchange) -> Result<Tokens, OAuthError> {
        self.grant(&exchange.form(TokenType::AccessToken, &self.client.dialect), &exchange.scopes)
            .await
    }

    /// An identity assertion for the authorization server that [`Exchange::audience`] names
    /// (enterprise-managed authorization, section 4).
    ///
    /// # Errors
    ///
    /// As [`TokenEndpoint::client_credentials`], and when the identity provider gives something
    /// else.
    pub async fn identity_assertion(&self, exchange: &Exchange) -> Result<SecretText, OAuthError> {
        let form = exchange.form(TokenType::IdJag, &self.client.dialect);
        let answer = self.send(self.token_url()?, &form, None).await?;
        if answer.status != 200 {
            return Err(self.refusal(&answer));
        }
        let answer = self.answer(&answer)?;
        if answer.issued_token_type.as_deref() != Some(TokenType::IdJag.name()) {
            return Err(self.bad("it is no identity assertion"));
        }
        // An access token must not travel on as an assertion.
        if !answer.token_type.eq_ignore_ascii_case("N_A") {
            let found = shown(&answer.token_type);
            return Err(self.bad(format!("its type is `{found}`, expected `N_A`")));
        }
        Ok(answer.access_token)
    }

    /// Takes a token back. `hint` is `access_token` or `refresh_token`. Says whether the issuer does
    /// that: many have no place for it, or take back no tokens that are signed.
    ///
    /// # Errors
    ///
    /// When the issuer refuses or cannot be reached; the token may hold then.
    pub async fn revoke(&self, token: &str, hint: &str) -> Result<bool, OAuthError> {
        let Some(url) = self.server.revocation_endpoint.as_deref() else { return Ok(false) };
        let mut form = Form::new();
        form.put("token", token);
        form.put("token_type_hint", hint);
        let answer = self.send(url, &form, None).await?;
        match answer.status {
            200 | 204 => Ok(true),
            // What is signed cannot be taken back by everybody.
            _ => match self.refusal(&answer) {
                OAuthError::Refused { error, .. } if error == "unsupported_token_type" => Ok(false),
                refusal => Err(refusal),
            },
        }
    }
}
