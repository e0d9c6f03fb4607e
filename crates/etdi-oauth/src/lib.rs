//! Issuers, their keys, tokens and MCP authorization.
//!
//! OAuth answers two questions for ETDI. *Who published this tool?* An identity provider can sign
//! the statement about a definition in the publisher's place (`TokenEndpoint::endorse`, and
//! `embedded::Client::endorsed` where it is our own); whoever checks its keys implements
//! [`ProofVerifier`](etdi_core::proof::ProofVerifier), and the verifier of `etdi-core` asks it like
//! any other. *May this client call?* A client shows an access token that a [`TokenSource`] gives.
//!
//! Both need documents from elsewhere: an issuer's metadata, its keys, a token. All of them come
//! through [`Fetch`], one request and one bounded answer, so that the rules against requests into
//! private networks and across redirects stand in one place, [`GuardedFetch`], and tests need no
//! network. [`Discovery`] finds the keys of publishers and identity providers, and what they have
//! revoked; [`JwksCache`] keeps key sets.
//!
//! A token never proves a definition. One that was published beside a tool would be a credential
//! that anybody can copy; the statement that is signed here holds a digest instead, and is useless
//! as a token.
//!
//! A client that is to be let in by a server has an `OAuthClient` behind the feature `client`: it is
//! asked for headers and told of refusals, and does what lies between by itself. A server is protected
//! by `resource` behind the feature `server`: who shows an access token that a [`VerifyToken`]
//! verifies, or an [API key](ApiKeys), is let in and known to every layer within. And `embedded`, behind
//! the feature of that name, is a small authorization server of one's own.
//!
//! ```
//! use etdi_oauth::AccessToken;
//!
//! let token = AccessToken::new("eyJhbGciOi...".to_owned());
//! assert_eq!(format!("{token:?}"), "AccessToken(…)", "a token does not get into logs");
//! ```

mod api_key;
#[cfg(feature = "client")]
mod client;
mod clock;
pub mod crypto;
mod discovery;
#[cfg(feature = "client")]
mod dpop;
#[cfg(feature = "embedded")]
pub mod embedded;
mod fetch;
#[cfg(feature = "client")]
mod flow;
pub mod inspect;
#[cfg(feature = "client")]
mod issuer;
mod jwks;
pub mod provider;
#[cfg(feature = "server")]
pub mod resource;
#[cfg(test)]
mod scripted;
mod secret;
mod shelf;
mod shown;
mod token;
mod verify;
#[cfg(feature = "client")]
mod web;

pub use api_key::{ApiKey, ApiKeyError, ApiKeys};
#[cfg(feature = "client")]
pub use client::{
    AskWith, AssertionFile, AssertionSource, DpopUse, IdentityLogin, Interaction, InteractionError,
    Loopback, MemoryTokens, OAuthClient, OAuthClientBuilder, OAuthManager, Paste, ProviderHealth,
    Redirection, SealedTokens, Standing, TokenManager, TokenStore, open_browser,
    token_store_contract,
};
pub use clock::Clock;
pub use discovery::Discovery;
#[cfg(feature = "client")]
pub use dpop::DpopKey;
pub use fetch::{
    Fetch, FetchError, FetchRequest, FetchResponse, GuardedFetch, Method, Resolve, Rules,
    SystemResolver,
};
#[cfg(feature = "client")]
pub use flow::{
    ApplicationType, AuthChallenge, AuthorizationRequest, AuthorizationUrl, ClientAuthentication,
    ClientMetadata, DeviceCode, Dialect, Endorsed, Exchange, OAuthError, RegisteredClient,
    TokenEndpoint, TokenType,
};
#[cfg(feature = "client")]
pub use issuer::{ResourceMetadata, ServerMetadata};
pub use jwks::{CachedKey, JwksCache, JwksError, JwksSettings};
pub use secret::SecretText;
pub use token::{AccessToken, TokenError, TokenScheme, TokenSource, Tokens};
pub use verify::{
    Confirmation, IdToken, IdTokenVerifier, Introspection, IntrospectionAuth, Issuer, Issuers,
    JwtVerifier, TokenRefusal, VerifiedToken, VerifierError, VerifyToken,
};
