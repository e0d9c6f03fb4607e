//! Data that clients read: fixed, by template, with completion, and only for those who may.
//!
//! `resources [USER]` serves standard streams for the person that the operator names (`guest` if
//! nobody); `resources show` is a client that starts this program and looks around in it.

use anyhow::bail;
use mcp_client::types::{CompleteReference, Implementation, ResourceTemplateReference};
use mcp_client::{Client, DisplayName as _};
use mcp_server::checked::{GlobPattern, Refused, RelativePath, Text};
use mcp_server::{Json, types::Resource};
use mcp_server::{State, completion, data, resource, server};
use mcp_transport::LimitsLayer;
use mcp_transport::process::Command;
use tower_layer::Layer as _;

/// Static configuration data.
#[resource("config://app", title = "Application Configuration")]
async fn config() -> &'static str {
    "App configuration here"
}

/// A greeting for whoever is named.
#[resource("greeting://{name}")]
async fn greeting(name: String) -> String {
    format!("Hello, {name}!")
}

#[data]
struct Profile {
    id: u32,
    name: String,
}

/// What is known about a user; a URI whose id is no number leads nowhere.
#[resource("users://{user_id}/profile", title = "User Profile", mime_type = "application/json")]
async fn profile(user_id: u32) -> Json<Profile> {
    Json(Profile { id: user_id, name: format!("User {user_id}") })
}

/// A repository. Both parts help whoever types them.
#[resource("github://repos/{owner}/{repo}")]
async fn repository(
    #[arg(complete = owners)] owner: String,
    #[arg(complete = repositories)] repo: String,
) -> String {
    format!("The repository {repo} of {owner}")
}

#[completion]
fn owners(typed: String) -> Vec<&'static str> {
    let all = ["modelcontextprotocol", "rust-lang"];
    all.into_iter().filter(|name| name.starts_with(&typed)).collect()
}

/// Suggests repositories of the owner that is decided already.
#[completion]
fn repositories(typed: String, owner: Option<String>) -> Vec<&'static str> {
    let all: &[&str] = match owner.as_deref() {
        Some("modelcontextprotocol") => &["python-sdk", "typescript-sdk", "specification"],
        Some("rust-lang") => &["rust", "cargo"],
        _ => &[],
    };
    all.iter().copied().filter(|name| name.starts_with(&typed)).collect()
}

/// Who may read which files, as globs.
struct Access(Vec<Text<GlobPattern>>);

impl Access {
    fn of(user: &str) -> Result<Self, Refused> {
        let globs: &[&str] = match user {
            "admin" => &["**"],
            _ => &["public/*"],
        };
        Ok(Self(globs.iter().map(|glob| Text::new(*glob)).collect::<Result<_, _>>()?))
    }
}

/// A file. What somebody may not read looks to them like what is not there.
#[resource("file:///{+path}", mime_type = "text/plain")]
async fn file(access: State<Access>, path: RelativePath) -> Option<String> {
    let may = access.0.0.iter().any(|glob| glob.parsed().is_match(path.as_str()));
    may.then(|| format!("the contents of {path}"))
}

/// Eight bytes with which every PNG image begins.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let user = std::env::args().nth(1).unwrap_or_else(|| "guest".to_owned());
    if user == "show" {
        return show().await;
    }
    let server = server!()
        .resource::<config>()
        .resource::<greeting>()
        .resource::<profile>()
        .resource::<repository>()
        .static_resource(Resource::new("signature", "image://png/signature"), PNG)
        .state(Access::of(&user)?)
        .resource::<file>()
        .build()?;
    Ok(mcp_transport::serve(LimitsLayer::new().layer(server), mcp_transport::stdio()?).await?)
}

async fn show() -> anyhow::Result<()> {
    let io = Command::new(std::env::current_exe()?).spawn()?;
    let client = Client::new(mcp_transport::connect(io, Implementation::new("show", "1.0.0")));
    for resource in client.all_resources().await? {
        println!("{} <{}>", resource.display_name(), resource.uri);
    }
    for template in client.all_resource_templates().await? {
        println!("{} <{}>", template.display_name(), template.uri_template);
    }
    let uri = "github://repos/{owner}/{repo}";
    let template = || CompleteReference::Resource(ResourceTemplateReference::new(uri));
    let nothing: [(&str, &str); 0] = [];
    let owners = client.complete(template(), "owner", "model", nothing).await?;
    let Some(owner) = owners.values.first() else { bail!("there is no owner `model…`") };
    let decided = [("owner", owner.as_str())];
    let repositories = client.complete(template(), "repo", "spec", decided).await?;
    println!("{owner} has {}", repositories.values.join(", "));
    client.service().close().await;
    Ok(())
}
