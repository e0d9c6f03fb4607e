//! The store that settings open, and what stands between it and an old copy.

#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;

use etdi_core::approval::{ApprovalKey, StoreError, Withdrawn};
use etdi_core::secret::{Keychain, MemoryKeychain};

use super::*;

/// A user with a key file, who has approved one tool.
struct User {
    place: tempfile::TempDir,
    config: EtdiClientConfig,
}

impl User {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let key = place.path().join("key");
        std::fs::write(&key, [7; 32]).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = EtdiClientConfig { storage_config: StorageConfig::default(), ..in_memory() };
        Self { place, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn environment(&self) -> impl Fn(&str) -> Option<String> + use<> {
        let (home, key) = (self.path("etdi"), self.path("key"));
        move |name| {
            let path = match name {
                "ETDI_HOME" => &home,
                "ETDI_KEY_FILE" => &key,
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
    let in_the_clear = matches!(refused, ConfigError::Store(StoreError::NotEncrypted { .. }));
    assert!(in_the_clear, "{refused}");
    // Who says that it is to be in the clear is told that it was not.
    user.config.storage_config.encryption_enabled = false;
    let refused = user.open(None).map(drop).unwrap_err();
    assert!(matches!(refused, ConfigError::WasEncrypted { .. }), "{refused}");
    assert!(refused.to_string().contains("accept-restored"));
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
    assert!(refused("", "").starts_with("`storage_config.encryption_enabled` wants a key"));
    user.approve(None).await;
    let said = refused("", "");
    assert!(said.contains("is encrypted by the host's key: set `ETDI_PASSPHRASE`"), "{said}");
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
    assert!(said.contains("`Protection::keychain`"), "{said}");
}
