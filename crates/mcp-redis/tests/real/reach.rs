//! Whoever writes a wrong address is told which, what was found there and what to write.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcp_redis::{Address, ClusterSecret, RedisStores};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::server::{RedisServer, SECRET};

/// What is said, with what caused it.
async fn said(address: Address) -> String {
    let began = Instant::now();
    let builder = RedisStores::builder(address, ClusterSecret::new(SECRET));
    let refused = builder.timeout(Duration::from_millis(300)).connect().await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    refused.to_string()
}

#[tokio::test]
async fn an_error_names_what_is_there() {
    let server = RedisServer::start();
    let clear = format!("127.0.0.1:{}", server.port);
    let locked = RedisServer::start();
    locked.ask(&["CONFIG", "SET", "requirepass", "open sesame"]);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let one = |url: String| Address::one(url);
    for (address, wanted) in [
        (one(format!("redis://{nobody}")), format!("at `redis://{nobody}`: nothing listens there")),
        (
            one("redis://no.such.host.invalid:1".to_owned()),
            "`no.such.host.invalid` is not known".to_owned(),
        ),
        (
            one(format!("rediss://{clear}")),
            format!("at `rediss://{clear}`: it answers there without TLS"),
        ),
        (one(locked.url()), format!("at `{}`: it wants a user and a password", locked.url())),
        (
            one(format!("redis://ada:hidden@127.0.0.1:{}", locked.port)),
            format!("at `{}`: it wants a user and a password", locked.url()),
        ),
        (one(clear.clone()), "`…` is no address of Redis".to_owned()),
        (one("http://localhost:6379".to_owned()), "`…` is no address".to_owned()),
        (Address::cluster([server.url()]), format!("at `{}`: that is one server", server.url())),
        (Address::cluster(Vec::<String>::new()), "no address is named".to_owned()),
        (
            Address::sentinel([server.url()], "shop"),
            format!("at `{}` is no sentinel", server.url()),
        ),
        (
            Address::sentinel([format!("redis://{nobody}")], "shop"),
            "nothing listens there".to_owned(),
        ),
    ] {
        let named = format!("{address:?}");
        let said = said(address).await;
        assert!(said.contains(&wanted), "{named}: {said}");
        assert!(!said.contains("hidden") && !said.contains("ada"), "{said}");
    }
}

/// A Redis that does not know a command says with what it was called.
#[tokio::test]
async fn no_error_has_a_password_that_redis_says_back() {
    let server = RedisServer::with(&["--rename-command", "HELLO", "", "--save", ""]);
    let at = format!("redis://ada:hunter2@127.0.0.1:{}/?protocol=resp3", server.port);
    for address in [Address::one(&at), Address::cluster([&at]), Address::sentinel([&at], "shop")] {
        let named = format!("{address:?}");
        let builder = RedisStores::builder(address, ClusterSecret::new(SECRET));
        let refused = builder.timeout(Duration::from_secs(1)).connect().await.unwrap_err();
        for said in [format!("{refused}"), format!("{refused:?}"), format!("{refused:#?}")] {
            assert!(!said.contains("hunter2"), "{named}: {said}");
            assert!(said.matches("unknown command 'HELLO'").count() < 2, "{named}: {said}");
        }
    }
}

/// A Redis with a port for TLS beside the other, whose certificate an authority has signed for `name`, and the authority.
fn sealed(name: &str) -> (RedisServer, u16, String, tempfile::TempDir) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "the authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = pem("CERTIFICATE", params.self_signed(&key).unwrap().der());
    let own = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = certificate.signed_by(&own, &Issuer::new(params, key)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("ca.pem", authority.clone()),
        ("cert.pem", pem("CERTIFICATE", certificate.der())),
        ("key.pem", pem("PRIVATE KEY", &own.serialize_der())),
    ];
    let [ca, cert, key] = files.map(|(name, text)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = RedisServer::with(
        &[
            ["--tls-port", &port.to_string()],
            ["--tls-ca-cert-file", &ca],
            ["--tls-cert-file", &cert],
            ["--tls-key-file", &key],
            ["--tls-auth-clients", "no"],
            ["--save", ""],
        ]
        .concat(),
    );
    (server, port, authority, folder)
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

#[tokio::test]
async fn an_error_names_tls() {
    let (_server, port, authority, _folder) = sealed("redis.example.com");
    let at = |scheme: &str| Address::one(format!("{scheme}://127.0.0.1:{port}"));
    for (address, wanted) in [
        (at("redis"), "it closes what is not TLS: write `rediss://`"),
        (at("rediss"), "no authority that this node trusts has signed its certificate"),
        (at("rediss").authorities(authority), "its certificate is not for `127.0.0.1`"),
    ] {
        let said = said(address).await;
        assert!(said.contains(wanted) && said.contains(&port.to_string()), "{said}");
    }
    // A certificate that does not fit is nothing to wait for.
    let builder = RedisStores::builder(at("rediss"), ClusterSecret::new(SECRET));
    let refused = builder.wait(Duration::from_hours(1)).connect();
    let refused = tokio::time::timeout(Duration::from_secs(60), refused).await.unwrap();
    assert!(refused.unwrap_err().to_string().contains("no authority"));
}

/// What listens and says nothing, or something else, is named in bounded time.
#[tokio::test]
async fn an_error_names_what_is_no_redis() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let at = |listener| Address::one(format!("redis://127.0.0.1:{}", port(listener)));
    assert!(said(at(&silent)).await.contains("it takes connections and answers nothing"));
    let address = at(&other);
    std::thread::spawn(move || {
        for stream in other.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = stream.read(&mut [0; 64]);
        }
    });
    let said = said(address).await;
    assert!(said.contains("what answers there is no Redis"), "{said}");
}
