//! A server whose tools are signed, over stdio.
//!
//! `signed_notes [--manifest FILE] [--instance-key FILE] [--key FILE]`
//!
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
use tower_layer::Layer as _;

use crate::server::{Notes, notes_server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let config = configuration(std::env::args().skip(1))?;
    let notes = Notes::new(["buy milk", "call Ada about the engine", "the milk is in the fridge"]);
    let server = secure(notes_server(notes)?, config).await?;
    Ok(mcp_transport::serve(LimitsLayer::new().layer(server), mcp_transport::stdio()?).await?)
}

fn configuration(mut words: impl Iterator<Item = String>) -> anyhow::Result<EtdiServerConfig> {
    let mut config = EtdiServerConfig::new(ServerIdentity::package("pkg:cargo/signed-notes")?);
    while let Some(option) = words.next() {
        let path = words.next().with_context(|| format!("`{option}` needs a file"))?;
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
        config = match option.as_str() {
            "--manifest" => config.manifest(text),
            "--instance-key" => config.instance_key(Arc::new(SigningKey::from_pkcs8_pem(&text)?)),
            "--key" => config.operator(Arc::new(SigningKey::from_pkcs8_pem(&text)?)),
            other => bail!("unknown option `{other}`; use --manifest, --instance-key or --key"),
        };
    }
    Ok(config)
}
