//! The servers that the demo starts, each a process of this same program.

use std::path::Path;
use std::sync::Arc;

use etdi::core::key::SigningKey;
use etdi::{EtdiServerConfig, secure, system_time};
use mcp_server::{server, tool};

use crate::args::DemoServerArguments;
use crate::demo::raw;
use crate::demo::world::{INSTANCE_KEY, MANIFEST, SCRIPT_VARIABLE, server_identity};

#[path = "../../../../examples/examples/signed_notes/server.rs"]
mod signed_notes;

/// What a server can fail with, said on its standard error.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Runs one server until its input ends.
///
/// # Errors
///
/// When it cannot be set up, or its streams fail.
pub fn run(arguments: &DemoServerArguments) -> Result<(), Failed> {
    // The server of the demo that goes bad is the same program behind the same command line.
    if let Some(script) = std::env::var_os(SCRIPT_VARIABLE) {
        return scripted(Path::new(&script));
    }
    let path = || arguments.path.as_deref().ok_or("this server needs a path");
    match arguments.role.as_str() {
        "notes" => runtime()?.block_on(notes(path()?)),
        "weather" => runtime()?.block_on(weather()),
        "script" => scripted(path()?),
        role => Err(format!("there is no server `{role}`").into()),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// The notes of `examples/signed_notes`, with the manifest and the instance key that lie in the
/// directory; unsigned as long as there are none.
async fn notes(directory: &Path) -> Result<(), Failed> {
    let texts = ["buy milk", "call Ada about the engine", "the milk is in the fridge"];
    let server = signed_notes::notes_server(signed_notes::Notes::new(texts))?;
    let mut config = EtdiServerConfig::new(server_identity()?);
    if let Ok(manifest) = std::fs::read_to_string(directory.join(MANIFEST)) {
        config = config.manifest(manifest);
    }
    if let Ok(pem) = std::fs::read_to_string(directory.join(INSTANCE_KEY)) {
        config = config.instance_key(Arc::new(SigningKey::from_pkcs8_pem(&pem)?));
    }
    let server = secure(server, config).await?;
    Ok(mcp_transport::serve(server, mcp_transport::stdio()?).await?)
}

/// Tells the weather of a city.
#[tool(annotations(read_only))]
fn weather_today(city: String) -> String {
    format!("sunny in {city}, 21 degrees")
}

/// A server that has never heard of any of this.
async fn weather() -> Result<(), Failed> {
    let server = server!().tool::<weather_today>().build()?;
    Ok(mcp_transport::serve(server, mcp_transport::stdio()?).await?)
}

fn scripted(path: &Path) -> Result<(), Failed> {
    let script = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    Ok(raw::run(script, system_time)?)
}
