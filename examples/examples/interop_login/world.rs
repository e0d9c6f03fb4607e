//! Our protected servers, and what their clients need of an issuer that nobody here wrote.

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use etdi_core::nonce::SecretNonces;
use etdi_core::time::UnixTime;
use etdi_oauth::resource::Protected;
use etdi_oauth::{
    AuthorizationUrl, Clock, Fetch, FetchRequest, GuardedFetch, Introspection, IntrospectionAuth,
    Issuer, JwtVerifier, Loopback, Method, OAuthClient, OAuthClientBuilder, Rules, TokenStore,
};
use mcp_client::Client;
use mcp_client::types::Implementation;
use mcp_server::{Server, server, tool};
use mcp_transport::http::server::{HttpOptions, serve_http};
use mcp_transport::http::{HttpConnectOptions, HttpConnection, connect_http_with};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::browser::{User, log_in};

/// Reads a note.
#[tool(name = "read_note", scopes = ["notes:read"])]
fn read_note() -> &'static str {
    "buy milk"
}

/// Writes a note.
#[tool(name = "write_note", scopes = ["notes:write"])]
fn write_note(text: String) -> String {
    format!("written: {text}")
}

fn tools() -> anyhow::Result<Server> {
    Ok(server!().tool::<read_note>().tool::<write_note>().build()?)
}

/// The issuer, as all here see it.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) issuer: String,
    pub(crate) fetch: Arc<GuardedFetch>,
    /// The URLs at which the user was asked.
    asked: Arc<Mutex<Vec<String>>>,
}

impl World {
    pub(crate) fn new(issuer: &str) -> Self {
        let mut rules = Rules::default();
        rules.loopback = true;
        let fetch = Arc::new(GuardedFetch::new(rules));
        Self { issuer: issuer.to_owned(), fetch, asked: Arc::default() }
    }

    /// How many times the user was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Where tokens are signed, and the issuer's keys say by whom.
    pub(crate) async fn signed(&self) -> anyhow::Result<String> {
        let (listener, url) = place("signed").await?;
        let protected = Protected::new(&url, self.verifier(&url)?)?;
        serve(protected, listener, "/signed")?;
        Ok(url)
    }

    /// Where tokens are signed and bound to a key of their client.
    pub(crate) async fn bound(&self) -> anyhow::Result<String> {
        let (listener, url) = place("bound").await?;
        let protected = Protected::new(&url, self.verifier(&url)?)?;
        let protected = protected.require_dpop().dpop_nonces(Arc::new(SecretNonces::new()?));
        serve(protected, listener, "/bound")?;
        Ok(url)
    }

    /// Where the issuer is asked about each token.
    pub(crate) async fn opaque(&self, client: IntrospectionAuth) -> anyhow::Result<String> {
        let (listener, url) = place("opaque").await?;
        let endpoint = format!("{}/token/introspection", self.issuer);
        let issuer = Issuer::new(&self.issuer, &url);
        let verifier = Introspection::new(issuer, endpoint, client, self.fetch.clone())?;
        serve(Protected::new(&url, verifier.keep(0))?, listener, "/opaque")?;
        Ok(url)
    }

    fn verifier(&self, url: &str) -> anyhow::Result<JwtVerifier> {
        Ok(JwtVerifier::new(Issuer::new(&self.issuer, url), self.fetch.clone())?)
    }

    /// Registers a client by RFC 7591; gives its id and, if it has one, its secret.
    pub(crate) async fn register(&self, metadata: &Value) -> anyhow::Result<(String, String)> {
        let mut request = FetchRequest::get(format!("{}/reg", self.issuer));
        request.method = Method::Post;
        request.headers.push(("content-type".to_owned(), "application/json".to_owned()));
        request.body = metadata.to_string().into_bytes();
        let answer = self.fetch.fetch(request).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(answer.status == 201, "{}: {text}", answer.status);
        let made: Value = serde_json::from_str(&text)?;
        let of = |name: &str| made.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok((of("client_id"), of("client_secret")))
    }

    /// Registers a program that acts for itself.
    pub(crate) async fn service(
        &self,
        method: &str,
        more: Value,
    ) -> anyhow::Result<(String, String)> {
        let mut metadata = json!({
            "client_name": "Report", "redirect_uris": [], "response_types": [],
            "grant_types": ["client_credentials"], "token_endpoint_auth_method": method,
        });
        if let (Some(all), Value::Object(more)) = (metadata.as_object_mut(), more) {
            all.extend(more);
        }
        self.register(&metadata).await
    }

    /// A client for a user with a browser, whose clock is ahead by some seconds.
    pub(crate) fn user(
        &self,
        server: &str,
        store: &Arc<dyn TokenStore>,
        ahead: u64,
        user: User,
    ) -> OAuthClientBuilder {
        let asked = self.asked.clone();
        let login = Loopback::new(move |url: &AuthorizationUrl| {
            let url = url.as_str().to_owned();
            asked.lock().unwrap_or_else(PoisonError::into_inner).push(url.clone());
            tokio::spawn(async move {
                if let Err(why) = log_in(&url, user).await {
                    eprintln!("the browser: {why:#}");
                }
            });
            Ok(())
        });
        let login = login.patience(std::time::Duration::from_secs(10));
        let client = OAuthClient::interactive(server, login).name("Notes on the desk");
        client.store(store.clone()).clock(Clock::new(move || now().plus(ahead)))
    }
}

pub(crate) fn now() -> UnixTime {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime(now.map_or(0, |now| now.as_secs()))
}

async fn place(name: &str) -> anyhow::Result<(TcpListener, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/{name}", listener.local_addr()?);
    Ok((listener, url))
}

fn serve(protected: Protected, listener: TcpListener, path: &str) -> anyhow::Result<()> {
    let mut options = HttpOptions::default();
    options.path = path.to_owned();
    let http = protected.require(["notes:read"])?.http(tools()?, options);
    tokio::spawn(serve_http(http, listener, pending()));
    Ok(())
}

/// A connection that is authorized by `oauth`.
fn connect(
    url: &str,
    oauth: OAuthClientBuilder,
) -> anyhow::Result<(Client<HttpConnection>, HttpConnection)> {
    let mut options = HttpConnectOptions::new(Implementation::new("interop_login", "1.0.0"));
    options.authorize = Some(Arc::new(oauth.build()?));
    let connection = connect_http_with(url, options)?;
    Ok((Client::new(connection.clone()), connection))
}

/// Calls a tool over a connection of its own.
pub(crate) async fn call(
    url: &str,
    oauth: OAuthClientBuilder,
    tool: &str,
) -> anyhow::Result<String> {
    let (client, connection) = connect(url, oauth)?;
    let arguments = if tool == "write_note" { json!({ "text": "eggs" }) } else { json!({}) };
    let said = client.call_tool(tool, &arguments).await;
    connection.close().await;
    Ok(format!("{:?}", said?))
}

/// What a server says to whoever shows this and nothing else.
pub(crate) async fn shown(url: &str, authorization: &str) -> anyhow::Result<String> {
    let mut options = HttpConnectOptions::new(Implementation::new("interop_login", "1.0.0"));
    options.headers.insert("authorization", authorization.parse()?);
    let connection = connect_http_with(url, options)?;
    let said = Client::new(connection.clone()).call_tool("read_note", &json!({})).await;
    connection.close().await;
    Ok(match said {
        Ok(said) => format!("{said:?}"),
        Err(error) => error.to_string(),
    })
}

/// The record of a login.
pub(crate) async fn kept(store: &Arc<dyn TokenStore>, server: &str) -> anyhow::Result<Value> {
    let kept = store.get(&format!("tokens {server}")).await.map_err(anyhow::Error::msg)?;
    Ok(serde_json::from_str(kept.context("nothing is kept")?.expose())?)
}
