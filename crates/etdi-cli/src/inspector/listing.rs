//! What servers list, as it came, for the inspector: nothing is called, and nothing is left out
//! because it does not fit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use etdi_clients::{Launch, Places, Scope, Unfit};
use etdi_core::analyze::Kind;
use etdi_core::change::visible;
use mcp_client::{Client, Error, Page, Pages};
use mcp_transport::http::{Authorize, HttpConnectOptions, connect_http_with, http_status};
use mcp_transport::process::Command;
use mcp_types::{ExchangeService, Implementation};
use serde_json::json;
use tokio::task::JoinSet;

use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::login;
use crate::targets;
use crate::verbs::ended::plainly_with_words;
use crate::verbs::target::quoted;

/// A server to be listed.
#[derive(Clone, Debug)]
pub struct Server {
    /// What it is called in the report.
    pub name: String,
    /// The file that it is configured in.
    pub file: Option<String>,
    /// The line of its entry there.
    pub line: Option<usize>,
    /// How it is reached.
    pub reach: Reach,
}

/// How a server is reached.
#[derive(Clone, PartialEq, Eq)]
pub enum Reach {
    /// It is started.
    Program {
        /// The program and its arguments.
        argv: Vec<String>,
        /// What is set in its environment.
        env: Vec<(String, String)>,
        /// The directory that it is started in.
        directory: Option<String>,
    },
    /// It is asked over HTTP.
    Url {
        /// Where.
        url: String,
        /// What is said with each request.
        headers: Vec<(String, String)>,
    },
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Environments and headers hold secrets, and so may the query of a URL.
        match self {
            Self::Program { argv, .. } => f.debug_tuple("Program").field(&argv.first()).finish(),
            Self::Url { url, .. } => f.debug_tuple("Url").field(&without_query(url)).finish(),
        }
    }
}

impl Server {
    /// A server by the words that name it: its URL, or the command that starts it.
    ///
    /// # Errors
    ///
    /// When there is no word, or a URL is none of HTTP.
    pub fn of(argv: &[String]) -> Result<Self, Failure> {
        let (file, line) = (None, None);
        let found = targets::resolve(argv)?;
        let entry = found.entry;
        let (name, reach) = match found.launch {
            Launch::Remote(remote) => {
                let name = without_query(&remote.url).to_owned();
                (name, Reach::Url { url: remote.url, headers: remote.headers })
            }
            Launch::Program(program) => {
                let name = program.command.rsplit('/').next().unwrap_or_default().to_owned();
                let argv = [vec![program.command], program.args].concat();
                (name, Reach::Program { argv, env: program.env, directory: program.cwd })
            }
        };
        let name = entry.unwrap_or(name);
        Ok(Self { name, file, line, reach })
    }

    /// What finds out why it cannot be asked.
    pub fn doctor(&self) -> String {
        let words = match &self.reach {
            _ if targets::is_entry(&self.name) => vec![self.name.as_str()],
            Reach::Program { argv, .. } => argv.iter().map(String::as_str).collect(),
            Reach::Url { url, .. } => vec![without_query(url)],
        };
        let words: Vec<_> = words.into_iter().map(quoted).collect();
        format!("etdi doctor -- {}", words.join(" "))
    }
}

/// The servers that the clients on this computer are configured with and that are switched on; one
/// that several clients have alike is there once. Beside them, what cannot be asked for, and why: also
/// entries of files in this folder, which came with somebody else's repository as often as not.
pub fn configured(places: &Places) -> (Vec<Server>, Vec<String>) {
    let (found, broken) = etdi_clients::all_servers(places);
    let (mut servers, mut faults) = (Vec::<Server>::new(), Vec::new());
    for (file, error) in broken {
        faults.push(format!("{}: {error}", file.path.display()));
    }
    for one in found.iter().filter(|one| one.enabled) {
        let name = one.target();
        let fault = |why: String| format!("{name}: {why}");
        if one.file.scope == Scope::Project && places.home().as_deref() != Some(places.project()) {
            let path = one.file.path.strip_prefix(places.project()).unwrap_or(&one.file.path);
            let entry = format!("./{}:{}", path.display(), one.name);
            faults.push(fault(format!(
                "it is an entry of this folder, which nobody starts unasked; name it as `{}`",
                visible(&entry)
            )));
            continue;
        }
        if matches!(one.launch, Err(Unfit::BuiltIn)) {
            continue;
        }
        // A guard before it shows nothing that it blocks.
        let found = match targets::configured(one).and_then(targets::behind) {
            Ok(found) => found,
            Err(failure) => {
                faults.push(fault(failure.message));
                continue;
            }
        };
        let reach = match found.launch {
            Launch::Program(program) => Reach::Program {
                argv: std::iter::once(program.command).chain(program.args).collect(),
                env: program.env,
                directory: program.cwd,
            },
            Launch::Remote(remote) => Reach::Url { url: remote.url, headers: remote.headers },
        };
        if servers.iter().any(|other| other.reach == reach) {
            continue;
        }
        let file = Some(one.file.path.display().to_string());
        servers.push(Server { name, file, line: Some(one.line), reach });
    }
    (servers, faults)
}

fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// One thing that a server lists, or says of itself.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it defines.
    pub kind: Kind,
    /// Where it stands: a pointer into the listings, as one object.
    pub pointer: String,
    /// Its text.
    pub text: String,
}

/// A server that was asked.
#[derive(Debug)]
pub struct Asked {
    /// Which.
    pub server: Server,
    /// What it lists, or why it could not be asked.
    pub listed: Result<Vec<Entry>, Unreached>,
}

/// Why a server could not be asked.
#[derive(Clone, Debug)]
pub struct Unreached {
    /// Which exit code stands for it.
    pub exit: Exit,
    /// What went wrong, as it may be shown.
    pub message: String,
}

/// So many servers are asked at a time.
const AT_A_TIME: usize = 8;

/// Asks servers for all that they list, a few at a time, and gives them in the order in which they
/// were named. Each has `patience`; one that cannot be asked does not stop the rest.
pub async fn ask(servers: Vec<Server>, patience: Duration, home: &Home) -> Vec<Asked> {
    let mut waiting = servers.into_iter().enumerate();
    let (mut running, mut asked) = (JoinSet::new(), BTreeMap::new());
    loop {
        while running.len() < AT_A_TIME
            && let Some((number, server)) = waiting.next()
        {
            let home = home.clone();
            running.spawn(async move {
                let listed = tokio::time::timeout(patience, list(&server, &home)).await;
                let late = || Unreached {
                    exit: Exit::Unreachable,
                    message: format!("it did not answer within {} s", patience.as_secs()),
                };
                (number, Asked { listed: listed.unwrap_or_else(|_| Err(late())), server })
            });
        }
        match running.join_next().await {
            Some(Ok((number, one))) => asked.insert(number, one),
            Some(Err(_)) => continue,
            None => break,
        };
    }
    asked.into_values().collect()
}

async fn list(server: &Server, home: &Home) -> Result<Vec<Entry>, Unreached> {
    let info = Implementation::new("etdi", env!("CARGO_PKG_VERSION"));
    let unreachable = |error: String| Unreached {
        exit: Exit::Unreachable,
        message: visible(&error).into_owned(),
    };
    match &server.reach {
        Reach::Url { url, headers } => {
            let mut options = HttpConnectOptions::new(info);
            for (name, value) in headers {
                let name = http::HeaderName::try_from(name.as_str());
                let value = http::HeaderValue::try_from(value.as_str());
                if let (Ok(name), Ok(mut value)) = (name, value) {
                    value.set_sensitive(true);
                    options.headers.append(name, value);
                }
            }
            // The login that is kept for it, unless a header says already who asks.
            if !options.headers.contains_key(http::header::AUTHORIZATION) {
                let kept = login::kept(url, home).await;
                let kept = kept.map_err(|failure| Unreached {
                    exit: failure.exit,
                    message: visible(&failure.message).into_owned(),
                })?;
                options.authorize = kept.map(|client| Arc::new(client) as Arc<dyn Authorize>);
            }
            let connection = connect_http_with(url, options);
            let connection = connection.map_err(|error| unreachable(error.to_string()))?;
            let client = Client::new(connection);
            let listed = everything(&client).await;
            client.service().close().await;
            listed.map_err(|error| unreached(&error))
        }
        Reach::Program { argv, env, directory } => {
            let Some((program, rest)) = argv.split_first() else {
                return Err(unreachable("it has no command".to_owned()));
            };
            let mut command = Command::new(program).args(rest);
            for (name, value) in env {
                command = command.env(name, value);
            }
            if let Some(directory) = directory {
                command = command.current_dir(directory);
            }
            // The last lines stand in the error, if there is one.
            let io = command.on_stderr(|_| {}).spawn();
            let io = io.map_err(|error| unreachable(error.to_string()))?;
            let client = Client::new(mcp_transport::connect(io, info));
            let listed = everything(&client).await;
            client.service().close().await;
            listed.map_err(|error| unreached(&error))
        }
    }
}

fn unreached(error: &Error) -> Unreached {
    let login = matches!(error, Error::Connection(error) if http_status(error) == Some(401));
    let exit = match error {
        _ if login => Exit::AuthenticationNeeded,
        Error::Protocol(_)
        | Error::TooManyPages(_)
        | Error::TooManyBytes(_)
        | Error::Service(_) => Exit::ProtocolViolation,
        _ => Exit::Unreachable,
    };
    let message = match login {
        true => "it wants a login".to_owned(),
        false => plainly_with_words(error, "it"),
    };
    Unreached { exit, message }
}

/// All listings of a server and what it says of itself.
async fn everything<S: ExchangeService>(client: &Client<S>) -> Result<Vec<Entry>, Error> {
    let about = client.discover().await?;
    let mut entries = Vec::new();
    if about.instructions.is_some() || about.server_info().is_some() {
        let info = about.server_info().and_then(|info| serde_json::to_value(info).ok());
        let mut said = serde_json::Map::new();
        said.extend(info.map(|info| ("serverInfo".to_owned(), info)));
        said.extend(about.instructions.map(|text| ("instructions".to_owned(), json!(text))));
        let text = serde_json::Value::Object(said).to_string();
        entries.push(Entry { kind: Kind::Server, pointer: String::new(), text });
    }
    let says = &about.capabilities;
    let (tools, prompts, resources) =
        (says.tools.is_some(), says.prompts.is_some(), says.resources.is_some());
    pages(client.tool_pages(), Kind::Tool, "tools", tools, &mut entries).await?;
    pages(client.prompt_pages(), Kind::Prompt, "prompts", prompts, &mut entries).await?;
    pages(client.resource_pages(), Kind::Resource, "resources", resources, &mut entries).await?;
    let templates = client.resource_template_pages();
    pages(templates, Kind::Template, "resourceTemplates", resources, &mut entries).await?;
    Ok(entries)
}

/// One listing. Clients may ask for what a server does not say that it has, so it is asked here too;
/// an error is then the answer that it has none.
async fn pages<S: ExchangeService, P: Page>(
    mut pages: Pages<S, P>,
    kind: Kind,
    name: &str,
    said: bool,
    entries: &mut Vec<Entry>,
) -> Result<(), Error> {
    let mut number = 0;
    let mut put = |text: &str| {
        entries.push(Entry { kind, pointer: format!("/{name}/{number}"), text: text.to_owned() });
        number += 1;
    };
    loop {
        let page = match pages.next_page().await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(()),
            Err(Error::Service(_)) if !said => return Ok(()),
            Err(error) => return Err(error),
        };
        let listed = page.entries();
        let mut bad: BTreeMap<usize, String> =
            listed.bad().iter().map(|bad| (bad.index, bad.text.get().to_owned())).collect();
        let mut place = 0;
        for entry in listed.into_vec() {
            while let Some(text) = bad.remove(&place) {
                put(&text);
                place += 1;
            }
            put(entry.text().get());
            place += 1;
        }
        bad.values().for_each(|text| put(text));
    }
}
