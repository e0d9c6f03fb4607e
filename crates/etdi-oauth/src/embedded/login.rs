//! Who the user is that is asked.

use etdi_core::time::UnixTime;
use mcp_types::BoxFuture;

/// Tells who a user is by what was typed into the consent page. Object safe.
pub trait Login: Send + Sync {
    /// Whether the page asks for a password.
    fn asks_password(&self) -> bool;

    /// The user's name in tokens, or `None` when this is nobody. Whoever implements it bounds how
    /// often one may try.
    fn log_in<'a>(
        &'a self,
        name: &'a str,
        password: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Option<String>>;
}

/// Believes whatever name is typed. For development, on a server that nobody else can reach.
#[derive(Clone, Copy, Debug, Default)]
pub struct DevelopmentLogin;

impl Login for DevelopmentLogin {
    fn asks_password(&self) -> bool {
        false
    }

    fn log_in<'a>(
        &'a self,
        name: &'a str,
        _password: &'a str,
        _now: UnixTime,
    ) -> BoxFuture<'a, Option<String>> {
        let fits = name.len() <= 64 && !name.chars().any(char::is_control);
        let user = fits.then(|| name.trim().to_owned()).filter(|name| !name.is_empty());
        Box::pin(std::future::ready(user))
    }
}
