//! A database for a model to ask, and to do nothing else with.
//!
//! `sqlite_explorer DATABASE` serves standard streams, `sqlite_explorer DATABASE --http ADDRESS`
//! serves `http://ADDRESS/mcp`. The schema is a resource, and `query` a tool; what holds a query to
//! reading is in `explorer.rs`.

mod explorer;

use anyhow::bail;
use mcp_server::{State, resource, server, tool};
use mcp_transport::LimitsLayer;
use mcp_transport::http::server::{HttpServer, serve_http};
use tokio::net::TcpListener;
use tower_layer::Layer as _;

use explorer::{Explorer, Table};

/// The statements that made the tables and views.
#[resource("schema://main", mime_type = "application/sql")]
fn schema(database: State<Explorer>) -> rusqlite::Result<String> {
    database.schema()
}

/// Runs one SELECT and gives its rows. Read the resource `schema://main` first.
#[tool(annotations(read_only, open_world = false))]
fn query(
    database: State<Explorer>,
    /// One statement in SQLite's dialect.
    sql: String,
    /// How many rows to give at most, up to 500.
    #[arg(default = 50)]
    limit: usize,
) -> Result<Table, String> {
    database.query(&sql, limit.min(500))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (database, address) = match words.as_slice() {
        [database] => (database, None),
        [database, "--http", address] => (database, Some(address)),
        _ => bail!("usage: sqlite_explorer DATABASE [--http ADDRESS]"),
    };
    let server = server!()
        .instructions("Read `schema://main`, then ask by `query`.")
        .state(Explorer::open(database)?)
        .resource::<schema>()
        .tool::<query>()
        .build()?;
    let service = LimitsLayer::new().layer(server);
    let Some(address) = address else {
        return Ok(mcp_transport::serve(service, mcp_transport::stdio()?).await?);
    };
    let listener = TcpListener::bind(address).await?;
    eprintln!("http://{}/mcp", listener.local_addr()?);
    Ok(serve_http(HttpServer::new(service), listener, std::future::pending()).await?)
}
