//! The server behind HTTP: `{{name}} [ADDRESS]`, `127.0.0.1:8000` without one.

use mcp_transport::http::server::{HttpServer, serve_http};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(address).await?;
    eprintln!("http://{}/mcp", listener.local_addr()?);
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    Ok(serve_http(HttpServer::new({{crate}}::build()?), listener, stop).await?)
}
