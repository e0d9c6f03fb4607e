//! A database that strangers may ask: what SQLite itself does to hold them to reading.
//!
//! No pattern is looked for in the text. The connection cannot write, the authorizer allows only
//! what is listed here, and SQLite's own limits bound the size of everything and the time of all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mcp_server::data;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};
use serde_json::Value;

/// The functions that a query may call: none of them reads a file or makes a large value of nothing.
const FUNCTIONS: &str = "abs avg ceil coalesce count date datetime dense_rank first_value floor \
    glob group_concat hex ifnull iif instr julianday lag last_value lead length like lower ltrim max \
    min nullif rank replace round row_number rtrim sign strftime substr substring sum time total \
    trim typeof upper";

/// How long a query may run.
const TIME: Duration = Duration::from_secs(2);

/// How many bytes of values an answer may hold.
const ANSWER: usize = 256 << 10;

/// A database file.
#[derive(Debug)]
pub(crate) struct Explorer(PathBuf);

/// What a query found.
#[data]
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    /// Whether there is more than what was asked for, or than fits in an answer.
    truncated: bool,
}

impl Explorer {
    /// The file that the operator names; it must be there, and be a database.
    pub(crate) fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let explorer = Self(path.as_ref().to_owned());
        explorer.schema()?;
        Ok(explorer)
    }

    /// The statements that made the tables and views.
    pub(crate) fn schema(&self) -> Result<String, Error> {
        let sql = "SELECT sql FROM sqlite_schema WHERE type IN ('table', 'view') AND sql NOT NULL";
        let connection = self.connect()?;
        let mut statement = connection.prepare(sql)?;
        let all = statement.query_map([], |row| row.get::<_, String>(0))?;
        Ok(all.collect::<Result<Vec<_>, _>>()?.join(";\n"))
    }

    /// The first rows of what one SELECT gives.
    pub(crate) fn query(&self, sql: &str, most: usize) -> Result<Table, String> {
        self.restricted().and_then(|connection| read(&connection, sql, most)).map_err(explain)
    }

    fn connect(&self) -> Result<Connection, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.0, flags)?;
        connection.busy_timeout(TIME)?;
        Ok(connection)
    }

    /// A connection that can do nothing but read, and not much of that.
    fn restricted(&self) -> Result<Connection, Error> {
        let mut connection = self.connect()?;
        let names = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')";
        let mut tables: BTreeSet<String> = connection
            .prepare(names)?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        tables.insert("sqlite_master".to_owned());
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        for (limit, most) in [
            (Limit::SQLITE_LIMIT_LENGTH, 1 << 20),
            (Limit::SQLITE_LIMIT_SQL_LENGTH, 10_000),
            (Limit::SQLITE_LIMIT_COLUMN, 100),
            (Limit::SQLITE_LIMIT_EXPR_DEPTH, 50),
            (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 10),
            (Limit::SQLITE_LIMIT_VDBE_OP, 25_000),
            (Limit::SQLITE_LIMIT_FUNCTION_ARG, 10),
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
            (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100),
        ] {
            connection.set_limit(limit, most)?;
        }
        // For the whole process: what sorts or joins too much fails, and nothing else.
        connection.pragma_update(None, "hard_heap_limit", 64 << 20)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        let end = Instant::now() + TIME;
        connection.progress_handler(1_000, Some(move || Instant::now() > end))?;
        connection.authorizer(Some(move |asked: AuthContext<'_>| judge(&asked.action, &tables)))?;
        Ok(connection)
    }
}

fn judge(action: &AuthAction<'_>, tables: &BTreeSet<String>) -> Authorization {
    let allowed = match action {
        AuthAction::Select | AuthAction::Recursive => true,
        // `count(*)` reads no column.
        AuthAction::Read { column_name: "", .. } => true,
        AuthAction::Read { table_name, .. } => tables.contains(*table_name),
        AuthAction::Function { function_name } => {
            FUNCTIONS.split(' ').any(|known| known == *function_name)
        }
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

fn read(connection: &Connection, sql: &str, most: usize) -> Result<Table, Error> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_names().map(str::to_owned).collect::<Vec<_>>();
    let mut table = Table { rows: Vec::new(), truncated: false, columns };
    let (mut found, mut size) = (statement.query([])?, 0);
    while let Some(row) = found.next()? {
        let values = (0..table.columns.len()).map(|index| Ok(shown(row.get_ref(index)?)));
        let values = values.collect::<Result<Vec<_>, Error>>()?;
        size += values.iter().map(|value| value.as_str().map_or(8, str::len)).sum::<usize>();
        if table.rows.len() == most || size > ANSWER {
            table.truncated = true;
            break;
        }
        table.rows.push(values);
    }
    Ok(table)
}

fn shown(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
        ValueRef::Blob(bytes) => format!("({} bytes)", bytes.len()).into(),
    }
}

/// What the model reads: enough to write a better query.
fn explain(error: Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => {
            format!(
                "the query ran longer than {TIME:?}; ask for less, by WHERE and without cross joins"
            )
        }
        Some(ErrorCode::AuthorizationForStatementDenied) => {
            format!(
                "{error}; only SELECT from the tables of the schema, with common functions, is allowed"
            )
        }
        Some(ErrorCode::ApiMisuse) => "there is no statement, write a SELECT".to_owned(),
        Some(ErrorCode::OutOfMemory) => "the query needs too much memory, ask for less".to_owned(),
        _ => error.to_string(),
    }
}
