//! Short ways to make content and results.

use std::fmt::Display;

use serde::Serialize;

use crate::{
    AudioContent, BlobResourceContents, CallToolResult, ContentBlock, DiscoverResult, ImageContent,
    Implementation, Meta, PromptMessage, RawText, ResourceContents, Role, ServerResult,
    TextContent, TextResourceContents, keys,
};

impl ContentBlock {
    /// A block of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(TextContent::new(text))
    }

    /// The text of a block of text; `None` for any other block.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(block) => Some(&block.text),
            _ => None,
        }
    }

    /// An image: base64 `data` and its media type, such as `image/png`.
    pub fn image(data: impl Into<String>, mime_type: impl Into<String>) -> Self {
        Self::Image(ImageContent::new(data, mime_type))
    }

    /// A sound: base64 `data` and its media type, such as `audio/wav`.
    pub fn audio(data: impl Into<String>, mime_type: impl Into<String>) -> Self {
        Self::Audio(AudioContent::new(data, mime_type))
    }
}

impl From<String> for ContentBlock {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<&str> for ContentBlock {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl PromptMessage {
    /// A message of the user: text, or a content block.
    pub fn user(content: impl Into<ContentBlock>) -> Self {
        Self::new(content.into(), Role::User)
    }

    /// A message of the assistant: text, or a content block.
    pub fn assistant(content: impl Into<ContentBlock>) -> Self {
        Self::new(content.into(), Role::Assistant)
    }
}

impl ResourceContents {
    /// Text under a URI.
    pub fn text(text: impl Into<String>, uri: impl Into<String>) -> Self {
        Self::Text(TextResourceContents::new(text, uri))
    }

    /// The text, where the contents are text.
    ///
    /// ```
    /// use mcp_types::ResourceContents;
    ///
    /// assert_eq!(ResourceContents::text("milk", "notes://0").as_text(), Some("milk"));
    /// assert_eq!(ResourceContents::blob("bWlsaw==", "notes://0").as_text(), None);
    /// ```
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(contents) => Some(&contents.text),
            _ => None,
        }
    }

    /// Base64 bytes under a URI.
    pub fn blob(base64: impl Into<String>, uri: impl Into<String>) -> Self {
        Self::Blob(BlobResourceContents::new(base64, uri))
    }
}

impl CallToolResult {
    /// A result of one block of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(vec![ContentBlock::text(text)])
    }

    /// A failure that the model should read, and may act on.
    pub fn error(reason: impl Display) -> Self {
        let mut result = Self::text(reason.to_string());
        result.is_error = Some(true);
        result
    }

    /// A result whose data is `value`, and the same data as text for clients that read only text.
    ///
    /// # Errors
    ///
    /// When `value` has no JSON form.
    pub fn structured<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        let data = RawText::of(value)?;
        let mut result = Self::text(data.get());
        result.structured_content = Some(data);
        Ok(result)
    }
}

impl From<DiscoverResult> for ServerResult {
    fn from(result: DiscoverResult) -> Self {
        Self::Discover(Box::new(result))
    }
}

impl DiscoverResult {
    /// Name and version that the server gives itself: to show, never to trust.
    pub fn server_info(&self) -> Option<Implementation> {
        self.meta.as_ref()?.get(keys::SERVER_INFO)?.parse().ok()
    }

    /// Sets name and version of the server.
    ///
    /// # Errors
    ///
    /// When `info` has no JSON form.
    pub fn set_server_info(&mut self, info: &Implementation) -> Result<(), serde_json::Error> {
        let text = RawText::of(info)?;
        self.meta.get_or_insert_with(Meta::new).insert(keys::SERVER_INFO, text);
        Ok(())
    }
}
