//! One server as three processes behind a balancer, on a Redis that is started along with them.
//!
//! ```sh
//! cargo build -p examples --example cluster --example http_modes --example long_job
//! target/debug/examples/cluster 127.0.0.1:8000
//! ```
//!
//! It wants a `redis-server` on the `PATH` (Debian: `apt-get install redis-server`), starts it on a free
//! port with a folder of its own, and prints where everything is. Nothing listens anywhere but on this
//! computer, and nothing is left when it is interrupted. In another terminal:
//!
//! ```sh
//! cd target/debug/examples
//! ./http_modes call http://127.0.0.1:8000/mcp   # again and again: the nodes answer in turn
//! ./long_job start http://127.0.0.1:8000/mcp 60 # prints a ticket
//! ./long_job follow http://127.0.0.1:8000/mcp 'TICKET'
//! kill -9 PID                                   # of any node; it is started again
//! ./long_job follow http://127.0.0.1:8000/mcp 'TICKET'
//! ./long_job cancel http://127.0.0.1:8000/mcp 'TICKET'
//! ```
//!
//! What the nodes share is in `node.rs`: one secret, and the stores on Redis. A task that a dead node
//! was at is taken over by whichever node is asked for it 60 seconds later, because its tool says
//! that it may begin anew. `pay` is a tool whose calls are signed: the same call at all nodes at once
//! counts once. The key of a caller whom the nodes know is in the folder that is printed.
//!
//! The balancer hands connections on, one to each node in turn, and knows nothing of MCP. Clients of
//! 2026-07-28 need no more; a session of an older one is served by whichever node gets its message.
//! A node answers `/live`, and `/ready` while its stores do.
//! With `--each-request` it hands on requests, so that a session is at another node with each message.
//! `--redis URL` takes a Redis that is there, whose emptiness nobody believes for 40 seconds, under a prefix of
//! its own, or under `cluster` with the secret that `CLUSTER_SECRET` holds (32 bytes in base64). `--nodes N` starts so many, and `--node PROGRAM` is started in place of this program's own node:
//! `cluster --each-request --node ./everything 127.0.0.1:8000`. `cluster measure` says how many calls a
//! second three nodes answer here, beside one.
//! `examples/tests/cluster` is this page as a test.

mod arguments;
mod balancer;
mod calls;
mod measure;
mod node;
mod nodes;
mod redis;
mod requests;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use etdi_core::key::{Algorithm, SigningKey};
use examples::listen_at;
use ring::rand::{SecureRandom as _, SystemRandom};

use arguments::{Arguments, USAGE};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["node", folder] => node::run(Path::new(folder)).await,
        ["--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        ["measure"] => measure::run(5).await,
        ["measure", rounds] => measure::run(rounds.parse().context(USAGE)?).await,
        ["node" | "measure", ..] => bail!(USAGE),
        _ => run(Arguments::read(words)?).await,
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let listener = listen_at(&arguments.address).await?;
    let folder = private_folder().context("no temporary folder can be made")?;
    let own = match arguments.redis {
        None => Some(redis::Redis::start(folder.path())?),
        Some(_) => None,
    };
    let redis = arguments.redis.or_else(|| own.as_ref().map(redis::Redis::url));
    let redis = redis.context("there is no Redis")?;
    println!("redis {redis}");
    for key in [node::PUBLISHER, node::CALLER] {
        let made = SigningKey::generate(Algorithm::EdDsa)?;
        kept_private(&folder.path().join(key), made.to_pkcs8_pem().as_bytes())?;
    }
    println!("keys {}", folder.path().display());
    let (secret, prefix) = match std::env::var("CLUSTER_SECRET") {
        Ok(secret) => (secret, "cluster".to_owned()),
        // Nobody knows it afterwards, so nobody else may begin where it was used.
        Err(_) => {
            let (secret, number) = (random::<32>()?, random::<9>()?);
            (STANDARD.encode(secret), format!("cluster-{}", URL_SAFE_NO_PAD.encode(number)))
        }
    };
    let program = match arguments.program {
        Some(program) => vec![program, "--node".into()],
        None => {
            let this = std::env::current_exe().context("this program cannot find itself")?;
            vec![this.into(), "node".into(), folder.path().into()]
        }
    };
    let shared = vec![("REDIS_URL", redis), ("CLUSTER_SECRET", secret), ("CLUSTER_PREFIX", prefix)];
    let young: &[_] = if own.is_some() { &[("CLUSTER_YOUNG", "1")] } else { &[] };
    let nodes = nodes::Nodes::start(arguments.nodes, &program, shared, young)?;
    println!("balancer http://{}/mcp", listener.local_addr()?);
    let stop = interrupted();
    let balance = async {
        if arguments.each_request {
            return requests::run(listener, nodes.table()).await;
        }
        balancer::run(listener, nodes.table()).await;
        Ok(())
    };
    let ended = tokio::select! {
        ended = balance => ended,
        () = stop => Ok(()),
    };
    nodes.stop();
    ended
}

/// Waits for whoever ends this program: at its terminal, or by `kill`.
async fn interrupted() {
    #[cfg(unix)]
    if let Ok(mut asked) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    {
        tokio::select! {
            _ = asked.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        return;
    }
    drop(tokio::signal::ctrl_c().await);
}

fn random<const LENGTH: usize>() -> anyhow::Result<[u8; LENGTH]> {
    let mut random = [0; LENGTH];
    let filled = SystemRandom::new().fill(&mut random);
    filled.map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    Ok(random)
}

/// A folder that nobody else on this computer can look into.
fn private_folder() -> std::io::Result<tempfile::TempDir> {
    let mut folder = tempfile::Builder::new();
    #[cfg(unix)]
    folder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    folder.tempdir()
}

/// Writes a file that nobody else can read, not even before it is whole.
fn kept_private(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text)
}
