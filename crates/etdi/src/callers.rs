//! The clients whose calls a server takes, as settings.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use etdi_core::client_keys::{ClientKeyError, FileClients, KnownClients};
use etdi_core::identity::ProviderId;
use etdi_core::key_source::KeySource;
use etdi_core::level::{KeyTrust, Policy};

use crate::config::home::Home;

/// Where a server's clients are known: a directory with the keys that an operator named, and the
/// issuers that publish others.
///
/// The directory is that of the command `etdi` unless another is named, so that a client's key counts
/// from `etdi keys trust FILE --as NAME` on and is shown by `etdi keys list`; a running server sees a
/// change within a second. Where the policy takes keys on first use, as `basic` and `enhanced` do, a
/// key that nobody named is written down with its first valid call, and is shown there as well.
///
/// ```
/// use etdi::core::identity::ServerIdentity;
/// use etdi::core::level::SecurityLevel;
/// use etdi::{Callers, EtdiServerConfig};
///
/// let config = EtdiServerConfig::new(ServerIdentity::package("pkg:cargo/notes")?)
///     .level(SecurityLevel::Strict)
///     .callers(Callers::at("/srv/notes/clients"));
/// # Ok::<(), etdi::core::identity::IdentityError>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "callers count where `EtdiServerConfig::callers` takes them"]
pub struct Callers {
    directory: Option<PathBuf>,
    issued: Option<(Vec<ProviderId>, Arc<dyn KeySource>)>,
    only_named: bool,
}

impl Callers {
    /// Those that the command `etdi` keeps: in `clients` of `ETDI_HOME`, else of the user's data.
    pub fn of_user() -> Self {
        Self::default()
    }

    /// Those in another directory, which is made where it is not there. `etdi` with the directory
    /// above it as `ETDI_HOME` changes them if it is called `clients`.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self { directory: Some(directory.into()), ..Self::default() }
    }

    /// Also takes the keys that these issuers publish, which `source` asks for, such as `Discovery`
    /// of `etdi-oauth`.
    pub fn issued_by(
        mut self,
        issuers: impl IntoIterator<Item = ProviderId>,
        source: Arc<dyn KeySource>,
    ) -> Self {
        self.issued = Some((issuers.into_iter().collect(), source));
        self
    }

    /// Takes no key on first use, whatever the level.
    pub fn only_named(mut self) -> Self {
        self.only_named = true;
        self
    }

    /// Opens the directory.
    pub(crate) fn open(self, policy: &Policy) -> Result<FileClients, ClientKeyError> {
        let unusable = |error: &dyn fmt::Display| ClientKeyError::Store(error.to_string());
        let directory = match self.directory {
            Some(directory) => directory,
            None => {
                let home = Home::find(&|name| std::env::var(name).ok());
                home.inside("clients").map_err(|error| unusable(&error))?
            }
        };
        let first_use = policy.key_trust != KeyTrust::ConfiguredRoots && !self.only_named;
        let issued = self.issued;
        FileClients::open(&directory, move || {
            let mut clients = KnownClients::new();
            if first_use {
                clients = clients.taking_first_use();
            }
            match &issued {
                Some((issuers, source)) => clients.issued_by(issuers.clone(), source.clone()),
                None => clients,
            }
        })
    }
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callers").field("directory", &self.directory).finish_non_exhaustive()
    }
}
