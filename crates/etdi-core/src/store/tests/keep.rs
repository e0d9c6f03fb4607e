//! Bundles, backups, retention and settings.

use super::*;
use crate::approval::Withdrawn;
use crate::secret::{PassphraseCost, SealingKey};
use crate::store::disk::{Disk, Files};
use crate::store::{Bundle, StorageConfig, StorageType};

fn host(byte: u8) -> Protection {
    Protection::key(SealingKey::from_bytes([byte; 32]))
}

fn cheap(passphrase: &str) -> Protection {
    Protection::passphrase_costing(passphrase, PassphraseCost::new(8 << 10, 1, 1).unwrap())
}

const DAY: u64 = 86_400;

#[test]
fn a_bundle_goes_to_another_machine_and_overrules_nothing_there() {
    let (one, two) = (Scratch::new(), Scratch::new());
    let here = FileStore::options().protection(host(1)).open(&one.0).unwrap();
    let there = FileStore::options().protection(host(2)).open(&two.0).unwrap();
    put(&here, "search", None);
    put(&here, "find", None);
    now(here.remember("s", &seen("2.0.0"), NOW)).unwrap();
    now(there.remember("s", &seen("1.0.0"), NOW)).unwrap();
    let withdrawn = Some(Withdrawn::new(NOW, "ada"));
    let mine = Approval { withdrawn, ..approval("find") };
    let mine = now(there.put(mine, None)).unwrap();

    let bytes = here.export(NOW).unwrap().to_bytes(Some(&cheap("pass"))).unwrap();
    assert!(Bundle::is_sealed(&bytes));
    assert!(!String::from_utf8_lossy(&bytes).contains("search"));
    assert!(Bundle::from_bytes(&bytes, Some(&cheap("other"))).is_err());
    assert!(matches!(Bundle::from_bytes(&bytes, None), Err(StoreError::Encrypted { .. })));
    for byte in (0..bytes.len()).step_by(7) {
        let mut flipped = bytes.clone();
        flipped[byte] ^= 1;
        assert!(Bundle::from_bytes(&flipped, Some(&cheap("pass"))).is_err(), "{byte}");
    }
    let bundle = Bundle::from_bytes(&bytes, Some(&cheap("pass"))).unwrap();
    let imported = there.import(&bundle).unwrap();
    assert_eq!((imported.added, imported.kept), (1, 1));
    assert_eq!(now(there.get(&key("find"))).unwrap(), Some(mine));
    assert!(now(there.get(&key("search"))).unwrap().is_some());
    let memory = now(there.memory("s")).unwrap().unwrap();
    assert_eq!(memory.tools["search"]["https://acme.example"].version.as_deref(), Some("2.0.0"));
    let again = there.import(&bundle).unwrap();
    assert_eq!((again.added, again.kept), (0, 2));

    let open = bundle.to_bytes(None).unwrap();
    assert_eq!(Bundle::from_bytes(&open, None).unwrap(), bundle);
    let refused = Bundle::from_bytes(&open, Some(&cheap("pass")));
    assert!(matches!(refused, Err(StoreError::NotEncrypted { .. })));
    assert!(Bundle::from_bytes(b"{}", None).is_err());
}

#[test]
fn what_ended_long_ago_goes_and_nothing_else() {
    let scratch = Scratch::new();
    let store = scratch.open();
    put(&store, "kept", None);
    let expired = Approval { expires_at: Some(NOW.plus(DAY)), ..approval("expired") };
    now(store.put(expired, None)).unwrap();
    let withdrawn = Some(Withdrawn::new(NOW.plus(2 * DAY), "ada"));
    now(store.put(Approval { withdrawn, ..approval("withdrawn") }, None)).unwrap();
    assert_eq!(store.retire(30, NOW.plus(30 * DAY)).unwrap(), 0);
    assert_eq!(store.retire(30, NOW.plus(31 * DAY)).unwrap(), 1);
    assert_eq!(store.retire(30, NOW.plus(32 * DAY)).unwrap(), 1);
    let left = now(store.list()).unwrap().approvals;
    assert_eq!(left.iter().map(|one| &*one.key.tool).collect::<Vec<_>>(), ["kept"]);
}

#[test]
fn every_setting_changes_something() {
    let open = |config: &StorageConfig, path: &Path, at: UnixTime| {
        config.open(path, Some(host(1)), None, at)
    };
    let backups = |path: &Path| {
        let name = format!("{}.backup", path.display().to_string().trim_end_matches('/'));
        let entries = fs::read_dir(name).into_iter().flatten();
        let mut names: Vec<_> = entries.map(|one| one.unwrap().path()).collect();
        names.retain(|path| path.extension().is_some_and(|ending| ending == "etdi"));
        names
    };
    let holder = Scratch::new();
    fs::create_dir(&holder.0).unwrap();
    fs::set_permissions(&holder.0, fs::Permissions::from_mode(0o700)).unwrap();
    let path = holder.0.join("approvals");

    // A path that ends in a slash has its backups beside it too.
    let config = StorageConfig::default();
    let path = PathBuf::from(format!("{}/", path.display()));
    let store = open(&config, &path, NOW).unwrap();
    assert!(FileStore::in_the_clear(&path).is_err(), "encrypted unless told otherwise");
    let ended = Approval { expires_at: Some(NOW), ..approval("search") };
    now(store.put(ended, None)).unwrap();
    assert!(backups(&path).is_empty(), "there was nothing to keep");
    open(&config, &path, NOW.plus(1)).unwrap();
    open(&config, &path, NOW.plus(2)).unwrap();
    assert_eq!(backups(&path).len(), 1, "one a day");
    let bytes = fs::read(&backups(&path)[0]).unwrap();
    assert_eq!(Bundle::from_bytes(&bytes, Some(&host(1))).unwrap().approvals.len(), 1);
    assert!(Bundle::from_bytes(&bytes, Some(&host(2))).is_err());
    assert_eq!(mode(&backups(&path)[0]), 0o600);
    let no_backup = StorageConfig { backup_enabled: false, ..config.clone() };
    open(&no_backup, &path, NOW.plus(2 * DAY)).unwrap();
    assert_eq!(backups(&path).len(), 1);
    open(&config, &path, NOW.plus(2 * DAY)).unwrap();
    assert_eq!(backups(&path).len(), 2);

    let short = StorageConfig { retention_days: 3, ..config.clone() };
    let store = open(&short, &path, NOW.plus(4 * DAY)).unwrap();
    assert!(now(store.list()).unwrap().approvals.is_empty());
    assert_eq!(backups(&path).len(), 1, "the first is too old, and there is nothing to keep");

    let elsewhere = holder.0.join("elsewhere");
    let plain = StorageConfig {
        encryption_enabled: false,
        storage_path: Some(elsewhere.clone()),
        ..config.clone()
    };
    open(&plain, &path, NOW).unwrap();
    assert!(!FileStore::in_the_clear(&elsewhere).unwrap().is_encrypted());

    let memory = StorageConfig { storage_type: StorageType::Memory, ..config.clone() };
    let store = memory.open(&path, None, None, NOW).unwrap();
    put_into(&*store);
    assert!(now(memory.open(&path, None, None, NOW).unwrap().list()).unwrap().approvals.is_empty());

    let refused = |config: &StorageConfig, protection| {
        config.open(&path, protection, None, NOW).map(drop).unwrap_err().to_string()
    };
    assert!(refused(&config, None).contains("`encryption_enabled` wants a key"));
    let database = StorageConfig { storage_type: StorageType::Database, ..config.clone() };
    assert!(refused(&database, None).contains("give the client an `ApprovalStore`"));
    let both = StorageConfig { storage_path: Some("/x".into()), ..memory };
    assert!(refused(&both, None).contains("leave it out"));
    let tilde = StorageConfig { storage_path: Some("~/etdi".into()), ..config };
    assert!(refused(&tilde, Some(host(1))).contains("write it in full"));
    assert!(serde_json::from_str::<StorageConfig>(r#"{"path":"/x"}"#).is_err());
}

fn put_into(store: &dyn ApprovalStore) {
    now(store.put(approval("search"), None)).unwrap();
}

/// The head is read before every call, from a file that stays open. Whatever is done to what lies
/// under its name counts all the same.
#[test]
fn a_head_that_is_read_again_is_what_lies_under_its_name() {
    let scratch = Scratch::new();
    let disk = Disk::open(&scratch.0).unwrap();
    let path = scratch.0.join("head");
    let again = || disk.read_again("head", 4).unwrap();
    assert_eq!(again(), None);
    disk.write("head", b"first").unwrap();
    assert_eq!(again().as_deref(), Some(&b"firs"[..]));
    // Written in place, within the same tick of the clock and as long as before.
    fs::write(&path, "First").unwrap();
    assert_eq!(again().as_deref(), Some(&b"Firs"[..]));
    // Another in its place, as our own writers put it there.
    disk.write("head", b"next!").unwrap();
    assert_eq!(again().as_deref(), Some(&b"next"[..]));
    // Another directory in place of the whole one, while the old file lives on elsewhere.
    let aside = Scratch::new();
    fs::rename(&scratch.0, &aside.0).unwrap();
    assert_eq!(again(), None);
    fs::create_dir(&scratch.0).unwrap();
    fs::copy(aside.0.join("head"), &path).unwrap();
    fs::write(&path, "else").unwrap();
    assert_eq!(again().as_deref(), Some(&b"else"[..]));
    // A link to the very file that is open is a link.
    fs::rename(&path, scratch.0.join("moved")).unwrap();
    symlink(scratch.0.join("moved"), &path).unwrap();
    assert!(matches!(disk.read_again("head", 4), Err(StoreError::Corrupt { .. })));
    fs::remove_file(&path).unwrap();
    fs::rename(scratch.0.join("moved"), &path).unwrap();
    assert_eq!(again().as_deref(), Some(&b"else"[..]));
    // Others may read it.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(disk.read_again("head", 4), Err(StoreError::Exposed { .. })));
    fs::remove_file(&path).unwrap();
    assert_eq!(again(), None);
}
