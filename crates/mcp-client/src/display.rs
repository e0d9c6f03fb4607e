//! The name to show to a person.

use mcp_types::Tool;

/// The name to show for a tool: its title, else its annotations' title, else its name.
///
/// See the specification, "Tool" and `BaseMetadata.title`. The *name* is what gets called; what is
/// shown is never an identity.
pub fn display_name(tool: &Tool) -> &str {
    let annotated = tool.annotations.as_ref().and_then(|annotations| annotations.title.as_deref());
    tool.title.as_deref().or(annotated).unwrap_or(&tool.name)
}
