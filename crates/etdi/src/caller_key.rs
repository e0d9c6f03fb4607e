//! The key with which a client signs its calls: made on first use, and kept where nobody else reads.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use etdi_core::approval::StoreError;
use etdi_core::key::{Algorithm, KeyError, SigningKey};
use etdi_core::secret::{Secret, SecretStore};

/// The key in a file, PKCS#8 in PEM; where there is none, a new one of `algorithm`.
///
/// The file has mode 0600 and a directory that is made for it 0700. It appears at once and whole,
/// and of two processes that make one only the first one's counts. The key lies in it unencrypted:
/// [`caller_key_in`] keeps one sealed.
///
/// ```
/// # let directory = std::env::temp_dir().join(format!("etdi-caller-doc-{}", std::process::id()));
/// use etdi::caller_key;
/// use etdi::core::key::Algorithm;
///
/// let path = directory.join("caller.pem");
/// let made = caller_key(&path, Algorithm::EdDsa)?;
/// assert_eq!(caller_key(&path, Algorithm::EdDsa)?.id(), made.id(), "the same from now on");
///
/// // One that others can read is no secret any more.
/// # #[cfg(unix)] {
/// use std::os::unix::fs::PermissionsExt;
/// std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644))?;
/// assert!(caller_key(&path, Algorithm::EdDsa).unwrap_err().to_string().contains("chmod 600"));
/// # }
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`CallerKeyError`]: the file cannot be read or written, others may read it, or it holds no key.
pub fn caller_key(
    path: impl AsRef<Path>,
    algorithm: Algorithm,
) -> Result<SigningKey, CallerKeyError> {
    let path = path.as_ref();
    if let Some(key) = read(path)? {
        return Ok(key);
    }
    let key = generate(algorithm)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(directory) = directory {
        make_directory(directory)?;
    }
    match put(path, key.to_pkcs8_pem().as_bytes()) {
        Ok(()) => Ok(key),
        // Somebody else was first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            read(path)?.ok_or(CallerKeyError::Gone(path.to_owned()))
        }
        Err(source) => Err(CallerKeyError::io("write", path)(source)),
    }
}

/// The key under a name of a [`SecretStore`]; where there is none, a new one of `algorithm`.
///
/// # Errors
///
/// [`CallerKeyError`]: the store cannot be used, or what it holds is no key.
pub fn caller_key_in(
    store: &SecretStore,
    name: &str,
    algorithm: Algorithm,
) -> Result<SigningKey, CallerKeyError> {
    if let Some(secret) = store.get(name)? {
        return Ok(SigningKey::from_pkcs8_der(secret.reveal())?);
    }
    let key = generate(algorithm)?;
    store.put(name, &Secret::new(key.to_pkcs8_der().to_vec()))?;
    Ok(key)
}

fn generate(algorithm: Algorithm) -> Result<SigningKey, CallerKeyError> {
    #[cfg(feature = "rsa-keys")]
    if algorithm.is_rsa() {
        return Ok(SigningKey::generate_rsa(algorithm, 2048)?);
    }
    Ok(SigningKey::generate(algorithm)?)
}

/// No key in PEM is longer.
const MAX_LENGTH: u64 = 16 << 10;

fn read(path: &Path) -> Result<Option<SigningKey>, CallerKeyError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CallerKeyError::io("read", path)(error)),
    };
    let about = file.metadata().map_err(CallerKeyError::io("look at", path))?;
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o077 != 0 {
        return Err(CallerKeyError::Exposed(path.to_owned()));
    }
    if !about.is_file() || about.len() > MAX_LENGTH {
        return Err(CallerKeyError::Key(KeyError::Pem));
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    file.take(MAX_LENGTH).read_to_string(&mut text).map_err(CallerKeyError::io("read", path))?;
    Ok(Some(SigningKey::from_pkcs8_pem(&text)?))
}

fn make_directory(directory: &Path) -> Result<(), CallerKeyError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(CallerKeyError::io("create", directory))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let about = directory.metadata().map_err(CallerKeyError::io("look at", directory))?;
        // Whoever may write it can put another key in the place of ours.
        if about.permissions().mode() & 0o022 != 0 {
            return Err(CallerKeyError::OpenDirectory(directory.to_owned()));
        }
    }
    Ok(())
}

/// Writes a file that appears at once and takes nobody's place.
fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".new-{}", std::process::id()));
    let new = PathBuf::from(new);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = (|| {
        let mut file = options.open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::hard_link(&new, path)
    })();
    _ = std::fs::remove_file(&new);
    written
}

/// Why there is no key to sign calls with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallerKeyError {
    /// A file failed.
    #[error("cannot {action} `{}`: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others may read the key.
    #[error("others can read the key `{}`, make a new one or `chmod 600` it", .0.display())]
    Exposed(PathBuf),
    /// Others may replace the key.
    #[error("others can write the directory `{}` of the key, `chmod 700` it", .0.display())]
    OpenDirectory(PathBuf),
    /// It was there and is not.
    #[error("the key `{}` came and went while it was made, try again", .0.display())]
    Gone(PathBuf),
    /// It is no key, or none can be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store of secrets failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CallerKeyError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

#[cfg(test)]
mod tests {
    use etdi_core::secret::{Protection, SealingKey};

    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keys/caller.pem");
        let first = caller_key(&path, Algorithm::EdDsa).unwrap();
        assert_eq!(caller_key(&path, Algorithm::Es256).unwrap().id(), first.id());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
            let change = |path: &Path, mode| {
                std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
            };
            change(&path, 0o640);
            let exposed = caller_key(&path, Algorithm::EdDsa);
            assert!(matches!(exposed, Err(CallerKeyError::Exposed(_))));
            std::fs::remove_file(&path).unwrap();
            change(path.parent().unwrap(), 0o777);
            let open = caller_key(&path, Algorithm::EdDsa);
            assert!(matches!(open, Err(CallerKeyError::OpenDirectory(_))));
        }
        let names: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert!(names.len() <= 1, "nothing half made is left");
    }

    #[test]
    fn what_is_no_key_is_not_replaced() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("caller.pem");
        put(&path, b"not a key").unwrap();
        assert!(matches!(caller_key(&path, Algorithm::EdDsa), Err(CallerKeyError::Key(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"not a key");
        assert_eq!(put(&path, b"").unwrap_err().kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_sealed_key_is_made_once() {
        let home = tempfile::tempdir().unwrap();
        let key = Protection::key(SealingKey::generate().unwrap());
        let store = SecretStore::open(home.path().join("secrets"), key).unwrap();
        let first = caller_key_in(&store, "caller", Algorithm::Es256).unwrap();
        let second = caller_key_in(&store, "caller", Algorithm::Es256).unwrap();
        assert_eq!(first.id(), second.id());
    }
}
