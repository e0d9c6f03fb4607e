//! What a thousand signed tools cost a client: verified and approved for the first time, listed
//! again, and found by the next session.
//!
//! ```text
//! cargo run --release -p benches --bin thousand            # prints
//! cargo run --release -p benches --bin thousand -- --gate  # fails above 500 ms cold, 10 ms warm
//! ```
//!
//! Each tool has an attestation of its own (Ed25519), a schema with three members and a
//! declaration; nothing of transport is measured, and only the time that the processor is at it.
//! `file` keeps approvals in a directory, those of the listing in one write that is flushed; `sealed`
//! does so encrypted.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use etdi::core::approval::{Answer, ApprovalStore, Approver, Granted, MemoryStore, Question};
use etdi::core::attestation::Attestation;
use etdi::core::declaration::{Declaration, PermissionDeclaration};
use etdi::core::identity::{ProviderId, ServerIdentity};
use etdi::core::key::{Algorithm, SigningKey};
use etdi::core::layer::AskWhen;
use etdi::core::secret::{Protection, SealingKey};
use etdi::core::store::FileStore;
use etdi::core::trust::TrustAnchors;
use etdi::core::verify::Peer;
use etdi::core::wire::TOOL;
use etdi::{EtdiClient, EtdiServerConfig, secure, system_time};
use mcp_server::Server;
use mcp_types::{BoxFuture, JsonSchema, Meta, RawText, Tool};

const TOOLS: usize = 1_000;
const READS: &[PermissionDeclaration] = &[PermissionDeclaration::new("notes:read")];

struct Yes;

impl Approver for Yes {
    fn ask<'a>(&'a self, _: Question<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready(Answer::approve(Granted::All, "bench")))
    }
}

fn server() -> Result<Server> {
    let mut builder = Server::new("thousand", "1.0.0").page_size(TOOLS);
    for number in 0..TOOLS {
        let schema = RawText::of(&serde_json::json!({
            "type": "object", "required": ["query"],
            "properties": {
                "query": { "type": "string", "description": "What to look for, in words." },
                "limit": { "type": "integer", "minimum": 1, "maximum": 100 },
                "tags": { "type": "array", "items": { "type": "string" } },
            },
        }))?;
        let mut tool = Tool::new(format!("tool_{number}"), JsonSchema::new(schema)?);
        tool.description = Some(format!("Searches the notes of shelf {number} for some words."));
        let block = Declaration::new("1.0.0").permissions(READS).block()?;
        tool.meta.get_or_insert_with(Meta::new).insert(TOOL, RawText::of(&block)?);
        builder = builder.tool_fn(tool, async |_cx, _arguments: RawText| "found nothing");
    }
    Ok(builder.build()?)
}

async fn measure(name: &str, store: Arc<dyn ApprovalStore>) -> Result<(Duration, Duration)> {
    let key = Arc::new(SigningKey::generate(Algorithm::EdDsa)?);
    let issuer: ProviderId = "https://acme.example".parse()?;
    let identity = ServerIdentity::url("https://mcp.acme.example/mcp")?;
    let statement = Attestation::new(issuer.clone(), identity.clone(), system_time());
    let config = EtdiServerConfig::new(identity.clone()).signing(statement, key.clone());
    let server = secure(server()?, config).await?;
    let client = || {
        let mut trust = TrustAnchors::new();
        trust.trust(issuer.clone(), key.verifying_key().clone());
        EtdiClient::builder()
            .trust(trust)
            .approvals(store.clone())
            .approver(Arc::new(Yes))
            .ask(AskWhen::Listed)
            .build()
    };
    let first = client();
    let session = first.over(server.clone(), Peer::new(identity.clone())).await?;
    let list = async |session: &etdi::Session<_>| -> Result<Duration> {
        let begun = spent();
        let approved =
            session.discover_tools().await?.iter().filter(|tool| tool.is_approved()).count();
        let took = spent().saturating_sub(begun);
        if approved != TOOLS {
            bail!("{approved} tools are approved");
        }
        Ok(took)
    };
    let cold = list(&session).await?;
    let mut warm = Duration::MAX;
    // The clock of a process ticks every few milliseconds: one tick more or less is noise.
    for _ in 0..40 {
        warm = warm.min(list(&session).await?);
    }
    let next = client().over(server, Peer::new(identity)).await?;
    let found = list(&next).await?;
    println!("{name:<7} cold {cold:>10.2?}   warm {warm:>10.2?}   next process {found:>10.2?}");
    Ok((cold, warm))
}

/// The time that this thread has had a processor, so that a busy machine does not count; where the
/// system does not say, the time that has passed.
fn spent() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let spent = times.as_deref().and_then(|times| times.split(' ').next()?.parse().ok());
    spent.map_or_else(|| START.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut slowest = measure("memory", Arc::new(MemoryStore::new())).await?;
    for (name, key) in [("file", None), ("sealed", Some(SealingKey::generate()?))] {
        let directory =
            std::env::temp_dir().join(format!("etdi-thousand-{name}-{}", std::process::id()));
        let mut options = FileStore::options().in_the_clear();
        if let Some(key) = key {
            options = options.protection(Protection::key(key));
        }
        let measured = measure(name, Arc::new(options.open(&directory)?)).await;
        std::fs::remove_dir_all(&directory)?;
        let (cold, warm) = measured?;
        slowest = (slowest.0.max(cold), slowest.1.max(warm));
    }
    let gate = std::env::args().any(|argument| argument == "--gate");
    if gate && slowest.0 > Duration::from_millis(500) {
        bail!("above 500 ms cold");
    }
    if gate && slowest.1 > Duration::from_millis(10) {
        bail!("above 10 ms warm");
    }
    Ok(())
}
