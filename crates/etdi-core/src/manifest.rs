//! The signed list of all tools of a server: one statement instead of one a tool.
//!
//! It is made off line and shipped with the server, which puts it into its listings; the signing
//! key never sits on the serving host. A manifest may list more than a caller sees. A listed tool
//! that it does not name is unattested.

use std::collections::BTreeMap;

use crate::attestation::{AttestError, Attestation, confirmation, to_json};
use crate::definition::ToolDefinition;
use crate::digest::{Digest, Purpose};
use crate::jws;
use crate::proof::{SignError, Signer};
use crate::random;
use crate::wire::{DEFINITION_AUDIENCE, ManifestClaims, StatementType};

/// The most tools of a manifest.
pub const MAX_TOOLS: usize = 16_384;

/// The digest that stands for a list of tools in a proof of possession.
pub fn digest(tools: &BTreeMap<String, Digest>) -> Digest {
    let text = serde_json::to_string(tools).unwrap_or_default();
    // A name that is no I-JSON never became a definition; any digest that differs will do.
    let digest = Digest::of_json(Purpose::Manifest, &text);
    digest.unwrap_or_else(|_| Digest::of_bytes(text.as_bytes()))
}

/// Signs the list of `definitions`, as `attestation` says: by whom, for which server, until when.
///
/// # Errors
///
/// When a definition declares another provider, two have one name, there are more than
/// [`MAX_TOOLS`], or the signer cannot sign.
pub fn sign<'a>(
    attestation: &Attestation,
    definitions: impl IntoIterator<Item = &'a ToolDefinition>,
    signer: &dyn Signer,
) -> Result<String, ManifestError> {
    let mut tools = BTreeMap::new();
    for definition in definitions {
        let name = definition.name().to_owned();
        let provider = definition.block().and_then(|block| block.provider.as_ref());
        if let Some(provider) = provider.filter(|provider| provider.id != attestation.issuer) {
            return Err(ManifestError::Attest(AttestError::OtherProvider {
                tool: name,
                declared: provider.id.clone(),
                issuer: attestation.issuer.clone(),
            }));
        }
        if tools.insert(name.clone(), definition.digest()).is_some() {
            return Err(ManifestError::Twice(name));
        }
    }
    if tools.len() > MAX_TOOLS {
        return Err(ManifestError::TooMany);
    }
    let claims = ManifestClaims {
        iss: attestation.issuer.clone(),
        sub: attestation.server.to_string(),
        aud: DEFINITION_AUDIENCE.to_owned(),
        iat: attestation.issued.0,
        nbf: attestation.issued.0,
        exp: attestation.expires.0,
        jti: random::id().map_err(SignError::from)?,
        tools,
        prov: attestation.provenance.clone(),
        cnf: confirmation(&attestation.instance_keys),
    };
    Ok(jws::sign(StatementType::Manifest, &to_json(&claims)?, signer)?)
}

/// Why there is no manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// A definition cannot be attested.
    #[error(transparent)]
    Attest(AttestError),
    /// Two tools have one name.
    #[error("tool `{}` stands in the list twice, rename one", .0.escape_debug())]
    Twice(String),
    /// More than [`MAX_TOOLS`].
    #[error("more than 16384 tools, split the server")]
    TooMany,
    /// The signer failed.
    #[error(transparent)]
    Sign(#[from] SignError),
}
