//! Server, clients and a login server that is played, in one process.

use anyhow::{Context as _, bail, ensure};
use etdi_oauth::{InteractionError, Loopback};
use examples::settings::Settings;
use examples::stand_in::auth0::{self, Auth0};
use examples::stand_in::browse;
use examples::stand_in::entra::{self, Entra};
use tokio::net::TcpListener;

use crate::{client, server};

/// A folder for a person's tokens that is gone with the demo.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("secure_echo-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn name(&self) -> String {
        self.0.join("tokens").to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) async fn run(by: &str) -> anyhow::Result<()> {
    let folder = Folder::new();
    let settings = Settings::default().with("TOKENS", folder.name());
    match by {
        "api-key" => api_key(settings).await,
        "auth0" => with_auth0(settings).await,
        "entra" => with_entra(settings).await,
        other => bail!("`{other}` is none of api-key, auth0 and entra"),
    }
}

/// Plays a login server until the program ends, and prints what a `.env` for it holds. Programs with
/// these settings are as with the vendor's own; a browser that is sent there is signed in at once.
pub(crate) async fn stand_in(vendor: &str) -> anyhow::Result<()> {
    match vendor {
        "auth0" => {
            let played = Auth0::start().await?;
            println!("AUTH0_DOMAIN={}\nAPI_AUDIENCE={}", played.domain(), auth0::AUDIENCE);
            println!("AUTH0_CLIENT_ID={}", auth0::CLIENT_ID);
            println!("# With its secret it is an application that calls, and nobody signs in:");
            println!("# AUTH0_CLIENT_SECRET={}", auth0::SECRET);
        }
        "entra" => {
            let played = Entra::start().await?;
            println!("AZURE_AUTHORITY={}\nAZURE_TENANT_ID={}", played.authority(), entra::TENANT);
            println!("AZURE_CLIENT_ID={}", entra::CLIENT_ID);
            println!("AZURE_CLIENT_SECRET={}", entra::SECRET);
        }
        other => bail!("`{other}` is none of auth0 and entra"),
    }
    Ok(tokio::signal::ctrl_c().await?)
}

/// Serves on a port of its own; gives the URL and the key that was made, if one was.
async fn start(by: &str, settings: &Settings) -> anyhow::Result<(String, Option<String>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    let (http, key) = server::make(by, &url, settings)?;
    tokio::spawn(server::serve(http, listener));
    Ok((url, key.map(|key| key.expose().to_owned())))
}

async fn api_key(settings: Settings) -> anyhow::Result<()> {
    let (url, key) = start("api-key", &settings).await?;
    let with = |key: &str| settings.clone().with("API_KEY", key);
    let known = with(&key.context("no key was made")?);
    println!("with the key:       {}", client::call("api-key", &url, &known, nobody()).await?);
    refused(
        "with another:       ",
        client::call("api-key", &url, &with("mcpk_guess"), nobody()).await,
    )
}

async fn with_auth0(settings: Settings) -> anyhow::Result<()> {
    let auth0 = Auth0::start().await?;
    let settings = settings
        .with("AUTH0_DOMAIN", auth0.domain())
        .with("AUTH0_CLIENT_ID", auth0::CLIENT_ID)
        .with("API_AUDIENCE", auth0::AUDIENCE);
    let (url, _) = start("auth0", &settings).await?;
    println!("a person signs in:  {}", client::call("auth0", &url, &settings, somebody()).await?);
    println!("the second run:     {}", client::call("auth0", &url, &settings, nobody()).await?);
    ensure!(auth0.logins() == 1, "a person was asked {} times", auth0.logins());
    let service = settings.clone().with("AUTH0_CLIENT_SECRET", auth0::SECRET);
    println!("an application:     {}", client::call("auth0", &url, &service, nobody()).await?);
    let wrong = settings.clone().with("AUTH0_CLIENT_SECRET", "guessed");
    refused("a wrong secret:     ", client::call("auth0", &url, &wrong, nobody()).await)
}

async fn with_entra(settings: Settings) -> anyhow::Result<()> {
    let entra = Entra::start().await?;
    let settings = settings
        .with("AZURE_AUTHORITY", entra.authority())
        .with("AZURE_TENANT_ID", entra::TENANT)
        .with("AZURE_CLIENT_ID", entra::CLIENT_ID);
    let (url, _) = start("entra", &settings).await?;
    println!("a person signs in:  {}", client::call("entra", &url, &settings, somebody()).await?);
    // As in another process: nothing but the folder is the same, and there is no browser.
    println!("the second run:     {}", client::call("entra", &url, &settings, nobody()).await?);
    ensure!(entra.logins() == 1, "a person was asked {} times", entra.logins());

    let secret = settings.clone().with("AZURE_CLIENT_SECRET", entra::SECRET);
    println!(
        "by a secret:        {}",
        client::call("entra-service", &url, &secret, nobody()).await?
    );
    let path = std::path::Path::new(settings.get("TOKENS")?).with_file_name("service.pem");
    std::fs::write(&path, entra.certificate_pem())?;
    let name = "AZURE_CLIENT_CERTIFICATE_PATH";
    let certificate = settings.clone().with(name, path.to_string_lossy());
    let said = client::call("entra-service", &url, &certificate, nobody()).await?;
    println!("by a certificate:   {said}");
    // The tenant gives a token for the API to any of its applications; what it may do is another matter.
    let other = settings
        .clone()
        .with("AZURE_API_CLIENT_ID", entra::CLIENT_ID)
        .with("AZURE_CLIENT_ID", entra::OTHER_ID)
        .with("AZURE_CLIENT_SECRET", entra::OTHER_SECRET);
    refused("without the role:   ", client::call("entra-service", &url, &other, nobody()).await)?;
    let wrong = settings.clone().with("AZURE_CLIENT_SECRET", "guessed");
    refused("a wrong secret:     ", client::call("entra-service", &url, &wrong, nobody()).await)
}

/// A person with a browser, who is signed in at the login server already.
fn somebody() -> Loopback {
    Loopback::new(|url| {
        let url = url.as_str().to_owned();
        tokio::spawn(async move {
            if let Err(error) = browse(&url).await {
                eprintln!("{error:#}");
            }
        });
        Ok(())
    })
    .patience(std::time::Duration::from_secs(20))
}

/// Nobody is there to sign in.
fn nobody() -> Loopback {
    Loopback::new(|_| Err(InteractionError::Unavailable("there is no browser".to_owned())))
}

fn refused(what: &str, said: anyhow::Result<String>) -> anyhow::Result<()> {
    match said {
        Ok(said) => bail!("{what}was let in: {said}"),
        Err(error) => println!("{what}refused: {error:#}"),
    }
    Ok(())
}
