//! Where the user's private keys lie: a PEM file each, or sealed with a passphrase; and beside each
//! its public half, which needs no passphrase.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use etdi::core::change::visible;
use etdi::core::key::{Algorithm, KeyRing, SigningKey, VerifyingKey};
use etdi_core::secret::{KeychainError, Protection, Secret, SecretStore};

use crate::exit::Failure;
use crate::home::{Home, is_exposed, write_private};
use crate::keyring;
use crate::locked;
use crate::passphrase;
use crate::verbs::signer::from_keychain;
use crate::verbs::target::{quoted, shown_path};

/// The names of the user's keys, in order.
///
/// # Errors
///
/// When the directory cannot be read.
pub(super) fn names(home: &Home) -> Result<Vec<String>, Failure> {
    let directory = home.directory("keys")?;
    let entries = std::fs::read_dir(&directory).map_err(|error| {
        let message = format!("cannot read `{}`: {error}", directory.display());
        Failure::usage(message, format!("ls -ld {}", shown_path(&directory)))
    })?;
    let name = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let name = name.strip_suffix(".pem").or_else(|| name.strip_suffix(".jwks"))?;
        is_name(name).then(|| name.to_owned())
    };
    let mut names: Vec<String> = entries.flatten().filter_map(name).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Whether there is a key of a name.
pub(super) fn exists(home: &Home, name: &str) -> bool {
    let there = |suffix| home.path().join("keys").join(format!("{name}.{suffix}")).exists();
    there("pem") || there("jwks") || there("keyring")
}

/// Whether the private half is sealed.
pub(super) fn is_sealed(home: &Home, name: &str) -> bool {
    !home.path().join("keys").join(format!("{name}.pem")).exists()
}

/// Keeps a new key: sealed where there is a protection, else as a file that is open to its owner
/// only. A key of that name is never replaced.
///
/// # Errors
///
/// When the name is taken or no name, or the key cannot be written.
pub(super) fn keep(
    home: &Home,
    name: &str,
    key: &SigningKey,
    protection: Option<Protection>,
) -> Result<PathBuf, Failure> {
    let path = path_of(home, name, if protection.is_some() { "jwks" } else { "pem" })?;
    if exists(home, name) {
        return Err(taken(&path));
    }
    let public: KeyRing = [key.verifying_key().clone()].into_iter().collect();
    match protection {
        Some(protection) if protection.keyring().is_some() => {
            let account = account(name);
            let keychain = keyring::keychain()?;
            if keychain.get(&account).map_err(|error| kept_not(&account, &error))?.is_some() {
                let message =
                    format!("the keyring has an entry `{account}` already, of another home");
                return Err(Failure::usage(
                    message,
                    format!("etdi keys generate --keyring {name}-2"),
                ));
            }
            let pem = Secret::from(key.to_pkcs8_pem().as_str());
            keychain.set(&account, &pem).map_err(|error| kept_not(&account, &error))?;
            write(home, &path_of(home, name, KEYRING)?, format!("{account}\n").as_bytes())?;
        }
        Some(protection) => {
            let sealed = store(home, protection)?;
            // What is sealed and has no public half beside it is no key yet, and may be replaced.
            sealed.put(name, &Secret::new(key.to_pkcs8_der().to_vec())).map_err(locked::failed)?;
        }
        None => write(home, &path, key.to_pkcs8_pem().as_bytes())?,
    }
    write(home, &path_of(home, name, "jwks")?, public.to_jwks().as_bytes())?;
    Ok(path)
}

fn write(home: &Home, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_private(path, bytes).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => taken(path),
        _ => Failure::usage(
            format!("cannot write `{}`: {error}", path.display()),
            format!("ls -ld {}", shown_path(home.path())),
        ),
    })
}

fn taken(path: &Path) -> Failure {
    let name = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    let message = format!(
        "there is a key `{}` already: yours, or made by the first call that was signed; use it, or \
         give the new one another name",
        visible(&name)
    );
    Failure::usage(message, format!("etdi keys generate {}-2", quoted(&name)))
}

/// The public half of a key, without its passphrase.
///
/// # Errors
///
/// When there is none, or it cannot be read.
pub(super) fn public(home: &Home, name: &str) -> Result<VerifyingKey, Failure> {
    let path = path_of(home, name, "jwks")?;
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        // Keys of before had none.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(load(home, name)?.verifying_key().clone());
        }
        Err(error) => return Err(unreadable(&path, &error.to_string())),
    };
    let ring = KeyRing::from_jwks(&text).map_err(|error| unreadable(&path, &error.to_string()))?;
    ring.iter().next().cloned().ok_or_else(|| unreadable(&path, "it holds no key"))
}

/// Reads the key of a name, or of a path to a PEM file. A passphrase is asked for where one is
/// needed.
///
/// # Errors
///
/// When there is none, it is open to others, or it is no key.
pub fn load(home: &Home, name: &str) -> Result<SigningKey, Failure> {
    if name.contains(['/', '.']) {
        return read_pem(Path::new(name));
    }
    let path = path_of(home, name, "pem")?;
    if path.exists() {
        let key = read_pem(&path)?;
        return with_its_algorithm(home, name, key);
    }
    if !exists(home, name) {
        let message = format!("there is no key `{}`", visible(name));
        return Err(Failure::usage(message, format!("etdi keys generate {name}")));
    }
    if is_in_keyring(home, name) {
        let key = from_keychain(&*keyring::keychain()?, &account(name))?;
        return with_its_algorithm(home, name, key);
    }
    let sealed = store(home, passphrase::needed(&format!("the key `{name}`"))?)?;
    let secret = sealed.get(name).map_err(locked::failed)?;
    let secret = secret.ok_or_else(|| unreadable(&path, "its private half is gone"))?;
    let key = SigningKey::from_pkcs8_der(secret.reveal())
        .map_err(|error| unreadable(&path, &error.to_string()))?;
    with_its_algorithm(home, name, key)
}

/// PKCS#8 does not say by which algorithm an RSA key signs; the public half does. They belong
/// together, or neither counts.
fn with_its_algorithm(home: &Home, name: &str, key: SigningKey) -> Result<SigningKey, Failure> {
    let path = path_of(home, name, "jwks")?;
    if !path.exists() {
        return Ok(key);
    }
    let public = public(home, name)?;
    if public.id() != key.id() {
        return Err(unreadable(&path, "it is the public half of another key"));
    }
    key.with_algorithm(public.algorithm()).map_err(|error| unreadable(&path, &error.to_string()))
}

fn read_pem(path: &Path) -> Result<SigningKey, Failure> {
    if is_exposed(path) {
        return Err(Failure::usage(
            format!(
                "key file `{}` is open to other users, so it may not be secret any more",
                path.display()
            ),
            format!("chmod 600 {}", shown_path(path)),
        ));
    }
    let pem = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let message = format!("there is no key `{}`", visible(&path.display().to_string()));
            Failure::usage(message, "etdi keys list")
        }
        _ => unreadable(path, &error.to_string()),
    })?;
    SigningKey::from_pkcs8_pem(&pem).map_err(|error| unreadable(path, &error.to_string()))
}

/// Seals a key that lies open, and removes its file.
///
/// # Errors
///
/// When it is sealed already, or cannot be.
pub(super) fn encrypt(home: &Home, name: &str) -> Result<VerifyingKey, Failure> {
    let path = path_of(home, name, "pem")?;
    let key = load(home, name)?;
    if !path.exists() {
        let message = format!("the key `{name}` is encrypted already");
        return Err(Failure::usage(message, "etdi keys list"));
    }
    let sealed = store(home, passphrase::wanted(passphrase::PASSPHRASE)?)?;
    sealed.put(name, &Secret::new(key.to_pkcs8_der().to_vec())).map_err(locked::failed)?;
    let public = path_of(home, name, "jwks")?;
    if !public.exists() {
        let ring: KeyRing = [key.verifying_key().clone()].into_iter().collect();
        write(home, &public, ring.to_jwks().as_bytes())?;
    }
    let removed = std::fs::remove_file(&path);
    removed.map_err(|error| unreadable(&path, &format!("it cannot be removed: {error}")))?;
    Ok(key.verifying_key().clone())
}

/// Gives a key another name.
///
/// # Errors
///
/// When the name is taken, or the files cannot be moved.
pub(super) fn rename(home: &Home, from: &str, to: &str) -> Result<(), Failure> {
    if exists(home, to) {
        return Err(taken(&path_of(home, to, "jwks")?));
    }
    if is_in_keyring(home, from) {
        let (keychain, old, new) = (keyring::keychain()?, account(from), account(to));
        let entry = keychain.get(&old).map_err(|error| kept_not(&old, &error))?;
        let gone = || Failure::usage("its private half is gone", "etdi keys list");
        keychain.set(&new, &entry.ok_or_else(gone)?).map_err(|error| kept_not(&new, &error))?;
        keychain.delete(&old).map_err(|error| kept_not(&old, &error))?;
    } else if is_sealed(home, from) {
        let sealed = store(home, passphrase::needed(&format!("the key `{from}`"))?)?;
        let secret = sealed.get(from).map_err(locked::failed)?;
        let gone = || Failure::usage("its private half is gone", "etdi keys list");
        sealed.put(to, &secret.ok_or_else(gone)?).map_err(locked::failed)?;
        sealed.delete(from).map_err(locked::failed)?;
    }
    for suffix in ["pem", "jwks", KEYRING] {
        let (old, new) = (path_of(home, from, suffix)?, path_of(home, to, suffix)?);
        match std::fs::rename(&old, &new) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(unreadable(&old, &error.to_string()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The file that marks a key whose private half is in the system's keyring.
const KEYRING: &str = "keyring";

/// Whether the private half is in the system's keyring.
pub(super) fn is_in_keyring(home: &Home, name: &str) -> bool {
    home.path().join("keys").join(format!("{name}.{KEYRING}")).exists()
}

/// The entry of a key in the keyring, which `etdi sign --key keyring:` takes as well.
fn account(name: &str) -> String {
    format!("etdi-key-{name}")
}

fn kept_not(account: &str, error: &KeychainError) -> Failure {
    Failure::usage(format!("the keyring's entry `{account}`: {error}"), "etdi keys list")
}

/// What a new key is protected with: a passphrase or key that was chosen, or one that is asked for.
///
/// # Errors
///
/// When it cannot be read, or is wanted and there is nobody to ask.
pub(super) fn protection(encrypt: bool) -> Result<Option<Protection>, Failure> {
    match encrypt {
        true => passphrase::wanted(passphrase::PASSPHRASE).map(Some),
        false => passphrase::chosen(),
    }
}

/// Makes a key.
///
/// # Errors
///
/// When the system has no randomness to give, or RSA keys of that size are not made.
pub(super) fn generate(algorithm: Algorithm, bits: usize) -> Result<SigningKey, Failure> {
    let made = match algorithm.is_rsa() {
        true => SigningKey::generate_rsa(algorithm, bits),
        false => SigningKey::generate(algorithm),
    };
    made.map_err(|error| Failure::usage(error.to_string(), "etdi keys generate --help"))
}

fn store(home: &Home, protection: Protection) -> Result<SecretStore, Failure> {
    SecretStore::open(home.directory("keys")?.join("sealed"), protection).map_err(locked::failed)
}

fn unreadable(path: &Path, why: &str) -> Failure {
    Failure::usage(format!("`{}`: {why}", path.display()), "etdi keys list")
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !name.is_empty() && name.len() <= 64 && name.chars().all(plain)
}

/// The file of a key; only plain names, so that none leads elsewhere.
fn path_of(home: &Home, name: &str, suffix: &str) -> Result<PathBuf, Failure> {
    if !is_name(name) {
        return Err(Failure::usage(
            format!("`{}` is no name for a key, use letters, digits, `-` and `_`", visible(name)),
            "etdi keys generate publisher",
        ));
    }
    Ok(home.directory("keys")?.join(format!("{name}.{suffix}")))
}
