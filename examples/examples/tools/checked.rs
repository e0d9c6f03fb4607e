//! Text that is refused or escaped before a tool sees it. The rule stands in the schema, so that the
//! model is told before it calls.

use std::sync::{Mutex, MutexGuard, PoisonError};

use mcp_server::checked::{Deny, DenyList, Escaped, GlobPattern, Text};
use mcp_server::{Server, State, ToolError, server, tool};
use rusqlite::Connection;

/// Words that no comment needs. A second fence only: it also refuses honest texts, and the first
/// fence is that no text is ever part of a statement.
enum Statements {}

impl DenyList for Statements {
    const WORDS: &'static [&'static str] =
        &["drop", "delete", "insert", "update", "--", ";", "/*", "*/"];
}

/// Keeps a comment and gives it as HTML.
#[tool]
fn comment(
    comments: State<Comments>,
    author: Text<Deny<Statements>>,
    text: Escaped<1000>,
) -> Result<String, ToolError> {
    let database = comments.lock();
    // Parameters stop injections; `text.raw()` may say whatever it likes.
    database.execute("INSERT INTO comments VALUES (?1, ?2)", (author.as_str(), text.raw()))?;
    Ok(format!("<p>{text}</p>"))
}

/// Lists the authors whose names fit a glob such as `A*`.
#[tool(annotations(read_only))]
fn authors(comments: State<Comments>, names: Text<GlobPattern>) -> Result<Vec<String>, ToolError> {
    let database = comments.lock();
    let mut all = database.prepare("SELECT DISTINCT author FROM comments ORDER BY author")?;
    let all = all.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(all.into_iter().filter(|author| names.parsed().is_match(author)).collect())
}

struct Comments(Mutex<Connection>);

impl Comments {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn server() -> anyhow::Result<Server> {
    let database = Connection::open_in_memory()?;
    database.execute("CREATE TABLE comments (author TEXT NOT NULL, text TEXT NOT NULL)", ())?;
    let comments = Comments(Mutex::new(database));
    Ok(server!().state(comments).tool::<comment>().tool::<authors>().build()?)
}
