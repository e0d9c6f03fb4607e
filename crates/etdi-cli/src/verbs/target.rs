//! From a target on the command line to a session, and from what goes wrong to a failure.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use etdi::config::ConfigError;
use etdi::core::approval::Pin;
use etdi::core::audit::{AuditFile, AuditOutage};
use etdi::core::change::visible;
use etdi::core::identity::ServerIdentity;
use etdi::core::key::KeyRing;
use etdi::core::layer::AskWhen;
use etdi::core::level::SecurityLevel;
use etdi::core::policy::LocalRules;
use etdi::http::HttpTarget;
use etdi::{Error, EtdiClient, EtdiClientBuilder, Reached, Session};
use etdi_clients::{Launch, RemoteServer};
use etdi_oauth::{Discovery, GuardedFetch, Rules};
use etdi_policy::CedarEngine;
use mcp_client::Inputs;
use mcp_transport::http::http_status;
use mcp_types::{Implementation, ServerNotification};
use serde_json::json;

use crate::args::Target;
use crate::ask::{Grants, IN_THE_CLEAR, server_says, while_opening};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::locked;
use crate::login;
use crate::output::Output;
use crate::signals::{self, unless_ended};
use crate::targets;
use crate::targets::guarded::asked_for;
use crate::verbs::{ended, keys};

mod trust;

use trust::{anchors, said_of_trust, settings};

/// How a session is opened.
pub struct Opening<'a> {
    /// The server, the level, whom to trust.
    pub target: &'a Target,
    /// Where approvals and keys are.
    pub home: &'a Home,
    /// Where progress goes.
    pub output: Output,
    /// Who is asked.
    pub grants: Grants,
    /// When.
    pub ask: AskWhen,
    /// Whether a program is started that is not the pinned one.
    pub although_changed: bool,
    /// Whether the guard before an entry may say whom to trust, which is told: for whoever only looks.
    pub trusting: bool,
    /// Which policies are asked before a call is sent, and on whose behalf.
    pub policy: Option<(CedarEngine, Option<&'a str>)>,
}

impl<'a> Opening<'a> {
    /// A session in which tools are looked at and nothing is called: whoever looks is not asked, and a
    /// program that is not the pinned one is started all the same.
    pub fn to_look(target: &'a Target, home: &'a Home, output: Output, grants: Grants) -> Self {
        let (ask, although_changed, policy) = (AskWhen::Never, true, None);
        Self { target, home, output, grants, ask, although_changed, policy, trusting: true }
    }

    /// The same for whoever judges: that somebody is trusted is said by nobody but the user.
    pub fn to_judge(target: &'a Target, home: &'a Home, output: Output, grants: Grants) -> Self {
        Self { trusting: false, ..Self::to_look(target, home, output, grants) }
    }

    /// A session in which tools are called: only the pinned program is started, policies are asked, and
    /// somebody is trusted only where the user says so.
    pub fn to_use(
        (target, home, output): (&'a Target, &'a Home, Output),
        grants: Grants,
        ask: AskWhen,
        policy: Option<(CedarEngine, Option<&'a str>)>,
    ) -> Self {
        let (although_changed, trusting) = (false, false);
        Self { target, home, output, grants, ask, although_changed, trusting, policy }
    }

    /// Starts the server and opens a session with it.
    ///
    /// # Errors
    ///
    /// When a file of ours cannot be used, or the server cannot.
    pub async fn open(self) -> Result<Session<Reached>, Failure> {
        self.open_with(Heard::default()).await
    }

    /// The same, for whoever answers what the server asks and hears what it says of its own accord.
    ///
    /// # Errors
    ///
    /// As [`Opening::open`].
    pub async fn open_with(self, heard: Heard) -> Result<Session<Reached>, Failure> {
        let target = self.target;
        let (mut builder, reached) = self.prepare().await?;
        if let Some(answers) = heard.answers {
            builder = builder.answers(answers);
        }
        let told = heard.told.unwrap_or_else(|| Arc::new(|_| ()));
        let told = move |notification| told(notification);
        let session = while_opening(builder.build().connect_to_hearing(reached, told)).await;
        session
            .map_err(|error| ended::before_it_answered(failure(&error, "", target), &error, target))
    }

    /// The client of this user, and the server, which is not started yet.
    ///
    /// # Errors
    ///
    /// When a file of ours cannot be used, or the target is none.
    pub async fn prepare(self) -> Result<(EtdiClientBuilder, etdi::Target), Failure> {
        let Self { target, home, output, grants, ask, although_changed, policy, trusting } = self;
        let mut policy: Option<(CedarEngine, Option<&str>)> = policy;
        let found = targets::resolve(&target.command)?;
        // What a guard before it asks for is asked for here, so that both speak of the same server.
        let behind = found.guard.as_ref().map(|guard| {
            let entry = found.entry.clone().unwrap_or_else(|| target.command.join(" "));
            guard.same_home(home, &entry).map(|()| guard.arguments.as_ref())
        });
        let behind = behind.transpose()?;
        if let Some(guard) = behind {
            said_of_trust(target, &guard.target, found.entry.as_deref(), trusting, output);
        }
        let full = behind.map(|guard| asked_for(target, &guard.target, trusting));
        let target = full.as_ref().unwrap_or(target);
        if let (None, Some(guard)) = (&policy, behind)
            && let Some(folder) = &guard.policy
        {
            policy = Some((crate::verbs::policy::load(folder)?, guard.user.as_deref()));
        }
        let place = found.url();
        if let (Some(url), Some(_)) = (place, &target.server) {
            return Err(named_twice(url));
        }
        let (settings, anchors) = (settings(target, behind)?, anchors(target, home)?);
        let level = settings.policy().level;
        let mut builder = settings
            .apply(EtdiClient::builder(), anchors)
            .map_err(|error| unfit(&error))?
            .approvals(Arc::new(locked::approvals(home)?))
            .auditor(Arc::new(audit(home)?))
            .approver(Arc::new(grants))
            .ask(ask)
            .client_info(Implementation::new("etdi", env!("CARGO_PKG_VERSION")));
        builder = builder.caller(keys::caller(home)?);
        match policy {
            Some((engine, user)) => {
                builder = builder.engine(Arc::new(engine));
                if let Some(user) = user {
                    builder = builder.user(user);
                }
            }
            // Who types the command is whom a policy would speak for.
            None if level == SecurityLevel::Strict => {
                builder = builder.engine(Arc::new(LocalRules::of_approvals()));
            }
            None => {}
        }
        builder = builder.revocations(Arc::new(keys::revocations(home)?));
        if target.online {
            let fetch = GuardedFetch::new(Rules::default());
            builder = builder.discovery(Discovery::new(Arc::new(fetch)));
        }
        let reached = match place {
            Some(url) => {
                output.progress(&format!("asking {}", visible(url)));
                if url.parse().is_ok_and(|server: ServerIdentity| server.is_in_the_clear()) {
                    output.warn(&format!("`{}` is reached {IN_THE_CLEAR}", visible(url)));
                }
                etdi::Target::http(with_login(&found, url, home).await?)
            }
            None => {
                let mut program = found.program().on_stderr(server_says);
                if let Some(name) = &target.server {
                    program = program.named(program_name(name, &target.command)?);
                }
                if although_changed {
                    program = program.start_although_changed();
                }
                output.progress(&format!("starting {}", visible(&found.words().join(" "))));
                etdi::Target::program(program)
            }
        };
        Ok((builder, reached))
    }
}

/// Who answers what a server asks, and hears what it says of its own accord; nobody by default.
#[derive(Default)]
pub struct Heard {
    /// What servers are told that can be answered.
    pub answers: Option<Inputs>,
    /// Takes note of what is said outside of any request.
    pub told: Option<Told>,
}

/// Takes note of a notification.
pub type Told = Arc<dyn Fn(ServerNotification) + Send + Sync>;

/// The way to a URL: with the headers of its entry, and with the login that is kept for it unless a
/// header says already who asks.
async fn with_login(found: &targets::Found, url: &str, home: &Home) -> Result<HttpTarget, Failure> {
    let headers = found.headers_as_written();
    let known = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let client = if known { None } else { login::kept(url, home).await? };
    let target = client.map_or_else(|| HttpTarget::new(url), HttpTarget::oauth);
    Ok(headers.iter().fold(target, |target, (name, value)| target.header(name, value)))
}

/// Settings that cannot be used.
fn unfit(error: &ConfigError) -> Failure {
    Failure::usage(error.to_string(), "env | grep ^ETDI_").with_code("CONFIGURATION")
}

/// The audit trail of the user.
///
/// # Errors
///
/// When it is damaged or cannot be written.
pub fn audit(home: &Home) -> Result<AuditFile, Failure> {
    let path = home.directory("audit")?.join("events.jsonl");
    // On standard error, which is a client's log where a guard runs.
    let told = |outage: &AuditOutage<'_>| {
        _ = writeln!(std::io::stderr(), "warning: {outage}");
    };
    AuditFile::options().on_outage(told).open(&path).map_err(|error| {
        let next = format!("mv {0} {0}.kept", shown_path(&path));
        Failure::new(Exit::Refused, error.to_string(), next).with_code("AUDIT_FAILED")
    })
}

/// The URL of a server, where one stands for its command.
///
/// # Errors
///
/// When it is no URL of a server behind HTTP, or more words come after it.
pub fn url(command: &[String]) -> Result<Option<&str>, Failure> {
    let url = command.first().filter(|word| word.contains("://"));
    let Some(url) = url else { return Ok(None) };
    let next = "etdi list -- https://mcp.acme.example/mcp";
    if !url.starts_with("https://") && !url.starts_with("http://") {
        let message = format!(
            "`{}` is no URL of `http` or `https`: other servers are started by their command, or \
             reached by programs with `etdi::Target`",
            visible(url)
        );
        return Err(Failure::usage(message, next));
    }
    if command.len() > 1 {
        let message = format!("`{}` is a URL, after which there is nothing", visible(url));
        return Err(Failure::usage(message, next));
    }
    Ok(Some(url))
}

/// What a name beside a URL comes to.
pub fn named_twice(url: &str) -> Failure {
    let message = "the URL is the name of a server behind one, so leave `--server` out";
    Failure::usage(message, format!("etdi list -- {}", quoted(url)))
}

/// A server's name as it was typed: the URL of one behind HTTP, else with or without the `stdio:` of
/// attestations.
///
/// # Errors
///
/// When it is no name.
pub fn server_name(name: &str) -> Result<ServerIdentity, Failure> {
    let whole = name.starts_with("stdio:") || name.starts_with("https://");
    let full = if whole || name.starts_with("http://") {
        name.to_owned()
    } else {
        format!("stdio:{name}")
    };
    full.parse().map_err(|_: etdi::core::identity::IdentityError| {
        let message = format!(
            "`{}` names no server: write a package URL such as `pkg:cargo/notes`, the URL of one behind \
             HTTP, or `key:` and a thumbprint of `etdi keys list`",
            name.escape_debug()
        );
        Failure::usage(message, "etdi list --server pkg:cargo/notes -- ./notes")
    })
}

/// A started program's name as it was typed. Behind a URL stands another server, whose approvals
/// are not for what is started here.
///
/// # Errors
///
/// When it is no name, or a URL.
pub fn program_name(name: &str, command: &[String]) -> Result<ServerIdentity, Failure> {
    let identity = server_name(name)?;
    if identity.is_stdio() {
        return Ok(identity);
    }
    let program = command.first().map_or("the command", String::as_str);
    let message = format!(
        "`{identity}` is the name of the server behind that URL, and `{}` is a program that is \
         started here: ask the URL itself, or name the program by a package or its key",
        visible(program)
    );
    let next = format!("etdi list -- {}", quoted(&identity.to_string()));
    Err(Failure::usage(message, next).with_code("NOT_A_SERVER"))
}

/// The keys of a file, at least one.
///
/// # Errors
///
/// When it cannot be read, or holds none.
pub fn read_keys(path: &Path) -> Result<KeyRing, Failure> {
    let unreadable = |why: String| {
        Failure::usage(
            format!("`{}`: {why}", path.display()),
            format!("ls -l {}", shown_path(path)),
        )
    };
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let ring = KeyRing::from_jwks(&text).map_err(|error| unreadable(error.to_string()))?;
    match ring.is_empty() {
        true => Err(unreadable("it holds no key for Ed25519, P-256 or RSA".to_owned())),
        false => Ok(ring),
    }
}

/// What an error of a session means at the terminal.
pub fn failure(error: &Error, tool: &str, target: &Target) -> Failure {
    let again = shown_target(target);
    let code = error.code();
    let (exit, next) = match error {
        Error::Measure(_) | Error::Start(_) => (Exit::Unreachable, which(target)),
        Error::ExecutableChanged { approved, found } => {
            (Exit::Refused, format!("{} approve {again}", placed(approved, found)))
        }
        Error::Ended => (Exit::Unreachable, format!("etdi doctor {again}")),
        Error::Store(_) => (Exit::Refused, "etdi approvals list".to_owned()),
        Error::NoSuchTool { .. } => (Exit::Usage, format!("etdi list {again}")),
        Error::Client(client) => match client {
            mcp_client::Error::Refused(refused) if refused.message.contains(login::LOG_IN) => {
                (Exit::AuthenticationNeeded, log_in(target))
            }
            mcp_client::Error::Refused(_) => (Exit::Refused, next_after(&code, tool, &again)),
            mcp_client::Error::Connection(_) | mcp_client::Error::Timeout(_) => {
                let next = format!("etdi doctor {again}");
                match wants_login(client) {
                    // No login leads there, and none mends what an entry sends.
                    true if by_a_key(client, target).is_some() => {
                        (Exit::AuthenticationNeeded, next)
                    }
                    true => (Exit::AuthenticationNeeded, log_in(target)),
                    false => (Exit::Unreachable, next),
                }
            }
            mcp_client::Error::Protocol(_)
            | mcp_client::Error::TooManyPages(_)
            | mcp_client::Error::TooManyBytes(_) => {
                (Exit::ProtocolViolation, format!("etdi doctor {again}"))
            }
            mcp_client::Error::ToolFailed(_) => {
                (Exit::ToolError, format!("etdi list --json {again}"))
            }
            _ => (Exit::Usage, format!("etdi list {again}")),
        },
        _ => (Exit::Usage, format!("etdi list {again}")),
    };
    let failure = Failure::new(exit, sentence(error), next).with_code(code);
    let mut failure = ended::retold(failure, error, target);
    if let Error::Client(client) = error
        && let Some(what) = by_a_key(client, target)
    {
        failure.message = format!("{}; {what}", failure.message);
    }
    match error {
        Error::ExecutableChanged { approved, found } => {
            failure.with_details(json!({ "approved": approved, "found": found }), "")
        }
        Error::Client(mcp_client::Error::Refused(refused)) => match &refused.data {
            Some(data) => match data.parse::<serde_json::Value>() {
                Ok(data) => failure.with_details(data, ""),
                Err(_) => failure,
            },
            None => failure,
        },
        _ => failure,
    }
}

/// What an error of a listing means: whoever asks for one asks for nothing that could be wrong, so that an
/// error in answer to it is the server's fault.
pub fn unlisted(error: &Error, target: &Target) -> Failure {
    let failure = failure(error, "", target);
    match error {
        Error::Client(mcp_client::Error::Service(_)) => {
            let next = format!("etdi doctor {}", shown_target(target));
            Failure { exit: Exit::ProtocolViolation, next, ..failure }
        }
        _ => failure,
    }
}

/// This program as it is typed so that it finds the same server as this process, where a bare name is
/// another one elsewhere: who types it may have another `PATH`. In the folder of that server there may
/// be an `etdi` as well, so this one is named by its path then.
fn placed(approved: &Pin, found: &Pin) -> String {
    let name = found.argv.first().map_or("", String::as_str);
    if name.contains('/') || approved.executable == found.executable {
        return "etdi".to_owned();
    }
    let folder = targets::find(name, None).and_then(|path| path.parent().map(shown_path));
    let this = std::env::current_exe().map(|this| shown_path(&this));
    match (folder, this) {
        (Some(folder), Ok(this)) => format!("PATH={folder}:\"$PATH\" {this}"),
        _ => "etdi".to_owned(),
    }
}

/// Whether the server behind a URL lets in only those who say who they are.
fn wants_login(error: &mcp_client::Error) -> bool {
    match error {
        mcp_client::Error::Connection(error) => http_status(error) == Some(401),
        _ => false,
    }
}

/// What is to be done where a server lets in by something that no login gives: a key, or whatever an entry
/// sends.
fn by_a_key(error: &mcp_client::Error, target: &Target) -> Option<String> {
    let mcp_client::Error::Connection(error) = error else { return None };
    if http_status(error) != Some(401) {
        return None;
    }
    let found = targets::resolve_unbuilt(&target.command).ok()?;
    let sends = |name: &str| {
        found.headers_as_written().iter().any(|(one, _)| one.eq_ignore_ascii_case(name))
    };
    // As a gateway of ours says it.
    let is_key = error.message.contains("API key");
    if sends("x-api-key") && is_key {
        return Some("the key that the entry sends is unknown, revoked, or has ended".to_owned());
    }
    if sends("authorization") {
        return Some("the `Authorization` that the entry sends does not let in".to_owned());
    }
    is_key.then(|| {
        "its operator makes a key with `etdi auth api-key new FILE NAME`, and it goes into an entry, \
         `\"headers\": {\"X-API-Key\": \"${KEY}\"}` beside its `url`"
            .to_owned()
    })
}

/// What to type where a server wants a login.
fn log_in(target: &Target) -> String {
    let found = targets::resolve(&target.command).ok();
    let url = found.as_ref().and_then(targets::Found::url).unwrap_or_default();
    format!("etdi auth login {}", quoted(url))
}

/// The error with its cause.
fn sentence(error: &Error) -> String {
    let text = match error {
        Error::Client(mcp_client::Error::Refused(refused)) => refused.message.clone(),
        error => error.to_string(),
    };
    let source = std::error::Error::source(error).map(ToString::to_string);
    match source
        .filter(|source| !text.contains(source.as_str()) && !matches!(error, Error::Client(_)))
    {
        Some(source) => format!("{text}: {source}"),
        None => text,
    }
}

/// What to try after a refusal with this code; `again` is what [`shown_target`] made.
pub fn next_after(code: &str, tool: &str, again: &str) -> String {
    match code {
        "NOT_LISTED" => format!("etdi list {again}"),
        "UNVERIFIED"
        | "UNSIGNED"
        | "VERIFICATION_LOST"
        | "SIGNATURE_INVALID"
        | "DIGEST_MISMATCH"
        | "DEFINITION_INVALID"
        | "ATTESTATION_EXPIRED"
        | "REVOKED"
        | "KEY_UNTRUSTED" => {
            format!("etdi verify {again}")
        }
        "SIGNATURE_REQUIRED" => "etdi keys new default".to_owned(),
        // To approve it would change nothing.
        "POLICY_DENIED" => "etdi policy test --help".to_owned(),
        "FLOW_DENIED" | "CHAIN_DENIED" => "etdi audit tail".to_owned(),
        "STORE_FAILED" | "PERMISSION_DENIED" => "etdi approvals list".to_owned(),
        // The name is the server's choice; it must not become an option such as `--yes`.
        _ if tool.is_empty() || tool.starts_with('-') => format!("etdi approve {again}"),
        _ => format!("etdi approve {} {again}", quoted(tool)),
    }
}

/// What shows why policies deny a call: with its arguments as JSON, and the name of the user.
pub fn policy_test(
    folder: &Path,
    (tool, arguments): (&str, &str),
    user: Option<&str>,
    target: &Target,
) -> String {
    let mut line = format!("etdi policy test {}", shown_path(folder));
    // As one word, whatever the tool is called.
    line.push_str(&format!(" {}", quoted(&format!("--tool={tool}"))));
    line.push_str(&format!(" --args {}", quoted(arguments)));
    if let Some(user) = user {
        line.push_str(&format!(" {}", quoted(&format!("--user={user}"))));
    }
    if let Some(server) = &target.server {
        line.push_str(&format!(" --server {}", quoted(server)));
    }
    format!("{line} -- {}", shown_command(target))
}

/// The command line of a target, as it can be typed again; what a URL holds of a secret is left to whoever
/// types it.
pub fn shown_command(target: &Target) -> String {
    let words: Vec<_> = match target.command.as_slice() {
        [url] if url.contains("://") => {
            let url = url.clone();
            Launch::Remote(RemoteServer { url, ..RemoteServer::default() }).shown()
        }
        words => words.to_vec(),
    };
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// The end of a command about the same target, as it can be typed: without its options it would be
/// about another server, or trust nobody.
pub fn shown_target(target: &Target) -> String {
    let mut options = String::new();
    if let Some(level) = target.level {
        options.push_str(&format!("--level {level} "));
    }
    if let Some(server) = &target.server {
        options.push_str(&format!("--server {} ", quoted(server)));
    }
    for source in &target.trust {
        options.push_str(&format!("--trust {} ", quoted(source)));
    }
    if target.online {
        options.push_str("--online ");
    }
    format!("{options}-- {}", shown_command(target))
}

/// A word for a shell's command line, which neither drives the terminal nor ends the word.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@+,%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", visible(word).replace('\'', r"'\''")),
    }
}

/// A path for a shell's command line.
pub fn shown_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// How to look for the program of a target.
fn which(target: &Target) -> String {
    let first = target.command.first().map_or("COMMAND", String::as_str);
    // Of a path there may be a file that is no program, which `which` says nothing of.
    match targets::is_entry(first) || first.contains('/') {
        true => format!("etdi doctor {}", shown_target(target)),
        // Whoever means the client means its servers.
        false if etdi_clients::Client::find(first).is_some() => format!("etdi discover {first}"),
        false => format!("which {}", quoted(first)),
    }
}

/// A runtime for one command. A signal that ends the command ends its servers first, and then the
/// process.
///
/// # Errors
///
/// When the system gives none.
pub fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Failure::usage(format!("the system gives no event loop: {error}"), "ulimit -n")
    })?;
    match runtime.block_on(unless_ended(future)) {
        Ok(result) => result,
        Err(code) => {
            // Not dropped, because whoever reads the keyboard would have to answer first.
            runtime.shutdown_background();
            signals::end(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{next_after, shown_target};
    use crate::args::Target;

    /// What is printed to be typed again must not run what a server put into a tool's name.
    #[test]
    fn a_name_stays_a_name() {
        for (name, next) in [
            ("search", "etdi approve search -- notes"),
            ("x; rm -rf ~", "etdi approve 'x; rm -rf ~' -- notes"),
            ("x'y", r"etdi approve 'x'\''y' -- notes"),
            ("x\u{1b}[2K\ny", r"etdi approve 'x\u{1b}[2K\ny' -- notes"),
            ("--yes", "etdi approve -- notes"),
            ("", "etdi approve -- notes"),
        ] {
            assert_eq!(next_after("NOT_APPROVED", name, "-- notes"), next);
        }
    }

    /// A suggestion without the options would approve another server's tools.
    #[test]
    fn a_suggestion_is_about_the_same_target() {
        let mut target = Target {
            level: None,
            server: None,
            online: false,
            trust: Vec::new(),
            command: vec!["./notes".to_owned(), "a b".to_owned()],
        };
        assert_eq!(shown_target(&target), "-- ./notes 'a b'");
        target.server = Some("pkg:cargo/notes".to_owned());
        target.trust = vec!["https://acme.example=keys.json".to_owned(), "my keys".to_owned()];
        assert_eq!(
            shown_target(&target),
            "--server pkg:cargo/notes --trust https://acme.example=keys.json --trust 'my keys' \
             -- ./notes 'a b'"
        );
        target.online = true;
        assert!(shown_target(&target).ends_with("--online -- ./notes 'a b'"));
    }
}
