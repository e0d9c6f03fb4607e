//! The same over TLS: a certificate that is trusted, and others.

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::server::*;
use crate::*;

/// A server whose certificate is for `name`, and a client that trusts that certificate.
async fn server(name: &str) -> (Server, ClientConfig) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let certificate = made.cert.der().clone();
    let ring = || Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(ring())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut client = ClientConfig::builder_with_provider(ring())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = Server::start_with(Some(acceptor), |heard| match &*heard.what() {
        "POST server/discover" => Reply::result(heard, DISCOVERED),
        _ => Reply::result(heard, DONE),
    })
    .await;
    (server, client)
}

#[tokio::test]
async fn a_server_is_believed_if_its_certificate_is_trusted_and_names_it() {
    let (local, trusting) = server("127.0.0.1").await;
    let (foreign, trusting_foreign) = server("example.com").await;
    for (server, tls, expected) in [
        (&local, Some(trusting.clone()), Ok("done")),
        // The roots of the system do not know it.
        (&local, None, Err("certificate")),
        (&local, Some(trusting_foreign.clone()), Err("certificate")),
        (&foreign, Some(trusting_foreign), Err("certificate")),
    ] {
        let mut options = options();
        options.tls = tls.map(Arc::new);
        let connection = connect_http_with(&server.url, options).unwrap();
        let answer = soon(send(&connection, tool("t"))).await;
        match expected {
            Ok(text) => assert_eq!(said(&answer), text),
            Err(text) => {
                let (origin, said) = failed(&answer);
                assert!(origin == Origin::Connection && said.contains(text), "{said}");
            }
        }
    }
    assert_eq!((local.what().len(), foreign.what().len()), (2, 0));
}

#[tokio::test]
async fn a_plain_url_stays_plain() {
    let server = Server::start(|heard| Reply::result(heard, DISCOVERED)).await;
    assert!(soon(send(&connect(&server.url), discover())).await.is_ok());
    let secure = connect(&server.url.replace("http:", "https:"));
    assert_eq!(failed(&soon(send(&secure, discover())).await).0, Origin::Connection);
}
