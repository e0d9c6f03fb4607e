//! The directories of `etdi`, which the command and the clients of a user share.

use std::path::{Path, PathBuf};

use super::ConfigError;

/// Where things are kept for which no setting names a place.
#[derive(Clone)]
pub(crate) struct Home {
    data: Option<PathBuf>,
    state: Option<PathBuf>,
    is_standard: bool,
}

impl Home {
    /// `$ETDI_HOME`, else `etdi` in the XDG data directory. State is in `$ETDI_STATE`, else in
    /// `state` of a home that was set by hand, else in `etdi` of the XDG state directory.
    pub(crate) fn find(environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let standard = |name, below: &str| {
            let xdg = set(name).filter(|path| path.is_absolute());
            xdg.or_else(|| Some(set("HOME")?.join(below))).map(|path| path.join("etdi"))
        };
        let chosen = set("ETDI_HOME");
        let is_standard = chosen.is_none();
        let data = chosen.clone().or_else(|| standard("XDG_DATA_HOME", ".local/share"));
        let state = match (set("ETDI_STATE"), chosen) {
            (Some(state), _) => Some(state),
            (None, Some(home)) => Some(home.join("state")),
            (None, None) => standard("XDG_STATE_HOME", ".local/state")
                .or_else(|| Some(data.as_ref()?.join("state"))),
        };
        Self { data, state, is_standard }
    }

    /// A home at a place of its own, or none.
    #[cfg(test)]
    pub(super) fn at(path: Option<PathBuf>) -> Self {
        let state = path.as_ref().map(|path| path.join("state"));
        Self { data: path, state, is_standard: false }
    }

    /// The directory of `etdi` itself.
    pub(super) fn path(&self) -> Result<&Path, ConfigError> {
        self.data.as_deref().ok_or(ConfigError::Homeless)
    }

    /// The directory for state, which is not where the data is, because backups seldom go there.
    /// None where no variable says where it could be.
    pub(super) fn state(&self) -> Option<&Path> {
        self.state.as_deref()
    }

    /// Whether it is where it is for everybody, and not set by hand.
    pub(super) fn is_standard(&self) -> bool {
        self.is_standard
    }

    /// A directory inside, made for its owner alone.
    pub(crate) fn inside(&self, name: &str) -> Result<PathBuf, ConfigError> {
        let path = self.path()?.join(name);
        private_directory(&path)
            .map_err(|source| ConfigError::Write { path: path.display().to_string(), source })?;
        Ok(path)
    }
}

fn private_directory(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
