//! The Cedar schema of the tools that servers list.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use etdi_core::definition::ToolDefinition;
use etdi_core::ijson::{Document, Limits};

use crate::shape::{Shape, quoted};

/// What every call has in its context, as members of a record type. `request.rs` makes values of
/// exactly this type; a test holds the two together.
const CIRCUMSTANCES: &str = r#"
      side: String,
      level?: String,
      now: Long,
      hour: Long,
      weekday: Long,
      depth: Long,
      chain: Set<String>,
      agent?: Agent,
      issuer?: String,
      key?: String,
      scopes: Set<String>,
      unknown_arguments: Set<String>,
      text_from: Set<String>,
      text_sources: Set<String>,
      text_integrity: Set<String>,
      text_confidentiality: Set<String>,
      seen_from: Set<String>,
      seen_sources: Set<String>,
      seen_integrity: Set<String>,
      seen_confidentiality: Set<String>"#;

const ENTITIES: &str = r#"  entity Group in [Group];
  entity User in [Group];
  entity Agent in [Group];
  entity Unknown;
  entity Server;
  entity Tool in [Server] {
    server: String,
    name: String,
    provider?: String,
    version?: String,
    digest: String,
    status: String,
    permissions: Set<String>,
    granted: Set<String>,
    read_only?: Bool,
    destructive?: Bool,
    idempotent?: Bool,
    open_world?: Bool
  };
  action "tools/call";
"#;

/// The schema of these tools, in Cedar's schema language, each with the identity of its server.
///
/// An action has the name `server#tool`, and its arguments the types of the tool's `inputSchema`:
/// strings, integers, truth values, lists and objects as such, everything else (fractions, one of
/// several types) as a string that holds its canonical JSON text.
pub fn schema_of<'a>(tools: impl IntoIterator<Item = (&'a str, &'a ToolDefinition)>) -> String {
    let tools: BTreeMap<String, &ToolDefinition> =
        tools.into_iter().map(|(server, tool)| (action_id(server, tool.name()), tool)).collect();
    let mut text = format!("namespace Etdi {{\n{ENTITIES}");
    for (id, tool) in tools {
        _ = write!(
            text,
            "  action {} in [\"tools/call\"] appliesTo {{\n    principal: [User, Agent, Unknown],\n    \
             resource: [Tool],\n    context: {{\n      arguments: {},{CIRCUMSTANCES}\n    }}\n  }};\n",
            quoted(&id),
            shape_of(tool),
        );
    }
    text.push_str("}\n");
    text
}

/// The name of a tool's action, and of the tool as a resource.
pub(super) fn action_id(server: &str, tool: &str) -> String {
    format!("{server}#{tool}")
}

/// The types of a tool's arguments.
pub(super) fn shape_of(tool: &ToolDefinition) -> Shape {
    match Document::parse(tool.canonical(), Limits::DEFINITION) {
        Ok(document) => Shape::of_arguments(document.root()),
        // The canonical form of a definition has passed these limits.
        Err(_) => Shape::Record(BTreeMap::new()),
    }
}
