//! The file of `etdi gateway`: the servers as a client writes them, each with what its guard is told in
//! `etdi`, and how all are served in `gateway`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use etdi::core::change::visible;
use etdi::core::level::SecurityLevel;
use etdi_clients::{Config, Kind, Launch, Member, Value};

use super::reader::{Reader, Table};
use crate::args::{GuardArguments, Target};
use crate::exit::Failure;
use crate::targets;
use crate::targets::guarded::filled;
use crate::verbs::target::shown_path;

/// What a gateway serves, and how.
#[derive(Debug)]
pub(super) struct GatewayFile {
    /// The file, whole.
    pub path: PathBuf,
    /// Where it listens; on standard streams if nothing is said.
    pub http: Option<SocketAddr>,
    /// By which URL clients know it, where that is not the address.
    pub url: Option<String>,
    /// Who may call.
    pub auth: Option<Auth>,
    /// Hosts and origins that browsers may name.
    pub allow_host: Vec<String>,
    /// See `allow_host`.
    pub allow_origin: Vec<String>,
    /// What it says of itself.
    pub instructions: Option<String>,
    /// Rules about text that goes from one server to another.
    pub flows: Option<PathBuf>,
    /// After how many seconds the servers of a user end who asks nothing; never if 0.
    pub idle_after: u32,
    /// The servers, in order.
    pub servers: Vec<Behind>,
    /// The names of those that are switched off.
    pub off: Vec<String>,
}

/// Who may call.
#[derive(Debug)]
pub(super) struct Auth {
    /// Whose tokens count.
    pub issuer: Option<String>,
    /// For whom they are; the gateway's URL unless this says otherwise.
    pub audience: Option<String>,
    /// What every caller needs.
    pub scopes: Vec<String>,
    /// A file with API keys.
    pub api_keys: Option<PathBuf>,
    /// The line, for what turns out to be wrong later.
    pub line: usize,
}

/// One server.
#[derive(Debug)]
pub(super) struct Behind {
    /// Its name in the file.
    pub name: String,
    /// What stands before the names of its tools.
    pub prefix: String,
    /// The line of its entry.
    pub line: usize,
    /// How it is started or reached, as it can be shown.
    pub shown: String,
    /// What its guard is told.
    pub guard: GuardArguments,
    /// Whether the client is asked by forms, where the file says so.
    pub forms: Option<bool>,
}

/// What a guard may be told.
const OF_GUARD: [&str; 11] = [
    "prefix",
    "trust_first_use",
    "elicitation",
    "policy",
    "user",
    "calls_per_minute",
    "recheck_after",
    "level",
    "server",
    "trust",
    "online",
];

/// The members of `gateway`.
const OF_GATEWAY: [&str; 9] = [
    "http",
    "url",
    "auth",
    "allow_host",
    "allow_origin",
    "instructions",
    "flows",
    "idle_after",
    "etdi",
];

/// An hour: whoever comes back from lunch finds the servers as they were.
const IDLE_AFTER: u32 = 3_600;

/// The members of `gateway.auth`.
const OF_AUTH: [&str; 4] = ["issuer", "audience", "scopes", "api_keys"];

impl GatewayFile {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, names no server, or a member is not what it must be; with the line.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let config = targets::config(&path)?;
        let reader = Reader::new(&config, &path);
        let gateway = config.member(&["gateway"]);
        let gateway = gateway.map(|one| reader.table(one, "gateway", &OF_GATEWAY)).transpose()?;
        let gateway = gateway.unwrap_or_default();
        let auth = gateway.get("auth").map(|one| Auth::read(&reader, one)).transpose()?;
        let http = gateway.text("http")?.map(|text| {
            text.parse().map_err(|_| {
                gateway.wrong("http", "an address with a port, such as `127.0.0.1:8000`")
            })
        });
        let usual = gateway.get("etdi").map(|one| reader.table(one, "gateway.etdi", &OF_GUARD));
        let usual = usual.transpose()?.unwrap_or_default();
        if let Some(prefix) = usual.get("prefix") {
            let why = "`prefix` is of one server, say it in that server's `etdi`";
            return Err(reader.fail(prefix.name_span.start, why));
        }
        let mut file = Self {
            http: http.transpose()?,
            url: gateway.text("url")?,
            auth,
            allow_host: gateway.texts("allow_host")?,
            allow_origin: gateway.texts("allow_origin")?,
            instructions: gateway.text("instructions")?,
            idle_after: gateway.number("idle_after")?.unwrap_or(IDLE_AFTER),
            flows: gateway.text("flows")?.map(|flows| reader.beside(&flows)),
            servers: Vec::new(),
            off: Vec::new(),
            path: path.clone(),
        };
        file.take_servers(&config, &reader, &usual)?;
        Ok(file)
    }

    fn take_servers(
        &mut self,
        config: &Config,
        reader: &Reader<'_>,
        usual: &Table<'_>,
    ) -> Result<(), Failure> {
        if let Some(line) = config.misplaced() {
            return Err(reader.fail_at(line, "what should be a table of servers is none"));
        }
        for server in config.servers() {
            if server.project.is_some() {
                continue;
            }
            if !server.enabled {
                self.off.push(server.name);
                continue;
            }
            let fail = |why: &str| {
                let what = format!("the server `{}`: {why}", visible(&server.name));
                reader.fail_at(server.line, &what)
            };
            let launch = server.launch.as_ref().map_err(|error| fail(&error.to_string()))?;
            if server.name.contains(':') {
                return Err(fail(
                    "its name holds `:`, which ends the file's in `etdi approve -- \
                                 FILE:NAME`, give it another",
                ));
            }
            let entry: Vec<&str> = server.path.iter().map(String::as_str).collect();
            let entry = config.member(&entry).map(|one| &one.node);
            let own = entry.and_then(|entry| entry.member("etdi"));
            let place = format!("{}.etdi", visible(&server.name));
            let own = own.map(|one| reader.table(one, &place, &OF_GUARD)).transpose()?;
            let own = own.unwrap_or_default();
            let prefix = match own.text("prefix")? {
                Some(prefix) => prefix,
                None => prefix_of(&server.name),
            };
            if !fits(&prefix) {
                return Err(fail(&format!(
                    "`{}` cannot stand before names of tools: give it in `etdi` a `prefix` of up to 32 \
                     letters, digits, `-` and single `_` between them",
                    visible(&prefix)
                )));
            }
            if let Some(other) = self.servers.iter().find(|other| other.prefix == prefix) {
                return Err(fail(&format!(
                    "`{}` of line {} has the prefix `{prefix}` too: give one of them another `prefix` in \
                     its `etdi`",
                    visible(&other.name),
                    other.line
                )));
            }
            let words = format!("{}:{}", self.path.display(), server.name);
            let guard = told(reader, &own, usual, words)?;
            let forms = own.flag("elicitation")?.or(usual.flag("elicitation")?);
            let shown = launch.shown().join(" ");
            if matches!(launch, Launch::Remote(_)) && guard.target.server.is_some() {
                return Err(fail("`server` names programs, and this one is named by its URL"));
            }
            let (name, line) = (server.name, server.line);
            self.servers.push(Behind { name, prefix, line, shown, guard, forms });
        }
        if self.servers.is_empty() {
            let why = "it names no server: put what a client has for one into `mcpServers`";
            return Err(reader.fail_at(1, why));
        }
        Ok(())
    }
}

impl GatewayFile {
    /// Serves without those that cannot be found, and says so; of a file that is only looked at they
    /// are errors.
    ///
    /// # Errors
    ///
    /// The first of them then, and when no other is left.
    pub(super) fn leave_out(
        &mut self,
        unfit: Vec<(String, Failure)>,
        is_check: bool,
    ) -> Result<(), Failure> {
        let is_unfit = |server: &Behind| unfit.iter().any(|(prefix, _)| *prefix == server.prefix);
        let is_empty = self.servers.iter().all(is_unfit);
        let named = |prefix: &str| self.servers.iter().find(|server| server.prefix == prefix);
        if (is_check || is_empty)
            && let Some((prefix, failure)) = unfit.first()
        {
            // What is wrong with the entry itself names its line already.
            let is_named = failure.code == "ENTRY_INVALID";
            let place = named(prefix).filter(|_| !is_named).map_or_else(String::new, |server| {
                format!("line {}, `{}`: ", server.line, visible(&server.name))
            });
            let message = format!("{place}{}", failure.message);
            return Err(
                Failure::new(failure.exit, message, &*failure.next).with_code(&*failure.code)
            );
        }
        self.servers.retain(|server| unfit.iter().all(|(prefix, _)| *prefix != server.prefix));
        for (prefix, failure) in unfit {
            super::say(&format!(
                "`{prefix}` is left out until the gateway is started again: {}. To go on: {}",
                failure.message, failure.next
            ));
        }
        Ok(())
    }
}

impl Behind {
    /// Takes over what a guard is told that stands before the server in the file: it is left out, because
    /// the gateway guards.
    ///
    /// # Errors
    ///
    /// When that guard has flow rules and the gateway has none, which are of all its servers; and when
    /// both have rules of the same kind.
    pub(super) fn behind(&mut self, inner: &GuardArguments, flows: bool) -> Result<(), Failure> {
        if let (Some(path), true) = (&inner.flows, flows) {
            let message = format!(
                "the guard before `{}` has the flow rules of {}, and the gateway has its own for all: leave \
                 out one of them",
                visible(&self.name),
                shown_path(path)
            );
            return Err(Failure::usage(message, "etdi gateway --help").with_code("GATEWAY_FILE"));
        }
        if let (Some(path), false) = (&inner.flows, flows) {
            let message = format!(
                "the guard before `{}` has the flow rules of {}, which a gateway has for all its servers: \
                 put them into `gateway.flows`",
                visible(&self.name),
                shown_path(path)
            );
            return Err(Failure::usage(message, "etdi gateway --help").with_code("GATEWAY_FILE"));
        }
        self.guard = filled(&self.guard, inner)?;
        Ok(())
    }
}

/// What the guard of a server is told: what its entry says, else what holds for all.
fn told(
    reader: &Reader<'_>,
    own: &Table<'_>,
    usual: &Table<'_>,
    words: String,
) -> Result<GuardArguments, Failure> {
    let text = |name: &str| Ok(own.text(name)?.or(usual.text(name)?));
    let flag = |name: &str| Ok::<_, Failure>(own.flag(name)?.or(usual.flag(name)?));
    let level = match text("level")? {
        None => None,
        Some(level) => Some(level.parse::<SecurityLevel>().map_err(|_| {
            let table = if own.get("level").is_some() { own } else { usual };
            table.wrong("level", "`basic`, `enhanced` or `strict`")
        })?),
    };
    let calls = own.number("calls_per_minute")?.or(usual.number("calls_per_minute")?);
    let trust = match own.get("trust").is_some() {
        true => own.texts("trust")?,
        false => usual.texts("trust")?,
    };
    // The file of `ORIGIN=FILE` as well.
    let trust = trust.iter().map(|source| match source.split_once('=') {
        Some((origin, file)) => format!("{origin}={}", reader.beside(file).display()),
        None => reader.beside(source).display().to_string(),
    });
    let policy = text("policy")?.map(|folder| reader.beside(&folder));
    let user = text("user")?.filter(|_| policy.is_some());
    let target = Target {
        level,
        server: own.text("server")?,
        trust: trust.collect(),
        online: flag("online")?.unwrap_or(false),
        command: vec![words],
    };
    Ok(GuardArguments {
        command: None,
        trust_first_use: flag("trust_first_use")?.unwrap_or(false),
        no_elicitation: false,
        elicitation: false,
        policy,
        user,
        flows: None,
        calls_per_minute: calls.unwrap_or(0),
        recheck_after: own
            .number("recheck_after")?
            .or(usual.number("recheck_after")?)
            .map(u64::from),
        http: None,
        url: None,
        target,
    })
}

impl Auth {
    fn read(reader: &Reader<'_>, member: &Member) -> Result<Self, Failure> {
        let table = reader.table(member, "gateway.auth", &OF_AUTH)?;
        let auth = Self {
            issuer: table.text("issuer")?,
            audience: table.text("audience")?,
            scopes: table.texts("scopes")?,
            api_keys: table.text("api_keys")?.map(|path| reader.beside(&path)),
            line: reader.line(member.name_span.start),
        };
        if auth.issuer.is_none() && auth.api_keys.is_none() {
            let why = "`gateway.auth` lets nobody in: name the `issuer` whose tokens count, or a file of \
                       `api_keys`";
            return Err(reader.fail(member.name_span.start, why));
        }
        if auth.issuer.is_none() && auth.audience.is_some() {
            let why = "`gateway.auth.audience` is of tokens, and there is no `issuer` of any";
            return Err(reader.fail(member.name_span.start, why));
        }
        Ok(auth)
    }
}

/// The prefix of a server that was given none: its name, with what cannot stand there as `-`.
fn prefix_of(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let mut prefix: String = name.chars().map(plain).take(32).collect();
    while prefix.contains("__") {
        prefix = prefix.replace("__", "_");
    }
    prefix.trim_matches(['_', '-']).to_owned()
}

/// Whether a prefix can be one: as [`mcp_client::Group`] has it.
fn fits(prefix: &str) -> bool {
    let of_prefix = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=32).contains(&prefix.len())
        && prefix.chars().all(of_prefix)
        && !prefix.contains("__")
        && !prefix.starts_with('_')
        && !prefix.ends_with('_')
}

/// What kind of thing stands there, for people.
pub(super) fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::Map(_) => "a table",
        Kind::List(_) => "a list",
        Kind::Scalar(Value::Text(_)) => "a text",
        Kind::Scalar(Value::Number(_)) => "a number",
        Kind::Scalar(Value::Bool(_)) => "true or false",
        Kind::Scalar(_) => "nothing",
    }
}
