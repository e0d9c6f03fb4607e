//! What the file store keeps, and what it refuses.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicU32, Ordering};

use super::head::{Head, Line};
use super::vault::MAX_RECORD_BYTES;
use super::*;
use crate::approval::{Facts, Given, Granted, Reason, SignedBy, Standing};
use crate::approval::{approval_store_contract, approval_store_of_nodes_contract};
use crate::definition::RawTool;
use crate::digest::Digest;
use crate::key::KeyId;
use crate::level::SecurityLevel;
use crate::proof::Trust;

mod faults;
mod keep;
mod model;

const NOW: UnixTime = UnixTime(1_767_323_045);

/// A directory of its own for one test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("etdi-store-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn open(&self) -> FileStore {
        FileStore::in_the_clear(&self.0).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// The files of records whose name starts so.
    fn records(&self, prefix: &str) -> Vec<PathBuf> {
        let starts =
            |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(prefix);
        self.files().into_iter().filter(starts).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a file store has nothing to wait for"),
    }
}

fn key(tool: &str) -> ApprovalKey {
    ApprovalKey::new("pkg:cargo/notes", Some("https://acme.example".into()), tool)
}

fn kid() -> KeyId {
    KeyId::from_bytes([1; 32])
}

fn approval(tool: &str) -> Approval {
    let text = format!(r#"{{"name":"{tool}","inputSchema":{{}}}}"#);
    let tool = RawTool::read(&text).unwrap();
    let standing = Standing::Verified {
        issuer: "https://acme.example".parse().unwrap(),
        name: None,
        by: SignedBy::new(kid(), vec![Digest::of_bytes(b"jws")]),
        trust: Trust::Configured,
        digest: tool.digest(),
    };
    let facts = Facts::new("pkg:cargo/notes", tool.definition(), &standing);
    let given = Given::new(Granted::All, "tester", Reason::NotApproved);
    Approval::new(&facts, given, SecurityLevel::Enhanced, NOW)
}

fn put(store: &FileStore, tool: &str, expected: Option<u64>) -> Approval {
    now(store.put(approval(tool), expected)).unwrap()
}

fn seen(version: &str) -> [Seen; 1] {
    [Seen::new("search", "https://acme.example", kid(), Some(version.into()))]
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Writes in place: thousands of files that are truncated first take a file system minutes.
fn overwrite(path: &Path, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// As two programs of one user have it open.
#[test]
fn two_handles_keep_the_contract_of_nodes() {
    let scratch = Scratch::new();
    let (one, other) = (scratch.open(), scratch.open());
    now(approval_store_of_nodes_contract(&[&one, &other])).unwrap();
    assert_eq!(scratch.files(), [scratch.0.join("head"), scratch.0.join("lock")]);
}

#[test]
fn keeps_the_contract_and_its_files_to_itself() {
    let scratch = Scratch::new();
    let store = scratch.open();
    now(approval_store_contract(&store)).unwrap();
    assert_eq!(scratch.files(), [scratch.0.join("head"), scratch.0.join("lock")]);

    put(&store, "search", None);
    now(store.remember("s", &seen("1.0.0"), NOW)).unwrap();
    assert_eq!(scratch.files().len(), 4);
    assert_eq!(mode(&scratch.0), 0o700);
    for file in scratch.files() {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
    assert!(store.strangers().unwrap().is_empty());
}

#[test]
fn another_process_reads_what_was_written() {
    let scratch = Scratch::new();
    let (one, two) = (scratch.open(), scratch.open());
    let first = put(&one, "search", None);
    assert_eq!(now(two.get(&key("search"))).unwrap(), Some(first.clone()));
    let second = put(&two, "search", Some(first.generation));
    assert_eq!(now(one.get(&key("search"))).unwrap(), Some(second));
    assert_eq!(now(one.generation()).unwrap(), 2);
    assert_eq!(now(scratch.open().generation()).unwrap(), 2);
}

/// Whatever is done to one file, what it held is an error afterwards and never approved.
#[test]
fn a_file_cut_or_flipped_anywhere_approves_nothing() {
    let scratch = Scratch::new();
    let store = scratch.open();
    put(&store, "search", None);
    put(&store, "other", None);
    let name = approval_name(&key("search"));
    let record = scratch.records(&name).remove(0);
    let refused = |what: &str| match FileStore::in_the_clear(&scratch.0) {
        Err(StoreError::Corrupt { .. }) => {}
        Err(error) => panic!("{what}: {error}"),
        Ok(store) => {
            let found = now(store.get(&key("search")));
            assert!(matches!(found, Err(StoreError::Corrupt { .. })), "{what}: {found:?}");
            let listing = now(store.list()).unwrap();
            assert_eq!(listing.faults.len(), 1, "{what}");
            assert!(listing.approvals.iter().all(|approval| approval.key.tool == "other"));
        }
    };
    for path in [record, scratch.0.join("head")] {
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            overwrite(&path, &whole[..cut]);
            refused(&format!("{path:?} cut at {cut}"));
        }
        for byte in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[byte] ^= 1 << bit;
                overwrite(&path, &flipped);
                refused(&format!("{path:?} byte {byte} bit {bit}"));
            }
        }
        overwrite(&path, &[&whole[..], b" "].concat());
        refused("longer");
        overwrite(&path, &whole);
    }
    assert!(now(scratch.open().get(&key("search"))).unwrap().is_some());
}

#[test]
fn swapped_files_approve_nothing() {
    let scratch = Scratch::new();
    let store = scratch.open();
    put(&store, "search", None);
    put(&store, "delete_all", None);
    let records = scratch.records(APPROVAL);
    let (a, b) = (fs::read(&records[0]).unwrap(), fs::read(&records[1]).unwrap());
    fs::write(&records[0], &b).unwrap();
    fs::write(&records[1], &a).unwrap();
    for tool in ["search", "delete_all"] {
        assert!(matches!(now(store.get(&key(tool))), Err(StoreError::Corrupt { .. })));
    }

    // Not even with names and a head that were written to match.
    let bytes = fs::read(scratch.0.join("head")).unwrap();
    let line = Line::read(Kind::Approvals, &bytes).unwrap();
    let mut head = Head::of(line, Kind::Approvals, None).unwrap();
    let names: Vec<_> = head.body.records.keys().cloned().collect();
    let file = |name: &str, generation| format!("{name}.{generation}.json");
    let (one, two) = (head.body.records[&names[0]], head.body.records[&names[1]]);
    let contents = if records[0].to_str().unwrap().contains(&names[0]) { [a, b] } else { [b, a] };
    write(&scratch.0.join(file(&names[0], two.generation)), &contents[1]);
    write(&scratch.0.join(file(&names[1], one.generation)), &contents[0]);
    head.body.records.insert(names[0].clone(), two);
    head.body.records.insert(names[1].clone(), one);
    head.generation += 1;
    let bytes = head::encode(Kind::Approvals, head.generation, &head.body, None).unwrap();
    fs::write(scratch.0.join("head"), bytes).unwrap();
    let store = scratch.open();
    for tool in ["search", "delete_all"] {
        let error = now(store.get(&key(tool))).unwrap_err();
        assert!(error.to_string().contains("belongs to another approval"), "{error}");
    }
    let listing = now(store.list()).unwrap();
    assert_eq!((listing.approvals.len(), listing.faults.len()), (0, 2));
}

#[test]
fn an_older_record_does_not_come_back() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let first = put(&store, "search", None);
    let old = scratch.records(APPROVAL).remove(0);
    let bytes = fs::read(&old).unwrap();
    let second = put(&store, "search", Some(first.generation));
    let new = scratch.records(APPROVAL).remove(0);

    // Beside the present one it is a stranger.
    write(&old, &bytes);
    assert_eq!(now(store.get(&key("search"))).unwrap(), Some(second.clone()));
    assert_eq!(store.strangers().unwrap(), std::slice::from_ref(&old));
    // In its place it is a fault.
    fs::rename(&old, &new).unwrap();
    assert!(matches!(now(store.get(&key("search"))), Err(StoreError::Corrupt { .. })));
    // After a removal it is nobody's.
    assert!(store.discard(&key("search")).unwrap());
    write(&old, &bytes);
    assert_eq!(now(store.get(&key("search"))).unwrap(), None);
}

#[test]
fn an_older_copy_of_everything_is_refused_by_who_saw_the_newer() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let first = put(&store, "search", None);
    let copy: Vec<_> =
        scratch.files().into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    now(store.remove(&key("search"), first.generation)).unwrap();
    for (bytes, path) in copy {
        write(&path, &bytes);
    }
    for _ in 0..2 {
        let found = now(store.get(&key("search")));
        assert!(matches!(found, Err(StoreError::RolledBack { seen: 2, found: 1 })), "{found:?}");
    }
    assert!(matches!(now(store.generation()), Err(StoreError::RolledBack { .. })));
    assert!(matches!(now(store.put(approval("x"), None)), Err(StoreError::RolledBack { .. })));
    // Without a secret a new process cannot know; the module says so.
    assert!(now(scratch.open().get(&key("search"))).unwrap().is_some());
}

#[test]
fn another_history_of_the_same_length_is_refused() {
    let scratch = Scratch::new();
    let store = scratch.open();
    put(&store, "search", None);
    let other = Scratch::new();
    put(&other.open(), "delete_all", None);
    fs::copy(other.0.join("head"), scratch.0.join("head")).unwrap();
    assert!(matches!(now(store.get(&key("search"))), Err(StoreError::Corrupt { .. })));
}

#[test]
fn strangers_count_for_nothing() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let stored = put(&store, "search", None);
    let record = scratch.records(APPROVAL).remove(0);
    let name = approval_name(&key("search"));
    let other = approval_name(&key("delete_all"));
    fs::copy(&record, scratch.0.join(format!("{name}.9.json"))).unwrap();
    fs::copy(&record, scratch.0.join(format!("{other}.1.json"))).unwrap();
    fs::write(scratch.0.join("new"), "half of somethi").unwrap();
    fs::write(scratch.0.join("notes.txt"), "hello").unwrap();
    fs::write(scratch.0.join(".key"), "secret").unwrap();
    fs::write(scratch.0.join(OsString::from_vec(b"\xff\xfe.json".to_vec())), "x").unwrap();
    fs::create_dir(scratch.0.join("approval-dir.1.json")).unwrap();
    symlink("/etc/passwd", scratch.0.join("approval-link.1.json")).unwrap();

    for store in [store, scratch.open()] {
        assert_eq!(now(store.get(&key("search"))).unwrap(), Some(stored.clone()));
        assert_eq!(now(store.get(&key("delete_all"))).unwrap(), None);
        let listing = now(store.list()).unwrap();
        assert_eq!((listing.approvals.len(), listing.faults.len()), (1, 0));
        assert_eq!(store.strangers().unwrap().len(), 8);
    }
    // A planted file gives way to a write and is not taken over.
    let store = scratch.open();
    put(&store, "delete_all", None);
    assert_eq!(now(store.get(&key("delete_all"))).unwrap().unwrap().key, key("delete_all"));
    assert_eq!(store.strangers().unwrap().len(), 7, "only `new` is gone");
}

#[test]
fn a_record_must_be_an_ordinary_file_of_the_owner() {
    let scratch = Scratch::new();
    let store = scratch.open();
    put(&store, "search", None);
    let record = scratch.records(APPROVAL).remove(0);
    let aside = scratch.0.join("aside");

    fs::set_permissions(&record, fs::Permissions::from_mode(0o644)).unwrap();
    let found = now(store.get(&key("search")));
    assert!(matches!(found, Err(StoreError::Exposed { mode: 0o644, wanted: 0o600, .. })));
    fs::set_permissions(&record, fs::Permissions::from_mode(0o600)).unwrap();

    fs::rename(&record, &aside).unwrap();
    assert!(matches!(now(store.get(&key("search"))), Err(StoreError::Corrupt { .. })));
    symlink(&aside, &record).unwrap();
    assert!(matches!(now(store.get(&key("search"))), Err(StoreError::Corrupt { .. })));
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    assert!(matches!(now(store.get(&key("search"))), Err(StoreError::Corrupt { .. })));
    fs::remove_dir(&record).unwrap();
    fs::rename(&aside, &record).unwrap();
    assert!(now(store.get(&key("search"))).unwrap().is_some());

    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o750)).unwrap();
    let error = FileStore::in_the_clear(&scratch.0).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` is open to other users (mode 750), take their rights away with `chmod 700`",
            scratch.0.display()
        )
    );
}

/// Needs a user who may give files away; others cannot enter the directory of somebody else.
#[test]
fn a_directory_of_somebody_else_is_refused() {
    let scratch = Scratch::new();
    put(&scratch.open(), "search", None);
    if std::os::unix::fs::chown(&scratch.0, Some(65_534), None).is_err() {
        return;
    }
    let error = FileStore::in_the_clear(&scratch.0).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { owner: 65_534, user: 0, .. }), "{error}");
}

/// A head with a good digest, of whoever can write a store in the clear.
#[test]
fn a_head_that_names_a_record_from_the_future_is_refused() {
    let mut body = head::Body::default();
    for (generation, opens) in [(5, true), (6, false)] {
        let entry = Entry { generation, digest: Digest::of_bytes(b""), place: None };
        body.records.insert("approval-x".to_owned(), entry);
        let bytes = head::encode(Kind::Approvals, 5, &body, None).unwrap();
        let scratch = Scratch::new();
        drop(scratch.open());
        write(&scratch.0.join("head"), &bytes);
        let opened = FileStore::in_the_clear(&scratch.0);
        assert_eq!(opened.is_ok(), opens, "{opened:?}");
    }
}

#[test]
fn a_lost_head_is_not_an_empty_store() {
    let scratch = Scratch::new();
    let store = scratch.open();
    put(&store, "search", None);
    fs::remove_file(scratch.0.join("head")).unwrap();
    assert!(matches!(now(store.get(&key("search"))), Err(StoreError::Corrupt { .. })));
    assert!(matches!(now(store.put(approval("x"), None)), Err(StoreError::Corrupt { .. })));
    assert!(matches!(FileStore::in_the_clear(&scratch.0), Err(StoreError::Corrupt { .. })));
    assert_eq!(scratch.records(APPROVAL).len(), 1, "nothing is cleared away");
}

#[test]
fn a_damaged_record_can_be_discarded_and_approved_again() {
    let scratch = Scratch::new();
    let store = scratch.open();
    put(&store, "search", None);
    fs::write(scratch.records(APPROVAL).remove(0), "{}").unwrap();
    let error = now(store.get(&key("search"))).unwrap_err();
    assert!(error.to_string().contains("discard it and approve the tool again"), "{error}");
    // A write that has seen nothing does not paper over it.
    assert!(matches!(now(store.put(approval("search"), None)), Err(StoreError::Conflict { .. })));
    assert!(store.discard(&key("search")).unwrap());
    assert!(!store.discard(&key("search")).unwrap());
    put(&store, "search", None);
}

/// Cuts each kind of write at each of its steps: afterwards the state is the one before or the one
/// after, whole, and the next write succeeds.
#[test]
fn a_write_that_is_cut_anywhere_leaves_the_old_state_or_the_new() {
    type Write = fn(&FileStore, u64) -> Result<(), StoreError>;
    let writes: [Write; 4] = [
        |store, _| now(store.put(approval("new"), None)).map(drop),
        |store, generation| {
            let changed = Approval { note: Some("changed".into()), ..approval("search") };
            now(store.put(changed, Some(generation))).map(drop)
        },
        |store, generation| now(store.remove(&key("search"), generation)),
        |store, _| now(store.remember("s", &seen("2.0.0"), NOW)).map(drop),
    ];
    let state = |store: &FileStore| {
        let listing = now(store.list()).unwrap();
        assert!(listing.faults.is_empty());
        (listing.approvals, now(store.memory("s")).unwrap())
    };
    for (kind, write) in writes.into_iter().enumerate() {
        let mut cuts = 0;
        for cut in 0.. {
            let scratch = Scratch::new();
            let store = scratch.open();
            let generation = put(&store, "search", None).generation;
            now(store.remember("s", &seen("1.0.0"), NOW)).unwrap();
            let before = state(&store);
            disk::FAULT.set(Some(cut));
            let result = write(&store, generation);
            disk::FAULT.set(None);
            let after = state(&store);
            assert_eq!(state(&scratch.open()), after, "kind {kind} cut {cut}");
            if result.is_ok() {
                assert_ne!(after, before);
                if cut > cuts + 1 {
                    break;
                }
                continue;
            }
            cuts += 1;
            if after == before {
                write(&store, generation).unwrap();
            }
            put(&store, "next", None);
            // A record that was replaced may be left over, as a stranger.
            let left = store.strangers().unwrap().len();
            assert!(left <= usize::from(after != before), "kind {kind} cut {cut}: {left}");
        }
        assert!(cuts >= 6, "kind {kind} was cut {cuts} times");
    }
}

#[test]
fn a_held_lock_is_an_error_and_not_a_hang() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let _held = store.vault.files().lock().unwrap();
    assert!(matches!(now(store.put(approval("x"), None)), Err(StoreError::Busy)));
    // Readers need no lock.
    assert_eq!(now(store.get(&key("x"))).unwrap(), None);
}

#[test]
fn no_write_of_many_threads_and_processes_is_lost() {
    let scratch = Scratch::new();
    put(&scratch.open(), "search", None);
    let shared = scratch.open();
    let count = |store: &FileStore| {
        for _ in 0..5 {
            loop {
                let old = now(store.get(&key("search"))).unwrap().unwrap();
                let number = old.note.as_deref().map_or(0, |note| note.parse::<u32>().unwrap());
                let new = Approval { note: Some((number + 1).to_string()), ..old.clone() };
                match now(store.put(new, Some(old.generation))) {
                    Ok(_) => break,
                    Err(StoreError::Conflict { .. } | StoreError::Busy) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| count(&shared));
            scope.spawn(|| count(&scratch.open()));
        }
    });
    let last = now(shared.get(&key("search"))).unwrap().unwrap();
    assert_eq!(last.note.as_deref(), Some("20"));
    assert!(shared.strangers().unwrap().is_empty());
}

#[test]
fn too_much_is_refused() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let huge = Approval { definition: "x".repeat(MAX_RECORD_BYTES), ..approval("x") };
    assert!(matches!(now(store.put(huge, None)), Err(StoreError::Full { .. })));
    put(&store, "search", None);
    let record = scratch.records(APPROVAL).remove(0);
    fs::write(&record, vec![b' '; MAX_RECORD_BYTES + 1]).unwrap();
    assert!(matches!(now(store.get(&key("search"))), Err(StoreError::Corrupt { .. })));
}

/// Whoever owns the directory and knew the name of the file by which this process learns who it is
/// could put one of their own there.
#[test]
fn nobody_knows_by_which_file_an_owner_is_known() {
    let scratch = Scratch::new();
    for opened in 1..=3 {
        // It is left behind, so that its name is known afterwards.
        disk::FAULT.set(Some(0));
        let disk = disk::Disk::open(&scratch.0);
        disk::FAULT.set(None);
        disk.unwrap();
        let probes = scratch.records("owner.");
        assert_eq!(probes.len(), opened, "and it is another one each time: {probes:?}");
    }
}
