//! Power cuts, full disks, lost keys, foreign and old copies: nothing in doubt counts.

use std::sync::{Arc, Mutex};

use super::super::memory_files::MemoryFiles;
use super::super::vault::{Options, Vault};
use super::*;
use crate::approval::{Approvals, NoApprover, Withdrawn};
use crate::audit::MemoryAuditor;
use crate::level::Policy;
use crate::secret::{
    Keychain, MemoryKeychain, PassphraseCost, ProtectionError, SealingKey, SecretStore,
};

fn host(byte: u8) -> Protection {
    Protection::key(SealingKey::from_bytes([byte; 32]))
}

fn over(files: &MemoryFiles, options: FileStoreOptions) -> Result<FileStore, StoreError> {
    let vault = Vault::over(Box::new(files.clone()), Kind::Approvals, options.options)?;
    Ok(FileStore { vault })
}

fn plain() -> FileStoreOptions {
    FileStore::options().in_the_clear()
}

fn sealed() -> FileStoreOptions {
    plain().protection(host(1))
}

type State = (Vec<Approval>, Option<ServerMemory>);

/// All that a store says, without the generations.
fn state(store: &FileStore) -> State {
    let listing = now(store.list()).unwrap();
    assert!(listing.faults.is_empty(), "{:?}", listing.faults);
    let plain = |one: Approval| Approval { generation: 0, ..one };
    (listing.approvals.into_iter().map(plain).collect(), now(store.memory("s")).unwrap())
}

/// Cuts each kind of write, of a plain store and of an encrypted one, at each of its bytes and
/// steps: afterwards the state is the one before or the one after, for this process and for the
/// next, and the next write succeeds.
#[test]
fn a_write_that_is_cut_at_any_byte_leaves_the_old_state_or_the_new() {
    type Write = fn(&FileStore, u64) -> Result<(), StoreError>;
    let writes: [(&str, Write); 10] = [
        ("put", |store, _| now(store.put(approval("new"), None)).map(drop)),
        ("replace", |store, generation| {
            let withdrawn = Some(Withdrawn::new(NOW, "ada"));
            let changed = Approval { withdrawn, ..approval("search") };
            now(store.put(changed, Some(generation))).map(drop)
        }),
        ("together", |store, generation| {
            let withdrawn = Some(Withdrawn::new(NOW, "ada"));
            let changed = Approval { withdrawn, ..approval("search") };
            let several = [(changed, Some(generation)), (approval("one"), None)];
            now(store.put_all([several.to_vec(), vec![(approval("two"), None)]].concat())).map(drop)
        }),
        ("part of what was together", |store, _| {
            let current = now(store.get(&key("both"))).unwrap().unwrap().generation;
            now(store.remove(&key("both"), current))
        }),
        ("remove", |store, generation| now(store.remove(&key("search"), generation))),
        ("remember", |store, _| now(store.remember("s", &seen("2.0.0"), NOW)).map(drop)),
        ("observe", |store, _| now(store.observe(NOW, true))),
        ("rotate", |store, _| store.rotate_key()),
        ("protect", |store, _| store.protect(host(1))),
        ("encrypt", |store, _| store.encrypt(host(1))),
    ];
    for (options, name) in [(plain(), "plain"), (sealed(), "sealed")] {
        for (kind, write) in writes {
            let rekeys = matches!(kind, "rotate" | "protect");
            if rekeys && name == "plain" || kind == "encrypt" && name == "sealed" {
                continue;
            }
            let files = MemoryFiles::default();
            let store = over(&files, options.clone()).unwrap();
            let generation = put(&store, "search", None).generation;
            let both = ["both", "twin"].map(|tool| (approval(tool), None));
            now(store.put_all(both.to_vec())).unwrap();
            now(store.remember("s", &seen("1.0.0"), NOW)).unwrap();
            let (start, before) = (files.snapshot(), state(&store));
            let mut cuts = 0_usize;
            loop {
                files.restore(&start);
                let store = over(&files, options.clone()).unwrap();
                files.cut_after(Some(cuts));
                let result = write(&store, generation);
                let cut = files.is_cut();
                files.cut_after(None);
                let after = state(&store);
                let next = over(&files, options.clone()).or_else(|_| over(&files, sealed()));
                let what = format!("{name} {kind} cut at {cuts}: {result:?}");
                assert_eq!(state(&next.unwrap()), after, "{what}");
                // Each seventh is enough for what is the same after all of them.
                let go_on = cuts.is_multiple_of(7) || !cut;
                if go_on && result.is_err() && after == before {
                    let current = now(store.get(&key("search"))).unwrap().unwrap().generation;
                    write(&store, current).expect(&what);
                }
                if go_on {
                    put(&store, "next", None);
                }
                if !cut {
                    result.expect(&what);
                    break;
                }
                cuts += 1;
            }
            assert!(cuts > 300, "{name} {kind} was cut {cuts} times");
        }
    }
}

/// Counts how often the mark was moved.
#[derive(Debug)]
struct Counted(KeychainAnchor, Mutex<usize>);

impl Anchor for Counted {
    fn read(&self) -> Result<Option<String>, StoreError> {
        self.0.read()
    }

    fn write(&self, mark: &str) -> Result<(), StoreError> {
        *self.1.lock().unwrap() += 1;
        self.0.write(mark)
    }

    fn place(&self) -> String {
        self.0.place()
    }
}

#[test]
fn approvals_that_are_stored_together_are_one_file_one_head_and_one_mark() {
    for options in [plain(), sealed()] {
        let anchor = KeychainAnchor::new(Arc::new(MemoryKeychain::new()), "approvals");
        let anchor = Arc::new(Counted(anchor, Mutex::default()));
        let files = MemoryFiles::default();
        let store = over(&files, options.anchor(anchor.clone())).unwrap();
        let (before, moved) = (store.vault.generation().unwrap(), *anchor.1.lock().unwrap());
        let there = files.snapshot().len();
        let tools: Vec<String> = (0..100).map(|number| format!("tool {number}")).collect();
        let all = tools.iter().map(|tool| (approval(tool), None)).collect();
        let stored = now(store.put_all(all)).unwrap();
        assert!(stored.iter().all(|one| one.generation == before + 1));
        assert_eq!(store.vault.generation().unwrap(), before + 1);
        assert_eq!(*anchor.1.lock().unwrap(), moved + 1);
        assert_eq!(files.snapshot().len(), there + 1);
        assert_eq!(now(store.list()).unwrap().approvals.len(), 100);

        // The file stays as long as one of them counts, and goes with the last.
        for one in &stored {
            assert_eq!(files.snapshot().len(), there + 1);
            assert_eq!(now(store.get(&one.key)).unwrap().as_ref(), Some(one));
            now(store.remove(&one.key, one.generation)).unwrap();
        }
        assert_eq!(files.snapshot().len(), there);
        assert!(store.strangers().unwrap().is_empty());
    }
}

/// Two approvals of one file, each put in the other's place, and each with a bit turned.
#[test]
fn approvals_that_share_a_file_are_apart_in_it() {
    for options in [plain(), sealed()] {
        let files = MemoryFiles::default();
        let store = over(&files, options.clone()).unwrap();
        let both = ["aaaa", "bbbb"].map(|tool| (approval(tool), None));
        now(store.put_all(both.to_vec())).unwrap();
        let whole = files.snapshot();
        let shared = whole.keys().find(|name| name.starts_with("several.")).unwrap().clone();
        let half = whole[&shared].len() / 2;
        files.change(|files| files.get_mut(&shared).unwrap().rotate_left(half));
        for store in [&store, &over(&files, options.clone()).unwrap()] {
            assert_eq!(now(store.list()).unwrap().faults.len(), 2);
        }
        files.restore(&whole);
        files.change(|files| files.get_mut(&shared).unwrap()[half + 9] ^= 1);
        let listing = now(store.list()).unwrap();
        assert_eq!((listing.approvals.len(), listing.faults.len()), (1, 1));
        files.restore(&whole);
        files.change(|files| files.get_mut(&shared).unwrap().truncate(half));
        assert_eq!(now(store.list()).unwrap().faults.len(), 1);
        assert!(store.discard(&key("bbbb")).unwrap());
        assert!(now(store.list()).unwrap().faults.is_empty());
        // Without its head the file is not taken for an empty store.
        files.change(|files| drop(files.remove("head")));
        assert!(matches!(over(&files, options), Err(StoreError::Corrupt { .. })));
    }
}

#[test]
fn a_full_disk_refuses_what_is_new_and_keeps_what_was_approved() {
    let files = MemoryFiles::default();
    let store = Arc::new(over(&files, sealed()).unwrap());
    let auditor = Arc::new(MemoryAuditor::default());
    let approvals = Approvals::new(Policy::basic(), store.clone(), Arc::new(NoApprover), auditor);
    let stored = put(&store, "search", None);
    now(store.observe(NOW, true)).unwrap();
    files.cut_after(Some(0));
    assert_eq!(now(store.get(&key("search"))).unwrap(), Some(stored.clone()));
    let error = now(store.put(approval("new"), None)).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    let withdrawn = now(approvals.withdraw(&key("search"), Withdrawn::new(NOW, "ada")));
    assert!(withdrawn.is_err(), "nobody is told that it was withdrawn");
    // An hour later the time itself cannot be noted any more, and nothing counts.
    assert!(now(store.observe(NOW.plus(4_000), false)).is_err());
    files.cut_after(None);
    assert_eq!(now(store.get(&key("search"))).unwrap(), Some(stored));
    now(store.observe(NOW.plus(4_000), false)).unwrap();
}

#[test]
fn a_key_that_cannot_be_had_approves_nothing_and_says_what_to_do() {
    let files = MemoryFiles::default();
    put(&over(&files, sealed()).unwrap(), "search", None);
    let start = files.snapshot();
    let refused = |what: &str, options: FileStoreOptions| match over(&files, options) {
        Ok(_) => panic!("{what} opened"),
        Err(error) => error.to_string(),
    };
    assert_eq!(refused("no key", plain()), "`/memory` is encrypted, open it with the host's key");
    assert_eq!(
        refused("another key", plain().protection(host(2))),
        "the host's key does not open the store, give the one that it was encrypted with; when \
         that is lost, move the directory away and approve or log in again"
    );
    let cheap = PassphraseCost::new(8 << 10, 1, 1).unwrap();
    let phrase = plain().protection(Protection::passphrase_costing("x", cheap));
    assert_eq!(
        refused("a passphrase", phrase),
        "the store is protected by the host's key and not by the passphrase, open it with the \
         host's key"
    );
    let wrapped = start.keys().find(|name| name.starts_with("key.")).unwrap();
    files.change(|files| drop(files.remove(wrapped)));
    assert_eq!(
        refused("a lost key record", sealed()),
        "the store's key record is gone, restore it from a backup or move the directory away and \
         approve or log in again"
    );
    for byte in 0..start[wrapped].len() {
        files.restore(&start);
        files.change(|files| files.get_mut(wrapped).unwrap()[byte] ^= 1);
        refused(&format!("a key record flipped at {byte}"), sealed());
    }

    let chain: Arc<dyn Keychain> = Arc::new(MemoryKeychain::new());
    let files = MemoryFiles::default();
    let ring = |chain| plain().protection(Protection::keychain(chain));
    put(&over(&files, ring(chain.clone())).unwrap(), "search", None);
    assert!(now(over(&files, ring(chain)).unwrap().get(&key("search"))).unwrap().is_some());
    let empty: Arc<dyn Keychain> = Arc::new(MemoryKeychain::new());
    let error = over(&files, ring(empty)).unwrap_err();
    let missing = matches!(error, StoreError::Protection(ProtectionError::NoEntry { .. }));
    assert!(missing, "{error}");
}

/// The attack on a plain store that the encrypted one is there for: who may write the directory
/// makes an approval. It works on the one and not on the other.
#[test]
fn whoever_can_write_the_directory_and_has_no_key_approves_nothing() {
    let forged = MemoryFiles::default();
    put(&over(&forged, plain()).unwrap(), "delete_all", None);
    let plain_store = MemoryFiles::default();
    over(&plain_store, plain()).unwrap();
    plain_store.restore(&forged.snapshot());
    let approved = over(&plain_store, plain()).unwrap();
    assert!(now(approved.get(&key("delete_all"))).unwrap().is_some(), "plain stores are forged");

    let files = MemoryFiles::default();
    let store = over(&files, sealed()).unwrap();
    put(&store, "search", None);
    files.restore(&forged.snapshot());
    assert!(matches!(over(&files, sealed()), Err(StoreError::NotEncrypted { .. })));
    assert!(now(store.get(&key("delete_all"))).is_err());
    let theirs = MemoryFiles::default();
    put(&over(&theirs, plain().protection(host(9))).unwrap(), "delete_all", None);
    files.restore(&theirs.snapshot());
    assert!(matches!(over(&files, sealed()), Err(StoreError::Protection(_))));
    assert!(now(store.get(&key("delete_all"))).is_err());
}

#[test]
fn swapped_and_renamed_files_of_an_encrypted_store_approve_nothing() {
    let files = MemoryFiles::default();
    let store = over(&files, sealed()).unwrap();
    put(&store, "search", None);
    put(&store, "delete_all", None);
    let names: Vec<String> =
        files.snapshot().into_keys().filter(|name| name.ends_with(".sealed")).collect();
    assert!(names.iter().all(|name| !name.contains("approval")), "names say nothing");
    files.change(|files| {
        let (one, two) = (files[&names[0]].clone(), files[&names[1]].clone());
        files.insert(names[0].clone(), two);
        files.insert(names[1].clone(), one);
    });
    for store in [store, over(&files, sealed()).unwrap()] {
        for tool in ["search", "delete_all"] {
            assert!(matches!(now(store.get(&key(tool))), Err(StoreError::Corrupt { .. })));
        }
        assert_eq!(now(store.list()).unwrap().faults.len(), 2);
    }
}

/// An old backup of everything, put back. Without a mark outside the directory it is taken (the
/// module says so); with one it is refused, until an operator takes it knowingly.
#[test]
fn an_old_backup_put_back_is_refused_by_the_mark_outside() {
    for options in [plain(), sealed()] {
        let chain: Arc<dyn Keychain> = Arc::new(MemoryKeychain::new());
        let anchor: Arc<dyn Anchor> = Arc::new(KeychainAnchor::new(chain.clone(), "approvals"));
        let anchored = options.clone().anchor(anchor.clone());
        let files = MemoryFiles::default();
        let store = over(&files, anchored.clone()).unwrap();
        let first = put(&store, "search", None);
        let (backup, old_mark) = (files.snapshot(), anchor.read().unwrap().unwrap());
        now(store.remove(&key("search"), first.generation)).unwrap();
        let (newest, mark) = (files.snapshot(), anchor.read().unwrap().unwrap());

        files.restore(&backup);
        let error = over(&files, anchored.clone()).unwrap_err();
        assert!(matches!(error, StoreError::RolledBack { .. }), "{error}");
        // Nor without the mark, nor with a mark that is gone, nor when nothing is left at all.
        let error = over(&files, options.clone()).unwrap_err();
        assert!(matches!(error, StoreError::Anchor { .. }), "{error}");
        chain.delete("etdi anchor approvals").unwrap();
        let error = over(&files, anchored.clone()).unwrap_err();
        assert!(error.to_string().contains("is gone"), "{error}");
        anchor.write(&mark).unwrap();
        files.change(|files| files.clear());
        assert!(matches!(over(&files, anchored.clone()), Err(StoreError::RolledBack { .. })));
        files.restore(&newest);
        assert_eq!(now(over(&files, anchored.clone()).unwrap().get(&key("search"))).unwrap(), None);

        // A mark that is lowered by hand is found out where the store is encrypted.
        files.restore(&backup);
        let lowered = {
            let mut words: Vec<&str> = mark.split(' ').collect();
            words[3] = "1";
            words.join(" ")
        };
        anchor.write(&lowered).unwrap();
        let found = over(&files, anchored.clone());
        match options.options.protection {
            Some(_) => assert!(matches!(found, Err(StoreError::Anchor { .. })), "{found:?}"),
            None => assert!(found.is_ok()),
        }
        // An old mark together with an old copy is noticed by nobody; hence the keyring.
        files.restore(&backup);
        anchor.write(&old_mark).unwrap();
        assert!(over(&files, anchored.clone()).is_ok());

        // Knowingly, and then it goes on above the newest that anybody has seen.
        files.restore(&backup);
        anchor.write(&mark).unwrap();
        let seen: u64 = mark.split(' ').nth(3).unwrap().parse().unwrap();
        let accepted = over(&files, anchored.clone().accept_restored()).unwrap();
        assert!(now(accepted.generation()).unwrap() > seen);
        assert!(now(over(&files, anchored).unwrap().get(&key("search"))).unwrap().is_some());
    }
}

#[test]
fn a_plain_store_of_the_first_format_is_read_and_encrypted_on_purpose() {
    let files = MemoryFiles::default();
    let store = over(&files, plain()).unwrap();
    let stored = put(&store, "search", None);
    // What the first format looked like.
    files.change(|files| {
        let name = files.keys().find(|name| name.starts_with("approval-")).unwrap().clone();
        let digest = Digest::of_bytes(&files[&name]);
        let record = name.strip_suffix(".1.json").unwrap();
        let body = format!(r#"{{"{record}":{{"generation":1,"digest":"{digest}"}}}}"#);
        let start = "etdi-approvals 1 1 ";
        let line = format!("{start}{}\n", Digest::of_bytes(format!("{start}{body}").as_bytes()));
        files.insert("head".to_owned(), format!("{line}{body}").into_bytes());
    });
    let store = over(&files, plain()).unwrap();
    assert_eq!(now(store.get(&key("search"))).unwrap(), Some(stored.clone()));
    assert!(matches!(over(&files, sealed()), Err(StoreError::NotEncrypted { .. })));
    assert!(!store.is_encrypted());
    store.encrypt(host(1)).unwrap();
    assert!(store.is_encrypted());
    assert!(over(&files, plain()).is_err());
    let again = over(&files, sealed()).unwrap();
    let found = now(again.get(&key("search"))).unwrap().unwrap();
    assert_eq!(Approval { generation: 1, ..found }, stored);
    let names: Vec<String> = files.snapshot().into_keys().collect();
    assert!(names.iter().all(|name| !name.ends_with(".json")), "{names:?}");
    assert!(again.strangers().unwrap().is_empty());
}

#[test]
fn a_clock_that_was_wrong_can_be_set_right() {
    let files = MemoryFiles::default();
    let store = over(&files, sealed()).unwrap();
    now(store.observe(NOW.plus(1_000_000_000), false)).unwrap();
    assert!(matches!(now(store.observe(NOW, false)), Err(StoreError::ClockBack { .. })));
    let again = over(&files, sealed()).unwrap();
    assert!(matches!(now(again.observe(NOW, false)), Err(StoreError::ClockBack { .. })));
    again.set_clock(NOW).unwrap();
    now(store.observe(NOW, false)).unwrap();
}

/// The contract holds for an encrypted store with a mark, and a store of secrets is none.
#[test]
fn an_encrypted_store_keeps_the_contract() {
    let files = MemoryFiles::default();
    let chain: Arc<dyn Keychain> = Arc::new(MemoryKeychain::new());
    let anchor: Arc<dyn Anchor> = Arc::new(KeychainAnchor::new(chain.clone(), "a"));
    let protection = Protection::keychain(chain);
    let store = over(&files, plain().protection(protection).anchor(anchor)).unwrap();
    now(approval_store_contract(&store)).unwrap();

    let scratch = Scratch::new();
    SecretStore::open(&scratch.0, host(1)).unwrap();
    let error = FileStore::options().protection(host(1)).open(&scratch.0).unwrap_err();
    assert!(error.to_string().contains("another kind"), "{error}");
    assert!(Options::default().protection.is_none());
}

/// The attack: whoever had the old data key goes on from an old copy, past the newest generation.
#[test]
fn the_old_data_key_makes_nothing_that_counts() {
    type Change = fn(&FileStore) -> Result<(), StoreError>;
    let changes: [Change; 2] = [|store| store.protect(host(2)), FileStore::rotate_key];
    for change in changes {
        let anchor = Arc::new(KeychainAnchor::new(Arc::new(MemoryKeychain::new()), "approvals"));
        let files = MemoryFiles::default();
        let store = over(&files, sealed().anchor(anchor.clone())).unwrap();
        let start = files.snapshot();
        change(&store).unwrap();
        drop(store);
        files.restore(&start);
        let forged = over(&files, sealed().accept_restored()).unwrap();
        for number in 0..9 {
            put(&forged, &format!("forged {number}"), None);
        }
        // It says that there is a mark, as the true one does.
        let other = Arc::new(KeychainAnchor::new(Arc::new(MemoryKeychain::new()), "approvals"));
        drop(over(&files, sealed().anchor(other).accept_restored()).unwrap());
        let refused = over(&files, sealed().anchor(anchor)).map(drop);
        assert!(matches!(refused, Err(StoreError::Anchor { .. })), "{refused:?}");
    }
}

/// A crash between the new data key and its mark locks nobody out.
#[test]
fn a_mark_of_the_key_before_still_counts_after_a_crash() {
    let anchor = Arc::new(KeychainAnchor::new(Arc::new(MemoryKeychain::new()), "approvals"));
    let files = MemoryFiles::default();
    let store = over(&files, sealed().anchor(anchor.clone())).unwrap();
    put(&store, "search", None);
    let mark = anchor.read().unwrap().unwrap();
    store.rotate_key().unwrap();
    anchor.write(&mark).unwrap();
    let store = over(&files, sealed().anchor(anchor.clone())).unwrap();
    put(&store, "next", None);
    drop(over(&files, sealed().anchor(anchor.clone())).unwrap());
    anchor.write(&mark).unwrap();
    assert!(over(&files, sealed().anchor(anchor)).is_err(), "only for so long");
}

/// A mark that fails when it is told to, and beside which another process is busy.
#[derive(Debug)]
struct Moody {
    mark: KeychainAnchor,
    fails: Mutex<bool>,
    other: Mutex<Option<FileStore>>,
}

impl Moody {
    fn new() -> Arc<Self> {
        let mark = KeychainAnchor::new(Arc::new(MemoryKeychain::new()), "approvals");
        Arc::new(Self { mark, fails: Mutex::default(), other: Mutex::default() })
    }
}

impl Anchor for Moody {
    fn read(&self) -> Result<Option<String>, StoreError> {
        let other = self.other.lock().unwrap().take();
        if let Some(other) = other {
            put(&other, "next", None);
        }
        self.mark.read()
    }

    fn write(&self, mark: &str) -> Result<(), StoreError> {
        match *self.fails.lock().unwrap() {
            true => Err(StoreError::Other { message: "the keyring is locked".to_owned() }),
            false => self.mark.write(mark),
        }
    }

    fn place(&self) -> String {
        self.mark.place()
    }
}

/// The attack: a folder that is synchronized, whose owner shows to one computer what another wrote
/// there under the same number. What was withdrawn here would count again.
#[test]
fn files_of_the_same_generation_are_told_apart() {
    let (here, mark) = (MemoryFiles::default(), Moody::new());
    let (there, other) = (MemoryFiles::default(), Moody::new());
    let store = over(&here, sealed().anchor(mark.clone())).unwrap();
    let first = put(&store, "search", None);
    there.restore(&here.snapshot());
    other.write(&mark.read().unwrap().unwrap()).unwrap();
    now(store.remove(&key("search"), first.generation)).unwrap();
    put(&over(&there, sealed().anchor(other)).unwrap(), "other", None);
    here.restore(&there.snapshot());
    let error = over(&here, sealed().anchor(mark)).unwrap_err();
    assert!(error.to_string().contains("of the same generation"), "{error}");
}

/// A mark that could not be written is brought up when the store is opened next, so that nobody undoes
/// what was written then; and so is one of the first format.
#[test]
fn a_mark_that_was_left_behind_is_brought_up() {
    let files = MemoryFiles::default();
    let anchor = Moody::new();
    let options = || sealed().anchor(anchor.clone());
    let store = over(&files, options()).unwrap();
    let first = put(&store, "search", None);
    let before = files.snapshot();
    *anchor.fails.lock().unwrap() = true;
    assert!(now(store.remove(&key("search"), first.generation)).is_err());
    *anchor.fails.lock().unwrap() = false;
    let newest = files.snapshot();
    let again = over(&files, options()).unwrap();
    assert_eq!(now(again.get(&key("search"))).unwrap(), None, "it was written");
    files.restore(&before);
    assert!(matches!(over(&files, options()), Err(StoreError::RolledBack { .. })));

    files.restore(&newest);
    drop(over(&files, options()).unwrap());

    let (files, anchor) = (MemoryFiles::default(), Moody::new());
    let options = || plain().anchor(anchor.clone());
    put(&over(&files, options()).unwrap(), "search", None);
    let mark = anchor.read().unwrap().unwrap();
    let words: Vec<&str> = mark.split(' ').collect();
    anchor.write(&format!("etdi-anchor 1 {} {} -", words[2], words[3])).unwrap();
    drop(over(&files, options()).unwrap());
    assert_eq!(anchor.read().unwrap().unwrap(), mark);
}

/// Another process writes between the look at the head and that at the mark: nothing was put back.
#[test]
fn a_store_that_is_written_while_it_is_opened_is_no_old_copy() {
    let files = MemoryFiles::default();
    let anchor = Moody::new();
    let options = || sealed().anchor(anchor.clone());
    let store = over(&files, options()).unwrap();
    put(&store, "search", None);
    *anchor.other.lock().unwrap() = Some(store);
    let opened = over(&files, options()).unwrap();
    assert!(now(opened.get(&key("next"))).unwrap().is_some());
}
