//! The identity provider as the settings name it. What is done with it is `etdi-oauth`'s.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An identity provider and who this client is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OAuthConfig {
    /// `auth0`, `okta`, `azure` or `custom`.
    pub provider: String,
    /// The client's id there.
    pub client_id: String,
    /// The client's secret there; better as `${ETDI_CLIENT_SECRET}` than in the file.
    pub client_secret: Option<ClientSecret>,
    /// The provider's host, such as `your-domain.auth0.com`.
    pub domain: String,
    /// For which API tokens are meant.
    pub audience: Option<String>,
    /// Which scopes are asked for.
    pub scopes: Vec<String>,
}

impl OAuthConfig {
    /// A client of a provider.
    pub fn new(
        provider: impl Into<String>,
        client_id: impl Into<String>,
        domain: impl Into<String>,
    ) -> Self {
        Self {
            provider: provider.into(),
            client_id: client_id.into(),
            domain: domain.into(),
            ..Self::default()
        }
    }
}

#[cfg(feature = "oauth")]
impl OAuthConfig {
    /// This client as its identity provider knows it, for [`OAuthClient::service`] and
    /// [`OAuthClientBuilder::registered`].
    ///
    /// `domain` is Auth0's, Okta's with `/oauth2/ID` behind for another authorization server than
    /// `default`, the GUID of an Azure tenant, or the issuer of any other provider. For Azure
    /// `audience` is the client id of the API.
    ///
    /// [`OAuthClient::service`]: etdi_oauth::OAuthClient::service
    /// [`OAuthClientBuilder::registered`]: etdi_oauth::OAuthClientBuilder::registered
    ///
    /// # Errors
    ///
    /// When something is missing, or the provider is none of the four.
    pub fn registered(&self) -> Result<etdi_oauth::RegisteredClient, etdi_oauth::OAuthError> {
        use etdi_oauth::{ClientAuthentication, OAuthError, RegisteredClient};

        let missing = |what: &str| {
            OAuthError::Setting(format!("the setting `oauth_config.{what}` is empty, fill it in"))
        };
        if self.client_id.is_empty() {
            return Err(missing("client_id"));
        }
        if self.domain.is_empty() {
            return Err(missing("domain"));
        }
        let secret = self.client_secret.as_ref().map(ClientSecret::reveal);
        let secret = secret.filter(|secret| !secret.is_empty());
        let shows = match secret {
            Some(secret) => ClientAuthentication::Secret(secret.into()),
            None => ClientAuthentication::None,
        };
        let audience = || self.audience.as_deref().ok_or_else(|| missing("audience"));
        let (domain, id) = (self.domain.trim_end_matches('/'), self.client_id.as_str());
        Ok(match self.provider.as_str() {
            "auth0" => RegisteredClient::auth0(domain, audience()?, id, shows),
            "okta" => {
                let (domain, server) = domain.split_once("/oauth2/").unwrap_or((domain, "default"));
                RegisteredClient::okta(domain, server, id, shows)
            }
            "azure" | "azuread" => RegisteredClient::entra(domain, audience()?, id, shows),
            "custom" => {
                let issuer = match self.domain.contains("://") {
                    true => self.domain.clone(),
                    false => format!("https://{}", self.domain),
                };
                RegisteredClient::new(issuer, id, shows)
            }
            other => {
                let known = "expected `auth0`, `okta`, `azure` or `custom`";
                let other = other.escape_debug();
                return Err(OAuthError::Setting(format!(
                    "there is no provider `{other}`, {known}"
                )));
            }
        })
    }
}

/// A client's secret. It is not shown by `Debug` and not written.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ClientSecret(String);

impl ClientSecret {
    /// A secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret")
    }
}

impl Serialize for ClientSecret {
    /// Writes the name of the variable that is to hold it, never the secret.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("${ETDI_CLIENT_SECRET}")
    }
}

/// Puts what the environment says over what the settings say.
pub(super) fn from_environment(
    config: &mut Option<OAuthConfig>,
    environment: &dyn Fn(&str) -> Option<String>,
) {
    type Put = fn(&mut OAuthConfig, String);
    let set = |name: &str| environment(name).filter(|value| !value.is_empty());
    let texts: [(&str, Put); 5] = [
        ("ETDI_OAUTH_PROVIDER", |config, text| config.provider = text),
        ("ETDI_CLIENT_ID", |config, text| config.client_id = text),
        ("ETDI_CLIENT_SECRET", |config, text| config.client_secret = Some(ClientSecret(text))),
        ("ETDI_DOMAIN", |config, text| config.domain = text),
        ("ETDI_AUDIENCE", |config, text| config.audience = Some(text)),
    ];
    for (name, put) in texts {
        if let Some(text) = set(name) {
            put(config.get_or_insert_default(), text);
        }
    }
}

#[cfg(all(test, feature = "oauth"))]
mod tests {
    use super::*;

    #[test]
    fn each_provider_has_its_issuer() {
        let client = |provider: &str, domain: &str, audience: Option<&str>| {
            let mut config = OAuthConfig::new(provider, "us", domain);
            config.audience = audience.map(str::to_owned);
            config.client_secret = Some(ClientSecret::new("MARKED"));
            let client = config.registered();
            assert!(!format!("{client:?} {config:?}").contains("MARKED"));
            client.map(|client| client.issuer)
        };
        for (provider, domain, audience, issuer) in [
            ("auth0", "acme.auth0.com", Some("urn:api"), "https://acme.auth0.com/"),
            ("okta", "acme.okta.com", None, "https://acme.okta.com/oauth2/default"),
            ("okta", "acme.okta.com/oauth2/a1", None, "https://acme.okta.com/oauth2/a1"),
            ("azure", "guid", Some("app"), "https://login.microsoftonline.com/guid/v2.0"),
            ("custom", "auth.example/x", None, "https://auth.example/x"),
            ("custom", "https://auth.example/", None, "https://auth.example/"),
        ] {
            assert_eq!(client(provider, domain, audience).unwrap(), issuer);
        }
        for (provider, domain) in [("auth0", "acme.auth0.com"), ("azure", "guid"), ("google", "x")]
        {
            assert!(client(provider, domain, None).is_err(), "{provider}");
        }
        assert!(client("custom", "", None).is_err());
        assert!(OAuthConfig::new("custom", "", "auth.example").registered().is_err());
    }
}
