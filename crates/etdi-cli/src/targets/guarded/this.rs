//! Whether a command starts this very program: what is only called as it is may be anything.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use etdi_clients::Program;

use crate::targets::program::find_from;

/// Whether a word is called as this program is, wherever it lies: `etdi`, `etdi.exe`, `etdi-1.2`.
pub fn is_called_so(word: &str) -> bool {
    let name = word.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
    name == "etdi" || name == "etdi.exe" || name.starts_with("etdi-")
}

/// The `PATH` that a program is given.
pub fn path(program: &Program) -> Option<&OsStr> {
    program.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, path)| path.as_ref())
}

/// The file that a program's command leads to, with the `PATH` and from the directory that it is given.
pub fn file(program: &Program) -> Option<PathBuf> {
    find_from(&program.command, path(program), program.cwd.as_deref().map(Path::new))
}

/// Whether a file is this program: the same, or one of the same bytes.
pub fn is_this(file: &Path) -> bool {
    let this = std::env::current_exe().and_then(|this| this.canonicalize());
    match (this, file.canonicalize()) {
        (Ok(this), Ok(file)) => this == file || same_bytes(&this, &file).unwrap_or(false),
        _ => false,
    }
}

fn same_bytes(one: &Path, other: &Path) -> std::io::Result<bool> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::new(one), BufReader::new(other));
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let length = left.len().min(right.len());
        if length == 0 {
            return Ok(left.is_empty() && right.is_empty());
        }
        if left.get(..length) != right.get(..length) {
            return Ok(false);
        }
        one.consume(length);
        other.consume(length);
    }
}
