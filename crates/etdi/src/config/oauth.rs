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
