//! Files that are looked at again and again: what changed since the last look.
//!
//! Looking costs a few milliseconds for the files of a package and needs nothing of the system, so that
//! it works in containers and on network drives too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

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

/// Files that a server writes itself: what its start changes must not be a reason for the next one.
#[derive(Debug, Default)]
pub struct Restless {
    last: Option<(PathBuf, Instant)>,
    times: u32,
    found: BTreeSet<PathBuf>,
}

/// Whoever changes a file so often, each time so soon after the last, is no person who saves it.
const OFTEN: u32 = 5;
const SOON: Duration = Duration::from_secs(3);

impl Restless {
    /// Takes note of a file that changed; whether it is passed over from now on.
    pub fn note(&mut self, path: &Path, now: Instant) -> bool {
        let again = self
            .last
            .as_ref()
            .is_some_and(|(last, at)| last == path && now.saturating_duration_since(*at) < SOON);
        self.times = if again { self.times + 1 } else { 1 };
        self.last = Some((path.to_owned(), now));
        self.times >= OFTEN && self.found.insert(path.to_owned())
    }

    /// The same look without those files.
    #[must_use]
    pub fn out_of(&self, mut look: Look) -> Look {
        look.0.retain(|path, _| !self.found.contains(path));
        look
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
    fn a_file_that_a_server_writes_at_each_start_is_no_reason_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let places = [folder.path().to_owned()];
        let (log, source) = (folder.path().join("server.log"), folder.path().join("main.rs"));
        let (mut restless, begun) = (Restless::default(), Instant::now());
        let starts = |restless: &mut Restless, path: &Path, gap: u64| {
            (0..10).filter(|at| restless.note(path, begun + Duration::from_secs(at * gap))).count()
        };
        assert_eq!(starts(&mut restless, &source, 4), 0, "somebody saves it now and then");
        assert_eq!(starts(&mut restless, &log, 1), 1, "said once");
        for path in [&log, &source] {
            fs::write(path, "one").unwrap();
        }
        let first = restless.out_of(Look::at(&places));
        fs::write(&log, "another").unwrap();
        assert_eq!(restless.out_of(Look::at(&places)).changed(&first), None);
        fs::write(&source, "another").unwrap();
        assert!(restless.out_of(Look::at(&places)).changed(&first).is_some());
    }

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
