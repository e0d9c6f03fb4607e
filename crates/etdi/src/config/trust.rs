//! Whom the settings trust: publishers with their keys, and what is let count at all.

use std::collections::BTreeMap;

use etdi_core::identity::ProviderId;
use etdi_core::key::{Algorithm, KeyId, VerifyingKey};
use etdi_core::trust::TrustAnchors;
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Which publishers are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TrustConfig {
    /// Publishers by their id (an origin such as `https://acme.example`), each with its keys.
    pub trusted_providers: BTreeMap<String, TrustedProvider>,
    /// The only issuers whose statements count, however their keys are found; all when empty.
    pub allowed_issuers: Vec<String>,
    /// The only algorithms with which statements may be signed, `EdDSA` and `ES256`; both when
    /// empty.
    pub allowed_algorithms: Vec<String>,
    /// Thumbprints of keys that count no more, for nobody.
    pub revoked_keys: Vec<String>,
}

/// A publisher and its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TrustedProvider {
    /// Its name for people, as [`EtdiClient::publisher_name`](crate::EtdiClient::publisher_name)
    /// gives it.
    pub name: Option<String>,
    /// Its public keys, each a JWK.
    pub keys: Vec<serde_json::Value>,
}

impl TrustConfig {
    /// The publishers as the checks take them.
    pub(super) fn anchors(&self) -> Result<TrustAnchors, ConfigError> {
        let mut anchors = TrustAnchors::new();
        for (id, provider) in &self.trusted_providers {
            let path = format!("trust.trusted_providers.{id}");
            let provider_id: ProviderId = id.parse().map_err(|error| unfit(&path, error))?;
            if provider.keys.is_empty() {
                let message = "it has no `keys`, add one as a JWK".to_owned();
                return Err(ConfigError::Value { path, message });
            }
            for (index, key) in provider.keys.iter().enumerate() {
                let key = VerifyingKey::from_jwk(&key.to_string())
                    .map_err(|error| unfit(&format!("{path}.keys[{index}]"), error))?;
                anchors.trust(provider_id.clone(), key);
            }
        }
        for (index, key) in self.revoked_keys.iter().enumerate() {
            let key: KeyId = key
                .parse()
                .map_err(|error| unfit(&format!("trust.revoked_keys[{index}]"), error))?;
            anchors.revoke(key);
        }
        Ok(anchors)
    }

    /// What people call the publishers.
    pub(super) fn names(&self) -> Result<BTreeMap<ProviderId, String>, ConfigError> {
        let mut names = BTreeMap::new();
        for (id, provider) in &self.trusted_providers {
            let path = format!("trust.trusted_providers.{id}");
            let id = id.parse().map_err(|error| unfit(&path, error))?;
            names.extend(provider.name.clone().map(|name| (id, name)));
        }
        Ok(names)
    }

    pub(super) fn issuers(&self) -> Result<Vec<ProviderId>, ConfigError> {
        let parse = |(index, text): (usize, &String)| {
            let path = format!("trust.allowed_issuers[{index}]");
            text.parse().map_err(|error| unfit(&path, error))
        };
        self.allowed_issuers.iter().enumerate().map(parse).collect()
    }

    pub(super) fn algorithms(&self) -> Result<Vec<Algorithm>, ConfigError> {
        let parse = |(index, text): (usize, &String)| {
            Algorithm::named(text).ok_or_else(|| {
                let path = format!("trust.allowed_algorithms[{index}]");
                let message = format!(
                    "`{}` is no algorithm of statements, write `EdDSA` or `ES256`",
                    text.escape_debug()
                );
                ConfigError::Value { path, message }
            })
        };
        self.allowed_algorithms.iter().enumerate().map(parse).collect()
    }
}

fn unfit(path: &str, error: impl std::fmt::Display) -> ConfigError {
    ConfigError::Value { path: path.to_owned(), message: error.to_string() }
}
