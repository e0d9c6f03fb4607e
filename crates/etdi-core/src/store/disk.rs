//! A directory of small files that only their owner may touch, written whole or not at all.

use core::any::Any;
use core::fmt;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
#[cfg(unix)]
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::approval::StoreError;

/// A place for small files: [`Disk`], or memory in tests.
pub(crate) trait Files: Send + Sync + fmt::Debug {
    /// The directory.
    fn directory(&self) -> &Path;

    /// The names of all that lies in it, in order.
    fn names(&self) -> Result<Vec<String>, StoreError>;

    /// At most so many bytes of a file from one of them on, `None` when there is no file.
    fn read_part(&self, name: &str, from: u64, limit: usize)
    -> Result<Option<Vec<u8>>, StoreError>;

    /// The first bytes of a file, `None` when there is none.
    fn read_start(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_part(name, 0, limit)
    }

    /// The same of a file that is read before every call.
    fn read_again(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_start(name, limit)
    }

    /// Puts a file in place at once: afterwards there is the old one or the new one, whole. The
    /// caller holds the lock.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// Takes a file away.
    fn delete(&self, name: &str) -> Result<(), StoreError>;

    /// The exclusive lock among processes, held until the value is dropped.
    fn lock(&self) -> Result<Box<dyn Any>, StoreError>;

    /// All of a file, `None` when there is none.
    fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes = self.read_start(name, limit.saturating_add(1))?;
        match bytes {
            Some(bytes) if bytes.len() > limit => Err(StoreError::Corrupt {
                what: format!("`{}` is too large; discard it", self.path(name).display()),
            }),
            bytes => Ok(bytes),
        }
    }

    /// The path of a file.
    fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }
}

pub(crate) const LOCK: &str = "lock";
/// Where a file is written before it takes its name; only the holder of the lock does.
const NEW: &str = "new";

/// How much room is made before a file is read, whatever its size.
const AT_ONCE: u64 = 1 << 20;

/// Ten milliseconds apart.
const LOCK_ATTEMPTS: u32 = if cfg!(test) { 20 } else { 200 };

#[derive(Debug)]
pub(crate) struct Disk {
    directory: PathBuf,
    /// The file whose start was read last. While it is open no other file can have its number, so
    /// that it can be read again without being opened for as long as it keeps its name.
    #[cfg(unix)]
    held: Mutex<Option<Held>>,
}

#[cfg(unix)]
#[derive(Debug)]
struct Held {
    name: String,
    id: (u64, u64),
    file: File,
}

impl Disk {
    pub(crate) fn open(directory: &Path) -> Result<Self, StoreError> {
        let directory = directory.to_owned();
        let disk = Self {
            directory,
            #[cfg(unix)]
            held: Mutex::default(),
        };
        let directory = disk.directory.as_path();
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory).map_err(failed("create", directory))?;
        let metadata = directory.metadata().map_err(failed("look at", directory))?;
        exposed(directory, &metadata, 0o700)?;
        disk.owned(&metadata)?;
        Ok(disk)
    }

    /// Whose directory it is: a directory of somebody else is open to them whatever its mode. What
    /// this process makes says who it is; where it may make nothing, it has nothing to lose either.
    #[cfg(unix)]
    fn owned(&self, metadata: &Metadata) -> Result<(), StoreError> {
        use std::os::unix::fs::MetadataExt;
        // A name that whoever owns the directory cannot have taken beforehand.
        let probe = self.path(&format!("owner.{}", super::vault::new_id()?));
        let made = private().create_new(true).open(&probe).and_then(|file| file.metadata());
        let ours = match made {
            Ok(ours) => ours,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                return Ok(());
            }
            Err(error) => return Err(failed("look at", &probe)(error)),
        };
        let _ = fault("remove probe").and_then(|()| std::fs::remove_file(&probe));
        if ours.uid() == metadata.uid() {
            return Ok(());
        }
        Err(StoreError::Foreign {
            path: self.directory.display().to_string(),
            owner: metadata.uid(),
            user: ours.uid(),
        })
    }

    #[cfg(not(unix))]
    fn owned(&self, _: &Metadata) -> Result<(), StoreError> {
        Ok(())
    }

    #[cfg(unix)]
    fn sync(&self) -> std::io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    /// Elsewhere a directory cannot be opened, and a rename is flushed with the file.
    #[cfg(not(unix))]
    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Files for Disk {
    fn directory(&self) -> &Path {
        &self.directory
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let failed = || failed("list", &self.directory);
        let mut names = Vec::new();
        for entry in self.directory.read_dir().map_err(failed())? {
            names.push(entry.map_err(failed())?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn read_part(
        &self,
        name: &str,
        from: u64,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(name);
        if ordinary(&path)?.is_none() {
            return Ok(None);
        }
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        let metadata = file.metadata().map_err(failed("look at", &path))?;
        exposed(&path, &metadata, 0o600)?;
        if from > 0 {
            file.seek(SeekFrom::Start(from)).map_err(failed("read", &path))?;
        }
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        // In one piece; what grows meanwhile is read all the same.
        let size = metadata.len().saturating_sub(from).min(limit).min(AT_ONCE);
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        file.take(limit).read_to_end(&mut bytes).map_err(failed("read", &path))?;
        Ok(Some(bytes))
    }

    /// From the file that was opened for it the last time, if that still has the name. What it holds
    /// is read in any case: who writes into it is seen as well as who puts another in its place.
    #[cfg(unix)]
    fn read_again(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(name);
        let Some(named) = ordinary(&path)? else { return Ok(None) };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let still = held.take().filter(|held| held.name == name && held.id == id(&named));
        let (kept, metadata) = match still {
            Some(held) => (held, named),
            None => {
                let file = match File::open(&path) {
                    Ok(file) => file,
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(failed("open", &path)(error)),
                };
                let metadata = file.metadata().map_err(failed("look at", &path))?;
                (Held { name: name.to_owned(), id: id(&metadata), file }, metadata)
            }
        };
        exposed(&path, &metadata, 0o600)?;
        let mut bytes = vec![0; limit];
        let mut length = 0;
        while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match FileExt::read_at(&kept.file, rest, length as u64) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("read", &path)(error)),
            }
        }
        bytes.truncate(length);
        *held = Some(kept);
        Ok(Some(bytes))
    }

    /// Written beside it, flushed to the device, renamed, and the directory flushed.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let (new, path) = (self.path(NEW), self.path(name));
        match fault("remove").and_then(|()| std::fs::remove_file(&new)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(failed("remove", &new)(error));
            }
            _ => {}
        }
        let mut file = fault("create")
            .and_then(|()| private().create_new(true).open(&new))
            .map_err(failed("create", &new))?;
        let half = bytes.len() / 2;
        let (start, end) = bytes.split_at_checked(half).unwrap_or((bytes, &[]));
        file.write_all(start).map_err(failed("write", &new))?;
        fault("write").and_then(|()| file.write_all(end)).map_err(failed("write", &new))?;
        fault("sync").and_then(|()| file.sync_all()).map_err(failed("flush", &new))?;
        fault("rename")
            .and_then(|()| std::fs::rename(&new, &path))
            .map_err(failed("rename", &new))?;
        fault("sync directory").and_then(|()| self.sync()).map_err(failed("flush", &self.directory))
    }

    fn delete(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        fault("delete").and_then(|()| std::fs::remove_file(&path)).map_err(failed("remove", &path))
    }

    fn lock(&self) -> Result<Box<dyn Any>, StoreError> {
        let path = self.path(LOCK);
        let file = private().create(true).open(&path).map_err(failed("open", &path))?;
        match lock(&file) {
            Ok(true) => Ok(Box::new(file)),
            Ok(false) => Err(StoreError::Busy),
            Err(error) => Err(failed("lock", &path)(error)),
        }
    }
}

/// Takes the exclusive lock of a file, `false` when another process keeps it. Writes take
/// milliseconds; a holder that is stopped must not stop us for ever.
pub(crate) fn lock(file: &File) -> std::io::Result<bool> {
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

/// Options for writing a file that is its owner's alone from its first moment.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// What a path names, `None` where there is nothing. A link could lead to anyone's file, and opening
/// a pipe would wait for its writer.
fn ordinary(path: &Path) -> Result<Option<Metadata>, StoreError> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata)),
        Ok(_) => {
            let what = format!("`{}` is no ordinary file; remove it", path.display());
            Err(StoreError::Corrupt { what })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

/// What a file is known by while it is open: its device and its number there.
#[cfg(unix)]
pub(crate) fn id(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
pub(crate) fn id(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

fn failed(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> StoreError {
    move |source| StoreError::Io { action, path: path.display().to_string(), source }
}

#[cfg(unix)]
fn exposed(path: &Path, metadata: &Metadata, wanted: u32) -> Result<(), StoreError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(StoreError::Exposed { path: path.display().to_string(), mode, wanted })
}

/// Where there are no modes, a user's own directory is what the system makes it.
#[cfg(not(unix))]
fn exposed(_: &Path, _: &Metadata, _: u32) -> Result<(), StoreError> {
    Ok(())
}

#[cfg(not(test))]
fn fault(_: &str) -> std::io::Result<()> {
    Ok(())
}

/// Fails one step of a write in tests, as a full disk or a power cut would.
#[cfg(test)]
fn fault(step: &str) -> std::io::Result<()> {
    FAULT.with(|countdown| match countdown.get() {
        None => Ok(()),
        Some(0) => Err(std::io::Error::other(format!("cut at {step}"))),
        Some(left) => {
            countdown.set(Some(left - 1));
            Ok(())
        }
    })
}

#[cfg(test)]
thread_local! {
    /// How many more steps succeed; then all fail.
    pub(crate) static FAULT: std::cell::Cell<Option<u32>> = const { std::cell::Cell::new(None) };
}
