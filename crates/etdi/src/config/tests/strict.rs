//! What settings have to say at strict, and what the defaults do by themselves.

use etdi_core::audit::AuditError;
use etdi_core::audit::MemoryAuditor;
use etdi_core::client_keys::{ClientTrust, FileClients, KnownClients};
use etdi_core::event::Event;
use etdi_core::revocation::{RevocationList, RevocationSource, Revoked};

use super::*;
use crate::Callers;

/// An audit trail that strict takes.
struct Chained(MemoryAuditor);

impl etdi_core::audit::Auditor for Chained {
    fn record(&self, event: &Event, at: UnixTime) -> Result<(), AuditError> {
        self.0.record(event, at)
    }

    fn is_chained(&self) -> bool {
        true
    }
}

async fn call(builder: EtdiClientBuilder, server: impl ExchangeService) -> Result<(), String> {
    let client = builder.approver(Arc::new(Yes)).auditor(Arc::new(Chained(Default::default())));
    let target = Target::service(server, Peer::new(notes()));
    let client = client.build();
    client.connect_to_server(target, "notes").await.unwrap();
    greeted(&client).await.map(|_| ())
}

/// `trust.revocation_lists`, `trust.without_revocation_list` and a source of the host's: at strict a
/// publisher of whom nobody can tell what was revoked is refused.
#[tokio::test]
async fn fresh_or_fail() {
    struct Fetched(String);
    impl RevocationSource for Fetched {
        fn list<'a>(
            &'a self,
            _: &'a ProviderId,
            _: UnixTime,
        ) -> BoxFuture<'a, Result<Option<String>, String>> {
            Box::pin(std::future::ready(Ok(Some(self.0.clone()))))
        }
    }
    let home = tempfile::tempdir().unwrap();
    let key = key();
    let caller = home.path().join("client.pem");
    let settings = |level| {
        let mut config = trusting(in_memory(), &key);
        config.security_level = level;
        config.key_config.private_key_path = Some(caller.clone());
        config.local_rules = Some(LocalRules::of_approvals());
        config
    };
    let run = async |config: &EtdiClientConfig| {
        let server = signed(server!().tool::<greet>(), &key).await;
        call(config.builder_from(None, nothing).unwrap(), server).await
    };
    let refused = Err("UNVERIFIED".to_owned());
    let strict = || settings(SecurityLevel::Strict);
    for level in [SecurityLevel::Basic, SecurityLevel::Enhanced] {
        assert_eq!(run(&settings(level)).await, Ok(()), "{level}");
    }
    assert_eq!(run(&strict()).await, refused);
    let mut none = strict();
    none.trust.without_revocation_list = vec![acme().to_string()];
    assert_eq!(run(&none).await, Ok(()));

    let now = system_time();
    let file = home.path().join("acme.jwt");
    let mut listed = strict();
    listed.trust.revocation_lists.insert(acme().to_string(), file.clone());
    assert_eq!(run(&listed).await, refused, "there is no such file");
    let list = |seq| RevocationList::new(acme(), seq, now);
    std::fs::write(&file, list(1).sign(&*key).unwrap()).unwrap();
    assert_eq!(run(&listed).await, Ok(()));
    let over = RevocationList::new(acme(), 2, now.minus(90)).next_update(now.minus(30));
    std::fs::write(&file, over.sign(&*key).unwrap()).unwrap();
    assert_eq!(run(&listed).await, refused, "the next one is due");
    std::fs::write(&file, list(3).sign(&SigningKey::generate(Algorithm::EdDsa).unwrap()).unwrap())
        .unwrap();
    assert_eq!(run(&listed).await, refused, "somebody else signed it");
    let stolen = Revoked::Key(key.id());
    std::fs::write(&file, list(4).revoke(stolen).sign(&*key).unwrap()).unwrap();
    assert_eq!(run(&listed).await, Err("REVOKED".to_owned()));

    let source = Arc::new(Fetched(list(1).sign(&*key).unwrap()));
    let server = signed(server!().tool::<greet>(), &key).await;
    let builder = strict().builder_from(None, nothing).unwrap().revocation_source(source);
    assert_eq!(call(builder, server).await, Ok(()));

    let mut wrong = strict();
    wrong.trust.without_revocation_list = vec!["x".to_owned()];
    let error = wrong.builder_from(None, nothing).unwrap_err().to_string();
    assert!(error.starts_with("`trust.without_revocation_list[0]`: "), "{error}");
}

/// What `etdi keys revoke` took back counts for programs with settings as well.
#[tokio::test]
async fn what_the_command_revoked_counts() {
    let home = tempfile::tempdir().unwrap();
    let key = key();
    let mut config = trusting(EtdiClientConfig::default(), &key);
    config.audit.enabled = false;
    let sealing = || Some(Protection::key(SealingKey::from_bytes([7; 32])));
    let run = async || {
        let server = signed(server!().tool::<greet>(), &key).await;
        call(config.builder_from(sealing(), at(home.path())).unwrap(), server).await
    };
    assert_eq!(run().await, Ok(()));
    let known = etdi_core::revocation::Revocations::open(&home.path().join("revocations")).unwrap();
    known.revoke(Revoked::Key(key.id()), None, system_time()).unwrap();
    assert_eq!(run().await, Err("REVOKED".to_owned()));
}

/// `local_rules`: they decide beside the host's engines, and at strict without them nothing does.
#[tokio::test]
async fn rules_in_settings() {
    let home = tempfile::tempdir().unwrap();
    let key = key();
    let with = async |level, rules: Option<&str>| {
        let mut config = trusting(in_memory(), &key);
        config.security_level = level;
        config.key_config.private_key_path = Some(home.path().join("client.pem"));
        config.trust.without_revocation_list = vec![acme().to_string()];
        config.local_rules = rules.map(|text| serde_json::from_str(text).unwrap());
        let server = signed(server!().tool::<greet>(), &key).await;
        call(config.builder_from(None, nothing).unwrap(), server).await
    };
    let denied = Err("POLICY_DENIED".to_owned());
    let forbids =
        r#"{"rules":[{"id":"no","effect":"forbid","tools":["greet"]}],"otherwise":"allow"}"#;
    let permits = r#"{"rules":[{"id":"yes","effect":"permit","tools":["greet"]}]}"#;
    for level in [SecurityLevel::Basic, SecurityLevel::Enhanced, SecurityLevel::Strict] {
        let alone = if level == SecurityLevel::Strict { denied.clone() } else { Ok(()) };
        assert_eq!(with(level, None).await, alone, "{level}");
        assert_eq!(with(level, Some(forbids)).await, denied, "{level}");
        assert_eq!(with(level, Some(permits)).await, Ok(()), "{level}");
    }
}

/// The rules that are built in note what they let through; without an engine nothing else does.
#[tokio::test]
async fn basic_has_rules_of_its_own() {
    for (level, decided) in [(SecurityLevel::Basic, 1), (SecurityLevel::Enhanced, 0)] {
        let key = key();
        let home = tempfile::tempdir().unwrap();
        let events = etdi_core::event::Events::new();
        let mut heard = events.subscribe();
        let config = EtdiClientConfig { security_level: level, ..trusting(in_memory(), &key) };
        let server = signed(server!().tool::<greet>(), &key).await;
        let builder = config.builder_from(None, at(home.path())).unwrap().events(events.clone());
        call(builder, server).await.unwrap();
        let heard = std::iter::from_fn(|| heard.try_next());
        let kinds = heard.filter(|one| one.event.kind == EventKind::PolicyDecided);
        assert_eq!(kinds.count(), decided, "{level}");
    }
}

/// Transfers money.
#[tool(etdi, etdi_crate = etdi_core, version = "1.0.0", require_request_signing)]
fn pay() {}

/// The key that signs calls is made when a tool wants one, with settings that nobody touched, and is
/// the same from then on; the server knows it again.
#[tokio::test]
async fn a_key_is_made_on_first_need() {
    let place = tempfile::tempdir().unwrap();
    let (home, servers) = (place.path().join("etdi"), place.path().join("clients"));
    let publisher = key();
    let config = EtdiClientConfig::default();
    let sealing = || Some(Protection::key(SealingKey::from_bytes([7; 32])));
    let session = async || {
        let tools = server!().tool::<pay>().tool::<plain>().build().unwrap();
        let server = EtdiServerConfig::new(notes()).operator(publisher.clone());
        let server = secure(tools, server.callers(Callers::at(&servers))).await.unwrap();
        let builder = config.builder_from(sealing(), at(&home)).unwrap();
        builder.approver(Arc::new(Yes)).build().over(server, Peer::new(notes())).await.unwrap()
    };
    let first = session().await;
    first.invoke_tool("plain", &json!({})).await.unwrap();
    let secrets = home.join("secrets");
    let keys = || FileClients::open(&servers, KnownClients::new).unwrap().list().unwrap();
    assert!(!secrets.exists() && keys().is_empty(), "nothing was needed");
    for _ in 0..2 {
        first.invoke_tool("pay", &json!({})).await.unwrap();
    }
    session().await.invoke_tool("pay", &json!({})).await.unwrap();
    assert_eq!(keys().len(), 1, "one key, now and in the next process");
    assert_eq!(keys()[0].trust, ClientTrust::FirstUse);
    let is_rsa = keys()[0].key.algorithm().is_rsa();
    assert_eq!(is_rsa, cfg!(feature = "rsa-keys"), "as the README has it, where that can be made");
    assert!(!home.join("keys").exists(), "it is sealed");

    // Who switched that off is told what to do.
    let mut none = EtdiClientConfig::default();
    none.key_config.auto_generate = false;
    let elsewhere = tempfile::tempdir().unwrap();
    let error = none.builder_from(sealing(), at(elsewhere.path())).unwrap_err().to_string();
    assert!(error.contains("set `auto_generate`"), "{error}");
}
