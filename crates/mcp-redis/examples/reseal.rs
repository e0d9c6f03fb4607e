//! Seals anew what does not end by itself, for the last round of a change of the secret.
//!
//! `CLUSTER_SECRET=new CLUSTER_SECRET_BEFORE=old cargo run -p mcp-redis --features oauth --example reseal --
//! redis://127.0.0.1:6379 mcp` with the secrets in base64, the address and the prefix; a third word, a file of
//! authorities in PEM. It may be run while nodes work, and again after it was broken off. It ends with 1 as long as
//! anything is left that the new secret does not open, and where it is refused: under a prefix that no node has, and as
//! long as the nodes do not seal with the new secret. It connects to one Redis; for a cluster or sentinels take
//! `Address::cluster` or `Address::sentinel` instead.

use std::error::Error;
use std::process::ExitCode;

use mcp_redis::{Address, ClusterSecret, RedisStores};

#[tokio::main]
async fn main() -> ExitCode {
    match reseal().await {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Gives whether anything is left.
async fn reseal() -> Result<bool, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut next = |what: &str| args.next().ok_or(format!("say the {what}"));
    let (url, prefix) = (next("URL of Redis")?, next("prefix")?);
    let mut address = Address::one(url);
    if let Ok(file) = next("authorities") {
        address = address.authorities(std::fs::read(file)?);
    }
    let secret = |name: &str| -> Result<_, Box<dyn Error>> {
        let text = std::env::var(name).map_err(|_| format!("set `{name}`"))?;
        Ok(ClusterSecret::from_base64(&text)?)
    };
    let secret = secret("CLUSTER_SECRET")?.also_opens(&secret("CLUSTER_SECRET_BEFORE")?);
    let stores = RedisStores::builder(address, secret).prefix(prefix).beside_nodes();
    let stores = stores.connect().await?;
    let mut is_left = false;
    for done in stores.reseal().await? {
        let (name, why) = (done.store.name(), done.error.map(|error| error.to_string()));
        println!("{name}: {} sealed anew, {} do not open", done.resealed, done.unreadable);
        for field in done.strays {
            println!("{name}: no head names the field {field:?}, which `HDEL` takes out");
        }
        if let Some(why) = why {
            eprintln!("{name}: broken off: {why}");
            is_left = true;
        }
    }
    for left in stores.seals().await? {
        let name = left.store.name();
        println!(
            "{name}: {} under the new secret, {} under the one before, {} under others",
            left.newest, left.earlier, left.unknown
        );
        is_left |= left.earlier + left.unknown > 0;
    }
    println!(
        "sessions are sealed anew when they are used, and others end: begin the last round when `session_idle` (30 minutes \
         unless it is set) is over since the last node seals with the new secret"
    );
    Ok(is_left)
}
