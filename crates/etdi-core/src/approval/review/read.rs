//! What was read of a server last, for the next tool of the same listing.

use std::sync::{Arc, PoisonError};

use super::{Approvals, ServerMemory, StoreError};

/// What was read of a server's memory last.
pub(super) struct Read {
    server: String,
    /// The store's, from before it was read: whatever is written later has a greater one.
    generation: u64,
    memory: Option<Arc<ServerMemory>>,
}

impl Read {
    fn is_of(&self, server: &str, generation: u64) -> bool {
        self.server == server && self.generation == generation
    }
}

impl Approvals {
    /// What is remembered of a server, read anew only once something was written: it tells of
    /// every tool, and each tool of a listing asks for it.
    pub(super) async fn memory(
        &self,
        server: &str,
    ) -> Result<Option<Arc<ServerMemory>>, StoreError> {
        let generation = self.store.generation().await?;
        {
            let last = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(last) = last.as_ref().filter(|last| last.is_of(server, generation)) {
                return Ok(last.memory.clone());
            }
        }
        let memory = self.store.memory(server).await?.map(Arc::new);
        let read = Read { server: server.to_owned(), generation, memory: memory.clone() };
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
        Ok(memory)
    }
}
