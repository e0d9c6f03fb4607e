//! What a signer claims of what stands behind a definition: shown, never believed by itself.

use serde::{Deserialize, Serialize};

use super::VerifyError;
use crate::identity::ProviderId;
use crate::wire::{Contract, Provenance};

/// The longest text of a claim, in bytes.
const MAX_TEXT: usize = 2_048;

/// What one signer claims of the program and the interface behind a definition.
///
/// The signature says who claims it. Nobody has checked that the program was built from that
/// source, or that the tool keeps to that contract: show it as the signer's word. What binds a
/// statement to a program that was started is its own affair, see [`Binding`](super::Binding).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Claimed {
    /// Whose word it is.
    pub by: ProviderId,
    /// Where the source is, such as `git+https://…@<commit>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where a SLSA attestation is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slsa: Option<String>,
    /// The interface behind the tool; [`Contract::matches`] compares it with a document that the
    /// host has fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Contract>,
}

impl Claimed {
    /// The word of a signer who claims nothing yet.
    pub fn new(by: ProviderId) -> Self {
        Self { by, source: None, slsa: None, contract: None }
    }

    /// The claims one by one, as a name and a text for people. The texts are the signer's: show
    /// them with [`visible`](crate::change::visible).
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, String)> {
        let contract = self.contract.as_ref().map(|one| {
            let url = one.url.as_ref().map_or_else(String::new, |url| format!(" at {url}"));
            format!("{} {}{url}", one.kind, one.digest)
        });
        let all =
            [("source", self.source.clone()), ("slsa", self.slsa.clone()), ("contract", contract)];
        all.into_iter().filter_map(|(name, text)| Some((name, text?)))
    }
}

/// What a statement claims; `None` when it claims nothing.
pub(super) fn claimed(
    by: &ProviderId,
    provenance: Option<&Provenance>,
    contract: Option<&Contract>,
) -> Result<Option<Claimed>, VerifyError> {
    let source = provenance.and_then(|one| one.src.as_ref());
    let slsa = provenance.and_then(|one| one.slsa.as_ref());
    if source.is_none() && slsa.is_none() && contract.is_none() {
        return Ok(None);
    }
    let long = |text: Option<&String>| text.is_some_and(|text| text.len() > MAX_TEXT);
    if long(source) || long(slsa) {
        return Err(VerifyError::Claims { member: "prov" });
    }
    if contract.is_some_and(|one| long(Some(&one.kind)) || long(one.url.as_ref())) {
        return Err(VerifyError::Claims { member: "contract" });
    }
    let (source, slsa, contract) = (source.cloned(), slsa.cloned(), contract.cloned());
    Ok(Some(Claimed { by: by.clone(), source, slsa, contract }))
}
