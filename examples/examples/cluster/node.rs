//! One node: a server like any other, whose stores are on Redis.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use etdi::core::identity::ServerIdentity;
use etdi::core::key::{KeyRing, SigningKey};
use etdi::core::layer::CallKeys;
use etdi::{EtdiServerConfig, secure};
use mcp_server::task::Tasks;
use mcp_server::{Context, server, tool};
use mcp_transport::LimitsLayer;
use tower_layer::Layer as _;

/// The files of the keys, in the folder that all nodes read.
pub(crate) const PUBLISHER: &str = "publisher.pem";
pub(crate) const CALLER: &str = "caller.pem";

/// Gives its message back, and says which node did.
#[tool]
async fn echo(message: String) -> String {
    format!("Echo: {message} (process {})", std::process::id())
}

/// Prints pages, one after the other.
// It may begin anew on another node, which is what `idempotent` promises.
#[tool(task, annotations(idempotent))]
async fn print(cx: Context, pages: u32) -> String {
    for page in 1..=pages {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let by = format!("page {page} by process {}", std::process::id());
        cx.progress_with(page, f64::from(pages), by).await;
    }
    format!("printed {pages} pages")
}

/// Pays somebody, once for each signed call.
#[tool(etdi, version = "1.0.0", permissions = ["money:send"], require_request_signing)]
async fn pay(cents: u64, to: String) -> Result<String, String> {
    // An answer may get lost; what was paid stands here.
    let line = format!("{cents} {to}\n");
    let ledger = LEDGER.get().ok_or("there is no ledger")?;
    let written = OpenOptions::new().create(true).append(true).open(ledger);
    written.and_then(|mut file| file.write_all(line.as_bytes())).map_err(|e| e.to_string())?;
    Ok(format!("paid {cents} cents to {to} (process {})", std::process::id()))
}

/// Where all nodes write what they paid.
static LEDGER: OnceLock<PathBuf> = OnceLock::new();

/// What the statements of the nodes are about: all are one server.
fn identity() -> anyhow::Result<ServerIdentity> {
    Ok(ServerIdentity::package("pkg:cargo/cluster")?)
}

fn key(path: &Path) -> anyhow::Result<SigningKey> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(SigningKey::from_pkcs8_pem(&text)?)
}

pub(crate) async fn run(folder: &Path) -> anyhow::Result<()> {
    LEDGER.get_or_init(|| folder.join("ledger"));
    let stores = examples::node::stores()?.statements_per_key(1_000_000).connect().await?;

    let tasks = Tasks::new(stores.tasks()?).poll_interval(Duration::from_millis(250));
    let server = server!()
        .seal_state(stores.state_sealer()?)
        .tasks(tasks)
        .tool::<echo>()
        .tool::<print>()
        .tool::<pay>()
        .build()?;
    let _link = stores.link(&server.changes()).await?;

    let mut callers = KeyRing::new();
    callers.insert(key(&folder.join(CALLER))?.verifying_key().clone());
    let config = EtdiServerConfig::new(identity()?)
        .operator(Arc::new(key(&folder.join(PUBLISHER))?))
        .call_keys(CallKeys::Known(callers))
        .replay_store(Arc::new(stores.replay()))
        .nonces(stores.nonces())
        .calls_per_minute(0);
    let service = LimitsLayer::new().layer(secure(server.clone(), config).await?);
    examples::node::serve(server, service, &stores).await
}
