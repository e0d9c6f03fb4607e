//! The key that signs calls: where it is, what kind it is, and how it is made on first use.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use etdi_core::approval::StoreError;
use etdi_core::key::{Algorithm, SigningKey, VerifyingKey};
use etdi_core::proof::{SignError, Signer};
use etdi_core::secret::{Protection, ProtectionError, Secret, SecretStore};
use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::home::Home;
use super::place::ApprovalPlace;

/// The key that signs calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct KeyConfig {
    /// The private key, PKCS#8 in PEM, readable by its owner alone. When it is not set, the key is
    /// in the encrypted secrets of the directory of `etdi`, or without encryption in
    /// `keys/client.pem` there.
    pub private_key_path: Option<PathBuf>,
    /// Where the public key is written (a JWK, for servers); a file that is there already has to be
    /// of the same key.
    pub public_key_path: Option<PathBuf>,
    /// `EdDSA`, `ES256`, `RS256` or `PS256`; `RS256`, as the README has it. A key of another kind is
    /// refused. Where no setting of the key is changed, a program without the feature `rsa-keys`,
    /// which makes no such keys, makes one for `EdDSA`, and a key that is there counts as it is.
    pub key_algorithm: String,
    /// The size of an RSA key in bits: 2048, 3072 or 4096; 2048. The others have but one size.
    pub key_size: usize,
    /// Whether the key is made where there is none; `true`.
    pub auto_generate: bool,
}

impl Default for KeyConfig {
    fn default() -> Self {
        Self {
            private_key_path: None,
            public_key_path: None,
            key_algorithm: "RS256".to_owned(),
            key_size: 2048,
            auto_generate: true,
        }
    }
}

/// The name of the key among the secrets.
const NAME: &str = "keys/client";

impl KeyConfig {
    /// Opens the key, or makes it.
    pub(super) fn open(
        &self,
        home: &Home,
        protection: Option<Protection>,
    ) -> Result<SigningKey, ConfigError> {
        let algorithm =
            Algorithm::named(&self.key_algorithm).ok_or_else(|| ConfigError::Value {
                path: "key_config.key_algorithm".to_owned(),
                message: format!(
                    "`{}` is no algorithm, write `EdDSA`, `ES256`, `RS256` or `PS256`",
                    self.key_algorithm.escape_debug()
                ),
            })?;
        let key = match (&self.private_key_path, protection) {
            (Some(path), _) => self.in_file(path, algorithm)?,
            (None, None) => self.in_file(&home.inside("keys")?.join("client.pem"), algorithm)?,
            (None, Some(protection)) => self.among(&secrets(home, protection)?, algorithm)?,
        };
        if let Some(path) = &self.public_key_path {
            publish(path, key.verifying_key())?;
        }
        Ok(key)
    }

    /// Opens the key, or makes it, when it is needed for the first time.
    pub(super) fn on_need(
        self,
        home: Home,
        protection: Option<Protection>,
    ) -> impl Fn() -> Result<Arc<dyn Signer>, SignError> + Send + Sync {
        let opened: Mutex<Option<Arc<SigningKey>>> = Mutex::default();
        move || {
            let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(key) = &*opened {
                return Ok(key.clone());
            }
            let key = self.open(&home, protection.clone());
            let key = Arc::new(key.map_err(|error| SignError(error.to_string()))?);
            *opened = Some(key.clone());
            Ok(key)
        }
    }

    fn among(
        &self,
        secrets: &SecretStore,
        algorithm: Algorithm,
    ) -> Result<SigningKey, ConfigError> {
        if let Some(secret) = secrets.get(NAME)? {
            let text = secret.reveal_text().unwrap_or_default();
            return self.read(NAME, text, algorithm);
        }
        let key = self.make(NAME, algorithm)?;
        secrets.put(NAME, &Secret::from(key.to_pkcs8_pem().as_str()))?;
        Ok(key)
    }

    fn in_file(&self, path: &Path, algorithm: Algorithm) -> Result<SigningKey, ConfigError> {
        let shown = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => {
                if is_exposed(path) {
                    let message =
                        "others may read it, take their rights away with `chmod 600`".to_owned();
                    return Err(ConfigError::Key { path: shown, message });
                }
                self.read(&shown, &text, algorithm)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = self.make(&shown, algorithm)?;
                write_new(path, key.to_pkcs8_pem().as_bytes(), 0o600)?;
                Ok(key)
            }
            Err(source) => Err(ConfigError::Read { path: shown, source }),
        }
    }

    fn read(
        &self,
        path: &str,
        text: &str,
        algorithm: Algorithm,
    ) -> Result<SigningKey, ConfigError> {
        let unfit = |message: String| ConfigError::Key { path: path.to_owned(), message };
        let key = SigningKey::from_pkcs8_pem(text).map_err(|error| unfit(error.to_string()))?;
        let found = key.verifying_key().algorithm();
        if *self == Self::default() && found != algorithm && !found.is_rsa() {
            return Ok(key);
        }
        key.with_algorithm(algorithm).map_err(|_| {
            unfit(format!(
                "it is for {}, and `key_algorithm` is {}, set the one to the other",
                found.name(),
                algorithm.name()
            ))
        })
    }

    fn make(&self, path: &str, algorithm: Algorithm) -> Result<SigningKey, ConfigError> {
        if !self.auto_generate {
            let message = "there is none, make one or set `auto_generate`".to_owned();
            return Err(ConfigError::Key { path: path.to_owned(), message });
        }
        if !algorithm.is_rsa() {
            return Ok(SigningKey::generate(algorithm)?);
        }
        if cfg!(not(feature = "rsa-keys")) && *self == Self::default() {
            return Ok(SigningKey::generate(Algorithm::EdDsa)?);
        }
        self.make_rsa(path, algorithm)
    }

    #[cfg(feature = "rsa-keys")]
    fn make_rsa(&self, _: &str, algorithm: Algorithm) -> Result<SigningKey, ConfigError> {
        Ok(SigningKey::generate_rsa(algorithm, self.key_size)?)
    }

    #[cfg(not(feature = "rsa-keys"))]
    fn make_rsa(&self, path: &str, algorithm: Algorithm) -> Result<SigningKey, ConfigError> {
        let message = format!(
            "keys for {} are made with the feature `rsa-keys`, turn it on, set `key_algorithm` to \
             `EdDSA`, or make the key with `openssl genpkey`",
            algorithm.name()
        );
        Err(ConfigError::Key { path: path.to_owned(), message })
    }
}

/// The secrets of the home. What nobody chose sealed them before the user chose, and is left for it.
fn secrets(home: &Home, protection: Protection) -> Result<SecretStore, ConfigError> {
    let directory = home.inside("secrets")?;
    let stored = match SecretStore::open(&directory, protection.clone()) {
        Err(StoreError::Protection(ProtectionError::OtherProtection { stored, .. })) => stored,
        opened => return Ok(opened?),
    };
    let place = ApprovalPlace::of_command(home.path()?, home.state().map(Path::to_owned));
    let secrets = SecretStore::open(&directory, place.own(stored)?)?;
    secrets.protect(protection)?;
    Ok(secrets)
}

/// Writes the public key, or sees that it is the one that is there.
fn publish(path: &Path, key: &VerifyingKey) -> Result<(), ConfigError> {
    let shown = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => match VerifyingKey::from_jwk(&text) {
            Ok(there) if there.id() == key.id() => Ok(()),
            _ => Err(ConfigError::Key {
                path: shown,
                message: "it is not the public half of the private key, remove it".to_owned(),
            }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            write_new(path, key.to_jwk().as_bytes(), 0o644)
        }
        Err(source) => Err(ConfigError::Read { path: shown, source }),
    }
}

/// Writes a file that is not there yet, whole or not at all.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), ConfigError> {
    let failed = |source| ConfigError::Write { path: path.display().to_string(), source };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path).map_err(failed)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key is none, and would be in the way of the next attempt.
        let _ = std::fs::remove_file(path);
    }
    written.map_err(failed)
}

pub(super) fn is_exposed(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}
