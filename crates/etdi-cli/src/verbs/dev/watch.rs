//! Files that are looked at again and again: what changed since the last look.
//!
//! Looking costs a few milliseconds for the files of a package and needs nothing of the system, so that
//! it works in containers and on network drives too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The most files that are looked at.
const MOST: usize = 20_000;

/// The files below some places, as they are at one time.
#[derive(Debug, Default, PartialEq)]
pub struct Look(BTreeMap<PathBuf, (Option<SystemTime>, u64)>);

impl Look {
    /// Looks at files, and at everything below folders but what is built or fetched into them.
    pub fn at(places: &[PathBuf]) -> Self {
        let mut look = Self::default();
        for place in places {
            look.take(place);
        }
        look
    }

    fn take(&mut self, path: &Path) {
        if self.0.len() >= MOST {
            return;
        }
        let Ok(found) = fs::metadata(path) else { return };
        if !found.is_dir() {
            self.0.insert(path.to_owned(), (found.modified().ok(), found.len()));
            return;
        }
        let Ok(entries) = fs::read_dir(path) else { return };
        for entry in entries.flatten() {
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            // A link may lead anywhere, and back here.
            if !is_link && !is_passed_over(&entry.file_name().to_string_lossy()) {
                self.take(&entry.path());
            }
        }
    }

    /// A file that is not as it was; `None` when all are.
    pub fn changed<'a>(&'a self, before: &'a Self) -> Option<&'a Path> {
        let differs = |(path, state): &(&PathBuf, &_)| before.0.get(*path) != Some(*state);
        let changed = self.0.iter().find(differs);
        let gone = before.0.iter().find(|(path, _)| !self.0.contains_key(*path));
        changed.or(gone).map(|(path, _)| path.as_path())
    }
}

/// Folders that tools fill, and files that editors hide.
fn is_passed_over(name: &str) -> bool {
    name.starts_with('.')
        || name.ends_with('~')
        || matches!(name, "target" | "node_modules" | "__pycache__" | "venv" | "dist" | "build")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_found_and_what_is_built_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let places = [folder.path().to_owned()];
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("src/main.rs", "one");
        write("target/debug/a", "one");
        let first = Look::at(&places);
        write("target/debug/a", "another");
        write(".git/HEAD", "x");
        assert_eq!(Look::at(&places).changed(&first), None);
        write("src/main.rs", "another");
        let second = Look::at(&places);
        assert!(second.changed(&first).unwrap().ends_with("src/main.rs"));
        fs::remove_file(folder.path().join("src/main.rs")).unwrap();
        assert!(Look::at(&places).changed(&second).is_some());
    }
}
