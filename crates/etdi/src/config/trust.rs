//! Whom the settings trust: publishers with their keys, and what is let count at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use etdi_core::identity::ProviderId;
use etdi_core::key::{Algorithm, KeyId, VerifyingKey};
use etdi_core::revocation::{FileLists, Revocations};
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
    /// The file with the signed revocation list of a publisher, by the publisher's id. It is read
    /// anew whenever the list is wanted; put a new one in its place before the old one ends. What an
    /// issuer publishes is fetched by [`EtdiClientBuilder::revocation_source`](
    /// crate::EtdiClientBuilder::revocation_source); where both are there, what either revokes is
    /// revoked, and both have to answer where that is to be known.
    pub revocation_lists: BTreeMap<String, PathBuf>,
    /// Publishers of whom no revocation list is demanded, because they publish none. At strict all
    /// others whose id is no key need a list, or a source that fetches it.
    pub without_revocation_list: Vec<String>,
}

/// A publisher and its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TrustedProvider {
    /// Its name for people: shown beside its id where somebody is asked about its tools, and given
    /// by [`EtdiClient::publisher_name`](crate::EtdiClient::publisher_name).
    pub name: Option<String>,
    /// Its public keys, each a JWK.
    pub keys: Vec<serde_json::Value>,
}

impl TrustConfig {
    /// The publishers as the checks take them, beside others.
    pub(super) fn added_to(&self, mut anchors: TrustAnchors) -> Result<TrustAnchors, ConfigError> {
        for (id, provider) in &self.trusted_providers {
            let path = format!("trust.trusted_providers.{id}");
            let provider_id: ProviderId = id.parse().map_err(|error| unfit(&path, error))?;
            if provider.keys.is_empty() {
                let message = "it has no `keys`, add one as a JWK".to_owned();
                return Err(ConfigError::Value { path, message });
            }
            if let Some(name) = &provider.name {
                anchors.call(provider_id.clone(), name.as_str());
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

    /// What is known of revocations, kept where the command `etdi` keeps it.
    pub(super) fn revocations(
        &self,
        kept: Option<&Path>,
        state: Option<&Path>,
    ) -> Result<Revocations, ConfigError> {
        let mut revocations = match kept {
            Some(directory) => super::place::revocations(directory, state)?,
            None => Revocations::new(),
        };
        for (index, text) in self.without_revocation_list.iter().enumerate() {
            let path = format!("trust.without_revocation_list[{index}]");
            revocations = revocations.without_list(text.parse().map_err(|e| unfit(&path, e))?);
        }
        Ok(revocations)
    }

    /// The lists in files, if there are any.
    pub(super) fn revocation_files(&self) -> Result<Option<FileLists>, ConfigError> {
        let mut lists = FileLists::new();
        for (id, file) in &self.revocation_lists {
            let path = format!("trust.revocation_lists.{id}");
            lists = lists.list_of(id.parse().map_err(|error| unfit(&path, error))?, file);
        }
        Ok(Some(lists).filter(|lists| !lists.is_empty()))
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
