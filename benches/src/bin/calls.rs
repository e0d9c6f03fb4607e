//! What a signed call costs both ends: statement, its check, replay store, chain, policy, audit and
//! receipt.
//!
//! ```text
//! cargo run --release -p benches --bin calls            # prints
//! cargo run --release -p benches --bin calls -- --gate  # fails with policy and audit
//! ```
//!
//! A client and a server in one process without a transport, so that nothing else is measured; keys
//! are Ed25519, and the client lists again before each call, as it does by itself. A figure is the
//! median of 2,000 calls on a warm connection. The gate is on the two that check, ask a policy and
//! note on both sides: 150 us, or twice what an unsigned call, a signature and its check take together on this
//! machine, where that is more; a round that is over it is done again, twice at most, since other programs on the same cores are
//! no fault of ours. Receipts are optional, and cost a statement and its check more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use etdi::core::approval::{Answer, Approver, Granted, Question};
use etdi::core::audit::{AuditFile, Auditor, Durability, MemoryAuditor};
use etdi::core::identity::ServerIdentity;
use etdi::core::key::{Algorithm, SigningKey};
use etdi::core::policy::{LocalRules, PolicyEngine};
use etdi::core::trust::TrustAnchors;
use etdi::core::verify::Peer;
use etdi::{EtdiClient, EtdiServerConfig, Session, secure};
use mcp_server::{Server, server, tool};
use mcp_types::{BoxFuture, ExchangeService};
use serde_json::json;

const CALLS: usize = 2_000;
/// How often the gate looks before it fails.
const ROUNDS: u32 = 3;
/// On a machine whose signatures are dear: so many times an unsigned call, a signature and its
/// check.
const TIMES: u32 = 2;
const LIMIT: Duration = Duration::from_micros(150);

/// Pays.
#[tool(etdi, version = "1.0.0", permissions = ["money:send"], require_request_signing)]
fn pay(to: String, cents: u64) -> String {
    format!("{cents} to {to}")
}

/// Says what stands in a book.
#[tool(etdi, version = "1.0.0", permissions = ["books:read"])]
fn look(to: String, cents: u64) -> String {
    format!("{to} owes {cents}")
}

struct Yes;

impl Approver for Yes {
    fn ask<'a>(&'a self, _: Question<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready(Answer::approve(Granted::All, "bench")))
    }
}

/// What stands around a call besides its signature.
#[derive(Clone, Default)]
struct Around {
    auditors: Option<[Arc<dyn Auditor>; 2]>,
    policy: Option<Arc<dyn PolicyEngine>>,
    receipts: bool,
}

async fn session(around: Around) -> Result<Session<impl ExchangeService>> {
    let identity = ServerIdentity::package("pkg:cargo/bank")?;
    let key = Arc::new(SigningKey::generate(Algorithm::EdDsa)?);
    let mut anchors = TrustAnchors::new();
    anchors.trust_key(key.verifying_key().clone());
    let mut config = EtdiServerConfig::new(identity.clone()).operator(key).calls_per_minute(0);
    let caller = Arc::new(SigningKey::generate(Algorithm::EdDsa)?);
    let mut client = EtdiClient::builder().trust(anchors).approver(Arc::new(Yes)).caller(caller);
    if let Some([servers, clients]) = around.auditors {
        config = config.auditor(servers);
        client = client.auditor(clients);
    }
    if let Some(engine) = around.policy {
        config = config.engine(engine.clone());
        client = client.engine(engine);
    }
    if around.receipts {
        config = config.receipts();
    }
    let bank: Server = server!().tool::<pay>().tool::<look>().build()?;
    let bank = secure(bank, config).await?;
    Ok(client.build().over(bank, Peer::new(identity)).await?)
}

/// The median time of a call.
async fn measure(name: &str, tool: &str, around: Around) -> Result<Duration> {
    let session = session(around).await?;
    let arguments = json!({ "to": "Bob", "cents": 4_200 });
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begun = Instant::now();
        let result = session.invoke_tool(tool, &arguments).await?;
        times.push(begun.elapsed());
        if result.is_error == Some(true) {
            bail!("`{tool}` failed");
        }
    }
    times.sort();
    let median = *times.get(CALLS / 2).context("no call was made")?;
    println!("{name:<42} {:>7.1} us", median.as_secs_f64() * 1e6);
    Ok(median)
}

/// What no call can be without: a signature and its check, at the median.
fn signature() -> Result<Duration> {
    let key = SigningKey::generate(Algorithm::EdDsa)?;
    let message = [7; 600];
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let began = Instant::now();
        let signature = key.sign(&message)?;
        if !key.verifying_key().verify(&message, &signature) {
            bail!("a signature does not hold");
        }
        times.push(began.elapsed());
    }
    times.sort();
    let median = *times.get(CALLS / 2).context("nothing was signed")?;
    println!("{:<42} {:>7.1} us", "a signature and its check", median.as_secs_f64() * 1e6);
    Ok(median)
}

/// Prints all figures; gives the slowest of those under the gate, and its limit.
async fn figures() -> Result<(Duration, Duration)> {
    let rules: LocalRules = serde_json::from_value(json!({ "rules": [
        { "id": "no-shell", "effect": "forbid", "tools": ["shell*"] },
        { "id": "bank", "effect": "permit", "tools": ["pay", "look"] },
    ] }))?;
    let policy: Option<Arc<dyn PolicyEngine>> = Some(Arc::new(rules));
    let memory = || -> [Arc<dyn Auditor>; 2] {
        [Arc::new(MemoryAuditor::default()), Arc::new(MemoryAuditor::default())]
    };
    let directory = std::env::temp_dir().join(format!("etdi-calls-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let file = |name: &str| -> Result<Arc<dyn Auditor>> {
        Ok(Arc::new(AuditFile::open(directory.join(name), Durability::Written)?))
    };
    let in_files = async {
        let auditors = Some([file("server")?, file("client")?]);
        let around = Around { auditors, policy: policy.clone(), receipts: false };
        measure("signed, audited in files, local policy", "pay", around).await
    };
    let around = |audited: bool, policed: bool, receipts: bool| Around {
        auditors: audited.then(memory),
        policy: policy.clone().filter(|_| policed),
        receipts,
    };
    let plain = measure("unsigned", "look", around(false, false, false)).await?;
    measure("unsigned, audited, local policy", "look", around(true, true, false)).await?;
    measure("signed", "pay", around(false, false, false)).await?;
    measure("signed, audited", "pay", around(true, false, false)).await?;
    let all = measure("signed, audited, local policy", "pay", around(true, true, false)).await?;
    let written = in_files.await;
    std::fs::remove_dir_all(&directory)?;
    let written = written?;
    measure("signed, audited, local policy, receipts", "pay", around(true, true, true)).await?;
    Ok((all.max(written), LIMIT.max((plain + signature()?) * TIMES)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let gate = std::env::args().any(|argument| argument == "--gate");
    for round in 1.. {
        let (slowest, limit) = figures().await?;
        if !gate || slowest <= limit {
            break;
        }
        if round == ROUNDS {
            bail!("a signed call with policy and audit takes more than {limit:?} at the median");
        }
    }
    Ok(())
}
