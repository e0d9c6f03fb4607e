//! Why settings cannot be used, and what to do.

use etdi_core::approval::StoreError;
use etdi_core::audit::AuditError;
use etdi_core::key::KeyError;
use etdi_core::revocation::RevocationError;
use etdi_core::secret::ProtectionKind;

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings `{path}`: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The text is no JSON.
    #[error("the settings are no JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// A key that is not known.
    #[error("`{path}` is no setting{}", .nearest.as_ref().map_or_else(String::new, |near| format!(", did you mean `{near}`?")))]
    Unknown {
        /// Where it stands.
        path: String,
        /// What is nearest to it.
        nearest: Option<String>,
    },
    /// A setting that means nothing to a client, with the place where it is said instead.
    #[error("`{path}` is no setting of a client: {instead}")]
    Elsewhere {
        /// Where it stands.
        path: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// A value that does not fit.
    #[error("`{path}`: {message}")]
    Value {
        /// The setting.
        path: String,
        /// What is wrong with it, and what is right.
        message: String,
    },
    /// A variable that is not set.
    #[error(
        "`{path}` wants `${{{name}}}`, which is not set, set it or write `${{{name}:-otherwise}}`"
    )]
    Unset {
        /// The setting.
        path: String,
        /// The variable.
        name: String,
    },
    /// A placeholder without its end.
    #[error("`{path}` has `${{` without `}}`, write `$${{` for the characters themselves")]
    Placeholder {
        /// The setting.
        path: String,
    },
    /// Another version of this form.
    #[error("`config_version` {0} is not known here, use 1")]
    Version(u32),
    /// There is no place for what needs one.
    #[error(
        "neither `ETDI_HOME` nor `HOME` is set, so name `storage_config.storage_path`, `key_config.private_key_path` and `audit.path`"
    )]
    Homeless,
    /// The store is sealed by a key file that is not there.
    #[error(
        "`{path}` is sealed, and its key file `{key}` is gone: put it back, or name the right one by \
         `ETDI_KEY_FILE`; when it is lost, move `{path}` away and approve again"
    )]
    KeyGone {
        /// The store.
        path: String,
        /// The key file.
        key: String,
    },
    /// The store is sealed in another way than the user chose.
    #[error(
        "`{path}` is protected by {by} and not by {offered}: protect it by that with `etdi \
         approvals encrypt`, or do not give it"
    )]
    OtherwiseSealed {
        /// The store.
        path: String,
        /// What protects it.
        by: ProtectionKind,
        /// What was given.
        offered: ProtectionKind,
    },
    /// A store in the clear stands where a sealed one was.
    #[error(
        "`{path}` was encrypted and is not any more, so nothing in it counts: someone put another in \
         its place; move it away and put the encrypted one back, or look at what it holds and seal \
         it with `etdi approvals encrypt`"
    )]
    Replaced {
        /// The store.
        path: String,
    },
    /// Encrypted files are wanted, and nothing is given that opens or encrypts them.
    #[error("{}", locked(path, *by))]
    Locked {
        /// The store.
        path: String,
        /// What it is encrypted by; none when it is not, or not there.
        by: Option<ProtectionKind>,
    },
    /// A store in the clear is wanted, and stands where an encrypted one was.
    #[error(
        "`{path}` was encrypted, so nothing in the clear counts there: set \
         `storage_config.encryption_enabled` to `true`, or name another directory"
    )]
    WasEncrypted {
        /// The store.
        path: String,
    },
    /// A file or directory cannot be made.
    #[error("cannot make `{path}`: {source}")]
    Write {
        /// Which.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The key cannot be used.
    #[error("the key `{path}` cannot be used: {message}")]
    Key {
        /// The key.
        path: String,
        /// Why, and what to do.
        message: String,
    },
    /// A key cannot be read or made.
    #[error(transparent)]
    Signing(#[from] KeyError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was revoked cannot be read.
    #[error(transparent)]
    Revocations(#[from] RevocationError),
    /// The audit trail cannot be opened.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// What to set so that encrypted files open.
fn locked(path: &str, by: Option<ProtectionKind>) -> String {
    let set = "set `ETDI_PASSPHRASE`, `ETDI_PASSPHRASE_FD` or `ETDI_KEY_FILE`, or give the builder \
               a `Protection`";
    match by {
        Some(by) => format!("`{path}` is encrypted by {by}: {set}"),
        None => format!(
            "`storage_config.encryption_enabled` wants a key for `{path}`: {set}, or set it to \
             `false`"
        ),
    }
}
