//! The name to show to a person.

use mcp_types::{
    Implementation, Prompt, PromptArgument, Resource, ResourceLink, ResourceTemplate, Root, Tool,
};

/// The name to show for a tool: its title, else its annotations' title, else its name.
///
/// See the specification, "Tool" and `BaseMetadata.title`. The *name* is what gets called; what is
/// shown is never an identity. A title that is empty counts as absent.
///
/// ```
/// use mcp_client::types::{JsonSchema, Tool, ToolAnnotations};
///
/// let mut tool = Tool::new("get_weather", JsonSchema::empty_object());
/// assert_eq!(mcp_client::display_name(&tool), "get_weather");
/// let mut annotations = ToolAnnotations::new();
/// annotations.title = Some("Weather (old)".into());
/// tool.annotations = Some(annotations);
/// assert_eq!(mcp_client::display_name(&tool), "Weather (old)");
/// tool.title = Some("Weather".into());
/// assert_eq!(mcp_client::display_name(&tool), "Weather");
/// ```
pub fn display_name(tool: &Tool) -> &str {
    tool.display_name()
}

/// What has a name to call it by and a name to show to a person.
///
/// ```
/// use mcp_client::DisplayName;
/// use mcp_client::types::{Resource, Root};
///
/// let mut resource = Resource::new("readme", "file:///README.md");
/// assert_eq!(resource.display_name(), "readme");
/// resource.title = Some("Read me".into());
/// assert_eq!(resource.display_name(), "Read me");
/// assert_eq!(Root::new("file:///work").display_name(), "file:///work");
/// ```
pub trait DisplayName {
    /// The name to show: the title where there is one, else the name.
    fn display_name(&self) -> &str;
}

fn first<'a>(titles: [Option<&'a String>; 2], name: &'a str) -> &'a str {
    let mut shown = titles.into_iter().flatten().map(String::as_str);
    shown.find(|title| !title.trim().is_empty()).unwrap_or(name)
}

impl DisplayName for Tool {
    fn display_name(&self) -> &str {
        let annotated = self.annotations.as_ref().and_then(|hints| hints.title.as_ref());
        first([self.title.as_ref(), annotated], &self.name)
    }
}

impl DisplayName for Root {
    fn display_name(&self) -> &str {
        first([self.name.as_ref(), None], &self.uri)
    }
}

macro_rules! titled {
    ($($type:ty),+) => {
        $(impl DisplayName for $type {
            fn display_name(&self) -> &str {
                first([self.title.as_ref(), None], &self.name)
            }
        })+
    };
}

titled!(Prompt, PromptArgument, Resource, ResourceLink, ResourceTemplate, Implementation);
