//! Who the user is that is asked.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use etdi_core::time::UnixTime;
use mcp_types::BoxFuture;
use ring::pbkdf2;
use zeroize::Zeroizing;

use super::bucket::Bucket;
use super::seal::{decode, encode, random_bytes};

/// Tells who a user is by what was typed into the consent page. Object safe.
pub trait Login: Send + Sync {
    /// Whether the page asks for a password.
    fn asks_password(&self) -> bool;

    /// The user's name in tokens, or `None` when this is nobody. Whoever implements it bounds how
    /// often one may try.
    fn log_in<'a>(
        &'a self,
        name: &'a str,
        password: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Option<String>>;
}

/// Believes whatever name is typed. For development, on a server that nobody else can reach.
#[derive(Clone, Copy, Debug, Default)]
pub struct DevelopmentLogin;

impl Login for DevelopmentLogin {
    fn asks_password(&self) -> bool {
        false
    }

    fn log_in<'a>(
        &'a self,
        name: &'a str,
        _password: &'a str,
        _now: UnixTime,
    ) -> BoxFuture<'a, Option<String>> {
        Box::pin(std::future::ready(plain(name)))
    }
}

/// Users with passwords, of which salted PBKDF2 (HMAC-SHA-256) is kept.
///
/// A user may try ten times a minute, all together sixty times; a name that there is not takes as
/// long as one that there is. The work is done on a thread of tokio's that may block.
///
/// ```
/// use etdi_oauth::embedded::Passwords;
///
/// let record = "pbkdf2-sha256$600000$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// let users = Passwords::new().user("alice", record)?;
/// assert!(users.user("bob", "bob's password").is_err(), "a record, never the password itself");
/// # Ok::<(), etdi_oauth::embedded::PasswordError>(())
/// ```
#[derive(Clone)]
pub struct Passwords {
    users: BTreeMap<String, User>,
    all: Arc<Bucket>,
}

#[derive(Clone)]
struct User {
    record: Record,
    tries: Arc<Bucket>,
}

#[derive(Clone)]
struct Record {
    rounds: NonZeroU32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

const SCHEME: &str = "pbkdf2-sha256";

/// What is recommended in 2026 for this function.
const ROUNDS: NonZeroU32 = match NonZeroU32::new(600_000) {
    Some(rounds) => rounds,
    None => NonZeroU32::MIN,
};

const TRIES: u32 = 10;
const ALL_TRIES: u32 = 60;

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

impl Passwords {
    /// No users.
    pub fn new() -> Self {
        Self { users: BTreeMap::new(), all: Arc::new(Bucket::per_minute(ALL_TRIES)) }
    }

    /// Adds a user, whose password is in the record that [`Passwords::record`] made.
    ///
    /// # Errors
    ///
    /// When the name cannot be one, or the record is none.
    pub fn user(mut self, name: &str, record: &str) -> Result<Self, PasswordError> {
        let name = plain(name).ok_or(PasswordError::Name)?;
        let record = Record::read(record).ok_or(PasswordError::Record)?;
        let tries = Arc::new(Bucket::per_minute(TRIES));
        self.users.insert(name, User { record, tries });
        Ok(self)
    }

    /// What is kept of a password, in one line: the function, its rounds, a salt and the hash.
    ///
    /// # Errors
    ///
    /// When the password has less than eight characters, or the system gives no randomness.
    pub fn record(password: &str) -> Result<String, PasswordError> {
        Self::record_with(password, ROUNDS)
    }

    fn record_with(password: &str, rounds: NonZeroU32) -> Result<String, PasswordError> {
        if password.chars().count() < 8 {
            return Err(PasswordError::Short);
        }
        let random = random_bytes().map_err(|_| PasswordError::Random)?;
        let salt = random.get(..16).unwrap_or_default();
        let mut hash = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut hash);
        Ok(format!("{SCHEME}${rounds}${}${}", encode(salt), encode(&hash)))
    }
}

impl Record {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('$');
        let scheme = parts.next().filter(|scheme| *scheme == SCHEME);
        let rounds =
            parts.next()?.parse().ok().filter(|rounds: &NonZeroU32| rounds.get() <= 10_000_000);
        let (salt, hash) = (decode(parts.next()?)?, decode(parts.next()?)?);
        let fits = salt.len() >= 16 && hash.len() == 32 && parts.next().is_none();
        scheme.filter(|_| fits)?;
        Some(Self { rounds: rounds?, salt, hash })
    }

    fn holds(&self, password: &str) -> bool {
        let (rounds, password) = (self.rounds, password.as_bytes());
        pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &self.salt, password, &self.hash).is_ok()
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.users.keys()).finish()
    }
}

impl Login for Passwords {
    fn asks_password(&self) -> bool {
        true
    }

    fn log_in<'a>(
        &'a self,
        name: &'a str,
        password: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move {
            let user = self.users.get(name.trim());
            // The user's own first, so that who tries one name uses up nobody else's.
            let may = user.is_none_or(|user| user.tries.take(now)) && self.all.take(now);
            if !may || password.len() > 1_024 {
                return None;
            }
            let record = user.or_else(|| self.users.values().next())?.record.clone();
            let password = Zeroizing::new(password.to_owned());
            let holds = tokio::task::spawn_blocking(move || record.holds(&password)).await;
            (user.is_some() && holds.is_ok_and(|holds| holds)).then(|| name.trim().to_owned())
        })
    }
}

/// Why there is no such user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// The name is empty, too long or holds control characters.
    #[error("the user's name is empty, longer than 64 bytes or not printable, choose another")]
    Name,
    /// The text is no record.
    #[error("this is no record of a password, make one with `etdi auth user`")]
    Record,
    /// The password can be guessed.
    #[error("the password is too short, use at least 8 characters")]
    Short,
    /// The system gives no randomness.
    #[error("the system gives no randomness, try again")]
    Random,
}

/// A name as it stands in tokens.
fn plain(name: &str) -> Option<String> {
    let fits = name.len() <= 64 && !name.chars().any(char::is_control);
    fits.then(|| name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Passwords {
        let rounds = NonZeroU32::new(1_000).unwrap();
        let record = Passwords::record_with("correct horse", rounds).unwrap();
        Passwords::new().user("alice", &record).unwrap().user("bob", &record).unwrap()
    }

    #[tokio::test]
    async fn who_knows_the_password_is_the_user() {
        let users = users();
        let log_in = |name, password| users.log_in(name, password, UnixTime(1_000));
        assert_eq!(log_in("alice", "correct horse").await.as_deref(), Some("alice"));
        assert_eq!(log_in(" bob ", "correct horse").await.as_deref(), Some("bob"));
        for (name, password) in
            [("alice", "wrong horse"), ("alice", ""), ("carol", "correct horse"), ("", "")]
        {
            assert_eq!(log_in(name, password).await, None, "{name} {password}");
        }
        assert_eq!(Passwords::record("short"), Err(PasswordError::Short));
        for bad in ["", "pbkdf2-sha256$0$AAAA$AAAA", "md5$1$AAAA$AAAA", "correct horse"] {
            assert_eq!(Passwords::new().user("a", bad).unwrap_err(), PasswordError::Record);
        }
    }

    #[tokio::test]
    async fn who_guesses_is_slowed_and_holds_up_nobody_else() {
        let users = users();
        let now = UnixTime(1_000);
        for _ in 0..10 {
            assert_eq!(users.log_in("alice", "a guess", now).await, None);
        }
        assert_eq!(users.log_in("alice", "correct horse", now).await, None, "enough for now");
        assert!(users.log_in("bob", "correct horse", now).await.is_some());
        assert!(users.log_in("alice", "correct horse", now.plus(6)).await.is_some());
    }
}
