//! The signed list of what a server offers: one statement instead of one a tool.
//!
//! It is made off line and shipped with the server, which puts it into its listings; the signing
//! key never sits on the serving host. A manifest may list more than a caller sees. A listed tool
//! that it does not name is unattested. It may cover prompts, resource templates and the server's
//! instructions too, which reach the model like any description.
//!
//! Its counter only rises, and it ends: a client that remembers the highest counter notices an old
//! list that somebody kept, and one that looks at the end notices that it is kept from news. Several
//! parties can sign the same contents, each with a statement of its own.
//!
//! ```
//! use etdi_core::attestation::Attestation;
//! use etdi_core::definition::RawTool;
//! use etdi_core::identity::ServerIdentity;
//! use etdi_core::key::{Algorithm, SigningKey};
//! use etdi_core::manifest::ManifestBuilder;
//! use etdi_core::time::UnixTime;
//! use etdi_core::trust::TrustAnchors;
//! use etdi_core::verify::{Peer, Verifier};
//!
//! let key = SigningKey::generate(Algorithm::EdDsa)?;
//! let server = ServerIdentity::url("https://mcp.acme.example/mcp")?;
//! let now = UnixTime(1_767_323_045);
//! let tool = RawTool::read(r#"{"name":"search","inputSchema":{"type":"object"}}"#)?;
//!
//! let contents = ManifestBuilder::new(7).tool(tool.definition())?.instructions("Be brief.")?.build();
//! let acme = "https://acme.example".parse()?;
//! let jws = contents.sign(&Attestation::new(acme, server.clone(), now), &key)?;
//!
//! let mut anchors = TrustAnchors::new();
//! anchors.trust("https://acme.example".parse()?, key.verifying_key().clone());
//! let verifier = Verifier::new(anchors);
//! let manifest = verifier.verify_manifest(&jws, &Peer::new(server), now)?;
//! assert_eq!(manifest.contents().seq, 7);
//!
//! // The same list on another server is a stolen one.
//! let elsewhere = Peer::new(ServerIdentity::url("https://evil.example/mcp")?);
//! assert_eq!(verifier.verify_manifest(&jws, &elsewhere, now).unwrap_err().code(), "WRONG_SERVER");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;

use mcp_types::{Listed, Prompt, ResourceTemplate};

use crate::attestation::{AttestError, Attestation, check_provider, confirmation, to_json};
use crate::canonical;
use crate::definition::{DefinitionError, ToolDefinition};
use crate::digest::{Digest, Purpose};
use crate::identity::ProviderId;
use crate::ijson::{Document, IjsonError, Limits, Value};
use crate::jws::{self, Jws, JwsError};
use crate::key::VerifyingKey;
use crate::permission::Scope;
use crate::proof::{SignError, Signer};
use crate::random;
use crate::time::UnixTime;
use crate::wire::{
    DEFINITION_AUDIENCE, Delegation, ManifestClaims, ManifestContents, StatementType,
};

/// The most entries of one kind in a manifest.
pub const MAX_TOOLS: usize = 16_384;

/// The most statements about one list.
pub const MAX_SIGNERS: usize = 16;

/// How far a counter may be ahead of the time, both in seconds: a year. Counters start at 1 or at the
/// time, so none needs it; and whoever steals a key can number no list so high that none of the
/// publisher's own can follow.
pub const MAX_AHEAD: u64 = 366 * 86_400;

/// The most keys that one manifest delegates to.
pub const MAX_DELEGATIONS: usize = 64;

impl ManifestContents {
    /// The digest that stands for the contents, in `prev`, in a proof of possession and in what
    /// clients remember.
    pub fn digest(&self) -> Digest {
        let text = serde_json::to_string(self).unwrap_or_default();
        // A name that is no I-JSON never became a definition; any digest that differs will do.
        let digest = Digest::of_json(Purpose::Manifest, &text);
        digest.unwrap_or_else(|_| Digest::of_bytes(text.as_bytes()))
    }

    /// Signs the contents as `statement` says: by whom, for which server, until when.
    ///
    /// # Errors
    ///
    /// [`ManifestError::Counter`] when clients would not take the counter, and when the signer cannot
    /// sign.
    pub fn sign(
        &self,
        statement: &Attestation,
        signer: &dyn Signer,
    ) -> Result<String, ManifestError> {
        let claims = self.claims(statement)?;
        Ok(jws::sign(StatementType::Manifest, &to_json(&claims)?, signer)?)
    }

    /// What is signed of the contents.
    pub(crate) fn claims(&self, statement: &Attestation) -> Result<ManifestClaims, ManifestError> {
        if outruns(self.seq, statement.issued) {
            return Err(ManifestError::Counter(self.seq));
        }
        Ok(ManifestClaims {
            iss: statement.issuer.clone(),
            sub: statement.server.to_string(),
            aud: DEFINITION_AUDIENCE.to_owned(),
            iat: statement.issued.0,
            nbf: statement.issued.0,
            exp: statement.expires.0,
            jti: random::id().map_err(SignError::from)?,
            contents: self.clone(),
            prov: statement.provenance.clone(),
            contract: statement.contract.clone(),
            cnf: confirmation(&statement.instance_keys),
        })
    }
}

/// The contents of a manifest in the making.
#[derive(Clone, Debug, Default)]
#[must_use = "a list is nothing until it is built and signed"]
pub struct ManifestBuilder {
    contents: ManifestContents,
    issuer: Option<ProviderId>,
}

impl ManifestBuilder {
    /// An empty list with this counter, which must be higher than that of every list before.
    pub fn new(seq: u64) -> Self {
        let contents = ManifestContents { seq, ..ManifestContents::default() };
        Self { contents, issuer: None }
    }

    /// Refuses tools that declare another provider than `issuer`.
    pub fn of(mut self, issuer: ProviderId) -> Self {
        self.issuer = Some(issuer);
        self
    }

    /// Names the contents that these replace.
    pub fn replacing(mut self, previous: &ManifestContents) -> Self {
        self.contents.prev = Some(previous.digest());
        self
    }

    /// Adds a tool.
    ///
    /// # Errors
    ///
    /// When it declares another provider, its name is there already, or there are too many.
    pub fn tool(mut self, definition: &ToolDefinition) -> Result<Self, ManifestError> {
        if let Some(issuer) = &self.issuer {
            check_provider(definition, issuer).map_err(ManifestError::Attest)?;
        }
        add(&mut self.contents.tools, definition.name(), definition.digest())?;
        Ok(self)
    }

    /// Adds a prompt as it is listed.
    ///
    /// # Errors
    ///
    /// When it can be read in two ways, its name is there already, or there are too many.
    pub fn prompt(mut self, prompt: &Listed<Prompt>) -> Result<Self, ManifestError> {
        let (name, digest) = prompt_digest(prompt)
            .map_err(|error| ManifestError::Entry { name: prompt.name.clone(), error })?;
        add(&mut self.contents.prompts, &name, digest)?;
        Ok(self)
    }

    /// Adds a resource template as it is listed, under its URI template.
    ///
    /// # Errors
    ///
    /// When it can be read in two ways, it is there already, or there are too many.
    pub fn resource_template(
        mut self,
        template: &Listed<ResourceTemplate>,
    ) -> Result<Self, ManifestError> {
        let (uri, digest) = template_digest(template)
            .map_err(|error| ManifestError::Entry { name: template.uri_template.clone(), error })?;
        add(&mut self.contents.resource_templates, &uri, digest)?;
        Ok(self)
    }

    /// Adds the server's instructions.
    ///
    /// # Errors
    ///
    /// When the text is longer than a message may be.
    pub fn instructions(mut self, text: &str) -> Result<Self, ManifestError> {
        let digest = instructions_digest(text).map_err(|error| ManifestError::Entry {
            name: "instructions".to_owned(),
            error: DefinitionError::Json(error),
        })?;
        self.contents.instructions = Some(digest);
        Ok(self)
    }

    /// Lets a key sign tools that are made at run time: those whose names begin with `prefix`, that
    /// ask for nothing beyond `permissions`, until `expires`.
    ///
    /// # Errors
    ///
    /// When the prefix is empty or there are too many.
    pub fn delegate(
        mut self,
        key: &VerifyingKey,
        prefix: impl Into<String>,
        permissions: Vec<Scope>,
        expires: UnixTime,
    ) -> Result<Self, ManifestError> {
        let prefix = prefix.into();
        if prefix.is_empty() {
            return Err(ManifestError::NoPrefix);
        }
        if self.contents.delegations.len() >= MAX_DELEGATIONS {
            return Err(ManifestError::TooMany);
        }
        let jwk =
            serde_json::from_str(&key.to_jwk()).map_err(|error| SignError(error.to_string()))?;
        let delegation = Delegation { jwk, prefix, permissions, exp: expires.0 };
        self.contents.delegations.push(delegation);
        Ok(self)
    }

    /// The contents.
    pub fn build(self) -> ManifestContents {
        self.contents
    }
}

/// Whether a counter is too far ahead of the time.
pub(crate) fn outruns(seq: u64, now: UnixTime) -> bool {
    seq > now.plus(MAX_AHEAD).0
}

fn add(
    entries: &mut BTreeMap<String, Digest>,
    name: &str,
    digest: Digest,
) -> Result<(), ManifestError> {
    if entries.len() >= MAX_TOOLS {
        return Err(ManifestError::TooMany);
    }
    match entries.insert(name.to_owned(), digest) {
        None => Ok(()),
        Some(_) => Err(ManifestError::Twice(name.to_owned())),
    }
}

/// Signs the list of `definitions`, as `statement` says; its counter is the time of the statement.
///
/// # Errors
///
/// As [`ManifestBuilder::tool`] and [`ManifestContents::sign`].
pub fn sign<'a>(
    statement: &Attestation,
    definitions: impl IntoIterator<Item = &'a ToolDefinition>,
    signer: &dyn Signer,
) -> Result<String, ManifestError> {
    let builder = ManifestBuilder::new(statement.issued.0).of(statement.issuer.clone());
    let mut definitions = definitions.into_iter();
    let builder = definitions.try_fold(builder, ManifestBuilder::tool)?;
    builder.build().sign(statement, signer)
}

/// What a file of statements says, unverified.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ManifestFile {
    /// The statements, compact JWS, in order.
    pub statements: Vec<String>,
    /// Who says to have signed the first.
    pub issuer: ProviderId,
    /// What all of them list.
    pub contents: ManifestContents,
}

/// The statements of a file, one a line, and the contents that all of them are about. Nothing is
/// verified: that is the clients' affair, and a server's own file is its own.
///
/// # Errors
///
/// When a line is no manifest, none is there, there are more than [`MAX_SIGNERS`], or two are about
/// different contents.
pub fn read(text: &str) -> Result<ManifestFile, ReadError> {
    let mut first: Option<(ProviderId, ManifestContents)> = None;
    let mut statements = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let statement = Jws::read(line, StatementType::Manifest)?;
        let claims: ManifestClaims = serde_json::from_str(statement.unverified_payload())
            .map_err(|error| ReadError::Claims(error.to_string()))?;
        match &first {
            Some((_, contents)) if *contents != claims.contents => return Err(ReadError::Differ),
            Some(_) => {}
            None => first = Some((claims.iss, claims.contents)),
        }
        statements.push(line.to_owned());
    }
    if statements.len() > MAX_SIGNERS {
        return Err(ReadError::TooMany);
    }
    let (issuer, contents) = first.ok_or(ReadError::Empty)?;
    Ok(ManifestFile { statements, issuer, contents })
}

/// Name and digest of a prompt: over all of the text in which it is listed.
///
/// # Errors
///
/// When the text can be read in two ways, or the typed view says something else.
pub fn prompt_digest(prompt: &Listed<Prompt>) -> Result<(String, Digest), DefinitionError> {
    let views =
        [("name", Some(prompt.name.as_str())), ("description", prompt.description.as_deref())];
    let digest = entry_digest(prompt.text().get(), Purpose::Prompt, views)?;
    Ok((prompt.name.clone(), digest))
}

/// URI template and digest of a resource template: over all of the text in which it is listed.
///
/// # Errors
///
/// When the text can be read in two ways, or the typed view says something else.
pub fn template_digest(
    template: &Listed<ResourceTemplate>,
) -> Result<(String, Digest), DefinitionError> {
    let views = [
        ("uriTemplate", Some(template.uri_template.as_str())),
        ("description", template.description.as_deref()),
    ];
    let digest = entry_digest(template.text().get(), Purpose::ResourceTemplate, views)?;
    Ok((template.uri_template.clone(), digest))
}

/// The digest of a server's instructions.
///
/// # Errors
///
/// When the text is longer than a message may be.
pub fn instructions_digest(text: &str) -> Result<Digest, IjsonError> {
    Digest::of_json(Purpose::Instructions, &serde_json::to_string(text).unwrap_or_default())
}

fn entry_digest(
    text: &str,
    purpose: Purpose,
    views: [(&'static str, Option<&str>); 2],
) -> Result<Digest, DefinitionError> {
    let document = Document::parse(text, Limits::DEFINITION).map_err(DefinitionError::Json)?;
    for (member, seen) in views {
        if document.root().get(member).and_then(Value::as_str) != seen {
            return Err(DefinitionError::View { member });
        }
    }
    Ok(Digest::of_canonical(purpose, &canonical::of(document.root())))
}

/// Why there is no manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// A definition cannot be attested.
    #[error(transparent)]
    Attest(AttestError),
    /// An entry can be read in two ways.
    #[error("`{}` cannot be listed: {error}", .name.escape_debug())]
    Entry {
        /// Which one.
        name: String,
        /// Why.
        error: DefinitionError,
    },
    /// Two entries have one name.
    #[error("`{}` stands in the list twice, rename one", .0.escape_debug())]
    Twice(String),
    /// More than [`MAX_TOOLS`] of one kind, or than [`MAX_DELEGATIONS`].
    #[error("more than 16384 entries or 64 delegations, split the server")]
    TooMany,
    /// No list could follow.
    #[error(
        "the counter {0} is more than a year of seconds ahead of the time, take one that is just \
         higher than that of the list before"
    )]
    Counter(u64),
    /// A key would be delegated every name.
    #[error("a delegation without a prefix is one of every name, give it a prefix such as `user_`")]
    NoPrefix,
    /// The signer failed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// Why a text is no manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A line is no JWS of that kind.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// A line does not say what it must.
    #[error("it does not say what it must: {0}")]
    Claims(String),
    /// Two signers speak of different contents.
    #[error("two signers signed different lists, sign the newest one again by all of them")]
    Differ,
    /// No statement is there.
    #[error("it is empty, sign it with `etdi sign`")]
    Empty,
    /// More than [`MAX_SIGNERS`].
    #[error("it has more than 16 signers, take some out")]
    TooMany,
}
