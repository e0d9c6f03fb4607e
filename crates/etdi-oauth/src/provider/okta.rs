//! Okta.
//!
//! A custom authorization server, `default` among them, is the issuer `https://<domain>/oauth2/<id>`.
//! Its tokens hold their scopes in the list `scp` and their client in `cid`, and say no type. The
//! server of the organisation itself, `https://<domain>`, issues tokens for Okta's own API; they are
//! of type `application/okta-internal-at+jwt` and are for nobody else to read, so no
//! issuer is made of it here: such a server takes `Introspection`.
//!
//! See Okta, "Access tokens", <https://developer.okta.com/docs/api/openapi/okta-oauth/guides/overview/>.

use super::{ClaimShape, list, origin};
use crate::{Issuer, Issuers};

/// The custom authorization server `server` (`default` in most organisations) at `domain`, such as
/// `example.okta.com`, for the audience that is written in its settings.
pub fn issuer(domain: &str, server: &str, audience: impl Into<String>) -> Issuers {
    let issuer = format!("{}/oauth2/{server}", origin(domain));
    let keys = format!("{issuer}/v1/keys");
    Issuer::new(issuer, audience).jwks_uri(keys).shape(shape()).into()
}

/// How Okta writes tokens.
pub fn shape() -> ClaimShape {
    ClaimShape {
        types: list(&["", "jwt", "at+jwt"]),
        client: list(&["cid"]),
        scopes: list(&["scp"]),
        roles: list(&["groups"]),
        client_required: true,
        ..ClaimShape::default()
    }
}
