//! Each setting, and what it changes.

use std::sync::Mutex;
use std::task::{Context, Poll};

use etdi_core::approval::{Answer, Approver, Granted, MemoryStore, Question};
use etdi_core::attestation::Attestation;
use etdi_core::event::EventKind;
use etdi_core::identity::{ProviderId, ServerIdentity};
use etdi_core::key::{Algorithm, KeyId};
use etdi_core::proof::{Evidence, ProofVerifier};
use etdi_core::secret::SealingKey;
use etdi_core::time::UnixTime;
use etdi_core::verify::{Peer, VerifyError};
use etdi_core::wire::{self, StatementType};
use mcp_server::{ServerBuilder, server, tool};
use mcp_types::{
    BoxFuture, ClientRequest, ErrorObject, Exchange, ExchangeFuture, ExchangeService, Outcome,
    ServerResult,
};
use serde_json::json;
use tower_service::Service;

use super::*;
use crate::{EtdiServerConfig, Secured, Target, VerificationStatus, secure, system_time};

mod approvals;
mod keys;
mod options;
mod read;
mod strict;
mod trust;

/// Says hello.
#[tool(etdi, etdi_crate = etdi_core, version = "1.0.0", permissions = ["greetings:say"])]
fn greet(name: String) -> String {
    format!("Hello, {name}.")
}

/// Does something.
#[tool]
fn plain() {}

struct Yes;

impl Approver for Yes {
    fn ask<'a>(&'a self, _: Question<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready(Answer::approve(Granted::All, "tester")))
    }
}

fn nothing(_: &str) -> Option<String> {
    None
}

/// The environment of a user whose `etdi` is there, with nothing that opens anything.
fn at(home: &Path) -> impl Fn(&str) -> Option<String> + use<> {
    let home = home.to_str().unwrap().to_owned();
    move |name| (name == "ETDI_HOME").then(|| home.clone())
}

fn read(text: &str) -> Result<EtdiClientConfig, String> {
    EtdiClientConfig::from_json(text, nothing).map_err(|error| error.to_string())
}

/// Settings that keep nothing outside of this process.
fn in_memory() -> EtdiClientConfig {
    let mut config = EtdiClientConfig::default();
    config.storage_config.storage_type = StorageType::Memory;
    config.audit.enabled = false;
    config.key_config.key_algorithm = "EdDSA".to_owned();
    config.options.retry_attempts = 0;
    config
}

fn client(config: &EtdiClientConfig) -> EtdiClient {
    config.builder(None).unwrap().approver(Arc::new(Yes)).build()
}

fn notes() -> ServerIdentity {
    ServerIdentity::package("pkg:cargo/notes").unwrap()
}

fn acme() -> ProviderId {
    "https://acme.example".parse().unwrap()
}

/// A server whose tools a publisher signs, with the key that the server holds.
async fn signed(tools: ServerBuilder, key: &Arc<SigningKey>) -> Secured<mcp_server::Server> {
    let statement = Attestation::new(acme(), notes(), system_time());
    let config =
        EtdiServerConfig::new(notes()).signing(statement, key.clone()).instance_key(key.clone());
    secure(tools.build().unwrap(), config).await.unwrap()
}

fn key() -> Arc<SigningKey> {
    Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap())
}

fn trusting(mut config: EtdiClientConfig, key: &SigningKey) -> EtdiClientConfig {
    let keys = vec![serde_json::from_str(&key.verifying_key().to_jwk()).unwrap()];
    let provider = TrustedProvider { keys, ..TrustedProvider::default() };
    config.trust.trusted_providers.insert(acme().to_string(), provider);
    config
}

async fn connected(config: &EtdiClientConfig, service: impl ExchangeService) -> EtdiClient {
    let client = client(config);
    let target = Target::service(service, Peer::new(notes()));
    client.connect_to_server(target, "notes").await.unwrap();
    client
}

/// What comes of listing and calling `greet`.
async fn greeted(client: &EtdiClient) -> Result<VerificationStatus, String> {
    let tool = client.verify_tool(crate::ToolId::new("notes", "greet")).await.unwrap();
    let called = client.invoke_tool(tool.id(), &json!({"name": "Ada"})).await;
    called.map(|_| tool.verification_status()).map_err(|error| error.code())
}

/// `security_level`, `policy`, `allow_non_etdi_tools`, `enable_request_signing`.
#[tokio::test]
async fn what_is_demanded() {
    let run = async |config: EtdiClientConfig| {
        let server = server!().tool::<plain>().build().unwrap();
        let client = connected(&config, server).await;
        let id = crate::ToolId::new("notes", "plain");
        client.invoke_tool(id, &json!({})).await.map_err(|error| error.code()).err()
    };
    assert_eq!(run(in_memory()).await, None);
    let strict = || EtdiClientConfig { security_level: SecurityLevel::Strict, ..in_memory() };
    let home = tempfile::tempdir().unwrap();
    let with_key = |mut config: EtdiClientConfig| {
        config.key_config.private_key_path = Some(home.path().join("client.pem"));
        config
    };
    assert_eq!(run(with_key(strict())).await.as_deref(), Some("UNSIGNED"));
    // Nothing makes strict weaker.
    assert!(strict().allow_non_etdi_tools);
    let none = EtdiClientConfig { allow_non_etdi_tools: false, ..in_memory() };
    assert_eq!(run(none).await.as_deref(), Some("UNSIGNED"));
    let mut own = Policy::basic();
    own.unsigned = Handling::Refuse;
    let own = EtdiClientConfig { policy: Some(own), ..in_memory() };
    assert_eq!(run(own).await.as_deref(), Some("UNSIGNED"));

    for (enable, is_signed) in [(false, false), (true, true)] {
        let key = key();
        let config = EtdiClientConfig { enable_request_signing: enable, ..in_memory() };
        let config = with_key(trusting(config, &key));
        let seen = Watched::over(signed(server!().tool::<greet>(), &key).await);
        let client = connected(&config, seen.clone()).await;
        assert_eq!(greeted(&client).await, Ok(VerificationStatus::Verified));
        assert_eq!(seen.signed(), vec![is_signed]);
    }
}

/// `show_unverified_tools`: shown as data, and called no more than before.
#[tokio::test]
async fn what_is_shown() {
    let names = async |config: &EtdiClientConfig| {
        let (known, unknown) = (key(), key());
        let server = signed(server!().tool::<greet>().tool::<plain>(), &unknown).await;
        let client = connected(&trusting(config.clone(), &known), server).await;
        let tools = client.discover_tools(None).await.unwrap();
        let called = client.invoke_tool(crate::ToolId::new("notes", "greet"), &json!({})).await;
        assert_eq!(called.unwrap_err().code(), "UNVERIFIED");
        let shown =
            tools.iter().map(|tool| format!("{} {}", tool.id(), tool.verification_status()));
        shown.collect::<Vec<_>>()
    };
    assert_eq!(names(&in_memory()).await, ["notes/plain unverified"]);
    let shown = EtdiClientConfig { show_unverified_tools: true, ..in_memory() };
    let expected = ["notes/greet provider_unknown", "notes/plain unverified"];
    assert_eq!(names(&shown).await, expected);
    let none = EtdiClientConfig { allow_non_etdi_tools: false, ..in_memory() };
    assert_eq!(names(&none).await, [""; 0]);
}

/// `verification_cache_ttl`: a signature is checked again once that time is over.
#[tokio::test]
async fn how_long_a_checked_signature_counts() {
    struct Counted(Mutex<u32>, etdi_core::trust::TrustAnchors);
    impl ProofVerifier for Counted {
        fn verify_proof(
            &self,
            proof: &str,
            kind: StatementType,
            now: UnixTime,
        ) -> Result<Evidence, VerifyError> {
            *self.0.lock().unwrap() += 1;
            self.1.verify_proof(proof, kind, now)
        }
    }
    for (ttl, checks) in [(300, 1), (5, 2), (0, 2)] {
        let key = key();
        let mut anchors = etdi_core::trust::TrustAnchors::new();
        anchors.trust(acme(), key.verifying_key().clone());
        let counted = Arc::new(Counted(Mutex::default(), anchors));
        let config = EtdiClientConfig { verification_cache_ttl: ttl, ..in_memory() };
        let time = Arc::new(Mutex::new(system_time()));
        let clock = time.clone();
        let builder = config.builder(None).unwrap().proofs(counted.clone());
        let client = builder.clock(move || *clock.lock().unwrap()).build();
        let server = signed(server!().tool::<greet>(), &key).await;
        let session = client.over(server, Peer::new(notes())).await.unwrap();
        session.discover_tools().await.unwrap();
        *counted.0.lock().unwrap() = 1;
        let later = time.lock().unwrap().plus(10);
        *time.lock().unwrap() = later;
        session.discover_tools().await.unwrap();
        assert_eq!(*counted.0.lock().unwrap(), checks, "{ttl}");
    }
}

/// `trust`: publishers, the only issuers, the only algorithms, revoked keys.
#[tokio::test]
async fn whose_statements_count() {
    let key = key();
    let run = async |config: EtdiClientConfig| {
        let server = signed(server!().tool::<greet>(), &key).await;
        greeted(&connected(&config, server).await).await
    };
    assert_eq!(run(in_memory()).await, Err("UNVERIFIED".to_owned()));
    let trusted = || trusting(in_memory(), &key);
    assert_eq!(run(trusted()).await, Ok(VerificationStatus::Verified));
    assert_eq!(client(&trusted()).publisher_name(&acme()), None);
    let mut named = trusted();
    let provider = named.trust.trusted_providers.get_mut("https://acme.example").unwrap();
    provider.name = Some("Acme".to_owned());
    assert_eq!(client(&named).publisher_name(&acme()), Some("Acme"));
    let mut other = trusted();
    other.trust.allowed_issuers = vec!["https://other.example".to_owned()];
    assert_eq!(run(other.clone()).await, Err("UNVERIFIED".to_owned()));
    other.trust.allowed_issuers.push(acme().to_string());
    assert_eq!(run(other).await, Ok(VerificationStatus::Verified));
    let mut es256 = trusted();
    es256.trust.allowed_algorithms = vec!["ES256".to_owned()];
    assert_eq!(run(es256).await, Err("ATTESTATION_INVALID".to_owned()));
    let mut revoked = trusted();
    revoked.trust.revoked_keys = vec![key.id().to_string()];
    assert_eq!(run(revoked).await, Err("REVOKED".to_owned()));

    // A key at first use does not get around the list of issuers.
    let operator = async |config: EtdiClientConfig| {
        let server = EtdiServerConfig::new(notes()).operator(key.clone());
        let server = secure(server!().tool::<greet>().build().unwrap(), server).await.unwrap();
        greeted(&connected(&config, server).await).await
    };
    assert_eq!(operator(in_memory()).await, Ok(VerificationStatus::ProviderUnknown));
    let mut only = in_memory();
    only.trust.allowed_issuers = vec![acme().to_string()];
    assert_eq!(operator(only).await, Err("UNVERIFIED".to_owned()));

    for (text, path) in [
        (r#"{"trusted_providers":{"acme":{"keys":[{}]}}}"#, "trust.trusted_providers.acme"),
        (
            r#"{"trusted_providers":{"https://a.example":{}}}"#,
            "trust.trusted_providers.https://a.example",
        ),
        (r#"{"allowed_algorithms":["HS256"]}"#, "trust.allowed_algorithms[0]"),
        (r#"{"allowed_issuers":["x"]}"#, "trust.allowed_issuers[0]"),
        (r#"{"revoked_keys":["x"]}"#, "trust.revoked_keys[0]"),
    ] {
        let mut config = in_memory();
        config.trust = serde_json::from_str(text).unwrap();
        let error = config.builder(None).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{path}`: ")), "{error}");
    }
}

/// `storage_config`: the fields are the store's, and their tests too; here that they reach it.
#[tokio::test]
async fn where_approvals_are_kept() {
    let home = tempfile::tempdir().unwrap();
    let etdi = home.path().join("etdi");
    let mut config = in_memory();
    config.storage_config = StorageConfig::default();
    config.storage_config.storage_path = Some(home.path().join("approvals"));
    let error = config.builder_from(None, nothing).unwrap_err().to_string();
    assert!(error.contains("encryption_enabled"), "there is no place for a key: {error}");
    let sealing = || Some(Protection::key(SealingKey::from_bytes([7; 32])));
    let approve = async |config: &EtdiClientConfig, protection| {
        let builder = config.builder_from(protection, at(&etdi)).unwrap().approver(Arc::new(Yes));
        let client = builder.build();
        let server = server!().tool::<plain>().build().unwrap();
        let target = Target::service(server, Peer::new(notes()));
        client.connect_to_server(target, "notes").await.unwrap();
        client.invoke_tool(crate::ToolId::new("notes", "plain"), &json!({})).await.unwrap();
    };
    approve(&config, sealing()).await;
    let kept = || -> String {
        let files = std::fs::read_dir(home.path().join("approvals")).unwrap();
        files
            .map(|file| {
                String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap_or_default())
                    .into_owned()
            })
            .collect()
    };
    assert!(!kept().contains("Does something."), "nothing of it can be read");
    assert!(
        config
            .builder_from(Some(Protection::key(SealingKey::from_bytes([8; 32]))), at(&etdi))
            .is_err()
    );
    assert!(
        config.builder_from(sealing(), at(&etdi)).is_ok()
            && home.path().join("approvals.backup").exists()
    );

    config.storage_config.storage_path = Some(home.path().join("open"));
    config.storage_config.encryption_enabled = false;
    config.storage_config.backup_enabled = false;
    approve(&config, None).await;
    assert!(!home.path().join("open.backup").exists());
    // A database is the host's own store: nothing takes its place.
    config.audit.enabled = false;
    let own = || Arc::new(MemoryStore::new());
    assert!(config.builder_over(own(), None).unwrap_err().to_string().contains("to `database`"));
    config.storage_config = serde_json::from_str(r#"{"storage_type":"database"}"#).unwrap();
    let refused = config.builder_from(None, at(&etdi)).unwrap_err().to_string();
    assert!(refused.contains("`EtdiClientConfig::builder_over`, or set"), "{refused}");
    let store = own();
    let client = config.builder_over(store.clone(), None).unwrap().approver(Arc::new(Yes)).build();
    let service = server!().tool::<plain>().build().unwrap();
    let target = Target::service(service, Peer::new(notes()));
    client.connect_to_server(target, "notes").await.unwrap();
    client.approve_tool(&client.discover_tools(None).await.unwrap()[0], None).await.unwrap();
    assert_eq!(store.list().await.unwrap().approvals.len(), 1);
}

/// `audit`: each setting alone, against the others' defaults. That `sync` is heeded before the act is
/// shown where disks fail, in etdi-core.
#[tokio::test]
async fn where_events_are_kept() {
    let run = async |calls: u32, change: fn(&mut AuditConfig)| {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("trail.jsonl");
        let mut config = in_memory();
        config.key_config.private_key_path = Some(home.path().join("client.pem"));
        config.audit.enabled = true;
        config.audit.path = Some(path.clone());
        change(&mut config.audit);
        let server = server!().tool::<plain>().build().unwrap();
        let client = connected(&config, server).await;
        for _ in 0..calls {
            client.invoke_tool(crate::ToolId::new("notes", "plain"), &json!({})).await.unwrap();
        }
        client.cleanup().await;
        drop(client);
        path.exists().then(|| etdi_core::audit::verify_trail(&path, None, None).unwrap())
    };
    let default = run(4, |_| ()).await.unwrap();
    assert_eq!((default.files, default.checkpoints, default.first), (1, 0, 0), "{default:?}");
    assert!(default.head.entries > 6, "{default:?}");
    assert!(run(4, |audit| audit.enabled = false).await.is_none());
    assert!(run(4, |audit| audit.sync = true).await.is_some());
    let rotated = run(1_200, |audit| audit.rotate_bytes = 1).await.unwrap();
    assert!(rotated.files > 2 && rotated.first == 0, "{rotated:?}");
    let kept = run(1_200, |audit| {
        audit.rotate_bytes = 1;
        audit.keep_files = Some(1);
    });
    let kept = kept.await.unwrap();
    assert!(kept.files == 2 && kept.first > 0, "{kept:?}");
    let signed = run(4, |audit| audit.checkpoint_every = 2).await.unwrap();
    assert!(signed.checkpoints >= 2, "{signed:?}");
}

/// A service that notes what passes, and that may be slow or gone.
#[derive(Clone)]
struct Watched<S> {
    inner: S,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    listings: u32,
    discoveries: u32,
    calls: Vec<bool>,
    /// How many exchanges fail for want of a connection.
    gone: u32,
    stuck: bool,
    ttl_ms: Option<u64>,
}

impl<S> Watched<S> {
    fn over(inner: S) -> Self {
        Self { inner, seen: Arc::default() }
    }

    fn signed(&self) -> Vec<bool> {
        self.seen.lock().unwrap().calls.clone()
    }
}

impl<S: ExchangeService> Service<Exchange> for Watched<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let mut seen = self.seen.lock().unwrap();
        match &exchange.request {
            ClientRequest::ListTools(_) => seen.listings += 1,
            ClientRequest::Discover(_) => seen.discoveries += 1,
            ClientRequest::CallTool(_) => {
                let signed = exchange.context.meta.get(wire::CALL).is_some();
                seen.calls.push(signed);
            }
            _ => {}
        }
        if seen.gone > 0 {
            seen.gone -= 1;
            let error = ErrorObject::local(mcp_types::Origin::Connection, "gone");
            return Box::pin(std::future::ready(Err(error)));
        }
        if seen.stuck {
            return Box::pin(std::future::pending());
        }
        let ttl = seen.ttl_ms;
        drop(seen);
        let answer = self.inner.call(exchange);
        Box::pin(async move {
            let mut outcome = answer.await?;
            if let Outcome::Complete(ServerResult::ListTools(page)) = &mut outcome {
                page.ttl_ms = ttl;
            }
            Ok(outcome)
        })
    }
}

fn watched() -> Watched<mcp_server::Server> {
    Watched::over(server!().tool::<plain>().build().unwrap())
}
