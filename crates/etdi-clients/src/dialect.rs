//! How a client writes one server, and how what it wrote is read.

use crate::tree::Value;

/// How a server is started or reached, whatever a client calls it.
#[derive(Clone, Debug, PartialEq)]
pub enum Launch {
    /// A program that is started.
    Program(Program),
    /// A server behind a URL.
    Remote(RemoteServer),
}

impl Launch {
    /// The command line, or the URL, as it can be shown: without what looks like a secret in it.
    pub fn shown(&self) -> Vec<String> {
        match self {
            Self::Program(program) => {
                let args = crate::secret::shown_arguments(&program.args);
                std::iter::once(program.command.clone()).chain(args).collect()
            }
            Self::Remote(remote) => vec![crate::secret::shown_url(&remote.url)],
        }
    }
}

/// A program that is started, as a configuration says it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    /// The program: a path, or a name to be looked up.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its variables, in order.
    pub env: Vec<(String, String)>,
    /// Its directory.
    pub cwd: Option<String>,
}

/// A server behind a URL, as a configuration says it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RemoteServer {
    /// Its URL.
    pub url: String,
    /// Headers that go along, in order.
    pub headers: Vec<(String, String)>,
    /// Whether it is the HTTP+SSE transport of the first revision.
    pub sse: bool,
}

/// Why an entry cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// It says neither what to start nor where to go.
    #[error("it names neither a command nor a URL")]
    Nothing,
    /// It is one of the client's own, and no MCP server.
    #[error("it is built into the client")]
    BuiltIn,
    /// A member has another type than it must have.
    #[error("its `{0}` is not what it must be: {1}")]
    Member(String, &'static str),
    /// The client cannot do it.
    #[error("{client} {what}")]
    Impossible {
        /// The client.
        client: &'static str,
        /// What it cannot do.
        what: &'static str,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    pub(crate) command: &'static str,
    /// None where the command is a list with its arguments.
    pub(crate) args: Option<&'static str>,
    pub(crate) env: &'static str,
    pub(crate) cwd: Option<&'static str>,
    /// What `type` says of a program; None where it is left out.
    pub(crate) stdio: Option<&'static str>,
    pub(crate) http: Option<Remote>,
    pub(crate) sse: Option<Remote>,
    pub(crate) headers: &'static str,
    /// Whether a bare `url` without `type` means HTTP+SSE.
    pub(crate) bare_is_sse: bool,
    pub(crate) references: References,
    /// What a new entry has besides, as JSON.
    pub(crate) always: &'static [(&'static str, &'static str)],
    /// Whether an entry repeats its name.
    pub(crate) named: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote {
    pub(crate) kind: Option<&'static str>,
    pub(crate) url: &'static str,
}

/// How a client writes a reference to a variable of the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum References {
    /// Not at all.
    None,
    /// `${NAME}` and `${NAME:-default}`.
    Braces,
    /// `${env:NAME}`; `${input:…}` and others are the client's own.
    EnvInBraces,
    /// `{env:NAME}`.
    Curly,
    /// `$NAME` and `${NAME}`.
    Dollar,
}

/// All the members by which a client says where a server is.
const URLS: [&str; 4] = ["httpUrl", "url", "serverUrl", "uri"];
const HEADERS: [&str; 2] = ["headers", "http_headers"];

impl Dialect {
    /// Reads an entry, also one that another client would have written.
    pub(crate) fn read(&self, entry: &Value) -> Result<Launch, Unfit> {
        if !matches!(entry, Value::Map(_)) {
            return Err(Unfit::Member("entry".to_owned(), "a table of named members"));
        }
        let kind = entry.get("type").and_then(Value::as_text).unwrap_or_default();
        if matches!(kind, "builtin" | "platform" | "frontend" | "inline_python") {
            return Err(Unfit::BuiltIn);
        }
        let command = entry.get(self.command).or_else(|| entry.get("command"));
        if let Some(command) = command.filter(|value| !matches!(value, Value::Null)) {
            return self.program(entry, command).map(Launch::Program);
        }
        let url = URLS.iter().find_map(|name| Some((*name, entry.get(name)?)));
        let Some((member, url)) = url else { return Err(Unfit::Nothing) };
        let url = url.as_text().ok_or_else(|| Unfit::Member(member.to_owned(), "a text"))?;
        let headers = HEADERS.iter().find_map(|name| Some((*name, entry.get(name)?)));
        let mut headers = headers.map_or(Ok(Vec::new()), |(name, value)| pairs(name, value))?;
        if let Some(name) = entry.get("bearer_token_env_var").and_then(Value::as_text) {
            headers.push(("Authorization".to_owned(), format!("Bearer ${{{name}}}")));
        }
        if let Some(named) = entry.get("env_http_headers") {
            let named = pairs("env_http_headers", named)?;
            headers.extend(named.into_iter().map(|(key, name)| (key, format!("${{{name}}}"))));
        }
        let sse = match kind {
            "" => self.bare_is_sse && member == "url",
            kind => kind.eq_ignore_ascii_case("sse"),
        };
        Ok(Launch::Remote(RemoteServer { url: url.to_owned(), headers, sse }))
    }

    fn program(&self, entry: &Value, command: &Value) -> Result<Program, Unfit> {
        // Older files of Zed have all of it one level below.
        let (entry, command) = match command {
            Value::Map(_) => (command, command.get("path").unwrap_or(command)),
            _ => (entry, command),
        };
        let wrong = |name: &str, what| Unfit::Member(name.to_owned(), what);
        let words = match command {
            Value::Text(text) => vec![text.clone()],
            Value::List(_) => texts(self.command, command)?,
            _ => return Err(wrong(self.command, "a text")),
        };
        let mut words = words.into_iter();
        let command = words.next().ok_or_else(|| wrong(self.command, "a list with the program"))?;
        let mut args: Vec<String> = words.collect();
        if let Some(more) = entry.get("args").filter(|value| !matches!(value, Value::Null)) {
            args.extend(texts("args", more)?);
        }
        let env = [self.env, "env"].into_iter().find_map(|name| Some((name, entry.get(name)?)));
        let env = env.map_or(Ok(Vec::new()), |(name, value)| pairs(name, value))?;
        let cwd = entry.get("cwd").and_then(Value::as_text).map(ToOwned::to_owned);
        Ok(Program { command, args, env, cwd })
    }

    /// Whether an entry is switched on.
    pub(crate) fn is_enabled(&self, entry: &Value) -> bool {
        let is = |name: &str, wanted: bool| !matches!(entry.get(name), Some(Value::Bool(is)) if *is != wanted);
        is("disabled", false) && is("enabled", true)
    }

    /// Writes a new entry.
    pub(crate) fn write(
        &self,
        client: &'static str,
        name: &str,
        launch: &Launch,
    ) -> Result<Value, Unfit> {
        let mut entry = Value::Map(Vec::new());
        if self.named {
            entry.set(&["name".to_owned()], Value::text(name));
        }
        self.put(client, &mut entry, launch)?;
        for (member, json) in self.always {
            let value = crate::json::parse(json).map(|node| node.value()).unwrap_or(Value::Null);
            entry.set(&[(*member).to_owned()], value);
        }
        Ok(entry)
    }

    /// Makes an entry start or reach another server; all else in it stays.
    pub(crate) fn rewrite(
        &self,
        client: &'static str,
        entry: &Value,
        launch: &Launch,
    ) -> Result<Value, Unfit> {
        let mut entry = entry.clone();
        let stale = ["command", "cmd", "args", "env", "envs", "environment", "cwd", "type"];
        let remote = ["bearer_token_env_var", "env_http_headers"];
        let own: Vec<&str> = self.members_of(launch);
        for name in stale.iter().chain(&URLS).chain(&HEADERS).chain(&remote) {
            // What is written anew keeps its place.
            if !own.contains(name) {
                entry.remove(&[(*name).to_owned()]);
            }
        }
        self.put(client, &mut entry, launch)?;
        Ok(entry)
    }

    fn members_of(&self, launch: &Launch) -> Vec<&'static str> {
        match launch {
            Launch::Program(program) => [
                Some(self.command),
                self.args,
                (!program.env.is_empty()).then_some(self.env),
                self.cwd.filter(|_| program.cwd.is_some()),
                self.stdio.map(|_| "type"),
            ]
            .into_iter()
            .flatten()
            .collect(),
            Launch::Remote(remote) => {
                let way = if remote.sse { self.sse } else { self.http };
                let kind = way.and_then(|way| way.kind).map(|_| "type");
                let headers = (!remote.headers.is_empty()).then_some(self.headers);
                [way.map(|way| way.url), headers, kind].into_iter().flatten().collect()
            }
        }
    }

    fn put(&self, client: &'static str, entry: &mut Value, launch: &Launch) -> Result<(), Unfit> {
        let mut set = |name: &str, value: Value| entry.set(&[name.to_owned()], value);
        match launch {
            Launch::Program(program) => {
                if let Some(kind) = self.stdio {
                    set("type", Value::text(kind));
                }
                match self.args {
                    Some(args) => {
                        set(self.command, Value::text(&program.command));
                        set(args, Value::texts(&program.args));
                    }
                    None => {
                        let words = std::iter::once(&program.command).chain(&program.args);
                        set(self.command, Value::texts(&words.collect::<Vec<_>>()));
                    }
                }
                if !program.env.is_empty() {
                    entry.remove(&[self.env.to_owned()]);
                    entry.set(&[self.env.to_owned()], Value::pairs(&program.env));
                }
                match (self.cwd, &program.cwd) {
                    (_, None) => {}
                    (Some(name), Some(cwd)) => entry.set(&[name.to_owned()], Value::text(cwd)),
                    (None, Some(_)) => {
                        let what = "starts programs in a directory of its own choice";
                        return Err(Unfit::Impossible { client, what });
                    }
                }
            }
            Launch::Remote(remote) => {
                let way = if remote.sse { self.sse } else { self.http };
                let what = match remote.sse && self.http.is_some() {
                    true => "does not speak the HTTP+SSE of the first revision",
                    false => "starts programs only and reaches no server behind a URL",
                };
                let way = way.ok_or(Unfit::Impossible { client, what })?;
                if let Some(kind) = way.kind {
                    set("type", Value::text(kind));
                }
                set(way.url, Value::text(&remote.url));
                if !remote.headers.is_empty() {
                    entry.remove(&[self.headers.to_owned()]);
                    entry.set(&[self.headers.to_owned()], Value::pairs(&remote.headers));
                }
            }
        }
        Ok(())
    }
}

fn texts(name: &str, value: &Value) -> Result<Vec<String>, Unfit> {
    let wrong = || Unfit::Member(name.to_owned(), "a list of texts");
    let Value::List(values) = value else { return Err(wrong()) };
    values.iter().map(|value| value.scalar().ok_or_else(wrong)).collect()
}

fn pairs(name: &str, value: &Value) -> Result<Vec<(String, String)>, Unfit> {
    let wrong = || Unfit::Member(name.to_owned(), "a table of texts");
    if matches!(value, Value::Null) {
        return Ok(Vec::new());
    }
    let Value::Map(members) = value else { return Err(wrong()) };
    let pair = |(name, value): &(String, Value)| Some((name.clone(), value.scalar()?));
    members.iter().map(|member| pair(member).ok_or_else(wrong)).collect()
}
