//! Against servers on this computer: rebinding, redirects, bounds, TLS.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Answers every connection with the next of these texts, and counts connections.
struct Server {
    port: u16,
    met: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn serve(answers: Vec<String>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (met, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let server = Server { port, met: met.clone(), asked: asked.clone() };
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            met.fetch_add(1, Ordering::SeqCst);
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read_exact(&mut byte).await.is_err() {
                    break;
                }
                head.push(byte[0]);
            }
            asked.lock().unwrap().push(String::from_utf8(head).unwrap());
            _ = stream.write_all(answer.as_bytes()).await;
            if answer.is_empty() {
                // Silence, until the other side gives up.
                _ = stream.read_u8().await;
            }
        }
    });
    server
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\netag: \"1\"\r\n\r\n{body}", body.len())
}

fn redirect(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
}

/// Gives one answer after the other, the last for ever.
struct Rebinding {
    answers: Vec<Vec<&'static str>>,
    asked: AtomicUsize,
}

impl Resolve for Arc<Rebinding> {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, String>> {
        let at = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
        let answer = self.answers[at].iter().map(|text| text.parse().unwrap()).collect();
        Box::pin(std::future::ready(Ok(answer)))
    }
}

fn rebinding(answers: &[&[&'static str]]) -> Arc<Rebinding> {
    let answers = answers.iter().map(|one| one.to_vec()).collect();
    Arc::new(Rebinding { answers, asked: AtomicUsize::new(0) })
}

fn open() -> Rules {
    Rules { loopback: true, timeout: Duration::from_secs(5), ..Rules::default() }
}

async fn get(fetch: &GuardedFetch, url: String) -> Result<FetchResponse, FetchError> {
    fetch.fetch(FetchRequest::get(url)).await
}

fn is_forbidden(result: &Result<FetchResponse, FetchError>) -> bool {
    matches!(result, Err(FetchError::Forbidden { .. }))
}

#[tokio::test]
async fn a_plain_answer() {
    let server = serve(vec![ok("hello")]).await;
    let fetch = GuardedFetch::new(open());
    let mut request = FetchRequest::get(format!("http://127.0.0.1:{}/a?b=c", server.port));
    request.headers.push(("if-none-match".to_owned(), "\"1\"".to_owned()));
    let answer = fetch.fetch(request).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"hello".as_slice()));
    assert_eq!(answer.header("etag"), Some("\"1\""));
    let asked = server.asked.lock().unwrap()[0].clone();
    assert!(asked.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("host: 127.0.0.1:{}\r\n", server.port)), "{asked}");
    assert!(asked.contains("if-none-match: \"1\"\r\n"), "{asked}");
}

#[tokio::test]
async fn a_name_that_leads_inside_meets_nobody() {
    let server = serve(vec![ok("secret")]).await;
    let url = format!("https://acme.example:{}/", server.port);
    for answers in [
        &[&["127.0.0.1"][..]][..],
        &[&["1.1.1.1", "127.0.0.1"]],
        &[&["::ffff:127.0.0.1"]],
        &[&["169.254.169.254"]],
        &[&["10.0.0.1"]],
        &[&["64:ff9b::7f00:1"]],
    ] {
        let resolver = rebinding(answers);
        let fetch = GuardedFetch::new(Rules::default()).resolver(resolver.clone());
        let result = get(&fetch, url.clone()).await;
        assert!(is_forbidden(&result), "{answers:?} {result:?}");
        assert_eq!(resolver.asked.load(Ordering::SeqCst), 1);
    }
    assert_eq!(server.met.load(Ordering::SeqCst), 0);
}

/// The check and the connection use the same answer: a second one, which would lead elsewhere, is
/// never asked for.
#[tokio::test]
async fn a_name_is_resolved_once_for_a_connection() {
    let (honest, inside) = (serve(vec![ok("honest")]).await, serve(vec![ok("inside")]).await);
    let resolver = rebinding(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let fetch = GuardedFetch::new(open()).resolver(resolver.clone());
    let answer = get(&fetch, format!("http://acme.example:{}/", honest.port)).await.unwrap();
    assert_eq!(answer.body, b"honest");
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 1);
    assert_eq!(inside.met.load(Ordering::SeqCst), 0);
}

/// A redirect is a new connection: the name is resolved and checked again.
#[tokio::test]
async fn a_name_that_changes_between_redirects_is_caught() {
    let server = serve(vec![redirect("/next"), ok("inside")]).await;
    let resolver = rebinding(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let fetch = GuardedFetch::new(open()).resolver(resolver.clone());
    let result = get(&fetch, format!("http://acme.example:{}/", server.port)).await;
    assert!(is_forbidden(&result), "{result:?}");
    assert_eq!((resolver.asked.load(Ordering::SeqCst), server.met.load(Ordering::SeqCst)), (2, 1));
}

#[tokio::test]
async fn redirects_are_bounded_and_stay_at_their_origin() {
    let fetch = GuardedFetch::new(open());
    let server = serve(vec![redirect("/b"), redirect("c"), ok("there")]).await;
    let answer = get(&fetch, format!("http://127.0.0.1:{}/a", server.port)).await.unwrap();
    assert_eq!(answer.body, b"there");

    let server = serve(vec![redirect("/a"); 9]).await;
    let result = get(&fetch, format!("http://127.0.0.1:{}/a", server.port)).await;
    assert!(is_forbidden(&result), "{result:?}");
    assert_eq!(server.met.load(Ordering::SeqCst), 4);

    let inside = serve(vec![ok("inside")]).await;
    for location in [
        format!("http://127.0.0.1:{}/", inside.port),
        format!("http://localhost:{}/", inside.port),
        format!("http://127.1:{}/", inside.port),
        "http://169.254.169.254/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let server = serve(vec![redirect(&location)]).await;
        let result = get(&fetch, format!("http://127.0.0.1:{}/", server.port)).await;
        assert!(is_forbidden(&result), "{location} {result:?}");
    }
    assert_eq!(inside.met.load(Ordering::SeqCst), 0);

    // What is sent is not sent again, wherever it is told to go.
    let server = serve(vec![redirect("/b"), ok("twice")]).await;
    let mut request = FetchRequest::get(format!("http://127.0.0.1:{}/", server.port));
    (request.method, request.body) = (Method::Post, b"code=secret".to_vec());
    assert_eq!(fetch.fetch(request).await.unwrap().status, 302);
    assert_eq!(server.met.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn answers_have_bounds() {
    let rules = Rules { most_bytes: 10, timeout: Duration::from_millis(400), ..open() };
    let fetch = GuardedFetch::new(rules);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nsixsix\r\n6\r\nsixsix\r\n0\r\n\r\n";
    let heads = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(200));
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let packed = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx";
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx";
    for (answer, long) in [
        (ok(&"x".repeat(11)), true),
        (chunked.to_owned(), true),
        (heads, false),
        (head, false),
        (packed.to_owned(), false),
        (cut.to_owned(), false),
        ("no HTTP at all\r\n\r\n".to_owned(), false),
        (String::new(), false),
    ] {
        let server = serve(vec![answer.clone()]).await;
        let result = get(&fetch, format!("http://127.0.0.1:{}/", server.port)).await;
        let shown = answer.get(..40).unwrap_or(&answer);
        assert_eq!(matches!(result, Err(FetchError::TooLong { .. })), long, "{shown}");
        assert!(result.is_err(), "{shown}");
    }
    let server = serve(vec![ok(&"x".repeat(10))]).await;
    assert!(get(&fetch, format!("http://127.0.0.1:{}/", server.port)).await.is_ok());
}

#[tokio::test]
async fn tls_names_the_host() {
    let made = rcgen::generate_simple_self_signed(["acme.example".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(ring.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 1024];
            _ = stream.read(&mut head).await;
            _ = stream.write_all(ok("signed").as_bytes()).await;
            _ = stream.shutdown().await;
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let resolver = || rebinding(&[&["127.0.0.1"]]);
    let fetch = GuardedFetch::new(open()).resolver(resolver()).tls(Arc::new(client));
    let answer = get(&fetch, format!("https://acme.example:{port}/")).await.unwrap();
    assert_eq!(answer.body, b"signed");
    let result = get(&fetch, format!("https://other.example:{port}/")).await;
    assert!(matches!(result, Err(FetchError::Unreachable { .. })), "{result:?}");
    let stranger = GuardedFetch::new(open()).resolver(resolver());
    let result = get(&stranger, format!("https://acme.example:{port}/")).await;
    assert!(matches!(result, Err(FetchError::Unreachable { .. })), "{result:?}");
}

#[tokio::test]
async fn errors_show_no_secrets() {
    let fetch = GuardedFetch::new(Rules::default());
    for url in [
        "https://user:hunter2@acme.example/",
        "http://acme.example/?token=hunter2",
        "https://127.0.0.1/?code=hunter2#hunter2",
    ] {
        let error = get(&fetch, url.to_owned()).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let mut request = FetchRequest::get("https://acme.example/");
    request.headers.push(("authorization".to_owned(), "hunter2\n".to_owned()));
    let fetch = GuardedFetch::new(open()).resolver(rebinding(&[&["127.0.0.1"]]));
    let shown = format!("{:?} {:?}", request.clone(), fetch.fetch(request).await);
    assert!(!shown.contains("hunter2"), "{shown}");
}
