//! Tasks under the newest secret.

use super::{RedisTaskStore, number};
use crate::error::RedisError;
use crate::metrics::StoreName;
use crate::reseal::{Pages, Swaps, Tally};
use crate::secret::Age;

impl RedisTaskStore {
    /// Seals bodies and owners anew. Their versions stay, so whoever works on a task hears nothing of it.
    pub(crate) async fn reseal(&self, tally: &mut Tally) -> Result<(), RedisError> {
        let super::Inner { client, seal, script, keys } = &*self.0;
        let [bodies, owners, ..] = keys;
        let all = keys.each_ref().map(String::as_str);
        // An owner is written once and a body often, so each is looked for by itself.
        for key in [bodies, owners] {
            let mut pages = Pages::new(client, StoreName::Tasks, key);
            let mut swaps = Swaps::new(client, StoreName::Tasks, key);
            while let Some(old) = pages.next_earlier(seal).await? {
                for id in old {
                    // Read together, because the version is part of the place.
                    let found =
                        client.script(StoreName::Tasks, script, &all, &[b"load", &id]).await;
                    let found: Vec<Vec<u8>> = found?;
                    let Ok([version, _, body, owner]) = <[_; 4]>::try_from(found) else { continue };
                    let version = number(&version).unwrap_or_default().to_be_bytes();
                    let (before, resealed) = match key == bodies {
                        true => (body.clone(), seal.reseal(&[b"body", &id, &version], body)),
                        false => (owner.clone(), seal.reseal(&[b"owner", &id], owner)),
                    };
                    match resealed {
                        // Written by another node meanwhile.
                        _ if seal.age(&before) == Age::Newest => {}
                        Ok(after) => swaps.swap([id, before, after], tally).await?,
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
