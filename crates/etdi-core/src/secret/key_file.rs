//! A sealing key in a file, for hosts without a keyring and without anybody who types a passphrase.

use std::path::{Path, PathBuf};

use super::{SealingKey, Secret};
use crate::approval::StoreError;
use crate::base64url;
use crate::store::disk::{Disk, Files};

/// A key of 256 bits in a file of its own, which has mode 0600 in a directory that is its owner's
/// alone.
///
/// It is the weakest of protections: whoever reads all files of the user reads the key as well. What
/// it does is that a store *without* its key says nothing and can be made by nobody: a backup, a
/// synchronized or shared folder, a stolen copy. So it belongs in another directory than what it
/// seals, one that is in no backup of that.
///
/// ```
/// # let directory = std::env::temp_dir().join(format!("etdi-key-doc-{}", std::process::id()));
/// use etdi_core::secret::{KeyFile, Protection, Secret, SecretStore};
///
/// let file = KeyFile::open(directory.join("state"), "store")?;
/// let protection = Protection::key(file.key_or_new()?);
/// let store = SecretStore::open(directory.join("secrets"), protection)?;
/// store.put("token", &Secret::from("s3cr3t"))?;
///
/// // One that others can read is refused: it may be no secret any more.
/// # #[cfg(unix)] {
/// use std::os::unix::fs::PermissionsExt;
/// std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o644))?;
/// assert!(file.key().unwrap_err().to_string().contains("chmod 600"));
/// # }
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct KeyFile {
    disk: Disk,
    name: String,
}

/// A key as text, with room for what an editor adds.
const MAX_BYTES: usize = 256;

impl KeyFile {
    /// The file `NAME.key` in a directory that is created, open to its owner only, when it is not
    /// there. No key is made yet.
    ///
    /// # Errors
    ///
    /// When the name has other characters than letters, digits, `-` and `_`, the directory cannot be
    /// made, or others may enter it.
    pub fn open(directory: impl AsRef<Path>, name: &str) -> Result<Self, StoreError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(plain) {
            let message = "the name of a key file has letters, digits, `-` and `_`".to_owned();
            return Err(StoreError::Other { message });
        }
        let disk = Disk::open(directory.as_ref())?;
        Ok(Self { disk, name: format!("{name}.key") })
    }

    /// The key, `None` when there is no file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exposed`] when others may read it, [`StoreError::Corrupt`] when it holds no key:
    /// nothing is sealed with what is not certainly the key of before.
    pub fn key(&self) -> Result<Option<SealingKey>, StoreError> {
        let Some(bytes) = self.disk.read(&self.name, MAX_BYTES)? else { return Ok(None) };
        let text = Secret::new(bytes);
        let key = SealingKey::from_base64(text.reveal_text().unwrap_or_default().trim());
        key.map(Some).map_err(|error| StoreError::Corrupt {
            what: format!(
                "`{}` holds no key ({error}), put the right one back; when that is lost, move it \
                 and what it seals away and begin anew",
                self.path().display()
            ),
        })
    }

    /// The key, made when there is none: of two processes that make one, the first one's counts.
    ///
    /// # Errors
    ///
    /// As [`KeyFile::key`], and when it cannot be made or written.
    pub fn key_or_new(&self) -> Result<SealingKey, StoreError> {
        if let Some(key) = self.key()? {
            return Ok(key);
        }
        let _lock = self.disk.lock()?;
        if let Some(key) = self.key()? {
            return Ok(key);
        }
        let key = SealingKey::generate()?;
        let text = Secret::from(format!("{}\n", base64url::encode(key.reveal())));
        self.disk.write(&self.name, text.reveal())?;
        Ok(key)
    }

    /// Where the file is, or would be.
    pub fn path(&self) -> PathBuf {
        self.disk.path(&self.name)
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_stays_and_nothing_else_is_taken_for_it() {
        let directory = std::env::temp_dir().join(crate::random::id().unwrap());
        let file = KeyFile::open(&directory, "store").unwrap();
        assert!(file.key().unwrap().is_none());
        let key = file.key_or_new().unwrap();
        let mode = file.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = KeyFile::open(&directory, "store").unwrap();
        assert_eq!(again.key_or_new().unwrap().reveal(), key.reveal());
        let other = KeyFile::open(&directory, "other").unwrap().key_or_new().unwrap();
        assert_ne!(other.reveal(), key.reveal());

        // What is damaged is not replaced: what it sealed would be lost.
        for text in ["", "short", &"A".repeat(64), &"A".repeat(1_000)] {
            std::fs::write(file.path(), text).unwrap();
            assert!(matches!(file.key_or_new(), Err(StoreError::Corrupt { .. })), "{text}");
        }
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o640)).unwrap();
        assert!(matches!(file.key_or_new(), Err(StoreError::Exposed { .. })));
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o755)).unwrap();
        assert!(matches!(KeyFile::open(&directory, "store"), Err(StoreError::Exposed { .. })));
        assert!(KeyFile::open(&directory, "../store").is_err());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
