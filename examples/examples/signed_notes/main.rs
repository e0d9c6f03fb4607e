//! A server whose tools are signed, over stdio or behind HTTP.
//!
//! `signed_notes [--listen ADDRESS] [--manifest FILE] [--instance-key FILE] [--key FILE]`
//!
//! - `--listen`: an address such as `127.0.0.1:8000`. The server is then known by its URL,
//!   `http://127.0.0.1:8000/mcp`, and else as `pkg:cargo/signed-notes`.
//! - `--manifest`: the manifest that `etdi sign` wrote; the server does not start if its tools are
//!   not the signed ones.
//! - `--instance-key`: a private key (PEM) that the manifest names; the server proves that it
//!   holds it.
//! - `--key`: a private key (PEM) with which the server signs by itself, as publisher and operator
//!   in one.
//!
//! Without any of them the tools are declared and unsigned, ready for `etdi sign`.

mod server;

use std::sync::Arc;

use anyhow::{Context as _, bail};
use etdi::core::identity::ServerIdentity;
use etdi::core::key::SigningKey;
use etdi::{EtdiServerConfig, secure};
use mcp_transport::LimitsLayer;
use mcp_transport::http::server::HttpServer;
use tower_layer::Layer as _;

use crate::server::{Notes, notes_server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1).peekable();
    let listen = words.next_if(|word| word == "--listen").is_some();
    let listen = listen.then(|| words.next().context("`--listen` needs an address")).transpose()?;
    let identity = match &listen {
        Some(address) => ServerIdentity::url(&format!("http://{address}/mcp"))?,
        None => ServerIdentity::package("pkg:cargo/signed-notes")?,
    };
    let config = configuration(EtdiServerConfig::new(identity), words)?;
    let notes = Notes::new(["buy milk", "call Ada about the engine", "the milk is in the fridge"]);
    let server = secure(notes_server(notes)?, config).await?;
    let server = LimitsLayer::new().layer(server);
    match listen {
        Some(address) => {
            eprintln!("http://{address}/mcp");
            Ok(HttpServer::new(server).listen(address).await?)
        }
        None => Ok(mcp_transport::serve(server, mcp_transport::stdio()?).await?),
    }
}

fn configuration(
    mut config: EtdiServerConfig,
    mut words: impl Iterator<Item = String>,
) -> anyhow::Result<EtdiServerConfig> {
    while let Some(option) = words.next() {
        let path = words.next().with_context(|| format!("`{option}` needs a file"))?;
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
        config = match option.as_str() {
            "--manifest" => config.manifest(text),
            "--instance-key" => config.instance_key(Arc::new(SigningKey::from_pkcs8_pem(&text)?)),
            "--key" => config.operator(Arc::new(SigningKey::from_pkcs8_pem(&text)?)),
            other => bail!(
                "unknown option `{other}`; use --manifest, --instance-key or --key, and --listen before them"
            ),
        };
    }
    Ok(config)
}
