//! A small authorization server: for development, for tests, and for who hosts it alone.
//!
//! [`AuthorizationRoutes`] are the HTTP side, a tower service that stands alone ([`listen`]) or beside
//! `/mcp`. They hold whoever asks to OAuth 2.1: codes with PKCE (S256 and nothing else), redirect URIs
//! letter by letter, one resource for each token (RFC 8707), `iss` in every answer (RFC 9207), proofs
//! of possession (RFC 9449), clients that authenticate as they said. Whose clients, grants and tokens
//! there are is an [`AuthorizationServer`]: one's own, or [`Embedded`], which keeps them in a [`Store`]
//! in memory or in one file. Users have a name here ([`Login`]), or log in elsewhere ([`Upstreams`]).
//!
//! ```no_run
//! # use std::sync::Arc;
//! # async fn example(now: etdi_core::time::UnixTime) -> Result<(), Box<dyn std::error::Error>> {
//! use etdi_oauth::embedded::{
//!     AuthorizationRoutes, Client, Embedded, RedbStore, Settings, listen,
//! };
//!
//! let mut settings = Settings::new("http://127.0.0.1:9000", ["http://127.0.0.1:8000/mcp"])?;
//! settings.scopes = vec!["notes:read".to_owned()];
//! let store = Arc::new(RedbStore::open("state.redb")?);
//! let server = Embedded::open(store, &settings, now).await?;
//! let server = server.client(Client::public("notes", ["http://127.0.0.1/callback"])?);
//! let routes = AuthorizationRoutes::new(Arc::new(server), settings)?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:9000").await?;
//! listen(routes, listener, std::future::pending()).await?;
//! # Ok(()) }
//! ```
//!
//! # What it holds off
//!
//! The user is asked each time, on a page without scripts that nobody frames and that says the
//! client's id and where the user is sent back to; its answer counts for the browser that it was shown
//! to. A code or a refresh token that is shown twice ends its whole grant. Where a stranger could make
//! the server send users somewhere without asking them, they see a page instead. What a stranger can
//! fill is bounded, and empties itself.
//!
//! # What it signs besides
//!
//! It can sign statements about tool definitions in a publisher's place, as an identity provider does
//! (RFC 8693): for clients that the operator lets ([`Client::endorsed`]), within the bounds that they
//! have, once [`Settings::statement_lifetime`] is set. By default it signs none.
//!
//! # What it leaves out
//!
//! ID tokens of its own, device codes, token exchange for access tokens, and more than one process on
//! one state. TLS is for who stands before it.

mod authenticate;
mod authorize;
mod bucket;
mod client;
mod contract;
mod documents;
mod dpop;
mod form;
mod jose;
mod keys;
mod listen;
mod login;
mod manage;
mod metadata;
mod page;
mod refusal;
mod register;
mod routes;
mod seal;
mod server;
mod settings;
mod state;
mod statement;
mod store;
mod token;
mod upstream;

pub use client::{Authentication, Client, ClientError, GrantType, Source};
pub use contract::check_server;
pub use form::Form;
pub use keys::Rotation;
pub use listen::listen;
pub use login::{DevelopmentLogin, Login, PasswordError, Passwords};
pub use refusal::Refusal;
pub use routes::{Answer, AuthorizationRoutes};
pub use server::{
    AuthorizationRequest, AuthorizationServer, Credential, Grant, Held, Issued, Page, Return,
    Returned, ServerError, TokenClaims, Verdict, Visit, Wanted,
};
pub use settings::{Settings, SettingsError};
pub use state::Embedded;
pub use store::{Kind, MOST_BYTES, MemoryStore, Records, RedbStore, Store, check_store};

pub use upstream::{Admit, Allowed, LoggedIn, Upstream, UpstreamError, UpstreamUser, Upstreams};

#[cfg(test)]
mod tests;
