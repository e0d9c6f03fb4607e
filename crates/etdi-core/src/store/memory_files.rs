//! Files in memory that run full and are cut off at any byte, for tests.

use core::any::Any;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::Files;
use crate::approval::StoreError;

/// A directory that all its clones share, as processes share one on disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryFiles(Arc<Mutex<State>>);

pub(crate) type Snapshot = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Default)]
struct State {
    files: Snapshot,
    /// How many bytes and steps are still done; then nothing is, as after a power cut.
    left: Option<usize>,
}

impl State {
    /// As many of `wanted` bytes or steps as are left.
    fn take(&mut self, wanted: usize) -> usize {
        match &mut self.left {
            None => wanted,
            Some(left) => {
                let taken = wanted.min(*left);
                *left -= taken;
                taken
            }
        }
    }

    fn step(&mut self, action: &'static str, name: &str) -> Result<(), StoreError> {
        match self.take(1) {
            1 => Ok(()),
            _ => Err(full(action, name)),
        }
    }
}

fn full(action: &'static str, name: &str) -> StoreError {
    let source = Error::from(ErrorKind::StorageFull);
    StoreError::Io { action, path: format!("/memory/{name}"), source }
}

impl MemoryFiles {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Nothing more is written after so many bytes and steps; `None` mends it.
    pub(crate) fn cut_after(&self, left: Option<usize>) {
        self.state().left = left;
    }

    /// Whether the cut was reached.
    pub(crate) fn is_cut(&self) -> bool {
        self.state().left == Some(0)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.state().files.clone()
    }

    pub(crate) fn restore(&self, snapshot: &Snapshot) {
        self.state().files.clone_from(snapshot);
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.state().files);
    }
}

impl Files for MemoryFiles {
    fn directory(&self) -> &Path {
        Path::new("/memory")
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.state().files.keys().cloned().collect())
    }

    fn read_part(
        &self,
        name: &str,
        from: u64,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let state = self.state();
        let from = usize::try_from(from).unwrap();
        let part = |bytes: &Vec<u8>| bytes.iter().skip(from).take(limit).copied().collect();
        Ok(state.files.get(name).map(part))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut state = self.state();
        state.step("remove", "new")?;
        state.files.remove("new");
        state.step("create", "new")?;
        let written = state.take(bytes.len());
        state.files.insert("new".to_owned(), bytes[..written].to_vec());
        if written < bytes.len() {
            return Err(full("write", "new"));
        }
        state.step("flush", "new")?;
        state.step("rename", "new")?;
        let whole = state.files.remove("new").unwrap();
        state.files.insert(name.to_owned(), whole);
        state.step("flush", "")
    }

    fn delete(&self, name: &str) -> Result<(), StoreError> {
        let mut state = self.state();
        state.step("remove", name)?;
        state.files.remove(name);
        Ok(())
    }

    fn lock(&self) -> Result<Box<dyn Any>, StoreError> {
        Ok(Box::new(()))
    }
}
