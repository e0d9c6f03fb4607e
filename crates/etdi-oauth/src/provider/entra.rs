//! Microsoft Entra ID, formerly Azure AD.
//!
//! A tenant issues tokens in two forms, and an API's registration says which it gets: version 1 is
//! from `https://sts.windows.net/<tenant>/`, has the client in `appid` and is meant for the
//! App ID URI (`api://…`); version 2 is from `https://login.microsoftonline.com/<tenant>/v2.0`, has
//! it in `azp` and is meant for the client id of the API. Both hold what a user granted in the text
//! `scp` (delegated), or what the application itself was granted in the list `roles`; a tenant is a
//! GUID in tokens, whatever its domain is.
//!
//! See Microsoft, "Access token claims reference",
//! <https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>, and "Secure
//! applications and APIs by validating claims",
//! <https://learn.microsoft.com/entra/identity-platform/claims-validation>. Where a tenant's id is found
//! by its domain: "OpenID Connect on the Microsoft identity platform",
//! <https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc>.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{ClaimShape, list, origin};
use crate::{Fetch, FetchError, FetchRequest, Issuer, Issuers};

/// Where a tenant logs in, and the issuer of its version 1 tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cloud {
    /// The origin that serves keys and is the issuer of version 2.
    pub authority: String,
    /// The origin that is the issuer of version 1.
    pub version_1: String,
}

impl Default for Cloud {
    /// The public cloud.
    fn default() -> Self {
        Self::new("login.microsoftonline.com", "sts.windows.net")
    }
}

impl Cloud {
    /// A cloud of its own, such as that of a government.
    pub fn new(authority: &str, version_1: &str) -> Self {
        Self { authority: origin(authority), version_1: origin(version_1) }
    }
}

/// Why no issuer can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntraError {
    /// A tenant is not named by its GUID, as its tokens name it.
    #[error(
        "`{}` is no tenant id, use the GUID that the tenant's overview page shows", .0.escape_debug()
    )]
    Tenant(String),
    /// No tenant is named.
    #[error("no tenant is named, and nobody would be served")]
    NoTenant,
    /// The id of a domain's tenant cannot be found.
    #[error(
        "the id of the tenant `{}` cannot be found: {why}; name the tenant by its GUID",
        .domain.escape_debug()
    )]
    Domain {
        /// The domain.
        domain: String,
        /// What happened.
        why: String,
    },
}

/// The id of the tenant with this domain, such as `contoso.onmicrosoft.com`, for [`tenant`] and
/// [`tenants`]: tokens name a tenant by that and never by its domain. `fetch` reads the metadata of
/// the tenant, which says it. A GUID is its own answer, and nothing is read.
///
/// # Errors
///
/// When `domain` is none, or its metadata cannot be read or names no one tenant.
pub async fn tenant_id(
    fetch: &dyn Fetch,
    domain: &str,
    cloud: &Cloud,
) -> Result<String, EntraError> {
    if let Ok(id) = guid(domain) {
        return Ok(id);
    }
    let bad = |why: &str| EntraError::Domain { domain: domain.to_owned(), why: why.to_owned() };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    // `common`, `organizations` and `consumers` are no tenants.
    if !domain.contains('.') || domain.contains("..") || !domain.bytes().all(fits) {
        return Err(bad("it is no domain"));
    }
    let authority = &cloud.authority;
    let url = format!("{authority}/{domain}/v2.0/.well-known/openid-configuration");
    let answer = fetch.fetch(FetchRequest::get(url)).await;
    let answer = answer.map_err(|error| bad(&error.to_string()))?;
    if answer.status != 200 {
        return Err(bad(&FetchError::status(answer.status)));
    }
    #[derive(Deserialize)]
    struct Metadata {
        issuer: String,
    }
    let read: Metadata =
        serde_json::from_slice(&answer.body).map_err(|_| bad("its metadata has no `issuer`"))?;
    let id = read.issuer.strip_prefix(&format!("{authority}/"));
    let id = id.and_then(|rest| rest.strip_suffix("/v2.0")).and_then(|id| guid(id).ok());
    id.ok_or_else(|| bad("its metadata names another issuer"))
}

/// The tenant with this id, a GUID, for the API with the client id `application`.
///
/// Tokens of both versions count: meant for `application`, for `api://application` or for what
/// [`Issuer::audience`] adds. A registration with several tenants takes [`tenants`].
///
/// # Errors
///
/// When `tenant` is no GUID.
pub fn tenant(tenant: &str, application: &str) -> Result<Issuers, EntraError> {
    tenants([tenant], application, &Cloud::default())
}

/// Several tenants, by an allow-list: a registration with several tenants is one that *any* tenant
/// can get a token for, so that it says nothing about who is served here.
///
/// # Errors
///
/// When no tenant is named, or one by something else than its GUID.
pub fn tenants<'a>(
    tenants: impl IntoIterator<Item = &'a str>,
    application: &str,
    cloud: &Cloud,
) -> Result<Issuers, EntraError> {
    let ids: Result<BTreeSet<String>, _> = tenants.into_iter().map(guid).collect();
    let issuers = ids?.into_iter().flat_map(|id| both(&id, application, cloud));
    issuers.map(Issuers::from).reduce(Issuers::and).ok_or(EntraError::NoTenant)
}

fn both(tenant: &str, application: &str, cloud: &Cloud) -> [Issuer; 2] {
    let Cloud { authority, version_1 } = cloud;
    let of = |issuer: String, keys: String| {
        Issuer::new(issuer, application)
            .audience(format!("api://{application}"))
            .jwks_uri(keys)
            .shape(shape())
            .only_tenants([tenant])
    };
    [
        of(
            format!("{authority}/{tenant}/v2.0"),
            format!("{authority}/{tenant}/discovery/v2.0/keys"),
        ),
        of(format!("{version_1}/{tenant}/"), format!("{authority}/{tenant}/discovery/keys")),
    ]
}

/// A policy of Azure AD B2C, for the API with the client id `application`: the tenant's name and id,
/// and the policy by which its users log in.
///
/// # Errors
///
/// When `id` is no GUID.
pub fn b2c(name: &str, id: &str, policy: &str, application: &str) -> Result<Issuers, EntraError> {
    let (id, host) = (guid(id)?, format!("{name}.b2clogin.com"));
    let keys = format!("https://{host}/{name}.onmicrosoft.com/{policy}/discovery/v2.0/keys");
    let mut shape = shape();
    shape.tenant = None;
    Ok(Issuer::new(format!("https://{host}/{id}/v2.0/"), application)
        .jwks_uri(keys)
        .shape(shape)
        .into())
}

/// How Entra writes tokens.
pub fn shape() -> ClaimShape {
    ClaimShape {
        types: list(&["jwt", "at+jwt"]),
        client: list(&["azp", "appid"]),
        scopes: list(&["scp"]),
        application_scopes: list(&["roles"]),
        roles: list(&["roles"]),
        tenant: Some("tid".to_owned()),
        // An ID token for the same registration has the same audience, and names no client.
        client_required: true,
    }
}

/// A GUID in lower case, as tokens have it.
fn guid(text: &str) -> Result<String, EntraError> {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let digits = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    match groups == [8, 4, 4, 4, 12] && digits {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(EntraError::Tenant(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::Scripted;

    const ID: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";

    fn url(domain: &str) -> String {
        let host = "https://login.microsoftonline.com";
        format!("{host}/{domain}/v2.0/.well-known/openid-configuration")
    }

    async fn found(domain: &str, issuer: &str) -> Result<String, EntraError> {
        let fetch = Scripted::default();
        fetch.text(&url(domain), format!(r#"{{"issuer":"{issuer}","jwks_uri":"https://x"}}"#));
        tenant_id(&fetch, domain, &Cloud::default()).await
    }

    #[tokio::test]
    async fn a_domain_leads_to_the_id_that_tokens_have() {
        let domain = "contoso.onmicrosoft.com";
        let own = format!("https://login.microsoftonline.com/{ID}/v2.0");
        assert_eq!(found(domain, &own).await.as_deref(), Ok(ID));
        assert!(tenant(ID, "app").is_ok() && tenant(domain, "app").is_err());
        // Nobody is asked about what is an id already.
        let fetch = Scripted::default();
        let upper = ID.to_uppercase();
        assert_eq!(tenant_id(&fetch, &upper, &Cloud::default()).await.as_deref(), Ok(ID));
        assert!(fetch.asked().is_empty());
        for wrong in [
            "https://login.microsoftonline.com/{tenantid}/v2.0",
            &format!("https://login.evil.example/{ID}/v2.0"),
            &format!("https://login.microsoftonline.com/{ID}/x/v2.0"),
            &format!("https://sts.windows.net/{ID}/"),
        ] {
            let refused = found(domain, wrong).await.unwrap_err().to_string();
            assert!(refused.contains("another issuer") && refused.contains("GUID"), "{refused}");
        }
        for name in ["common", "organizations", "consumers", "", "a.b/../x", "a..b", "a.b?c", "ä.b"]
        {
            let refused = tenant_id(&fetch, name, &Cloud::default()).await.unwrap_err();
            assert!(refused.to_string().contains("no domain"), "{refused}");
        }
        assert!(fetch.asked().is_empty(), "{:?}", fetch.asked());
        let unknown = tenant_id(&fetch, "nobody.example", &Cloud::default()).await.unwrap_err();
        assert!(unknown.to_string().contains("404"), "{unknown}");
    }
}
