//! Records of an authorization server under the newest secret.

use etdi_oauth::embedded::Kind;

use super::{RedisAuthorizationStore, place};
use crate::error::RedisError;
use crate::metrics::StoreName;
use crate::reseal::{Pages, Swaps, Tally};
use crate::secret::Age;

impl RedisAuthorizationStore {
    /// Seals all records anew. Nothing is used, spent or taken back by that.
    pub(crate) async fn reseal(&self, tally: &mut Tally) -> Result<(), RedisError> {
        let super::Inner { client, seal, .. } = &*self.0;
        for kind in Kind::ALL {
            let (number, of) = place(kind)?;
            let key = client.key(&format!("o{number}"), "records");
            let mut pages = Pages::new(client, StoreName::Authorization, &key);
            let mut swaps = Swaps::new(client, StoreName::Authorization, &key);
            while let Some(old) = pages.next_earlier(seal).await? {
                if old.is_empty() {
                    continue;
                }
                let mut cmd = redis::cmd("HMGET");
                cmd.arg(&key).arg(&old);
                let found = client.run(StoreName::Authorization, &cmd).await;
                let found: Vec<Option<Vec<u8>>> = found?;
                for (field, value) in old.into_iter().zip(found) {
                    let Some(value) = value else { continue };
                    let space = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
                    let (until, sealed) = value.split_at(space);
                    let sealed = sealed.get(1..).unwrap_or_default();
                    if seal.age(sealed) == Age::Newest {
                        continue;
                    }
                    match seal.reseal(&[of.as_bytes(), &field, until], sealed.to_vec()) {
                        Ok(sealed) => {
                            let after = [until, b" ", &sealed].concat();
                            swaps.swap([field, value, after], tally).await?;
                        }
                        Err(RedisError::Damaged(_) | RedisError::Unopened) => tally.unreadable += 1,
                        Err(error) => return Err(error),
                    }
                }
                swaps.write(tally).await?;
            }
        }
        Ok(())
    }
}
