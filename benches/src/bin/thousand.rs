//! What a thousand signed tools cost a client: verified and approved for the first time, listed
//! again, and found by the next session.
//!
//! ```text
//! cargo run --release -p benches --bin thousand            # prints
//! cargo run --release -p benches --bin thousand -- --gate  # fails above its limits
//! ```
//!
//! Limits: 500 ms cold; warm 10 ms, or six times what reading and hashing as many definitions takes on this
//! machine where that is more; and so many instructions warm ([`INSTRUCTIONS`], counted by callgrind).
//! The times are the best of three rounds, since another program on the same core is no fault of ours; the
//! count is the same on any.
//!
//! Each tool has an attestation of its own (Ed25519), a schema with three members and a
//! declaration; nothing of transport is measured, and only the time that the processor is at it.
//! `file` keeps approvals in a directory, those of the listing in one write that is flushed; `sealed`
//! does so encrypted.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use benches::callgrind;
use etdi::core::approval::{Answer, ApprovalStore, Approver, Granted, MemoryStore, Question};
use etdi::core::attestation::Attestation;
use etdi::core::declaration::{Declaration, PermissionDeclaration};
use etdi::core::digest::Digest;
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

/// The bytes of an attestation, about.
const ATTESTATION: usize = 900;
/// How many listings are timed together: the clock of a thread ticks every four milliseconds.
const BATCH: u32 = 10;
/// How often everything is measured.
const ROUNDS: u32 = 3;

/// The most for tools that the client has never seen.
const COLD: Duration = Duration::from_millis(500);
/// The most for tools that it has approved.
const WARM: Duration = Duration::from_millis(10);
/// Or so many times what reading and hashing alone takes, where that is more.
const TIMES: u32 = 6;
/// The most instructions for the same, with approvals in memory.
const INSTRUCTIONS: u64 = 80_000_000;

const READS: &[PermissionDeclaration] = &[PermissionDeclaration::new("notes:read")];

struct Yes;

impl Approver for Yes {
    fn ask<'a>(&'a self, _: Question<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready(Answer::approve(Granted::All, "bench")))
    }
}

fn server() -> Result<Server> {
    let mut builder = Server::new("thousand", "1.0.0").page_size(TOOLS);
    for tool in tools()? {
        builder = builder.tool_fn(tool, async |_cx, _arguments: RawText| "found nothing");
    }
    Ok(builder.build()?)
}

fn tools() -> Result<Vec<Tool>> {
    let mut tools = Vec::with_capacity(TOOLS);
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
        tools.push(tool);
    }
    Ok(tools)
}

/// Lists once, [`BATCH`] times in each of so many batches, and once by a client that starts with what the
/// first one kept.
async fn measure(store: Arc<dyn ApprovalStore>, batches: u64) -> Result<[Duration; 3]> {
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
    for _ in 0..batches {
        let begun = spent();
        for _ in 0..BATCH {
            list(&session).await?;
        }
        warm = warm.min(spent().saturating_sub(begun) / BATCH);
    }
    let next = client().over(server, Peer::new(identity)).await?;
    Ok([cold, warm, list(&next).await?])
}

/// Measures with approvals in memory, in files or in sealed files, whichever `store` is.
async fn measure_in(store: &str, batches: u64) -> Result<[Duration; 3]> {
    let directory =
        std::env::temp_dir().join(format!("etdi-thousand-{store}-{}", std::process::id()));
    let options = FileStore::options().in_the_clear();
    let kept: Arc<dyn ApprovalStore> = match store {
        "memory" => Arc::new(MemoryStore::new()),
        "file" => Arc::new(options.open(&directory)?),
        _ => {
            let key = Protection::key(SealingKey::generate()?);
            Arc::new(options.protection(key).open(&directory)?)
        }
    };
    let measured = measure(kept, batches).await;
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    measured
}

/// What nobody can do without: a thousand definitions are read and hashed, each with as many bytes as an
/// attestation has.
fn floor() -> Result<Duration> {
    let mut texts = Vec::with_capacity(TOOLS);
    for mut tool in tools()? {
        let attestation = RawText::of(&"a".repeat(ATTESTATION))?;
        tool.meta.get_or_insert_with(Meta::new).insert("example.com/attestation", attestation);
        texts.push(serde_json::to_string(&tool)?);
    }
    let mut least = Duration::MAX;
    for _ in 0..4 {
        let begun = spent();
        for _ in 0..BATCH {
            for text in &texts {
                let tool: Tool = serde_json::from_str(text)?;
                let (whole, part) = text.as_bytes().split_at(text.len() - ATTESTATION);
                let digests = [whole, part].map(Digest::of_bytes);
                std::hint::black_box((tool, digests));
            }
        }
        least = least.min(spent().saturating_sub(begun) / BATCH);
    }
    Ok(least)
}

/// What one more listing by a client that knows the tools takes, with approvals in memory.
fn instructions() -> Result<u64> {
    let count = |batches: &str| {
        callgrind::instructions(&["batches", batches], |mut command| {
            let output = command.output()?;
            if !output.status.success() {
                bail!("{}", String::from_utf8_lossy(&output.stderr));
            }
            Ok(String::new())
        })
    };
    // One listing more or less costs less than two starts differ by: keys and tables are random.
    Ok(count("6")?.saturating_sub(count("1")?) / (5 * u64::from(BATCH)))
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
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let gate = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => false,
        ["--gate"] => true,
        ["batches", batches] => return measure_in("memory", batches.parse()?).await.map(drop),
        other => bail!("unknown arguments {other:?}; run it with `--gate` or without any"),
    };
    let mut best = ["memory", "file", "sealed"].map(|store| (store, [Duration::MAX; 3]));
    for _ in 0..ROUNDS {
        for (store, best) in &mut best {
            for (best, now) in best.iter_mut().zip(measure_in(store, 4).await?) {
                *best = now.min(*best);
            }
        }
    }
    for (store, [cold, warm, next]) in &best {
        println!("{store:<7} cold {cold:>10.2?}   warm {warm:>10.2?}   next process {next:>10.2?}");
    }
    let floor = floor()?;
    println!("reading and hashing alone {floor:.2?}");
    let count = instructions()?;
    println!("memory  warm {count} instructions");
    if !gate {
        return Ok(());
    }
    let limit = WARM.max(floor * TIMES);
    for (store, [cold, warm, _]) in best {
        if cold > COLD || warm > limit {
            bail!("{store}: above {COLD:?} cold or {limit:?} warm");
        }
    }
    if count > INSTRUCTIONS {
        bail!("above {INSTRUCTIONS} instructions warm");
    }
    Ok(())
}
