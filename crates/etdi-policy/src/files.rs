//! Policies as files in a folder.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use crate::LoadError;

/// A text with policies, and the name by which problems cite it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// The name, such as that of the file.
    pub name: String,
    /// The text.
    pub text: String,
}

impl Source {
    /// The most bytes of one text.
    pub const MAX_BYTES: usize = 1 << 20;

    /// The most texts of one engine.
    pub const MAX_SOURCES: usize = 256;

    /// A text with policies.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

/// Reads the files of a folder whose names end in `.extension`, in the order of their names.
/// Folders within it are not looked into.
pub(crate) fn read_folder(folder: &Path, extension: &str) -> Result<Vec<Source>, LoadError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| LoadError::Io { path, source }
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        if path.extension().is_some_and(|own| own == extension) && path.is_file() {
            paths.push(path);
        }
        if paths.len() > Source::MAX_SOURCES {
            return Err(LoadError::TooMuch { what: "many files", limit: Source::MAX_SOURCES });
        }
    }
    paths.sort();
    let read = paths.iter().map(|path| {
        let text = read(path)?;
        let name = path.strip_prefix(folder).unwrap_or(path).to_string_lossy();
        Ok(Source::new(name, text))
    });
    read.collect()
}

/// Reads one file, no more than [`Source::MAX_BYTES`] of it.
pub(crate) fn read(path: &Path) -> Result<String, LoadError> {
    let failed = |source| LoadError::Io { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    let limit = Source::MAX_BYTES as u64 + 1;
    file.take(limit).read_to_string(&mut text).map_err(failed)?;
    match text.len() > Source::MAX_BYTES {
        true => Err(LoadError::TooMuch { what: "many bytes in a file", limit: Source::MAX_BYTES }),
        false => Ok(text),
    }
}
