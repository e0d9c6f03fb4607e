//! A trail over all its files: in order, checked, and looked through.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::chain::{MAX_LINE, cut, follow_lines, read, whole};
use super::{ChainError, ChainFault, ChainHead, Entry, checkpoint};
use crate::event::{EventKind, Severity};
use crate::key::KeyRing;
use crate::time::UnixTime;

/// The name of a file that was put aside, by the number of the entry that follows it.
pub(super) fn archive(path: &Path, follows: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{follows:020}"));
    PathBuf::from(name)
}

/// The files that were put aside, the oldest first, each with the number of the entry after it.
pub(super) fn archives(path: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let other = entry?.file_name();
        let number = other.to_str().and_then(|other| other.strip_prefix(name)?.strip_prefix('.'));
        let digits = |text: &&str| text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit());
        if let Some(follows) = number.filter(digits).and_then(|text| text.parse().ok()) {
            found.push((follows, directory.join(other)));
        }
    }
    found.sort();
    Ok(found)
}

/// What was found when a whole trail was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrailReport {
    /// The number of the first entry that is there; more than 0 where older files were removed, as
    /// a later line says.
    pub first: u64,
    /// The end of the chain: keep it elsewhere, and hand it in next time.
    pub head: ChainHead,
    /// Over how many files it goes.
    pub files: usize,
    /// How many checkpoints it has.
    pub checkpoints: u64,
    /// How many entries are missing that could not be written, as lines of the trail say.
    pub lost: u64,
    /// The end that the last checkpoint signs; what comes after it only the chain vouches for.
    pub signed: Option<ChainHead>,
}

impl TrailReport {
    /// How many entries no checkpoint covers.
    pub fn unsigned(&self) -> u64 {
        let covered = self.signed.map_or(self.first, |signed| signed.entries);
        self.head.entries.saturating_sub(covered)
    }
}

/// Why a trail does not hold.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", .path.display())]
#[non_exhaustive]
pub struct TrailError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub fault: ChainError,
}

/// Checks a whole trail over all its files: every line, every step from one file to the next, and
/// every checkpoint.
///
/// With `keys`, each checkpoint has to be signed by one of them; [`TrailReport::unsigned`] says
/// how much follows the last. With `kept`, an end that was kept elsewhere, the trail has to go
/// through it. A trail that begins later than with its first entry holds only if a line of it says
/// that what came before was removed.
///
/// # Errors
///
/// The first line that is not what it should be, in its file.
pub fn verify_trail(
    path: impl AsRef<Path>,
    keys: Option<&KeyRing>,
    kept: Option<ChainHead>,
) -> Result<TrailReport, TrailError> {
    let path = path.as_ref();
    let mut pruned: Option<u64> = None;
    let head = ChainHead::start();
    let mut report =
        TrailReport { first: 0, head, files: 0, checkpoints: 0, lost: 0, signed: None };
    walk(path, |entry, before, after| {
        if report.files_begin(&before) {
            report.first = before.entries;
        }
        if cut(kept, &after) {
            return Err(ChainFault::Cut(after.entries));
        }
        if let Some(statement) = &entry.checkpoint {
            checkpoint::check(statement, &before, keys).map_err(ChainFault::Checkpoint)?;
            report.checkpoints += 1;
            report.signed = Some(before);
        } else if entry.event.kind == EventKind::AuditCheckpoint {
            return Err(ChainFault::Checkpoint("it is not signed".to_owned()));
        }
        pruned = pruned.max(entry.kept_from);
        report.lost = report.lost.saturating_add(entry.lost.unwrap_or_default());
        report.head = after;
        Ok(())
    })
    .map(|files| report.files = files)?;
    let failed =
        |line, fault| TrailError { path: path.to_owned(), fault: ChainError { line, fault } };
    if report.first > 0 && pruned.is_none_or(|kept_from| kept_from < report.first) {
        let fault = ChainFault::Missing { expected: 0, found: report.first };
        return Err(failed(report.first, fault));
    }
    whole(&report.head, kept).map_err(|error| failed(error.line, error.fault))?;
    Ok(report)
}

impl TrailReport {
    /// Whether the entry after `before` is the first that is seen.
    fn files_begin(&self, before: &ChainHead) -> bool {
        self.head == ChainHead::start() && before.entries > 0
    }
}

/// Goes through a trail in order, checking the chain.
fn walk(
    path: &Path,
    mut visit: impl FnMut(&Entry, ChainHead, ChainHead) -> Result<(), ChainFault>,
) -> Result<usize, TrailError> {
    let at = |path: &Path, line: u64, fault| TrailError {
        path: path.to_owned(),
        fault: ChainError { line, fault },
    };
    let io = |path: &Path, error| at(path, 0, ChainFault::Io(error));
    let archives = archives(path).map_err(|error| io(path, error))?;
    let mut paths: Vec<PathBuf> = archives.into_iter().map(|(_, path)| path).collect();
    if path.exists() || paths.is_empty() {
        paths.push(path.to_owned());
    }
    let mut head: Option<ChainHead> = None;
    let mut finished = None;
    for path in &paths {
        let file = File::open(path).map_err(|error| io(path, error))?;
        let mut reader = BufReader::new(file);
        let start = match head {
            Some(head) => head,
            None => first(&mut reader).map_err(|error| io(path, error))?,
        };
        let mut now = start;
        follow_lines(&mut reader, &mut now, |text, before, after| {
            if finished == Some(before) && start != before {
                return Err(ChainFault::Malformed);
            }
            let entry: Entry = serde_json::from_str(text).map_err(|_| ChainFault::Malformed)?;
            finished = (entry.event.kind == EventKind::AuditRotated).then_some(after);
            visit(&entry, before, after)
        })
        .map_err(|fault| TrailError { path: path.clone(), fault })?;
        head = Some(now);
    }
    // A file that says that another follows is not the last one.
    if let (Some(end), Some(last)) = (finished, paths.last())
        && *last != path
    {
        let found = end.entries;
        return Err(at(path, found, ChainFault::Cut(found.saturating_add(1))));
    }
    Ok(paths.len())
}

/// The chain that the first line of the oldest file says that it continues.
fn first(reader: &mut BufReader<File>) -> std::io::Result<ChainHead> {
    let mut start = Vec::new();
    let mut limited = Read::take(&mut *reader, MAX_LINE as u64 + 1);
    std::io::BufRead::read_until(&mut limited, b'\n', &mut start)?;
    reader.seek(SeekFrom::Start(0))?;
    Ok(match read(&start) {
        Ok((line, _)) if line.seq > 0 => ChainHead { entries: line.seq, digest: line.prev },
        _ => ChainHead::start(),
    })
}

/// Which entries are wanted. What is `None` does not matter.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Filter {
    /// Of one of these kinds; of any when there is none.
    pub kinds: Vec<EventKind>,
    /// At least this grave.
    pub severity: Option<Severity>,
    /// About this server.
    pub server: Option<String>,
    /// About this tool.
    pub tool: Option<String>,
    /// Of this exchange.
    pub correlation: Option<String>,
    /// With this reason's code.
    pub reason: Option<String>,
    /// Not before.
    pub since: Option<UnixTime>,
    /// Before.
    pub until: Option<UnixTime>,
}

impl Filter {
    /// Whether an entry is wanted.
    pub fn admits(&self, entry: &Entry) -> bool {
        let event = &entry.event;
        let same = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && self.severity.is_none_or(|least| event.severity >= least)
            && same(&self.server, event.server.as_deref())
            && same(&self.tool, event.tool.as_deref())
            && same(&self.correlation, event.correlation.as_deref())
            && same(&self.reason, event.reason.map(|reason| reason.code()))
            && self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
    }
}

/// Goes through a trail over all its files, in bounded memory, and hands on the entries that a
/// filter admits with their numbers. The chain is checked on the way: what is handed on has not
/// been changed.
///
/// # Errors
///
/// The first line that is not what it should be; what was handed on before holds.
pub fn read_trail(
    path: impl AsRef<Path>,
    filter: &Filter,
    mut take: impl FnMut(u64, Entry),
) -> Result<(), TrailError> {
    walk(path.as_ref(), |entry, before, _| {
        if filter.admits(entry) {
            take(before.entries, entry.clone());
        }
        Ok(())
    })
    .map(|_| ())
}

/// The newest entries that a filter admits, the oldest first, at most `count`.
///
/// # Errors
///
/// As [`read_trail`].
pub fn last_entries(
    path: impl AsRef<Path>,
    filter: &Filter,
    count: usize,
) -> Result<Vec<(u64, Entry)>, TrailError> {
    let mut last = VecDeque::new();
    read_trail(path, filter, |number, entry| {
        if last.len() >= count {
            last.pop_front();
        }
        if count > 0 {
            last.push_back((number, entry));
        }
    })?;
    Ok(last.into())
}
