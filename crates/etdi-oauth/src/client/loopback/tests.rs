//! One answer, and nothing that another page can do about it.

use std::sync::Mutex;
use std::time::Instant;

use super::*;
use crate::ServerMetadata;
use crate::flow::{AuthorizationRequest, RegisteredClient};

fn request(uri: &str) -> AuthorizationRequest {
    let server = ServerMetadata {
        authorization_endpoint: Some("https://auth.example/authorize".to_owned()),
        code_challenge_methods_supported: Some(vec!["S256".to_owned()]),
        ..ServerMetadata::default()
    };
    let client = RegisteredClient::public("https://auth.example", "us");
    AuthorizationRequest::new(&server, &client, uri, "https://mcp.example", &[]).unwrap()
}

fn state(request: &AuthorizationRequest) -> String {
    let url = Url::parse(request.url().as_str()).unwrap();
    url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned()
}

/// Sends raw bytes and gives all that comes back.
async fn send(host: &str, text: &str) -> String {
    let mut stream = TcpStream::connect(host).await.unwrap();
    _ = stream.write_all(text.as_bytes()).await;
    let mut answer = Vec::new();
    _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

fn get(host: &str, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[tokio::test]
async fn strangers_do_not_end_the_login() {
    let shown = Arc::new(Mutex::new(Vec::new()));
    let told = shown.clone();
    let loopback = Loopback::new(move |url| {
        told.lock().unwrap().push(url.as_str().to_owned());
        Ok(())
    });
    let redirection = loopback.prepare(&[]).await.unwrap();
    let uri = redirection.uri().to_owned();
    assert!(uri.starts_with("http://127.0.0.1:") && uri.ends_with("/callback"));
    let host = uri["http://".len()..].strip_suffix("/callback").unwrap().to_owned();
    let request = request(&uri);
    let state = state(&request);
    let knocking = async {
        // Somebody who connects and says nothing takes no one's place.
        let silent = TcpStream::connect(&*host).await.unwrap();
        for (text, status) in [
            (get(&host, "/"), "404"),
            (get(&host, "/callback"), "404"),
            (get(&host, &format!("/other?code=a&state={state}")), "404"),
            (get(&host, "/callback?code=stolen&state=guess"), "400"),
            (get(&host, "/callback?code=stolen"), "400"),
            (get("evil.example", &format!("/callback?code=a&state={state}")), "404"),
            (get("localhost", &format!("/callback?code=a&state={state}")), "404"),
            (get(&host, &format!("/callback?code=a&state={state}")).replace("GET", "POST"), "404"),
            (format!("GET /callback?code=a&state={state} HTTP/1.1\r\n\r\n"), "404"),
            (
                format!(
                    "GET /callback?code=a&state={state} HTTP/1.1\r\nHost: {host}\r\n\
                     Host: evil.example\r\n\r\n"
                ),
                "404",
            ),
        ] {
            let answer = send(&host, &text).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{text}\n{answer}");
        }
        assert_eq!(send(&host, &"x".repeat(40_000)).await, "", "a head without an end");
        let page = send(&host, &get(&host, &format!("/callback?code=fine&state={state}"))).await;
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        assert!(!page.contains("fine") && !page.contains(&state), "{page}");
        for header in ["content-security-policy: default-src 'none'", "no-store", "no-referrer"] {
            assert!(page.contains(header), "{header}");
        }
        drop(silent);
    };
    let waiting = redirection.answer(request.url());
    let (answer, ()) = tokio::join!(waiting, knocking);
    assert_eq!(request.code(&answer.unwrap()).unwrap().expose(), "fine");
    assert_eq!(shown.lock().unwrap().len(), 1);
    assert!(TcpStream::connect(&*host).await.is_err(), "nothing listens any more");
}

#[tokio::test]
async fn nobody_answers() {
    let loopback = Loopback::new(|_| Ok(())).patience(Duration::from_millis(50));
    let redirection = loopback.prepare(&[]).await.unwrap();
    let request = request(redirection.uri());
    let started = Instant::now();
    assert_eq!(redirection.answer(request.url()).await, Err(InteractionError::Late));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_known_port_is_taken_again() {
    let loopback = Loopback::new(|_| Ok(()));
    let first = loopback.prepare(&[]).await.unwrap();
    let uri = first.uri().to_owned();
    let foreign = ["https://app.example/callback".to_owned(), "http://10.0.0.1:80/callback".into()];
    let busy = loopback.prepare(&[foreign[0].clone(), foreign[1].clone(), uri.clone()]).await;
    assert_ne!(busy.unwrap().uri(), uri, "it is in use");
    drop(first);
    assert_eq!(loopback.prepare(std::slice::from_ref(&uri)).await.unwrap().uri(), uri);
}

#[tokio::test]
async fn a_registered_uri_is_listened_for() {
    for uri in [
        "https://127.0.0.1/callback",
        "http://app.example/callback",
        "http://[::1]/callback",
        "http://127.0.0.1/callback?x",
        "http://0.0.0.0/callback",
        "callback",
    ] {
        assert!(Loopback::new(|_| Ok(())).redirect_uri(uri).is_err(), "{uri}");
    }
    let any = Loopback::new(|_| Ok(())).redirect_uri("http://localhost/signed-in").unwrap();
    let redirection = any.prepare(&[]).await.unwrap();
    let uri = redirection.uri().to_owned();
    let host = uri.strip_prefix("http://").unwrap().strip_suffix("/signed-in").unwrap().to_owned();
    assert!(host.starts_with("localhost:"), "{host}");
    let request = request(&uri);
    let state = state(&request);
    let answer =
        async { send(&host, &get(&host, &format!("/signed-in?code=a&state={state}"))).await };
    let (query, page) = tokio::join!(redirection.answer(request.url()), answer);
    assert!(query.is_ok() && page.starts_with("HTTP/1.1 200"));

    // Nobody else may answer at the other address of the name.
    let Ok(other) = TcpListener::bind("[::1]:0").await else { return };
    let port = other.local_addr().unwrap().port();
    let taken = Loopback::new(|_| Ok(())).redirect_uri(&format!("http://localhost:{port}/"));
    assert!(taken.unwrap().prepare(&[]).await.is_err());
}
