//! What is known of a login that is kept, without what is secret about it.

use etdi_core::time::UnixTime;

use super::OAuthClient;
use crate::flow::OAuthError;

/// A login that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// Who gave the tokens.
    pub issuer: String,
    /// For whom they are.
    pub resource: String,
    /// The scopes that they have.
    pub scopes: Vec<String>,
    /// When the access token ends, if the issuer says so.
    pub expires: Option<UnixTime>,
    /// Whether it can be renewed without a user.
    pub is_renewed: bool,
}

impl OAuthClient {
    /// The login that is kept for the server; `None` where there is none of this client. Nobody is asked.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn standing(&self) -> Result<Option<Standing>, OAuthError> {
        let Some(current) = self.load().await? else { return Ok(None) };
        let kept = &current.kept;
        Ok(Some(Standing {
            issuer: kept.issuer.clone(),
            resource: kept.resource.clone(),
            scopes: kept.tokens.scopes.clone(),
            expires: kept.tokens.expires,
            is_renewed: kept.tokens.refresh.is_some(),
        }))
    }
}
