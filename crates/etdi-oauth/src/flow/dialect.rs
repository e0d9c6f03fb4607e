//! What issuers do otherwise than the specification says, as data.

use super::{ClientAuthentication, RegisteredClient};
use crate::provider::entra::Cloud;

/// Scopes that are the issuer's own, whatever server they are asked for (OpenID Connect Core,
/// sections 5.4 and 11).
const ISSUERS_OWN: [&str; 6] = ["openid", "profile", "email", "address", "phone", "offline_access"];

/// How an issuer wants to be asked. By default as the specification says.
///
/// It belongs to a registration, because only who registered a client there knows what the issuer
/// is; what a server names is always taken at its word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dialect {
    /// The issuer takes PKCE with S256 and does not say so. S256 is used all the same; without this
    /// such an issuer is refused.
    pub s256_unsaid: bool,
    /// The issuer refuses the parameter `resource` (RFC 8707): its scopes say for whom a token is.
    pub no_resource: bool,
    /// What the issuer calls the server, in a parameter `audience` beside `resource`.
    pub audience: Option<String>,
    /// The issuer gives refresh tokens for `offline_access` without `prompt=consent`, which OpenID
    /// Connect Core, section 11, demands and which may keep users out where administrators consent.
    pub offline_unprompted: bool,
    /// The one scope that a program asks for which acts for itself, whatever a server wants.
    pub application_scope: Option<String>,
    /// What the issuer wants in front of a server's scopes, which the server itself names without:
    /// `api://…/`. Not put before a URI, nor before what OpenID Connect names. A URI that begins
    /// otherwise is a scope of another API, and asked for only if the program itself wants it.
    pub scope_prefix: Option<String>,
}

impl Dialect {
    /// Scopes as the issuer is asked for them.
    pub(super) fn spell(&self, scopes: &[String]) -> String {
        let spelled = scopes.iter().map(|scope| match &self.scope_prefix {
            Some(prefix) if !scope.contains("://") && !ISSUERS_OWN.contains(&&**scope) => {
                format!("{prefix}{scope}")
            }
            _ => scope.clone(),
        });
        spelled.collect::<Vec<_>>().join(" ")
    }

    /// Whether a scope is one of another API than the server.
    pub(crate) fn is_foreign(&self, scope: &str) -> bool {
        let other = |prefix: &String| scope.contains("://") && !scope.starts_with(prefix.as_str());
        self.scope_prefix.as_ref().is_some_and(other)
    }

    /// A scope that the issuer granted, as the server names it.
    pub(super) fn plain<'s>(&self, scope: &'s str) -> &'s str {
        let prefix = self.scope_prefix.as_deref().unwrap_or_default();
        scope.strip_prefix(prefix).filter(|plain| !plain.is_empty()).unwrap_or(scope)
    }
}

impl RegisteredClient {
    /// A client of Microsoft Entra ID, of the tenant with this GUID, for the API `application`, a
    /// client id as well.
    ///
    /// Its metadata names no PKCE methods, it answers a `resource` with an error, scopes are asked for
    /// as `api://…/scope`, and a program that acts for itself asks for `api://…/.default`. See Microsoft, "Microsoft identity platform and
    /// OAuth 2.0 authorization code flow" and "… client credentials flow",
    /// <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow>.
    pub fn entra(
        tenant: &str,
        application: &str,
        id: impl Into<String>,
        authentication: ClientAuthentication,
    ) -> Self {
        Self::entra_in(&Cloud::default(), tenant, application, id, authentication)
    }

    /// The same in another cloud than the public one, such as that of a government.
    pub fn entra_in(
        cloud: &Cloud,
        tenant: &str,
        application: &str,
        id: impl Into<String>,
        authentication: ClientAuthentication,
    ) -> Self {
        let issuer = format!("{}/{tenant}/v2.0", cloud.authority);
        Self::new(issuer, id, authentication).dialect(Dialect {
            s256_unsaid: true,
            no_resource: true,
            offline_unprompted: true,
            application_scope: Some(format!("api://{application}/.default")),
            scope_prefix: Some(format!("api://{application}/")),
            ..Dialect::default()
        })
    }

    /// A client of the Auth0 tenant at `domain`, for the API with the identifier `audience`, which
    /// Auth0 wants in a parameter of that name. See Auth0, "Call Your API Using the Authorization
    /// Code Flow with PKCE".
    pub fn auth0(
        domain: &str,
        audience: impl Into<String>,
        id: impl Into<String>,
        authentication: ClientAuthentication,
    ) -> Self {
        let issuer = format!("{}/", crate::provider::origin(domain));
        let audience = Some(audience.into());
        Self::new(issuer, id, authentication).dialect(Dialect { audience, ..Dialect::default() })
    }

    /// A client of the custom authorization server `server` (`default` in most organisations) of the
    /// Okta organisation at `domain`.
    pub fn okta(
        domain: &str,
        server: &str,
        id: impl Into<String>,
        authentication: ClientAuthentication,
    ) -> Self {
        let origin = crate::provider::origin(domain);
        Self::new(format!("{origin}/oauth2/{server}"), id, authentication)
    }

    /// The same client, where its issuer wants to be asked otherwise.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_a_server_have_its_name_in_front_at_entra() {
        let entra = RegisteredClient::entra("t", "app", "app", ClientAuthentication::None).dialect;
        let scopes = ["user_impersonation", "offline_access", "https://graph.example/User.Read"];
        let asked = entra.spell(&scopes.map(str::to_owned));
        assert_eq!(
            asked,
            "api://app/user_impersonation offline_access https://graph.example/User.Read"
        );
        assert_eq!(entra.plain("api://app/user_impersonation"), "user_impersonation");
        assert_eq!(entra.plain("api://other/x"), "api://other/x");
        let plain = Dialect::default();
        assert_eq!(plain.spell(&["a".to_owned(), "b".to_owned()]), "a b");
        assert_eq!(plain.plain("a"), "a");
    }
}
