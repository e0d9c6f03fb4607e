//! Tool definitions as they arrived, and the digest that names one exactly.
//!
//! The digest of a tool is `SHA-256("etdi-tool-v1" || 0x00 || JCS(tool'))`, where `tool'` is the
//! whole tool object as it stands on the wire, unknown members and all of `_meta` included, less
//!
//! 1. the member `attestations` of `_meta["dev.etdi/etdi"]`, if that is an object. What is left
//!    stays as it is, also an empty block or an empty `_meta`; and
//! 2. each member of `_meta` that the block's `volatile` list names. The list itself is covered.
//!    It cannot name a key of ours or of the protocol.
//!
//! So a change anywhere, in a title, an icon, a hint, an output schema or a member that nobody
//! knows yet, is another digest.
//!
//! ```
//! use etdi_core::definition::RawTool;
//!
//! let one = RawTool::read(r#"{"name":"search","inputSchema":{"type":"object"}}"#)?;
//! let same = RawTool::read(r#"{"inputSchema":{"type": "object"}, "name": "search"}"#)?;
//! assert_eq!(one.digest(), same.digest());
//!
//! let other = RawTool::read(r#"{"name":"search","inputSchema":{"type":"object"},"x":1}"#)?;
//! assert_ne!(one.digest(), other.digest(), "a member that nobody knows is covered");
//!
//! // What could be read in two ways is no definition.
//! assert!(RawTool::read(r#"{"name":"a","name":"b","inputSchema":{"type":"object"}}"#).is_err());
//! # Ok::<(), etdi_core::definition::DefinitionError>(())
//! ```

use std::sync::Arc;

use mcp_types::{Listed, Tool};

use crate::canonical;
use crate::digest::{Digest, Purpose};
use crate::ijson::{Document, IjsonError, Limits, Shape, Value};
use crate::wire::{self, ToolBlock};

/// A tool as it arrived, read strictly: one meaning, a known digest, and nothing trusted yet.
#[derive(Clone, Debug)]
pub struct RawTool {
    definition: ToolDefinition,
    attestations: Vec<String>,
}

/// A tool's definition: the members that matter here, and the canonical form of all of it.
///
/// Cheap to clone. In this form alone it is a claim; `Verified` and `Approved` say more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolDefinition(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    name: String,
    title: Option<String>,
    description: Option<String>,
    block: Option<ToolBlock>,
    hints: Hints,
    canonical: String,
    digest: Digest,
}

impl RawTool {
    /// The most attestations of one tool.
    pub const MAX_ATTESTATIONS: usize = 16;

    /// The most bytes of a tool's name.
    pub const MAX_NAME: usize = 256;

    /// Reads the text of a tool.
    ///
    /// # Errors
    ///
    /// When the text is not I-JSON, is no tool, or has an ETDI block that is not of this format.
    pub fn read(text: &str) -> Result<Self, DefinitionError> {
        let mut document =
            Document::parse(text, Limits::DEFINITION).map_err(DefinitionError::Json)?;
        let tool = document.root();
        if !tool.is_object() {
            return Err(DefinitionError::Shape { member: "", expected: "an object" });
        }
        let name = string(tool, "name")?
            .filter(|name| !name.is_empty() && name.len() <= Self::MAX_NAME)
            .ok_or(DefinitionError::Shape { member: "name", expected: "1 to 256 bytes" })?;
        let (title, description) = (string(tool, "title")?, string(tool, "description")?);
        if !tool.get("inputSchema").is_some_and(Value::is_object) {
            return Err(DefinitionError::Shape { member: "inputSchema", expected: "an object" });
        }
        let hints = Hints::of(tool);
        let mut block = read_block(tool)?;
        let attestations = match &mut block {
            Some(block) => std::mem::take(&mut block.attestations),
            None => Vec::new(),
        };
        if attestations.len() > Self::MAX_ATTESTATIONS {
            return Err(DefinitionError::Block("more than 16 attestations".to_owned()));
        }
        document.remove(&["_meta", wire::TOOL, wire::ATTESTATIONS]);
        for key in block.iter().flat_map(|block| &block.volatile) {
            document.remove(&["_meta", key]);
        }
        let mut text_of_tool = String::with_capacity(text.len());
        canonical::write(document.root(), &mut text_of_tool);
        let digest = Digest::of_canonical(Purpose::Tool, &text_of_tool);
        let inner =
            Inner { name, title, description, block, hints, canonical: text_of_tool, digest };
        Ok(Self { definition: ToolDefinition(Arc::new(inner)), attestations })
    }

    /// Reads an entry of a listing: from its text alone, after which the typed view that a host
    /// shows must say the same.
    ///
    /// # Errors
    ///
    /// As [`RawTool::read`], and when `name`, `title`, `description` or `inputSchema` of the typed
    /// view differ from the text.
    pub fn from_listed(tool: &Listed<Tool>) -> Result<Self, DefinitionError> {
        let raw = Self::read(tool.text().get())?;
        let differs = |member| Err(DefinitionError::View { member });
        let definition = raw.definition();
        if tool.name != definition.name() {
            return differs("name");
        }
        if tool.title.as_deref() != definition.title() {
            return differs("title");
        }
        if tool.description.as_deref() != definition.description() {
            return differs("description");
        }
        let seen = canonical::canonicalize(tool.input_schema.text().get(), Limits::DEFINITION);
        let value = Document::parse(definition.canonical(), Limits::DEFINITION);
        let said = value.as_ref().ok().and_then(|tool| tool.root().get("inputSchema"));
        match (seen, said.map(canonical::of)) {
            (Ok(seen), Some(said)) if seen == said => Ok(raw),
            _ => differs("inputSchema"),
        }
    }

    /// The definition, which nobody has vouched for yet.
    pub fn definition(&self) -> &ToolDefinition {
        &self.definition
    }

    /// The digest of the definition.
    pub fn digest(&self) -> Digest {
        self.definition.digest()
    }

    /// The proofs that came with it, unread.
    pub fn attestations(&self) -> &[String] {
        &self.attestations
    }
}

impl ToolDefinition {
    /// The name by which the tool is called.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The title for people.
    pub fn title(&self) -> Option<&str> {
        self.0.title.as_deref()
    }

    /// The description for the model.
    pub fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// What the author declares, if the tool has an ETDI block; without its attestations.
    pub fn block(&self) -> Option<&ToolBlock> {
        self.0.block.as_ref()
    }

    /// What the tool says about its own effects, in `annotations`.
    pub fn hints(&self) -> Hints {
        self.0.hints
    }

    /// The canonical text of everything that the digest covers.
    pub fn canonical(&self) -> &str {
        &self.0.canonical
    }

    /// The digest.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }
}

/// What a tool says about its own effects. `None` where it says nothing, or nothing readable.
///
/// A claim: worth as much as whoever vouches for the tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Hints {
    /// `readOnlyHint`: it changes nothing.
    pub read_only: Option<bool>,
    /// `destructiveHint`: it may destroy something.
    pub destructive: Option<bool>,
    /// `idempotentHint`: calling it twice does no more than calling it once.
    pub idempotent: Option<bool>,
    /// `openWorldHint`: it reaches what nobody knows beforehand, such as the web.
    pub open_world: Option<bool>,
}

impl Hints {
    fn of(tool: Value<'_>) -> Self {
        let Some(annotations) = tool.get("annotations") else { return Self::default() };
        let hint = |name| match annotations.get(name)?.shape() {
            Shape::Bool(hint) => Some(hint),
            _ => None,
        };
        Self {
            read_only: hint("readOnlyHint"),
            destructive: hint("destructiveHint"),
            idempotent: hint("idempotentHint"),
            open_world: hint("openWorldHint"),
        }
    }
}

fn string(tool: Value<'_>, member: &'static str) -> Result<Option<String>, DefinitionError> {
    let Some(value) = tool.get(member) else { return Ok(None) };
    let text = value.as_str().ok_or(DefinitionError::Shape { member, expected: "a string" })?;
    Ok(Some(text.to_owned()))
}

fn read_block(tool: Value<'_>) -> Result<Option<ToolBlock>, DefinitionError> {
    let Some(meta) = tool.get("_meta") else { return Ok(None) };
    if !meta.is_object() {
        return Err(DefinitionError::Shape { member: "_meta", expected: "an object" });
    }
    let Some(value) = meta.get(wire::TOOL) else { return Ok(None) };
    let text = canonical::of(value);
    let block: ToolBlock = serde_json::from_str(&text).map_err(|error| {
        let mut message = error.to_string();
        message.truncate(message.rfind(" at line ").unwrap_or(message.len()));
        DefinitionError::Block(message)
    })?;
    if block.v != wire::FORMAT {
        return Err(DefinitionError::Block(format!("format {} is not known, use 1", block.v)));
    }
    let reserved = |key: &&String| key.starts_with(wire::PREFIX) || is_protocol_key(key);
    match block.volatile.iter().find(reserved) {
        Some(key) => Err(DefinitionError::Block(format!(
            "`volatile` names the reserved key `{}`, leave it out",
            key.escape_debug()
        ))),
        None => Ok(Some(block)),
    }
}

/// Whether the protocol reserves a `_meta` key: its prefix has `modelcontextprotocol` or `mcp` as
/// its second label (specification, "General fields", `_meta`).
fn is_protocol_key(key: &str) -> bool {
    let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
    matches!(prefix.split('.').nth(1), Some("modelcontextprotocol" | "mcp"))
}

/// Why a text is no tool definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DefinitionError {
    /// It is not I-JSON.
    #[error("the definition is not strict JSON: {0}")]
    Json(IjsonError),
    /// A member is missing or of another kind.
    #[error("the definition has no valid `{member}`, expected {expected}")]
    Shape {
        /// The member; empty for the whole.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// The ETDI block is not of this format.
    #[error("the definition has an ETDI block that is not valid: {0}")]
    Block(String),
    /// It is no tool as the protocol defines one.
    #[error("the definition does not fit the protocol: {0}")]
    Protocol(String),
    /// Another tool of the listing has the same name.
    #[error("another tool of the listing is named `{}` too, so neither can be called", .name.escape_debug())]
    NameTwice {
        /// The name.
        name: String,
    },
    /// The typed view shows something else than the text says.
    #[error("`{member}` is shown otherwise than the definition's text says, do not use the tool")]
    View {
        /// The member that differs.
        member: &'static str,
    },
}

impl DefinitionError {
    /// A stable word for programs; for strict JSON that of the problem.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json(error) => error.code(),
            Self::Shape { .. } => "malformed",
            Self::Block(_) => "malformed_block",
            Self::Protocol(_) => "malformed",
            Self::NameTwice { .. } => "name_twice",
            Self::View { .. } => "view_differs",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: &str = concat!(
        r#"{"name":"search","title":"Search","description":"Search the notes.","#,
        r#""inputSchema":{"type":"object","properties":{"query":{"type":"string"}}},"#,
        r#""annotations":{"readOnlyHint":true},"#,
        r#""_meta":{"com.example/trace":"1","dev.etdi/etdi":{"v":1,"version":"1.2.0","#,
        r#""permissions":[{"scope":"notes:read"}],"volatile":["com.example/trace"],"#,
        r#""attestations":["a.b.c"]}}}"#
    );

    fn digest(text: &str) -> Digest {
        RawTool::read(text).unwrap().digest()
    }

    /// The digest of one known tool: whoever changes it changes the format.
    #[test]
    fn pin() {
        let raw = RawTool::read(TOOL).unwrap();
        assert_eq!(
            raw.definition().canonical(),
            concat!(
                r#"{"_meta":{"dev.etdi/etdi":{"permissions":[{"scope":"notes:read"}],"v":1,"#,
                r#""version":"1.2.0","volatile":["com.example/trace"]}},"#,
                r#""annotations":{"readOnlyHint":true},"description":"Search the notes.","#,
                r#""inputSchema":{"properties":{"query":{"type":"string"}},"type":"object"},"#,
                r#""name":"search","title":"Search"}"#
            )
        );
        let expected =
            Digest::of_bytes(format!("etdi-tool-v1\0{}", raw.definition().canonical()).as_bytes());
        assert_eq!(raw.digest(), expected);
        assert_eq!(raw.digest().to_string(), "sha-256:E_NxwLMVNk6oA45cn1q9wAVz4p6oYLZuR17Yvh4nCXs");
        assert_eq!(raw.attestations(), ["a.b.c"]);
    }

    #[test]
    fn what_is_outside_the_digest() {
        let of_tool = digest(TOOL);
        assert_eq!(digest(&TOOL.replace(r#"["a.b.c"]"#, r#"["x","y"]"#)), of_tool);
        assert_eq!(digest(&TOOL.replace(r#","attestations":["a.b.c"]"#, "")), of_tool);
        assert_eq!(digest(&TOOL.replace(r#""com.example/trace":"1","#, "")), of_tool);
        assert_eq!(digest(&TOOL.replace(r#"trace":"1""#, r#"trace":[{}]"#)), of_tool);
    }

    #[test]
    fn everything_else_is_inside() {
        let of_tool = digest(TOOL);
        for (old, new) in [
            ("search\"", "search2\""),
            ("Search\"", "Search!\""),
            ("notes.\"", "notes. \""),
            ("string", "number"),
            ("true", "false"),
            ("notes:read", "notes:write"),
            ("1.2.0", "1.2.1"),
            (r#""com.example/trace":"1""#, r#""com.example/other":"1""#),
            (r#"["com.example/trace"]"#, r#"["com.example/trace","x"]"#),
            (r#"{"v":1"#, r#"{"new":null,"v":1"#),
            (r#"{"name""#, r#"{"":0,"name""#),
        ] {
            let changed = TOOL.replace(old, new);
            assert_ne!(changed, TOOL);
            assert_ne!(digest(&changed), of_tool, "{old} {new}");
        }
    }

    /// Taking the proofs out leaves the empty block behind: it differs from no block.
    #[test]
    fn an_emptied_block_stays() {
        let plain = r#"{"name":"x","inputSchema":{}}"#;
        let block = r#"{"name":"x","inputSchema":{},"_meta":{}}"#;
        assert_ne!(digest(plain), digest(block));
        // A block is only read where it has a version.
        let error = RawTool::read(r#"{"name":"x","inputSchema":{},"_meta":{"dev.etdi/etdi":{}}}"#);
        assert!(matches!(error, Err(DefinitionError::Block(_))));
    }

    #[test]
    fn what_is_no_definition() {
        let with_block = |block: &str| {
            format!(r#"{{"name":"x","inputSchema":{{}},"_meta":{{"dev.etdi/etdi":{block}}}}}"#)
        };
        for (text, code) in [
            ("[]".to_owned(), "malformed"),
            (r#"{"inputSchema":{}}"#.to_owned(), "malformed"),
            (r#"{"name":"","inputSchema":{}}"#.to_owned(), "malformed"),
            (r#"{"name":1,"inputSchema":{}}"#.to_owned(), "malformed"),
            (r#"{"name":"x"}"#.to_owned(), "malformed"),
            (r#"{"name":"x","inputSchema":[]}"#.to_owned(), "malformed"),
            (r#"{"name":"x","title":[],"inputSchema":{}}"#.to_owned(), "malformed"),
            (r#"{"name":"x","inputSchema":{},"_meta":1}"#.to_owned(), "malformed"),
            (r#"{"name":"x","inputSchema":{"a":1,"a":1}}"#.to_owned(), "duplicate_member"),
            (
                r#"{"name":"x","inputSchema":{"m":9007199254740993}}"#.to_owned(),
                "integer_too_large",
            ),
            (format!(r#"{{"name":"{}","inputSchema":{{}}}}"#, "x".repeat(257)), "malformed"),
            (with_block("null"), "malformed_block"),
            (with_block(r#"{"v":2,"version":"1.0.0"}"#), "malformed_block"),
            (with_block(r#"{"v":1,"version":"1"}"#), "malformed_block"),
            (with_block(r#"{"v":1,"version":"1.0.0","permissions":["x"]}"#), "malformed_block"),
            (
                with_block(r#"{"v":1,"version":"1.0.0","volatile":["dev.etdi/etdi"]}"#),
                "malformed_block",
            ),
            (
                with_block(r#"{"v":1,"version":"1.0.0","volatile":["io.modelcontextprotocol/x"]}"#),
                "malformed_block",
            ),
            (
                with_block(&format!(
                    r#"{{"v":1,"version":"1.0.0","attestations":[{}]}}"#,
                    vec!["\"\""; 17].join(",")
                )),
                "malformed_block",
            ),
        ] {
            assert_eq!(RawTool::read(&text).unwrap_err().code(), code, "{text}");
        }
    }
}
