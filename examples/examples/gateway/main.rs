//! A client as a server: several servers behind one, over standard streams or HTTP.
//!
//! `gateway [--http ADDRESS] [--trust KEYS] [--server PACKAGE] NAME=SERVER...`, where a server is a
//! URL or a program: `gateway calc=./calculator far=http://127.0.0.1:8000/mcp 'db=./db music.db'`.
//!
//! Each server's tools are called `NAME__tool` here. Of the servers after `--trust` (a JWK set) only
//! tools that one of its keys has signed are let through; `--server` says how the next one is named
//! in what was signed. See `upstream.rs`.

mod upstream;

use std::time::Duration;

use anyhow::{Context as _, bail};
use mcp_client::Group;
use mcp_client::types::Implementation;
use mcp_transport::LimitsLayer;
use mcp_transport::http::server::{HttpServer, serve_http};
use tokio::net::TcpListener;
use tower_layer::Layer as _;

use upstream::Upstreams;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let info = Implementation::new("gateway", env!("CARGO_PKG_VERSION"));
    let mut upstreams = Upstreams::new(info.clone());
    let mut group = Group::builder(info)
        .patience(|| Box::pin(tokio::time::sleep(Duration::from_secs(10))))
        .on_failure(|name, error| eprintln!("{name}: {}", error.message));
    let mut address = None;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--http" => address = Some(words.next().context(USAGE)?),
            "--trust" => {
                upstreams.trust(&std::fs::read_to_string(words.next().context(USAGE)?)?)?
            }
            "--server" => upstreams.identify(&words.next().context(USAGE)?)?,
            word => match word.split_once('=') {
                Some((name, server)) => group = upstreams.add(group, name, server).await?,
                None => bail!(USAGE),
            },
        }
    }
    let service = LimitsLayer::new().layer(group.build()?);
    let Some(address) = address else {
        return Ok(mcp_transport::serve(service, mcp_transport::stdio()?).await?);
    };
    let listener = TcpListener::bind(address).await?;
    eprintln!("http://{}/mcp", listener.local_addr()?);
    Ok(serve_http(HttpServer::new(service), listener, std::future::pending()).await?)
}

const USAGE: &str =
    "usage: gateway [--http ADDRESS] [--trust KEYS] [--server PACKAGE] NAME=SERVER...";
