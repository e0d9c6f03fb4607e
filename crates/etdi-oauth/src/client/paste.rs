//! Where there is no browser: the URL is printed, and what it led to is typed in.

use std::fmt;
use std::future::Future;

use mcp_types::BoxFuture;

use super::{Interaction, InteractionError, Redirection};
use crate::flow::{AuthorizationUrl, DeviceCode};

/// Shows a text and reads a line: the URL on which the browser ended up, wherever that runs.
///
/// The page there does not open, because nothing listens at its address; its URL in the browser's
/// address bar is the answer. `show` gets what the user is to read, `read` gives what was typed.
///
/// ```
/// use etdi_oauth::Paste;
///
/// let paste = Paste::new(
///     |text| eprintln!("{text}"),
///     async || {
///         let mut line = String::new();
///         std::io::stdin().read_line(&mut line).ok().map(|_| line)
///     },
/// );
/// ```
pub struct Paste<S, R> {
    redirect_uri: String,
    show: S,
    read: R,
}

impl<S, R, A> Paste<S, R>
where
    S: Fn(&str) + Clone + Send + Sync + 'static,
    R: Fn() -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Option<String>> + Send + 'static,
{
    /// Shows and reads so; `None` calls the login off.
    pub fn new(show: S, read: R) -> Self {
        // Port 1 is nobody's: what is typed in is never sent anywhere.
        Self { redirect_uri: "http://127.0.0.1:1/callback".to_owned(), show, read }
    }

    /// Sends users back to another place, for which the client is registered.
    #[must_use]
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uri = uri.into();
        self
    }
}

impl<S, R> fmt::Debug for Paste<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paste").field("redirect_uri", &self.redirect_uri).finish_non_exhaustive()
    }
}

impl<S, R, A> Interaction for Paste<S, R>
where
    S: Fn(&str) + Clone + Send + Sync + 'static,
    R: Fn() -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Option<String>> + Send + 'static,
{
    fn prepare<'a>(
        &'a self,
        _: &'a [String],
    ) -> BoxFuture<'a, Result<Box<dyn Redirection>, InteractionError>> {
        let Self { redirect_uri: uri, show, read } = self;
        let pasting = Pasting { uri: uri.clone(), show: show.clone(), read: read.clone() };
        Box::pin(async move { Ok(Box::new(pasting) as Box<dyn Redirection>) })
    }

    fn show_code<'a>(
        &'a self,
        code: &'a DeviceCode,
    ) -> BoxFuture<'a, Result<(), InteractionError>> {
        Box::pin(async move {
            (self.show)(&code.to_text());
            Ok(())
        })
    }
}

struct Pasting<S, R> {
    uri: String,
    show: S,
    read: R,
}

impl<S, R, A> Redirection for Pasting<S, R>
where
    S: Fn(&str) + Send,
    R: Fn() -> A + Send,
    A: Future<Output = Option<String>> + Send + 'static,
{
    fn uri(&self) -> &str {
        &self.uri
    }

    fn answer<'a>(
        self: Box<Self>,
        url: &'a AuthorizationUrl,
    ) -> BoxFuture<'a, Result<String, InteractionError>> {
        (self.show)(&format!(
            "Open this page and log in:\n\n  {}\n\nThe page after it does not open. Copy its whole \
             address from the browser and paste it here.",
            url.as_str()
        ));
        let read = (self.read)();
        Box::pin(async move { read.await.ok_or(InteractionError::Declined) })
    }
}
