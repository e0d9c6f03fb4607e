//! A folder out of which no path leads, whatever links are in it.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};

use super::RelativePath;

/// An open folder. Paths are resolved inside it by the operating system's own means, so that neither
/// `..` nor a symbolic link, not even one that is swapped in at the last moment, leads out.
///
/// Its calls block: use them in a sync tool.
///
/// ```no_run
/// use mcp_server::checked::{FileError, Folder, RelativePath};
/// use mcp_server::{State, server, tool};
///
/// /// Reads a note.
/// #[tool]
/// fn read_note(folder: State<Folder>, path: RelativePath) -> Result<String, FileError> {
///     folder.read_text(&path, 64 * 1024)
/// }
///
/// let server = server!().state(Folder::open("notes")?).tool::<read_note>().build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Folder(Arc<Dir>);

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Entry {
    /// Its name, without the folder's.
    pub name: String,
    /// Whether it is a folder itself.
    pub is_folder: bool,
}

/// Why a file was not read or written. Its text names the path within the folder and nothing outside.
#[derive(Debug)]
pub struct FileError {
    path: String,
    reason: io::Error,
}

impl FileError {
    fn new(path: &str, reason: io::Error) -> Self {
        Self { path: path.to_owned(), reason }
    }

    /// The kind of the error; `PermissionDenied` for a link that leads out.
    pub fn kind(&self) -> io::ErrorKind {
        self.reason.kind()
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use `{}`: {}", self.path, self.reason)
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.reason)
    }
}

impl Folder {
    /// Opens the folder that the *author* of the server names; never hand it a path of a client.
    ///
    /// # Errors
    ///
    /// The folder does not exist, is none, or may not be read; the text names it.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        match Dir::open_ambient_dir(path, ambient_authority()) {
            Ok(dir) => Ok(Self(Arc::new(dir))),
            Err(error) => {
                let text = format!("cannot open the folder `{}`: {error}", path.display());
                Err(io::Error::new(error.kind(), text))
            }
        }
    }

    /// Reads a file of at most `most` bytes.
    ///
    /// # Errors
    ///
    /// It does not exist, is no regular file (a pipe would hang the reader), is larger, may not be
    /// read, or a link on its way leads out of the folder.
    pub fn read(&self, path: &RelativePath, most: usize) -> Result<Vec<u8>, FileError> {
        self.try_read(path, most).map_err(|error| FileError::new(path, error))
    }

    /// The same for UTF-8 text.
    ///
    /// # Errors
    ///
    /// As [`Folder::read`], and when the file is no UTF-8.
    pub fn read_text(&self, path: &RelativePath, most: usize) -> Result<String, FileError> {
        let bytes = self.read(path, most)?;
        String::from_utf8(bytes).map_err(|error| {
            FileError::new(path, io::Error::new(io::ErrorKind::InvalidData, error))
        })
    }

    fn try_read(&self, path: &str, most: usize) -> io::Result<Vec<u8>> {
        let regular = |meta: cap_std::fs::Metadata| {
            if meta.is_file() { Ok(()) } else { Err(io::Error::other("it is no regular file")) }
        };
        regular(self.0.metadata(path)?)?;
        let file = self.0.open(path)?;
        regular(file.metadata()?)?;
        let mut bytes = Vec::new();
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit).read_to_end(&mut bytes)?;
        if bytes.len() > most {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it is larger than {most} bytes"),
            ));
        }
        Ok(bytes)
    }

    /// Writes a file, in place of an earlier one; the folders above it must exist.
    ///
    /// # Errors
    ///
    /// It may not be written, or a link on its way leads out of the folder.
    pub fn write(&self, path: &RelativePath, bytes: &[u8]) -> Result<(), FileError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let written = self.0.open_with(path.as_str(), &options);
        written.and_then(|mut file| file.write_all(bytes)).map_err(|e| FileError::new(path, e))
    }

    /// The first `most` entries of a folder below, or of this one, sorted by name. Names that are no
    /// Unicode are left out.
    ///
    /// # Errors
    ///
    /// As for reading.
    pub fn entries(
        &self,
        path: Option<&RelativePath>,
        most: usize,
    ) -> Result<Vec<Entry>, FileError> {
        let name = path.map_or(".", RelativePath::as_str);
        let listed = || {
            let mut found = Vec::new();
            for entry in self.0.read_dir(name)?.take(most) {
                let entry = entry?;
                let is_folder = entry.file_type()?.is_dir();
                if let Ok(name) = entry.file_name().into_string() {
                    found.push(Entry { name, is_folder });
                }
            }
            found.sort();
            Ok(found)
        };
        listed().map_err(|error| FileError::new(name, error))
    }

    /// The folder as `cap-std` knows it, for what is not here.
    pub fn dir(&self) -> &Dir {
        &self.0
    }
}
