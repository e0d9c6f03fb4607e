//! Tokens and registrations of OAuth clients, such as those of a gateway that is many nodes.
//!
//! One key for each name, sealed for its owner and name. Redis learns neither, and can give none of them
//! to another user. What nobody has asked for in ninety days is gone, and its user logs in again. What
//! cannot be read is an error, never an absence.

use std::sync::Arc;

use etdi_oauth::{SecretText, TokenStore};
use mcp_types::BoxFuture;
use zeroize::Zeroizing;

use crate::client::{Client, Lua, hidden};
use crate::error::RedisError;
use crate::metrics::StoreName;
use crate::secret::{Age, Seal};

/// A [`TokenStore`] on Redis, for one owner: one round trip for each operation.
#[derive(Clone)]
pub struct RedisTokenStore(Arc<Inner>);

struct Inner {
    client: Client,
    seal: Seal,
    reseal: Lua,
    owner: String,
}

/// For how long a secret is kept that nobody asks for, in seconds: ninety days.
const UNUSED: u64 = 90 * 86_400;

/// The most bytes of one.
const MOST_BYTES: usize = 256 << 10;

impl RedisTokenStore {
    pub(crate) fn new(client: Client, seal: Seal, owner: String) -> Self {
        let reseal = Lua::new(include_str!("../scripts/reseal_text.lua"));
        Self(Arc::new(Inner { client, seal, reseal, owner }))
    }

    /// What is under a name; that somebody asked for it keeps it for another ninety days.
    ///
    /// # Errors
    ///
    /// [`RedisError`], also for what does not open.
    pub async fn try_get(&self, name: &str) -> Result<Option<SecretText>, RedisError> {
        let Inner { client, seal, .. } = &*self.0;
        let mut cmd = redis::cmd("GETEX");
        cmd.arg(self.key(name)).arg("EX").arg(UNUSED);
        let found: Option<Vec<u8>> = client.run(StoreName::Tokens, &cmd).await?;
        let Some(sealed) = found else { return Ok(None) };
        let opened = seal.open(&self.place(name), sealed.clone()).map(Zeroizing::new);
        let opened = client.count(StoreName::Tokens, opened)?;
        // What is asked for again and again would keep an earlier secret in use. Where it fails, or somebody else
        // has written, the next who asks does it.
        if seal.age(&sealed) == Age::Earlier
            && let Ok(after) = seal.seal(&self.place(name), &opened)
        {
            let (key, script) = ([&*self.key(name)], &self.0.reseal);
            let done = client.script(StoreName::Tokens, script, &key, &[&sealed, &after]).await;
            let _: Result<String, _> = done;
        }
        let text = std::str::from_utf8(&opened).map(SecretText::new);
        let text = text.map_err(|_| RedisError::Damaged("a secret is no text"));
        client.count(StoreName::Tokens, text).map(Some)
    }

    /// Keeps a secret of at most 256 KiB in place of what was there.
    ///
    /// # Errors
    ///
    /// [`RedisError`]; where it says that Redis was too slow or broke away, it may have been kept.
    pub async fn try_put(&self, name: &str, secret: &SecretText) -> Result<(), RedisError> {
        let Inner { client, seal, .. } = &*self.0;
        if secret.expose().len() > MOST_BYTES {
            return client.count(StoreName::Tokens, Err(RedisError::Quota));
        }
        let sealed = seal.seal(&self.place(name), secret.expose().as_bytes());
        let sealed = client.count(StoreName::Tokens, sealed)?;
        let mut cmd = redis::cmd("SET");
        cmd.arg(self.key(name)).arg(sealed).arg("EX").arg(UNUSED);
        client.run(StoreName::Tokens, &cmd).await
    }

    /// Takes it away.
    ///
    /// # Errors
    ///
    /// [`RedisError`]; it may be there still.
    pub async fn try_remove(&self, name: &str) -> Result<(), RedisError> {
        let mut cmd = redis::cmd("DEL");
        cmd.arg(self.key(name));
        let _: u64 = self.0.client.run(StoreName::Tokens, &cmd).await?;
        Ok(())
    }

    fn place<'a>(&'a self, name: &'a str) -> [&'a [u8]; 2] {
        [self.0.owner.as_bytes(), name.as_bytes()]
    }

    fn key(&self, name: &str) -> String {
        let name = hidden(&self.place(name));
        self.0.client.key(&format!("k{name}"), "secret")
    }
}

impl TokenStore for RedisTokenStore {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<SecretText>, String>> {
        Box::pin(async move { self.try_get(name).await.map_err(|error| error.to_string()) })
    }

    fn put<'a>(&'a self, name: &'a str, secret: SecretText) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(
            async move { self.try_put(name, &secret).await.map_err(|error| error.to_string()) },
        )
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.try_remove(name).await.map_err(|error| error.to_string()) })
    }
}

impl std::fmt::Debug for RedisTokenStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisTokenStore")
    }
}
