//! Which file a program's name leads to.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The file that a command starts: looked up in `path`, or in the `PATH` of this process. None where
/// there is none that may be executed.
pub fn find(command: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    find_from(command, path, None)
}

/// The same for a program that is started in another directory.
pub(super) fn find_from(
    command: &str,
    path: Option<&OsStr>,
    cwd: Option<&Path>,
) -> Option<PathBuf> {
    let at = |path: PathBuf| cwd.map_or_else(|| path.clone(), |cwd| cwd.join(&path));
    if command.contains('/') {
        return Some(at(PathBuf::from(command))).filter(|path| is_executable(path));
    }
    let own = std::env::var_os("PATH");
    let folders = std::env::split_paths(path.or(own.as_deref())?).collect::<Vec<_>>();
    folders.into_iter().map(|folder| at(folder.join(command))).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    let Ok(about) = std::fs::metadata(path) else { return false };
    #[cfg(unix)]
    let may = std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let may = true;
    about.is_file() && may
}
