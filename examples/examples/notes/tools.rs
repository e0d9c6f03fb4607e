//! What a model may do. Tools that are not `async` run where they may wait for the database.

use mcp_server::checked::{Length, Text};
use mcp_server::{Context, Elicited, State, ToolError, data, tool};

use crate::reading::uri;
use crate::store::{Note, Store};

/// Writes a note.
#[tool(annotations(destructive = false))]
pub(crate) fn add_note(
    cx: Context<Store>,
    title: Text<Length<1, 80>>,
    text: Text<Length<1, 4000>>,
) -> Result<Note, ToolError> {
    let note = cx.state().add(&title, &text)?;
    cx.changes().resource_updated("notes://index");
    Ok(note)
}

/// Searches the notes for a word, the newest first.
#[tool(annotations(read_only))]
pub(crate) fn search_notes(
    store: State<Store>,
    word: String,
    #[arg(default = 10)] limit: u32,
) -> Result<Vec<Note>, ToolError> {
    Ok(store.search(&word, limit.min(100))?)
}

/// Writes a note anew. Whoever subscribed to it is told.
#[tool(annotations(idempotent))]
pub(crate) fn change_note(
    cx: Context<Store>,
    id: i64,
    text: Text<Length<1, 4000>>,
) -> Result<String, ToolError> {
    if !cx.state().change(id, &text)? {
        return Err(format!("there is no note {id}, search for it").into());
    }
    cx.changes().resource_updated(&uri(id));
    Ok(format!("note {id} is changed"))
}

/// What the user is asked before a note is gone.
#[data]
struct Confirmation {
    /// Really delete it?
    delete: bool,
}

/// Deletes a note, once the user has agreed.
#[tool(annotations(destructive, idempotent))]
pub(crate) fn delete_note(cx: Context<Store>, id: i64) -> Result<String, ToolError> {
    let Some(note) = cx.state().get(id)? else {
        return Err(format!("there is no note {id}, search for it").into());
    };
    let question = format!("Delete the note \"{}\"?", note.title);
    match cx.elicit::<Confirmation>("confirm", question)? {
        Elicited::Accepted(Confirmation { delete: true }) => {}
        _ => return Ok("nothing was deleted, the user did not agree".to_owned()),
    }
    cx.state().delete(id)?;
    for changed in [uri(id), "notes://index".to_owned()] {
        cx.changes().resource_updated(&changed);
    }
    Ok(format!("deleted {id}"))
}

/// Imports notes, one a line: a title, a colon, the text.
#[tool(annotations(destructive = false))]
pub(crate) async fn import_notes(
    cx: Context<Store>,
    lines: Text<Length<1, 100_000>>,
) -> Result<String, ToolError> {
    let lines = lines.lines().filter_map(|line| line.split_once(':')).collect::<Vec<_>>();
    let total = u32::try_from(lines.len())?;
    for ((title, text), done) in lines.into_iter().zip(1..) {
        let (store, title, text) =
            (cx.shared_state().clone(), title.trim().to_owned(), text.trim().to_owned());
        // This tool reports while it works, so it is `async` and must not wait for a disk.
        tokio::task::spawn_blocking(move || store.add(&title, &text)).await??;
        cx.progress_with(done, f64::from(total), format!("{done} of {total}")).await;
    }
    cx.changes().resource_updated("notes://index");
    Ok(format!("imported {total} notes"))
}
