//! What attackers make of an honest listing: edits of its text, with or without a new signature.

use etdi_core::attestation::Attestation;
use etdi_core::definition::{DefinitionError, RawTool};
use etdi_core::key::SigningKey;
use etdi_core::manifest::{self, ManifestBuilder};
use etdi_core::wire::{ATTESTATIONS, MANIFEST, TOOL};
use serde_json::{Map, Value};

/// A listing as it stood on the wire.
#[derive(Clone, Debug)]
pub struct Listing {
    tools: Vec<String>,
    meta: Map<String, Value>,
}

/// Why a listing could not be edited; the demo has failed then.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The tool to be edited is not in the listing.
    #[error("the honest listing has no tool `{0}`")]
    NoTool(String),
    /// The edit changed nothing, or not what it should.
    #[error("the edit found nothing to change")]
    NothingChanged,
    /// The text is no JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The text is no definition.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// A name is none.
    #[error(transparent)]
    Identity(#[from] etdi_core::identity::IdentityError),
    /// The publisher could not sign.
    #[error(transparent)]
    Sign(#[from] manifest::ManifestError),
    /// The manifest that is there cannot be read.
    #[error(transparent)]
    Manifest(#[from] manifest::ReadError),
    /// The publisher could not sign a tool.
    #[error(transparent)]
    Attest(#[from] etdi_core::attestation::AttestError),
}

/// A publisher that signs whatever it is given: one that has gone bad, or lost its key.
#[derive(Clone, Copy, Debug)]
pub struct Publisher<'a> {
    /// What it says.
    pub statement: &'a Attestation,
    /// Its private key.
    pub key: &'a SigningKey,
}

impl Listing {
    /// A listing of the texts of its tools and its `_meta`.
    pub fn new(tools: Vec<String>, meta: Map<String, Value>) -> Self {
        Self { tools, meta }
    }

    /// The members of a `tools/list` result.
    pub fn text(&self) -> String {
        let (tools, meta) = (self.tools.join(","), Value::Object(self.meta.clone()));
        format!(r#""tools":[{tools}],"_meta":{meta}"#)
    }

    /// The text of one tool.
    ///
    /// # Errors
    ///
    /// When there is no such tool.
    pub fn tool(&self, name: &str) -> Result<&str, EditError> {
        let named = |text: &&String| {
            parse(text).is_ok_and(|tool| tool.get("name").and_then(Value::as_str) == Some(name))
        };
        self.tools.iter().find(named).map(String::as_str).ok_or(EditError::NoTool(name.to_owned()))
    }

    /// Changes one tool as a value.
    ///
    /// # Errors
    ///
    /// When there is no such tool, or nothing changed.
    pub fn edit(
        &self,
        name: &str,
        edit: impl FnOnce(&mut Value) -> Option<()>,
    ) -> Result<Self, EditError> {
        let text = self.tool(name)?;
        let before = parse(text)?;
        let mut after = before.clone();
        edit(&mut after).filter(|()| after != before).ok_or(EditError::NothingChanged)?;
        self.replace(text, after.to_string())
    }

    /// Changes one tool as text, where a value could not hold the change.
    ///
    /// # Errors
    ///
    /// When there is no such tool, or `from` does not stand in it.
    pub fn edit_text(&self, name: &str, from: &str, to: &str) -> Result<Self, EditError> {
        let text = self.tool(name)?;
        if !text.contains(from) {
            return Err(EditError::NothingChanged);
        }
        self.replace(text, text.replacen(from, to, 1))
    }

    fn replace(&self, old: &str, new: String) -> Result<Self, EditError> {
        let mut changed = self.clone();
        let place = changed.tools.iter_mut().find(|text| *text == old);
        *place.ok_or(EditError::NothingChanged)? = new;
        Ok(changed)
    }

    /// Takes every trace of ETDI out.
    ///
    /// # Errors
    ///
    /// When a tool is no JSON.
    pub fn stripped(&self) -> Result<Self, EditError> {
        let strip = |text: &String| {
            let mut tool = parse(text)?;
            if let Some(meta) = tool.get_mut("_meta").and_then(Value::as_object_mut) {
                meta.remove(TOOL);
            }
            Ok::<_, EditError>(tool.to_string())
        };
        let tools = self.tools.iter().map(strip).collect::<Result<_, _>>()?;
        let mut meta = self.meta.clone();
        meta.remove(MANIFEST);
        Ok(Self { tools, meta })
    }

    /// Puts the signatures of `other` under the statements of this listing.
    ///
    /// # Errors
    ///
    /// When the two do not hold the same statements.
    pub fn with_signatures_of(&self, other: &Self) -> Result<Self, EditError> {
        let mut forged = self.clone();
        for (mine, theirs) in forged.tools.iter_mut().zip(&other.tools) {
            let (mut tool, other) = (parse(mine)?, parse(theirs)?);
            let proof = "/_meta/dev.etdi~1etdi/attestations/0";
            let theirs = other.pointer(proof).and_then(Value::as_str);
            let place = tool.pointer_mut(proof).ok_or(EditError::NothingChanged)?;
            *place = spliced(place.as_str(), theirs)?;
            *mine = tool.to_string();
        }
        if let Some(place) = forged.meta.get_mut(MANIFEST) {
            *place = spliced(place.as_str(), other.meta.get(MANIFEST).and_then(Value::as_str))?;
        }
        Ok(forged)
    }

    /// Has all tools attested anew.
    ///
    /// # Errors
    ///
    /// When a tool is no definition, or the publisher cannot sign.
    pub fn signed_by(&self, publisher: &Publisher<'_>) -> Result<Self, EditError> {
        let (mut tools, mut definitions) = (Vec::new(), Vec::new());
        for text in &self.tools {
            let raw = RawTool::read(text)?;
            let proof = publisher.statement.sign(raw.definition(), publisher.key)?;
            let mut tool = parse(text)?;
            let block = tool.get_mut("_meta").and_then(|meta| meta.get_mut(TOOL));
            let block = block.and_then(Value::as_object_mut).ok_or(EditError::NothingChanged)?;
            block.insert(ATTESTATIONS.to_owned(), Value::from(vec![proof]));
            tools.push(tool.to_string());
            definitions.push(raw.definition().clone());
        }
        let mut meta = self.meta.clone();
        if let Some(known) = meta.get(MANIFEST).and_then(Value::as_str) {
            let known = manifest::read(known)?;
            let builder = ManifestBuilder::new(known.contents.seq.saturating_add(1));
            let builder = definitions.iter().try_fold(builder, ManifestBuilder::tool)?;
            let manifest = builder.build().sign(publisher.statement, publisher.key)?;
            meta.insert(MANIFEST.to_owned(), Value::from(manifest));
        }
        Ok(Self { tools, meta })
    }
}

fn parse(text: &str) -> Result<Value, EditError> {
    Ok(serde_json::from_str(text)?)
}

/// One statement with the signature of another.
fn spliced(statement: Option<&str>, signed: Option<&str>) -> Result<Value, EditError> {
    let split = |text: Option<&str>| {
        let (head, signature) = text?.rsplit_once('.')?;
        Some((head.to_owned(), signature.to_owned()))
    };
    let (head, _) = split(statement).ok_or(EditError::NothingChanged)?;
    let (_, signature) = split(signed).ok_or(EditError::NothingChanged)?;
    Ok(Value::from(format!("{head}.{signature}")))
}
