//! What goes wrong with Redis, sorted by what an operator does about it.

use std::time::Duration;

use redis::{ErrorKind, ServerErrorKind};

/// Why something was not done. Nothing of what is kept stands in it.
///
/// `Debug` is the text and what is behind it, each said once, so that a `main` that gives it back says what to do.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RedisError {
    /// The addresses or settings cannot be used.
    #[error("Redis cannot be used as it is configured: {0}")]
    Config(String),
    /// There is no connection, or it broke.
    #[error("Redis cannot be reached{}", .0.or(", see that it runs and that its address is right"))]
    Unreachable(#[source] Cause),
    /// It did not answer in the time for which it was waited. What was asked may happen all the same.
    #[error("Redis did not answer within {} ms, see whether it is paused or overloaded", .0.as_millis())]
    TooSlow(Duration),
    /// It has no more memory.
    #[error("Redis is full, give it more memory (`maxmemory`)")]
    Full,
    /// It refused the command: rights, a replica, a master without replicas, an older version.
    #[error(
        "Redis refused a command{}",
        .0.or(", see its rights, its role, its replicas and its version (7 or newer)")
    )]
    Refused(#[source] Cause),
    /// It throws away keys when it is full, so what was used once could count again.
    #[error(
        "Redis throws keys away when it is full: set `maxmemory-policy` to `noeviction`, a check \
         against replay cannot stand on what may vanish"
    )]
    Evicts,
    /// The clocks are too far apart.
    #[error("the clock of this node and that of Redis are more than {0} s apart, set them right")]
    Clock(u64),
    /// It started anew not long ago, or took another's place, and may have forgotten what was used: so many
    /// seconds pass, from when that was noticed, until what is signed or shown then counts.
    #[error(
        "Redis started anew, or took another's place, and may have forgotten what was used: wait {0} s, what \
         is signed or shown after that counts"
    )]
    Forgetful(u64),
    /// It was emptied under this node, which knows what is no more there.
    #[error(
        "Redis has lost what this node knew: bring its data back, or start all nodes anew, after which \
         everybody logs in again"
    )]
    Emptied,
    /// The nodes that started before have another secret under the same prefix.
    #[error(
        "the other nodes under the prefix `{prefix}` have another secret: give this node theirs, or a prefix of its own; \
         where nobody has theirs any more, what it sealed is lost, and `DEL {key}` has the next node begin anew"
    )]
    OtherSecret {
        /// Under which prefix.
        prefix: String,
        /// Where Redis keeps of which secrets its nodes are.
        key: String,
    },
    /// The nodes that started before seal with a secret that this one does not open.
    #[error(
        "the other nodes under the prefix `{prefix}` seal with a secret that this one does not open, though they open \
         what it seals: give it their secret too (`also_opens`), a change of the secret leaves no round out; where the \
         node that started last has a wrong secret, stop it, and `DEL {key}` has the next node that starts, or is asked \
         for its health, note its own"
    )]
    SecretBehind {
        /// Under which prefix.
        prefix: String,
        /// Where Redis keeps of which secrets its nodes are.
        key: String,
    },
    /// The nodes that started before do not open what this one seals, or do not seal with its secret what it is to
    /// seal anew for them.
    #[error(
        "the other nodes under the prefix `{prefix}` do not yet use the secret with which this one seals: see that it is \
         the right one, and not in the place of the one that it also opens; go over all nodes with the old secret that \
         `also_opens` the new one first, then with the new one that `also_opens` the old one, and only then seal anew; \
         where a node with the old secret alone was started last, stop it and start one of the first round (`also_opens`); \
         where the node that started last has a wrong secret, stop it, and `DEL {key}` has the next node that starts, or is \
         asked for its health, note its own"
    )]
    SecretAhead {
        /// Under which prefix.
        prefix: String,
        /// Where Redis keeps of which secrets its nodes are.
        key: String,
    },
    /// The nodes that started before open a secret that this one does not, and this one opens one that they do not.
    #[error(
        "the other nodes under the prefix `{prefix}` open a secret that this one does not, and this one opens one that \
         they do not: one of the two is mistyped, or one change of the secret was begun before another ended: give this \
         node the secrets of the others; where the node that started last has the wrong one, stop it, and \
         `DEL {key}` has the next node that starts, or is asked for its health, note its own"
    )]
    SecretAside {
        /// Under which prefix.
        prefix: String,
        /// Where Redis keeps of which secrets its nodes are.
        key: String,
    },
    /// Something lies in Redis under a secret that this node does not have, or says so.
    #[error(
        "what Redis keeps lies under a secret that this node does not open: start with that secret too (`also_opens`), \
         seal anew (`RedisStores::reseal`), and drop it when nothing is left under it"
    )]
    Unopened,
    /// Something lives longer than the store remembers it.
    #[error("a statement counts longer than the {0} s for which this store is built")]
    TooLong(u64),
    /// There is no room for more of this caller.
    #[error("as much is kept for this caller as may be, try again later")]
    Quota,
    /// Something kept is not what was written.
    #[error("what Redis keeps is not what was written: {0}")]
    Damaged(&'static str),
}

impl std::fmt::Debug for RedisError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut all = self.to_string();
        let mut behind = std::error::Error::source(self);
        while let Some(source) = behind {
            let said = source.to_string();
            if !all.contains(&said) {
                all = format!("{all}: {said}");
            }
            behind = source.source();
        }
        f.write_str(&all)
    }
}

/// What the client of Redis said, and at the start where it was met and what to do about it.
#[derive(Debug, Clone)]
pub struct Cause {
    said: redis::RedisError,
    told: Option<String>,
}

impl Cause {
    /// What the client of Redis said.
    pub fn said(&self) -> &redis::RedisError {
        &self.said
    }

    /// Whether Redis said so, by the word that its errors begin with.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.said.code() == Some(code) || self.said.to_string().contains(code)
    }

    pub(crate) fn told(self, told: String) -> Self {
        Self { told: Some(told), ..self }
    }

    fn or(&self, else_told: &str) -> String {
        self.told.as_ref().map_or(else_told.to_owned(), |told| format!(" at {told}"))
    }
}

impl From<redis::RedisError> for Cause {
    fn from(said: redis::RedisError) -> Self {
        Self { said: without_arguments(said), told: None }
    }
}

/// A server that does not know a command says with what it was called: `HELLO` with a user and a password.
fn without_arguments(said: redis::RedisError) -> redis::RedisError {
    match said.to_string().split_once(", with args beginning") {
        Some((before, _)) => (said.kind(), "Redis said", before.to_owned()).into(),
        None => said,
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.said.fmt(f)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // Of what a server says the client's error is the same text once more.
        self.said.source().filter(|source| source.to_string() != self.said.to_string())
    }
}

/// Kinds of [`RedisError`], as they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// [`RedisError::Config`]
    Config,
    /// [`RedisError::Unreachable`]
    Unreachable,
    /// [`RedisError::TooSlow`]
    TooSlow,
    /// [`RedisError::Full`]
    Full,
    /// [`RedisError::Refused`]
    Refused,
    /// [`RedisError::Evicts`]
    Evicts,
    /// [`RedisError::Clock`]
    Clock,
    /// [`RedisError::Forgetful`]
    Forgetful,
    /// [`RedisError::Emptied`]
    Emptied,
    /// [`RedisError::OtherSecret`], [`RedisError::SecretBehind`], [`RedisError::SecretAhead`],
    /// [`RedisError::SecretAside`] and [`RedisError::Unopened`]
    Secret,
    /// [`RedisError::TooLong`]
    TooLong,
    /// [`RedisError::Quota`]
    Quota,
    /// [`RedisError::Damaged`]
    Damaged,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Config,
        Self::Unreachable,
        Self::TooSlow,
        Self::Full,
        Self::Refused,
        Self::Evicts,
        Self::Clock,
        Self::Forgetful,
        Self::Emptied,
        Self::Secret,
        Self::TooLong,
        Self::Quota,
        Self::Damaged,
    ];

    /// The name under which it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Unreachable => "unreachable",
            Self::TooSlow => "too_slow",
            Self::Full => "full",
            Self::Refused => "refused",
            Self::Evicts => "evicts",
            Self::Clock => "clock",
            Self::Forgetful => "forgetful",
            Self::Emptied => "emptied",
            Self::Secret => "secret",
            Self::TooLong => "too_long",
            Self::Quota => "quota",
            Self::Damaged => "damaged",
        }
    }
}

impl RedisError {
    /// Which kind it is.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Config(_) => Failure::Config,
            Self::Unreachable(_) => Failure::Unreachable,
            Self::TooSlow(_) => Failure::TooSlow,
            Self::Full => Failure::Full,
            Self::Refused(_) => Failure::Refused,
            Self::Evicts => Failure::Evicts,
            Self::Clock(_) => Failure::Clock,
            Self::Forgetful(_) => Failure::Forgetful,
            Self::Emptied => Failure::Emptied,
            Self::OtherSecret { .. }
            | Self::SecretBehind { .. }
            | Self::SecretAhead { .. }
            | Self::SecretAside { .. }
            | Self::Unopened => Failure::Secret,
            Self::TooLong(_) => Failure::TooLong,
            Self::Quota => Failure::Quota,
            Self::Damaged(_) => Failure::Damaged,
        }
    }

    /// Sorts what the client of Redis says; `waited` is for how long it was asked.
    pub(crate) fn of(error: redis::RedisError, waited: Duration) -> Self {
        let error = without_arguments(error);
        if error.is_timeout() {
            return Self::TooSlow(waited);
        }
        if error.code() == Some("OOM") {
            return Self::Full;
        }
        match error.kind() {
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::TryAgain,
            ) => Self::Unreachable(error.into()),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
                Self::Damaged("an answer has another shape")
            }
            // A script that is out of memory in its midst says so in its own words.
            _ if error.detail().is_some_and(|text| text.contains("OOM ")) => Self::Full,
            ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::AuthenticationFailed => {
                Self::Refused(error.into())
            }
            ErrorKind::InvalidClientConfig => Self::Config(error.to_string()),
            _ => Self::Unreachable(error.into()),
        }
    }
}
