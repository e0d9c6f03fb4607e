//! `etdi configs`: the files in which clients keep their servers.

use etdi::core::change::visible;
use etdi_clients::{Client, Config, ConfigError, ConfigFile, known};
use serde_json::json;

use crate::args::ConfigsArguments;
use crate::exit::Failure;
use crate::output::{Report, table};
use crate::targets;

/// Lists the files that are there, and whether they can be read.
///
/// # Errors
///
/// When a client is not known.
pub fn run(arguments: &ConfigsArguments) -> Result<Report, Failure> {
    let places = targets::places();
    let clients: Vec<&'static Client> = match arguments.clients.is_empty() {
        true => known(places.system()).collect(),
        false => {
            arguments.clients.iter().map(|name| targets::client(name)).collect::<Result<_, _>>()?
        }
    };
    let mut rows = Vec::new();
    let mut data = Vec::new();
    for file in clients.into_iter().flat_map(|client| client.files(&places)) {
        let is_there = file.path.exists();
        if !is_there && !arguments.all {
            continue;
        }
        let state = if is_there { State::of(&file) } else { State::Absent };
        let path = visible(&file.path.to_string_lossy()).into_owned();
        data.push(json!({
            "client": file.client.id, "title": file.client.title, "scope": file.scope.word(),
            "file": path, "exists": is_there, "servers": state.servers(), "line": state.line(),
            "error": state.error(), "note": state.note(),
        }));
        rows.push([file.client.id.to_owned(), file.scope.word().to_owned(), state.shown(), path]);
    }
    let text = match rows.is_empty() {
        true => "no client keeps servers on this computer, or in this folder".to_owned(),
        false => table(["client", "scope", "servers", "file"], rows),
    };
    Ok(Report::new(json!({ "configs": data }), text))
}

/// What a file is like.
pub(crate) enum State {
    Absent,
    Fine(usize),
    Loose(usize),
    Misplaced(usize),
    Broken(Option<usize>, String),
}

impl State {
    pub(crate) fn of(file: &ConfigFile) -> Self {
        match Config::open(file) {
            Ok(config) => match config.misplaced() {
                Some(line) => Self::Misplaced(line),
                None if config.is_too_loose() => Self::Loose(config.servers().len()),
                None => Self::Fine(config.servers().len()),
            },
            Err(ConfigError::Broken { broken, .. }) => Self::Broken(Some(broken.line), broken.what),
            Err(error) => Self::Broken(None, error.to_string()),
        }
    }

    fn servers(&self) -> Option<usize> {
        match self {
            Self::Fine(count) | Self::Loose(count) => Some(*count),
            _ => None,
        }
    }

    pub(crate) fn line(&self) -> Option<usize> {
        match self {
            Self::Misplaced(line) => Some(*line),
            Self::Broken(line, _) => *line,
            _ => None,
        }
    }

    pub(crate) fn error(&self) -> Option<String> {
        match self {
            Self::Misplaced(_) => {
                Some("what stands where the servers should be is no table of them".to_owned())
            }
            Self::Broken(_, what) => Some(visible(what).into_owned()),
            _ => None,
        }
    }

    pub(crate) fn note(&self) -> Option<&'static str> {
        match self {
            Self::Loose(_) => Some("comments or trailing commas, which this client does not read"),
            _ => None,
        }
    }

    fn shown(&self) -> String {
        match (self, self.error()) {
            (Self::Absent, _) => "no file".to_owned(),
            (Self::Fine(count), _) => count.to_string(),
            (Self::Loose(count), _) => format!("{count}, with {}", self.note().unwrap_or_default()),
            (_, error) => {
                let line = self.line().map_or_else(String::new, |line| format!("line {line}: "));
                format!("broken, {line}{}", error.unwrap_or_default())
            }
        }
    }
}
