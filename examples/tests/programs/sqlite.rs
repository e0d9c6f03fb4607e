//! `sqlite_explorer`: what it gives, and what nobody gets out of it.

use std::time::Duration;

use mcp_client::{Client, structured, text_of};
use mcp_transport::{Connection, Era};
use rusqlite::Connection as Database;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::connect;
use super::served::{Served, client};

/// Much longer than any query may take.
const TOO_LONG: Duration = Duration::from_secs(20);

fn songs() -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    let made = Database::open(file.path()).unwrap().execute_batch(
        "CREATE TABLE songs (id INTEGER PRIMARY KEY, title TEXT, year INTEGER, cover BLOB);
         INSERT INTO songs VALUES (1, 'Blue', 1971, x'0102'), (2, 'Hejira', 1976, NULL);
         CREATE VIEW early AS SELECT title FROM songs WHERE year < 1975;",
    );
    made.unwrap();
    file
}

async fn ask(client: &Client<Connection>, sql: &str) -> Result<Value, String> {
    let arguments = json!({ "sql": sql });
    let answered = tokio::time::timeout(TOO_LONG, client.call_tool("query", &arguments)).await;
    let result = answered.expect("the query ends by itself").unwrap();
    match result.is_error {
        Some(true) => Err(text_of(&result)),
        _ => Ok(structured::<Value>(&result).unwrap()["rows"].clone()),
    }
}

#[tokio::test]
async fn schema_and_rows() {
    let file = songs();
    let client = connect("sqlite_explorer", &[&file.path().to_string_lossy()]);
    let schema = client.read_resource("schema://main").await.unwrap();
    let schema = format!("{:?}", schema.contents);
    assert!(schema.contains("CREATE TABLE songs") && schema.contains("VIEW early"), "{schema}");
    for (sql, rows) in [
        (
            "SELECT * FROM songs ORDER BY id",
            json!([[1, "Blue", 1971, "(2 bytes)"], [2, "Hejira", 1976, null]]),
        ),
        ("SELECT title FROM early -- a comment;", json!([["Blue"]])),
        ("SELECT count(*), max(year) / 10.0 FROM songs;", json!([[2, 197.6]])),
        (
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n LIMIT 2",
            json!([[1], [2]]),
        ),
    ] {
        assert_eq!(ask(&client, sql).await.unwrap(), rows, "{sql}");
    }
    let few = json!({ "sql": "SELECT id FROM songs", "limit": 1 });
    let few: Value = client.call("query", &few).await.unwrap();
    assert_eq!((&few["rows"], &few["truncated"]), (&json!([[1]]), &json!(true)));
    client.service().close().await;
}

#[tokio::test]
async fn nothing_but_reading() {
    let file = songs();
    let before = std::fs::read(file.path()).unwrap();
    let other = file.path().with_extension("other").to_string_lossy().into_owned();
    let client = connect("sqlite_explorer", &[&file.path().to_string_lossy()]);
    let cases = [
        (format!("ATTACH '{other}' AS other"), "not authorized"),
        (format!("VACUUM INTO '{other}'"), "denied"),
        ("PRAGMA journal_mode = WAL".into(), "not authorized"),
        ("SELECT * FROM pragma_database_list".into(), "prohibited"),
        ("SELECT * FROM dbstat".into(), "prohibited"),
        ("SELECT load_extension('/tmp/x.so')".into(), "not authorized"),
        ("SELECT fts3_tokenizer('simple')".into(), "not authorized"),
        ("SELECT readfile('/etc/passwd')".into(), "no such function"),
        ("DELETE FROM songs".into(), "not authorized"),
        ("WITH gone AS (SELECT 1) DELETE FROM songs".into(), "not authorized"),
        ("CREATE TEMP TABLE t (x)".into(), "not authorized"),
        ("BEGIN IMMEDIATE".into(), "not authorized"),
        ("SELECT 1; SELECT 2".into(), "ultiple statements"),
        ("SELECT 1; DROP TABLE songs".into(), "not authorized"),
        (String::new(), "no statement"),
    ];
    for (sql, reason) in &cases {
        let refused = ask(&client, sql).await.unwrap_err();
        assert!(refused.contains(reason), "{sql}: {refused}");
    }
    client.service().close().await;
    assert_eq!(std::fs::read(file.path()).unwrap(), before);
    assert!(!std::path::Path::new(&other).exists());
}

#[tokio::test]
async fn nothing_without_end() {
    let file = songs();
    let client = connect("sqlite_explorer", &[&file.path().to_string_lossy()]);
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)";
    let doubling = "WITH RECURSIVE n(x) AS (SELECT 'abcdefgh' UNION ALL SELECT x || x FROM n)";
    let wide = "replace('aaaaaaaaaaaaaaaaaaaa', 'a', hex(x) || 'bbbbbbbbbbbbbbbbbbbbbbbbbbbb')";
    let cases = [
        (format!("{endless} SELECT count(*) FROM n"), "ran longer"),
        (format!("{endless} SELECT {wide} FROM n ORDER BY 1"), "too much memory"),
        (format!("{doubling} SELECT length(x) FROM n"), "too big"),
        ("SELECT randomblob(1000000000)".into(), "not authorized"),
        ("SELECT zeroblob(1000000000)".into(), "not authorized"),
        ("SELECT printf('%1000000000d', 1)".into(), "not authorized"),
        (format!("SELECT 1{}", " + 1".repeat(500)), "depth"),
        (format!("SELECT '{}'", "a".repeat(10_000)), "too long"),
    ];
    for (sql, reason) in &cases {
        let refused = ask(&client, sql).await.unwrap_err();
        assert!(refused.contains(reason), "{}: {refused}", &sql[..80.min(sql.len())]);
    }
    // Semicolons are no statements; whoever looks for the next one in them must not fall.
    assert_eq!(
        ask(&client, &format!("SELECT 1{}", ";".repeat(9_000))).await.unwrap(),
        json!([[1]])
    );
    let rows = format!("{endless} SELECT x FROM n");
    let rows: Value = client.call("query", &json!({ "sql": rows, "limit": 9_999 })).await.unwrap();
    assert_eq!(rows["rows"].as_array().unwrap().len(), 500);
    let large = format!("{endless} SELECT x, '{}' FROM n", "a".repeat(9_000));
    let large: Value = client.call("query", &json!({ "sql": large, "limit": 500 })).await.unwrap();
    assert!(large["rows"].as_array().unwrap().len() < 40 && large["truncated"] == true);
    client.service().close().await;
}

#[tokio::test]
async fn over_http() {
    let file = songs();
    let arguments = [&*file.path().to_string_lossy(), "--http", "127.0.0.1:0"];
    let served = Served::start("sqlite_explorer", &arguments);
    for era in [Era::Modern, Era::Legacy] {
        let client = client(&served.url, era);
        let sql = json!({ "sql": "SELECT year FROM songs WHERE title = 'Blue'" });
        let rows: Value = client.call("query", &sql).await.unwrap();
        assert_eq!(rows["rows"], json!([[1971]]));
        client.service().close().await;
    }
}
