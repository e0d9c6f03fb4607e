//! The parts of MCP authorization for clients, each usable by itself: what a server wants
//! (`challenge.rs`), who this client is at an issuer (`registered.rs`, `register.rs`), the
//! authorization request and its answer (`code.rs`), the grants of a token endpoint
//! (`endpoint.rs`, `grants.rs`), a signature in a publisher's place (`endorse.rs`), a login on another
//! device (`device.rs`).
//! [`OAuthClient`](crate::OAuthClient) plays them in their order.

mod challenge;
mod code;
mod device;
mod dialect;
mod endorse;
mod endpoint;
mod error;
mod grants;
mod jwt;
mod register;
mod registered;

pub use challenge::AuthChallenge;
pub(crate) use challenge::scopes;
pub use code::{AuthorizationRequest, AuthorizationUrl};
pub use device::DeviceCode;
pub(crate) use device::{begin as begin_device, wait as wait_for_device};
pub use dialect::Dialect;
pub use endorse::Endorsed;
pub use endpoint::TokenEndpoint;
pub use error::OAuthError;
pub use grants::{Exchange, TokenType};
pub(crate) use jwt::{Header as JwtHeader, sign as sign_jwt};
pub use register::{ApplicationType, ClientMetadata};
pub(crate) use register::{Registration, register};
pub use registered::{ClientAuthentication, RegisteredClient};
