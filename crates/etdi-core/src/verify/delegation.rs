//! What a key may sign that a manifest delegates to: tools with its prefix, within its permissions.
//!
//! The key sits on the serving host, for tools that no manifest can know; so it is believed for no
//! more than the manifest says, which was signed elsewhere.

use serde::Deserialize;

use super::{VerifiedManifest, VerifyError};
use crate::definition::ToolDefinition;
use crate::identity::ProviderId;
use crate::jws::Jws;
use crate::permission::Scope;
use crate::proof::Evidence;
use crate::time::UnixTime;
use crate::wire::{Delegation, StatementType, ToolBlock};

/// The evidence of an attestation by a delegated key; `None` when its key is none.
pub(super) fn evidence(
    text: &str,
    definition: &ToolDefinition,
    manifest: &VerifiedManifest,
    now: UnixTime,
) -> Option<Result<Evidence, VerifyError>> {
    let read = Jws::read(text, StatementType::Tool).ok()?;
    let named = read.key_id();
    let mut bounds = manifest.delegated.iter().filter(|(key, _)| key.id() == named).peekable();
    let (key, _) = bounds.peek()?;
    let payload = match read.verify(key) {
        Ok(payload) => payload,
        Err(error) => return Some(Err(error.into())),
    };
    let issuer = manifest.issuer();
    if issued_by(&payload).as_ref() != Some(issuer) {
        return Some(Err(VerifyError::IssuerUntrusted { issuer: issuer.clone(), key: named }));
    }
    let mut exceeded = None;
    for (key, delegation) in bounds {
        match exceeds(delegation, definition.name(), definition.block(), now) {
            None => {
                let evidence = Evidence::new(issuer.clone(), key.id(), manifest.trust(), payload);
                return Some(Ok(evidence));
            }
            Some(what) => exceeded = exceeded.or(Some(what)),
        }
    }
    let (issuer, what) = (issuer.clone(), exceeded.unwrap_or_default());
    Some(Err(VerifyError::DelegationExceeded { issuer, key: named, what }))
}

/// Which bound of a delegation a tool breaks.
pub(crate) fn exceeds(
    delegation: &Delegation,
    name: &str,
    block: Option<&ToolBlock>,
    now: UnixTime,
) -> Option<String> {
    if now >= UnixTime(delegation.exp) {
        return Some(format!("the delegation ended at {}", UnixTime(delegation.exp)));
    }
    let prefix = &delegation.prefix;
    if prefix.is_empty() || !name.starts_with(prefix.as_str()) {
        return Some(format!("its name does not begin with `{}`", prefix.escape_debug()));
    }
    beyond(&delegation.permissions, block).map(|scope| format!("it asks for `{scope}`"))
}

/// What a tool asks for that `most` does not cover.
pub(crate) fn beyond<'b>(most: &[Scope], block: Option<&'b ToolBlock>) -> Option<&'b Scope> {
    let permissions = block.map_or(&[][..], |block| &block.permissions);
    let covered = |scope| most.iter().any(|held| held.covers(scope));
    permissions.iter().map(|one| &one.scope).find(|scope| !covered(scope))
}

fn issued_by(payload: &str) -> Option<ProviderId> {
    #[derive(Deserialize)]
    struct Issued {
        iss: ProviderId,
    }
    serde_json::from_str::<Issued>(payload).ok().map(|issued| issued.iss)
}
