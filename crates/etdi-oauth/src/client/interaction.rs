//! How a user is asked to log in: show a URL, wait for the answer.

use std::fmt;
use std::future::Future;

use mcp_types::BoxFuture;

use crate::flow::{AuthorizationUrl, DeviceCode};

/// Asks the user. [`Loopback`](super::Loopback) waits for a browser on this computer,
/// [`Paste`](super::Paste) for what the user types, [`AskWith`] for whatever a closure does.
///
/// ```
/// use etdi_oauth::{AskWith, AuthorizationUrl};
///
/// // A host with a window of its own: it shows the page and catches the redirect.
/// let window = AskWith::new("https://app.example/callback", async |url: AuthorizationUrl| {
///     Ok(format!("https://app.example/callback?code=…&state=… for {}", url.host()))
/// });
/// ```
pub trait Interaction: Send + Sync {
    /// Makes ready to be answered. `known` are the redirect URIs for which this client is
    /// registered, if it is: one of them is best, and where none can be used the client is
    /// registered anew.
    ///
    /// # Errors
    ///
    /// When nobody can be asked.
    fn prepare<'a>(
        &'a self,
        known: &'a [String],
    ) -> BoxFuture<'a, Result<Box<dyn Redirection>, InteractionError>>;

    /// Shows a code for another device (RFC 8628). It returns once the user can read it.
    ///
    /// # Errors
    ///
    /// When nobody can be shown anything.
    fn show_code<'a>(
        &'a self,
        _code: &'a DeviceCode,
    ) -> BoxFuture<'a, Result<(), InteractionError>> {
        Box::pin(async {
            Err(InteractionError::Unavailable("codes for another device are not shown here".into()))
        })
    }
}

/// A place to which the user is sent back, for one login.
pub trait Redirection: Send {
    /// Its URI.
    fn uri(&self) -> &str;

    /// Sends the user to `url`, waits, and gives the URL to which the user was sent back, or its
    /// query. Whatever does not answer this very request may be ignored
    /// ([`AuthorizationUrl::is_answered_by`]); what is given is checked by the caller.
    ///
    /// # Errors
    ///
    /// When the user gave no answer.
    fn answer<'a>(
        self: Box<Self>,
        url: &'a AuthorizationUrl,
    ) -> BoxFuture<'a, Result<String, InteractionError>>;
}

/// Why a user gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InteractionError {
    /// The user does not want to.
    #[error("the login was called off")]
    Declined,
    /// The user did not answer in time.
    #[error("nobody logged in in time, begin again")]
    Late,
    /// The user cannot be asked.
    #[error("nobody can be asked to log in: {0}")]
    Unavailable(String),
}

/// Asks by a closure, which gets the URL and gives the one to which the user was sent back.
pub struct AskWith<F> {
    redirect_uri: String,
    ask: F,
}

impl<F, A> AskWith<F>
where
    F: Fn(AuthorizationUrl) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<String, InteractionError>> + Send + 'static,
{
    /// Users are sent back to `redirect_uri`, where whoever calls this catches them.
    pub fn new(redirect_uri: impl Into<String>, ask: F) -> Self {
        Self { redirect_uri: redirect_uri.into(), ask }
    }
}

impl<F> fmt::Debug for AskWith<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskWith").field("redirect_uri", &self.redirect_uri).finish_non_exhaustive()
    }
}

impl<F, A> Interaction for AskWith<F>
where
    F: Fn(AuthorizationUrl) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<String, InteractionError>> + Send + 'static,
{
    fn prepare<'a>(
        &'a self,
        _: &'a [String],
    ) -> BoxFuture<'a, Result<Box<dyn Redirection>, InteractionError>> {
        let (uri, ask) = (self.redirect_uri.clone(), self.ask.clone());
        Box::pin(async move { Ok(Box::new(Asking { uri, ask }) as Box<dyn Redirection>) })
    }
}

struct Asking<F> {
    uri: String,
    ask: F,
}

impl<F, A> Redirection for Asking<F>
where
    F: Fn(AuthorizationUrl) -> A + Send,
    A: Future<Output = Result<String, InteractionError>> + Send + 'static,
{
    fn uri(&self) -> &str {
        &self.uri
    }

    fn answer<'a>(
        self: Box<Self>,
        url: &'a AuthorizationUrl,
    ) -> BoxFuture<'a, Result<String, InteractionError>> {
        Box::pin((self.ask)(url.clone()))
    }
}
