//! A signature in a publisher's place (RFC 8693, and RFC 9396 where it is offered): the identity
//! provider signs our statement about definitions, not a token.

use etdi_core::endorsement::{EndorsementError, EndorsementRequest};
use etdi_core::jws::IssuedJws;
use etdi_core::key::AllowList;
use etdi_core::time::UnixTime;
use etdi_core::wire::{DEFINITION_AUDIENCE, DETAILS, UNSIGNED};

use super::endpoint::Form;
use super::grants::GRANT_EXCHANGE;
use super::{OAuthError, TokenEndpoint};
use crate::JwksCache;

/// A statement that an identity provider signed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endorsed {
    /// The statement as it stands in a listing: a compact JWS.
    pub statement: String,
    /// What the provider calls the key that signed it.
    pub key_id: String,
    /// Until when it holds: no longer than was asked for, and maybe less.
    pub expires: UnixTime,
}

impl TokenEndpoint {
    /// Has the identity provider sign a statement about definitions, instead of the publisher or
    /// beside it.
    ///
    /// What is asked for shows the definitions and is no credential; who asks is this client, which
    /// has to authenticate. What comes back is given to nobody unless it is that statement, of its
    /// own `typ`, by this issuer and one of the keys that it publishes, with the content that was
    /// sent. An access token in its place is thrown away.
    ///
    /// # Errors
    ///
    /// When the issuer is no `https` origin or another one than the statement names, refuses, cannot
    /// be reached, or gives anything else.
    pub async fn endorse(&self, asked: &EndorsementRequest) -> Result<Endorsed, OAuthError> {
        let own = self.server.provider()?;
        if *asked.issuer() != own {
            let issuer = asked.issuer();
            return Err(OAuthError::Setting(format!(
                "`{own}` is asked to sign what `{issuer}` would say, name it as the issuer of the \
                 statement"
            )));
        }
        let kind = asked.kind();
        let wanted = kind.token_type().ok_or_else(|| {
            OAuthError::Setting("no issuer is asked for a statement of this kind".to_owned())
        })?;
        let mut form = Form::new();
        form.put("grant_type", GRANT_EXCHANGE);
        form.put("requested_token_type", wanted);
        form.put("audience", DEFINITION_AUDIENCE);
        form.put("subject_token_type", UNSIGNED);
        form.put("subject_token", &asked.to_json()?);
        let known = self.server.authorization_details_types_supported.as_deref();
        if known.is_some_and(|known| known.iter().any(|one| one == DETAILS)) {
            form.put("authorization_details", &asked.authorization_details()?);
        }
        let answer = self.send(self.token_url()?, &form, self.dpop.as_deref()).await?;
        if answer.status != 200 {
            return Err(self.refusal(&answer));
        }
        let answer = self.answer(&answer)?;
        // Said twice, so that a server which knows nothing of statements is told from one that does.
        if answer.issued_token_type.as_deref() != Some(wanted)
            || !answer.token_type.eq_ignore_ascii_case("N_A")
        {
            return Err(self.bad("it says itself that it is no statement about definitions"));
        }
        let text = answer.access_token.expose();
        let none = |error: EndorsementError| self.bad(error.to_string());
        let jws = IssuedJws::read(text, kind, AllowList::IDENTITY_PROVIDER);
        let jws = jws.map_err(|error| none(error.into()))?;
        let url = self.server.endpoint("jwks_uri", &self.server.jwks_uri)?;
        if !url.starts_with("https://") {
            return Err(self.bad("the keys for it would not come over HTTPS"));
        }
        let (keys, now) = (JwksCache::new(self.fetch.clone()), self.now());
        let key = keys.key(url, jws.kid(), AllowList::IDENTITY_PROVIDER, now).await;
        let key = key.map_err(|error| self.bad(error.to_string()))?;
        let expires = asked.accept(text, &key.key, now).map_err(none)?;
        Ok(Endorsed { statement: text.to_owned(), key_id: jws.kid().to_owned(), expires })
    }
}

#[cfg(test)]
mod tests;
