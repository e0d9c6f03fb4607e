//! Which file a program's name leads to.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The file that a command starts: looked up in `path`, or in the `PATH` of this process. None where
/// there is none that may be executed.
pub fn find(command: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    if command.contains('/') {
        return Some(PathBuf::from(command)).filter(|path| is_executable(path));
    }
    let own = std::env::var_os("PATH");
    let folders = std::env::split_paths(path.or(own.as_deref())?).collect::<Vec<_>>();
    folders.into_iter().map(|folder| folder.join(command)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    let Ok(about) = std::fs::metadata(path) else { return false };
    #[cfg(unix)]
    let may = std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let may = true;
    about.is_file() && may
}
