//! API keys: long random texts with a name, scopes and perhaps an end, of which only a digest is kept.
//!
//! For programs where no person logs in and no authorization server stands. A key is made here, with
//! 256 random bits, is shown once, and from then on is known by its SHA-256: whoever reads the file
//! has no key. (A digest without salt is enough for what nobody can guess.)

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::change::visible;
use etdi_core::digest::Digest;
use etdi_core::time::UnixTime;
use mcp_types::Principal;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::SecretText;

/// What every key of ours begins with, so that scanners for secrets find one that was published.
const PREFIX: &str = "mcpk_";

/// The shortest key that somebody else may bring: 32 characters hold 128 bits even in hexadecimal.
const LEAST: usize = 32;

/// The longest key that is looked at, and the longest name.
const MOST: usize = 512;
const LONGEST_NAME: usize = 128;

/// What is known of a key: everything but the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ApiKey {
    /// Its name, which no other key of the store has or had.
    pub name: String,
    /// What its holder may do.
    #[serde(default)]
    pub scopes: BTreeSet<String>,
    /// When it was made.
    pub created: UnixTime,
    /// When it ends, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<UnixTime>,
    /// When it was revoked, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<UnixTime>,
}

impl ApiKey {
    /// The issuer of principals that are known by such a key.
    pub const ISSUER: &str = "api-key";

    /// Whoever holds it: [`ApiKey::ISSUER`] vouches for a subject that is its name.
    pub fn principal(&self) -> Principal {
        let mut principal = Principal::new(Self::ISSUER, &*self.name);
        principal.scopes = self.scopes.clone();
        principal
    }
}

/// Why an API key does not count, or is not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiKeyError {
    /// Nobody gave out such a key.
    #[error("the API key is not known")]
    Unknown,
    /// It has ended.
    #[error("the API key `{name}` ended at {at}")]
    Expired {
        /// Its name.
        name: String,
        /// When.
        at: UnixTime,
    },
    /// It was revoked.
    #[error("the API key `{name}` was revoked at {at}")]
    Revoked {
        /// Its name.
        name: String,
        /// When.
        at: UnixTime,
    },
    /// A name that is taken, empty or too long.
    #[error("a key cannot be named `{}`: {what}", .name.escape_debug())]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A key of somebody else that can be guessed.
    #[error("a key has at least {LEAST} characters, have one made instead")]
    Short,
    /// The system gave no randomness.
    #[error("the system gave no randomness, try again")]
    Random,
    /// The file cannot be read or written.
    #[error("the API keys in `{}`", .path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The keys of a server. Cheap to clone; clones are one store.
///
/// ```
/// use etdi_core::time::UnixTime;
/// use etdi_oauth::ApiKeys;
///
/// let now = UnixTime(1_767_323_045);
/// let keys = ApiKeys::new();
/// let key = keys.create("build server", ["notes:read"], Some(now.plus(3_600)), now)?;
/// let known = keys.verify(key.expose(), now)?;
/// assert_eq!(known.name, "build server");
///
/// assert!(keys.verify(key.expose(), now.plus(3_600)).is_err(), "it has ended");
/// assert!(keys.verify("mcpk_of-somebody-who-made-it-up-himself", now).is_err());
/// keys.revoke("build server", now)?;
/// assert!(keys.verify(key.expose(), now).is_err());
/// # Ok::<(), etdi_oauth::ApiKeyError>(())
/// ```
#[derive(Clone, Default)]
pub struct ApiKeys(Arc<Inner>);

#[derive(Default)]
struct Inner {
    path: Option<PathBuf>,
    state: Mutex<State>,
}

/// The right to change a file.
struct Alone {
    _lock: std::fs::File,
    /// Where it is, whatever links lead there.
    target: PathBuf,
}

#[derive(Default)]
struct State {
    keys: BTreeMap<[u8; 32], ApiKey>,
    /// What the file was when it was read last.
    seen: Option<(SystemTime, u64)>,
    looked: UnixTime,
}

/// One line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    sha256: String,
    #[serde(flatten)]
    key: ApiKey,
}

#[derive(Serialize, Deserialize)]
struct File {
    v: u32,
    keys: Vec<Line>,
}

impl ApiKeys {
    /// Keys in memory alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keys in a file, which others may change: a key that is revoked there is refused here a second
    /// later. The file is made with the first key, readable by its owner alone.
    ///
    /// # Errors
    ///
    /// When there is a file that cannot be read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, ApiKeyError> {
        let path = path.into();
        let mut state = State::default();
        state.read(&path)?;
        Ok(Self(Arc::new(Inner { path: Some(path), state: Mutex::new(state) })))
    }

    /// Makes a key. Its text is given this once.
    ///
    /// # Errors
    ///
    /// When the name is taken or none, the system gives no randomness, or the file cannot be written.
    pub fn create<T: Into<String>>(
        &self,
        name: &str,
        scopes: impl IntoIterator<Item = T>,
        expires: Option<UnixTime>,
        now: UnixTime,
    ) -> Result<SecretText, ApiKeyError> {
        let mut random = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(&mut *random).map_err(|_| ApiKeyError::Random)?;
        let text = SecretText::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(*random)));
        self.add(name, text.expose(), scopes, expires, now)?;
        Ok(text)
    }

    /// Takes a key that was made elsewhere, such as one of the environment.
    ///
    /// # Errors
    ///
    /// When the key is shorter than 32 characters; when the name is taken or none, or the file cannot
    /// be written.
    pub fn add<T: Into<String>>(
        &self,
        name: &str,
        text: &str,
        scopes: impl IntoIterator<Item = T>,
        expires: Option<UnixTime>,
        now: UnixTime,
    ) -> Result<(), ApiKeyError> {
        if text.len() < LEAST {
            return Err(ApiKeyError::Short);
        }
        let refuse = |what| Err(ApiKeyError::Name { name: name.to_owned(), what });
        // Invisible letters would make two names that nobody tells apart.
        if name.is_empty() || name.len() > LONGEST_NAME || visible(name) != name {
            return refuse("a name is 1 to 128 characters that can be shown");
        }
        let alone = self.alone()?;
        let mut state = self.refreshed(now, true)?;
        let digest = *Digest::of_bytes(text.as_bytes()).as_bytes();
        if state.keys.values().any(|key| key.name == name) || state.keys.contains_key(&digest) {
            return refuse("there is one already, though it may be revoked; take another name");
        }
        let scopes = scopes.into_iter().map(Into::into).collect();
        let key = ApiKey { name: name.to_owned(), scopes, created: now, expires, revoked: None };
        self.change(alone.as_ref(), &mut state, |keys| {
            keys.insert(digest, key);
        })
    }

    /// Takes a key back. Whether there was one of this name that was not revoked.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn revoke(&self, name: &str, now: UnixTime) -> Result<bool, ApiKeyError> {
        let alone = self.alone()?;
        let mut state = self.refreshed(now, true)?;
        let mut found = false;
        self.change(alone.as_ref(), &mut state, |keys| {
            let key = keys.values_mut().find(|key| key.name == name && key.revoked.is_none());
            found = key.is_some();
            if let Some(key) = key {
                key.revoked = Some(now);
            }
        })?;
        Ok(found)
    }

    /// All keys by name, revoked ones among them.
    pub fn list(&self) -> Vec<ApiKey> {
        let mut keys: Vec<ApiKey> = self.lock().keys.values().cloned().collect();
        keys.sort_by(|one, other| one.name.cmp(&other.name));
        keys
    }

    /// What is known of the key that a caller shows.
    ///
    /// # Errors
    ///
    /// When it is not known, has ended or was revoked.
    pub fn verify(&self, text: &str, now: UnixTime) -> Result<ApiKey, ApiKeyError> {
        if text.len() > MOST {
            return Err(ApiKeyError::Unknown);
        }
        let shown = *Digest::of_bytes(text.as_bytes()).as_bytes();
        let state = self.refreshed(now, false)?;
        // Each is looked at, and wholly: the time says nothing about which one was meant.
        let mut found = None;
        for (digest, key) in &state.keys {
            if same(digest, &shown) {
                found = Some(key);
            }
        }
        let key = found.ok_or(ApiKeyError::Unknown)?;
        let name = || key.name.clone();
        if let Some(at) = key.revoked {
            return Err(ApiKeyError::Revoked { name: name(), at });
        }
        if let Some(at) = key.expires.filter(|at| *at <= now) {
            return Err(ApiKeyError::Expired { name: name(), at });
        }
        Ok(key.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps other programs from changing the file, until it is dropped.
    fn alone(&self) -> Result<Option<Alone>, ApiKeyError> {
        let Some(path) = &self.0.path else { return Ok(None) };
        let failed = |source| ApiKeyError::File { path: path.clone(), source };
        // What a link leads to is changed, not the link: who reads the file by another path reads it too.
        let target = match std::fs::symlink_metadata(path) {
            Ok(_) => std::fs::canonicalize(path).map_err(failed)?,
            Err(_) => path.clone(),
        };
        let lock = beside(&target, "lock");
        if std::fs::symlink_metadata(&lock).is_ok_and(|found| !found.is_file()) {
            let what = format!("`{}` is in the way", lock.display());
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, what)));
        }
        let locked = private().create(true).open(lock).and_then(|file| file.lock().map(|()| file));
        locked.map(|lock| Some(Alone { _lock: lock, target })).map_err(failed)
    }

    /// The keys as the file has them now; looked at once a second at most, unless `must`.
    fn refreshed(&self, now: UnixTime, must: bool) -> Result<MutexGuard<'_, State>, ApiKeyError> {
        let mut state = self.lock();
        if let Some(path) = &self.0.path
            && (must || state.looked != now)
        {
            state.read(path)?;
            // Only then: what cannot be read is not taken for unchanged by the next caller.
            state.looked = now;
        }
        Ok(state)
    }

    /// Changes the keys, and writes them before the change counts.
    fn change(
        &self,
        alone: Option<&Alone>,
        state: &mut State,
        change: impl FnOnce(&mut BTreeMap<[u8; 32], ApiKey>),
    ) -> Result<(), ApiKeyError> {
        let mut keys = state.keys.clone();
        change(&mut keys);
        if let (Some(path), Some(alone)) = (&self.0.path, alone) {
            write(&alone.target, &keys)
                .map_err(|source| ApiKeyError::File { path: path.clone(), source })?;
            state.seen = state_of(path).ok().flatten();
        }
        state.keys = keys;
        Ok(())
    }
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKeys").field("path", &self.0.path).finish_non_exhaustive()
    }
}

impl State {
    fn read(&mut self, path: &Path) -> Result<(), ApiKeyError> {
        self.try_read(path).map_err(|source| ApiKeyError::File { path: path.to_owned(), source })
    }

    fn try_read(&mut self, path: &Path) -> io::Result<()> {
        let seen = state_of(path)?;
        if seen == self.seen {
            return Ok(());
        }
        let mut keys = BTreeMap::new();
        if seen.is_some() {
            let file: File = serde_json::from_slice(&std::fs::read(path)?)?;
            let wrong = |what| io::Error::new(io::ErrorKind::InvalidData, what);
            if file.v != 1 {
                return Err(wrong("the file is of a later version"));
            }
            for Line { sha256, key } in file.keys {
                let digest = URL_SAFE_NO_PAD.decode(sha256).ok();
                let digest = digest.and_then(|digest| digest.try_into().ok());
                let digest = digest.ok_or_else(|| wrong("a key's `sha256` is no digest"))?;
                if keys.insert(digest, key).is_some() {
                    return Err(wrong("a key stands twice"));
                }
            }
        }
        (self.keys, self.seen) = (keys, seen);
        Ok(())
    }
}

/// When the file was changed last and how long it is; `None` where there is none. One that everybody may
/// write gives keys to anybody, and what is no file may have no end.
fn state_of(path: &Path) -> io::Result<Option<(SystemTime, u64)>> {
    let unfit = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => unfit("it is no file"),
        #[cfg(unix)]
        Ok(found) if std::os::unix::fs::MetadataExt::mode(&found) & 0o002 != 0 => {
            unfit("everybody may write it")
        }
        Ok(found) => Ok(Some((found.modified()?, found.len()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a new file and puts it in the place of the old one, so that there is always a whole one.
fn write(path: &Path, keys: &BTreeMap<[u8; 32], ApiKey>) -> io::Result<()> {
    let lines = keys.iter().map(|(digest, key)| {
        let sha256 = URL_SAFE_NO_PAD.encode(digest);
        Line { sha256, key: key.clone() }
    });
    let text = serde_json::to_vec_pretty(&File { v: 1, keys: lines.collect() })?;
    let fresh = beside(path, &std::process::id().to_string());
    // What a process of the same number left, or somebody put there to have it written through.
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private().create_new(true).open(&fresh)?;
    file.write_all(&text)?;
    // Who could read it goes on reading it.
    if let Ok(old) = std::fs::metadata(path) {
        #[cfg(unix)]
        {
            let group = std::os::unix::fs::MetadataExt::gid(&old);
            // Not everybody may give a file away; it is read by fewer then.
            let _ = std::os::unix::fs::fchown(&file, None, Some(group));
        }
        file.set_permissions(old.permissions())?;
    }
    file.sync_all()?;
    std::fs::rename(fresh, path)
}

/// A hidden file beside another one.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{ending}"))
}

/// How a file is opened that its owner alone reads.
fn private() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Whether two digests are the same, in a time that does not depend on where they differ.
fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let differs = one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other));
    std::hint::black_box(differs) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    #[test]
    fn a_key_counts_until_it_ends_or_is_revoked() {
        let keys = ApiKeys::new();
        let one = keys.create("one", ["a", "b"], Some(NOW.plus(10)), NOW).unwrap();
        let two = keys.create("two", ["c"], None, NOW).unwrap();
        let shown = one.expose();
        assert!(shown.starts_with("mcpk_") && shown.len() == 48 && !two.is(shown));
        let known = keys.verify(one.expose(), NOW).unwrap();
        assert_eq!(known.principal().subject, "one");
        assert!(known.principal().scopes.contains("b"));
        assert!(matches!(
            keys.verify(one.expose(), NOW.plus(10)),
            Err(ApiKeyError::Expired { .. })
        ));
        assert!(keys.revoke("two", NOW).unwrap() && !keys.revoke("two", NOW).unwrap());
        assert!(matches!(keys.verify(two.expose(), NOW), Err(ApiKeyError::Revoked { .. })));
        assert!(keys.verify(one.expose(), NOW).is_ok(), "the other one still counts");
    }

    #[test]
    fn two_programs_that_change_one_file_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        std::thread::scope(|scope| {
            for program in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    // Each has opened it by itself, as programs do.
                    let keys = ApiKeys::open(path).unwrap();
                    for key in 0..10 {
                        keys.create(&format!("{program}-{key}"), ["a"], None, NOW).unwrap();
                    }
                });
            }
        });
        assert_eq!(ApiKeys::open(&path).unwrap().list().len(), 40);
    }

    #[cfg(unix)]
    #[test]
    fn a_key_is_revoked_in_the_file_that_a_link_leads_to() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.json"), folder.path().join("keys.json"));
        let gateway = ApiKeys::open(&real).unwrap();
        let key = gateway.create("one", ["a"], None, NOW).unwrap();
        let mode = || std::fs::metadata(&real).unwrap().permissions().mode() & 0o777;
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real.json", &link).unwrap();
        // What somebody has put where files of ours are made.
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        symlink(&victim, beside(&real, &std::process::id().to_string())).unwrap();
        assert!(ApiKeys::open(&link).unwrap().revoke("one", NOW).unwrap());
        let known = gateway.verify(key.expose(), NOW.plus(1));
        assert!(matches!(known, Err(ApiKeyError::Revoked { .. })), "{known:?}");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!((mode(), std::fs::read_to_string(&victim).unwrap()), (0o640, "precious".into()));

        std::fs::remove_file(beside(&real, "lock")).unwrap();
        symlink(&victim, beside(&real, "lock")).unwrap();
        let made = gateway.create("two", ["a"], None, NOW.plus(2));
        assert!(matches!(made, Err(ApiKeyError::File { .. })), "{made:?}");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(ApiKeys::open(&real).is_err(), "everybody gives out keys");
        assert!(ApiKeys::open(folder.path()).is_err(), "no file");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let keys = ApiKeys::new();
        let key = keys.create("one", [""; 0], None, NOW).unwrap();
        let key = key.expose();
        let upper = key.to_uppercase();
        for text in ["", "mcpk_", &key[..47], &upper, &format!("{key} "), &"x".repeat(10_000)] {
            assert!(matches!(keys.verify(text, NOW), Err(ApiKeyError::Unknown)), "{text}");
        }
        assert!(matches!(keys.create("one", [""; 0], None, NOW), Err(ApiKeyError::Name { .. })));
        assert!(matches!(keys.create("", [""; 0], None, NOW), Err(ApiKeyError::Name { .. })));
        for name in ["one\u{200b}", "\u{202e}eno", "a\nb"] {
            let made = keys.create(name, [""; 0], None, NOW);
            assert!(matches!(made, Err(ApiKeyError::Name { .. })), "{name:?}");
        }
        let short = keys.add("two", "your-secret-key", [""; 0], None, NOW);
        assert!(matches!(short, Err(ApiKeyError::Short)));
    }

    #[test]
    fn a_file_holds_digests_and_is_read_again() {
        let folder = std::env::temp_dir().join(format!("etdi-api-keys-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("keys.json");
        let (here, there) = (ApiKeys::open(&path).unwrap(), ApiKeys::open(&path).unwrap());
        let key = here.create("one", ["a"], None, NOW).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(key.expose().trim_start_matches(PREFIX)), "{text}");
        assert_eq!(there.verify(key.expose(), NOW.plus(1)).unwrap().name, "one");
        there.revoke("one", NOW.plus(2)).unwrap();
        assert!(matches!(here.verify(key.expose(), NOW.plus(3)), Err(ApiKeyError::Revoked { .. })));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, "{").unwrap();
        assert!(
            matches!(here.verify(key.expose(), NOW.plus(4)), Err(ApiKeyError::File { .. })),
            "closed"
        );
        let again = here.verify(key.expose(), NOW.plus(4));
        assert!(matches!(again, Err(ApiKeyError::File { .. })), "and stays so: {again:?}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
