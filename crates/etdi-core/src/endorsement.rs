//! Statements that an identity provider signs for a publisher: instead of the publisher's own, or
//! beside it.
//!
//! A publisher sends what is to be signed as an [`EndorsementRequest`], which says the statement and
//! shows each definition whole, so that who signs need not believe a digest. The identity provider
//! holds it to what this publisher may have signed at most ([`EndorsementBounds`]) and signs with the
//! keys that it publishes. What comes back is a statement like any other, of a `typ` of its own: it
//! rides in listings, where a token would be a credential for everybody, and no server takes it for a
//! token. [`EndorsementRequest::accept`] is how the publisher makes sure of that before it is kept.
//!
//! ```
//! use etdi_core::attestation::Attestation;
//! use etdi_core::definition::RawTool;
//! use etdi_core::endorsement::{EndorsementBounds, EndorsementRequest};
//! use etdi_core::identity::{ProviderId, ServerIdentity};
//! use etdi_core::jws;
//! use etdi_core::key::{Algorithm, SigningKey};
//! use etdi_core::time::UnixTime;
//! use etdi_core::wire::StatementType;
//!
//! let idp: ProviderId = "https://id.example".parse()?;
//! let server = ServerIdentity::url("https://mcp.acme.example/mcp")?;
//! let now = UnixTime(1_767_323_045);
//! let tool = |permission: &str| RawTool::read(&format!(
//!     r#"{{"name":"search","inputSchema":{{"type":"object"}},"_meta":{{"dev.etdi/etdi":
//!         {{"v":1,"version":"1.0.0","permissions":[{{"scope":"{permission}"}}]}}}}}}"#
//! ));
//! let statement = Attestation::new(idp.clone(), server.clone(), now);
//! let ask = |permission| -> Result<_, Box<dyn std::error::Error>> {
//!     Ok(EndorsementRequest::tool(&statement, tool(permission)?.definition())?)
//! };
//!
//! // At the identity provider, which lets this publisher do so much.
//! let key = SigningKey::generate(Algorithm::Es256)?;
//! let bounds = EndorsementBounds::new([server], ["search"], ["notes:read".parse()?]);
//! let asked = EndorsementRequest::read(StatementType::Tool, &ask("notes:read")?.to_json()?)?;
//! asked.check(&idp, &bounds, now)?;
//! let signed = asked.sign(86_400, now, &key)?;
//! assert!(ask("notes:write")?.check(&idp, &bounds, now).is_err());
//!
//! // At the publisher, which knows the provider's key.
//! ask("notes:read")?.accept(&signed, key.verifying_key(), now)?;
//! let token = jws::sign(StatementType::Call, r#"{"iss":"https://id.example"}"#, &key)?;
//! assert!(ask("notes:read")?.accept(&token, key.verifying_key(), now).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::attestation::{AttestError, Attestation, check_provider, subject, to_json};
use crate::definition::{RawTool, ToolDefinition};
use crate::identity::ProviderId;
use crate::ijson::{Document, Limits};
use crate::jws::{self, IssuedJws};
use crate::key::{AllowList, VerifyingKey};
use crate::manifest::{ManifestError, outruns};
use crate::proof::{SignError, Signer};
use crate::random;
use crate::time::UnixTime;
use crate::verify::CLOCK_SKEW;
use crate::wire::{
    DEFINITION_AUDIENCE, DETAILS, ManifestClaims, ManifestContents, StatementType, ToolClaims,
};

mod bounds;
mod error;

pub use bounds::EndorsementBounds;
pub use error::EndorsementError;

/// What a publisher wants to have signed: one statement, and the definitions that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndorsementRequest {
    said: Said,
    definitions: Vec<ToolDefinition>,
}

/// The statement, as the identity provider would sign it now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Said {
    Tool(Box<ToolClaims>),
    Manifest(Box<ManifestClaims>),
}

/// The most bytes of a request.
const LIMITS: Limits = Limits { bytes: 512 << 10, depth: 72, values: 65_536 };

/// The most definitions of a request.
const MOST_DEFINITIONS: usize = 1_024;

#[derive(Serialize)]
struct Outgoing<'a> {
    claims: &'a Said,
    definitions: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Incoming<'a> {
    #[serde(borrow)]
    claims: &'a RawValue,
    #[serde(borrow)]
    definitions: Vec<&'a RawValue>,
}

/// One definition as authorization details name it.
#[derive(Serialize)]
struct Detail<'a> {
    r#type: &'static str,
    server: &'a str,
    tool: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    digest: String,
}

impl EndorsementRequest {
    /// A statement about one definition. Its issuer is the identity provider that will sign it.
    ///
    /// # Errors
    ///
    /// When the definition declares no version or another provider than that issuer.
    pub fn tool(statement: &Attestation, definition: &ToolDefinition) -> Result<Self, AttestError> {
        let said = Said::Tool(Box::new(statement.claims(definition)?));
        Ok(Self { said, definitions: vec![definition.clone()] })
    }

    /// A manifest. `definitions` are those of the tools that it lists.
    ///
    /// # Errors
    ///
    /// When clients would not take its counter, or a definition declares another provider than the
    /// issuer of the statement.
    pub fn manifest<'a>(
        statement: &Attestation,
        contents: &ManifestContents,
        definitions: impl IntoIterator<Item = &'a ToolDefinition>,
    ) -> Result<Self, ManifestError> {
        let definitions: Vec<ToolDefinition> = definitions.into_iter().cloned().collect();
        for one in &definitions {
            check_provider(one, &statement.issuer).map_err(ManifestError::Attest)?;
        }
        Ok(Self { said: Said::Manifest(Box::new(contents.claims(statement)?)), definitions })
    }

    /// Which kind of statement it is.
    pub fn kind(&self) -> StatementType {
        match &self.said {
            Said::Tool(_) => StatementType::Tool,
            Said::Manifest(_) => StatementType::Manifest,
        }
    }

    /// Who is to sign it.
    pub fn issuer(&self) -> &ProviderId {
        match &self.said {
            Said::Tool(claims) => &claims.iss,
            Said::Manifest(claims) => &claims.iss,
        }
    }

    /// The definitions that it is about.
    pub fn definitions(&self) -> &[ToolDefinition] {
        &self.definitions
    }

    /// The text that is sent: the subject of a token exchange. It is no credential.
    ///
    /// # Errors
    ///
    /// When it cannot be written, which does not happen with definitions that were read.
    pub fn to_json(&self) -> Result<String, SignError> {
        let raw = |one: &'_ ToolDefinition| serde_json::from_str(one.canonical());
        let definitions: Result<Vec<Box<RawValue>>, _> = self.definitions.iter().map(raw).collect();
        let definitions = definitions.map_err(|error| SignError(error.to_string()))?;
        let definitions = definitions.iter().map(|one| &**one).collect();
        to_json(&Outgoing { claims: &self.said, definitions })
    }

    /// The same in short as authorization details (RFC 9396), for servers that decide by those: of
    /// each definition the server, the name, the version and the digest.
    ///
    /// # Errors
    ///
    /// As [`EndorsementRequest::to_json`].
    pub fn authorization_details(&self) -> Result<String, SignError> {
        let about = match &self.said {
            Said::Tool(claims) => claims.sub.split_once('#').map_or("", |(server, _)| server),
            Said::Manifest(claims) => &claims.sub,
        };
        let detail = |one| {
            let definition: &ToolDefinition = one;
            Detail {
                r#type: DETAILS,
                server: about,
                tool: definition.name(),
                version: definition.block().map(|block| block.version.to_string()),
                digest: definition.digest().to_string(),
            }
        };
        to_json(&self.definitions.iter().map(detail).collect::<Vec<_>>())
    }

    /// Reads what was sent. That it fits together, and that it may be signed, is for
    /// [`EndorsementRequest::check`] to say.
    ///
    /// # Errors
    ///
    /// [`EndorsementError::Malformed`] when it is no request for a statement of this kind.
    pub fn read(kind: StatementType, text: &str) -> Result<Self, EndorsementError> {
        let malformed = |why: String| EndorsementError::Malformed(why);
        Document::parse(text, LIMITS).map_err(|error| malformed(error.to_string()))?;
        let told = |error: serde_json::Error| malformed(error.to_string());
        let read: Incoming<'_> = serde_json::from_str(text).map_err(told)?;
        if read.definitions.len() > MOST_DEFINITIONS {
            return Err(malformed("more than 1024 definitions".to_owned()));
        }
        let claims = read.claims.get();
        let said = match kind {
            StatementType::Tool => Said::Tool(serde_json::from_str(claims).map_err(told)?),
            StatementType::Manifest => Said::Manifest(serde_json::from_str(claims).map_err(told)?),
            other => return Err(malformed(format!("nobody is asked for `{}`", other.name()))),
        };
        let definition = |one: &&RawValue| match RawTool::read(one.get()) {
            Ok(tool) => Ok(tool.definition().clone()),
            Err(error) => Err(malformed(error.to_string())),
        };
        let definitions = read.definitions.iter().map(definition).collect::<Result<_, _>>()?;
        Ok(Self { said, definitions })
    }

    /// Whether `own`, an identity provider, may sign it at `now` for a publisher with these bounds.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it, or beyond the bounds.
    pub fn check(
        &self,
        own: &ProviderId,
        bounds: &EndorsementBounds,
        now: UnixTime,
    ) -> Result<(), EndorsementError> {
        let (audience, until) = match &self.said {
            Said::Tool(claims) => (&claims.aud, claims.exp),
            Said::Manifest(claims) => (&claims.aud, claims.exp),
        };
        if self.issuer() != own || audience != DEFINITION_AUDIENCE {
            return Err(EndorsementError::Issuer { own: own.clone() });
        }
        if now >= UnixTime(until) {
            return Err(EndorsementError::Times);
        }
        for one in &self.definitions {
            check_provider(one, own).map_err(EndorsementError::Provider)?;
            bounds.check(one)?;
        }
        match &self.said {
            Said::Tool(claims) => self.check_tool(claims, bounds),
            Said::Manifest(claims) => self.check_manifest(claims, bounds, now),
        }
    }

    fn check_tool(
        &self,
        claims: &ToolClaims,
        bounds: &EndorsementBounds,
    ) -> Result<(), EndorsementError> {
        let [definition] = self.definitions.as_slice() else {
            return Err(EndorsementError::Malformed("it shows more or less than one".to_owned()));
        };
        let name = definition.name();
        if !bounds.servers.iter().any(|server| subject(server, name) == claims.sub) {
            return Err(EndorsementError::Server(claims.sub.clone()));
        }
        let version = definition.block().map(|block| &block.version);
        match definition.digest() == claims.dig && version == Some(&claims.ver) {
            true => Ok(()),
            false => Err(EndorsementError::Definition(name.to_owned())),
        }
    }

    fn check_manifest(
        &self,
        claims: &ManifestClaims,
        bounds: &EndorsementBounds,
        now: UnixTime,
    ) -> Result<(), EndorsementError> {
        let contents = &claims.contents;
        if !bounds.servers.iter().any(|server| server.to_string() == claims.sub) {
            return Err(EndorsementError::Server(claims.sub.clone()));
        }
        if outruns(contents.seq, now) {
            return Err(EndorsementError::Malformed(
                ManifestError::Counter(contents.seq).to_string(),
            ));
        }
        // A key that signs beside would be held to no bounds of ours.
        if !contents.delegations.is_empty() {
            return Err(EndorsementError::Delegations);
        }
        let unseen = !contents.prompts.is_empty()
            || !contents.resource_templates.is_empty()
            || contents.instructions.is_some();
        if unseen && !bounds.unseen {
            return Err(EndorsementError::Unseen);
        }
        let shown = |(name, digest): (&String, _)| {
            self.definitions.iter().any(|one| one.name() == name && one.digest() == digest)
        };
        match contents.tools.iter().find(|(name, digest)| !shown((name, **digest))) {
            None => Ok(()),
            Some((name, _)) => Err(EndorsementError::Definition(name.clone())),
        }
    }

    /// Signs it: from `now` on, until it asks for, and for no more than `most` seconds. What may not
    /// be signed [`EndorsementRequest::check`] has told before.
    ///
    /// # Errors
    ///
    /// When the signer cannot sign.
    pub fn sign(&self, most: u64, now: UnixTime, signer: &dyn Signer) -> Result<String, SignError> {
        let mut said = self.said.clone();
        let (iat, nbf, exp, jti) = said.times();
        (*iat, *nbf, *exp) = (now.0, now.0, (*exp).min(now.plus(most).0));
        *jti = random::id()?;
        jws::sign(self.kind(), &to_json(&said)?, signer)
    }

    /// Whether `text` is what was asked for: a statement of this kind, signed by `key`, that says
    /// what the request says, holds at `now`, and no longer than was asked. An access token is none.
    /// Gives until when it holds.
    ///
    /// # Errors
    ///
    /// What it is instead. Nothing of it may be kept then, since it may be a credential.
    pub fn accept(
        &self,
        text: &str,
        key: &VerifyingKey,
        now: UnixTime,
    ) -> Result<UnixTime, EndorsementError> {
        let jws = IssuedJws::read(text, self.kind(), AllowList::IDENTITY_PROVIDER)?;
        let payload = jws.verify(key)?;
        let differs = |error: serde_json::Error| EndorsementError::Differs(error.to_string());
        let mut said = match self.said {
            Said::Tool(_) => Said::Tool(serde_json::from_str(&payload).map_err(differs)?),
            Said::Manifest(_) => Said::Manifest(serde_json::from_str(&payload).map_err(differs)?),
        };
        let mut asked = self.said.clone();
        let (_, _, longest, _) = asked.times();
        let longest = *longest;
        let (iat, nbf, exp, jti) = said.times();
        let begun = UnixTime((*iat).max(*nbf)) <= now.plus(CLOCK_SKEW);
        if !begun || UnixTime(*exp) <= now || *exp > longest || jti.is_empty() {
            return Err(EndorsementError::Times);
        }
        let until = UnixTime(*exp);
        // What the provider chooses is set aside; all else has to be as it was sent.
        for one in [&mut said, &mut asked] {
            let (iat, nbf, exp, jti) = one.times();
            (*iat, *nbf, *exp) = (0, 0, 0);
            jti.clear();
        }
        match said == asked {
            true => Ok(until),
            false => Err(EndorsementError::Differs("its claims are others".to_owned())),
        }
    }
}

impl Said {
    /// `iat`, `nbf`, `exp` and `jti`.
    fn times(&mut self) -> (&mut u64, &mut u64, &mut u64, &mut String) {
        match self {
            Self::Tool(one) => (&mut one.iat, &mut one.nbf, &mut one.exp, &mut one.jti),
            Self::Manifest(one) => (&mut one.iat, &mut one.nbf, &mut one.exp, &mut one.jti),
        }
    }
}

#[cfg(test)]
mod tests;
