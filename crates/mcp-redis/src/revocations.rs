//! What was revoked, for all nodes.
//!
//! One hash: a version, and one text that is sealed for it. A write names the version that it was made
//! from. Revocations only grow: a node that knows more than what is kept writes it again, so that a
//! Redis that was emptied, or brings an older text back, has all of it as soon as a node that knew it
//! verifies a listing. What cannot be read is an error, after which nothing is verified for longer than the
//! policy lets lists be old.

use std::sync::Arc;

use etdi_core::revocation::{KeptRevocations, RevocationStore};
use mcp_types::BoxFuture;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::client::{Client, Lua};
use crate::error::RedisError;
use crate::metrics::StoreName;
use crate::reseal::{Pages, Tally};
use crate::secret::Seal;

/// A [`RevocationStore`] on Redis: one round trip to hear that nothing is new, two to read what is, one to
/// write.
#[derive(Clone)]
pub struct RedisRevocationStore(Arc<Inner>);

struct Inner {
    client: Client,
    seal: Seal,
    script: Lua,
    key: String,
}

impl RedisRevocationStore {
    pub(crate) fn new(client: Client, seal: Seal) -> Self {
        let key = client.key("v", "revocations");
        let script = Lua::new(include_str!("scripts/revocations.lua"));
        Self(Arc::new(Inner { client, seal, script, key }))
    }

    /// What is kept, with its text where it is of another version than `known`.
    ///
    /// # Errors
    ///
    /// [`RedisError`], also for what does not open.
    pub async fn try_read(&self, known: u64) -> Result<KeptRevocations, RedisError> {
        let Inner { client, seal, key, .. } = &*self.0;
        let mut cmd = redis::cmd("HGET");
        let found: Option<String> =
            client.run(StoreName::Revocations, cmd.arg(key).arg("version")).await?;
        if client.count(StoreName::Revocations, version(found.as_deref()))? == known {
            return Ok(KeptRevocations { version: known, text: None });
        }
        let mut cmd = redis::cmd("HMGET");
        let found: (Option<String>, Option<Vec<u8>>) =
            client.run(StoreName::Revocations, cmd.arg(key).arg("version").arg("text")).await?;
        let version = client.count(StoreName::Revocations, version(found.0.as_deref()))?;
        let text = match found.1 {
            None if version == 0 => Ok(None),
            None => Err(RedisError::Damaged("the revocations are gone")),
            Some(sealed) => seal.open(&[&version.to_be_bytes()], sealed).map(Some),
        };
        let text = client.count(StoreName::Revocations, text)?;
        Ok(KeptRevocations { version, text })
    }

    /// Puts a text in the place of version `expected`; the new version, `None` where somebody else was
    /// faster.
    ///
    /// # Errors
    ///
    /// [`RedisError`]; where it says that Redis was too slow or broke away, it may have been written.
    pub async fn try_write(&self, expected: u64, text: &[u8]) -> Result<Option<u64>, RedisError> {
        let Inner { client, seal, script, key } = &*self.0;
        let mut random = [0; 8];
        let filled = SystemRandom::new().fill(&mut random);
        let no_random = |_| RedisError::Config("the system gives no random numbers".to_owned());
        client.count(StoreName::Revocations, filled.map_err(no_random))?;
        // No version comes a second time, also where Redis was emptied in between.
        let version = u64::from_be_bytes(random).max(1);
        let sealed = seal.seal(&[&version.to_be_bytes()], text);
        let sealed = client.count(StoreName::Revocations, sealed)?;
        let (before, after) = (expected.to_string(), version.to_string());
        let args = [before.as_bytes(), after.as_bytes(), &sealed];
        let said: String = client.script(StoreName::Revocations, script, &[key], &args).await?;
        Ok((said == "1").then_some(version))
    }

    /// Seals the text anew where it is not under the newest secret.
    pub(crate) async fn reseal(&self, tally: &mut Tally) -> Result<(), RedisError> {
        let Inner { client, seal, key, .. } = &*self.0;
        for _ in 0..ATTEMPTS {
            let mut pages = Pages::new(client, StoreName::Revocations, key);
            let mut is_old = false;
            while let Some(old) = pages.next_earlier(seal).await? {
                is_old |= !old.is_empty();
            }
            if !is_old {
                return Ok(());
            }
            let kept = match self.try_read(0).await {
                Err(RedisError::Damaged(_) | RedisError::Unopened) => {
                    tally.unreadable += 1;
                    return Ok(());
                }
                kept => kept?,
            };
            let Some(text) = kept.text else { return Ok(()) };
            if self.try_write(kept.version, &text).await?.is_some() {
                tally.resealed += 1;
                return Ok(());
            }
        }
        Err(RedisError::Damaged("the revocations change faster than they can be sealed anew"))
    }
}

/// How often the text is sealed anew when others are faster.
const ATTEMPTS: usize = 32;

fn version(text: Option<&str>) -> Result<u64, RedisError> {
    let damaged = |_| RedisError::Damaged("the version of the revocations is no number");
    text.map_or(Ok(0), |text| text.parse().map_err(damaged))
}

impl RevocationStore for RedisRevocationStore {
    fn read(&self, known: u64) -> BoxFuture<'_, Result<KeptRevocations, String>> {
        Box::pin(async move { self.try_read(known).await.map_err(|error| error.to_string()) })
    }

    fn write(&self, expected: u64, text: Vec<u8>) -> BoxFuture<'_, Result<Option<u64>, String>> {
        Box::pin(
            async move { self.try_write(expected, &text).await.map_err(|error| error.to_string()) },
        )
    }
}

impl std::fmt::Debug for RedisRevocationStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisRevocationStore")
    }
}
