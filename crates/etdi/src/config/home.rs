//! The directories of `etdi`, which the command and the clients of a user share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use etdi_core::secret::Protection;
use etdi_core::store::{Anchor, FileAnchor, KeychainAnchor};

use super::ConfigError;

/// Where things are kept for which no setting names a place.
pub(crate) struct Home {
    data: Option<PathBuf>,
    state: Option<PathBuf>,
}

/// The name of the mark of the approvals.
const APPROVALS: &str = "approvals";

impl Home {
    /// `$ETDI_HOME`, else `etdi` in the XDG data directory. State is in `$ETDI_STATE`, else in
    /// `state` of a home that was set by hand, else in `etdi` of the XDG state directory.
    pub(super) fn find(environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let standard = |name, below: &str| {
            let xdg = set(name).filter(|path| path.is_absolute());
            xdg.or_else(|| Some(set("HOME")?.join(below))).map(|path| path.join("etdi"))
        };
        let chosen = set("ETDI_HOME");
        let data = chosen.clone().or_else(|| standard("XDG_DATA_HOME", ".local/share"));
        let state = match (set("ETDI_STATE"), chosen) {
            (Some(state), _) => Some(state),
            (None, Some(home)) => Some(home.join("state")),
            (None, None) => standard("XDG_STATE_HOME", ".local/state")
                .or_else(|| Some(data.as_ref()?.join("state"))),
        };
        Self { data, state }
    }

    /// A home at a place of its own, or none.
    #[cfg(test)]
    pub(super) fn at(path: Option<PathBuf>) -> Self {
        let state = path.as_ref().map(|path| path.join("state"));
        Self { data: path, state }
    }

    /// A directory inside, made for its owner alone.
    pub(super) fn inside(&self, name: &str) -> Result<PathBuf, ConfigError> {
        let path = self.data.as_ref().ok_or(ConfigError::Homeless)?.join(name);
        private_directory(&path)
            .map_err(|source| ConfigError::Write { path: path.display().to_string(), source })?;
        Ok(path)
    }

    /// The mark against old copies of the approvals, outside of them, where the command looks for
    /// it too: in the keyring where the key is, else in a file. `None` where nothing is sealed.
    pub(super) fn mark(
        &self,
        protection: Option<&Protection>,
    ) -> Result<Option<Arc<dyn Anchor>>, ConfigError> {
        let state = self.state.as_ref().ok_or(ConfigError::Homeless)?;
        let Some(protection) = protection else {
            // Whoever could write the directory could put approvals in the clear in place of the
            // encrypted ones.
            return match state.join(format!("{APPROVALS}.anchor")).try_exists() {
                Ok(false) => Ok(None),
                _ => Err(ConfigError::Value {
                    path: "storage_config.encryption_enabled".to_owned(),
                    message: "the approvals of this user are encrypted, set it to `true`, or set \
                              `storage_config.storage_path`"
                        .to_owned(),
                }),
            };
        };
        let file = FileAnchor::open(state, APPROVALS)?;
        let Some(keychain) = protection.keyring() else { return Ok(Some(Arc::new(file))) };
        // That there is a file says that the store is encrypted.
        if file.read()?.is_none() {
            file.write("the mark is in the keyring")?;
        }
        let data = self.data.as_ref().ok_or(ConfigError::Homeless)?;
        let name = format!("{APPROVALS} in {}", data.display());
        Ok(Some(Arc::new(KeychainAnchor::new(keychain.clone(), &name))))
    }
}

fn private_directory(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
