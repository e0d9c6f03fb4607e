//! The audit trail in a file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{AuditError, Auditor, ChainError, ChainFault, ChainHead, Entry, MAX_LINE, read};
use crate::event::{Event, EventKind, Severity};
use crate::store::disk;
use crate::time::UnixTime;

/// What has happened to a line when [`Auditor::record`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// The system has it; a power cut may lose it.
    Written,
    /// The device has it.
    Synced,
}

/// An audit trail in a file that is only ever appended to. Several processes may share one.
///
/// The file is not rotated: a host that wants another one opens another one, and keeps the
/// [`ChainHead`] of the first.
#[derive(Debug)]
pub struct AuditFile {
    path: PathBuf,
    durability: Durability,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    head: ChainHead,
    /// How long the file was when the head was its end.
    length: u64,
    /// Half a line that was taken out and is not on record yet.
    repaired: Option<u64>,
}

impl AuditFile {
    /// Opens a trail, or begins one in a file that only its owner may read.
    ///
    /// A line that a crash left half-written is taken out, and the next line says so. Of what is
    /// there only the last line is checked; [`super::verify_chain`] checks all.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or locked, others may write it, or its last line is damaged.
    pub fn open(path: impl AsRef<Path>, durability: Durability) -> Result<Self, AuditError> {
        let path = path.as_ref().to_owned();
        let failed = |action| failed(action, &path);
        let mut options = disk::private();
        options.read(true).create(true);
        let file = options.open(&path).map_err(failed("open"))?;
        let metadata = file.metadata().map_err(failed("look at"))?;
        if !metadata.is_file() || writable_by_others(&metadata) {
            return Err(AuditError::Exposed { path: path.display().to_string() });
        }
        let state = State { file, head: ChainHead::start(), length: 0, repaired: None };
        let audit = Self { path, durability, state: Mutex::new(state) };
        audit.locked(|state| audit.catch_up(state))?;
        Ok(audit)
    }

    /// The end of the chain as this process last saw it. Kept elsewhere, it makes a cut end show.
    pub fn head(&self) -> ChainHead {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).head
    }

    /// Runs `act` under the lock among threads and the lock among processes.
    fn locked<T>(
        &self,
        act: impl FnOnce(&mut State) -> Result<T, AuditError>,
    ) -> Result<T, AuditError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match disk::lock(&state.file) {
            Ok(true) => {}
            Ok(false) => return Err(AuditError::Busy),
            Err(error) => return Err(self.failed("lock")(error)),
        }
        let result = act(&mut state);
        // Unlocking fails only on a descriptor that is gone, and then the lock is gone as well.
        let _ = state.file.unlock();
        result
    }

    fn failed(&self, action: &'static str) -> impl Fn(std::io::Error) -> AuditError {
        failed(action, &self.path)
    }

    /// Learns what other processes have appended, and takes half a line out.
    fn catch_up(&self, state: &mut State) -> Result<(), AuditError> {
        let length = state.file.metadata().map_err(self.failed("look at"))?.len();
        if length < state.length {
            return Err(AuditError::Cut { path: self.path.display().to_string() });
        }
        if length == state.length {
            return Ok(());
        }
        // The last line, and half a line behind it, fit into twice the longest.
        let from = length.saturating_sub(2 * MAX_LINE as u64 + 2).max(state.length);
        let mut tail = Vec::new();
        state.file.seek(SeekFrom::Start(from)).map_err(self.failed("read"))?;
        (&mut state.file)
            .take(length - from)
            .read_to_end(&mut tail)
            .map_err(self.failed("read"))?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let torn = tail.len() - whole;
        tail.truncate(whole);
        if torn > MAX_LINE || whole == 0 && from > state.length {
            return Err(self.damaged(ChainFault::Malformed));
        }
        let start = tail.iter().rev().skip(1).position(|byte| *byte == b'\n');
        let last = match start {
            Some(back) => tail.split_off(tail.len() - 1 - back),
            None => tail,
        };
        if !last.is_empty() {
            let (line, head) = read(&last).map_err(|fault| self.damaged(fault))?;
            if line.seq < state.head.entries {
                let (expected, found) = (state.head.entries, line.seq);
                return Err(self.damaged(ChainFault::Moved { expected, found }));
            }
            state.head = head;
        }
        let end = length - torn as u64;
        if torn > 0 {
            state.file.set_len(end).map_err(self.failed("repair"))?;
            state.repaired = Some(torn as u64);
        }
        state.length = end;
        Ok(())
    }

    fn damaged(&self, fault: ChainFault) -> AuditError {
        let source = ChainError { line: 0, fault };
        AuditError::Damaged { path: self.path.display().to_string(), source }
    }

    fn append(&self, state: &mut State, event: &Event, at: UnixTime) -> Result<(), AuditError> {
        let entry = Entry { at, event: event.clone() };
        let entry = serde_json::to_string(&entry).map_err(AuditError::Event)?;
        let (mut line, head) = state.head.line(&entry);
        line.push('\n');
        state.file.seek(SeekFrom::Start(state.length)).map_err(self.failed("write"))?;
        let written = state.file.write_all(line.as_bytes()).and_then(|()| match self.durability {
            Durability::Written => Ok(()),
            Durability::Synced => state.file.sync_data(),
        });
        if let Err(error) = written {
            // What is not acknowledged must not stay; when this fails too, the next writer repairs.
            let _ = state.file.set_len(state.length);
            return Err(self.failed("write")(error));
        }
        state.head = head;
        state.length += line.len() as u64;
        Ok(())
    }
}

impl Auditor for AuditFile {
    fn record(&self, event: &Event, at: UnixTime) -> Result<(), AuditError> {
        self.locked(|state| {
            self.catch_up(state)?;
            if let Some(bytes) = state.repaired {
                let repaired = Event::new(EventKind::AuditRepaired)
                    .severity(Severity::High)
                    .detail(&format_args!("{bytes} bytes of half a line were taken out"));
                self.append(state, &repaired, at)?;
                state.repaired = None;
            }
            self.append(state, event, at)
        })
    }

    fn is_chained(&self) -> bool {
        true
    }
}

fn failed(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> AuditError {
    move |source| AuditError::Io { action, path: path.display().to_string(), source }
}

#[cfg(unix)]
fn writable_by_others(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o022 != 0
}

#[cfg(not(unix))]
fn writable_by_others(_: &std::fs::Metadata) -> bool {
    false
}
