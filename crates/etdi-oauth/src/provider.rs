//! What identity providers do otherwise than RFC 9068 says, as data.
//!
//! [`auth0`], [`okta`] and [`entra`] make [`Issuers`](crate::Issuers) of what an operator knows: a
//! domain, a tenant, an audience. Whoever runs another provider writes a [`ClaimShape`].

use serde::{Deserialize, Serialize};

pub mod auth0;
pub mod entra;
pub mod okta;

/// How an issuer writes what its access tokens say: names of claims, and the types of token that
/// count.
///
/// The default is RFC 9068. Any value is valid; a claim that is not named is not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[non_exhaustive]
pub struct ClaimShape {
    /// The types (`typ`) of token that count, in lower case and without `application/`; an empty one
    /// stands for a token that says none. Where `jwt` counts, ID tokens are told apart by their
    /// claims.
    pub types: Vec<String>,
    /// Claims that name the client. All that are there have to agree.
    pub client: Vec<String>,
    /// Claims that hold scopes: lists, or texts with blanks between them. All count together.
    pub scopes: Vec<String>,
    /// Claims that hold what an application may do that acts for nobody; they count as scopes in a
    /// token that has none of the claims above.
    pub application_scopes: Vec<String>,
    /// Claims that hold roles.
    pub roles: Vec<String>,
    /// The claim that names the organisation.
    pub tenant: Option<String>,
    /// Whether a token has to name its client.
    pub client_required: bool,
}

impl Default for ClaimShape {
    fn default() -> Self {
        Self {
            types: list(&["at+jwt"]),
            client: list(&["client_id", "azp"]),
            scopes: list(&["scope"]),
            application_scopes: Vec::new(),
            roles: list(&["roles"]),
            tenant: None,
            client_required: false,
        }
    }
}

impl ClaimShape {
    /// The shape with `JWT`, and no type at all, as types that count: for issuers from before
    /// RFC 9068.
    #[must_use]
    pub fn plain_jwt(mut self) -> Self {
        self.types.extend(list(&["jwt", ""]));
        self
    }
}

pub(crate) fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// The origin of a host that may be written with its scheme and a slash behind; https where it says
/// none.
pub(crate) fn origin(domain: &str) -> String {
    let domain = domain.trim_end_matches('/');
    match domain.contains("://") {
        true => domain.to_owned(),
        false => format!("https://{domain}"),
    }
}
