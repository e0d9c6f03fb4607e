//! The store that settings open, and what stands between it and an old copy.

#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;

use etdi_core::approval::ApprovalStore as _;
use etdi_core::approval::{ApprovalKey, StoreError, Withdrawn};
use etdi_core::secret::{Keychain, KeychainError, MemoryKeychain, ProtectionKind, Secret};
use etdi_core::store::FileStore;

use super::*;

/// A user who has approved one tool, with a key file that they chose, or without.
struct User {
    place: tempfile::TempDir,
    chose: bool,
    config: EtdiClientConfig,
}

impl User {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let key = place.path().join("key");
        std::fs::write(&key, [7; 32]).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = EtdiClientConfig { storage_config: StorageConfig::default(), ..in_memory() };
        Self { place, chose: true, config }
    }

    /// Who chose nothing.
    fn plain() -> Self {
        Self { chose: false, ..Self::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn environment(&self) -> impl Fn(&str) -> Option<String> + use<> {
        let (home, key, chose) = (self.path("etdi"), self.path("key"), self.chose);
        move |name| {
            let path = match name {
                "ETDI_HOME" => &home,
                "ETDI_KEY_FILE" if chose => &key,
                _ => return None,
            };
            Some(path.to_str().unwrap().to_owned())
        }
    }

    fn open(&self, protection: Option<Protection>) -> Result<EtdiClient, ConfigError> {
        let builder = self.config.builder_from(protection, self.environment())?;
        Ok(builder.approver(Arc::new(Yes)).build())
    }

    async fn approve(&self, protection: Option<Protection>) {
        let client = self.open(protection).unwrap();
        let server = server!().tool::<plain>().build().unwrap();
        let target = Target::service(server, Peer::new(notes()));
        client.connect_to_server(target, "notes").await.unwrap();
        client.invoke_tool(crate::ToolId::new("notes", "plain"), &json!({})).await.unwrap();
    }

    /// Withdraws what was approved, through the same door.
    async fn withdraw(&self, protection: Option<Protection>) {
        let client = self.open(protection).unwrap();
        let key = ApprovalKey::new(notes().to_string(), None, "plain");
        let old = client.approvals().get(&key).await.unwrap().unwrap();
        let (generation, withdrawn) = (old.generation, Withdrawn::new(system_time(), "ada"));
        let mut new = old;
        new.withdrawn = Some(withdrawn);
        client.approvals().put(new, Some(generation)).await.unwrap();
    }

    async fn old_copy_is_refused(&self, store: &Path, protection: impl Fn() -> Option<Protection>) {
        self.approve(protection()).await;
        let old = self.path("old");
        copy(store, &old);
        self.withdraw(protection()).await;
        std::fs::remove_dir_all(store).unwrap();
        copy(&old, store);
        let refused = self.open(protection()).map(drop).unwrap_err();
        let is_old = matches!(refused, ConfigError::Store(StoreError::RolledBack { .. }));
        assert!(is_old, "{refused}");
        // Nor is it taken once its mark is gone.
        let _ = std::fs::remove_dir_all(self.path("etdi/state"));
        assert!(self.open(protection()).is_err());
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test]
async fn an_old_copy_of_the_store_is_refused() {
    let user = User::new();
    user.old_copy_is_refused(&user.path("etdi/approvals"), || None).await;
}

#[tokio::test]
async fn an_old_copy_of_a_store_elsewhere_is_refused() {
    let mut user = User::new();
    user.config.storage_config.storage_path = Some(user.path("elsewhere"));
    user.old_copy_is_refused(&user.path("elsewhere"), || None).await;
}

#[tokio::test]
async fn an_old_copy_is_refused_by_the_mark_in_the_keyring() {
    let user = User::new();
    let keyring: Arc<dyn Keychain> = Arc::new(MemoryKeychain::new());
    let protection = || Some(Protection::keychain(keyring.clone()));
    user.approve(protection()).await;
    for inside in ["approvals", "state"] {
        copy(&user.path("etdi").join(inside), &user.path(inside));
    }
    user.withdraw(protection()).await;
    // Everything that lies in files is put back, the state with it.
    for inside in ["approvals", "state"] {
        let there = user.path("etdi").join(inside);
        std::fs::remove_dir_all(&there).unwrap();
        copy(&user.path(inside), &there);
    }
    let refused = user.open(protection()).map(drop).unwrap_err();
    let is_old = matches!(refused, ConfigError::Store(StoreError::RolledBack { .. }));
    assert!(is_old, "{refused}");
}

/// The attack: in the place of the encrypted store, one in the clear that approves something.
#[tokio::test]
async fn a_store_in_the_clear_is_not_taken_for_the_encrypted_one() {
    let mut user = User::new();
    user.approve(None).await;
    let store = user.path("etdi/approvals");
    std::fs::remove_dir_all(&store).unwrap();

    let mut forger = User::new();
    forger.config.storage_config.encryption_enabled = false;
    forger.approve(None).await;
    copy(&forger.path("etdi/approvals"), &store);
    let refused = user.open(None).map(drop).unwrap_err();
    assert!(matches!(refused, ConfigError::Replaced { .. }), "{refused}");
    // Who says that it is to be in the clear is told that it was not.
    user.config.storage_config.encryption_enabled = false;
    let refused = user.open(None).map(drop).unwrap_err();
    assert!(matches!(refused, ConfigError::WasEncrypted { .. }), "{refused}");
    assert!(refused.to_string().contains("name another directory"));
}

#[tokio::test]
async fn who_gave_no_key_is_told_what_to_set() {
    let user = User::new();
    let home = user.path("etdi").to_str().unwrap().to_owned();
    let with = |variable: &'static str, value: &str| {
        let (home, value) = (home.clone(), value.to_owned());
        move |name: &str| match name {
            "ETDI_HOME" => Some(home.clone()),
            name if name == variable => Some(value.clone()),
            _ => None,
        }
    };
    let refused = |variable, value: &str| {
        let builder = user.config.builder_from(None, with(variable, value));
        builder.map(drop).unwrap_err().to_string()
    };
    user.approve(None).await;
    let said = refused("", "");
    assert!(said.contains("its key file") && said.contains("ETDI_KEY_FILE"), "{said}");
    let said = refused("ETDI_PASSPHRASE", "p");
    assert!(said.contains("by the host's key and not by the passphrase"), "{said}");
    assert!(refused("ETDI_PASSPHRASE_FD", "x").contains("no number of a file descriptor"));
    assert!(refused("ETDI_KEY_FILE", "/nowhere").contains("the key file `/nowhere`"));
    let key = user.path("key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused("ETDI_KEY_FILE", key.to_str().unwrap()).contains("open to other users"));

    let user = User::new();
    let keyring: Arc<dyn Keychain> = Arc::new(MemoryKeychain::new());
    user.approve(Some(Protection::keychain(keyring))).await;
    let home = user.path("etdi").to_str().unwrap().to_owned();
    let environment = move |name: &str| (name == "ETDI_HOME").then(|| home.clone());
    let said = user.config.builder_from(None, environment).map(drop).unwrap_err().to_string();
    assert!(said.contains("the system's keyring"), "{said}");

    let user = User::new();
    user.approve(Some(Protection::passphrase("p"))).await;
    let home = user.path("etdi").to_str().unwrap().to_owned();
    let environment = move |name: &str| (name == "ETDI_HOME").then(|| home.clone());
    let said = user.config.builder_from(None, environment).map(drop).unwrap_err().to_string();
    assert!(said.contains("is encrypted by the passphrase: set `ETDI_PASSPHRASE`"), "{said}");
}

/// All that lies in a directory and below, as one text.
fn all_of(directory: &Path) -> String {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let text = |path: PathBuf| match path.is_dir() {
        true => all_of(&path),
        false => String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned(),
    };
    files.map(text).collect()
}

/// Who chose nothing has a sealed store with a mark all the same, and its key elsewhere.
#[tokio::test]
async fn a_store_is_sealed_by_a_key_file_where_nobody_chose() {
    let user = User::plain();
    user.old_copy_is_refused(&user.path("etdi/approvals"), || None).await;

    let user = User::plain();
    user.approve(None).await;
    assert!(!all_of(&user.path("etdi/approvals")).contains("plain"));
    let key = user.path("etdi/state/store.key");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    user.open(None).unwrap();

    // A key that others could read, another one, none: nothing opens, and none is made anew.
    let text = std::fs::read(&key).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let said = user.open(None).map(drop).unwrap_err().to_string();
    assert!(said.contains("chmod 600"), "{said}");
    std::fs::remove_file(&key).unwrap();
    let said = user.open(None).map(drop).unwrap_err().to_string();
    assert!(said.contains("store.key` is gone") && !key.exists(), "{said}");
    let other = User::plain();
    other.approve(None).await;
    std::fs::copy(other.path("etdi/state/store.key"), &key).unwrap();
    let said = user.open(None).map(drop).unwrap_err().to_string();
    assert!(said.contains("does not open the store"), "{said}");
    std::fs::write(&key, text).unwrap();
    user.open(None).unwrap();

    // What was looked at before the user chose, and holds nothing, is protected as they choose.
    let mut user = User::plain();
    user.open(None).unwrap();
    user.chose = true;
    user.open(Some(Protection::passphrase("p"))).unwrap();
    let said = user.open(None).map(drop).unwrap_err().to_string();
    assert!(said.contains("by the passphrase and not by the host's key"), "{said}");
}

/// A store from before stores were sealed, and the attack: another one put in the place of ours, or
/// its files beside ours.
#[tokio::test]
async fn a_store_in_the_clear_is_taken_over_once() {
    let mut old = User::plain();
    old.config.storage_config.encryption_enabled = false;
    old.approve(None).await;
    let (store, clear) = (old.path("etdi/approvals"), old.path("clear"));
    copy(&store, &clear);
    assert!(all_of(&store).contains("plain"));
    old.config.storage_config.encryption_enabled = true;
    let approved = async |user: &User| {
        let listing = user.open(None).unwrap().approvals().list().await.unwrap();
        listing.approvals.iter().filter(|one| one.withdrawn.is_none()).count()
    };
    assert_eq!(approved(&old).await, 1);
    assert!(!all_of(&store).contains("plain"), "nothing is left in the clear");
    old.withdraw(None).await;
    assert_eq!(approved(&old).await, 0);

    // Beside the sealed files those in the clear count for nothing,
    for file in std::fs::read_dir(&clear).unwrap().map(|file| file.unwrap()) {
        if file.file_name() != "head" {
            std::fs::copy(file.path(), store.join(file.file_name())).unwrap();
        }
    }
    assert_eq!(approved(&old).await, 0);
    // with their head they are refused,
    std::fs::copy(clear.join("head"), store.join("head")).unwrap();
    let refused = old.open(None).map(drop).unwrap_err();
    assert!(matches!(refused, ConfigError::Replaced { .. }), "{refused}");
    // and so are they in a directory of their own,
    std::fs::remove_dir_all(&store).unwrap();
    copy(&clear, &store);
    let refused = old.open(None).map(drop).unwrap_err();
    assert!(matches!(refused, ConfigError::Replaced { .. }), "{refused}");
    // or with nothing in them.
    std::fs::remove_dir_all(&store).unwrap();
    FileStore::in_the_clear(&store).unwrap();
    let refused = old.open(None).map(drop).unwrap_err();
    assert!(matches!(refused, ConfigError::Replaced { .. }), "{refused}");
}

/// With a keyring the mark in it counts, also where all that lies in files was put there by another.
#[tokio::test]
async fn a_keyring_is_preferred_and_keeps_its_mark() {
    use crate::config::place::{ApprovalPlace, Taken};
    let (user, keyring) = (User::plain(), Arc::new(MemoryKeychain::new()));
    let place = |keyring: &Arc<MemoryKeychain>| {
        ApprovalPlace::of_command(&user.path("etdi"), Some(user.path("state")))
            .keyring(keyring.clone())
            .prefer_keyring(true)
    };
    let open = |keyring: &Arc<MemoryKeychain>| {
        let sealed = place(keyring).seal(None, Taken::Checked)?;
        Ok::<_, ConfigError>(sealed.options(Taken::Checked).open(user.path("etdi/approvals"))?)
    };
    open(&keyring).unwrap().observe(system_time(), true).await.unwrap();
    assert_eq!(place(&keyring).sealed_by().unwrap(), Some(ProtectionKind::Keyring));
    assert!(!user.path("state/store.key").exists());
    open(&keyring).unwrap();
    assert!(open(&Arc::new(MemoryKeychain::new())).is_err(), "another user's keyring");

    for inside in ["etdi/approvals", "state"] {
        std::fs::remove_dir_all(user.path(inside)).unwrap();
    }
    FileStore::in_the_clear(user.path("etdi/approvals")).unwrap();
    let refused = open(&keyring).map(drop).unwrap_err();
    assert!(matches!(refused, ConfigError::Replaced { .. }), "{refused}");

    // One that does not work is none.
    #[derive(Debug)]
    struct Locked;
    impl Keychain for Locked {
        fn get(&self, _: &str) -> Result<Option<Secret>, KeychainError> {
            Err(KeychainError::new("locked"))
        }
        fn set(&self, _: &str, _: &Secret) -> Result<(), KeychainError> {
            Err(KeychainError::new("locked"))
        }
        fn delete(&self, _: &str) -> Result<(), KeychainError> {
            Err(KeychainError::new("locked"))
        }
    }
    let place = ApprovalPlace::of_command(&user.path("other"), Some(user.path("other/state")));
    let place = place.keyring(Arc::new(Locked)).prefer_keyring(true);
    assert_eq!(
        place.seal(None, Taken::Checked).unwrap().protection.kind(),
        ProtectionKind::HostKey
    );
}

/// The attack: what protected the store before is put in the place of what protects it now, with a
/// copy of the files in which a withdrawn approval still counted.
#[tokio::test]
async fn what_protected_the_store_before_opens_nothing_that_came_after() {
    use crate::config::place::{ApprovalPlace, Taken};
    let keyring: Arc<dyn Keychain> = Arc::new(MemoryKeychain::new());
    let by_keyring = Protection::keychain(keyring.clone());
    for (old, new) in [
        (None, by_keyring.clone()),
        (Some(by_keyring.clone()), Protection::passphrase("p")),
        (None, Protection::passphrase("p")),
        (Some(Protection::passphrase("p")), by_keyring),
    ] {
        let (user, case) = (User::plain(), format!("{old:?} {new:?}"));
        let place = ApprovalPlace::of_command(&user.path("etdi"), Some(user.path("etdi/state")))
            .keyring(keyring.clone());
        let (store, kept) = (user.path("etdi/approvals"), user.path("kept"));
        let key = |directory: &Path| {
            let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
            let is_key = |path: &PathBuf| path.file_stem().is_some_and(|name| name == "key");
            files.into_iter().find(is_key).unwrap()
        };
        let before = place.seal(old.clone(), Taken::Checked).unwrap();
        drop(before.options(Taken::Checked).open(&store).unwrap());
        let wrapped = std::fs::read_to_string(key(&store)).unwrap();
        let id = wrapped.split('"').skip_while(|word| *word != "store").nth(2).unwrap();
        let account = format!("etdi store {id}");
        let entry = keyring.get(&account).unwrap();
        place.protect(&before, new.clone()).unwrap();
        if let Some(entry) = entry {
            assert!(keyring.get(&account).unwrap().is_none(), "{case}: nothing needs it");
            keyring.set(&account, &entry).unwrap();
        }

        user.approve(Some(new.clone())).await;
        copy(&store, &kept);
        user.withdraw(Some(new.clone())).await;
        std::fs::remove_dir_all(&store).unwrap();
        copy(&kept, &store);
        std::fs::write(key(&store), &wrapped).unwrap();
        let opened = place
            .seal(old, Taken::Checked)
            .and_then(|sealed| Ok(sealed.options(Taken::Checked).open(&store).map(drop)?));
        assert!(opened.is_err(), "{case}");
    }
}

/// The attack: a link in the place of the sealed store leads to one in the clear, under a path that
/// has no mark.
#[tokio::test]
async fn a_link_to_a_store_in_the_clear_is_not_taken_for_the_sealed_one() {
    let mut forger = User::plain();
    forger.config.storage_config.encryption_enabled = false;
    forger.approve(None).await;
    // A directory, what is reached by a link already, and what the command has too.
    for (case, named) in ["elsewhere", "link/store", "own"].into_iter().enumerate() {
        let mut user = User::plain();
        std::fs::create_dir(user.path("true")).unwrap();
        std::os::unix::fs::symlink(user.path("true"), user.path("link")).unwrap();
        if case == 2 {
            std::fs::create_dir(user.path("etdi")).unwrap();
            std::os::unix::fs::symlink(user.path("etdi/approvals"), user.path("own")).unwrap();
            user.open(None).unwrap();
        }
        let store = user.path(named);
        user.config.storage_config.storage_path = Some(store.clone());
        user.approve(None).await;
        copy(&forger.path("etdi/approvals"), &user.path("planted"));
        std::fs::rename(&store, user.path("y")).unwrap();
        std::os::unix::fs::symlink(user.path("planted"), &store).unwrap();
        let refused = user.open(None).map(drop).unwrap_err();
        assert!(matches!(refused, ConfigError::Replaced { .. }), "{named}: {refused}");
        user.config.storage_config.encryption_enabled = false;
        let refused = user.open(None).map(drop).unwrap_err();
        assert!(matches!(refused, ConfigError::WasEncrypted { .. }), "{named}: {refused}");
    }
}
