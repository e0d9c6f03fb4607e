//! What tools take and give, a lesson each.
//!
//! | command | lesson |
//! |---|---|
//! | `tools basics [WEATHER_URL]` | arguments, titles, an asynchronous tool that asks a web service |
//! | `tools structured` | results as data: objects, maps, lists, numbers, and text alone |
//! | `tools content FOLDER` | images, and files of one folder that no path leads out of |
//! | `tools context` | progress, log messages, reading a resource of the same server |
//! | `tools checked` | text that is refused or escaped before a tool sees it |
//! | `tools vault` | secrets that are encrypted as long as they are kept |
//! | `tools show COMMAND...` | a client: starts a server and shows its tools |
//!
//! All but the last are servers on standard streams.

mod basics;
mod checked;
mod content;
mod context;
mod structured;
mod vault;

use anyhow::bail;
use mcp_client::Client;
use mcp_client::types::Implementation;
use mcp_transport::LimitsLayer;
use mcp_transport::process::Command;
use tower_layer::Layer as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let server = match words.as_slice() {
        ["basics"] => basics::server("http://localhost:8080")?,
        ["basics", weather] => basics::server(weather)?,
        ["structured"] => structured::server()?,
        ["content", folder] => content::server(folder)?,
        ["context"] => context::server()?,
        ["checked"] => checked::server()?,
        ["vault"] => vault::server()?,
        ["show", program, arguments @ ..] => return show(program, arguments).await,
        _ => {
            bail!("usage: tools basics|structured|content|context|checked|vault|show, see its page")
        }
    };
    Ok(mcp_transport::serve(LimitsLayer::new().layer(server), mcp_transport::stdio()?).await?)
}

/// Shows the tools of a server by the names that are meant for people.
async fn show(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let io = Command::new(program).args(arguments).spawn()?;
    let client = Client::new(mcp_transport::connect(io, Implementation::new("tools", "1.0.0")));
    for tool in client.all_tools().await? {
        println!("{} ({})", mcp_client::display_name(&tool), tool.name);
        if let Some(description) = &tool.description {
            println!("  {description}");
        }
    }
    client.service().close().await;
    Ok(())
}
