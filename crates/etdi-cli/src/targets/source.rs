//! `source:name`: an entry of a client's configuration, or of a file by its path.

use std::path::{Path, PathBuf};

use etdi::core::change::visible;
use etdi_clients::{
    CLIENTS, Client, Config, ConfigFile, OF_NO_CLIENT, Places, Scope, Server, all_servers,
};

use super::Found;
use crate::arguments::nearest;
use crate::exit::Failure;
use crate::verbs::target::{quoted, shown_path};

/// Where an entry is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'w> {
    /// In the files of a client.
    Client(&'static Client),
    /// In a file.
    File(&'w str),
    /// Something that is neither, but looks as if it should be a client.
    Unknown(&'w str),
}

/// The file that projects keep their servers in.
const PROJECT: &str = ".mcp.json";

/// The parts of `source:name`; None for what is written otherwise.
pub(super) fn split(word: &str) -> Option<(Source<'_>, &str)> {
    let (source, name) = word.split_once(':').filter(|(source, _)| !source.is_empty())?;
    if name.is_empty() || word.contains("://") {
        return None;
    }
    if let Some(client) = Client::find(source) {
        return Some((Source::Client(client), name));
    }
    let (file, name) = word.rsplit_once(':')?;
    let ends = [".json", ".jsonc", ".toml", ".yaml", ".yml"];
    if ends.iter().any(|end| file.ends_with(end)) {
        return Some((Source::File(file), name));
    }
    // `cursr:github`, but not `C:\server` and not a path with a colon in it.
    let is_word = source.len() > 2 && source.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let is_program = super::find(word, None).is_some();
    (is_word && !is_program && !word.contains('/')).then_some((Source::Unknown(source), name))
}

/// Whether a word names an entry that is another one in another directory: of a file by a path from
/// this one, or of a client, which has files for each folder.
pub(super) fn is_nearby(word: &str) -> bool {
    match split(word) {
        Some((Source::File(path), _)) => Path::new(path).is_relative(),
        Some((Source::Client(_), _)) => true,
        _ => false,
    }
}

/// The entry of a source.
pub(super) fn entry(source: Source<'_>, name: &str, places: &Places) -> Result<Found, Failure> {
    let files = match source {
        Source::Client(client) => client.files(places),
        Source::File(path) => vec![file(Path::new(path))?],
        Source::Unknown(source) => {
            return Err(super::client(source).err().unwrap_or_else(|| {
                Failure::usage(format!("`{}` is no client", visible(source)), "etdi configs --all")
            }));
        }
    };
    let mut servers = Vec::new();
    for file in &files {
        servers.extend(read(file)?.servers());
    }
    let here = places.project();
    // What is nearest counts: this folder's own entry, the project's file, the user's.
    let rank = |server: &Server| match (&server.project, server.file.scope) {
        (Some(project), _) if project == here => Some(0),
        (Some(_), _) => None,
        (None, Scope::Project) => Some(1),
        (None, _) => Some(2),
    };
    let mut known: Vec<(u8, Server)> =
        servers.into_iter().filter_map(|server| Some((rank(&server)?, server))).collect();
    known.sort_by_key(|(rank, _)| *rank);
    let place = match source {
        Source::Client(client) => format!("{} of `{}`", "the configuration", client.id),
        Source::File(path) | Source::Unknown(path) => format!("`{}`", visible(path)),
    };
    let mut same = known.iter().filter(|(_, server)| server.name == name);
    match (same.next(), same.next()) {
        // Whose folder this is must not change what the user's own names mean.
        (Some((1, of_folder)), Some((2, own))) if of_folder.launch != own.launch => {
            let path = |server: &Server| shown_path(&server.file.path);
            let (here, there) = (path(of_folder), path(own));
            let message = format!(
                "there is a server `{}` in {there}, and another in this folder: name the file as well",
                visible(name)
            );
            let next = quoted(&format!("{}:{name}", own.file.path.display()));
            let next = format!("etdi list {next}");
            Err(Failure::usage(format!("{message}, `{here}:{}` or the other", visible(name)), next)
                .with_code("ENTRY_AMBIGUOUS"))
        }
        (Some((_, server)), _) => configured(server),
        (None, _) => {
            let names = known.iter().map(|(_, server)| server.name.as_str());
            let meant = match nearest(name, names) {
                Some(near) => format!(", did you mean `{}`?", visible(near)),
                None if known.is_empty() => ", which has no servers at all".to_owned(),
                None => String::new(),
            };
            let message = format!("there is no server `{}` in {place}{meant}", visible(name));
            Err(Failure::usage(message, "etdi discover").with_code("NO_SUCH_SERVER"))
        }
    }
}

/// The entry of `.mcp.json` in this folder that one word names, as a target; None for a word that is
/// anything else.
pub(super) fn of_project(word: &str, places: &Places) -> Option<String> {
    let is_bare = !word.contains(['/', ':']) && super::find(word, None).is_none();
    let path = places.project().join(PROJECT);
    let config = is_bare.then(|| read(&file(&path).ok()?).ok()).flatten()?;
    let is_there = config.servers().iter().any(|server| server.name == word);
    is_there.then(|| format!("./{PROJECT}:{word}"))
}

/// One word that is no program: fails with the entry that was meant, if it is near one.
pub(super) fn bare(word: &str, places: &Places) -> Result<(), Failure> {
    let (servers, _) = all_servers(places);
    let same = servers.iter().find(|server| server.name == word);
    let names = servers.iter().map(|server| server.name.as_str());
    let near = nearest(word, names).filter(|near| strsim::jaro_winkler(word, near) > 0.85);
    let near = || servers.iter().find(|one| Some(one.name.as_str()) == near);
    let Some(meant) = same.or_else(near).map(Server::target) else { return Ok(()) };
    let message = format!(
        "`{}` is no program in the PATH, did you mean `{}`?",
        visible(word),
        visible(&meant)
    );
    let next = format!("etdi list {}", quoted(&meant));
    Err(Failure::usage(message, next).with_code("NO_SUCH_SERVER"))
}

/// How an entry is started, with values in the place of references to variables.
///
/// # Errors
///
/// When it cannot be read, or a reference leads nowhere.
pub fn configured(server: &Server) -> Result<Found, Failure> {
    let path = shown_path(&server.file.path);
    let unfit = |what: String| {
        let message = format!(
            "the entry `{}`, line {} of {path}: {what}",
            visible(&server.name),
            server.line
        );
        Failure::usage(message, "etdi discover").with_code("ENTRY_INVALID")
    };
    if let Err(error) = &server.launch {
        return Err(unfit(error.to_string()));
    }
    let variable = |name: &str| std::env::var(name).ok();
    match server.resolved(&variable) {
        Some(Ok(launch)) => {
            let written = server.launch.clone().ok().map(|launch| (launch, server.client()));
            Ok(Found { launch, entry: Some(server.target()), written, guard: None })
        }
        Some(Err(error)) => Err(unfit(error.to_string())),
        None => Err(unfit("it cannot be read".to_owned())),
    }
}

/// A file that is named by its path, with its servers.
///
/// # Errors
///
/// When it is not there, or is none.
pub fn config(path: &Path) -> Result<Config, Failure> {
    read(&file(path)?)
}

/// A file that is named by its path, as one of the client that writes such files.
fn file(path: &Path) -> Result<ConfigFile, Failure> {
    let missing = |why: String| {
        let next = format!("ls -l {}", shown_path(path));
        Failure::usage(format!("`{}`: {why}", path.display()), next)
    };
    if !path.is_file() {
        return Err(missing("there is no such file".to_owned()));
    }
    let file = |client: &'static Client| ConfigFile {
        client,
        scope: Scope::Project,
        path: path.to_owned(),
    };
    // Claude Code comes first, because `.mcp.json` is its file.
    let first = Client::find("claude-code").into_iter();
    let fits = first.chain(OF_NO_CLIENT).chain(CLIENTS).find(|client| {
        let is_its = Config::open(&file(client)).is_ok_and(|config| !config.servers().is_empty());
        ends_as(path, client) && is_its
    });
    let by_end =
        || CLIENTS.iter().find(|client| client.id != "claude-desktop" && ends_as(path, client));
    fits.or_else(by_end).map(file).ok_or_else(|| missing("it is no JSON, TOML or YAML".to_owned()))
}

fn ends_as(path: &Path, client: &Client) -> bool {
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
    match client.format {
        etdi_clients::Format::Toml => end == "toml",
        etdi_clients::Format::Yaml => end == "yaml" || end == "yml",
        _ => end == "json" || end == "jsonc",
    }
}

fn read(file: &ConfigFile) -> Result<Config, Failure> {
    Config::open(file).map_err(|error| {
        let next = format!("cat {}", shown_path(&file.path));
        Failure::usage(error.to_string(), next).with_code("CONFIG_BROKEN")
    })
}

/// The files of some clients, or of all, that are there.
pub fn files_of(clients: &[&'static Client], places: &Places) -> Vec<ConfigFile> {
    let all: Vec<&'static Client> = match clients.is_empty() {
        true => etdi_clients::known(places.system()).collect(),
        false => clients.to_vec(),
    };
    let mut seen: Vec<(PathBuf, &str)> = Vec::new();
    let mut files = Vec::new();
    for file in all.into_iter().flat_map(|client| client.files(places)) {
        let key = (file.path.clone(), file.client.id);
        if file.path.is_file() && !seen.contains(&key) {
            seen.push(key);
            files.push(file);
        }
    }
    files
}
