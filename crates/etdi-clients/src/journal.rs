//! Changes to files that can be taken back: nothing is written before what was there is safe.
//!
//! A change of several files is prepared for all of them first: under a lock each gets a copy of
//! what was there, a copy of what will be, and a record, all on disk. Then each file is replaced by
//! a rename. Whatever happens in between, a file holds either what it held or what it should, and
//! the record knows both.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::client::Client;
use crate::config::{Config, ConfigError, read};
use crate::format::{Edit, EditError, Format, difference};

/// For how many changes what was there before is kept.
const KEPT: usize = 20;

/// Why a change was not made or not taken back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Another program wrote the file in the meantime.
    #[error("`{}` was changed by another program just now, try again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A link leads to nothing.
    #[error("`{}` is a link to nothing, make the file it leads to, or take the link out", path.display())]
    DeadLink {
        /// The link.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("cannot write `{}`: {source}, look at the permissions there", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record is not one of ours.
    #[error("`{}` is no record of a change, move it away", path.display())]
    Record {
        /// The record.
        path: PathBuf,
    },
    /// What was changed has been changed again since.
    #[error("`{}` was changed again since, at the same place: {what}, mend it by hand", path.display())]
    Since {
        /// The file.
        path: PathBuf,
        /// Where.
        what: String,
    },
    /// The file cannot be read or edited any more.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Where changes are recorded.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    #[cfg(test)]
    fault: Fault,
}

/// A recorded change of one file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// Which change it belongs to; they are counted.
    pub change: u64,
    /// What was done, such as `install`.
    pub verb: String,
    /// When, in seconds since 1970.
    pub at: u64,
    /// The client's name.
    pub client: String,
    /// The file.
    pub path: PathBuf,
    /// Whether the file was there before.
    pub existed: bool,
    stem: PathBuf,
}

/// What taking a change back did to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Undone {
    /// It has the bytes again that it had.
    Restored,
    /// It was not there before, and is gone again.
    Deleted,
    /// It was changed elsewhere since; what was changed then is taken back, the rest stays.
    Mended,
    /// It already was as it had been.
    AlreadySo,
}

/// Whether a file is called as records are: the number of the change, and of the file in it.
fn is_record(path: &Path) -> bool {
    let name =
        path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.split_once('-'));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.is_some_and(|(change, count)| digits(change) && digits(count))
}

impl Journal {
    /// A journal in this folder, which is made, for its owner only.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, WriteError> {
        let folder = folder.into();
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder).map_err(failed(&folder))?;
        Ok(Self {
            folder,
            #[cfg(test)]
            fault: Fault::default(),
        })
    }

    /// Writes all changes, or none if that is possible; `now` is in seconds since 1970. Gives the
    /// number of the change; None where nothing is to be written.
    ///
    /// # Errors
    ///
    /// When a file was changed by somebody else since it was read, or the system refuses. What was
    /// written already is taken back.
    pub fn commit(
        &self,
        verb: &str,
        now: u64,
        configs: &[Config],
    ) -> Result<Option<u64>, WriteError> {
        let configs: Vec<&Config> = configs.iter().filter(|one| one.is_changed()).collect();
        if configs.is_empty() {
            return Ok(None);
        }
        let _lock = self.lock()?;
        for config in &configs {
            self.unchanged(config)?;
        }
        let records = self.all()?;
        self.forget_orphans()?;
        let change = records.iter().map(|record| record.change).max().unwrap_or(0) + 1;
        let mut prepared = Vec::new();
        let written = self.prepare(verb, now, change, &configs, &mut prepared).and_then(|()| {
            for config in &configs {
                self.unchanged(config)?;
                self.replace(&config.file().path, Some(config.text()))?;
            }
            Ok(())
        });
        if let Err(error) = written {
            for record in prepared.iter().rev() {
                // What cannot be taken back now stays recorded.
                let _ = self.undo_one(record);
            }
            return Err(error);
        }
        self.forget_old(&records, change);
        Ok(Some(change))
    }

    fn prepare(
        &self,
        verb: &str,
        now: u64,
        change: u64,
        configs: &[&Config],
        prepared: &mut Vec<Record>,
    ) -> Result<(), WriteError> {
        for (count, config) in configs.iter().enumerate() {
            let stem = self.folder.join(format!("{change:08}-{count:02}"));
            let record = Record {
                change,
                verb: verb.to_owned(),
                at: now,
                client: config.file().client.id.to_owned(),
                path: absolute(&config.file().path)?,
                existed: config.before().is_some(),
                stem,
            };
            self.save(&record.file("before"), config.before().unwrap_or_default())?;
            self.save(&record.file("after"), config.text())?;
            prepared.push(record.clone());
            self.save(&record.file("json"), &record.written())?;
        }
        self.step()?;
        sync_folder(&self.folder)
    }

    /// All records, the newest change first, and in it the last file first.
    ///
    /// # Errors
    ///
    /// When the folder or a record cannot be read.
    pub fn records(&self) -> Result<Vec<Record>, WriteError> {
        let mut records = self.all()?;
        records.reverse();
        Ok(records)
    }

    /// What the file of a record held before the change, and what after it.
    ///
    /// # Errors
    ///
    /// When the copies cannot be read.
    pub fn texts(&self, record: &Record) -> Result<(String, String), WriteError> {
        let [before, after] = ["before", "after"].map(|end| read(&record.file(end)));
        Ok((before?.unwrap_or_default(), after?.unwrap_or_default()))
    }

    /// Takes a change back. Where a file was changed by others since, only what was changed then is
    /// taken back in it.
    ///
    /// # Errors
    ///
    /// When what was changed then has been changed again, or the system refuses. Files that were
    /// done before stay done, and the next attempt goes on with the others.
    pub fn undo(&self, change: u64) -> Result<Vec<(Record, Undone)>, WriteError> {
        let _lock = self.lock()?;
        let records = self.all()?.into_iter().rev().filter(|record| record.change == change);
        records.map(|record| Ok((record.clone(), self.undo_one(&record)?))).collect()
    }

    fn undo_one(&self, record: &Record) -> Result<Undone, WriteError> {
        let current = read(&record.path)?;
        let before = read(&record.file("before"))?.unwrap_or_default();
        let after = read(&record.file("after"))?.unwrap_or_default();
        let was = record.existed.then_some(before.as_str());
        let done = match current.as_deref() {
            now if now == was => Undone::AlreadySo,
            Some(now) if now == after => {
                self.replace(&record.path, was)?;
                if record.existed { Undone::Restored } else { Undone::Deleted }
            }
            now => {
                let mended = mended(record, &before, &after, now.unwrap_or_default())?;
                self.replace(&record.path, Some(&mended))?;
                Undone::Mended
            }
        };
        // The record goes first: without its copies it would be worth nothing.
        for name in ["json", "before", "after"] {
            self.step()?;
            let _ = fs::remove_file(record.file(name));
        }
        Ok(done)
    }

    /// Copies whose record was not written, or is gone, since something crashed.
    fn forget_orphans(&self) -> Result<(), WriteError> {
        for entry in fs::read_dir(&self.folder).map_err(failed(&self.folder))? {
            let path = entry.map_err(failed(&self.folder))?.path();
            let is_copy = path.extension().is_some_and(|end| end == "before" || end == "after");
            if is_copy && !path.with_extension("json").exists() {
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }

    fn forget_old(&self, records: &[Record], newest: u64) {
        for record in records.iter().filter(|record| record.change + KEPT as u64 <= newest) {
            for name in ["json", "before", "after"] {
                let _ = fs::remove_file(record.file(name));
            }
        }
    }

    fn all(&self) -> Result<Vec<Record>, WriteError> {
        let failed = failed(&self.folder);
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(&failed)? {
            let path = entry.map_err(&failed)?.path();
            // The folder may hold what others keep there.
            if path.extension().is_some_and(|end| end == "json") && is_record(&path) {
                paths.push(path);
            }
        }
        paths.sort();
        paths.into_iter().map(|path| Record::read(&path)).collect()
    }

    fn lock(&self) -> Result<File, WriteError> {
        let path = self.folder.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(failed(&path))?;
        file.lock().map_err(failed(&path))?;
        Ok(file)
    }

    fn unchanged(&self, config: &Config) -> Result<(), WriteError> {
        let path = &config.file().path;
        match read(path)?.as_deref() == config.before() {
            true => Ok(()),
            false => Err(WriteError::Changed { path: path.clone() }),
        }
    }

    /// Writes a new file of ours and has it on disk.
    fn save(&self, path: &Path, text: &str) -> Result<(), WriteError> {
        self.step()?;
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let write = || -> io::Result<()> {
            let mut file = options.open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(failed(path))
    }

    /// Replaces a file as a whole, or takes it away. Links are followed, so that they stay links.
    fn replace(&self, path: &Path, text: Option<&str>) -> Result<(), WriteError> {
        self.step()?;
        let is_link = fs::symlink_metadata(path).is_ok_and(|about| about.is_symlink());
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(_) if is_link => return Err(WriteError::DeadLink { path: path.to_owned() }),
            Err(_) => path.to_owned(),
        };
        let Some(text) = text else {
            fs::remove_file(&real).map_err(failed(path))?;
            return Ok(());
        };
        let folder = real.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let write = || -> io::Result<tempfile::NamedTempFile> {
            // Readable by its owner only, as long as nothing else is said.
            let mut file = tempfile::Builder::new().prefix(".etdi-").tempfile_in(folder)?;
            file.write_all(text.as_bytes())?;
            if let Ok(about) = fs::metadata(&real) {
                like(file.as_file(), &about)?;
            }
            file.as_file().sync_all()?;
            Ok(file)
        };
        let file = write().map_err(failed(path))?;
        self.step()?;
        file.persist(&real).map_err(|error| failed(path)(error.error))?;
        self.step()?;
        sync_folder(folder)
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests fail here")]
    fn step(&self) -> Result<(), WriteError> {
        Ok(())
    }
}

/// Gives a new file the owner and the permissions of the one that it replaces.
fn like(file: &File, about: &fs::Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let ours = file.metadata()?;
        if (ours.uid(), ours.gid()) != (about.uid(), about.gid()) {
            fchown(file, Some(about.uid()), Some(about.gid()))?;
        }
    }
    file.set_permissions(about.permissions())
}

/// What was changed then, taken back in a text that was changed elsewhere since.
fn mended(record: &Record, before: &str, after: &str, now: &str) -> Result<String, WriteError> {
    let format = Client::find(&record.client).map_or(Format::Json, |client| client.format);
    let edit = |source: EditError| ConfigError::Edit { path: record.path.clone(), source };
    let parse = |text: &str| format.parse(text).map_err(|broken| edit(EditError::Broken(broken)));
    let (before, after) = (parse(before)?.value(), parse(after)?.value());
    let current = parse(now)?.value();
    let edits = difference(&[], &after, &before);
    for change in &edits {
        let (Edit::Set(path, _) | Edit::Remove(path)) = change;
        if current.at(path) != after.at(path) {
            let what = path.join(".").escape_debug().to_string();
            return Err(WriteError::Since { path: record.path.clone(), what });
        }
    }
    Ok(format.edit(now, &edits).map_err(edit)?)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> WriteError {
    move |source| WriteError::Io { path: path.to_owned(), source }
}

fn absolute(path: &Path) -> Result<PathBuf, WriteError> {
    std::path::absolute(path).map_err(failed(path))
}

fn sync_folder(folder: &Path) -> Result<(), WriteError> {
    // Other systems cannot open a folder, and need not.
    match cfg!(unix) {
        true => File::open(folder).and_then(|file| file.sync_all()).map_err(failed(folder)),
        false => Ok(()),
    }
}

impl Record {
    fn file(&self, end: &str) -> PathBuf {
        self.stem.with_extension(end)
    }

    fn written(&self) -> String {
        let Self { change, verb, at, client, path, existed, .. } = self;
        let path = path.to_string_lossy();
        serde_json::json!({
            "v": 1, "change": change, "verb": verb, "at": at, "client": client, "path": path,
            "existed": existed,
        })
        .to_string()
    }

    fn read(path: &Path) -> Result<Self, WriteError> {
        let unfit = || WriteError::Record { path: path.to_owned() };
        let text = fs::read_to_string(path).map_err(failed(path))?;
        let json: serde_json::Value = serde_json::from_str(&text).map_err(|_| unfit())?;
        let text = |name: &str| json.get(name)?.as_str().map(ToOwned::to_owned);
        let number = |name: &str| json.get(name)?.as_u64();
        let record = || {
            Some(Self {
                change: number("change")?,
                verb: text("verb")?,
                at: number("at")?,
                client: text("client")?,
                path: PathBuf::from(text("path")?),
                existed: json.get("existed")?.as_bool()?,
                stem: path.with_extension(""),
            })
        };
        record().filter(|record| record.path.is_absolute()).ok_or_else(unfit)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
use tests::Fault;
