//! Where `etdi` keeps keys, approvals and trust: one directory, open to its owner only.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// The directory of `etdi`: `$ETDI_HOME`, else `etdi` in the XDG data directory.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// Finds the directory; nothing is created yet.
    ///
    /// # Errors
    ///
    /// When no environment variable says where it could be.
    pub fn find() -> Result<Self, Failure> {
        Self::of(&|name| std::env::var_os(name)).ok_or_else(|| {
            Failure::usage(
                "neither `ETDI_HOME` nor `HOME` is set, so there is no place for keys and approvals",
                "ETDI_HOME=\"$PWD/etdi\" etdi keys list",
            )
        })
    }

    /// The directory of a process with these variables; None where none of them says.
    pub fn of(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<Self> {
        let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // The XDG specification has relative paths ignored.
        let data = || set("XDG_DATA_HOME").filter(|path| path.is_absolute());
        set("ETDI_HOME")
            .or_else(|| Some(data()?.join("etdi")))
            .or_else(|| Some(set("HOME")?.join(".local/share/etdi")))
            .map(Self)
    }

    /// Whether it is where it is for everybody, and not set by hand.
    pub fn is_standard(&self) -> bool {
        std::env::var_os("ETDI_HOME").is_none_or(|home| home.is_empty())
    }

    /// A directory at a place of its own, for the demo and for tests.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A directory inside, made with mode 0700 where it is not there.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn directory(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.0.join(name);
        create_private_directory(&path).map_err(|error| {
            Failure::usage(
                format!("cannot make `{}`: {error}", path.display()),
                "ETDI_HOME=\"$PWD/etdi\" etdi keys list",
            )
        })?;
        Ok(path)
    }
}

/// Makes a directory, and those above it, with mode 0700.
///
/// # Errors
///
/// When the system refuses.
pub fn create_private_directory(path: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Writes a new file that only its owner can read; an existing one is never replaced.
///
/// # Errors
///
/// When the file is there already, or the system refuses.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Whether others than the owner may read or write a file.
pub fn is_exposed(path: &Path) -> bool {
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
