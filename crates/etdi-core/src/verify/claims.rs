//! What a statement says of itself: for whom, from when until when, which version, by which provider.

use serde::de::DeserializeOwned;

use super::{CLOCK_SKEW, VerifyError};
use crate::definition::ToolDefinition;
use crate::identity::ProviderId;
use crate::proof::Evidence;
use crate::time::UnixTime;
use crate::version::Version;
use crate::wire::DEFINITION_AUDIENCE;

pub(super) fn claims<T: DeserializeOwned>(evidence: &Evidence) -> Result<T, VerifyError> {
    serde_json::from_str(&evidence.claims).map_err(|error| {
        let mut message = error.to_string();
        message.truncate(message.rfind(" at line ").unwrap_or(message.len()));
        VerifyError::MalformedClaims { message }
    })
}

pub(super) fn check_audience(audience: &str) -> Result<(), VerifyError> {
    match audience == DEFINITION_AUDIENCE {
        true => Ok(()),
        false => Err(VerifyError::WrongAudience { audience: audience.to_owned() }),
    }
}

pub(super) fn check_times(from: u64, until: u64, now: UnixTime) -> Result<(), VerifyError> {
    let (from, until) = (UnixTime(from), UnixTime(until));
    if now.plus(CLOCK_SKEW) < from {
        return Err(VerifyError::NotYetValid { from, now });
    }
    if now >= until.plus(CLOCK_SKEW) {
        return Err(VerifyError::Expired { until, now });
    }
    Ok(())
}

pub(super) fn check_version(
    definition: &ToolDefinition,
    attested: &Version,
) -> Result<(), VerifyError> {
    let declared = definition.block().map(|block| &block.version);
    match declared == Some(attested) {
        true => Ok(()),
        false => Err(VerifyError::VersionMismatch {
            attested: attested.clone(),
            declared: declared.cloned(),
        }),
    }
}

/// A definition that says whose it is can be attested by that provider alone; others may co-sign
/// only what does not say it.
pub(super) fn check_provider(
    definition: &ToolDefinition,
    issuer: &ProviderId,
) -> Result<(), VerifyError> {
    let provider = definition.block().and_then(|block| block.provider.as_ref());
    match provider.filter(|provider| provider.id != *issuer) {
        None => Ok(()),
        Some(provider) => Err(VerifyError::ProviderMismatch {
            declared: provider.id.clone(),
            issuer: issuer.clone(),
        }),
    }
}
