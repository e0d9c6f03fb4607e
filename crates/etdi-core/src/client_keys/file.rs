//! Known clients in a file that only its owner may touch.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use mcp_types::BoxFuture;

use super::{Client, ClientKeyError, ClientKeys, Introduction, KnownClients, MAX_LENGTH};
use crate::approval::StoreError;
use crate::key::{KeyId, VerifyingKey};
use crate::store::disk::{Disk, Files};
use crate::time::UnixTime;

const NAME: &str = "clients.json";

/// How long keys that were taken on first use may make the file: room is left for those whom an
/// operator names or removes.
const FIRST_USE_LENGTH: usize = MAX_LENGTH / 4 * 3;

/// [`KnownClients`] that several processes share by a file: an operator adds and removes keys while
/// servers run, which look at the file at most once a second. While it cannot be read, nobody is
/// known.
pub struct FileClients {
    disk: Disk,
    make: Box<dyn Fn() -> KnownClients + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    clients: Arc<KnownClients>,
    looked: Option<UnixTime>,
    /// The file as it was read last: when it was written, and how long it is.
    version: Option<(SystemTime, u64)>,
    broken: Option<String>,
}

impl FileClients {
    /// Opens a directory, and makes it where it is not there. `settings` makes the list that the
    /// file is read into: [`KnownClients::new`], with first use and issuers as wanted.
    ///
    /// # Errors
    ///
    /// [`ClientKeyError::Store`] when the directory cannot be made or is open to other users.
    pub fn open(
        directory: &Path,
        settings: impl Fn() -> KnownClients + Send + Sync + 'static,
    ) -> Result<Self, ClientKeyError> {
        let clients = Arc::new(settings());
        let state = State { clients, looked: None, version: None, broken: None };
        let disk = Disk::open(directory).map_err(store)?;
        Ok(Self { disk, make: Box::new(settings), state: Mutex::new(state) })
    }

    /// Knows a key by a name from now on; several keys may have one name.
    ///
    /// # Errors
    ///
    /// When it is no name, or the file cannot be read or written.
    pub fn trust(
        &self,
        name: &str,
        key: &VerifyingKey,
        now: UnixTime,
    ) -> Result<(), ClientKeyError> {
        self.change(MAX_LENGTH, |clients| clients.trust(name, key.clone(), now))
    }

    /// Forgets a key. Says whether it was known.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub fn remove(&self, key: KeyId) -> Result<bool, ClientKeyError> {
        self.change(MAX_LENGTH, |clients| Ok(clients.remove(key)))
    }

    /// All that are known.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn list(&self) -> Result<Vec<Arc<Client>>, ClientKeyError> {
        Ok(self.load()?.list())
    }

    fn load(&self) -> Result<KnownClients, ClientKeyError> {
        let clients = (self.make)();
        if let Some(bytes) = self.disk.read(NAME, MAX_LENGTH).map_err(store)? {
            let text = String::from_utf8(bytes)
                .map_err(|_| ClientKeyError::Store(format!("`{NAME}` is not UTF-8")))?;
            clients.add_json(&text)?;
        }
        Ok(clients)
    }

    /// Reads, changes and writes under the lock of the directory; what would be longer than `most`
    /// bytes, and so could not be read again, is not written.
    pub(super) fn change<T>(
        &self,
        most: usize,
        change: impl FnOnce(&KnownClients) -> Result<T, ClientKeyError>,
    ) -> Result<T, ClientKeyError> {
        let _lock = self.disk.lock().map_err(store)?;
        let clients = self.load()?;
        let result = change(&clients)?;
        let text = clients.to_json();
        if text.len() > most {
            return Err(ClientKeyError::Crowded);
        }
        self.disk.write(NAME, text.as_bytes()).map_err(store)?;
        let mut state = self.state();
        state.clients = Arc::new(clients);
        (state.looked, state.version, state.broken) = (None, self.version(), None);
        Ok(result)
    }

    fn version(&self) -> Option<(SystemTime, u64)> {
        let metadata = self.disk.path(NAME).metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the file says, looked at again in each new second.
    fn current(&self, now: UnixTime) -> Result<Arc<KnownClients>, ClientKeyError> {
        let mut state = self.state();
        if state.looked != Some(now) {
            let version = self.version();
            if state.looked.is_none() || version != state.version || state.broken.is_some() {
                (state.clients, state.broken) = match self.load() {
                    Ok(clients) => (Arc::new(clients), None),
                    Err(error) => (Arc::new((self.make)()), Some(error.to_string())),
                };
                state.version = version;
            }
            state.looked = Some(now);
        }
        match &state.broken {
            None => Ok(state.clients.clone()),
            Some(why) => Err(ClientKeyError::Store(why.clone())),
        }
    }
}

impl ClientKeys for FileClients {
    fn known(&self, key: KeyId, now: UnixTime) -> Option<Arc<Client>> {
        self.current(now).ok()?.known(key, now)
    }

    fn find<'a>(
        &'a self,
        caller: Introduction<'a>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Arc<Client>, ClientKeyError>> {
        Box::pin(async move { self.current(now)?.find(caller, now).await })
    }

    fn seen<'a>(
        &'a self,
        client: &'a Arc<Client>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<(), ClientKeyError>> {
        Box::pin(async move {
            if self.current(now)?.keep(client)? {
                // Strangers leave room for those whom the operator names or removes.
                self.change(FIRST_USE_LENGTH, |clients| clients.keep(client))?;
            }
            Ok(())
        })
    }
}

impl fmt::Debug for FileClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileClients").field("disk", &self.disk).finish_non_exhaustive()
    }
}

fn store(error: StoreError) -> ClientKeyError {
    ClientKeyError::Store(error.to_string())
}
