//! One file of one client: its servers, and changes to them that are not written yet.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::client::{Client, ConfigFile, Scope};
use crate::dialect::{Launch, Unfit};
use crate::expand::{self, Unresolved};
use crate::format::{Broken, Edit, EditError, MAX_FILE, difference};
use crate::secret;
use crate::tree::{Kind, Member, Node, Value, line_of};

/// Why a configuration file cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The system does not give it.
    #[error("cannot read `{}`: {source}, look at its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is larger than any configuration.
    #[error("`{}` is larger than {} MiB, which no configuration is: look at what it holds", path.display(), MAX_FILE >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is no text.
    #[error("`{}` is not UTF-8, save it as that", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// It is not written as its format says.
    #[error("`{}`, {broken}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        broken: Broken,
    },
    /// It cannot be changed without a risk for the rest of it.
    #[error("`{}` cannot be changed: {source}", path.display())]
    Edit {
        /// The file.
        path: PathBuf,
        /// Why.
        source: EditError,
    },
    /// The client cannot use such a server.
    #[error("{0}")]
    Unfit(#[from] Unfit),
}

/// A configuration file as it was read, with changes that are only in memory.
///
/// ```
/// use etdi_clients::{Client, Config, ConfigFile, Launch, Program, Scope};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("mcp.json");
/// std::fs::write(&path, "{\n  // mine\n  \"mcpServers\": {}\n}\n")?;
/// let client = Client::find("cursor").ok_or("no such client")?;
/// let mut config = Config::open(&ConfigFile { client, scope: Scope::User, path })?;
/// let program = Program { command: "/usr/bin/notes".into(), ..Program::default() };
/// config.put("notes", &Launch::Program(program))?;
/// assert!(config.text().contains("// mine") && config.text().contains("/usr/bin/notes"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Config {
    file: ConfigFile,
    before: Option<String>,
    text: String,
    root: Node,
}

/// A server that a client is configured with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Server {
    /// Which file says so.
    pub file: ConfigFile,
    /// The way to its entry in the file.
    pub path: Vec<String>,
    /// The project it is for, where a file of the user keeps it for one project.
    pub project: Option<PathBuf>,
    /// Its name there.
    pub name: String,
    /// The line of its entry.
    pub line: usize,
    /// Its entry as it stands there.
    pub entry: Value,
    /// How it is started or reached, references not resolved.
    pub launch: Result<Launch, Unfit>,
    /// Whether it is switched on.
    pub enabled: bool,
}

impl Server {
    /// The client.
    pub fn client(&self) -> &'static Client {
        self.file.client
    }

    /// The name by which it is a target, such as `cursor:github`.
    pub fn target(&self) -> String {
        format!("{}:{}", self.file.client.id, self.name)
    }

    /// How it is started, with values in the place of references to variables.
    ///
    /// # Errors
    ///
    /// None inside for an entry that cannot be read; else the reference that leads nowhere.
    pub fn resolved(
        &self,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Option<Result<Launch, Unresolved>> {
        let launch = self.launch.as_ref().ok()?;
        Some(expand::launch(launch, self.file.client.dialect.references, variable))
    }

    /// Where it holds what looks like a secret in clear: names of variables, headers and options,
    /// never a value.
    pub fn secrets(&self) -> Vec<String> {
        let references = self.file.client.dialect.references;
        self.launch.as_ref().map_or_else(|_| Vec::new(), |one| secret::in_clear(one, references))
    }
}

/// Where servers lie in a file, and for which project.
type Container = (Vec<String>, Option<PathBuf>);

impl Config {
    /// Reads a file; one that is not there is empty.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is not what its format says.
    pub fn open(file: &ConfigFile) -> Result<Self, ConfigError> {
        Self::parsed(file, read(&file.path)?)
    }

    /// A text as one of this file, such as what it held once: to look at, for no journal writes it.
    ///
    /// # Errors
    ///
    /// When it is not what the file's format says.
    pub fn of_text(file: &ConfigFile, text: &str) -> Result<Self, ConfigError> {
        Self::parsed(file, Some(text.to_owned()))
    }

    fn parsed(file: &ConfigFile, before: Option<String>) -> Result<Self, ConfigError> {
        let text = before.clone().unwrap_or_default();
        let root = file
            .client
            .format
            .parse(&text)
            .map_err(|broken| ConfigError::Broken { path: file.path.clone(), broken })?;
        Ok(Self { file: file.clone(), before, text, root })
    }

    /// Which file it is.
    pub fn file(&self) -> &ConfigFile {
        &self.file
    }

    /// The text with all changes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text as it was read; None where no file was.
    pub fn before(&self) -> Option<&str> {
        self.before.as_deref()
    }

    /// Whether anything is to be written.
    pub fn is_changed(&self) -> bool {
        self.before.as_deref().unwrap_or_default() != self.text
    }

    /// Whether it holds comments or trailing commas that its client does not read.
    pub fn is_too_loose(&self) -> bool {
        let client = self.file.client;
        client.format == crate::Format::Json
            && !client.comments
            && !crate::json::is_plain(crate::format::without_mark(&self.text).1)
    }

    fn containers(&self) -> Vec<Container> {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let key = own(self.file.client.key);
        let mut all = vec![(key.clone(), None)];
        if self.file.client.has_projects && self.file.scope == Scope::User {
            let projects = self.root.member("projects").map_or(&[][..], |one| one.node.members());
            all.extend(projects.iter().map(|project| {
                let path = [own(&["projects"]), vec![project.name.clone()], key.clone()].concat();
                (path, Some(PathBuf::from(&project.name)))
            }));
        }
        all
    }

    /// The servers, in the order of the file. What is built into the client is left out.
    pub fn servers(&self) -> Vec<Server> {
        let body = crate::format::without_mark(&self.text).1;
        let mut servers = Vec::new();
        for (path, project) in self.containers() {
            let Some(container) = self.root.at(&path) else { continue };
            for member in container.node.members() {
                let entry = member.node.value();
                let dialect = &self.file.client.dialect;
                let launch = dialect.read(&entry);
                if launch == Err(Unfit::BuiltIn) {
                    continue;
                }
                let place = [member.name_span.start, member.node.span.start];
                servers.push(Server {
                    file: self.file.clone(),
                    path: [path.clone(), vec![member.name.clone()]].concat(),
                    project: project.clone(),
                    name: member.name.clone(),
                    line: line_of(
                        body,
                        place.into_iter().max().unwrap_or_default().min(body.len()),
                    ),
                    enabled: dialect.is_enabled(&entry),
                    entry,
                    launch,
                });
            }
        }
        servers
    }

    /// The member at a path of names, with the places of all that is in it: for what others keep in such
    /// a file beside the servers.
    pub fn member(&self, path: &[&str]) -> Option<&Member> {
        let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
        self.root.at(&path)
    }

    /// The line of the byte at which a [`Member`] or a [`Node`] begins.
    pub fn line(&self, at: usize) -> usize {
        let body = crate::format::without_mark(&self.text).1;
        line_of(body, at.min(body.len()))
    }

    /// What stands where the servers should be, if that is no table of them.
    pub fn misplaced(&self) -> Option<usize> {
        let path: Vec<String> =
            self.file.client.key.iter().map(|name| (*name).to_owned()).collect();
        let member = self.root.at(&path)?;
        let is_fine = matches!(member.node.kind, Kind::Map(_) | Kind::Scalar(Value::Null));
        let body = crate::format::without_mark(&self.text).1;
        (!is_fine).then(|| line_of(body, member.name_span.start))
    }

    /// The way to the entry of a name, for the user or the whole project.
    pub fn path_of(&self, name: &str) -> Vec<String> {
        let key = self.file.client.key.iter().map(|name| (*name).to_owned());
        key.chain([name.to_owned()]).collect()
    }

    /// Adds a server, or makes that of this name start another; what else stands in its entry stays.
    ///
    /// # Errors
    ///
    /// When the client cannot use such a server, or the file cannot be edited.
    pub fn put(&mut self, name: &str, launch: &Launch) -> Result<(), ConfigError> {
        let path = self.path_of(name);
        self.put_at(&path, launch)
    }

    /// Takes a server out; false where there is none of this name.
    ///
    /// # Errors
    ///
    /// When the file cannot be edited.
    pub fn remove(&mut self, name: &str) -> Result<bool, ConfigError> {
        self.remove_at(&self.path_of(name))
    }

    /// Takes the server at a path out, as [`Server::path`] has it; false where there is none.
    ///
    /// # Errors
    ///
    /// When the file cannot be edited.
    pub fn remove_at(&mut self, path: &[String]) -> Result<bool, ConfigError> {
        if self.root.at(path).is_none() {
            return Ok(false);
        }
        self.edit(&[Edit::Remove(path.to_vec())])?;
        Ok(true)
    }

    /// Asks for each server how it is to be started from now on, and changes those for which
    /// something is said. In their entries only what says how they start is changed. Gives the
    /// changed servers as they were.
    ///
    /// # Errors
    ///
    /// As [`Config::put`]; no server is changed then.
    pub fn rewrite_each(
        &mut self,
        mut launch: impl FnMut(&Server) -> Option<Launch>,
    ) -> Result<Vec<Server>, ConfigError> {
        let (text, root) = (self.text.clone(), self.root.clone());
        let mut changed = Vec::new();
        for server in self.servers() {
            let Some(launch) = launch(&server) else { continue };
            if let Err(error) = self.put_at(&server.path, &launch) {
                (self.text, self.root) = (text, root);
                return Err(error);
            }
            changed.push(server);
        }
        Ok(changed)
    }

    /// Puts a whole entry in the place of another, as [`Server::entry`] and [`Server::path`] had it.
    ///
    /// # Errors
    ///
    /// When the file cannot be edited.
    pub fn restore(&mut self, path: &[String], entry: &Value) -> Result<(), ConfigError> {
        let edits = match self.root.at(path) {
            Some(member) => difference(path, &member.node.value(), entry),
            None => vec![Edit::Set(path.to_vec(), entry.clone())],
        };
        self.edit(&edits)
    }

    fn put_at(&mut self, path: &[String], launch: &Launch) -> Result<(), ConfigError> {
        let Client { title, dialect, .. } = self.file.client;
        let name = path.last().map_or("", String::as_str);
        let edits = match self.root.at(path).map(|member| member.node.value()) {
            Some(entry @ Value::Map(_)) => {
                difference(path, &entry, &dialect.rewrite(title, &entry, launch)?)
            }
            _ => vec![Edit::Set(path.to_vec(), dialect.write(title, name, launch)?)],
        };
        self.edit(&edits)
    }

    fn edit(&mut self, edits: &[Edit]) -> Result<(), ConfigError> {
        let path = || self.file.path.clone();
        let edit = |source| ConfigError::Edit { path: path(), source };
        let format = self.file.client.format;
        let text = format.edit(&self.text, edits).map_err(edit)?;
        let broken = |broken| ConfigError::Broken { path: path(), broken };
        (self.root, self.text) = (format.parse(&text).map_err(broken)?, text);
        Ok(())
    }

    /// The changes as a unified diff, in which no value of a variable, no header and nothing else
    /// that looks like a secret is shown; empty where nothing changes.
    pub fn diff(&self) -> String {
        if !self.is_changed() {
            return String::new();
        }
        let format = self.file.client.format;
        let before = secret::shown(format, self.before.as_deref().unwrap_or_default());
        let after = secret::shown(format, &self.text);
        let name = self.file.path.display().to_string();
        let old = if self.before.is_some() { name.as_str() } else { "/dev/null" };
        let diff = similar::TextDiff::from_lines(&before, &after);
        diff.unified_diff().context_radius(2).header(old, &name).to_string()
    }
}

/// The text of a file; None where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<String>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| ConfigError::NotText { path: path.to_owned() })
}

/// All servers of all clients at these places, and the files that could not be read.
pub fn all_servers(places: &crate::Places) -> (Vec<Server>, Vec<(ConfigFile, ConfigError)>) {
    let (mut servers, mut broken) = (Vec::new(), Vec::new());
    for client in crate::known(places.system()) {
        for file in client.files(places) {
            match Config::open(&file) {
                Ok(config) => servers.extend(config.servers()),
                Err(error) => broken.push((file, error)),
            }
        }
    }
    (servers, broken)
}
