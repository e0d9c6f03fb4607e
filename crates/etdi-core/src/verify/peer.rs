//! The server on the other end, and what binds a statement to it.

use super::VerifyError;
use crate::binding::{Measurement, Possession};
use crate::digest::Digest;
use crate::identity::ServerIdentity;
use crate::key::KeyId;
use crate::wire::{Confirmation, Provenance};

/// What binds a statement to the server that sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Binding {
    /// The statement is about the HTTPS URL that was dialled, and no program was started.
    Https,
    /// The statement lists the program that was started.
    Executable(Digest),
    /// The server holds a key that the statement names.
    Possession(KeyId),
}

/// The server on the other end, as far as the client knows it by itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Peer {
    /// How it was reached.
    pub identity: ServerIdentity,
    /// The program that was started.
    pub measurement: Option<Measurement>,
    /// The key that it has proven to hold.
    pub possession: Option<Possession>,
}

impl Peer {
    /// A server of which nothing more is known. An `https://` URL says that it was dialled and that
    /// its certificate was checked.
    pub fn new(identity: ServerIdentity) -> Self {
        Self { identity, measurement: None, possession: None }
    }

    /// Adds the program that was started.
    #[must_use]
    pub fn measured(mut self, measurement: Measurement) -> Self {
        self.measurement = Some(measurement);
        self
    }

    /// Adds the key that it has proven to hold.
    #[must_use]
    pub fn possessing(mut self, possession: Possession) -> Self {
        self.possession = Some(possession);
        self
    }
}

/// Finds what binds a statement about `server` to the peer.
pub(super) fn bind(
    server: &str,
    confirmation: Option<&Confirmation>,
    provenance: Option<&Provenance>,
    peer: &Peer,
) -> Result<(ServerIdentity, Binding), VerifyError> {
    let server: ServerIdentity =
        server.parse().map_err(|_| VerifyError::Claims { member: "sub" })?;
    let same = stands_for(&server, &peer.identity);
    if !same {
        let reached = peer.identity.clone();
        return Err(VerifyError::WrongServer { attested: server, reached });
    }
    // Whoever names instance keys wants to be bound by them, whatever else holds.
    if let Some(confirmation) = confirmation {
        let shown = possessed(&server, &confirmation.jkt.0, peer)?;
        return Ok((server, Binding::Possession(shown)));
    }
    // Whoever starts a program has dialled nothing, whatever they call it.
    if server.is_https() && peer.measurement.is_none() {
        return Ok((server, Binding::Https));
    }
    let listed = provenance.filter(|provenance| !provenance.bin.is_empty());
    match (listed, &peer.measurement) {
        (Some(listed), Some(measured)) if server.is_stdio() => {
            measured.check(listed)?;
            Ok((server, Binding::Executable(measured.digest)))
        }
        _ => Err(VerifyError::BindingMissing { server }),
    }
}

/// Whether a server that names itself `named` can be the one that was reached.
pub(crate) fn stands_for(named: &ServerIdentity, reached: &ServerIdentity) -> bool {
    match reached {
        // A command line is what the client typed; which server it starts, the statement says,
        // and what binds the statement proves it.
        ServerIdentity::Command(_) => {
            named.is_stdio() && (!matches!(named, ServerIdentity::Command(_)) || named == reached)
        }
        _ => named == reached,
    }
}

/// Which of the keys that a statement names the peer has proven to hold.
fn possessed(server: &ServerIdentity, named: &[KeyId], peer: &Peer) -> Result<KeyId, VerifyError> {
    let named = || named.to_vec();
    let Some(shown) = &peer.possession else {
        return Err(VerifyError::PossessionMissing { named: named() });
    };
    let key = shown.key();
    // A server that is named by its key has no other.
    let own = !matches!(server, ServerIdentity::Key(id) if *id != key);
    if !named().contains(&key) || !own {
        return Err(VerifyError::PossessionOfOtherKey { named: named(), shown: key });
    }
    if shown.server() != server {
        let why = "it is about another server than the attestation".to_owned();
        return Err(VerifyError::PossessionInvalid { why });
    }
    Ok(key)
}
