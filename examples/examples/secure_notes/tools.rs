//! What callers may ask for. Every argument is of a type that refuses.

use std::io::ErrorKind;
use std::time::Duration;

use etdi_core::digest::Digest;
use etdi_core::secret::{KeyFile, Protection, Secret, SecretStore};
use mcp_server::checked::{Deny, DenyList, Escaped, FileError, Folder, Length, RelativePath, Text};
use mcp_server::types::Principal;
use mcp_server::{
    Context, ResourceAccess, ResourceAction, Server, ToolError, Who, resource, server, tool,
};

use crate::Place;

/// The most bytes of a note.
const LARGEST: usize = 64 << 10;

/// What the tools work with: one folder, and the secrets.
pub(crate) struct Notes {
    folder: Folder,
    secrets: SecretStore,
    access: ResourceAccess,
}

/// What a model reads of a failure: that there is no such note, or that it did not work. Why stands in
/// the log.
fn failed(error: FileError) -> ToolError {
    let text = match error.kind() {
        ErrorKind::NotFound => "there is no such note",
        ErrorKind::FileTooLarge => "the note is too large",
        _ => "the note cannot be used",
    };
    ToolError::new(text).log(error)
}

/// Writes a note, where its writer may read one.
#[tool(scopes = ["notes:write"])]
fn write_note(
    cx: Context<Notes>,
    path: RelativePath,
    text: Text<Length<1, 10_000>>,
) -> Result<String, ToolError> {
    let uri = format!("note:///{path}");
    let caller = cx.request().extensions.get::<Principal>();
    if !cx.state().access.lets(caller, ResourceAction::Read, &uri) {
        return Err("there is no such note".into());
    }
    cx.state().folder.write(&path, text.as_bytes()).map_err(failed)?;
    cx.changes().resource_updated(&uri);
    Ok(format!("wrote {path}"))
}

/// Waits until a note changes.
#[tool(scopes = ["notes:read"], annotations(read_only))]
async fn wait_for_change(cx: Context<Notes>, path: RelativePath) -> Result<String, ToolError> {
    // Only what this caller may read may be watched, by which URI they would read it.
    let uri = format!("note:///{path}");
    let read = || cx.read_resource(&uri);
    let before = read().await.map_err(|_| "there is no such note")?;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if read().await.map_err(|_| "the note is gone")? != before {
            return Ok(format!("{path} changed"));
        }
    }
}

/// Words that no author's name needs. A second fence only; no text here becomes part of a statement.
enum Statements {}

impl DenyList for Statements {
    const WORDS: &'static [&'static str] =
        &["drop", "delete", "insert", "update", "--", ";", "/*", "*/"];
}

/// Gives a comment as HTML.
#[tool(annotations(read_only))]
async fn comment(
    author: Text<(Length<1, 80>, Deny<Statements>)>,
    text: Escaped<1000>,
) -> Result<String, ToolError> {
    let author = Escaped::<80>::new(author.as_str())?;
    Ok(format!("<p>{author}: {text}</p>"))
}

/// What a secret is kept under: whoever else names it the same has another one.
fn own(cx: &Context<Notes>, name: &str) -> Result<String, ToolError> {
    let caller = cx.request().extensions.get::<Principal>().ok_or("nobody was let in")?;
    let whose = format!("{}\n{}", caller.issuer, caller.subject);
    Ok(format!("{} {name}", Digest::of_bytes(whose.as_bytes())))
}

/// Stores a secret of the caller's. Its text is in no answer, in no log, and on no disk.
#[tool(scopes = ["notes:write"])]
fn store_secret(
    cx: Context<Notes>,
    name: Text<Length<1, 64>>,
    secret: Text<Length<1, 4096>>,
) -> Result<String, ToolError> {
    let kept = cx.state().secrets.put(&own(&cx, &name)?, &Secret::from(secret.as_str()));
    kept.map_err(|error| ToolError::new("the secret could not be stored").log(error))?;
    Ok(format!("stored {name}"))
}

/// Says whether a secret is the one that the caller stored, without saying it.
#[tool(scopes = ["notes:write"], annotations(read_only))]
fn check_secret(
    cx: Context<Notes>,
    name: Text<Length<1, 64>>,
    secret: Text<Length<1, 4096>>,
) -> Result<bool, ToolError> {
    let stored = cx.state().secrets.get(&own(&cx, &name)?);
    let stored = stored.map_err(|error| ToolError::new("the secret cannot be read").log(error))?;
    // Digests are compared, because how long that takes says nothing about the secret.
    let is = |stored: Secret| {
        Digest::of_bytes(stored.reveal()) == Digest::of_bytes(secret.as_str().as_bytes())
    };
    Ok(stored.is_some_and(is))
}

/// A note. Who may read which one says the access list.
#[resource("note:///{+path}", mime_type = "text/plain")]
fn note(cx: Context<Notes>, path: RelativePath) -> Option<String> {
    cx.state().folder.read_text(&path, LARGEST).ok()
}

/// The server, without anything around it.
pub(crate) fn server(place: &Place) -> anyhow::Result<Server> {
    let key = KeyFile::open(place.secrets_key(), "secrets")?.key_or_new()?;
    let secrets = SecretStore::open(place.secrets(), Protection::key(key))?;
    let folder = Folder::open(place.notes())?;
    let access = ResourceAccess::new()
        .allow(Who::scope("notes:read"), ResourceAction::ALL, ["note:///public/**"])?
        .allow(Who::scope("notes:admin"), ResourceAction::ALL, ["note:///**"])?;
    Ok(server!()
        .state(Notes { folder, secrets, access: access.clone() })
        .tool::<write_note>()
        .tool::<wait_for_change>()
        .tool::<comment>()
        .tool::<store_secret>()
        .tool::<check_secret>()
        .resource::<note>()
        .resource_updates()
        .resource_access(access)
        .build()?)
}
