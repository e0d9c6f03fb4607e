//! A connection to one server, which is looked for anew when it breaks, falls silent or is no master any more.
//!
//! To look for it is a task of its own, for all who wait together: whoever gives up waiting does not end it. So a
//! sentinel that is gone without a word costs time, and not the failover. A server that only hangs, with a system
//! that goes on taking packets, is left as well: sentinels may have put another one in its place, or its name
//! may stand for another one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::sentinel::SentinelClient;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisResult, Value};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::patience::Patience;

/// Who says where the server is.
pub(crate) enum Finder {
    /// A name or an address.
    Address(Client),
    /// Sentinels.
    Sentinels(SentinelClient),
}

impl Finder {
    async fn find(&mut self, config: &AsyncConnectionConfig) -> RedisResult<MultiplexedConnection> {
        match self {
            Self::Address(client) => {
                client.get_multiplexed_async_connection_with_config(config).await
            }
            Self::Sentinels(client) => client.get_async_connection_with_config(config).await,
        }
    }
}

/// The line to a server, shared by all stores.
pub(crate) struct Line {
    finder: tokio::sync::Mutex<Finder>,
    config: AsyncConnectionConfig,
    silence: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: Option<Known>,
    search: Option<Search>,
    /// How many connections there were.
    count: u64,
}

#[derive(Clone)]
struct Known {
    number: u64,
    since: Instant,
    connection: MultiplexedConnection,
}

/// A search that goes on, or failed a moment ago.
struct Search {
    task: JoinHandle<()>,
    found: watch::Receiver<Option<RedisResult<Known>>>,
}

/// For how long a server is looked for at least, however short the silence is that is borne: each sentinel has
/// seconds by the client of Redis.
const SEARCH: Duration = Duration::from_secs(10);

/// What part of the silence passes between a search that failed and the next.
const PAUSE: u32 = 10;

/// What a server says that is no master any more, or may not be the one that others know.
const ELSEWHERE: [&str; 3] = ["READONLY", "NOREPLICAS", "MASTERDOWN"];

impl Line {
    pub(crate) fn new(finder: Finder, silence: Duration) -> Arc<Self> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(silence))
            .set_response_timeout(Some(Patience::most(silence)));
        let finder = tokio::sync::Mutex::new(finder);
        Arc::new(Self { finder, config, silence, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the server, unless it is known.
    pub(crate) async fn connect(self: &Arc<Self>) -> RedisResult<()> {
        self.known().await.map(drop)
    }

    /// The number of the connection that is in use now.
    pub(crate) fn number(&self) -> Option<u64> {
        self.state().known.as_ref().map(|known| known.number)
    }

    /// No more commands go to the connection of this number; those that are under way may still be answered.
    pub(crate) fn leave(&self, number: u64) {
        self.state().known.take_if(|known| known.number == number);
    }

    pub(crate) async fn query(self: &Arc<Self>, cmd: &Cmd) -> RedisResult<Value> {
        let mut known = self.known().await?;
        let answer = known.connection.req_packed_command(cmd).await;
        let is_over = match &answer {
            Err(error) => error.is_unrecoverable_error() || error.is_io_error(),
            // One that was found just now is the one that there is: it is not looked for with each command.
            Ok(Value::ServerError(error)) => {
                ELSEWHERE.contains(&error.code()) && known.since.elapsed() >= self.silence
            }
            Ok(_) => false,
        };
        if is_over {
            self.leave(known.number);
        }
        answer
    }

    async fn known(self: &Arc<Self>) -> RedisResult<Known> {
        let mut found = {
            let mut state = self.state();
            if let Some(known) = &state.known {
                return Ok(known.clone());
            }
            match state.search.as_ref().filter(|search| !search.task.is_finished()) {
                Some(search) => search.found.clone(),
                None => {
                    let search = self.search();
                    let found = search.found.clone();
                    state.search = Some(search);
                    found
                }
            }
        };
        let found = found.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
        // It ends without a word where its runtime does.
        found.unwrap_or_else(|| Err(std::io::Error::from(std::io::ErrorKind::Interrupted).into()))
    }

    fn search(self: &Arc<Self>) -> Search {
        let (tell, found) = watch::channel(None);
        let line = self.clone();
        let task = tokio::spawn(async move {
            let most = Patience::most(line.silence).max(SEARCH);
            let search = async { line.finder.lock().await.find(&line.config).await };
            let late = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
            let found = tokio::time::timeout(most, search).await.unwrap_or_else(late);
            let found = found.map(|connection| line.keep(connection));
            let has_failed = found.is_err();
            tell.send_replace(Some(found));
            if has_failed {
                // Until then all who ask hear of this failure.
                tokio::time::sleep(line.silence / PAUSE).await;
            }
        });
        Search { task, found }
    }

    fn keep(&self, connection: MultiplexedConnection) -> Known {
        let mut state = self.state();
        state.count += 1;
        let known = Known { number: state.count, since: Instant::now(), connection };
        state.known = Some(known.clone());
        known
    }
}
