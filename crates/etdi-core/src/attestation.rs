//! Statements about one definition: made here, checked by [`crate::verify`].
//!
//! ```
//! use etdi_core::attestation::Attestation;
//! use etdi_core::definition::RawTool;
//! use etdi_core::identity::{ProviderId, ServerIdentity};
//! use etdi_core::key::{Algorithm, SigningKey};
//! use etdi_core::time::UnixTime;
//!
//! let tool = RawTool::read(
//!     r#"{"name":"search","inputSchema":{"type":"object"},
//!         "_meta":{"dev.etdi/etdi":{"v":1,"version":"1.0.0"}}}"#,
//! )?;
//! let key = SigningKey::generate(Algorithm::EdDsa)?;
//! let server = ServerIdentity::package("pkg:cargo/notes")?;
//! let now = UnixTime(1_767_323_045);
//!
//! let attestation = Attestation::new(ProviderId::of_key(key.id()), server, now);
//! let jws = attestation.sign(tool.definition(), &key)?;
//! assert_eq!(jws.split('.').count(), 3);
//!
//! // A tool that declares no version cannot be attested.
//! let plain = RawTool::read(r#"{"name":"search","inputSchema":{"type":"object"}}"#)?;
//! assert!(attestation.sign(plain.definition(), &key).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use serde::Serialize;

use crate::definition::ToolDefinition;
use crate::digest::Digest;
use crate::identity::{ProviderId, ServerIdentity};
use crate::jws;
use crate::key::KeyId;
use crate::proof::{SignError, Signer};
use crate::random;
use crate::time::UnixTime;
use crate::wire::{
    Confirmation, Contract, DEFINITION_AUDIENCE, OneOrMany, Provenance, StatementType, ToolClaims,
};

/// What a provider says about definitions, apart from the definition itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attestation {
    /// Who says it.
    pub issuer: ProviderId,
    /// Which server serves the tool.
    pub server: ServerIdentity,
    /// When it is said, and from when on it holds.
    pub issued: UnixTime,
    /// Until when it holds.
    pub expires: UnixTime,
    /// The definition that this one replaces.
    pub previous: Option<Digest>,
    /// The program behind it.
    pub provenance: Option<Provenance>,
    /// The interface behind it.
    pub contract: Option<Contract>,
    /// The instance keys of the server; with none, something else must bind it.
    pub instance_keys: Vec<KeyId>,
}

/// Half a year.
const LIFETIME: u64 = 182 * 86_400;

impl Attestation {
    /// A statement that holds for half a year from `now` on.
    pub fn new(issuer: ProviderId, server: ServerIdentity, now: UnixTime) -> Self {
        Self {
            issuer,
            server,
            issued: now,
            expires: now.plus(LIFETIME),
            previous: None,
            provenance: None,
            contract: None,
            instance_keys: Vec::new(),
        }
    }

    /// Sets until when it holds.
    #[must_use]
    pub fn expires(mut self, expires: UnixTime) -> Self {
        self.expires = expires;
        self
    }

    /// Names the definition that this one replaces.
    #[must_use]
    pub fn previous(mut self, digest: Digest) -> Self {
        self.previous = Some(digest);
        self
    }

    /// Names the program behind it: binding (b), by the digests of executable and scripts.
    #[must_use]
    pub fn provenance(mut self, provenance: Provenance) -> Self {
        self.provenance = Some(provenance);
        self
    }

    /// Names the interface behind it.
    #[must_use]
    pub fn contract(mut self, contract: Contract) -> Self {
        self.contract = Some(contract);
        self
    }

    /// Adds an instance key of the server: binding (c), by proof of possession.
    #[must_use]
    pub fn instance_key(mut self, key: KeyId) -> Self {
        self.instance_keys.push(key);
        self
    }

    /// The same for another server and from another time on, as long as before.
    pub(crate) fn shifted(&self, server: ServerIdentity, now: UnixTime) -> Self {
        let lifetime = self.expires.0.saturating_sub(self.issued.0);
        Self { server, issued: now, expires: now.plus(lifetime), ..self.clone() }
    }

    /// The same, naming an instance key besides.
    pub(crate) fn naming(self, key: KeyId) -> Self {
        match self.instance_keys.contains(&key) {
            true => self,
            false => self.instance_key(key),
        }
    }

    /// Signs the statement for one definition.
    ///
    /// # Errors
    ///
    /// When the definition declares no version or another provider than the issuer, or the signer
    /// cannot sign.
    pub fn sign(
        &self,
        definition: &ToolDefinition,
        signer: &dyn Signer,
    ) -> Result<String, AttestError> {
        let claims = self.claims(definition)?;
        Ok(jws::sign(StatementType::Tool, &to_json(&claims)?, signer)?)
    }

    /// What is signed for one definition.
    pub(crate) fn claims(&self, definition: &ToolDefinition) -> Result<ToolClaims, AttestError> {
        let block = definition
            .block()
            .ok_or_else(|| AttestError::NoVersion { tool: definition.name().to_owned() })?;
        check_provider(definition, &self.issuer)?;
        Ok(ToolClaims {
            iss: self.issuer.clone(),
            sub: subject(&self.server, definition.name()),
            aud: DEFINITION_AUDIENCE.to_owned(),
            iat: self.issued.0,
            nbf: self.issued.0,
            exp: self.expires.0,
            jti: random::id().map_err(SignError::from)?,
            dig: definition.digest(),
            ver: block.version.clone(),
            prev: self.previous,
            prov: self.provenance.clone(),
            contract: self.contract.clone(),
            cnf: confirmation(&self.instance_keys),
        })
    }
}

/// Refuses a definition that declares another provider than the issuer.
pub(crate) fn check_provider(
    definition: &ToolDefinition,
    issuer: &ProviderId,
) -> Result<(), AttestError> {
    let declared = definition.block().and_then(|block| block.provider.as_ref());
    match declared.filter(|provider| provider.id != *issuer) {
        None => Ok(()),
        Some(provider) => Err(AttestError::OtherProvider {
            tool: definition.name().to_owned(),
            declared: provider.id.clone(),
            issuer: issuer.clone(),
        }),
    }
}

/// The subject of a statement about one tool.
pub(crate) fn subject(server: &ServerIdentity, tool: &str) -> String {
    format!("{server}#{tool}")
}

pub(crate) fn confirmation(keys: &[KeyId]) -> Option<Confirmation> {
    (!keys.is_empty()).then(|| Confirmation { jkt: OneOrMany(keys.to_vec()) })
}

pub(crate) fn to_json(claims: &impl Serialize) -> Result<String, SignError> {
    serde_json::to_string(claims).map_err(|error| SignError(error.to_string()))
}

/// Why a definition was not attested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// It has no ETDI block, so no version.
    #[error("tool `{}` declares no version, give it one", .tool.escape_debug())]
    NoVersion {
        /// The tool.
        tool: String,
    },
    /// It declares another provider.
    #[error("tool `{}` is declared to be of {declared}, sign as that or change it", .tool.escape_debug())]
    OtherProvider {
        /// The tool.
        tool: String,
        /// What it declares.
        declared: ProviderId,
        /// Who wanted to sign.
        issuer: ProviderId,
    },
    /// The signer failed.
    #[error(transparent)]
    Sign(#[from] SignError),
}
