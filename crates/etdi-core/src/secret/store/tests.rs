//! Tests of the store on a real directory.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::{MemoryKeychain, PassphraseCost, SealingKey};
use super::*;
use crate::secret::ProtectionError;
use crate::store::{FileStore, KeychainAnchor};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("etdi-secret-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn host() -> Protection {
    Protection::key(SealingKey::from_bytes([7; 32]))
}

fn cheap(passphrase: &str) -> Protection {
    Protection::passphrase_costing(passphrase, PassphraseCost::new(8 << 10, 1, 1).unwrap())
}

#[test]
fn keeps_what_was_put_and_nothing_of_it_can_be_read_on_disk() {
    let scratch = Scratch::new("keeps");
    let store = SecretStore::open(&scratch.0, host()).unwrap();
    assert!(store.get("upstream").unwrap().is_none());
    store.put("upstream", &Secret::from("s3cr3t-value")).unwrap();
    store.put("other", &Secret::new(vec![0, 255, 10])).unwrap();
    store.put("upstream", &Secret::from("s3cr3t-newer")).unwrap();
    for store in [store, SecretStore::open(&scratch.0, host()).unwrap()] {
        assert_eq!(store.get("upstream").unwrap().unwrap().reveal(), b"s3cr3t-newer");
        assert_eq!(store.get("other").unwrap().unwrap().reveal(), [0, 255, 10]);
        assert_eq!(store.list().unwrap(), ["other", "upstream"]);
    }
    for entry in fs::read_dir(&scratch.0).unwrap() {
        let path = entry.unwrap().path();
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        for word in ["s3cr3t", "upstream", "czNjcjN0"] {
            assert!(!text.contains(word) && !path.to_string_lossy().contains(word), "{path:?}");
        }
    }
    let store = SecretStore::open(&scratch.0, host()).unwrap();
    assert!(store.delete("other").unwrap());
    assert!(!store.delete("other").unwrap());
    assert_eq!(store.list().unwrap(), ["upstream"]);
}

#[test]
fn refuses_other_keys_kinds_and_sizes() {
    let scratch = Scratch::new("refuses");
    let store = SecretStore::open(&scratch.0, host()).unwrap();
    store.put("a", &Secret::from("x")).unwrap();
    let other = Protection::key(SealingKey::from_bytes([8; 32]));
    let wrong = SecretStore::open(&scratch.0, other).unwrap_err();
    assert!(matches!(wrong, StoreError::Protection(ProtectionError::WrongKey { .. })));
    assert!(matches!(FileStore::in_the_clear(&scratch.0), Err(StoreError::Corrupt { .. })));
    let large = Secret::new(vec![0; MAX_SECRET_BYTES + 1]);
    assert!(matches!(store.put("a", &large), Err(StoreError::Full { .. })));
    assert!(matches!(
        store.put(&"n".repeat(513), &Secret::from("x")),
        Err(StoreError::Full { .. })
    ));
    store.put("a", &Secret::new(vec![0; MAX_SECRET_BYTES])).unwrap();
}

#[test]
fn a_new_key_and_a_new_passphrase_leave_the_secrets_as_they_are() {
    let scratch = Scratch::new("rotates");
    let store = SecretStore::open(&scratch.0, cheap("one")).unwrap();
    let waiting = SecretStore::open(&scratch.0, cheap("one")).unwrap();
    for number in 0..5 {
        store.put(&format!("name {number}"), &Secret::from(format!("secret {number}"))).unwrap();
    }
    let old: Vec<_> =
        fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().path()).collect();
    store.rotate_key().unwrap();
    let kept = old.iter().filter(|path| path.exists()).count();
    assert_eq!(kept, 2, "only the head and the lock keep their names");
    // A process that had it open goes on with the new key.
    assert_eq!(waiting.get("name 3").unwrap().unwrap().reveal(), b"secret 3");
    let key = || {
        let files = fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().path());
        files.into_iter().find(|path| path.file_stem().is_some_and(|name| name == "key")).unwrap()
    };
    let old = fs::read(key()).unwrap();
    store.protect(cheap("two")).unwrap();
    // What was wrapped by the old passphrase opens nothing in the place of what is now.
    let new = fs::read(key()).unwrap();
    fs::write(key(), old).unwrap();
    assert!(matches!(SecretStore::open(&scratch.0, cheap("one")), Err(StoreError::Corrupt { .. })));
    fs::write(key(), new).unwrap();
    assert_eq!(store.get("name 4").unwrap().unwrap().reveal(), b"secret 4");
    assert!(SecretStore::open(&scratch.0, cheap("one")).is_err());
    let again = SecretStore::open(&scratch.0, cheap("two")).unwrap();
    assert_eq!(again.list().unwrap().len(), 5);
    // Opening with a higher cost wraps the key anew.
    let dear = Protection::passphrase_costing("two", PassphraseCost::new(8 << 10, 2, 1).unwrap());
    let before = again.vault.generation().unwrap();
    let upgraded = SecretStore::open(&scratch.0, dear).unwrap();
    assert_eq!(upgraded.vault.generation().unwrap(), before + 1);
    assert_eq!(upgraded.list().unwrap().len(), 5);
}

#[test]
fn a_keyring_holds_the_key_and_notices_an_old_copy() {
    let scratch = Scratch::new("keyring");
    let chain: Arc<dyn crate::secret::Keychain> = Arc::new(MemoryKeychain::new());
    let anchor: Arc<dyn Anchor> = Arc::new(KeychainAnchor::new(chain.clone(), "secrets"));
    let open = || {
        let protection = Protection::keychain(chain.clone());
        SecretStore::open_anchored(&scratch.0, protection, anchor.clone())
    };
    let store = open().unwrap();
    store.put("token", &Secret::from("old")).unwrap();
    let copy: Vec<_> = fs::read_dir(&scratch.0)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (fs::read(&path).unwrap(), path))
        .collect();
    store.put("token", &Secret::from("new")).unwrap();
    for (bytes, path) in &copy {
        fs::write(path, bytes).unwrap();
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert!(matches!(open(), Err(StoreError::RolledBack { .. })));
    // All gone is an old copy too.
    fs::remove_dir_all(&scratch.0).unwrap();
    assert!(matches!(open(), Err(StoreError::RolledBack { found: 0, .. })));
}

/// Neither whoever can write the directory nor another program that has the key can put one secret
/// in the place of another: a token of one server must not be sent to the next.
#[test]
fn a_secret_counts_under_its_own_name_alone() {
    let scratch = Scratch::new("named");
    let store = SecretStore::open(&scratch.0, host()).unwrap();
    store.put("bank", &Secret::from("for the bank")).unwrap();
    store.put("mail", &Secret::from("for the mail")).unwrap();
    let is_sealed = |path: &PathBuf| path.extension().is_some_and(|end| end == "sealed");
    let files = fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = files.filter(is_sealed).collect();
    let [one, two] = files.as_slice() else { panic!("{files:?}") };
    let swap = || {
        let (first, second) = (fs::read(one).unwrap(), fs::read(two).unwrap());
        fs::write(one, second).unwrap();
        fs::write(two, first).unwrap();
    };
    swap();
    for name in ["bank", "mail"] {
        assert!(matches!(store.get(name), Err(StoreError::Corrupt { .. })), "{name}");
    }
    swap();
    // Sealed anew, with all that the key and the head can give it.
    let (_, bank) = store.vault.record(&record_name("bank")).unwrap().unwrap();
    let write = |_, draft: &mut crate::store::vault::Draft| {
        draft.put(record_name("mail"), bank.reveal().to_vec());
        Ok(())
    };
    store.vault.write(write).unwrap();
    for store in [store, SecretStore::open(&scratch.0, host()).unwrap()] {
        assert!(matches!(store.get("mail"), Err(StoreError::Corrupt { .. })));
        assert_eq!(store.get("bank").unwrap().unwrap().reveal(), b"for the bank");
        assert!(store.list().is_err(), "what cannot be read for certain is no absence");
    }
}
