//! A store is begun or joined: held against its mark outside, and wrapped as is wanted now.

use super::{Vault, is_record, new_id};
use crate::approval::StoreError;
use crate::secret::SealingKey;
use crate::store::anchored;
use crate::store::head::{self, Body, Head};

/// How often a head is read again that another process has written meanwhile.
const ATTEMPTS: usize = 16;

impl Vault {
    /// Begins an empty store.
    pub(super) fn found(&self, accept_restored: bool) -> Result<(), StoreError> {
        let _lock = self.files.lock()?;
        // Another process may have been faster.
        if self.files.read_start(head::NAME, 1)?.is_some() {
            return Ok(());
        }
        if self.files.names()?.iter().any(|name| is_record(name)) {
            return Err(self.damaged("it holds records and no head"));
        }
        let known = match &self.anchor {
            Some(anchor) if !accept_restored => anchor.read()?,
            _ => None,
        };
        if let Some(mark) = known {
            let seen = anchored::generation(&mark).unwrap_or(u64::MAX);
            return Err(StoreError::RolledBack { seen, found: 0 });
        }
        let mut body = Body { store: new_id()?, ..Body::default() };
        let sealing = match &*self.protection() {
            None => None,
            Some(protection) => {
                body.mark_key = Some(new_id()?);
                let key = SealingKey::generate()?;
                Some(self.wrap(&key, &body.store, 0, protection)?)
            }
        };
        self.files.write(head::NAME, &head::encode(self.kind, 0, &body, sealing.as_ref())?)
    }

    /// Reads the head for the first time, holds it against the mark outside, and wraps the key
    /// anew where it is protected less than is wanted now.
    pub(super) fn join(&self, accept_restored: bool) -> Result<(), StoreError> {
        let mut head = self.head()?;
        let (mut above, mut behind) = (head.generation, false);
        if let Some(anchor) = &self.anchor {
            let mut checked = anchored::check(&**anchor, &head);
            for _ in 0..ATTEMPTS {
                if checked.is_ok() {
                    break;
                }
                // Another process may have written between the two looks.
                let now = self.head()?;
                if now.generation == head.generation {
                    break;
                }
                checked = anchored::check(&**anchor, &now);
                (above, head) = (now.generation, now);
            }
            match checked {
                Ok(is_newest) => behind = !is_newest,
                Err(error) if !accept_restored => return Err(error),
                Err(StoreError::RolledBack { seen, .. }) => above = above.max(seen),
                Err(StoreError::Anchor { .. }) => {}
                Err(error) => return Err(error),
            }
        } else if head.body.anchored && !accept_restored {
            return Err(StoreError::Anchor {
                anchor: self.directory().display().to_string(),
                what: "was kept with a mark outside of it, and is opened without one",
            });
        }
        let wanted = self.anchor.is_some();
        if above > head.generation || head.body.anchored != wanted || accept_restored {
            self.write_above(above, |_, draft| {
                draft.body.anchored = wanted;
                Ok(())
            })?;
        } else if behind {
            self.mark_newest()?;
        }
        if self.is_outdated(&head)? {
            self.rewrite(None, false)?;
        }
        Ok(())
    }

    /// Brings up a mark that a crash left behind: until then what was written last could be undone.
    fn mark_newest(&self) -> Result<(), StoreError> {
        let Some(anchor) = &self.anchor else { return Ok(()) };
        let _writer = self.writer();
        let _lock = self.files.lock()?;
        let head = self.head()?;
        match anchored::check(&**anchor, &head)? {
            true => Ok(()),
            false => anchor.write(&anchored::mark(&head)),
        }
    }

    fn is_outdated(&self, head: &Head) -> Result<bool, StoreError> {
        match (&head.sealing, &*self.protection()) {
            (Some(sealing), Some(protection)) => {
                Ok(self.wrapped(sealing.generation)?.is_outdated(protection))
            }
            _ => Ok(false),
        }
    }
}
