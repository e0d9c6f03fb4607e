//! What each store costs: bytes in Redis and round trips for one of a kind, and how many a second.
//!
//! `cargo run --release -p mcp-redis --all-features --example store_cost -- redis://127.0.0.1:6379 100000`
//! wants a Redis of its own and leaves keys with the prefix `cost` in it. Of a store that keeps no more than
//! so many, as many are measured. A third word is the store that is to be measured alone.

#![recursion_limit = "256"]

mod bounded;
#[cfg(feature = "oauth")]
mod logins;
mod meter;

use std::error::Error;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use etdi_core::digest::Digest;
use etdi_core::key::KeyId;
use etdi_core::request::{ReplayStore as _, Taken};
use etdi_core::time::UnixTime;
use mcp_redis::{Address, ClusterSecret, RedisStores, StoreName};
use mcp_server::task::{KeptTask, Quota, TaskStore as _};
use mcp_transport::http::server::{EventPlace, EventStore as _, SessionStore as _};
use mcp_transport::{Allowance, RateStore as _};

use meter::Meter;

type Done = Result<(), Box<dyn Error + Send + Sync>>;

/// How many are under way at once.
const AT_ONCE: usize = 64;

#[tokio::main]
async fn main() -> Done {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("name the URL of a Redis of its own")?;
    let count: usize = args.next().map_or(Ok(100_000), |text| text.parse())?;
    let only = args.next();
    let secret = ClusterSecret::new([1; 32]);
    let stores = RedisStores::builder(Address::one(url.clone()), secret)
        .prefix("cost")
        .statements_per_key(u64::MAX >> 12)
        .timeout(std::time::Duration::from_secs(10))
        .dangerously_believe_empty()
        .connect()
        .await?;
    let redis = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    println!("{count} of each, {AT_ONCE} at once");
    println!("| Store | One | Bytes of one | Round trips of one | A second |");
    println!("|---|---|---|---|---|");
    let meter = Meter { stores: stores.clone(), redis, count, at_once: AT_ONCE, only };

    let replay = stores.replay();
    let statement = move |number: usize| {
        let replay = replay.clone();
        async move {
            let caller = Digest::of_bytes(&(number as u64 % 100).to_le_bytes());
            let id = format!("01890a5d-ac96-774b-bcce-{number:012}");
            let key = KeyId::from_bytes(*caller.as_bytes());
            let now = now();
            match replay.take(key, &id, now.plus(90), now).await {
                Taken::First => Ok(()),
                other => Err(format!("a statement was not taken but {other:?}").into()),
            }
        }
    };
    meter.measure("replay", "signed call", StoreName::Replay, statement).await?;

    let events = stores.events()?;
    let event = move |number: usize| {
        let events = events.clone();
        async move {
            let session = format!("{:032}", number / 2);
            let place = EventPlace::new(session.into(), 1, number as u64 % 2);
            let message = Bytes::from(vec![b'x'; if number.is_multiple_of(2) { 0 } else { 400 }]);
            Ok(events.append(place, message).await?)
        }
    };
    meter
        .measure("events", "event, two a session, 200 bytes each", StoreName::Events, event)
        .await?;

    let record = Bytes::from_static(SESSION.as_bytes());
    let life = std::time::Duration::from_secs(1_800);
    let sessions = stores.sessions()?;
    let session = move |number: usize| {
        let (sessions, record) = (sessions.clone(), record.clone());
        async move {
            sessions.insert(&format!("{number:032}"), record, life).await?;
            Ok(())
        }
    };
    let one = "session that begins, with a record of 400 bytes";
    meter.measure("sessions", one, StoreName::Sessions, session).await?;
    let sessions = stores.sessions()?;
    let message = move |number: usize| {
        let sessions = sessions.clone();
        async move {
            let found = sessions.find(&format!("{number:032}"), life).await?;
            found.map(drop).ok_or_else(|| "a session is gone".into())
        }
    };
    meter.measure("sessions", "message of a session", StoreName::Sessions, message).await?;

    let (tasks, mut wide, most) = (stores.tasks()?, Quota::default(), usize::MAX >> 12);
    (wide.tasks, wide.tasks_of_owner, wide.bytes) = (most, most, most);
    let wide = Arc::new(wide);
    let task = move |number: usize| {
        let (tasks, quota) = (tasks.clone(), wide.clone());
        async move {
            let (id, owner) = (format!("{number:040x}"), format!("user {}", number % 1_000));
            let task = KeptTask::new(owner, Some((now().0 + 3_600) * 1_000), vec![b'x'; 600]);
            Ok(tasks.insert(&id, task, &quota, now().0 * 1_000).await?)
        }
    };
    meter.measure("tasks", "task of 600 bytes", StoreName::Tasks, task).await?;

    let rates = stores.rates();
    let rate = move |number: usize| {
        let rates = rates.clone();
        async move {
            rates.take(&format!("user {number}"), Allowance::new(0.01, 10)).await?;
            Ok(())
        }
    };
    meter.measure("rates", "caller that is not idle", StoreName::Rates, rate).await?;
    bounded::measure(&meter).await?;
    #[cfg(feature = "oauth")]
    logins::measure(&meter).await?;
    Ok(())
}

/// What is kept of a client that says of itself what most do.
const SESSION: &str = r#"{"owner":["https://login.example.com/","auth0|65f2c0d1e4b0a1b2c3d4e5f6"],"said":{"version":"0000-00-00","client_info":{"name":"example-desktop-client","title":"Example","version":"1.24.3"},"client_capabilities":{"elicitation":{"form":{},"url":{}},"roots":{"listChanged":true},"sampling":{"tools":{}}},"log_level":"info","told":{"tools":true,"prompts":true,"resources":true,"updates":true}}}"#;

fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}
