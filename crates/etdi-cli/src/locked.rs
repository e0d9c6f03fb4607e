//! The user's approval store, opened with what protects it.

use std::io::Write as _;
use std::path::PathBuf;

use etdi::config::ConfigError;
use etdi::config::place::{ApprovalPlace, Sealed, Taken};
use etdi_core::approval::StoreError;
use etdi_core::secret::{Protection, ProtectionKind, SecretStore};
use etdi_core::store::FileStore;

use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::passphrase;
use crate::verbs::target::quoted;

/// The approvals of the user, sealed: by what the user chose, else by the keyring or a key file.
///
/// # Errors
///
/// When they cannot be read; nothing counts as approved then.
pub fn approvals(home: &Home) -> Result<FileStore, Failure> {
    open(home, Taken::Checked)
}

/// The same, as it is to be taken.
///
/// # Errors
///
/// As [`approvals`].
pub fn open(home: &Home, taken: Taken) -> Result<FileStore, Failure> {
    let place = place(home)?;
    let sealed = place.seal(chosen(&place)?, taken).map_err(unfit)?;
    opened(&place, sealed, taken)
}

/// The same beside a file that a passphrase seals: what was given is the file's
/// alone where it does not open the store, and the store opens by itself.
///
/// # Errors
///
/// As [`approvals`].
pub fn beside_a_file(home: &Home) -> Result<FileStore, Failure> {
    let place = place(home)?;
    let chosen = chosen(&place)?;
    let sealed = match place.seal(chosen, Taken::Checked) {
        Err(ConfigError::OtherwiseSealed { .. }) => place.seal(None, Taken::Checked),
        sealed => sealed,
    };
    opened(&place, sealed.map_err(unfit)?, Taken::Checked)
}

fn opened(place: &ApprovalPlace, sealed: Sealed, taken: Taken) -> Result<FileStore, Failure> {
    if let Some(count) = sealed.taken_over {
        // On standard error: it is no part of what was asked for.
        _ = writeln!(
            std::io::stderr(),
            "etdi: sealed {count} approvals that lay in the clear; whoever could write them before \
             may have made some, so look at them with `etdi approvals list`"
        );
    }
    sealed.options(taken).open(place.directory()).map_err(failed)
}

/// The directory of what has to stay secret beside the approvals, in the home.
pub const SECRETS: &str = "secrets";

/// What has to stay secret beside the approvals, under the same protection: logins, keys of programs.
///
/// # Errors
///
/// When it does not open.
pub fn secrets(home: &Home) -> Result<SecretStore, Failure> {
    let place = place(home)?;
    let sealed = place.seal(chosen(&place)?, Taken::Checked).map_err(unfit)?;
    SecretStore::open(home.directory(SECRETS)?, sealed.protection).map_err(failed)
}

/// Where the approvals are.
///
/// # Errors
///
/// When there is no place for them.
pub fn place(home: &Home) -> Result<ApprovalPlace, Failure> {
    home.directory("approvals")?;
    let place = ApprovalPlace::of_command(home.path(), Some(state(home)?));
    Ok(place.prefer_keyring(home.is_standard()))
}

/// What the user chose, or types where the store wants a passphrase.
fn chosen(place: &ApprovalPlace) -> Result<Option<Protection>, Failure> {
    match place.sealed_by().map_err(unfit)? {
        Some(ProtectionKind::Passphrase) => passphrase::needed("the approval store").map(Some),
        _ => passphrase::chosen(),
    }
}

/// What protects the store now, and whether the user chose it.
///
/// # Errors
///
/// When it does not open.
pub fn present(place: &ApprovalPlace, by: ProtectionKind) -> Result<(Sealed, bool), Failure> {
    let sealed = |protection| place.seal(Some(protection), Taken::Checked).map_err(unfit);
    let opens = |sealed: &Sealed| sealed.options(Taken::Checked).open(place.directory());
    let chosen = chosen(place)?.filter(|chosen| chosen.kind() == by);
    let Some(chosen) = chosen else {
        return Ok((sealed(place.own(by).map_err(unfit)?)?, false));
    };
    let chosen = sealed(chosen)?;
    match opens(&chosen) {
        // The key that was chosen may be the one that it is to have from now on.
        Err(_) if by == ProtectionKind::HostKey => match place.own(by) {
            Ok(own) => Ok((sealed(own)?, false)),
            Err(_) => Ok((chosen, true)),
        },
        _ => Ok((chosen, true)),
    }
}

/// The directory for state, which is not where the data is, because backups seldom go there:
/// `$ETDI_STATE`, else beside a home that was set by hand, else `etdi` in the XDG state directory.
pub fn state(home: &Home) -> Result<PathBuf, Failure> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(chosen) = set("ETDI_STATE") {
        return Ok(chosen);
    }
    let standard = || {
        let state = set("XDG_STATE_HOME").filter(|path| path.is_absolute());
        state.or_else(|| Some(set("HOME")?.join(".local/state"))).map(|path| path.join("etdi"))
    };
    match standard().filter(|_| home.is_standard()) {
        Some(path) => Ok(path),
        None => home.directory("state"),
    }
}

/// What it means at the terminal that there is nothing to open the store with, or the wrong thing.
pub fn unfit(error: ConfigError) -> Failure {
    let next = match &error {
        // Not to take what another put there: it is to go out of the way.
        ConfigError::Replaced { path } => {
            let path = path.trim_end_matches('/');
            format!("mv {} {}", quoted(path), quoted(&format!("{path}.planted")))
        }
        ConfigError::OtherwiseSealed { .. } => "etdi approvals encrypt".to_owned(),
        ConfigError::KeyGone { key, .. } => format!("ls -l {key}"),
        _ => "etdi approvals list".to_owned(),
    };
    match error {
        ConfigError::Store(error) => failed(error),
        error => Failure::new(Exit::Refused, error.to_string(), next).with_code("STORE_FAILED"),
    }
}

/// What a fault of the store means at the terminal.
pub fn failed(error: StoreError) -> Failure {
    let next = match &error {
        StoreError::RolledBack { .. } | StoreError::Anchor { .. } => {
            "etdi approvals accept-restored"
        }
        StoreError::ClockBack { .. } => "etdi approvals set-clock",
        StoreError::NotEncrypted { .. } => "etdi approvals encrypt",
        _ => "etdi approvals list",
    };
    let message = match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    Failure::new(Exit::Refused, message, next).with_code("STORE_FAILED")
}
