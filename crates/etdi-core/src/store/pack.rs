//! Records that are written together share files, so that the approvals of a listing are flushed
//! once and not once each. Each keeps a digest, and in an encrypted store a seal, of its own.

use super::disk::Files;
use super::head::{Entry, Place, Sealing};
use super::vault::file;
use crate::approval::StoreError;
use crate::digest::Digest;

/// The records of one write on their way into files.
pub(super) struct Pack {
    /// Whether they share files at all.
    together: bool,
    generation: u64,
    file: u32,
    waiting: Vec<u8>,
    entries: Vec<(String, Entry)>,
}

/// A file takes no more once it holds so much.
const FILE_BYTES: usize = 4 << 20;

impl Pack {
    pub(super) fn new(together: bool, generation: u64) -> Self {
        Self { together, generation, file: 0, waiting: Vec::new(), entries: Vec::new() }
    }

    /// Takes a record, and writes what has waited once it is a file's worth.
    pub(super) fn add(
        &mut self,
        files: &dyn Files,
        sealing: Option<&Sealing>,
        name: String,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let mut entry =
            Entry { generation: self.generation, digest: Digest::of_bytes(bytes), place: None };
        if !self.together {
            files.write(&file(sealing, &name, &entry), bytes)?;
            self.entries.push((name, entry));
            return Ok(());
        }
        let from = self.waiting.len() as u64;
        entry.place = Some(Place { file: self.file, from, length: bytes.len() });
        self.waiting.extend_from_slice(bytes);
        self.entries.push((name, entry));
        if self.waiting.len() >= FILE_BYTES {
            self.write(files, sealing)?;
        }
        Ok(())
    }

    /// Writes what still waits, and gives the entries for the head.
    pub(super) fn finish(
        mut self,
        files: &dyn Files,
        sealing: Option<&Sealing>,
    ) -> Result<Vec<(String, Entry)>, StoreError> {
        self.write(files, sealing)?;
        Ok(self.entries)
    }

    fn write(&mut self, files: &dyn Files, sealing: Option<&Sealing>) -> Result<(), StoreError> {
        let Some((name, entry)) = self.entries.last().filter(|_| !self.waiting.is_empty()) else {
            return Ok(());
        };
        files.write(&file(sealing, name, entry), &self.waiting)?;
        self.waiting.clear();
        self.file = self.file.saturating_add(1);
        Ok(())
    }
}
