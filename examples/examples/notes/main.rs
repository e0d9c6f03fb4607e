//! Notes in a database, behind HTTP: tools, resources, prompts, questions, progress, changes.
//!
//! `notes DATABASE [ADDRESS]` serves `http://127.0.0.1:8000/mcp`. `store.rs` is the database,
//! `tools.rs` what a model may do, `reading.rs` what it may read. The database is opened before the
//! first request and closed after the last one.

mod reading;
mod store;
mod tools;

use std::sync::Arc;

use anyhow::Context as _;
use mcp_server::{BuildError, Server, server};
use mcp_transport::LimitsLayer;
use mcp_transport::http::server::{HttpServer, serve_http};
use tokio::net::TcpListener;
use tower_layer::Layer as _;

use store::Store;

fn notes(path: String) -> Result<Server, BuildError> {
    let open = move || {
        let path = path.clone();
        async move { Store::open(path) }
    };
    server!()
        .instructions("Notes of one person. Search before you write the same again.")
        .resource_updates()
        .lifespan(open, async |store: Arc<Store>| store.close())
        .tool::<tools::add_note>()
        .tool::<tools::search_notes>()
        .tool::<tools::change_note>()
        .tool::<tools::delete_note>()
        .tool::<tools::import_notes>()
        .resource::<reading::index>()
        .resource::<reading::note>()
        .prompt::<reading::sum_up>()
        .build()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let path = words.next().context("usage: notes DATABASE [ADDRESS]")?;
    let address = words.next().unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let server = notes(path)?;
    let listener = TcpListener::bind(address).await?;
    eprintln!("http://{}/mcp", listener.local_addr()?);
    let http = HttpServer::new(LimitsLayer::new().layer(server.clone()));
    let stop = async {
        // Without a signal handler the server serves until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    serve_http(http, listener, stop).await?;
    server.shutdown().await;
    Ok(())
}
