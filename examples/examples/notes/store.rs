//! The database. Texts are parameters of statements and never part of them.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mcp_server::data;
use rusqlite::{Connection, OptionalExtension as _, Result, Row};

/// A note.
#[data]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) id: i64,
    pub(crate) title: String,
    pub(crate) text: String,
}

impl Note {
    fn of(row: &Row<'_>) -> Result<Self> {
        Ok(Self { id: row.get(0)?, title: row.get(1)?, text: row.get(2)? })
    }
}

/// All notes. Its calls block, so they belong where that is allowed.
#[derive(Debug)]
pub(crate) struct Store(Mutex<Connection>);

impl Store {
    pub(crate) fn open(path: impl AsRef<Path>) -> Result<Self> {
        let database = Connection::open(path)?;
        database.execute_batch(
            "CREATE TABLE IF NOT EXISTS notes (
                 id INTEGER PRIMARY KEY, title TEXT NOT NULL, text TEXT NOT NULL)",
        )?;
        Ok(Self(Mutex::new(database)))
    }

    pub(crate) fn close(&self) {
        if let Err(error) = self.lock().execute_batch("PRAGMA optimize") {
            eprintln!("the database was left as it is: {error}");
        }
        eprintln!("the notes are closed");
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, title: &str, text: &str) -> Result<Note> {
        let database = self.lock();
        database.execute("INSERT INTO notes (title, text) VALUES (?1, ?2)", (title, text))?;
        let id = database.last_insert_rowid();
        Ok(Note { id, title: title.to_owned(), text: text.to_owned() })
    }

    pub(crate) fn get(&self, id: i64) -> Result<Option<Note>> {
        let sql = "SELECT id, title, text FROM notes WHERE id = ?1";
        self.lock().query_row(sql, [id], Note::of).optional()
    }

    /// Whether there was such a note.
    pub(crate) fn change(&self, id: i64, text: &str) -> Result<bool> {
        let sql = "UPDATE notes SET text = ?2 WHERE id = ?1";
        Ok(self.lock().execute(sql, (id, text))? > 0)
    }

    /// Whether there was such a note.
    pub(crate) fn delete(&self, id: i64) -> Result<bool> {
        Ok(self.lock().execute("DELETE FROM notes WHERE id = ?1", [id])? > 0)
    }

    /// The notes in which `word` occurs, the newest first.
    pub(crate) fn search(&self, word: &str, most: u32) -> Result<Vec<Note>> {
        let database = self.lock();
        let mut statement = database.prepare(
            "SELECT id, title, text FROM notes
             WHERE instr(lower(title || ' ' || text), lower(?1)) ORDER BY id DESC LIMIT ?2",
        )?;
        statement.query_map((word, most), Note::of)?.collect()
    }
}
