//! A tool definition as the Python SDK's data class has it (`ETDIToolDefinition`), to and from a
//! `Tool` with our block.
//!
//! It is a view for files and programs of before. Nothing in it is proof: what it says of its own
//! verification, its signature and its token is read, kept, and believed by nobody.

use std::collections::BTreeMap;

use mcp_types::Tool;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ForkError;
use crate::definition::{RawTool, ToolDefinition};
use crate::ijson::{Document, Limits};
use crate::permission::{Permission, Scope};
use crate::wire::{self, CallConstraints, Provider, RequestSigning, ToolBlock};

/// A definition in the JSON of the Python SDK.
///
/// Read from both spellings: that of the data class, with `security` and snake case, and that of
/// the design documents, with a flat `signature`, `signatureAlgorithm` and `oauth` and camel case.
/// Written as the data class writes itself, every member there.
///
/// ```
/// use etdi_core::legacy::DefinitionView;
///
/// let view = DefinitionView::read(
///     r#"{"id":"t","name":"T","version":"1.0.0","description":"","schema":{"type":"object"},
///         "provider":{"id":"https://acme.example","name":"Acme"},"permissions":["weather:read"]}"#,
/// )?;
/// let tool = view.to_tool()?;
/// assert_eq!(tool.name, "t");
/// assert_eq!(view.permissions[0].scope.as_str(), "tool:weather:read");
/// assert_eq!(view.permissions[0].description.as_deref(), Some("Permission for tool:weather:read"));
///
/// // What was not signed is not verified by saying so.
/// assert!(DefinitionView::read(r#"{"id":"t"}"#).is_err());
/// # Ok::<(), etdi_core::legacy::ForkError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DefinitionView {
    /// By what the tool is called.
    pub id: String,
    /// How people know it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it says of itself.
    pub description: String,
    /// Whose it is said to be: `id`, `name`, sometimes more.
    pub provider: BTreeMap<String, Value>,
    /// What it takes.
    pub schema: Value,
    /// What it needs; plain strings are read as well, see [`permission_of`].
    #[serde(default, deserialize_with = "permissions")]
    pub permissions: Vec<Permission>,
    /// Signature and token, as they stand there.
    #[serde(default)]
    pub security: Option<SecurityView>,
    /// Who may call whom.
    #[serde(default, alias = "callStackConstraints")]
    pub call_stack_constraints: Option<CallConstraints>,
    /// What it says of its own verification.
    #[serde(default = "unverified", alias = "verificationStatus")]
    pub verification_status: String,
    /// Whether calls must be signed.
    #[serde(default, alias = "requireRequestSigning")]
    pub require_request_signing: bool,
    /// Read and written only: no server switches that off here.
    #[serde(default = "yes", alias = "enableRugPullPrevention")]
    pub enable_rug_pull_prevention: bool,
}

/// Signature and token of a definition of before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SecurityView {
    /// The token of an identity provider.
    #[serde(default)]
    pub oauth: Option<TokenView>,
    /// The signature, base64.
    #[serde(default)]
    pub signature: Option<String>,
    /// With which algorithm it is said to be made.
    #[serde(default, alias = "signatureAlgorithm")]
    pub signature_algorithm: Option<String>,
}

/// The token of a definition of before.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TokenView {
    /// The token.
    pub token: String,
    /// Whose it is: a kind of provider, or the name of the provider's host.
    #[serde(default, alias = "idp")]
    pub provider: Option<String>,
    /// When it was issued, as it stands there.
    #[serde(default, alias = "issuedAt")]
    pub issued_at: Option<String>,
    /// Until when it holds, as it stands there.
    #[serde(default, alias = "expiresAt")]
    pub expires_at: Option<String>,
}

impl core::fmt::Debug for TokenView {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut shown = f.debug_struct("TokenView");
        shown.field("token", &"<redacted>").field("provider", &self.provider);
        shown.field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl DefinitionView {
    /// Reads either spelling.
    ///
    /// # Errors
    ///
    /// [`ForkError::Unreadable`] when a member is missing, of another type, stands in both
    /// spellings, or a permission is none.
    pub fn read(text: &str) -> Result<Self, ForkError> {
        let refused = |why| Err(unreadable(why));
        if Document::parse(text, Limits::STATEMENT).is_err() {
            return refused("it is no JSON that has one meaning: a member may stand there twice");
        }
        let mut members: Map<String, Value> = match serde_json::from_str(text) {
            Ok(members) => members,
            Err(_) => return refused("it is no JSON object"),
        };
        let mut flat = Map::new();
        for (name, to) in [
            ("signature", "signature"),
            ("signatureAlgorithm", "signature_algorithm"),
            ("signature_algorithm", "signature_algorithm"),
            ("oauth", "oauth"),
        ] {
            if let Some(value) = members.remove(name).filter(|value| !value.is_null())
                && flat.insert(to.to_owned(), value).is_some()
            {
                return refused("its algorithm stands there twice");
            }
        }
        let nested = members.get("security").is_some_and(|value| !value.is_null());
        if nested && !flat.is_empty() {
            return refused("its signature stands there twice, flat and in `security`");
        }
        if !flat.is_empty() {
            members.insert("security".to_owned(), Value::Object(flat));
        }
        serde_json::from_value(Value::Object(members))
            .map_err(|_| unreadable("a member is missing, there twice or of another type"))
    }

    /// The view of a definition, with what the host's own verification found of it.
    ///
    /// # Errors
    ///
    /// [`ForkError::Unreadable`] for a definition that cannot be read back.
    pub fn of(definition: &ToolDefinition, verification_status: &str) -> Result<Self, ForkError> {
        let mut members: Map<String, Value> = serde_json::from_str(definition.canonical())
            .map_err(|_| unreadable("it is no JSON object"))?;
        let block = definition.block();
        let provider = block.and_then(|block| block.provider.as_ref());
        let mut shown = BTreeMap::new();
        let id = provider.map_or("unknown", |one| one.id.as_str());
        let name = provider.and_then(|one| one.name.as_deref()).unwrap_or(id);
        shown.insert("id".to_owned(), json!(id));
        shown.insert("name".to_owned(), json!(name));
        let call = block.map(|block| &block.call).filter(|call| !call.is_free());
        Ok(Self {
            id: definition.name().to_owned(),
            name: definition.title().unwrap_or(definition.name()).to_owned(),
            version: block.map_or_else(|| "0.0.0".to_owned(), |block| block.version.to_string()),
            description: definition.description().unwrap_or_default().to_owned(),
            provider: shown,
            schema: members.remove("inputSchema").unwrap_or_else(|| json!({ "type": "object" })),
            permissions: block.map(|block| block.permissions.clone()).unwrap_or_default(),
            security: None,
            call_stack_constraints: call.cloned(),
            verification_status: verification_status.to_owned(),
            require_request_signing: block
                .is_some_and(|block| block.request_signing == RequestSigning::Required),
            enable_rug_pull_prevention: true,
        })
    }

    /// The tool with our block, to be listed and signed anew. A provider that is no origin and no
    /// key is left out, because it names nobody; so are signature, token and status.
    ///
    /// # Errors
    ///
    /// [`ForkError::Unreadable`] when the version is no semantic version, or it makes no tool.
    pub fn to_tool(&self) -> Result<Tool, ForkError> {
        let version = self
            .version
            .parse()
            .map_err(|_| unreadable("its version is no semantic version such as `1.0.0`"))?;
        let mut block = ToolBlock::new(version);
        let text = |name: &str| self.provider.get(name).and_then(Value::as_str);
        block.provider = text("id")
            .and_then(|id| id.parse().ok())
            .map(|id| Provider { id, name: text("name").map(str::to_owned) });
        block.permissions.clone_from(&self.permissions);
        block.call = self.call_stack_constraints.clone().unwrap_or_default();
        if self.require_request_signing {
            block.request_signing = RequestSigning::Required;
        }
        let mut tool = Map::new();
        tool.insert("name".to_owned(), json!(self.id));
        tool.insert("description".to_owned(), json!(self.description));
        tool.insert("inputSchema".to_owned(), self.schema.clone());
        tool.insert("_meta".to_owned(), json!({ wire::TOOL: block }));
        if self.name != self.id {
            tool.insert("title".to_owned(), json!(self.name));
        }
        let tool = Value::Object(tool).to_string();
        RawTool::read(&tool).map_err(|_| unreadable("it makes no tool"))?;
        serde_json::from_str(&tool).map_err(|_| unreadable("it makes no tool"))
    }

    /// The JSON of the data class: every member there, `null` where there is nothing.
    ///
    /// # Errors
    ///
    /// [`ForkError::Unreadable`] for what has no JSON form.
    pub fn to_json(&self) -> Result<String, ForkError> {
        serde_json::to_string(self).map_err(|_| unreadable("it has no JSON form"))
    }
}

/// A permission by the short form of the design documents, `category:action` or
/// `category:action:path`: the scope `tool:category:action[:path]`, with the name and the text that
/// the decorator of the Python SDK derives.
///
/// # Errors
///
/// [`ForkError::Unreadable`] where that is no scope of ours, see [`Scope`].
pub fn permission_of(short: &str) -> Result<Permission, ForkError> {
    let parts = short.split(':').count();
    let scope = format!("tool:{short}");
    match scope.parse::<Scope>() {
        Ok(scope) if (2..=3).contains(&parts) => Ok(described(scope)),
        _ => Err(ForkError::Unreadable {
            what: format!("the permission `{}`", short.escape_debug()),
            why: "it is no `category:action` or `category:action:path` in lower case",
        }),
    }
}

/// Name and text as the decorator makes them.
fn described(scope: Scope) -> Permission {
    let (name, text) = (scope.as_str().replace(':', "_"), format!("Permission for {scope}"));
    Permission { name: Some(name), description: Some(text), scope, required: true }
}

/// A permission in either form.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Either<T> {
    /// The short one.
    Short(String),
    /// The whole one.
    Whole(T),
}

fn permissions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Permission>, D::Error> {
    let all: Vec<Either<Permission>> = Vec::deserialize(deserializer)?;
    let read = |one: Either<Permission>| match one {
        Either::Short(text) => permission_of(&text).map_err(D::Error::custom),
        Either::Whole(one) => {
            let derived = described(one.scope.clone());
            let (name, description) = (one.name.or(derived.name), one.description);
            Ok(Permission { name, description: description.or(derived.description), ..one })
        }
    };
    all.into_iter().map(read).collect()
}

fn unverified() -> String {
    "unverified".to_owned()
}

fn yes() -> bool {
    true
}

fn unreadable(why: &'static str) -> ForkError {
    ForkError::Unreadable { what: "the definition".to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"id":"get_weather","name":"Get Weather","version":"1.2.0",
        "description":"Météo","provider":{"id":"https://acme.example","name":"Acme","verified":true},
        "schema":{"type":"object","properties":{"city":{"type":"string"}}},
        "permissions":[{"name":"w","description":"Read","scope":"weather:read","required":false}],
        "security":{"oauth":{"token":"eyJ.eyJ.x","provider":"auth0","issued_at":"2025-05-29T10:00:00",
            "expires_at":null},"signature":"c2ln","signature_algorithm":"RS256"},
        "call_stack_constraints":{"max_depth":2,"allowed_callees":[]},
        "verification_status":"verified","require_request_signing":true,
        "enable_rug_pull_prevention":false}"#;

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_member_that_stands_twice_is_refused() {
        let twice = WHOLE.replace(
            "\"require_request_signing\":true",
            "\"require_request_signing\":true,\"require_request_signing\":false",
        );
        assert!(DefinitionView::read(&twice).is_err());
    }

    #[test]
    fn goes_to_a_tool_and_back() {
        let view = DefinitionView::read(WHOLE).unwrap();
        let tool = view.to_tool().unwrap();
        let raw = RawTool::read(&serde_json::to_string(&tool).unwrap()).unwrap();
        let block = raw.definition().block().unwrap();
        assert_eq!(
            (raw.definition().name(), raw.definition().title()),
            ("get_weather", Some("Get Weather"))
        );
        assert_eq!(block.provider.as_ref().unwrap().id.as_str(), "https://acme.example");
        assert_eq!(block.call.allowed_callees.as_deref(), Some(&[][..]), "it may call nothing");
        assert_eq!(block.request_signing, RequestSigning::Required);
        // What it claims of itself stays behind.
        assert!(raw.attestations().is_empty());
        let back = DefinitionView::of(raw.definition(), "unverified").unwrap();
        assert_eq!(back.security, None);
        assert_eq!(back.verification_status, "unverified");
        let same = |one: &DefinitionView| {
            let mut value = value(&one.to_json().unwrap());
            for member in ["security", "verification_status", "enable_rug_pull_prevention"] {
                value.as_object_mut().unwrap().remove(member).unwrap();
            }
            value["provider"].as_object_mut().unwrap().remove("verified");
            value
        };
        assert_eq!(same(&back), same(&view));
        assert!(!format!("{view:?}").contains("eyJ"), "a token is no text for logs");
    }

    #[test]
    fn every_member_is_written() {
        let bare = r#"{"id":"t","name":"t","version":"1.0.0","description":"","provider":{},
            "schema":{}}"#;
        let written = value(&DefinitionView::read(bare).unwrap().to_json().unwrap());
        let wanted = value(
            r#"{"id":"t","name":"t","version":"1.0.0","description":"","provider":{},"schema":{},
                "permissions":[],"security":null,"call_stack_constraints":null,
                "verification_status":"unverified","require_request_signing":false,
                "enable_rug_pull_prevention":true}"#,
        );
        assert_eq!(written, wanted);
    }

    #[test]
    fn both_nestings_are_one() {
        let flat = r#"{"id":"get_weather","name":"Get Weather","version":"1.2.0",
            "description":"Météo","provider":{"id":"https://acme.example","name":"Acme","verified":true},
            "schema":{"type":"object","properties":{"city":{"type":"string"}}},
            "permissions":[{"name":"w","description":"Read","scope":"weather:read","required":false}],
            "oauth":{"token":"eyJ.eyJ.x","idp":"auth0","issuedAt":"2025-05-29T10:00:00"},
            "signature":"c2ln","signatureAlgorithm":"RS256",
            "callStackConstraints":{"max_depth":2,"allowed_callees":[]},
            "verificationStatus":"verified","requireRequestSigning":true,
            "enableRugPullPrevention":false}"#;
        assert_eq!(DefinitionView::read(flat).unwrap(), DefinitionView::read(WHOLE).unwrap());
        // Of two signatures nobody could say which one counts.
        let both = WHOLE.replacen('{', r#"{"signature":"b3RoZXI=","#, 1);
        assert!(DefinitionView::read(&both).unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn short_permissions_have_scope_name_and_text() {
        for (short, scope) in [
            ("weather:read", Some("tool:weather:read")),
            ("files:read:home", Some("tool:files:read:home")),
            ("files:read:*", Some("tool:files:read:*")),
            ("weather", None),
            ("a:b:c:d", None),
            ("Files:Read", None),
            ("files:read:/etc", None),
        ] {
            let read = permission_of(short).ok();
            assert_eq!(read.as_ref().map(|one| one.scope.as_str()), scope, "{short}");
            if let (Some(read), Some(scope)) = (read, scope) {
                assert_eq!(read.name, Some(scope.replace(':', "_")));
                assert_eq!(read.description, Some(format!("Permission for {scope}")));
                assert!(read.required);
            }
        }
    }
}
