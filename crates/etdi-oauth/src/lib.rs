//! Issuers, their keys, tokens and MCP authorization: so far the keys, and seams for the rest.
//!
//! OAuth answers two questions for ETDI. *Who published this tool?* An identity provider can sign
//! the statement about a definition in the publisher's place; whoever checks its keys implements
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
//! What it leaves out so far: tokens, flows, the resource server's side.
//!
//! ```
//! use etdi_oauth::AccessToken;
//!
//! let token = AccessToken::new("eyJhbGciOi...".to_owned());
//! assert_eq!(format!("{token:?}"), "AccessToken(…)", "a token does not get into logs");
//! ```

mod discovery;
mod fetch;
mod jwks;
#[cfg(test)]
mod scripted;
mod shelf;
mod token;

pub use discovery::Discovery;
pub use fetch::{
    Fetch, FetchError, FetchRequest, FetchResponse, GuardedFetch, Method, Resolve, Rules,
    SystemResolver,
};
pub use jwks::{CachedKey, JwksCache, JwksError, JwksSettings};
pub use token::{AccessToken, TokenError, TokenSource};
