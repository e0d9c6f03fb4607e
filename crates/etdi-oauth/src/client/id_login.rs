//! A login at a company's identity provider, for the ID token that stands for the user there.

use std::fmt;
use std::sync::Arc;

use etdi_core::time::UnixTime;
use mcp_types::BoxFuture;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::{AssertionSource, Interaction, InteractionError};
use crate::flow::{AuthorizationRequest, Dialect, OAuthError, RegisteredClient, TokenEndpoint};
use crate::web::{checked, is_loopback, random, shown};
use crate::{Clock, Fetch, IdToken, IdTokenVerifier, SecretText, ServerMetadata, VerifierError};

/// For how many seconds a token has to hold that is used once more.
const SKEW: u64 = 60;

/// Has the user log in at an OpenID provider, verifies the ID token that comes of it, and gives it to
/// [`OAuthClient::enterprise`](super::OAuthClient::enterprise), which exchanges it for an assertion
/// about the user (ID-JAG). The user is asked again when the token has ended.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use etdi_oauth::{GuardedFetch, IdentityLogin, Loopback, OAuthClient, RegisteredClient, Rules};
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let provider = RegisteredClient::public("https://login.acme.example", "notes-desktop");
/// let login = IdentityLogin::new(
///     provider.clone(),
///     Loopback::browser(|text| eprintln!("{text}")),
///     Arc::new(GuardedFetch::new(Rules::default())),
/// )?;
/// let us = RegisteredClient::with_secret("https://auth.notes.example", "notes-desktop", "7Fjf…");
/// let oauth = OAuthClient::enterprise("https://notes.example/mcp", us, provider, login).build()?;
/// # drop(oauth);
/// # Ok(()) }
/// ```
pub struct IdentityLogin {
    provider: RegisteredClient,
    interaction: Box<dyn Interaction>,
    verifier: IdTokenVerifier,
    fetch: Arc<dyn Fetch>,
    clock: Clock,
    /// The last token, and until when it is used. Whoever comes meanwhile waits for the same login.
    kept: Mutex<Option<(SecretText, UnixTime)>>,
}

impl IdentityLogin {
    /// At the provider that knows this program as `provider`, where users are asked by `interaction`.
    /// What the provider publishes comes through `fetch`.
    ///
    /// # Errors
    ///
    /// When the provider has no https URL, or signatures cannot be verified in this process.
    pub fn new(
        mut provider: RegisteredClient,
        interaction: impl Interaction + 'static,
        fetch: Arc<dyn Fetch>,
    ) -> Result<Self, VerifierError> {
        let verifier = IdTokenVerifier::new(&*provider.issuer, &*provider.id, fetch.clone())?;
        // The user is asked for, and no token for a server; many providers take S256 and do not say so.
        provider.dialect = Dialect { no_resource: true, s256_unsaid: true, ..Dialect::default() };
        let (clock, kept) = (Clock::system(), Mutex::default());
        let interaction = Box::new(interaction);
        Ok(Self { provider, interaction, verifier, fetch, clock, kept })
    }

    /// Reads the time elsewhere.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Has the user log in now. Gives the token, and what it says.
    ///
    /// # Errors
    ///
    /// When the user does not log in, the provider refuses, or its token does not hold.
    pub async fn log_in(&self) -> Result<(SecretText, IdToken), OAuthError> {
        let (fetch, issuer) = (&self.fetch, &self.provider.issuer);
        let here = checked(issuer, true).is_ok_and(|url| is_loopback(&url));
        let server = ServerMetadata::find(&**fetch, issuer, here).await?;
        let redirection = self.interaction.prepare(&[]).await?;
        let (uri, nonce) = (redirection.uri().to_owned(), random()?);
        let scopes = ["openid".to_owned()];
        let request = AuthorizationRequest::new(&server, &self.provider, &uri, "", &scopes)?;
        let request = request.with("nonce", &nonce);
        let answer = Zeroizing::new(redirection.answer(request.url()).await?);
        let code = request.code(&answer)?;
        let endpoint = TokenEndpoint::new(fetch.clone(), server, self.provider.clone())?;
        let endpoint = endpoint.clock(self.clock.clone());
        let tokens = endpoint.authorization_code(&request, &code).await?;
        let bad = |why: String| OAuthError::Token { issuer: shown(issuer), why };
        let token = tokens.id_token.ok_or_else(|| bad("it gave no ID token".to_owned()))?;
        let (access, now) = (Some(&tokens.access), self.clock.now());
        let said = self.verifier.verify(token.expose(), Some(&nonce), access, now).await;
        Ok((token, said.map_err(|refusal| bad(refusal.to_string()))?))
    }
}

impl AssertionSource for IdentityLogin {
    fn assertion<'a>(
        &'a self,
        issuer: &'a str,
    ) -> BoxFuture<'a, Result<SecretText, InteractionError>> {
        Box::pin(async move {
            // An ID token is shown to whoever issued it, and to nobody else.
            if issuer != self.provider.issuer {
                let why = format!("users log in at `{}` here", shown(&self.provider.issuer));
                return Err(InteractionError::Unavailable(why));
            }
            let mut kept = self.kept.lock().await;
            let now = self.clock.now();
            if let Some((token, until)) = &*kept
                && now.plus(SKEW) < *until
            {
                return Ok(token.clone());
            }
            let (token, said) = self.log_in().await.map_err(|error| match error {
                OAuthError::Interaction(error) => error,
                error => InteractionError::Unavailable(error.to_string()),
            })?;
            *kept = Some((token.clone(), said.expires));
            Ok(token)
        })
    }
}

impl fmt::Debug for IdentityLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityLogin").field("provider", &self.provider).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
