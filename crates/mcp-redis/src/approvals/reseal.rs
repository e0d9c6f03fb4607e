//! Approvals under the newest secret.

use etdi_core::approval::StoreError;
use etdi_core::digest::Digest;

use super::{Draft, Inner, RedisApprovalStore, other};
use crate::metrics::StoreName;
use crate::reseal::{Pages, Tally};
use crate::secret::Age;

/// How many records are read and written in one step, each of which is a write that nodes see.
const AT_ONCE: usize = 512;

impl RedisApprovalStore {
    /// Seals all records that count anew, and the head that names them. What others hold of an approval counts
    /// still: its generation stays.
    pub(crate) async fn reseal(&self, tally: &mut Tally) -> Result<(), StoreError> {
        let known = self.0.draft(&[]).await?;
        let names: Vec<_> = known.head.records.into_keys().collect();
        for names in names.chunks(AT_ONCE) {
            *tally += self.0.write(names, |draft| self.0.reseal(draft, names)).await?;
        }
        let head = self.0.fields(&["head"]).await?.into_iter().next().flatten();
        if head.is_some_and(|head| self.0.seal.age(&head) != Age::Newest) {
            // Whoever was faster has sealed it.
            let written = self.0.write(&[], |draft| {
                draft.touched = true;
                Ok(())
            });
            written.await?;
            tally.resealed += 1;
        }
        self.0.strays(tally).await
    }
}

impl Inner {
    /// Counts what lies there under another secret and no head names: it would keep an old one from being dropped.
    async fn strays(&self, tally: &mut Tally) -> Result<(), StoreError> {
        let mut pages = Pages::new(&self.client, StoreName::Approvals, &self.key);
        while let Some(old) = pages.next_earlier(&self.seal).await.map_err(other)? {
            if old.is_empty() {
                continue;
            }
            // Read after them: what was written meanwhile has a name.
            let known = self.draft(&[]).await?.head.records;
            let has_name = |field: &[u8]| {
                field == b"head"
                    || std::str::from_utf8(field).is_ok_and(|name| known.contains_key(name))
            };
            for field in old.iter().filter(|field| !has_name(field)) {
                tally.stray(field);
            }
        }
        Ok(())
    }

    fn reseal(&self, draft: &mut Draft, names: &[String]) -> Result<Tally, StoreError> {
        let mut tally = Tally::default();
        for name in names {
            // Taken out meanwhile.
            let Some(entry) = draft.head.records.get_mut(name) else { continue };
            let sealed = draft.found.get(name);
            // Only the one that counts may be sealed anew: any other would count by that.
            let Some(sealed) = sealed.filter(|sealed| Digest::of_bytes(sealed) == entry.digest)
            else {
                tally.unreadable += 1;
                continue;
            };
            if self.seal.age(sealed) == Age::Newest {
                continue;
            }
            let Ok(sealed) = self.seal.reseal(&[name.as_bytes()], sealed.clone()) else {
                tally.unreadable += 1;
                continue;
            };
            entry.digest = Digest::of_bytes(&sealed);
            draft.puts.push((name.clone(), sealed));
            draft.touched = true;
            tally.resealed += 1;
        }
        Ok(tally)
    }
}
