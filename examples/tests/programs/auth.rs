//! `simple_auth`: three roles as one program and as three, and a user who is asked once.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use etdi_core::time::UnixTime;
use etdi_oauth::SecretText;
use etdi_oauth::embedded::{
    AuthorizationRoutes, AuthorizationServer, Client, GrantType, Settings, check_server,
};

use super::served::Served;

#[path = "../../examples/simple_auth/own.rs"]
mod own;
#[path = "../../examples/simple_auth/page.rs"]
mod page;
#[path = "../../examples/simple_auth/user.rs"]
mod user;

use user::{Typed, browse};

fn typed(password: &str) -> Typed {
    Typed { name: "demo_user".to_owned(), password: password.to_owned() }
}

/// Runs the client, and logs in where it wants that. Gives what it printed, and whether it did.
async fn client(url: &str, folder: &std::path::Path, password: &str) -> (String, bool) {
    let mut child = Command::new(super::example("simple_auth"))
        .args(["client", url, &folder.to_string_lossy(), "show"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let asked = line.strip_prefix("log in: ").map(|page| page.trim().to_owned());
    if let Some(page) = &asked
        && let Err(error) = browse(page.clone(), typed(password)).await
    {
        child.kill().unwrap();
        child.wait().unwrap();
        return (error.to_string(), true);
    }
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{line}");
    (said, asked.is_some())
}

/// Logs in once, and is known the next time.
async fn twice(url: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (refused, asked) = client(url, folder.path(), "wrong").await;
    assert!(asked && refused.contains("the login was not taken"), "{refused}");
    for first in [true, false] {
        let (said, asked) = client(url, folder.path(), "demo_password").await;
        assert_eq!(asked, first, "{said}");
        assert!(said.trim().ends_with(" for demo_user"), "{said}");
    }
}

#[tokio::test]
async fn both_servers_as_one_program() {
    let served = Served::start("simple_auth", &["serve", "127.0.0.1:0"]);
    twice(&served.url).await;
    let bare = served.raw("POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(bare.starts_with("HTTP/1.1 401"), "{bare}");
}

#[tokio::test]
async fn three_programs() {
    let secret = [("RESOURCE_SERVER_SECRET", "a-secret-of-both-of-them")];
    // A port that is free for the server that the other one has to know before.
    let place = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let resource = format!("http://{place}/mcp");
    let words = ["authorization-server", "127.0.0.1:0", &resource];
    let issuer = Served::start_with("simple_auth", &words, &secret);
    let words = ["resource-server", &place, &issuer.url];
    let served = Served::start_with("simple_auth", &words, &secret);
    assert_eq!(served.url, resource);
    twice(&served.url).await;
}

#[test]
fn all_against_each_other() {
    let (code, stdout, stderr) = super::run("simple_auth", &["all"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(stdout.matches(" for demo_user").count(), 2, "{stdout}");
}

/// What its author promises by implementing the trait.
#[tokio::test]
async fn an_authorization_server_of_ones_own_keeps_the_contract() {
    let now = UnixTime(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs());
    let back = "http://127.0.0.1/callback";
    let mut known = Client::public("app", [back]).unwrap();
    known.grants = vec![GrantType::AuthorizationCode, GrantType::RefreshToken];
    let own = own::OwnServer::new("ada".to_owned(), SecretText::new("pass")).client(known);
    let own = Arc::new(own);
    let issuer = "http://127.0.0.1:9000";
    let settings = Settings::new(issuer, ["http://127.0.0.1:8000/mcp"]).unwrap();
    let routes = AuthorizationRoutes::new(own.clone(), settings).unwrap();
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)], body: String| {
        let mut request =
            Request::builder().method(method).uri(path).header("host", "127.0.0.1:9000");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, body) = routes.serve(request.body(Body::from(body)).unwrap()).await.into_parts();
        let body = to_bytes(Body::new(body), 1 << 20).await.unwrap();
        let header = |name: &str| {
            head.headers
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
                .unwrap_or_default()
        };
        (
            head.status,
            header("set-cookie"),
            header("location"),
            String::from_utf8(body.to_vec()).unwrap(),
        )
    };
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let path = format!(
        "/authorize?response_type=code&client_id=app&code_challenge={challenge}&code_challenge_method=S256"
    );
    let answer = async |decision: &'static str, other_browser: bool| {
        let (status, cookie, _, page) = ask("GET", &path, &[], String::new()).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let ticket =
            page.split("name=\"ticket\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        let cookie =
            if other_browser { "etdi-consent=AAAA" } else { cookie.split(';').next().unwrap() };
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("cookie", cookie),
            ("origin", issuer),
        ];
        let form = format!("ticket={ticket}&name=ada&password=pass&decision={decision}");
        let first = ask("POST", &path, &headers, form.clone()).await;
        let again = ask("POST", &path, &headers, form).await;
        assert_eq!(again.0, StatusCode::BAD_REQUEST, "a page is answered once");
        first
    };
    assert_eq!(answer("allow", true).await.0, StatusCode::BAD_REQUEST, "of another browser");
    assert!(answer("deny", false).await.2.contains("error=access_denied"));
    let (status, _, location, page) = answer("allow", false).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
    let code = location.split("code=").nth(1).unwrap().split('&').next().unwrap();
    assert_eq!(check_server(&*own as &dyn AuthorizationServer, code, now).await, Ok(()));
}
