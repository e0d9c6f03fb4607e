//! The client's settings as one file: the names and defaults of the ETDI README, each of which
//! changes what the client does.
//!
//! A text of a setting may name variables of the environment, as `${NAME}` or
//! `${NAME:-otherwise}`; `$${` stands for itself. A key that is not known is refused, with the
//! nearest that is. [`EtdiClientConfig::load`] also honours `ETDI_CONFIG_PATH`,
//! `ETDI_SECURITY_LEVEL`, `ETDI_OAUTH_PROVIDER`, `ETDI_CLIENT_ID`, `ETDI_CLIENT_SECRET`,
//! `ETDI_DOMAIN` and `ETDI_AUDIENCE`, which win over the file; the level also over its `policy`. The
//! command `etdi` honours the first two.
//!
//! ```
//! use etdi::config::EtdiClientConfig;
//! use etdi::core::level::{Handling, SecurityLevel};
//!
//! let environment = |name: &str| (name == "LEVEL").then(|| "enhanced".to_owned());
//! let text = r#"{"security_level": "${LEVEL}", "allow_non_etdi_tools": false}"#;
//! let config = EtdiClientConfig::from_json(text, environment)?;
//! assert_eq!(config.policy().level, SecurityLevel::Enhanced);
//! assert_eq!(config.policy().unsigned, Handling::Refuse);
//!
//! let typed = EtdiClientConfig::from_json(r#"{"securty_level": "basic"}"#, environment);
//! let message = typed.unwrap_err().to_string();
//! assert_eq!(message, "`securty_level` is no setting, did you mean `security_level`?");
//! # Ok::<(), etdi::config::ConfigError>(())
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use etdi_core::approval::ApprovalStore;
use etdi_core::audit::{AuditFile, AuditOutage, Durability};
use etdi_core::key::SigningKey;
use etdi_core::level::{CallAttestation, Handling, Policy, SecurityLevel};
pub use etdi_core::permission::RiskLexicon;
use etdi_core::policy::LocalRules;
use etdi_core::secret::Protection;
pub use etdi_core::store::{StorageConfig, StorageType};
use etdi_core::trust::TrustAnchors;
use serde::{Deserialize, Serialize};

use crate::{EtdiClient, EtdiClientBuilder};

mod approvals;
mod error;
pub(crate) mod home;
mod key;
mod oauth;
pub mod place;
mod read;
mod trust;
pub mod unlock;

pub use error::ConfigError;
use home::Home;
pub use key::KeyConfig;
pub use oauth::{ClientSecret, OAuthConfig};
pub use trust::{TrustConfig, TrustedProvider};

/// The settings of an [`EtdiClient`].
///
/// Made by [`EtdiClientConfig::default`] and changed field by field, or read from a file. What a
/// field leaves out has the default that is written at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct EtdiClientConfig {
    /// The version of this form: 1.
    pub config_version: u32,
    /// How much is demanded; `enhanced`.
    pub security_level: SecurityLevel,
    /// What is demanded in each detail, in place of what the level stands for; none.
    pub policy: Option<Policy>,
    /// The identity provider, for the crate `etdi-oauth`; none.
    pub oauth_config: Option<OAuthConfig>,
    /// The key that signs calls. Where the settings do not say that calls are signed, it is opened,
    /// or made, when the first call has to be.
    pub key_config: KeyConfig,
    /// Where approvals are kept.
    pub storage_config: StorageConfig,
    /// How servers are talked to.
    pub options: ClientOptions,
    /// For how many seconds a checked signature is not checked again; 300. Everything that depends
    /// on time, tool or server is checked each time.
    pub verification_cache_ttl: u64,
    /// Whether tools of servers without ETDI may be approved, at basic and enhanced; `true`.
    pub allow_non_etdi_tools: bool,
    /// Whether [`EtdiClient::discover_tools`] also gives tools that were not verified, with their
    /// status; `false`. They can be called no more than without.
    pub show_unverified_tools: bool,
    /// Whether every call is signed, and not only where the tool wants it; `false`. At strict it
    /// is so anyway.
    pub enable_request_signing: bool,
    /// Whether a server that does not speak ETDI is refused when it is connected; `false`.
    pub require_etdi: bool,
    /// Of which scopes whoever is asked is warned, where a tool asks for them beyond what was
    /// approved; words such as `admin`, as whole segments.
    pub risk_lexicon: RiskLexicon,
    /// Which publishers are trusted.
    pub trust: TrustConfig,
    /// Rules about calls that decide beside the engines that the host gives; none. At strict nothing is
    /// called that no rule permits.
    pub local_rules: Option<LocalRules>,
    /// Where events are kept.
    pub audit: AuditConfig,
}

impl Default for EtdiClientConfig {
    fn default() -> Self {
        Self {
            config_version: 1,
            security_level: SecurityLevel::Enhanced,
            policy: None,
            oauth_config: None,
            key_config: KeyConfig::default(),
            storage_config: StorageConfig::default(),
            options: ClientOptions::default(),
            verification_cache_ttl: 300,
            allow_non_etdi_tools: true,
            show_unverified_tools: false,
            enable_request_signing: false,
            require_etdi: false,
            risk_lexicon: RiskLexicon::default(),
            trust: TrustConfig::default(),
            local_rules: None,
            audit: AuditConfig::default(),
        }
    }
}

/// How servers are talked to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ClientOptions {
    /// How long a server may take to answer, in seconds; 30. The time that a person takes to
    /// answer a question does not count. At least one.
    pub timeout_seconds: u64,
    /// How often connecting and listing are tried again when the server does not answer; 3. A call
    /// is never made twice.
    pub retry_attempts: u32,
    /// Whether listings are kept for as long as the server says; `true`.
    pub enable_caching: bool,
    /// How long a listing is kept at most, in seconds, whatever the server says; 300.
    pub cache_ttl_seconds: u64,
    /// Whether [`EtdiClient::get_stats`] counts; `true`.
    pub enable_metrics: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            timeout_seconds: 30,
            retry_attempts: 3,
            enable_caching: true,
            cache_ttl_seconds: 300,
            enable_metrics: true,
        }
    }
}

impl ClientOptions {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.max(1))
    }

    pub(crate) fn cache_ttl(&self) -> Option<Duration> {
        self.enable_caching.then(|| Duration::from_secs(self.cache_ttl_seconds))
    }
}

/// Where events are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AuditConfig {
    /// Whether events are kept in a file; `true`. Without, the newest thousand are in memory.
    pub enabled: bool,
    /// The file; `audit/events.jsonl` in the directory of `etdi` when it is not set.
    pub path: Option<PathBuf>,
    /// Whether a line is on the device before what it notes is done; `false`.
    pub sync: bool,
    /// After how many bytes the trail goes on in another file; 16 MiB, and at least 128 KiB.
    pub rotate_bytes: u64,
    /// How many old files are kept; all when it is not set.
    pub keep_files: Option<usize>,
    /// After how many entries each the trail is signed with the client's key; 0 for never.
    pub checkpoint_every: u64,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            path: None,
            sync: false,
            rotate_bytes: 16 << 20,
            keep_files: None,
            checkpoint_every: 0,
        }
    }
}

impl EtdiClientConfig {
    /// Reads settings. `environment` gives the value of a variable.
    ///
    /// # Errors
    ///
    /// When the text is no JSON, a key is not known, a value does not fit, or a variable that is
    /// named is not set.
    pub fn from_json(
        text: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let config: Self = read::read(text, &environment)?;
        if config.config_version != 1 {
            return Err(ConfigError::Version(config.config_version));
        }
        Ok(config)
    }

    /// Reads a file of settings, with the environment of this process.
    ///
    /// # Errors
    ///
    /// As [`EtdiClientConfig::from_json`], and when the file cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.display().to_string(), source })?;
        Self::from_json(&text, variable)
    }

    /// The settings of this process: the file that `ETDI_CONFIG_PATH` names, else the defaults, and
    /// over them what the environment says.
    ///
    /// # Errors
    ///
    /// As [`EtdiClientConfig::read`].
    pub fn load() -> Result<Self, ConfigError> {
        Self::load_from(variable)
    }

    /// The same with another environment.
    ///
    /// # Errors
    ///
    /// As [`EtdiClientConfig::read`].
    pub fn load_from(environment: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        let mut config = match set("ETDI_CONFIG_PATH") {
            Some(path) => {
                let text = std::fs::read_to_string(&path)
                    .map_err(|source| ConfigError::Read { path, source })?;
                Self::from_json(&text, &environment)?
            }
            None => Self::default(),
        };
        if let Some(level) = set("ETDI_SECURITY_LEVEL") {
            config.policy = None;
            config.security_level = level.parse().map_err(|error| ConfigError::Value {
                path: "ETDI_SECURITY_LEVEL".to_owned(),
                message: format!("{error}"),
            })?;
        }
        oauth::from_environment(&mut config.oauth_config, &environment);
        Ok(config)
    }

    /// What the checks demand: the level or the policy of its own, with what the other settings
    /// change. No setting makes `strict` weaker.
    pub fn policy(&self) -> Policy {
        let mut policy = self.policy.clone().unwrap_or_else(|| self.security_level.policy());
        if !self.allow_non_etdi_tools {
            policy.unsigned = Handling::Refuse;
        }
        if self.enable_request_signing {
            policy.call_attestation = CallAttestation::Always;
        }
        policy
    }

    /// Makes a client's builder, which still takes who is asked and whatever else is not in a
    /// file: opens the store, the audit trail and the key.
    ///
    /// `protection` seals approvals and the generated key at rest. Where it is `None`, and
    /// encrypted files are wanted, it is what the user chose for the command `etdi`: the key file
    /// of `ETDI_KEY_FILE`, the passphrase of `ETDI_PASSPHRASE_FD` or of `ETDI_PASSPHRASE`; see
    /// [`unlock`]. Where nobody chose, it is the system's keyring or a key file; see [`place`]. Where `storage_config.storage_path` is not set, the store is that of the
    /// command, with the same mark outside of it by which an old copy is found out; another path
    /// has a mark of its own beside that.
    ///
    /// # Errors
    ///
    /// When something that the settings name cannot be opened; see [`ConfigError`]. With
    /// `storage_type` `database`, for which [`EtdiClientConfig::builder_over`] takes the store.
    pub fn builder(
        &self,
        protection: Option<Protection>,
    ) -> Result<EtdiClientBuilder, ConfigError> {
        self.builder_from(protection, variable)
    }

    /// The same with another environment.
    ///
    /// # Errors
    ///
    /// As [`EtdiClientConfig::builder`].
    pub fn builder_from(
        &self,
        protection: Option<Protection>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<EtdiClientBuilder, ConfigError> {
        self.build_on(None, protection, &environment)
    }

    /// The same over a store of the host's own, which is what `storage_type` `database` means.
    /// `protection` seals the generated key alone: how the store keeps approvals is its own affair.
    ///
    /// # Errors
    ///
    /// As [`EtdiClientConfig::builder`], and when the settings name another kind of store.
    pub fn builder_over(
        &self,
        store: Arc<dyn ApprovalStore>,
        protection: Option<Protection>,
    ) -> Result<EtdiClientBuilder, ConfigError> {
        self.build_on(Some(store), protection, &variable)
    }

    fn build_on(
        &self,
        given: Option<Arc<dyn ApprovalStore>>,
        protection: Option<Protection>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<EtdiClientBuilder, ConfigError> {
        let policy = self.policy();
        let home = Home::find(environment);
        let storage = &self.storage_config;
        let is_database = storage.storage_type == StorageType::Database;
        let wrong = |message: &str| {
            let path = "storage_config.storage_type".to_owned();
            Err(ConfigError::Value { path, message: message.to_owned() })
        };
        match &given {
            None if is_database => {
                return wrong(
                    "`database` is a store of the host's own: give it to \
                     `EtdiClientConfig::builder_over`, or set this to `file`",
                );
            }
            Some(_) if !is_database => {
                return wrong(
                    "a store of the host's own is given, so set this to `database`, or call \
                     `EtdiClientConfig::builder`",
                );
            }
            _ => {}
        }
        let mut builder = self.apply(EtdiClient::builder(), TrustAnchors::new())?;
        let kept = match storage.storage_type {
            StorageType::File => {
                home.path().is_ok().then(|| home.inside("revocations")).transpose()?
            }
            _ => None,
        };
        builder.kept_revocations = Some(self.trust.revocations(kept.as_deref(), home.state())?);
        if let Some(lists) = self.trust.revocation_files()? {
            builder = builder.revocation_source(Arc::new(lists));
        }
        let (store, protection) = match given {
            Some(store) => (store, protection),
            None => approvals::open(storage, &home, protection, environment)?,
        };
        builder = builder.approvals(store);
        let sealing = protection.filter(|_| storage.encryption_enabled);
        let signs = policy.call_attestation == CallAttestation::Always
            || self.audit.checkpoint_every > 0
            || self.key_config != KeyConfig::default();
        let key = match signs {
            true => Some(Arc::new(self.key_config.open(&home, sealing.clone())?)),
            false => None,
        };
        builder = match &key {
            Some(key) => builder.caller(key.clone()),
            None => builder.caller_on_need(self.key_config.clone().on_need(home.clone(), sealing)),
        };
        if self.audit.enabled {
            builder = builder.auditor(Arc::new(self.open_audit(&home, key)?));
        }
        Ok(builder)
    }

    /// Sets of a builder what these settings say of checks and of how servers are talked to, and
    /// opens nothing: for hosts with approvals, keys and an audit trail of their own. The settings'
    /// publishers are trusted beside those of `anchors`, and the keys that they revoke count for
    /// nobody.
    ///
    /// # Errors
    ///
    /// When the settings name a publisher, a key or an algorithm that is none.
    pub fn apply(
        &self,
        builder: EtdiClientBuilder,
        anchors: TrustAnchors,
    ) -> Result<EtdiClientBuilder, ConfigError> {
        let builder = match &self.local_rules {
            Some(rules) => builder.engine(Arc::new(rules.clone())),
            None => builder,
        };
        Ok(builder
            .policy(self.policy())
            .options(self.options.clone())
            .risk_lexicon(self.risk_lexicon.clone())
            .require_etdi(self.require_etdi)
            .show_unverified(self.show_unverified_tools)
            .remember_signatures_for(self.verification_cache_ttl)
            .accept_only(self.trust.issuers()?, self.trust.algorithms()?)
            .trust(self.trust.added_to(anchors)?)
            .publisher_names(self.trust.names()?))
    }

    fn open_audit(
        &self,
        home: &Home,
        key: Option<Arc<SigningKey>>,
    ) -> Result<AuditFile, ConfigError> {
        let audit = &self.audit;
        let path = match &audit.path {
            Some(path) => path.clone(),
            None => home.inside("audit")?.join("events.jsonl"),
        };
        let durability = if audit.sync { Durability::Synced } else { Durability::Written };
        let mut options = AuditFile::options()
            .durability(durability)
            .rotate_at(audit.rotate_bytes)
            .on_outage(|outage| match outage {
                AuditOutage::Ends { .. } => tracing::info!("{outage}"),
                _ => tracing::error!("{outage}"),
            });
        if let Some(files) = audit.keep_files {
            options = options.keep_files(files);
        }
        if let Some(key) = key.filter(|_| audit.checkpoint_every > 0) {
            options = options.sign(key, audit.checkpoint_every);
        }
        Ok(options.open(path)?)
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests;
