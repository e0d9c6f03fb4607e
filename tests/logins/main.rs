//! Our client, our server and our issuer, each at a port of its own, and a user with a browser.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use etdi_core::audit::MemoryAuditor;
use etdi_core::time::UnixTime;
use etdi_oauth::embedded::{
    AuthorizationRoutes, Client as KnownClient, Embedded, MemoryStore, Settings, listen,
};
use etdi_oauth::resource::Protected;
use etdi_oauth::{
    AuthorizationUrl, Clock, DpopUse, GuardedFetch, Issuer, JwtVerifier, Loopback, MemoryTokens,
    OAuthClient, OAuthClientBuilder, RegisteredClient, Rules, TokenStore,
};
use mcp_client::Client;
use mcp_server::{server, tool};
use mcp_transport::http::server::{HttpOptions, serve_http};
use mcp_transport::http::{HttpConnectOptions, HttpConnection, connect_http_with};
use mcp_types::Implementation;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

mod bound;
mod elsewhere;
mod logs;
mod secrets;

/// Reads a note.
#[tool]
fn read_note() -> &'static str {
    "buy milk"
}

/// Writes a note.
#[tool(scopes = ["notes:write"])]
fn write_note(text: String) -> String {
    format!("written: {text}")
}

struct World {
    server: String,
    issuer: String,
    /// How many times the user was asked, and for which scopes.
    asked: Arc<Mutex<Vec<String>>>,
    refuses: bool,
    /// By how many seconds the clocks of all three are ahead.
    ahead: Arc<AtomicU64>,
    /// Secrets of pages and answers, as the browser saw them.
    seen: Seen,
    /// What the server noted.
    auditor: Arc<MemoryAuditor>,
}

type Seen = Arc<Mutex<BTreeSet<String>>>;

fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

fn clock(ahead: &Arc<AtomicU64>) -> Clock {
    let ahead = ahead.clone();
    Clock::new(move || now().plus(ahead.load(Ordering::Relaxed)))
}

impl World {
    async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_with(change, |embedded| embedded).await
    }

    async fn start_with(
        change: impl FnOnce(&mut Settings),
        more: impl FnOnce(Embedded) -> Embedded,
    ) -> Self {
        let own = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuers = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}/mcp", own.local_addr().unwrap());
        let issuer = format!("http://{}", issuers.local_addr().unwrap());

        let mut settings = Settings::new(&issuer, [server.as_str()]).unwrap();
        settings.scopes =
            ["notes:read", "notes:write", "offline_access"].map(str::to_owned).to_vec();
        settings.registration = true;
        change(&mut settings);
        let service = KnownClient::with_secret("report", SECRET, [""; 0]).unwrap();
        let embedded = Embedded::open(Arc::new(MemoryStore::new()), &settings, now()).await;
        let embedded = more(embedded.unwrap().client(service));
        let ahead = Arc::new(AtomicU64::new(0));
        let routes = AuthorizationRoutes::new(Arc::new(embedded), settings).unwrap();
        let routes = routes.clock(clock(&ahead));
        tokio::spawn(listen(routes, issuers, pending()));

        let mut rules = Rules::default();
        rules.loopback = true;
        let verifier = JwtVerifier::new(
            Issuer::new(&issuer, &server).jwks_uri(format!("{issuer}/jwks")),
            Arc::new(GuardedFetch::new(rules)),
        );
        let protected = Protected::new(&server, verifier.unwrap()).unwrap();
        let protected = protected.require(["notes:read"]).unwrap().clock(clock(&ahead));
        let auditor = Arc::new(MemoryAuditor::default());
        let protected = protected.auditor(auditor.clone());
        let tools = server!().tool::<read_note>().tool::<write_note>().build().unwrap();
        let http = protected.http(tools, HttpOptions::default());
        tokio::spawn(serve_http(http, own, pending()));
        let (asked, seen) = (Arc::default(), Arc::default());
        Self { server, issuer, asked, refuses: false, ahead, seen, auditor }
    }

    /// A client whose user has a browser.
    fn user(&self) -> OAuthClientBuilder {
        let (asked, allows, seen) = (self.asked.clone(), !self.refuses, self.seen.clone());
        let login = Loopback::new(move |url: &AuthorizationUrl| {
            let url = url.as_str().to_owned();
            tokio::spawn(browse(url, asked.clone(), seen.clone(), allows));
            Ok(())
        });
        let client = OAuthClient::interactive(&self.server, login).clock(clock(&self.ahead));
        client.name("Notes on the desk")
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn connect(&self, oauth: OAuthClientBuilder) -> (Client<HttpConnection>, HttpConnection) {
        let mut options = HttpConnectOptions::new(Implementation::new("test", "1.0.0"));
        options.authorize = Some(Arc::new(oauth.build().unwrap()));
        let connection = connect_http_with(&self.server, options).unwrap();
        (Client::new(connection.clone()), connection)
    }
}

const SECRET: &str = "a-secret-of-at-least-16";
const PASSWORD: &str = "MARKED-password-of-ada";

/// One request of a browser: status, `Location`, cookie, body.
async fn visit(url: &str, cookie: &str, form: Option<&str>) -> (String, String, String, String) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let method = if form.is_some() { "POST" } else { "GET" };
    let form = form.unwrap_or_default();
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nCookie: {cookie}\r\n\
         Origin: http://{host}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    );
    // A page that is only visited has no origin.
    let request = match method {
        "GET" => request.replace(&format!("Origin: http://{host}\r\n"), ""),
        _ => request,
    };
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().split(';').next().unwrap_or_default().to_owned()
    };
    let status = head.split(' ').nth(1).unwrap().to_owned();
    (status, header("location:"), header("set-cookie:"), body.to_owned())
}

/// A user who logs in on the page, and says yes or no there.
async fn browse(url: String, asked: Arc<Mutex<Vec<String>>>, seen: Seen, allows: bool) {
    let scope = url.split('&').find_map(|pair| pair.strip_prefix("scope=")).unwrap_or_default();
    asked.lock().unwrap().push(scope.replace("%3A", ":"));
    let (status, _, cookie, page) = visit(&url, "", None).await;
    assert_eq!(status, "200", "{page}");
    let after = |text: &str| {
        let rest = page.split_once(text).unwrap().1;
        rest.split('"').next().unwrap().replace("&amp;", "&")
    };
    let (ticket, action) = (after("name=\"ticket\" value=\""), after("action=\""));
    assert!(page.contains("Notes on the desk"), "{page}");
    let decision = if allows { "allow" } else { "deny" };
    let form = format!("ticket={ticket}&name=ada&password={PASSWORD}&decision={decision}");
    let cookie_value = cookie.split_once('=').map(|(_, value)| value.to_owned());
    seen.lock().unwrap().extend(cookie_value.into_iter().chain([ticket.clone()]));
    let origin = url.split('/').take(3).collect::<Vec<_>>().join("/");
    let action = if action.starts_with('/') { format!("{origin}{action}") } else { action };
    let (_, back, _, page) = visit(&action, &cookie, Some(&form)).await;
    assert!(back.starts_with("http://127.0.0.1:"), "{page}");
    let secret = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        ["code", "state"].contains(&name).then(|| value.to_owned())
    };
    seen.lock().unwrap().extend(back.split(['?', '&']).filter_map(secret));
    visit(&back, "", None).await;
}

async fn names(client: &Client<HttpConnection>) -> Result<Vec<String>, String> {
    let tools = client.all_tools().await.map_err(|error| error.to_string())?;
    Ok(tools.iter().map(|tool| tool.name.to_string()).collect())
}

#[tokio::test]
async fn a_user_logs_in_once_and_again_for_more() {
    let world = World::start(|_| {}).await;
    let store: Arc<dyn TokenStore> = Arc::new(MemoryTokens::new());
    let (client, connection) = world.connect(world.user().store(store.clone()));
    assert_eq!(names(&client).await.unwrap(), ["read_note"], "what may be called is listed");
    assert_eq!(world.asked().len(), 1);
    let written = client.call_tool("write_note", &serde_json::json!({"text": "eggs"})).await;
    assert!(format!("{:?}", written.unwrap()).contains("written: eggs"));
    let asked = world.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    for scope in ["notes:read", "notes:write"] {
        assert!(asked[1].contains(scope), "{asked:?}");
    }
    assert_eq!(names(&client).await.unwrap(), ["read_note", "write_note"]);
    connection.close().await;

    // Another run, when the token has ended: nobody is asked.
    world.ahead.store(700, Ordering::Relaxed);
    let (client, connection) = world.connect(world.user().store(store));
    assert_eq!(names(&client).await.unwrap(), ["read_note", "write_note"]);
    assert_eq!(world.asked().len(), 2);
    connection.close().await;
}

#[tokio::test]
async fn a_user_who_says_no() {
    let mut world = World::start(|_| {}).await;
    world.refuses = true;
    let (client, connection) = world.connect(world.user());
    let refused = names(&client).await.unwrap_err();
    assert!(refused.contains("access_denied"), "{refused:?}");
    assert_eq!(world.asked().len(), 1);
    connection.close().await;
}

#[tokio::test]
async fn a_program_acts_for_itself() {
    let world = World::start(|_| {}).await;
    let known = RegisteredClient::with_secret(&world.issuer, "report", SECRET);
    let service = OAuthClient::service(&world.server, known);
    let (client, connection) = world.connect(service);
    assert_eq!(names(&client).await.unwrap(), ["read_note"]);
    connection.close().await;
    let wrong = RegisteredClient::with_secret(&world.issuer, "report", "another-secret-of-16");
    let (client, connection) = world.connect(OAuthClient::service(&world.server, wrong));
    let refused = names(&client).await.unwrap_err();
    assert!(refused.contains("invalid_client"), "{refused:?}");
    connection.close().await;
}

#[tokio::test]
async fn many_calls_at_once_ask_once() {
    let world = World::start(|_| {}).await;
    let (client, connection) = world.connect(world.user());
    let served = AtomicUsize::new(0);
    let one = async || {
        let note = client.call_tool("read_note", &serde_json::json!({})).await.unwrap();
        assert!(format!("{note:?}").contains("buy milk"));
        served.fetch_add(1, Ordering::Relaxed);
    };
    tokio::join!(one(), one(), one(), one(), one(), one());
    assert_eq!((served.into_inner(), world.asked().len()), (6, 1));
    connection.close().await;
}

/// A log-out takes the login back at the issuer too.
#[tokio::test]
async fn a_log_out_ends_it_everywhere() {
    let world = World::start(|_| {}).await;
    let store: Arc<dyn TokenStore> = Arc::new(MemoryTokens::new());
    // A proof of a clock that is ahead would not hold.
    let user = || world.user().store(store.clone()).dpop(DpopUse::Never);
    let (client, connection) = world.connect(user());
    names(&client).await.unwrap();
    let name = format!("tokens {}", world.server);
    let kept = store.get(&name).await.unwrap().unwrap();
    user().build().unwrap().log_out().await.unwrap();
    assert!(store.get(&name).await.unwrap().is_none());
    connection.close().await;
    // Whoever copied it before cannot renew it; what is signed holds until its own end.
    store.put(&name, kept).await.unwrap();
    let later = user().clock(Clock::new(|| now().plus(700)));
    let (client, connection) = world.connect(later);
    names(&client).await.unwrap();
    let kept = store.get(&name).await.unwrap().unwrap();
    assert!(kept.expose().contains(r#""refresh":null"#));
    connection.close().await;
}

/// A server may say in the protocol's own form that it wants a login. That is no answer to what was
/// asked, and no sign of an older server that could be asked otherwise.
#[tokio::test]
async fn a_refusal_is_told_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let answer = async || {
        let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"log in"}}"#;
        let form = [("content-type", "application/json"), ("www-authenticate", "Bearer")];
        (axum::http::StatusCode::UNAUTHORIZED, form, error)
    };
    let app = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let info = Implementation::new("test", "1.0.0");
    let connection = connect_http_with(&url, HttpConnectOptions::new(info)).unwrap();
    let asking = names(&Client::new(connection.clone())).await;
    assert!(asking.unwrap_err().contains("401"));
    connection.close().await;
}
