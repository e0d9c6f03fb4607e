//! Whose calls a server knows: the keys of its clients, by name.
//!
//! [`ClientKeys`] is what a guard asks. [`KnownClients`] answers from four places, in this order:
//! keys that an operator named (`etdi keys trust FILE --as NAME`), the key that a verified access
//! token is bound to, what the configured issuers of clients publish, and first use, where that is
//! switched on. A key that is taken on first use is written down only after its signature was
//! checked ([`ClientKeys::seen`]), shown to people, and can be removed, after which it is a stranger's
//! until it is named; it shows that the same client calls again, not who that is.
//!
//! ```
//! use etdi_core::client_keys::{ClientKeyError, ClientKeys, ClientTrust, Introduction, KnownClients};
//! use etdi_core::key::{Algorithm, SigningKey};
//! use etdi_core::time::UnixTime;
//!
//! # futures_executor::block_on(async {
//! let now = UnixTime(1_767_323_045);
//! let (alice, mallory) = (SigningKey::generate(Algorithm::EdDsa)?, SigningKey::generate(Algorithm::EdDsa)?);
//! let clients = KnownClients::new();
//! clients.trust("alice", alice.verifying_key().clone(), now)?;
//! assert_eq!(clients.known(alice.id(), now).unwrap().name, "alice");
//!
//! // A stranger is refused, however valid the signature.
//! let stranger = Introduction::new(mallory.id()).bringing(mallory.verifying_key());
//! assert_eq!(clients.find(stranger, now).await, Err(ClientKeyError::Unknown { key: mallory.id() }));
//!
//! // Unless first use is taken: then it is the same stranger from now on.
//! let open = KnownClients::new().taking_first_use();
//! let client = open.find(stranger, now).await?;
//! assert_eq!(client.trust, ClientTrust::FirstUse);
//! open.seen(&client, now).await?;
//! assert_eq!(open.known(mallory.id(), now), Some(client));
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use mcp_types::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::identity::ProviderId;
use crate::ijson::{Document, Limits};
use crate::key::{KeyError, KeyId, VerifyingKey};
use crate::key_source::{KeySource, KeySourceError};
use crate::level::SecurityLevel;
use crate::time::UnixTime;

mod file;

pub use file::FileClients;

/// Tells whose key a call is signed with. Object safe; a guard asks [`known`](Self::known) in
/// place, [`find`](Self::find) when that knows nothing, and [`seen`](Self::seen) once the
/// signature is checked.
pub trait ClientKeys: Send + Sync {
    /// The client of a key that is known already, without waiting.
    fn known(&self, key: KeyId, now: UnixTime) -> Option<Arc<Client>>;

    /// The client of a key that may have to be asked for. The signature is not checked yet:
    /// nothing may be kept of what is given here.
    ///
    /// # Errors
    ///
    /// [`ClientKeyError::Unknown`] for a stranger, [`ClientKeyError::Unavailable`] when it cannot
    /// be told now.
    fn find<'a>(
        &'a self,
        caller: Introduction<'a>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Arc<Client>, ClientKeyError>>;

    /// Notes that the client that [`find`](Self::find) gave signed a call that is valid. What is
    /// taken on first use is written down here; a call whose client cannot be written down is
    /// refused.
    ///
    /// # Errors
    ///
    /// When it cannot be kept.
    fn seen<'a>(
        &'a self,
        client: &'a Arc<Client>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<(), ClientKeyError>>;
}

/// A caller as it presents itself, before anything is checked.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Introduction<'a> {
    /// The thumbprint of the key that is said to have signed.
    pub key: KeyId,
    /// The key itself, where the call brings it.
    pub brought: Option<&'a VerifyingKey>,
    /// The key that the caller's access token is bound to (`cnf.jkt`, RFC 7800), where a layer
    /// outside has verified one.
    pub confirmed: Option<KeyId>,
}

impl<'a> Introduction<'a> {
    /// A caller that names a key.
    pub fn new(key: KeyId) -> Self {
        Self { key, brought: None, confirmed: None }
    }

    /// It brings the key along.
    #[must_use]
    pub fn bringing(mut self, key: &'a VerifyingKey) -> Self {
        self.brought = Some(key);
        self
    }

    /// Its verified access token is bound to this key.
    #[must_use]
    pub fn confirmed(mut self, key: KeyId) -> Self {
        self.confirmed = Some(key);
        self
    }

    /// The key that it brings, if that is the one that it names.
    fn own(&self) -> Option<&'a VerifyingKey> {
        self.brought.filter(|brought| brought.id() == self.key)
    }
}

/// A client and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Client {
    /// A name for policies and people: that of the operator, or one made of issuer or thumbprint.
    pub name: String,
    /// The key.
    pub key: VerifyingKey,
    /// How it is known.
    pub trust: ClientTrust,
    /// Since when.
    pub since: UnixTime,
}

/// How a client's key is known. Ordered from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientTrust {
    /// It was there first.
    FirstUse,
    /// An issuer of clients publishes it.
    Issuer,
    /// The verified access token of the call is bound to it.
    Token,
    /// An operator named it.
    Named,
}

/// Why a client's key does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientKeyError {
    /// Nobody here knows it.
    #[error(
        "key {key} belongs to no client that is known here, have it added with `etdi keys trust`"
    )]
    Unknown {
        /// The key.
        key: KeyId,
    },
    /// It cannot be told now whose it is.
    #[error("it cannot be told now whose key {key} is: {why}")]
    Unavailable {
        /// The key.
        key: KeyId,
        /// What failed.
        why: String,
    },
    /// No name.
    #[error("`{}` is no name of a client, use up to 64 letters, digits and `._@:-`", .0.escape_debug())]
    Name(String),
    /// There is no room for more clients.
    #[error("{0} clients were taken on first use already, remove some with `etdi keys revoke`")]
    Full(usize),
    /// There is no room for another key in the file.
    #[error("the list of known clients is full, remove some with `etdi keys revoke`")]
    Crowded,
    /// What is kept cannot be read or written.
    #[error("the list of known clients cannot be used: {0}")]
    Store(String),
    /// A key in it cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The most clients that are taken on first use, so that nobody fills the list.
pub const MAX_FIRST_USE: usize = 1_024;

/// The most removed keys that are remembered.
const MAX_REMOVED: usize = 4_096;

/// The most bytes of a list of clients.
const MAX_LENGTH: usize = Limits::STATEMENT.bytes;

/// Clients by key, in memory. [`FileClients`] keeps them in a file.
#[derive(Default)]
pub struct KnownClients {
    clients: RwLock<BTreeMap<KeyId, Arc<Client>>>,
    /// Keys that were removed: first use does not bring them back.
    removed: Mutex<BTreeSet<KeyId>>,
    issuers: Option<(Vec<ProviderId>, Arc<dyn KeySource>)>,
    first_use: bool,
}

impl KnownClients {
    /// Knows nobody and takes nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Knows nobody; takes keys on first use where the level does: `basic` and `enhanced`.
    pub fn at(level: SecurityLevel) -> Self {
        Self { first_use: level < SecurityLevel::Strict, ..Self::default() }
    }

    /// Takes keys on first use, whatever the level.
    #[must_use]
    pub fn taking_first_use(mut self) -> Self {
        self.first_use = true;
        self
    }

    /// Also takes the keys that these issuers publish, which `source` asks for.
    #[must_use]
    pub fn issued_by(
        mut self,
        issuers: impl IntoIterator<Item = ProviderId>,
        source: Arc<dyn KeySource>,
    ) -> Self {
        self.issuers = Some((issuers.into_iter().collect(), source));
        self
    }

    /// Knows a key by a name from now on; several keys may have one name.
    ///
    /// # Errors
    ///
    /// [`ClientKeyError::Name`] for a text that is no name.
    pub fn trust(
        &self,
        name: &str,
        key: VerifyingKey,
        now: UnixTime,
    ) -> Result<(), ClientKeyError> {
        if !is_name(name) {
            return Err(ClientKeyError::Name(name.chars().take(80).collect()));
        }
        let (name, id) = (name.to_owned(), key.id());
        let client = Client { name, key, trust: ClientTrust::Named, since: now };
        self.removed().remove(&id);
        self.write().insert(id, Arc::new(client));
        Ok(())
    }

    /// Removes a key, which is not taken on first use again. Says whether it was known.
    pub fn remove(&self, key: KeyId) -> bool {
        let known = self.write().remove(&key).is_some();
        let mut removed = self.removed();
        if known && removed.len() < MAX_REMOVED {
            removed.insert(key);
        }
        known
    }

    fn removed(&self) -> std::sync::MutexGuard<'_, BTreeSet<KeyId>> {
        self.removed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that are known, in the order of their thumbprints.
    pub fn list(&self) -> Vec<Arc<Client>> {
        self.read().values().cloned().collect()
    }

    /// Adds what [`KnownClients::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// When the text is not of that form; then nothing is added.
    pub fn add_json(&self, text: &str) -> Result<(), ClientKeyError> {
        let form = |error: &dyn fmt::Display| ClientKeyError::Store(error.to_string());
        Document::parse(text, Limits::STATEMENT).map_err(|error| form(&error))?;
        let file: File = serde_json::from_str(text).map_err(|error| form(&error))?;
        if file.v != 1 {
            return Err(form(&format_args!("format {} is not known, use 1", file.v)));
        }
        let mut read = BTreeMap::new();
        for entry in file.clients {
            if !is_name(&entry.name) {
                return Err(ClientKeyError::Name(entry.name.chars().take(80).collect()));
            }
            let key = VerifyingKey::from_jwk(entry.key.get())?;
            let Entry { name, trust, since, .. } = entry;
            if read.insert(key.id(), Arc::new(Client { name, key, trust, since })).is_some() {
                return Err(KeyError::Duplicate.into());
            }
        }
        self.write().extend(read);
        self.removed().extend(file.removed);
        Ok(())
    }

    /// Writes `{"v":1,"clients":[{"name":…,"trust":…,"since":…,"key":<JWK>}]}`.
    pub fn to_json(&self) -> String {
        let known = self.list();
        let clients = known.iter().filter_map(|client| {
            Some(Entry {
                name: client.name.clone(),
                trust: client.trust,
                since: client.since,
                key: serde_json::value::RawValue::from_string(client.key.to_jwk()).ok()?,
            })
        });
        let removed = self.removed().clone();
        serde_json::to_string(&File { v: 1, clients: clients.collect(), removed })
            .unwrap_or_default()
    }

    /// Whether one more may be taken on first use.
    fn room(&self) -> Result<(), ClientKeyError> {
        let clients = self.read();
        let first = clients.values().filter(|client| client.trust == ClientTrust::FirstUse);
        match first.count() < MAX_FIRST_USE {
            true => Ok(()),
            false => Err(ClientKeyError::Full(MAX_FIRST_USE)),
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<KeyId, Arc<Client>>> {
        self.clients.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<KeyId, Arc<Client>>> {
        self.clients.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client, if one of the issuers publishes the key.
    async fn issued(&self, key: KeyId, now: UnixTime) -> Result<Arc<Client>, ClientKeyError> {
        let mut answer = ClientKeyError::Unknown { key };
        let Some((issuers, source)) = &self.issuers else { return Err(answer) };
        let kid = key.to_string();
        for issuer in issuers {
            match source.key(issuer, &kid, now).await {
                Ok(found) if found.key.id() == key => {
                    let (name, trust) = (issuer.to_string(), ClientTrust::Issuer);
                    return Ok(Arc::new(Client { name, key: found.key, trust, since: now }));
                }
                Err(KeySourceError::Unavailable { why, .. }) => {
                    answer = ClientKeyError::Unavailable { key, why };
                }
                _ => {}
            }
        }
        Err(answer)
    }
}

impl ClientKeys for KnownClients {
    fn known(&self, key: KeyId, _: UnixTime) -> Option<Arc<Client>> {
        self.read().get(&key).cloned()
    }

    fn find<'a>(
        &'a self,
        caller: Introduction<'a>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Arc<Client>, ClientKeyError>> {
        Box::pin(async move {
            let id = caller.key;
            if let Some(client) = self.known(id, now) {
                return Ok(client);
            }
            let client = |key: &VerifyingKey, name, trust| {
                Arc::new(Client { name, key: key.clone(), trust, since: now })
            };
            if let Some(key) = caller.own().filter(|_| caller.confirmed == Some(id)) {
                return Ok(client(key, format!("key:{id}"), ClientTrust::Token));
            }
            let refusal = match self.issued(id, now).await {
                Ok(client) => return Ok(client),
                Err(refusal) => refusal,
            };
            match caller.own().filter(|_| self.first_use && !self.removed().contains(&id)) {
                Some(key) => {
                    self.room()?;
                    Ok(client(key, format!("key:{id}"), ClientTrust::FirstUse))
                }
                None => Err(refusal),
            }
        })
    }

    fn seen<'a>(
        &'a self,
        client: &'a Arc<Client>,
        _: UnixTime,
    ) -> BoxFuture<'a, Result<(), ClientKeyError>> {
        Box::pin(std::future::ready(self.keep(client).map(|_| ())))
    }
}

impl KnownClients {
    /// Keeps what is taken on first use. Says whether that was anything new.
    fn keep(&self, client: &Arc<Client>) -> Result<bool, ClientKeyError> {
        let id = client.key.id();
        if client.trust != ClientTrust::FirstUse || self.read().contains_key(&id) {
            return Ok(false);
        }
        if self.removed().contains(&id) {
            return Err(ClientKeyError::Unknown { key: id });
        }
        self.room()?;
        self.write().entry(id).or_insert_with(|| client.clone());
        Ok(true)
    }
}

impl fmt::Debug for KnownClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownClients")
            .field("clients", &self.read().len())
            .field("first_use", &self.first_use)
            .finish_non_exhaustive()
    }
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._@:-".contains(&byte);
    !name.is_empty() && name.len() <= 64 && name.bytes().all(plain)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    v: u32,
    clients: Vec<Entry>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    removed: BTreeSet<KeyId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    trust: ClientTrust,
    since: UnixTime,
    key: Box<serde_json::value::RawValue>,
}

#[cfg(test)]
mod tests;
