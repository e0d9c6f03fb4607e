//! What a server answered, for people: texts escaped, images and sounds named or saved.

use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use etdi::core::change::visible;
use mcp_types::{ContentBlock, ResourceContents};

use crate::exit::Failure;
use crate::verbs::target::shown_path;

/// Shows content, and saves what is no text where a directory is named.
pub struct Shown<'a> {
    save: Option<&'a Path>,
    saved: Vec<PathBuf>,
    lines: Vec<String>,
}

/// The most files of one name in a directory.
const MOST_FILES: usize = 10_000;

impl<'a> Shown<'a> {
    /// Saves into `save`.
    pub fn new(save: Option<&'a Path>) -> Self {
        Self { save, saved: Vec::new(), lines: Vec::new() }
    }

    /// Adds a block of content.
    ///
    /// # Errors
    ///
    /// When a file cannot be saved.
    pub fn block(&mut self, block: &ContentBlock) -> Result<(), Failure> {
        let line = match block {
            ContentBlock::Text(text) => harmless(&text.text),
            ContentBlock::Image(image) => {
                self.file("image", Some(&image.mime_type), &image.data)?
            }
            ContentBlock::Audio(audio) => {
                self.file("audio", Some(&audio.mime_type), &audio.data)?
            }
            ContentBlock::ResourceLink(link) => format!("[resource {}]", visible(&link.uri)),
            ContentBlock::Resource(embedded) => return self.contents(&embedded.resource),
            _ => "[content of another kind]".to_owned(),
        };
        self.lines.push(line);
        Ok(())
    }

    /// Adds the contents of a resource.
    ///
    /// # Errors
    ///
    /// When a file cannot be saved.
    pub fn contents(&mut self, contents: &ResourceContents) -> Result<(), Failure> {
        let line = match contents {
            ResourceContents::Text(text) => harmless(&text.text),
            ResourceContents::Blob(blob) => {
                self.file("resource", blob.mime_type.as_deref(), &blob.blob)?
            }
            _ => "[contents of another kind]".to_owned(),
        };
        self.lines.push(line);
        Ok(())
    }

    /// Adds a line of ours.
    pub fn line(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// All of it, and the files that were written.
    pub fn finish(self) -> (String, Vec<PathBuf>) {
        (self.lines.join("\n"), self.saved)
    }

    /// Something that is no text: saved, or named.
    fn file(&mut self, what: &str, mime: Option<&str>, data: &str) -> Result<String, Failure> {
        let kind = mime.unwrap_or("application/octet-stream");
        let shown = visible(kind);
        let Ok(bytes) = STANDARD.decode(data) else {
            return Ok(format!("[{what} {shown} that is not in base64]"));
        };
        let size = bytes.len();
        let Some(directory) = self.save else {
            return Ok(format!("[{what} {shown}, {size} bytes; `--save DIRECTORY` keeps it]"));
        };
        let path = write(directory, what, ending(kind), &bytes)?;
        let line = format!("[{what} {shown}, {size} bytes, saved as {}]", shown_path(&path));
        self.saved.push(path);
        Ok(line)
    }
}

/// Writes a file under the next free name. Of what the server says only the type has a part in it, and
/// what is there is never replaced.
fn write(directory: &Path, what: &str, ending: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
    let failed = |path: &Path, error: std::io::Error| {
        let message = format!("`{}` cannot be written: {error}", path.display());
        Failure::usage(message, format!("ls -ld {}", shown_path(directory)))
    };
    std::fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    for number in 1..=MOST_FILES {
        let path = directory.join(format!("{what}-{number}.{ending}"));
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        match file.and_then(|mut file| file.write_all(bytes)) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&path, error)),
        }
    }
    let error = std::io::Error::other("there are too many files, empty the directory");
    Err(failed(directory, error))
}

/// How the name of a file of this type ends.
fn ending(mime: &str) -> &'static str {
    let kind = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = [
        ("image/png", "png"),
        ("image/jpeg", "jpg"),
        ("image/gif", "gif"),
        ("image/webp", "webp"),
        ("image/svg+xml", "svg"),
        ("audio/wav", "wav"),
        ("audio/x-wav", "wav"),
        ("audio/mpeg", "mp3"),
        ("audio/ogg", "ogg"),
        ("audio/flac", "flac"),
        ("application/pdf", "pdf"),
        ("application/zip", "zip"),
        ("application/json", "json"),
        ("text/plain", "txt"),
        ("text/html", "html"),
        ("text/csv", "csv"),
    ];
    known.iter().find(|(name, _)| *name == kind).map_or("bin", |(_, ending)| ending)
}

/// A text that cannot drive a terminal; for a pipe it is left as it is.
pub fn harmless(text: &str) -> String {
    if !std::io::stdout().is_terminal() {
        return text.to_owned();
    }
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The attack: a server that writes where it likes, over what is there.
    #[test]
    fn a_server_chooses_no_path_and_replaces_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("out");
        let mut shown = Shown::new(Some(&inside));
        for mime in ["image/png", "image/png", "../../evil", "image/png/../x"] {
            shown.file("image", Some(mime), "aGk=").unwrap();
        }
        let (_, saved) = shown.finish();
        let names: Vec<_> =
            saved.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["image-1.png", "image-2.png", "image-1.bin", "image-2.bin"]);
        assert!(saved.iter().all(|path| path.parent() == Some(&inside)));
        assert_eq!(std::fs::read(&saved[0]).unwrap(), b"hi");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_saved_is_named() {
        let mut shown = Shown::new(None);
        let line = shown.file("audio", Some("audio/wav\u{1b}"), "aGk=").unwrap();
        assert_eq!(line, r"[audio audio/wav\u{1b}, 2 bytes; `--save DIRECTORY` keeps it]");
        let line = shown.file("image", None, "?").unwrap();
        assert_eq!(line, "[image application/octet-stream that is not in base64]");
    }
}
