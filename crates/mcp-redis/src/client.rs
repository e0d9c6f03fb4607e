//! One command or script at a time, in bounded time, counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::cluster_routing::Slot;
use redis::{Arg, Cmd, ErrorKind, FromRedisValue, Script, ServerErrorKind};
use ring::digest::{SHA256, digest};

use crate::address::Connection;
use crate::error::RedisError;
use crate::metrics::{Metrics, StoreName};
use crate::patience::{Patience, Unanswered};

/// What all stores share.
#[derive(Clone)]
pub(crate) struct Client(Arc<Inner>);

struct Inner {
    connection: Connection,
    prefix: String,
    patience: Patience,
    metrics: Arc<Metrics>,
}

/// A script with its digest. The last of its arguments is `1` when Redis does not know it yet.
#[derive(Debug)]
pub(crate) struct Lua {
    text: String,
    hash: String,
}

impl Lua {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let hash = Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }
}

impl Client {
    pub(crate) fn new(
        connection: Connection,
        prefix: String,
        silence: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let patience = Patience::new(silence);
        Self(Arc::new(Inner { connection, prefix, patience, metrics }))
    }

    /// The name of a key: prefix, version of the format, what keeps related keys together, the rest.
    pub(crate) fn key(&self, together: &str, rest: &str) -> String {
        format!("{}:1:{{{together}}}:{rest}", self.0.prefix)
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        store: StoreName,
        cmd: &Cmd,
    ) -> Result<T, RedisError> {
        let began = Instant::now();
        let done = self.ask(store, cmd).await;
        self.count(store, done.map_err(|error| RedisError::of(error, began.elapsed())))
    }

    /// Runs a script that does several steps as one.
    pub(crate) async fn script<T: FromRedisValue>(
        &self,
        store: StoreName,
        script: &Lua,
        keys: &[&str],
        args: &[&[u8]],
    ) -> Result<T, RedisError> {
        let command = |verb: &str, text: &str, unknown: &str| {
            let mut cmd = redis::cmd(verb);
            cmd.arg(text).arg(keys.len()).arg(keys).arg(args).arg(unknown);
            cmd
        };
        let began = Instant::now();
        let mut done = self.ask(store, &command("EVALSHA", &script.hash, "0")).await;
        let unknown = ErrorKind::Server(ServerErrorKind::NoScript);
        if done.as_ref().is_err_and(|error: &redis::RedisError| error.kind() == unknown) {
            done = self.ask(store, &command("EVAL", &script.text, "1")).await;
        }
        self.count(store, done.map_err(|error| RedisError::of(error, began.elapsed())))
    }

    /// Counts what became of an operation that a script or the store itself judged.
    pub(crate) fn count<T>(
        &self,
        store: StoreName,
        done: Result<T, RedisError>,
    ) -> Result<T, RedisError> {
        match &done {
            Ok(_) => self.0.metrics.answered(store),
            Err(error) => self.0.metrics.failed(store, error),
        }
        done
    }

    async fn ask<T: FromRedisValue>(&self, store: StoreName, cmd: &Cmd) -> redis::RedisResult<T> {
        self.0.metrics.round_trip(store);
        let Inner { connection, patience, .. } = &*self.0;
        let (key, number) = (self.key_of(cmd), connection.number());
        let value = match patience.wait(key.map(Slot::for_key), connection.query(cmd)).await {
            Ok(answer) => answer?,
            Err(why) => {
                if why == Unanswered::Silence {
                    connection.leave(number, key);
                }
                return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
            }
        };
        Ok(T::from_redis_value(value.extract_error()?)?)
    }

    /// A key of a command, in a cluster, where all of them have one slot. The first of what [`Client::key`] names
    /// stands before all that a caller may have written.
    fn key_of<'a>(&self, cmd: &'a Cmd) -> Option<&'a [u8]> {
        if !self.0.connection.is_cluster() {
            return None;
        }
        let ours = format!("{}:1:{{", self.0.prefix);
        cmd.args_iter().find_map(|arg| match arg {
            Arg::Simple(key) if key.starts_with(ours.as_bytes()) => Some(key),
            _ => None,
        })
    }
}

/// A name for something that may be long or have any letters: 128 bits of its digest.
pub(crate) fn hidden(text: &[&[u8]]) -> String {
    let mut whole = Vec::new();
    for part in text {
        whole.extend_from_slice(&(part.len() as u64).to_be_bytes());
        whole.extend_from_slice(part);
    }
    let digest = digest(&SHA256, &whole);
    URL_SAFE_NO_PAD.encode(digest.as_ref().get(..16).unwrap_or_default())
}
