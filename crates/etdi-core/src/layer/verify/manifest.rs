//! The manifest of a server: verified wherever it is shown, and held against the newest one that was
//! ever seen.

use std::sync::Arc;

use mcp_types::{ErrorObject, Meta};

use super::{Verifying, store_failed};
use crate::approval::{SeenManifest, ServerMemory};
use crate::event::{Event, EventKind, Severity};
use crate::identity::ProviderId;
use crate::proof::Trust;
use crate::time::UnixTime;
use crate::verify::{Peer, Verdict, VerifiedManifest, VerifyError};
use crate::wire::{self, OneOrMany};

/// What a server shows as its manifest.
pub(super) type Shown = Result<VerifiedManifest, VerifyError>;

/// The statements that are a manifest, or why they cannot be read.
pub(super) type Signed = Result<Vec<String>, String>;

/// The statements of the manifest beside a result; `None` when there is none.
pub(super) fn statements(meta: Option<&Meta>) -> Option<Signed> {
    let text = meta?.get(wire::MANIFEST)?;
    let read = text.parse::<OneOrMany<String>>();
    Some(read.map(|OneOrMany(texts)| texts).map_err(|error| error.to_string()))
}

impl Verifying {
    /// The peer with what it has proven, and why its proof does not count.
    pub(super) fn proven(&self) -> (Peer, Option<VerifyError>) {
        let mut peer = self.peer.clone();
        let state = self.state();
        if let Some(possession) = state.possession.clone() {
            peer.possession = Some(possession);
        }
        (peer, state.possession_error.clone())
    }

    /// Asks the issuers of the manifest beside a result, and checks it as [`Verifying::prepared`].
    pub(super) async fn manifest(
        &self,
        meta: Option<&Meta>,
        now: UnixTime,
    ) -> Result<Option<Shown>, ErrorObject> {
        let signed = statements(meta);
        if let Some(Ok(texts)) = &signed {
            self.verifier.prepare(&[], texts, now).await;
        }
        self.prepared(signed.as_ref(), now).await
    }

    /// The manifest beside a result; `None` when there is none and never was.
    ///
    /// It is wrong when its counter is lower than one that was seen, when it lists other things
    /// under the same counter, when it follows the one that was seen and says that it replaces
    /// another, when it has ended, and when it was there before and is gone.
    pub(super) async fn prepared(
        &self,
        signed: Option<&Signed>,
        now: UnixTime,
    ) -> Result<Option<Shown>, ErrorObject> {
        let Some(texts) = signed else {
            let memory = self.memory().await?;
            let seen = memory.as_ref().is_some_and(|memory| !memory.manifests.is_empty());
            return Ok(seen.then_some(Err(VerifyError::ManifestMissing)));
        };
        let (peer, _) = self.proven();
        let shown = match texts {
            Ok(texts) => self.verifier.verify_manifests(texts, &peer, now),
            Err(message) => Err(VerifyError::MalformedClaims { message: message.clone() }),
        };
        let shown = match shown {
            Ok(manifest) => self.counted(manifest, now).await?,
            Err(error) => Err(error),
        };
        match &shown {
            Ok(_) => self.state().alarmed = None,
            Err(error) => self.alarm(error, now),
        }
        Ok(Some(shown))
    }

    /// Holds a verified manifest against the newest that was seen of its issuers.
    async fn counted(
        &self,
        manifest: VerifiedManifest,
        now: UnixTime,
    ) -> Result<Shown, ErrorObject> {
        // What the policy does not trust must not fill the memory of a server.
        if manifest.trust() < self.approvals.policy().key_trust.least() {
            return Ok(Ok(manifest));
        }
        let memory = self.memory().await?;
        let contents = manifest.contents();
        for (issuer, trust) in manifest.signers() {
            let known = memory.as_ref().and_then(|known| known.manifests.get(issuer.as_str()));
            match known {
                Some(known) if contents.seq < known.seq => {
                    return Ok(Err(VerifyError::ManifestRolledBack {
                        issuer: issuer.clone(),
                        seen: known.seq,
                        received: contents.seq,
                    }));
                }
                Some(known) if contents.seq == known.seq => {
                    if manifest.digest() != known.digest {
                        let (issuer, seq) = (issuer.clone(), contents.seq);
                        return Ok(Err(VerifyError::ManifestForked { issuer, seq }));
                    }
                }
                // The one right after that which was seen says which one it replaces.
                Some(known)
                    if contents.seq.checked_sub(1) == Some(known.seq)
                        && contents.prev.is_some_and(|prev| prev != known.digest) =>
                {
                    let (issuer, seq) = (issuer.clone(), known.seq);
                    return Ok(Err(VerifyError::ManifestForked { issuer, seq }));
                }
                // Whoever answers to a name for the first time must not bind it to a key that comes
                // from nowhere; one that was approved has signed a tool here.
                None if trust == Trust::FirstUse && !has_signed(memory.as_deref(), issuer) => {}
                _ => {
                    let (issuer, digest) = (issuer.as_str(), manifest.digest());
                    let seen = SeenManifest::new(issuer, contents.seq, digest, now);
                    let stored =
                        self.approvals.store().remember_manifest(&self.server, &seen).await;
                    let stored = stored.map_err(|error| store_failed(&error))?;
                    // Somebody else may have seen another one meanwhile, or the same.
                    let newest = stored.manifests.get(issuer).filter(|one| one.digest != digest);
                    if let Some(newest) = newest {
                        let (issuer, seen) = (manifest.issuer().clone(), newest.seq);
                        let received = contents.seq;
                        return Ok(Err(match seen == received {
                            true => VerifyError::ManifestForked { issuer, seq: seen },
                            false => VerifyError::ManifestRolledBack { issuer, seen, received },
                        }));
                    }
                }
            }
        }
        Ok(Ok(manifest))
    }

    /// What is remembered of the server, read again only when the store was written.
    pub(super) async fn memory(&self) -> Result<Option<Arc<ServerMemory>>, ErrorObject> {
        let generation = self.generation().await?;
        if let Some((known, memory)) = &self.state().memory
            && *known == generation
        {
            return Ok(memory.clone());
        }
        let memory = self.approvals.store().memory(&self.server).await;
        let memory = memory.map_err(|error| store_failed(&error))?.map(Arc::new);
        self.state().memory = Some((generation, memory.clone()));
        Ok(memory)
    }

    /// Notes a manifest that is wrong, once as long as it stays so.
    fn alarm(&self, error: &VerifyError, now: UnixTime) {
        if error.verdict() != Verdict::Wrong {
            return;
        }
        let mut state = self.state();
        if state.alarmed.as_ref() == Some(error) {
            return;
        }
        state.alarmed = Some(error.clone());
        drop(state);
        let event = Event::new(EventKind::SecurityViolation).at(&self.server);
        // Nothing is called because of it, so nothing has to wait for the note.
        _ = self.note(&event.severity(Severity::Critical).detail(error), now);
    }
}

/// Whether an issuer is remembered for a tool of the server, as one that somebody approved is.
fn has_signed(memory: Option<&ServerMemory>, issuer: &ProviderId) -> bool {
    let mut tools = memory.into_iter().flat_map(|memory| memory.tools.values());
    tools.any(|issuers| issuers.contains_key(issuer.as_str()))
}
