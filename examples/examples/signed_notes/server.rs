//! The notes: what they are, and the two tools on them. No transport and no keys here, so that
//! whoever needs the honest server can have it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use mcp_server::{BuildError, Server, State, ToolError, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Note {
    /// Its number, counted from 1.
    pub(crate) id: usize,
    /// What it says.
    pub(crate) text: String,
}

/// All notes, in memory.
#[derive(Debug)]
pub(crate) struct Notes(Mutex<Vec<Note>>);

impl Notes {
    /// Notes that say these texts.
    pub(crate) fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let notes = texts.into_iter().zip(1..).map(|(text, id)| Note { id, text: text.to_owned() });
        Self(Mutex::new(notes.collect()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Note>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Search the notes for a word.
#[tool(etdi, version = "1.2.0", permissions = ["notes:read" = "reads your notes"], annotations(read_only))]
pub(crate) async fn search_notes(
    notes: State<Notes>,
    /// The word to look for; upper and lower case are the same.
    query: String,
    /// How many notes to give at most.
    #[arg(default = 10)]
    limit: usize,
) -> Vec<Note> {
    let word = query.to_lowercase();
    let notes = notes.lock();
    let hits = notes.iter().filter(|note| note.text.to_lowercase().contains(&word));
    hits.take(limit).cloned().collect()
}

/// Write a note.
#[tool(
    etdi,
    version = "1.0.0",
    permissions = ["notes:write" = "writes notes"],
    annotations(destructive = false)
)]
pub(crate) async fn add_note(
    notes: State<Notes>,
    /// What the note says.
    text: String,
) -> Result<Note, ToolError> {
    if text.trim().is_empty() {
        return Err(ToolError::new("the note is empty, say what it should say"));
    }
    let mut notes = notes.lock();
    let note = Note { id: notes.len() + 1, text };
    notes.push(note.clone());
    Ok(note)
}

/// The server on some notes.
///
/// # Errors
///
/// When a tool cannot describe itself.
pub(crate) fn notes_server(notes: Notes) -> Result<Server, BuildError> {
    Server::new("signed-notes", env!("CARGO_PKG_VERSION"))
        .instructions("Notes of one person. Search before you write the same again.")
        .state(notes)
        .tool::<search_notes>()
        .tool::<add_note>()
        .build()
}
