//! Every feature of the protocol in one server, under the names that the official conformance suite
//! calls: `everything --port N` serves `http://127.0.0.1:N/mcp`, without it on standard streams.
//! `everything --node` is one of several that `examples/cluster` starts, with its stores on Redis.

mod inputs;
mod resources;
mod tasks;
mod tools;

use anyhow::{Context as _, bail};
use mcp_server::task::{MemoryTaskStore, TaskStore};
use mcp_server::{ServerBuilder, server};
use mcp_transport::LimitsLayer;
use mcp_transport::http::server::HttpServer;
use tower_layer::Layer;

fn everything(tasks: impl TaskStore) -> ServerBuilder {
    let builder = server!()
        .instructions("Call the tools by their names; each does what its description says.")
        .list_changes();
    resources::add(tasks::add(inputs::add(tools::add(builder)), tasks))
}

async fn node() -> anyhow::Result<()> {
    let stores = examples::node::stores()?.connect().await?;
    let server = everything(stores.tasks()?).seal_state(stores.state_sealer()?).build()?;
    let _link = stores.link(&server.changes()).await?;
    examples::node::serve(server.clone(), LimitsLayer::new().layer(server), &stores).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let service =
        || anyhow::Ok(LimitsLayer::new().layer(everything(MemoryTaskStore::new()).build()?));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Ok(mcp_transport::serve(service()?, mcp_transport::stdio()?).await?),
        ["--port", port] => {
            let port: u16 = port.parse().context("`--port` needs a number")?;
            Ok(HttpServer::new(service()?).listen(("127.0.0.1", port)).await?)
        }
        ["--node"] => node().await,
        _ => bail!("use `everything`, `everything --port NUMBER` or `everything --node`"),
    }
}
