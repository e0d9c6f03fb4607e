//! Failures and crashes between any two writes, and changes that are taken back.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::client::{ConfigFile, Scope};
use crate::dialect::{Launch, Program};

/// Lets one step fail, or the process die in it.
#[derive(Debug, Default)]
pub(super) struct Fault {
    steps: Cell<usize>,
    fails_at: Cell<Option<usize>>,
    dies: Cell<bool>,
}

impl Journal {
    pub(super) fn step(&self) -> Result<(), WriteError> {
        let step = self.fault.steps.get();
        self.fault.steps.set(step + 1);
        match self.fault.fails_at.get() {
            Some(at) if at == step && self.fault.dies.get() => panic!("the process dies"),
            // A disk that is full stays full.
            Some(at) if at == step => Err(failed(&self.folder)(io::Error::other("disk full"))),
            _ => Ok(()),
        }
    }

    fn failing(&self, at: Option<usize>, dies: bool) {
        self.fault.steps.set(0);
        self.fault.fails_at.set(at);
        self.fault.dies.set(dies);
    }
}

struct World {
    folder: tempfile::TempDir,
    journal: Journal,
}

const CURSOR: &str = "{\n  // mine\n  \"mcpServers\": { \"a\": {\"command\": \"a\"} }\n}\n";
const CODEX: &str = "model = \"o3\" # best\n";

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cursor"), CURSOR).unwrap();
        fs::write(folder.path().join("codex"), CODEX).unwrap();
        let journal = Journal::open(folder.path().join("journal")).unwrap();
        Self { folder, journal }
    }

    fn path(&self, client: &str) -> PathBuf {
        self.folder.path().join(client)
    }

    fn text(&self, client: &str) -> Option<String> {
        fs::read_to_string(self.path(client)).ok()
    }

    fn configs(&self) -> Vec<Config> {
        let program = Program { command: "/bin/n".into(), ..Program::default() };
        let config = |id: &str| {
            let client = Client::find(id).unwrap();
            let file = ConfigFile { client, scope: Scope::User, path: self.path(id) };
            let mut config = Config::open(&file).unwrap();
            config.put("n", &Launch::Program(program.clone())).unwrap();
            config
        };
        ["cursor", "codex", "goose"].map(config).into()
    }

    fn undo_last(&self) -> Vec<Undone> {
        let Some(last) = self.journal.records().unwrap().first().map(|record| record.change) else {
            return Vec::new();
        };
        self.journal.undo(last).unwrap().into_iter().map(|(_, done)| done).collect()
    }

    fn is_as_it_was(&self) -> bool {
        self.text("cursor").as_deref() == Some(CURSOR)
            && self.text("codex").as_deref() == Some(CODEX)
            && self.text("goose").is_none()
    }
}

#[test]
fn a_change_is_made_and_taken_back() {
    let world = World::new();
    assert_eq!(world.journal.commit("install", 7, &world.configs()).unwrap(), Some(1));
    assert!(world.text("goose").unwrap().contains("/bin/n"));
    assert_eq!(world.journal.commit("install", 8, &world.configs()).unwrap(), None, "nothing new");
    let records = world.journal.records().unwrap();
    assert_eq!((records.len(), records[0].at, records[0].existed), (3, 7, false));
    assert_eq!(world.undo_last(), [Undone::Deleted, Undone::Restored, Undone::Restored]);
    assert!(world.is_as_it_was());
    assert!(world.journal.records().unwrap().is_empty());
    assert_eq!(fs::read_dir(world.path("journal")).unwrap().count(), 1, "only the lock is left");
}

/// The folder may hold what others keep there, and that is left alone.
#[test]
fn what_is_no_record_is_left_alone() {
    let world = World::new();
    let other = world.path("journal").join("clients.json");
    fs::write(&other, r#"{"v":1,"clients":[]}"#).unwrap();
    assert_eq!(world.journal.commit("install", 7, &world.configs()).unwrap(), Some(1));
    assert_eq!(world.journal.records().unwrap().len(), 3);
    world.undo_last();
    assert!(world.is_as_it_was() && other.exists());
}

/// A crash between any two writes: each file is whole, and old or new; what was there can be had
/// back; the change can be made again.
#[test]
fn a_crash_between_any_two_writes_loses_nothing() {
    let steps = {
        let world = World::new();
        world.journal.failing(None, false);
        world.journal.commit("install", 7, &world.configs()).unwrap();
        world.journal.fault.steps.get()
    };
    assert!(steps >= 18, "{steps} steps");
    for dies in [true, false] {
        for at in 0..steps {
            let world = World::new();
            let configs = world.configs();
            world.journal.failing(Some(at), dies);
            let made = catch_unwind(AssertUnwindSafe(|| {
                world.journal.commit("install", 7, &configs).map_err(|error| error.to_string())
            }));
            assert_eq!(made.is_err(), dies, "step {at}");
            assert!(!matches!(made, Ok(Ok(_))), "step {at}");
            world.journal.failing(None, false);
            for config in &configs {
                let id = config.file().client.id;
                let now = world.text(id);
                let whole =
                    now.as_deref() == config.before() || now.as_deref() == Some(config.text());
                assert!(whole, "step {at}: {id} is neither old nor new: {now:?}");
            }
            if !dies {
                assert!(world.is_as_it_was(), "step {at}: what failed was taken back");
            }
            world.undo_last();
            assert!(world.is_as_it_was(), "step {at}");
            assert_eq!(world.undo_last(), [], "step {at}");
            world.journal.commit("install", 8, &world.configs()).unwrap();
            world.undo_last();
            assert!(world.is_as_it_was(), "step {at}");
            let left = fs::read_dir(world.path("journal")).unwrap().count();
            assert_eq!(left, 1, "step {at}: no copy of a secret is left over");
        }
    }
}

#[test]
fn a_crash_while_a_change_is_taken_back_loses_nothing() {
    let steps = {
        let world = World::new();
        world.journal.commit("install", 7, &world.configs()).unwrap();
        world.journal.failing(None, false);
        world.undo_last();
        world.journal.fault.steps.get()
    };
    for at in 0..steps {
        let world = World::new();
        world.journal.commit("install", 7, &world.configs()).unwrap();
        world.journal.failing(Some(at), true);
        assert!(catch_unwind(AssertUnwindSafe(|| world.undo_last())).is_err(), "step {at}");
        world.journal.failing(None, false);
        world.undo_last();
        assert!(world.is_as_it_was(), "step {at}");
    }
}

#[test]
fn what_others_wrote_is_not_lost() {
    let world = World::new();
    let configs = world.configs();
    fs::write(world.path("codex"), "model = \"o4\"\n").unwrap();
    let error = world.journal.commit("install", 7, &configs).unwrap_err();
    assert!(matches!(error, WriteError::Changed { .. }), "{error}");
    assert_eq!(world.text("cursor").as_deref(), Some(CURSOR));

    let world = World::new();
    world.journal.commit("install", 7, &world.configs()).unwrap();
    let since = world.text("cursor").unwrap().replace("// mine", "// ours");
    fs::write(world.path("cursor"), since).unwrap();
    let goose = world.text("goose").unwrap().replace("/bin/n", "/bin/other");
    fs::write(world.path("goose"), &goose).unwrap();
    let last = world.journal.records().unwrap()[0].change;
    let error = world.journal.undo(last).unwrap_err();
    assert!(matches!(error, WriteError::Since { .. }), "{error}");
    assert_eq!(world.text("goose").unwrap(), goose);
    fs::remove_file(world.path("goose")).unwrap();
    assert_eq!(world.undo_last(), [Undone::AlreadySo, Undone::Restored, Undone::Mended]);
    assert_eq!(world.text("cursor").unwrap(), CURSOR.replace("// mine", "// ours"));
}

#[cfg(unix)]
#[test]
fn links_and_permissions_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let world = World::new();
    let real = world.path("dotfiles-cursor");
    fs::rename(world.path("cursor"), &real).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&real, world.path("cursor")).unwrap();
    world.journal.commit("install", 7, &world.configs()).unwrap();
    assert!(fs::symlink_metadata(world.path("cursor")).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("/bin/n"));
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::metadata(world.path("goose")).unwrap().permissions().mode() & 0o777, 0o600);

    let world = World::new();
    fs::remove_file(world.path("cursor")).unwrap();
    symlink("nowhere", world.path("cursor")).unwrap();
    let error = world.journal.commit("install", 7, &world.configs()).unwrap_err();
    assert!(matches!(error, WriteError::DeadLink { .. }), "{error}");
    assert!(world.text("goose").is_none() && world.text("codex").as_deref() == Some(CODEX));
}

#[test]
fn old_copies_do_not_pile_up() {
    let world = World::new();
    for round in 0..KEPT + 5 {
        let client = Client::find("cursor").unwrap();
        let file = ConfigFile { client, scope: Scope::User, path: world.path("cursor") };
        let mut config = Config::open(&file).unwrap();
        let command = format!("/bin/{round}");
        config.put("n", &Launch::Program(Program { command, ..Program::default() })).unwrap();
        world.journal.commit("install", 7, &[config]).unwrap();
    }
    assert_eq!(world.journal.records().unwrap().len(), KEPT);
}
