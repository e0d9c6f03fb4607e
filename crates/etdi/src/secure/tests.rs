//! When a server starts, and what it says when it does not.

use std::sync::Mutex;

use etdi_core::audit::MemoryAuditor;
use etdi_core::key::{Algorithm, KeyRing, SigningKey};
use etdi_core::policy::LocalRules;
use mcp_server::{Server, server, tool};
use mcp_types::{
    CallToolRequestParams, ClientRequest, Exchange, GetPromptRequestParams, Origin,
    PaginatedRequestParams, Principal,
};
use tower_service::Service;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};

use super::*;

#[tool]
fn signed() {}

#[tool]
fn other() {}

/// The attack: whoever sets a variable of a server has it serve what nobody signed.
#[tokio::test]
async fn a_server_that_is_started_to_be_signed_runs_nothing() {
    let identity = ServerIdentity::package("pkg:cargo/notes").unwrap();
    let started = async |authoring| {
        let server = server!().tool::<signed>().build().unwrap();
        let config = EtdiServerConfig::new(identity.clone());
        secure_for(server, config, authoring).await.unwrap()
    };
    let ask = async |service: &mut Secured<Server>, request: ClientRequest| {
        service.call(Exchange::new(request)).await
    };
    let call = || ClientRequest::CallTool(CallToolRequestParams::new("signed"));
    let list = || ClientRequest::ListTools(PaginatedRequestParams::new());
    let mut serving = started(false).await;
    assert!(ask(&mut serving, call()).await.is_ok(), "a server that serves runs its tools");
    let mut authoring = started(true).await;
    assert!(ask(&mut authoring, list()).await.is_ok());
    let refused = ask(&mut authoring, call()).await.unwrap_err();
    assert_eq!(refused.origin, Origin::Refused);
    assert!(refused.message.contains("start it without `ETDI_AUTHORING`"), "{refused}");
    let prompt = ClientRequest::GetPrompt(GetPromptRequestParams::new("any"));
    assert_eq!(ask(&mut authoring, prompt).await.unwrap_err().origin, Origin::Refused);
}

/// What a server says when it does not start is read by people.
#[tokio::test]
async fn a_server_that_does_not_start_says_why_in_words() {
    let identity = ServerIdentity::package("pkg:cargo/notes").unwrap();
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let issuer = ProviderId::of_key(key.id());
    let statement = Attestation::new(issuer, identity.clone(), system_time());
    let start = |server: Server, manifest: String| {
        secure(server, EtdiServerConfig::new(identity.clone()).manifest(manifest))
    };
    let server = || server!().tool::<signed>();
    let tools: Vec<_> = server()
        .build()
        .unwrap()
        .tools()
        .iter()
        .map(|tool| RawTool::read(tool.text().get()).unwrap())
        .collect();
    let definitions = tools.iter().map(RawTool::definition);
    let manifest = etdi_core::manifest::sign(&statement, definitions, &key).unwrap();
    assert!(start(server().build().unwrap(), manifest.clone()).await.is_ok());
    let changed = server().tool::<other>().build().unwrap();
    let error = start(changed, manifest).await.unwrap_err();
    assert_eq!(format!("{error:?}"), error.to_string());
    assert_eq!(
        error.to_string(),
        concat!(
            "the server is not what its author signed or locked:\n  tool `other` is not signed ",
            "(the manifest does not name it)\nrestore it, or run `etdi lock` and `etdi sign`"
        )
    );
}

#[tokio::test]
async fn at_strict_a_server_needs_an_auditor_an_engine_and_callers() {
    let config = || {
        let identity = ServerIdentity::package("pkg:cargo/notes").unwrap();
        EtdiServerConfig::new(identity).level(SecurityLevel::Strict)
    };
    let server = || server!().tool::<signed>().build().unwrap();
    let start = async |config| secure(server(), config).await.map(drop);
    let audited = || config().auditor(Arc::new(MemoryAuditor::default()));
    let refused = start(config()).await.unwrap_err().to_string();
    assert!(refused.contains("give the server an auditor"), "{refused}");
    let refused = start(audited()).await.unwrap_err().to_string();
    assert!(refused.contains("give the server an engine"), "{refused}");
    let rules = || Arc::new(LocalRules::of(SecurityLevel::Strict));
    let ruled = || audited().engine(rules());
    for anybody in [ruled(), ruled().call_keys(CallKeys::Any)] {
        let refused = start(anybody).await.unwrap_err().to_string();
        assert!(refused.contains("etdi keys trust FILE --as NAME"), "{refused}");
    }
    start(ruled().call_keys(CallKeys::Known(KeyRing::new()))).await.unwrap();
    let home = tempfile::tempdir().unwrap();
    start(ruled().callers(Callers::at(home.path().join("clients")))).await.unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = start(ruled().callers(Callers::at(file))).await.unwrap_err().to_string();
    assert!(refused.contains("list of known clients"), "{refused}");
    // What the policy demands is data: each demand alone.
    let mut policy = Policy::enhanced();
    policy.key_trust = KeyTrust::ConfiguredRoots;
    let refused = start(config().policy(policy)).await.unwrap_err();
    assert_eq!(*refused.reason(), StartError::StrictWithoutCallers);
}

/// The texts of warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = String::new();
        event.record(&mut Fields(&mut text));
        self.0.lock().unwrap().push(text);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// `enforce = "strict-only"` warns at start of each tool that anybody can call unsigned, and only
/// where that is so.
#[tokio::test]
async fn a_setting_that_lets_unsigned_calls_through_warns() {
    #[tool(etdi, etdi_crate = etdi_core, version = "1.0.0", require_request_signing)]
    fn pay() {}

    let of = async |enforce: &str, level: SecurityLevel| {
        let warnings = Warnings::default();
        let listening = tracing::subscriber::set_default(warnings.clone());
        let enforce: Enforce = serde_json::from_str(&format!("{enforce:?}")).unwrap();
        let key = Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
        let config = EtdiServerConfig::new(ServerIdentity::package("pkg:cargo/notes").unwrap())
            .operator(key)
            .auditor(Arc::new(MemoryAuditor::default()))
            .engine(Arc::new(LocalRules::of(level)))
            .call_keys(CallKeys::Known(KeyRing::new()))
            .level(level)
            .enforce(enforce);
        let server = server!().tool::<pay>().tool::<signed>().build().unwrap();
        secure(server, config).await.unwrap();
        drop(listening);
        let heard = warnings.0.lock().unwrap().clone();
        heard.into_iter().filter(|text| text.contains("strict-only")).collect::<Vec<_>>()
    };
    for level in [SecurityLevel::Basic, SecurityLevel::Enhanced] {
        let heard = of("strict-only", level).await;
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert!(heard[0].contains("tool=\"pay\"") && heard[0].contains("unsigned"), "{heard:?}");
        assert!(of("always", level).await.is_empty());
    }
    assert!(of("strict-only", SecurityLevel::Strict).await.is_empty());
}

#[tokio::test]
async fn a_tool_is_called_so_often_a_minute_by_one_caller() {
    let identity = ServerIdentity::package("pkg:cargo/notes").unwrap();
    let started = async |config: EtdiServerConfig| {
        let server = server!().tool::<signed>().tool::<other>().build().unwrap();
        secure(server, config).await.unwrap()
    };
    let call = async |service: &mut Secured<Server>, who: Option<&str>, tool: &str| {
        let request = ClientRequest::CallTool(CallToolRequestParams::new(tool));
        let mut exchange = Exchange::new(request);
        if let Some(who) = who {
            let principal = Principal::new("https://issuer.example", who);
            exchange.context.extensions.insert(principal);
        }
        service.call(exchange).await.map_err(|error| error.code)
    };
    let config = || EtdiServerConfig::new(identity.clone());
    let mut two = started(config().calls_per_minute(2)).await;
    for tool in ["signed", "other"] {
        assert!(call(&mut two, Some("eve"), tool).await.is_ok());
        assert!(call(&mut two, Some("eve"), tool).await.is_ok());
        let refused = call(&mut two, Some("eve"), tool).await;
        assert_eq!(refused.unwrap_err(), mcp_transport::TOO_MANY_REQUESTS);
    }
    assert!(call(&mut two, Some("ada"), "signed").await.is_ok());
    let list = ClientRequest::ListTools(PaginatedRequestParams::new());
    assert!(two.call(Exchange::new(list)).await.is_ok());

    let mut by_default = started(config()).await;
    let mut basic = started(config().level(SecurityLevel::Basic)).await;
    for _ in 0..100 {
        assert!(call(&mut by_default, None, "signed").await.is_ok());
        assert!(call(&mut basic, None, "signed").await.is_ok());
    }
    assert!(call(&mut by_default, None, "signed").await.is_err());
    assert!(call(&mut basic, None, "signed").await.is_ok());
}
