//! Every feature of the protocol in one server, under the names that the official conformance suite
//! calls: `everything --port N` serves `http://127.0.0.1:N/mcp`, without it on standard streams.

mod inputs;
mod resources;
mod tasks;
mod tools;

use anyhow::{Context as _, bail};
use mcp_server::{Server, server};
use mcp_transport::LimitsLayer;
use mcp_transport::http::server::HttpServer;
use tower_layer::Layer;

fn everything() -> Result<Server, mcp_server::BuildError> {
    let builder = server!()
        .instructions("Call the tools by their names; each does what its description says.")
        .list_changes();
    resources::add(tasks::add(inputs::add(tools::add(builder)))).build()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let service = LimitsLayer::new().layer(everything()?);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Ok(mcp_transport::serve(service, mcp_transport::stdio()?).await?),
        ["--port", port] => {
            let port: u16 = port.parse().context("`--port` needs a number")?;
            Ok(HttpServer::new(service).listen(("127.0.0.1", port)).await?)
        }
        _ => bail!("use `everything`, or `everything --port NUMBER`"),
    }
}
