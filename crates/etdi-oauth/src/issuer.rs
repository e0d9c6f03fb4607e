//! What servers and issuers publish of themselves: protected resource metadata (RFC 9728) and
//! authorization server metadata (RFC 8414, OpenID Connect Discovery).
//!
//! A document counts for whom it was asked for and for nobody else: the issuer in it is compared
//! byte for byte, and what a server calls itself has to cover the URL that was dialled. It is then
//! used exactly as it is published.

use etdi_core::identity::ProviderId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::flow::{OAuthError, scopes};
use crate::web::{checked, object, same_origin, shown, split};
use crate::{Fetch, FetchError, FetchRequest};

/// The most bytes of a document.
const MAX_DOCUMENT: usize = 128 << 10;

/// The most authorization servers of one resource that are looked at.
const MOST_SERVERS: usize = 8;

const PROTECTED_RESOURCE: &str = "/.well-known/oauth-protected-resource";
const AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

/// What a protected server publishes of itself (RFC 9728, section 2), as far as a client needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ResourceMetadata {
    /// What it calls itself: the `resource` of every request for its tokens, byte for byte.
    pub resource: String,
    /// The issuers whose tokens it takes.
    pub authorization_servers: Option<Vec<String>>,
    /// The scopes that are enough for basic use.
    pub scopes_supported: Option<Vec<String>>,
    /// The algorithms of DPoP proofs that it takes.
    pub dpop_signing_alg_values_supported: Option<Vec<String>>,
    /// Whether it takes only tokens that are bound by DPoP.
    pub dpop_bound_access_tokens_required: Option<bool>,
}

impl ResourceMetadata {
    /// Reads what `server` publishes: at `announced` where a challenge named that, else in its path
    /// form, else at the root of its origin. `None` where there is no such document. One that is about
    /// more of the origin than `server` counts as it stands at that resource's own place.
    ///
    /// # Errors
    ///
    /// When the announced document is not there, a document cannot be used, or is about another
    /// resource. A server that does not answer is no server without a document.
    pub async fn find(
        fetch: &dyn Fetch,
        server: &str,
        announced: Option<&str>,
    ) -> Result<Option<Self>, OAuthError> {
        let places = match announced {
            Some(url) => vec![url.to_owned()],
            None => {
                let (origin, path) = split(server);
                let path = path.trim_end_matches('/');
                let mut places = vec![format!("{origin}{PROTECTED_RESOURCE}{path}")];
                if !path.is_empty() {
                    places.push(format!("{origin}{PROTECTED_RESOURCE}"));
                }
                places
            }
        };
        for url in places {
            let Some(found) = document::<Self>(fetch, &url).await? else { continue };
            let other = |published: &str| OAuthError::OtherResource {
                server: server.to_owned(),
                published: shown(published),
            };
            if !covers(&found.resource, server) {
                return Err(other(&found.resource));
            }
            return match own_place(&found.resource, server).filter(|place| *place != url) {
                None => Ok(Some(found)),
                Some(place) => match document::<Self>(fetch, &place).await? {
                    Some(own) if own.resource == found.resource => Ok(Some(own)),
                    _ => Err(other(&found.resource)),
                },
            };
        }
        match announced {
            Some(url) => {
                Err(OAuthError::Metadata { url: shown(url), why: "it is not there".to_owned() })
            }
            None => Ok(None),
        }
    }

    /// The issuers that it names.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &str> {
        let issuers = self.authorization_servers.iter().flatten();
        issuers.take(MOST_SERVERS).map(String::as_str)
    }

    /// The scopes that it names, `None` where it says nothing of them.
    pub(crate) fn scopes(&self) -> Option<Vec<String>> {
        self.scopes_supported.as_ref().map(|list| scopes(list.iter().map(String::as_str)))
    }
}

/// Whether a published `resource` may stand for the URL that was dialled: it is that URL, or a
/// part of the same origin that the URL lies in.
fn covers(published: &str, server: &str) -> bool {
    if published == server {
        return true;
    }
    let (Ok(published), Ok(server)) = (checked(published, true), checked(server, true)) else {
        return false;
    };
    let part = published.path().trim_end_matches('/');
    let rest = server.path().strip_prefix(part);
    let inside = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    same_origin(&published, &server) && inside && published.query().is_none()
}

/// Where a `resource` is described that stands for more than the URL that was dialled (RFC 9728, section
/// 3.1); `None` where it stands for that alone.
///
/// Whoever has a part of an origin can announce any document. A token for the whole of it is asked for
/// only if the whole says itself who issues it (section 3.3), or else one tenant of a host could have
/// tokens sent to it that count for all.
fn own_place(published: &str, server: &str) -> Option<String> {
    let [published, server] = [published, server].map(|text| Url::parse(text).ok());
    let (published, server) = (published?, server?);
    let [part, whole] = [&published, &server].map(|url| url.path().trim_end_matches('/'));
    let origin = published.origin().ascii_serialization();
    (part != whole).then(|| format!("{origin}{PROTECTED_RESOURCE}{part}"))
}

/// What an authorization server publishes of itself (RFC 8414, section 2), as far as a client needs
/// it. Its endpoints were checked: they are HTTPS, or on this computer where that is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ServerMetadata {
    /// Who it is.
    pub issuer: String,
    /// Where users are sent.
    pub authorization_endpoint: Option<String>,
    /// Where codes and other grants become tokens.
    pub token_endpoint: Option<String>,
    /// Where clients register (RFC 7591).
    pub registration_endpoint: Option<String>,
    /// Where tokens are taken back (RFC 7009).
    pub revocation_endpoint: Option<String>,
    /// Where a login on another device begins (RFC 8628).
    pub device_authorization_endpoint: Option<String>,
    /// Its scopes.
    pub scopes_supported: Option<Vec<String>>,
    /// Its grants.
    pub grant_types_supported: Option<Vec<String>>,
    /// How clients can show who they are; only `client_secret_basic` where it says nothing.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// The algorithms of client assertions that it takes.
    pub token_endpoint_auth_signing_alg_values_supported: Option<Vec<String>>,
    /// The PKCE methods that it takes (RFC 7636); none where it says nothing.
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// Whether its answers name it (RFC 9207).
    pub authorization_response_iss_parameter_supported: Option<bool>,
    /// Whether a URL can be a client's id.
    pub client_id_metadata_document_supported: Option<bool>,
    /// The algorithms of DPoP proofs that it takes (RFC 9449, section 5.1).
    pub dpop_signing_alg_values_supported: Option<Vec<String>>,
    /// Where its keys are.
    pub jwks_uri: Option<String>,
    /// The types of authorization details that it knows (RFC 9396, section 10).
    pub authorization_details_types_supported: Option<Vec<String>>,
}

impl ServerMetadata {
    /// Reads what `issuer` publishes, at the places and in the order of the specification
    /// (2026-07-28, "Authorization Server Metadata Discovery"). `loopback` lets it and its endpoints
    /// be on this computer, by HTTP as well.
    ///
    /// # Errors
    ///
    /// When there is no document, it is about another issuer, or names an endpoint that may not be
    /// used.
    pub async fn find(fetch: &dyn Fetch, issuer: &str, loopback: bool) -> Result<Self, OAuthError> {
        let found = Self::look(fetch, issuer, loopback).await?;
        found.ok_or_else(|| OAuthError::Metadata {
            url: shown(issuer),
            why: "no document there says that it is an authorization server".to_owned(),
        })
    }

    /// The same; `None` where there is no document.
    pub(crate) async fn look(
        fetch: &dyn Fetch,
        issuer: &str,
        loopback: bool,
    ) -> Result<Option<Self>, OAuthError> {
        let bad = |why: &str| OAuthError::Metadata { url: shown(issuer), why: why.to_owned() };
        let url = checked(issuer, loopback).map_err(bad)?;
        if url.query().is_some() {
            return Err(bad("an issuer has no query"));
        }
        for url in places(issuer) {
            if let Some(found) = document::<Self>(fetch, &url).await? {
                return found.checked(issuer, loopback).map(Some);
            }
        }
        Ok(None)
    }

    /// What a server of 2025-03-26 is whose origin publishes nothing: its own authorization server,
    /// at the default paths of that revision.
    pub(crate) fn at_default_paths(origin: &str) -> Self {
        Self {
            issuer: origin.to_owned(),
            authorization_endpoint: Some(format!("{origin}/authorize")),
            token_endpoint: Some(format!("{origin}/token")),
            registration_endpoint: Some(format!("{origin}/register")),
            // That revision demands PKCE of every server, and knows no place to say so.
            code_challenge_methods_supported: Some(vec!["S256".to_owned()]),
            ..Self::default()
        }
    }

    fn checked(self, issuer: &str, loopback: bool) -> Result<Self, OAuthError> {
        if self.issuer != issuer {
            let found = shown(&self.issuer);
            return Err(OAuthError::OtherIssuer { expected: shown(issuer), found });
        }
        let endpoints = [
            ("authorization_endpoint", &self.authorization_endpoint),
            ("token_endpoint", &self.token_endpoint),
            ("registration_endpoint", &self.registration_endpoint),
            ("revocation_endpoint", &self.revocation_endpoint),
            ("device_authorization_endpoint", &self.device_authorization_endpoint),
        ];
        for (name, url) in endpoints {
            if let Some(Err(why)) = url.as_ref().map(|url| checked(url, loopback)) {
                let (issuer, why) = (shown(issuer), why.to_owned());
                return Err(OAuthError::Endpoint { issuer, name, why });
            }
        }
        Ok(self)
    }

    /// An endpoint that is needed.
    pub(crate) fn endpoint<'a>(
        &self,
        name: &'static str,
        url: &'a Option<String>,
    ) -> Result<&'a str, OAuthError> {
        url.as_deref().ok_or_else(|| self.not_offered(format!("a `{name}`")))
    }

    pub(crate) fn not_offered(&self, what: impl Into<String>) -> OAuthError {
        OAuthError::NotOffered { issuer: shown(&self.issuer), what: what.into() }
    }

    /// Who it is as a publisher of definitions: the origin that is its issuer. Statements that it signs
    /// in a publisher's place are issued by that.
    ///
    /// # Errors
    ///
    /// When its issuer is no `https` origin: of a path beneath one, or of a computer of its own, nobody
    /// could tell whose statement it is.
    pub fn provider(&self) -> Result<ProviderId, OAuthError> {
        let origin = self.issuer.strip_suffix('/').unwrap_or(&self.issuer);
        origin.parse().map_err(|_| {
            self.not_offered("statements about definitions, its issuer is no `https` origin")
        })
    }

    /// Whether a method by which clients show who they are is one of its own.
    pub(crate) fn takes_method(&self, method: &str) -> bool {
        match &self.token_endpoint_auth_methods_supported {
            Some(methods) => methods.iter().any(|one| one == method),
            // RFC 8414, section 2: the default.
            None => method == "client_secret_basic",
        }
    }

    /// Whether it has a scope.
    pub(crate) fn has_scope(&self, scope: &str) -> bool {
        self.scopes_supported.iter().flatten().any(|one| one == scope)
    }
}

/// Where an issuer's metadata may be, in the order of the specification.
fn places(issuer: &str) -> Vec<String> {
    let (origin, path) = split(issuer);
    let path = path.trim_end_matches('/');
    let mut places =
        vec![format!("{origin}{AUTHORIZATION_SERVER}{path}"), format!("{origin}{OPENID}{path}")];
    if !path.is_empty() {
        places.push(format!("{origin}{path}{OPENID}"));
    }
    places
}

/// One document; `None` where there is none, which a client's error says, and nothing else.
async fn document<T: DeserializeOwned>(
    fetch: &dyn Fetch,
    url: &str,
) -> Result<Option<T>, OAuthError> {
    let bad = |why: String| OAuthError::Metadata { url: shown(url), why };
    let mut request = FetchRequest::get(url);
    request.headers.push(("accept".to_owned(), "application/json".to_owned()));
    request.most_bytes = MAX_DOCUMENT;
    let answer = fetch.fetch(request).await?;
    match answer.status {
        200 => object(&answer.body).map(Some).map_err(|error| bad(shown(&error.to_string()))),
        400..=499 if answer.status != 429 => Ok(None),
        status => Err(bad(FetchError::status(status))),
    }
}

#[cfg(test)]
mod tests;
