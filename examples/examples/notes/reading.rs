//! What a model and its user may read: notes by their number, and a prompt about them.

use mcp_server::types::{
    ContentBlock, EmbeddedResource, PromptMessage, ResourceContents, TextResourceContents,
};
use mcp_server::{State, ToolError, completion, prompt, resource};

use crate::store::Store;

/// Where a note is.
pub(crate) fn uri(id: i64) -> String {
    format!("notes://{id}")
}

/// The titles of the newest notes, each with its URI.
#[resource("notes://index", mime_type = "text/markdown")]
pub(crate) fn index(store: State<Store>) -> Result<String, ToolError> {
    let notes = store.search("", 100)?;
    Ok(notes.iter().map(|note| format!("- [{}]({})\n", note.title, uri(note.id))).collect())
}

/// One note.
#[resource("notes://{id}", mime_type = "text/plain")]
pub(crate) fn note(
    store: State<Store>,
    #[arg(complete = ids)] id: i64,
) -> Result<Option<String>, ToolError> {
    Ok(store.get(id)?.map(|note| format!("{}\n\n{}", note.title, note.text)))
}

#[completion]
fn ids(store: State<Store>, typed: String) -> Result<Vec<String>, ToolError> {
    let ids = store.search("", 1000)?.into_iter().map(|note| note.id.to_string());
    Ok(ids.filter(|id| id.starts_with(&typed)).collect())
}

/// Asks for a summary of all notes about something.
#[prompt(title = "Sum up notes")]
pub(crate) fn sum_up(
    store: State<Store>,
    /// A word that occurs in them.
    #[arg(complete = words)]
    topic: String,
) -> Result<Vec<PromptMessage>, ToolError> {
    let mut messages = vec![PromptMessage::user(format!("Sum up my notes about {topic}."))];
    messages.extend(store.search(&topic, 20)?.into_iter().map(|note| {
        let contents = TextResourceContents::new(note.text, uri(note.id));
        let embedded = EmbeddedResource::new(ResourceContents::Text(contents));
        PromptMessage::user(ContentBlock::Resource(embedded))
    }));
    Ok(messages)
}

/// Suggests the words of titles.
#[completion]
fn words(store: State<Store>, typed: String) -> Result<Vec<String>, ToolError> {
    let notes = store.search(&typed, 100)?;
    let words = notes.iter().flat_map(|note| note.title.split_whitespace());
    let mut words =
        words.filter(|word| word.starts_with(&typed)).map(str::to_owned).collect::<Vec<_>>();
    words.sort();
    words.dedup();
    Ok(words)
}
