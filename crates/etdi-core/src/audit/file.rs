//! The audit trail in a file, and in those that it goes on in.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::chain::{MAX_LINE, Noted, read};
use super::outage::{AuditOutage, Losses};
use super::trail::{archive, archives};
use super::{AuditError, Auditor, ChainError, ChainFault, ChainHead, Entry, checkpoint};
use crate::event::{Event, EventKind, Severity};
use crate::proof::Signer;
use crate::store::disk;
use crate::time::UnixTime;

mod options;

pub use options::{AuditFileOptions, Durability};

/// An audit trail in a file that is only ever appended to. Several processes may share one.
///
/// Once it is long enough it is renamed, to its name with the number of the entry that follows, and
/// the trail goes on in a new file under the old name: the last line of the one says so, and the
/// first line of the other continues its chain. Nothing is ever removed unless
/// [`AuditFileOptions::keep_files`] says so, and then a line says what.
#[derive(Debug)]
pub struct AuditFile {
    path: PathBuf,
    options: AuditFileOptions,
    state: Mutex<State>,
    losses: Losses,
}

#[derive(Debug)]
struct State {
    file: File,
    /// Which file it is, whatever its name.
    id: (u64, u64),
    head: ChainHead,
    /// How long the file was when the head was its end.
    length: u64,
    /// Half a line that was taken out and is not on record yet.
    repaired: Option<u64>,
    /// What the last line of the file is about.
    last: Option<EventKind>,
    /// Room for the next line.
    line: Vec<u8>,
    /// How many bytes of a write get through, and whether it can be taken back, in tests.
    #[cfg(test)]
    fault: Option<(usize, bool)>,
}

impl State {
    fn open(path: &Path) -> Result<Self, AuditError> {
        let failed = |action| failed(action, path);
        let mut options = disk::private();
        options.read(true).create(true);
        let file = options.open(path).map_err(failed("open"))?;
        let metadata = file.metadata().map_err(failed("look at"))?;
        if !metadata.is_file() || writable_by_others(&metadata) {
            return Err(AuditError::Exposed { path: path.display().to_string() });
        }
        Ok(Self {
            file,
            id: disk::id(&metadata),
            head: ChainHead::start(),
            length: 0,
            repaired: None,
            last: None,
            line: Vec::new(),
            #[cfg(test)]
            fault: None,
        })
    }

    #[cfg(not(test))]
    fn write(&mut self, line: &[u8]) -> std::io::Result<()> {
        write_at(&self.file, line, self.length)
    }

    #[cfg(not(test))]
    fn take_back(&mut self) {
        // What is not acknowledged must not stay; when this fails too, the next writer repairs.
        let _ = self.file.set_len(self.length);
    }

    #[cfg(test)]
    fn write(&mut self, line: &[u8]) -> std::io::Result<()> {
        match self.fault {
            Some((bytes, _)) => {
                write_at(&self.file, &line[..bytes.min(line.len())], self.length)?;
                Err(std::io::ErrorKind::StorageFull.into())
            }
            None => write_at(&self.file, line, self.length),
        }
    }

    #[cfg(test)]
    fn take_back(&mut self) {
        if self.fault.is_none_or(|(_, possible)| possible) {
            let _ = self.file.set_len(self.length);
        }
    }
}

impl AuditFile {
    /// Opens a trail that is kept as [`AuditFileOptions::default`] says, but for its durability.
    ///
    /// # Errors
    ///
    /// As [`AuditFileOptions::open`].
    pub fn open(path: impl AsRef<Path>, durability: Durability) -> Result<Self, AuditError> {
        Self::options().durability(durability).open(path)
    }

    /// How a trail is kept.
    pub fn options() -> AuditFileOptions {
        AuditFileOptions::default()
    }

    /// The file that is written now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The end of the chain as this process last saw it. Kept elsewhere, it makes a cut end show.
    pub fn head(&self) -> ChainHead {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).head
    }

    /// Signs the trail up to here, beside what the options sign by themselves: before a program
    /// ends, or when a signer is at hand. Gives the end that was signed.
    ///
    /// # Errors
    ///
    /// When the signer cannot sign, or the trail cannot be written.
    pub fn checkpoint(&self, signer: &dyn Signer, now: UnixTime) -> Result<ChainHead, AuditError> {
        self.locked(|state| {
            self.note_faults(state, now)?;
            self.sign(state, signer, now)
        })
    }

    /// Runs `act` under the lock among threads and the lock among processes, on the file that is
    /// written now, with its end known.
    fn locked<T>(
        &self,
        act: impl FnOnce(&mut State) -> Result<T, AuditError>,
    ) -> Result<T, AuditError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ATTEMPTS {
            match disk::lock(&state.file) {
                Ok(true) => {}
                Ok(false) => return Err(AuditError::Busy),
                Err(error) => return Err(self.failed("lock")(error)),
            }
            let named = self.in_place(&state);
            let end = self.catch_up(&mut state, named);
            let finished = state.last == Some(EventKind::AuditRotated);
            let result = match end {
                Ok(()) if finished => self.go_on(&mut state).map(|()| None),
                // Lines of a file that has lost its name are nowhere.
                Ok(()) if named.is_none() => {
                    Err(AuditError::Cut { path: self.path.display().to_string() })
                }
                Ok(()) => {
                    let result = act(&mut state);
                    // Unlocking fails only on a descriptor that is gone, and so is the lock then.
                    let _ = state.file.unlock();
                    return result;
                }
                Err(error) => Err(error),
            };
            let _ = state.file.unlock();
            if let Some(next) = result? {
                return Ok(next);
            }
            // Dropping the old file gives up its lock.
            let seen = state.head;
            *state = State::open(&self.path)?;
            state.head = seen;
        }
        Err(AuditError::Busy)
    }

    /// Puts a file that says that it is finished aside, unless somebody else has done so. Only a
    /// file with this very end is: another may lie under the name by now.
    fn go_on(&self, state: &mut State) -> Result<(), AuditError> {
        let still_there = self.path.exists()
            && last_line(&self.path)?.is_some_and(|(_, head)| head == state.head);
        if still_there {
            let aside = archive(&self.path, state.head.entries);
            std::fs::rename(&self.path, &aside).map_err(self.failed("rename"))?;
            self.sync_directory()?;
        }
        Ok(())
    }

    /// How long the file that is open is, if it still has the name of the trail.
    #[cfg(unix)]
    fn in_place(&self, state: &State) -> Option<u64> {
        let named = self.path.metadata().ok().filter(|named| disk::id(named) == state.id)?;
        Some(named.len())
    }

    /// Elsewhere an open file can be neither renamed nor removed.
    #[cfg(not(unix))]
    fn in_place(&self, state: &State) -> Option<u64> {
        state.file.metadata().ok().map(|about| about.len())
    }

    #[cfg(unix)]
    fn sync_directory(&self) -> Result<(), AuditError> {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        match self.options.durability {
            Durability::Written => Ok(()),
            Durability::Synced => File::open(directory)
                .and_then(|directory| directory.sync_all())
                .map_err(self.failed("rename")),
        }
    }

    #[cfg(not(unix))]
    fn sync_directory(&self) -> Result<(), AuditError> {
        Ok(())
    }

    fn failed(&self, action: &'static str) -> impl Fn(std::io::Error) -> AuditError {
        failed(action, &self.path)
    }

    /// Learns what other processes have appended, and takes half a line out.
    fn catch_up(&self, state: &mut State, named: Option<u64>) -> Result<(), AuditError> {
        let length = match named {
            Some(length) => length,
            None => state.file.metadata().map_err(self.failed("look at"))?.len(),
        };
        if length < state.length {
            return Err(AuditError::Cut { path: self.path.display().to_string() });
        }
        if length == 0 {
            return self.continue_chain(state);
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
        if last.is_empty() {
            // Half a first line, which may be that of a file that continues another.
            if state.length == 0 {
                self.continue_chain(state)?;
            }
        } else {
            let (line, head) = read(&last).map_err(|fault| self.damaged(fault))?;
            if line.seq < state.head.entries {
                let (expected, found) = (state.head.entries, line.seq);
                return Err(self.damaged(ChainFault::Moved { expected, found }));
            }
            state.last = kind(line.entry.get());
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

    /// Finds the chain that an empty file continues: that of the newest file put aside.
    fn continue_chain(&self, state: &mut State) -> Result<(), AuditError> {
        let archives = archives(&self.path).map_err(self.failed("look for the files of"))?;
        let Some((follows, path)) = archives.into_iter().next_back() else { return Ok(()) };
        let Some((last, head)) = last_line(&path)? else {
            return Err(self.damaged(ChainFault::Malformed));
        };
        let finished = last == Some(EventKind::AuditRotated);
        if !finished || head.entries != follows || head.entries < state.head.entries {
            let (expected, found) = (follows, head.entries);
            return Err(self.damaged(ChainFault::Missing { expected, found }));
        }
        state.head = head;
        Ok(())
    }

    fn damaged(&self, fault: ChainFault) -> AuditError {
        let source = ChainError { line: 0, fault };
        AuditError::Damaged { path: self.path.display().to_string(), source }
    }

    fn append(&self, state: &mut State, entry: &Noted<'_>) -> Result<(), AuditError> {
        // Kept for the next line; no line is longer than `MAX_LINE`.
        let mut line = core::mem::take(&mut state.line);
        let put = |to: &mut Vec<u8>| serde_json::to_writer(to, entry);
        let head = state.head.line(&mut line, put).map_err(AuditError::Event)?;
        line.push(b'\n');
        if line.len() > MAX_LINE {
            // What no reader takes for a line would end the trail. The room is not kept.
            return Err(AuditError::TooLong { bytes: line.len() });
        }
        let written = state.write(&line).and_then(|()| match self.options.durability {
            Durability::Written => Ok(()),
            Durability::Synced => state.file.sync_data(),
        });
        let length = line.len() as u64;
        state.line = line;
        if let Err(error) = written {
            state.take_back();
            return Err(self.failed("write")(error));
        }
        state.head = head;
        state.length += length;
        state.last = Some(entry.event.kind);
        Ok(())
    }

    /// Says what was taken out of the trail, and what never came into it.
    fn note_faults(&self, state: &mut State, at: UnixTime) -> Result<(), AuditError> {
        if let Some(bytes) = state.repaired {
            let repaired = Event::new(EventKind::AuditRepaired)
                .severity(Severity::High)
                .detail(&format_args!("{bytes} bytes of half a line were taken out"));
            self.append(state, &Noted::new(&repaired, at))?;
            state.repaired = None;
        }
        let lost = self.losses.untold();
        if lost > 0 {
            let what = if lost == 1 { "entry" } else { "entries" };
            let event = Event::new(EventKind::AuditLost)
                .severity(Severity::High)
                .detail(&format_args!("{lost} {what} could not be written"));
            let entry = Noted { lost: Some(lost), ..Noted::new(&event, at) };
            self.append(state, &entry)?;
            self.losses.told(lost);
        }
        Ok(())
    }

    fn sign(
        &self,
        state: &mut State,
        signer: &dyn Signer,
        at: UnixTime,
    ) -> Result<ChainHead, AuditError> {
        let signed = state.head;
        let statement = checkpoint::sign(&signed, signer, at).map_err(AuditError::Sign)?;
        let event = Event::new(EventKind::AuditCheckpoint).severity(Severity::Low);
        let entry = Noted { checkpoint: Some(&statement), ..Noted::new(&event, at) };
        self.append(state, &entry)?;
        Ok(signed)
    }

    /// Whether the next line belongs into another file.
    fn is_full(&self, state: &State) -> bool {
        state.length >= self.options.rotate_at
    }

    /// Ends this file. The next act finds it finished and goes on in another.
    fn finish(&self, state: &mut State, at: UnixTime) -> Result<(), AuditError> {
        let event = Event::new(EventKind::AuditRotated).severity(Severity::Low);
        self.append(state, &Noted::new(&event, at))
    }

    /// Removes the oldest files, after a line has said which entries are kept.
    fn prune(&self, state: &mut State, at: UnixTime) -> Result<(), AuditError> {
        let Some(keep) = self.options.keep_files else { return Ok(()) };
        let archives = archives(&self.path).map_err(self.failed("look for the files of"))?;
        let Some(old) = archives.len().checked_sub(keep).filter(|old| *old > 0) else {
            return Ok(());
        };
        // A file is named by the number of the first entry after it.
        let Some((kept_from, _)) = archives.get(old - 1) else { return Ok(()) };
        let event = Event::new(EventKind::AuditPruned).severity(Severity::Medium);
        let entry = Noted { kept_from: Some(*kept_from), ..Noted::new(&event, at) };
        self.append(state, &entry)?;
        for (_, path) in archives.iter().take(old) {
            std::fs::remove_file(path).map_err(failed("remove a file of", path))?;
        }
        Ok(())
    }

    /// Ends a full file, so that what follows goes into another.
    fn rotate(&self, at: UnixTime) -> Result<(), AuditError> {
        let full = self.locked(|state| {
            if !self.is_full(state) {
                return Ok(false);
            }
            self.note_faults(state, at)?;
            self.finish(state, at).map(|()| true)
        })?;
        if full {
            // Finds the file finished, puts it aside and opens the next one.
            self.locked(|state| self.prune(state, at))?;
        }
        Ok(())
    }

    fn write(&self, event: &Event, at: UnixTime) -> Result<(), AuditError> {
        let full = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            self.is_full(&state)
        };
        if full {
            self.rotate(at)?;
        }
        self.locked(|state| {
            self.note_faults(state, at)?;
            if let Some((signer, every)) = &self.options.signer
                && state.head.entries > 0
                && state.head.entries.is_multiple_of(*every)
                && state.last != Some(EventKind::AuditCheckpoint)
            {
                self.sign(state, &**signer, at)?;
            }
            self.append(state, &Noted::new(event, at))
        })
    }
}

impl Auditor for AuditFile {
    fn record(&self, event: &Event, at: UnixTime) -> Result<(), AuditError> {
        let written = self.write(event, at);
        let told = self.options.told.as_ref();
        match &written {
            Err(error) if self.losses.failed(at) => {
                if let Some(told) = told {
                    told(&AuditOutage::Begins(error));
                }
            }
            Err(_) => {}
            Ok(()) => {
                if let (Some(lost), Some(told)) = (self.losses.over(), told) {
                    told(&AuditOutage::Ends { lost });
                }
            }
        }
        written
    }

    fn is_chained(&self) -> bool {
        true
    }
}

/// How often a file may turn out to be finished before another is found.
const ATTEMPTS: usize = 8;

/// What the last line of a file is about, and the chain after it; `None` for an empty file.
fn last_line(path: &Path) -> Result<Option<(Option<EventKind>, ChainHead)>, AuditError> {
    let mut file = File::open(path).map_err(failed("read", path))?;
    let length = file.metadata().map_err(failed("look at", path))?.len();
    let from = length.saturating_sub(MAX_LINE as u64 + 1);
    file.seek(SeekFrom::Start(from)).map_err(failed("read", path))?;
    let mut tail = Vec::new();
    file.take(MAX_LINE as u64 + 1).read_to_end(&mut tail).map_err(failed("read", path))?;
    if tail.is_empty() {
        return Ok(None);
    }
    let start = tail.iter().rev().skip(1).position(|byte| *byte == b'\n');
    let start = start.map_or(0, |back| tail.len() - 1 - back);
    let (line, head) = read(tail.get(start..).unwrap_or_default()).map_err(|fault| {
        let source = ChainError { line: 0, fault };
        AuditError::Damaged { path: path.display().to_string(), source }
    })?;
    Ok(Some((kind(line.entry.get()), head)))
}

fn kind(entry: &str) -> Option<EventKind> {
    serde_json::from_str::<Entry>(entry).ok().map(|entry| entry.event.kind)
}

fn failed(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> AuditError {
    move |source| AuditError::Io { action, path: path.display().to_string(), source }
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(not(unix))]
fn write_at(mut file: &File, bytes: &[u8], at: u64) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    std::io::Write::write_all(&mut file, bytes)
}

#[cfg(unix)]
fn writable_by_others(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o022 != 0
}

#[cfg(not(unix))]
fn writable_by_others(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
impl AuditFile {
    /// Lets `bytes` of the next writes through; `back` says whether they can be taken back.
    pub(super) fn fail_after(&self, fault: Option<(usize, bool)>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).fault = fault;
    }
}
