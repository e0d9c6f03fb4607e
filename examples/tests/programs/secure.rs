//! Programs that let in whoever shows a key or a token. The issuers are played here, with the paths
//! and claims that the vendors document.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::key::{Algorithm, SigningKey};
use mcp_client::types::Implementation;
use mcp_client::{Client, Error, text_of};
use mcp_transport::Era;
use mcp_transport::http::{HttpConnection, http_status};
use serde_json::{Value, json};

use super::served::{Served, client_with};

const AUDIENCE: &str = "https://notes.example";
const TENANT: &str = "aaaabbbb-0000-cccc-1111-dddd2222eeee";
const APPLICATION: &str = "00001111-aaaa-2222-bbbb-3333cccc4444";

/// An issuer on this machine, which serves its keys under a path.
pub(super) struct Issuer {
    pub(super) origin: String,
    key: SigningKey,
}

impl Issuer {
    pub(super) async fn start(path: &str) -> Self {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let keys = format!(r#"{{"keys":[{}]}}"#, key.verifying_key().to_jwk());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route(path, get(move || async move { keys }));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { origin, key }
    }

    fn token(&self, mut claims: Value) -> String {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        (claims["iat"], claims["exp"]) = (json!(now), json!(now + 600));
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": self.key.id().to_string() });
        let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// As Auth0 gives one to a machine.
    pub(super) fn of_auth0(&self, scope: &str) -> String {
        self.token(json!({
            "iss": format!("{}/", self.origin), "sub": "2TZsZ@clients", "aud": AUDIENCE,
            "azp": "2TZsZ", "gty": "client-credentials", "scope": scope,
        }))
    }
}

pub(super) fn with(
    url: &str,
    era: Era,
    header: &'static str,
    value: &str,
) -> Client<HttpConnection> {
    client_with(url, |options| {
        options.config.era = Some(era);
        options.config.client_info = Implementation::new("test", "1.0.0");
        options.headers.insert(header, value.parse().unwrap());
    })
}

async fn echo(client: &Client<HttpConnection>) -> String {
    text_of(&client.call_tool("secure_echo", &json!({ "message": "hi" })).await.unwrap())
}

/// The status with which a call of a tool is refused.
async fn refused(client: &Client<HttpConnection>, tool: &str) -> Option<i64> {
    let arguments = json!({ "message": "hi", "a": 2, "b": 3 });
    match client.call_tool(tool, &arguments).await.unwrap_err() {
        Error::Service(error) => Some(error.code),
        Error::Connection(error) => http_status(&error).map(i64::from),
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn an_api_key() {
    let mut served = Served::start("secure_echo", &["api-key", "127.0.0.1:0"]);
    let key = served.next_line().replace("X-API-Key: ", "");
    for era in [Era::Modern, Era::Legacy] {
        let known = with(&served.url, era, "x-api-key", &key);
        assert_eq!(echo(&known).await, "Echo: hi (for first)");
        let wrong = with(&served.url, era, "x-api-key", "mcpk_wrong");
        assert_eq!(refused(&wrong, "secure_echo").await, Some(401));
    }
    let own = "a-key-of-the-environment-that-nobody-guesses";
    let served =
        Served::start_with("secure_echo", &["api-key", "127.0.0.1:0"], &[("API_KEY", own)]);
    let known = with(&served.url, Era::Modern, "x-api-key", own);
    assert_eq!(echo(&known).await, "Echo: hi (for environment)");
    assert!(!known.all_tools().await.unwrap().iter().any(|tool| tool.name == "forget_all"));
    assert_eq!(refused(&known, "forget_all").await, Some(403));
}

#[tokio::test]
async fn a_token_of_auth0() {
    let issuer = Issuer::start("/.well-known/jwks.json").await;
    let served = Served::start_with(
        "secure_echo",
        &["auth0", "127.0.0.1:0"],
        &[("AUTH0_DOMAIN", &issuer.origin), ("API_AUDIENCE", AUDIENCE)],
    );
    let metadata = served.raw(
        "GET /.well-known/oauth-protected-resource/mcp HTTP/1.1\r\nHost: localhost\r\n\
         Connection: close\r\n\r\n",
    );
    assert!(metadata.contains(&format!(r#""authorization_servers":["{}/"]"#, issuer.origin)));
    let bearer = format!("Bearer {}", issuer.of_auth0("echo:admin"));
    for era in [Era::Modern, Era::Legacy] {
        let known = with(&served.url, era, "authorization", &bearer);
        assert_eq!(echo(&known).await, "Echo: hi (for 2TZsZ@clients)");
        assert!(known.call_tool("forget_all", &json!({})).await.is_ok());
    }
    let call = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let told = served.raw(call);
    let place = served.at("/.well-known/oauth-protected-resource/mcp");
    assert!(told.starts_with("HTTP/1.1 401") && told.contains(&place), "{told}");
}

#[tokio::test]
async fn a_token_of_entra() {
    let issuer = Issuer::start(&format!("/{TENANT}/discovery/v2.0/keys")).await;
    let served = Served::start_with(
        "secure_echo",
        &["entra", "127.0.0.1:0"],
        &[("AZURE_AUTHORITY", &issuer.origin)],
    );
    let claims = |scope: &str| {
        json!({
            "iss": format!("{}/{TENANT}/v2.0", issuer.origin), "aud": APPLICATION, "azp": "a-client",
            "sub": "HKZpfaHyWadeOouYlitjrI", "tid": TENANT, "ver": "2.0", "scp": scope,
            "preferred_username": "ada@a.example",
        })
    };
    let bearer = |scope| format!("Bearer {}", issuer.token(claims(scope)));
    let known = with(&served.url, Era::Modern, "authorization", &bearer("user_impersonation"));
    assert_eq!(echo(&known).await, "Echo: hi (for ada@a.example)");
    let other = with(&served.url, Era::Modern, "authorization", &bearer("User.Read"));
    assert_eq!(refused(&other, "secure_echo").await, Some(403));
}

/// The programs of the users' documents, each with its clients: who gets in says so, who does not is
/// told why, and a second run asks nobody.
#[test]
fn demos() {
    for (by, lines) in [
        ("api-key", &["with the key:       Echo: Hello, OAuth! (for first)"][..]),
        (
            "auth0",
            &[
                "a person signs in:  Echo: Hello, OAuth! (for auth0|6605e3a2b7c8d9)",
                "the second run:     Echo: Hello, OAuth! (for auth0|6605e3a2b7c8d9)",
                "an application:     Echo: Hello, OAuth! (for 2TZsZnUkkEWGcDAAyBp9rQ7Tk7yQ8j2x@clients)",
            ],
        ),
        (
            "entra",
            &[
                "a person signs in:  Echo: Hello, OAuth! (for ada@contoso.example)",
                "the second run:     Echo: Hello, OAuth! (for ada@contoso.example)",
                "by a secret:        Echo: Hello, OAuth! (for bbbbbbbb-1111-2222-3333-cccccccccccc)",
                "by a certificate:   Echo: Hello, OAuth! (for bbbbbbbb-1111-2222-3333-cccccccccccc)",
            ],
        ),
    ] {
        let (code, stdout, stderr) = super::run("secure_echo", &["demo", by]);
        assert_eq!(code, Some(0), "{by}: {stdout}{stderr}");
        for line in lines {
            assert!(stdout.lines().any(|found| found == *line), "{line} in {stdout}");
        }
        let refused = stdout.lines().filter(|line| line.contains("refused: ")).count();
        assert_eq!(refused, if by == "entra" { 2 } else { 1 }, "{stdout}");
    }
}

/// Each run is a process of its own: the first has a person who pastes where the login page led, the
/// second nobody.
#[test]
fn a_person_signs_in_once_for_many_runs() {
    let folder = tempfile::tempdir().unwrap();
    let program = || std::process::Command::new(super::example("secure_echo"));
    let mut played =
        Ended(program().args(["stand-in", "entra"]).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(played.0.stdout.take().unwrap()).lines();
    let settings: Vec<(String, String)> = (0..4)
        .map(|_| lines.next().unwrap().unwrap())
        .map(|line| line.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap())
        .collect();
    let borrowed: Vec<(&str, &str)> = settings.iter().map(|(a, b)| (&**a, &**b)).collect();
    let served = Served::start_with("secure_echo", &["entra", "127.0.0.1:0"], &borrowed);
    let start = || {
        let mut command = program();
        command.args(["call", "entra", &served.url]).env("NO_BROWSER", "1").envs(borrowed.clone());
        command.env("TOKENS", folder.path().join("tokens"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut first = start();
    let mut asks = BufReader::new(first.stderr.take().unwrap()).lines().map(Result::unwrap);
    let page = asks.find(|line| line.trim().starts_with("http://")).unwrap();
    // What a browser would show in its address bar.
    let (authority, path) = page.trim().trim_start_matches("http://").split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(authority).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")
        .unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    let led = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    assert!(led.starts_with("http://localhost/?code="), "{led}");
    writeln!(first.stdin.take().unwrap(), "{led}").unwrap();
    let said = first.wait_with_output().unwrap();
    assert_eq!(said.stdout, b"Echo: Hello, OAuth! (for ada@contoso.example)\n");

    let mut second = start();
    drop(second.stdin.take());
    let said = second.wait_with_output().unwrap();
    assert_eq!(said.stdout, b"Echo: Hello, OAuth! (for ada@contoso.example)\n");
    assert_eq!(said.stderr, b"", "nobody is asked");
}

/// A process that ends with the value.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn secure_calculator() {
    let issuer = Issuer::start("/.well-known/jwks.json").await;
    let served = Served::start_with(
        "secure_calculator",
        &["127.0.0.1:0"],
        &[("AUTH0_DOMAIN", &issuer.origin), ("API_AUDIENCE", AUDIENCE)],
    );
    let plain = format!("Bearer {}", issuer.of_auth0(""));
    let plain = with(&served.url, Era::Modern, "authorization", &plain);
    let tools = plain.all_tools().await.unwrap();
    assert_eq!(tools.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ["add"]);
    let block = tools[0].meta.as_ref().and_then(|meta| meta.get("dev.etdi/etdi")).unwrap();
    assert!(block.get().contains("attestations"), "it is signed: {block}");
    assert_eq!(plain.call::<_, f64>("add", &json!({ "a": 2, "b": 3 })).await.unwrap(), 5.0);
    assert_eq!(refused(&plain, "multiply").await, Some(403));

    let more = format!("Bearer {}", issuer.of_auth0("tools:execute"));
    let more = with(&served.url, Era::Modern, "authorization", &more);
    assert_eq!(more.all_tools().await.unwrap().len(), 2);
    assert_eq!(more.call::<_, f64>("multiply", &json!({ "a": 2, "b": 3 })).await.unwrap(), 6.0);
}
