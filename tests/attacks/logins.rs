//! T23, T28, T29: a login whose code, secret or page ends up where it should not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use etdi_oauth::{
    AskWith, AuthorizationRequest, AuthorizationUrl, Interaction, InteractionError, Loopback,
    OAuthClient, OAuthError, RegisteredClient, ServerMetadata, open_browser,
};
use mcp_transport::http::{HttpConnectOptions, connect_http_with};
use mcp_types::{ClientRequest, Exchange, Implementation, PaginatedRequestParams};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service;

const CALLBACK: &str = "http://127.0.0.1:1/callback";

/// A server, an honest issuer and one that belongs to somebody else, all at one port.
struct World {
    base: String,
    /// Which issuer the server names.
    names: &'static str,
    /// What each endpoint got.
    got: Mutex<BTreeMap<String, String>>,
}

impl World {
    async fn start(names: &'static str) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let world = Arc::new(Self { base, names, got: Mutex::default() });
        let seen = world.clone();
        let answer = move |uri: Uri, headers: HeaderMap, body: String| async move {
            seen.answer(&uri, &headers, body)
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        world
    }

    fn got(&self, path: &str) -> String {
        self.got.lock().unwrap().get(path).cloned().unwrap_or_default()
    }

    fn answer(&self, uri: &Uri, headers: &HeaderMap, body: String) -> Response {
        let (base, path) = (&self.base, uri.path());
        let header = headers.get("authorization").and_then(|one| one.to_str().ok());
        let got = format!("{} {body}", header.unwrap_or_default());
        self.got.lock().unwrap().insert(path.to_owned(), got);
        let metadata = |name: &str, authorize: &str| {
            json!({
                "issuer": format!("{base}/{name}"),
                "authorization_endpoint": format!("{base}/{authorize}/authorize"),
                "token_endpoint": format!("{base}/{name}/token"),
                "registration_endpoint": format!("{base}/{name}/register"),
                "code_challenge_methods_supported": ["S256"],
            })
        };
        let found: Value = match path {
            "/mcp" if header.is_some() => return StatusCode::FORBIDDEN.into_response(),
            "/mcp" => {
                let wants = [("www-authenticate", "Bearer")];
                return (StatusCode::UNAUTHORIZED, wants).into_response();
            }
            "/.well-known/oauth-protected-resource/mcp" => json!({
                "resource": format!("{base}/mcp"),
                "authorization_servers": [format!("{base}/{}", self.names)],
            }),
            "/.well-known/oauth-authorization-server/honest" => metadata("honest", "honest"),
            // The user logs in with the honest one, whose page is the real one.
            "/.well-known/oauth-authorization-server/evil" => metadata("evil", "honest"),
            "/honest/register" | "/evil/register" => {
                return (StatusCode::CREATED, r#"{"client_id":"ours"}"#).into_response();
            }
            "/honest/authorize" => {
                let state = parameter(uri.query().unwrap(), "state");
                let iss = format!("{base}/honest").replace(':', "%3A").replace('/', "%2F");
                let to = format!("{CALLBACK}?code=the-users-code&state={state}&iss={iss}");
                return (StatusCode::FOUND, [("location", to)]).into_response();
            }
            "/honest/token" | "/evil/token" => {
                json!({"access_token": "a-token", "token_type": "Bearer"})
            }
            _ => return StatusCode::NOT_FOUND.into_response(),
        };
        found.to_string().into_response()
    }

    /// What a client does that reads the metadata and checks nothing of it.
    async fn naive(&self, form: impl FnOnce(String) -> String) {
        let read = async |path: &str| -> Value {
            serde_json::from_str(&send(&format!("{}{path}", self.base), "").await.1).unwrap()
        };
        let resource = read("/.well-known/oauth-protected-resource/mcp").await;
        let issuer = resource["authorization_servers"][0].as_str().unwrap();
        let path = &issuer[self.base.len()..];
        let server = read(&format!("/.well-known/oauth-authorization-server{path}")).await;
        let page = format!("{}?state=x", server["authorization_endpoint"].as_str().unwrap());
        let answer = send(&page, "").await.0;
        let code = parameter(answer.split_once('?').unwrap().1, "code");
        send(server["token_endpoint"].as_str().unwrap(), &form(code)).await;
    }

    /// One request of ours to the server.
    async fn ask(&self, oauth: OAuthClient) -> Result<(), mcp_types::ErrorObject> {
        let mut options = HttpConnectOptions::new(Implementation::new("test", "1.0.0"));
        options.authorize = Some(Arc::new(oauth));
        let mut connection = connect_http_with(&format!("{}/mcp", self.base), options).unwrap();
        let request = ClientRequest::ListTools(PaginatedRequestParams::new());
        let answer = connection.call(Exchange::new(request)).await.map(drop);
        connection.close().await;
        answer
    }
}

fn parameter(query: &str, name: &str) -> String {
    let pair = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    pair.unwrap().trim().to_owned()
}

/// Sends a form, or nothing by GET; gives where it is redirected to, and the body.
async fn send(url: &str, form: &str) -> (String, String) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let method = if form.is_empty() { "GET" } else { "POST" };
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let location = head.lines().find_map(|line| line.strip_prefix("location: "));
    (location.unwrap_or_default().to_owned(), body.to_owned())
}

/// A user who says yes to the page that the honest issuer shows.
async fn says_yes(url: AuthorizationUrl) -> Result<String, InteractionError> {
    Ok(send(url.as_str(), "").await.0)
}

fn user(world: &World) -> OAuthClient {
    let ask = AskWith::new(CALLBACK, says_yes);
    OAuthClient::interactive(format!("{}/mcp", world.base), ask).build().unwrap()
}

/// A server names an issuer of its own that shows the page of an honest one: the user logs in
/// there, and the code is sent to whoever can use it (RFC 9207).
#[tokio::test]
async fn a_code_goes_back_to_who_gave_it() {
    let world = World::start("evil").await;
    world.naive(|code| format!("grant_type=authorization_code&code={code}")).await;
    assert!(world.got("/evil/token").contains("the-users-code"), "no attack");

    let world = World::start("evil").await;
    let refused = world.ask(user(&world)).await.unwrap_err();
    assert!(refused.message.contains("does not come from"), "{refused:?}");
    assert_ne!(world.got("/honest/authorize"), "", "it got as far as the page");
    assert_eq!(world.got("/evil/token"), "");

    let world = World::start("honest").await;
    let served = world.ask(user(&world)).await.unwrap_err();
    assert!(served.message.contains("403"), "the token was shown: {served:?}");
    assert!(world.got("/honest/token").contains("the-users-code"));
    assert!(world.got("/mcp").starts_with("Bearer a-token"));
}

/// A server names an issuer of its own to which a service shows its secret.
#[tokio::test]
async fn a_secret_is_shown_to_its_issuer_alone() {
    let world = World::start("evil").await;
    let form = "grant_type=client_credentials&client_id=us&client_secret=our-secret";
    world.naive(|_| form.to_owned()).await;
    assert!(world.got("/evil/token").contains("our-secret"), "no attack");

    let world = World::start("evil").await;
    let client =
        RegisteredClient::with_secret(format!("{}/honest", world.base), "us", "our-secret");
    let service = OAuthClient::service(format!("{}/mcp", world.base), client).build().unwrap();
    let refused = world.ask(service).await.unwrap_err();
    assert!(refused.message.contains("registered"), "{refused:?}");
    assert_eq!(world.got("/evil/token"), "");
}

/// Another page in the browser calls the port where a login is waited for, with a code of its own:
/// whoever believes it works in the account of somebody else from then on.
#[tokio::test]
async fn a_page_cannot_answer_for_the_user() {
    let injected = async |callback: &str| {
        // Its status is nobody's business.
        send(&format!("{callback}?code=the-attackers-code&state=guess"), "").await;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let callback = format!("http://{}/callback", listener.local_addr().unwrap());
    let naive = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 1_024];
        let read = stream.read(&mut head).await.unwrap();
        String::from_utf8_lossy(&head[..read]).into_owned()
    };
    let (head, ()) = tokio::join!(naive, injected(&callback));
    assert!(head.contains("the-attackers-code"), "no attack");

    let redirection = Loopback::new(|_| Ok(())).prepare(&[]).await.unwrap();
    let callback = redirection.uri().to_owned();
    let server = metadata("https://auth.example/authorize");
    let request =
        AuthorizationRequest::new(&server, &us(), &callback, "https://mcp.example", &[]).unwrap();
    let state = parameter(request.url().as_str(), "state");
    let user = async {
        injected(&callback).await;
        send(&format!("{callback}?code=the-users-code&state={state}"), "").await;
    };
    let (answer, ()) = tokio::join!(redirection.answer(request.url()), user);
    assert_eq!(request.code(&answer.unwrap()).unwrap().expose(), "the-users-code");
}

fn us() -> RegisteredClient {
    RegisteredClient::public("https://auth.example", "us")
}

fn metadata(endpoint: &str) -> ServerMetadata {
    let text = json!({
        "issuer": "https://auth.example",
        "authorization_endpoint": endpoint,
        "code_challenge_methods_supported": ["S256"],
    });
    serde_json::from_value(text).unwrap()
}

/// The page at which a user logs in is a command to whoever opens it with a shell, and a program to
/// whoever opens it with whatever its scheme says (CVE-2025-6514).
#[tokio::test]
async fn a_page_is_not_a_program() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("pwned");
    let endpoint = format!("https://auth.example/$(touch${{IFS}}{})", mark.display());
    let naive = format!(": \"{endpoint}\"");
    std::process::Command::new("sh").args(["-c", &naive]).status().unwrap();
    assert!(mark.exists(), "no attack");
    std::fs::remove_file(&mark).unwrap();

    let request = |endpoint: &str| {
        let server = metadata(endpoint);
        AuthorizationRequest::new(&server, &us(), CALLBACK, "https://mcp.example", &[])
    };
    let opened = open_browser(request(&endpoint).unwrap().url());
    assert!(matches!(opened, Err(InteractionError::Unavailable(_))), "{opened:?}");
    assert!(!mark.exists());
    for endpoint in ["javascript:alert(1)", "file:///bin/sh", "ms-msdt:/id", "data:text/html,x"] {
        let refused = request(endpoint);
        assert!(matches!(refused, Err(OAuthError::Endpoint { .. })), "{endpoint}: {refused:?}");
    }
}
