//! Auth0.
//!
//! A tenant's issuer is its domain with a slash behind. Access tokens for an API are of type `JWT`,
//! or of `at+jwt` where the API has the RFC 9068 profile; `aud` is the API's identifier, in a list
//! beside the tenant's userinfo endpoint where a user logged in with `openid`. A machine has
//! `<client id>@clients` for its subject. `permissions` are there once role-based access control adds
//! them, and may then be more than the scopes that were asked for.
//!
//! See Auth0, "Access Token Profiles", <https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles>.

use super::{ClaimShape, list, origin};
use crate::{Issuer, Issuers};

/// The tenant at `domain`, such as `example.eu.auth0.com`, for the API with the identifier
/// `audience`.
pub fn issuer(domain: &str, audience: impl Into<String>) -> Issuers {
    let domain = origin(domain);
    Issuer::new(format!("{domain}/"), audience)
        .jwks_uri(format!("{domain}/.well-known/jwks.json"))
        .shape(shape())
        .into()
}

/// How Auth0 writes tokens.
pub fn shape() -> ClaimShape {
    ClaimShape {
        types: list(&["jwt", "at+jwt"]),
        client: list(&["azp", "client_id"]),
        scopes: list(&["scope", "permissions"]),
        tenant: Some("org_id".to_owned()),
        client_required: true,
        ..ClaimShape::default()
    }
}
