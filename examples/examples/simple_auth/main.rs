//! An authorization server of one's own, a server that takes its tokens, and a client of both.
//!
//! | command | what |
//! |---|---|
//! | `simple_auth serve [ADDRESS]` | both servers as one program: `/authorize`, `/token`, `/register` and `/revoke` beside `/mcp` |
//! | `simple_auth authorization-server ADDRESS RESOURCE` | the one that gives tokens, for a server elsewhere |
//! | `simple_auth resource-server ADDRESS ISSUER` | the one that takes them, and asks the other about each |
//! | `simple_auth client URL FOLDER [show]` | logs in with a browser and calls a tool; tokens are kept in the folder, so that nobody is asked the next time. With `show` the page's URL is only printed |
//! | `simple_auth all` | all of them against each other, with a user who is played |
//!
//! The user is `demo_user` with `demo_password`, or who `DEMO_USER` and `DEMO_PASSWORD` name. The two
//! servers know each other by `RESOURCE_SERVER_SECRET`, sixteen characters or more. Without TLS, and so
//! for this computer alone.

mod own;
mod page;
mod user;

use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use etdi_core::secret::{KeyFile, Protection, SecretStore};
use etdi_core::time::UnixTime;
use etdi_oauth::embedded::{
    AuthorizationRoutes, AuthorizationServer as _, Client as KnownClient, Settings, listen,
};
use etdi_oauth::resource::Protected;
use etdi_oauth::{
    AuthorizationUrl, Confirmation, GuardedFetch, Introspection, IntrospectionAuth, Issuer,
    Loopback, OAuthClient, Rules, SealedTokens, SecretText, TokenRefusal, VerifiedToken,
    VerifyToken,
};
use mcp_client::types::Implementation;
use mcp_client::{Client, text_of};
use mcp_server::types::{BoxFuture, Principal};
use mcp_server::{Extension, server, tool};
use mcp_transport::LimitsLayer;
use mcp_transport::http::server::{HttpOptions, HttpServer, serve_http};
use mcp_transport::http::{HttpConnectOptions, connect_http_with};
use serde_json::json;
use tokio::net::TcpListener;
use tower_layer::Layer as _;

use own::OwnServer;
use user::Typed;

const SCOPE: &str = "user";
const RESOURCE_SERVER: &str = "resource-server";

/// The time of the server, and for whom.
#[tool(annotations(read_only))]
async fn get_time(caller: Extension<Principal>) -> String {
    format!("{} for {}", now(), caller.subject)
}

const USAGE: &str = "usage: simple_auth serve [ADDRESS], authorization-server ADDRESS RESOURCE, \
    resource-server ADDRESS ISSUER, client URL FOLDER [show], or all";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve"] => serve("127.0.0.1:8000").await,
        ["serve", address] => serve(address).await,
        ["authorization-server", address, resource] => {
            let secret = secret()?;
            let listener = examples::listen_at(address).await?;
            eprintln!("{}", origin(&listener)?);
            authorization_server(listener, resource, &secret).await
        }
        ["resource-server", address, issuer] => {
            let secret = secret()?;
            let listener = examples::listen_at(address).await?;
            eprintln!("{}/mcp", origin(&listener)?);
            resource_server(listener, issuer, &secret).await
        }
        ["client", url, folder] => {
            client(url, Path::new(folder), Loopback::browser(|text| eprintln!("{text}"))).await
        }
        ["client", url, folder, "show"] => {
            let show = |url: &AuthorizationUrl| {
                eprintln!("log in: {}", url.as_str());
                Ok(())
            };
            client(url, Path::new(folder), Loopback::new(show)).await
        }
        ["all"] => all().await,
        ["-h" | "--help" | "help"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!(USAGE),
    }
}

/// The authorization server of one's own.
fn own_server() -> OwnServer {
    let Typed { name, password } = typed();
    OwnServer::new(name, SecretText::new(password))
}

/// What it is called, and what it gives.
fn settings(issuer: &str, resource: &str) -> anyhow::Result<Settings> {
    let mut settings = Settings::new(issuer, [resource])?;
    settings.scopes = vec![SCOPE.to_owned()];
    settings.default_scopes.clone_from(&settings.scopes);
    settings.required_scopes.clone_from(&settings.scopes);
    settings.registration = true;
    // Clients are those of the table.
    settings.metadata_documents = false;
    Ok(settings)
}

/// Both servers as one program.
async fn serve(address: &str) -> anyhow::Result<()> {
    let listener = examples::listen_at(address).await?;
    let issuer = origin(&listener)?;
    let url = format!("{issuer}/mcp");
    eprintln!("{url}");
    let own = Arc::new(own_server());
    let routes = AuthorizationRoutes::new(own.clone(), settings(&issuer, &url)?)?;
    let here = Here { own, issuer, resource: url.clone() };
    let mcp = protected(&url, here)?.into_router();
    axum::serve(listener, mcp.fallback_service(routes)).await?;
    Ok(())
}

async fn authorization_server(
    listener: TcpListener,
    resource: &str,
    secret: &str,
) -> anyhow::Result<()> {
    let known = KnownClient::with_secret(RESOURCE_SERVER, secret, [""; 0])?;
    let own = Arc::new(own_server().client(known));
    let routes = AuthorizationRoutes::new(own, settings(&origin(&listener)?, resource)?)?;
    Ok(listen(routes, listener, pending()).await?)
}

async fn resource_server(listener: TcpListener, issuer: &str, secret: &str) -> anyhow::Result<()> {
    let url = format!("{}/mcp", origin(&listener)?);
    let auth = IntrospectionAuth::basic(RESOURCE_SERVER, secret);
    let mut rules = Rules::default();
    rules.loopback = true;
    let fetch = Arc::new(GuardedFetch::new(rules));
    let place = format!("{issuer}/introspect");
    let verifier = Introspection::new(Issuer::new(issuer, &url), place, auth, fetch)?;
    Ok(serve_http(protected(&url, verifier)?, listener, pending()).await?)
}

/// The MCP server, behind tokens.
fn protected(url: &str, verifier: impl VerifyToken + 'static) -> anyhow::Result<HttpServer> {
    let protected = Protected::new(url, verifier)?.require([SCOPE])?;
    let server = server!().tool::<get_time>().build()?;
    Ok(protected.http(LimitsLayer::new().layer(server), HttpOptions::default()))
}

/// Tokens of the authorization server in the same process, which need not be asked for over HTTP.
struct Here {
    own: Arc<OwnServer>,
    issuer: String,
    resource: String,
}

impl VerifyToken for Here {
    fn verify<'a>(
        &'a self,
        token: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<VerifiedToken, TokenRefusal>> {
        Box::pin(async move {
            let claims = self.own.token(token, now).await;
            let claims = claims.map_err(|error| TokenRefusal::Unavailable(error.to_string()))?;
            // A refresh token is for the authorization server alone.
            let claims = claims.filter(|claims| !claims.refresh).ok_or(TokenRefusal::Inactive)?;
            if claims.resource != self.resource {
                return Err(TokenRefusal::Audience { expected: self.resource.clone() });
            }
            let mut token = VerifiedToken::new(
                &*self.issuer,
                claims.subject,
                claims.resource,
                claims.expires_at,
            );
            token.scopes.extend(claims.scopes);
            token.client = Some(claims.client);
            if let Some(key) = claims.key {
                let mut confirmation = Confirmation::default();
                confirmation.key = Some(key.parse().map_err(|_| TokenRefusal::Confirmation)?);
                token.confirmation = Some(confirmation);
            }
            Ok(token)
        })
    }

    fn issuers(&self) -> Vec<String> {
        vec![self.issuer.clone()]
    }

    fn keep(&self) -> u64 {
        // What is in a table need not be remembered.
        0
    }
}

/// Calls the server once; tokens are those of before, as long as they can be renewed.
async fn client(url: &str, folder: &Path, login: Loopback) -> anyhow::Result<()> {
    // The key belongs into the system's keyring; a file will do for trying out.
    let key = KeyFile::open(folder.join("key"), "tokens")?.key_or_new()?;
    let store = SecretStore::open(folder.join("tokens"), Protection::key(key))?;
    let oauth = OAuthClient::interactive(url, login)
        .name("Simple auth client")
        .store(Arc::new(SealedTokens::new(store)))
        .build()?;
    let mut options = HttpConnectOptions::new(Implementation::new("simple_auth", "1.0.0"));
    options.authorize = Some(Arc::new(oauth));
    let connection = connect_http_with(url, options)?;
    let client = Client::new(connection.clone());
    let time = client.call_tool("get_time", &json!({})).await;
    connection.close().await;
    println!("{}", text_of(&time?));
    Ok(())
}

/// Each against the others, in one process.
async fn all() -> anyhow::Result<()> {
    let one = |address| TcpListener::bind(address);
    let (issuers, resources) = (one("127.0.0.1:0").await?, one("127.0.0.1:0").await?);
    let (issuer, url) = (origin(&issuers)?, format!("{}/mcp", origin(&resources)?));
    let (secret, resource, at) = (own::random()?, url.clone(), issuer.clone());
    let known = secret.clone();
    tokio::spawn(async move { authorization_server(issuers, &resource, &known).await });
    tokio::spawn(async move { resource_server(resources, &at, &secret).await });
    let folder = std::env::temp_dir().join(format!("simple-auth-{}", own::random()?));
    println!("first run, the user logs in at {issuer}");
    client(&url, &folder, played(typed())).await?;
    println!("second run, nobody is asked");
    let nobody = Loopback::new(|_| {
        let why = "the token was not kept".to_owned();
        Err(etdi_oauth::InteractionError::Unavailable(why))
    });
    let second = client(&url, &folder, nobody).await;
    std::fs::remove_dir_all(&folder).context("the tokens cannot be removed")?;
    second
}

/// A login by a user who is played.
fn played(typed: Typed) -> Loopback {
    Loopback::new(move |url| {
        let (url, typed) = (url.as_str().to_owned(), typed.clone());
        tokio::spawn(async move {
            if let Err(error) = user::browse(url, typed).await {
                eprintln!("the user gave up: {error:#}");
            }
        });
        Ok(())
    })
}

/// The user of the demonstration.
fn typed() -> Typed {
    let said = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.into());
    Typed { name: said("DEMO_USER", "demo_user"), password: said("DEMO_PASSWORD", "demo_password") }
}

fn secret() -> anyhow::Result<String> {
    std::env::var("RESOURCE_SERVER_SECRET").context(
        "say `RESOURCE_SERVER_SECRET` in the environment, the same sixteen characters or more for both",
    )
}

fn origin(listener: &TcpListener) -> anyhow::Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime(since.map_or(0, |since| since.as_secs()))
}
