//! `etdi auth serve`: an authorization server on this computer.

mod api_key;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use etdi::core::change::visible;
use etdi::system_time;
use etdi_oauth::embedded::{
    Allowed, AuthorizationRoutes, Client, Embedded, MemoryStore, PasswordError, Passwords,
    RedbStore, Settings, Store, Upstream, Upstreams, listen,
};
use etdi_oauth::{GuardedFetch, RegisteredClient, Rules};
use serde_json::json;
use tokio::net::TcpListener;

use crate::args::{AuthCommand, ServeArguments};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::output::{Output, Report};
use crate::passphrase;
use crate::verbs::login;
use crate::verbs::target::{block_on, quoted, shown_path};

const NEXT: &str = "etdi auth serve --help";

/// Where the secret is that a provider gave.
const UPSTREAM_SECRET: &str = "ETDI_UPSTREAM_SECRET";

/// Runs one of them.
///
/// # Errors
///
/// When what was given cannot be used, or nothing can listen there.
pub fn run(command: &AuthCommand, home: &Home, output: Output) -> Result<Report, Failure> {
    match command {
        AuthCommand::Login(arguments) => login::login(arguments, home, output),
        AuthCommand::Logout { url } => login::logout(url, home, output),
        AuthCommand::Status => login::status(home),
        AuthCommand::Serve(arguments) => block_on(serve(arguments, output)),
        AuthCommand::User { name } => user(name),
        AuthCommand::ApiKey(command) => api_key::run(command, system_time()),
    }
}

/// A line for the file of users.
fn user(name: &str) -> Result<Report, Failure> {
    let password = match passphrase::given(passphrase::NEW_PASSPHRASE)? {
        Some(password) => Some(password),
        None => passphrase::ask("password", true)?,
    };
    let password = password.ok_or_else(|| {
        let message =
            format!("there is nobody to ask for a password, set `{}`", passphrase::NEW_PASSPHRASE);
        Failure::usage(message, "etdi auth user --help")
    })?;
    let password = std::str::from_utf8(password.reveal()).map_err(|error| wrong(&error))?;
    let wrong = |error: PasswordError| Failure::usage(error.to_string(), "etdi auth user --help");
    let record = Passwords::record(password).map_err(wrong)?;
    // As it will be read.
    if name.contains(':') || name.trim() != name {
        return Err(wrong(PasswordError::Name));
    }
    Passwords::new().user(name, &record).map_err(wrong)?;
    let line = format!("{name}:{record}");
    Ok(Report::new(json!({ "line": line }), line))
}

/// The users of a file.
fn users(path: &Path) -> Result<Passwords, Failure> {
    let shown = shown_path(path);
    let text = std::fs::read_to_string(path).map_err(|error| {
        let next = format!("etdi auth user NAME >> {}", quoted(&shown));
        Failure::usage(format!("the users in `{shown}` cannot be read: {error}"), next)
    })?;
    let mut users = Passwords::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let added = match line.split_once(':') {
            Some((name, record)) => users.user(name, record),
            None => Err(PasswordError::Record),
        };
        users = added.map_err(|error| {
            let message = format!("line {} of `{shown}`: {error}", at + 1);
            Failure::usage(message, "etdi auth user --help")
        })?;
    }
    Ok(users)
}

async fn serve(arguments: &ServeArguments, output: Output) -> Result<Report, Failure> {
    let clients = clients(arguments)?;
    let users = arguments.users.as_deref().map(users).transpose()?;
    let upstreams = upstreams(arguments, std::env::var(UPSTREAM_SECRET).ok())?;
    let listener = TcpListener::bind(("127.0.0.1", arguments.port)).await;
    let listener = listener.map_err(|error| {
        let message = format!("nothing can listen on port {}: {error}", arguments.port);
        Failure::new(Exit::Unreachable, message, "etdi auth serve --port 0")
    })?;
    let address = listener.local_addr().map_err(|error| wrong(&error))?;
    let settings = settings(arguments, address.port())?;
    let store: Arc<dyn Store> = match &arguments.state {
        Some(path) => Arc::new(RedbStore::open(path).map_err(|error| {
            let message = format!("`{}` cannot be used: {error}", shown_path(path));
            Failure::usage(message, NEXT)
        })?),
        None => Arc::new(MemoryStore::new()),
    };
    let server = Embedded::open(store, &settings, system_time()).await.map_err(|e| wrong(&e))?;
    let mut rules = Rules::default();
    // The document is where its URL says, and nowhere else.
    rules.redirects = 0;
    let fetch = Arc::new(GuardedFetch::new(rules));
    let server = match users {
        Some(users) => server.login(Arc::new(users)),
        None => server,
    };
    let server = match upstreams {
        Some(upstreams) => server.upstreams(upstreams),
        None => server,
    };
    let server = server.documents(fetch.clone());
    let names: Vec<String> = clients.keys().cloned().collect();
    let server = clients.into_values().fold(server, Embedded::client);
    let started = started(&settings, &names, arguments);
    let routes = AuthorizationRoutes::new(Arc::new(server), settings).map_err(|e| wrong(&e))?;
    let routes = routes.client_keys(fetch);
    output.finish("auth serve", Ok(started));
    listen(routes, listener, std::future::pending()).await.map_err(|error| wrong(&error))?;
    Ok(Report::new(json!({}), ""))
}

/// Where users log in elsewhere, and who of them may.
fn upstreams(
    arguments: &ServeArguments,
    secret: Option<String>,
) -> Result<Option<Upstreams>, Failure> {
    let (Some(provider), Some(id)) = (&arguments.upstream, &arguments.upstream_client_id) else {
        return Ok(None);
    };
    let secret = match &arguments.upstream_secret {
        Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
            let path = shown_path(path);
            Failure::usage(format!("the secret in `{path}` cannot be read: {error}"), NEXT)
        })?),
        None => secret,
    };
    let secret = secret.map(|secret| secret.trim_end_matches(['\r', '\n']).to_owned());
    let secret = secret.filter(|secret| !secret.is_empty());
    let mut allowed = if arguments.allow_anybody { Allowed::anybody() } else { Allowed::only() };
    for user in &arguments.allow_user {
        allowed = allowed.id(user);
        if user.contains('@') {
            allowed = allowed.email(user);
        }
    }
    let allowed = arguments.allow_domain.iter().fold(allowed, Allowed::domain);
    let needed = || {
        let message = format!(
            "`{}` gave a secret with the id, put it into `{UPSTREAM_SECRET}` or a file and name that by \
             `--upstream-secret`",
            visible(provider)
        );
        Failure::usage(message, NEXT)
    };
    let upstream = match provider.as_str() {
        "google" => Upstream::google(id, secret.ok_or_else(needed)?, allowed),
        "github" => Upstream::github(id, secret.ok_or_else(needed)?, allowed),
        issuer => {
            let client = match secret {
                Some(secret) => RegisteredClient::with_secret(issuer, id, secret),
                None => RegisteredClient::public(issuer, id),
            };
            let host = issuer.split('/').nth(2).unwrap_or(issuer);
            Upstream::openid("upstream", host, client, allowed)
        }
    };
    let mut rules = Rules::default();
    // Plain HTTP is for loopback alone.
    rules.loopback = provider.starts_with("http://");
    let upstreams = Upstreams::new(Arc::new(GuardedFetch::new(rules)));
    Ok(Some(upstreams.with(upstream).map_err(|error| wrong(&error))?))
}

fn settings(arguments: &ServeArguments, port: u16) -> Result<Settings, Failure> {
    let own = format!("http://127.0.0.1:{port}");
    let issuer = arguments.issuer.as_deref().unwrap_or(&own);
    let mut settings =
        Settings::new(issuer, arguments.resource.iter().cloned()).map_err(|e| wrong(&e))?;
    // Plain HTTP is for loopback alone, so this is the same question.
    let believed = arguments.users.is_none() && arguments.upstream.is_none();
    if believed && !issuer.starts_with("http://") {
        let message = "users are believed who they say they are, so the issuer must be a URL of this \
                       computer: http://127.0.0.1 or http://localhost; or name them by `--users`, or \
                       have them log in with a provider by `--upstream`";
        return Err(Failure::new(Exit::Refused, message, NEXT));
    }
    settings.scopes.clone_from(&arguments.scope);
    for scope in &arguments.default_scope {
        if !settings.scopes.contains(scope) {
            settings.scopes.push(scope.clone());
        }
    }
    settings.default_scopes.clone_from(&arguments.default_scope);
    settings.registration = arguments.registration;
    settings.dpop_required = arguments.dpop;
    // Whoever looks at the port may have given it another name of this computer.
    settings.hosts = vec![format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    settings.check().map_err(|error| wrong(&error))?;
    Ok(settings)
}

fn clients(arguments: &ServeArguments) -> Result<BTreeMap<String, Client>, Failure> {
    let mut redirects: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for given in &arguments.client {
        match given.split_once('=') {
            Some((id, uri)) => redirects.entry(id).or_default().push(uri),
            None => drop(redirects.entry(given).or_default()),
        }
    }
    let mut secrets = BTreeMap::new();
    for given in &arguments.secret {
        let (id, path) = given
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("`{}` is not ID=FILE", visible(given)), NEXT))?;
        if !redirects.contains_key(id) {
            let message = format!("there is no client `{}` to have a secret", visible(id));
            return Err(Failure::usage(message, NEXT));
        }
        let secret = std::fs::read_to_string(path).map_err(|error| {
            let path = shown_path(Path::new(path));
            Failure::usage(format!("the secret in `{path}` cannot be read: {error}"), NEXT)
        })?;
        secrets.insert(id, secret);
    }
    let mut clients = BTreeMap::new();
    for (id, redirects) in redirects {
        let client = match secrets.get(id) {
            Some(secret) => {
                Client::with_secret(id, secret.trim_end_matches(['\r', '\n']), redirects)
            }
            None if redirects.is_empty() => {
                let id = visible(id);
                let message = format!(
                    "client `{id}` has neither a redirect URI, as `--client {id}=http://127.0.0.1/callback` \
                     for one where users log in, nor `--secret {id}=FILE` for one that acts in its own name"
                );
                return Err(Failure::usage(message, NEXT));
            }
            None => Client::public(id, redirects),
        };
        let client = client
            .map_err(|error| Failure::usage(format!("client `{}`: {error}", visible(id)), NEXT))?;
        clients.insert(id.to_owned(), client);
    }
    Ok(clients)
}

/// What a person needs to know to use it.
fn started(settings: &Settings, clients: &[String], arguments: &ServeArguments) -> Report {
    let issuer = settings.issuer();
    let (origin, path) = match issuer.match_indices('/').nth(2) {
        Some((at, _)) => issuer.split_at(at),
        None => (issuer, ""),
    };
    let metadata = format!("{origin}/.well-known/oauth-authorization-server{path}");
    let mut known: Vec<&str> = clients.iter().map(String::as_str).collect();
    known.push("those with a metadata document");
    if settings.registration {
        known.push("those that register themselves");
    }
    let kept = match &arguments.state {
        Some(path) => format!("in {}", shown_path(path)),
        None => "in memory, gone with this process".to_owned(),
    };
    let mut users = match &arguments.users {
        Some(path) => format!("Users log in as {} says.", shown_path(path)),
        None => String::new(),
    };
    let callback = arguments.upstream.as_deref().map(|provider| {
        let name = if provider.contains("://") { "upstream" } else { provider };
        format!("{issuer}/callback/{name}")
    });
    if let (Some(provider), Some(callback)) = (&arguments.upstream, &callback) {
        let blank = if users.is_empty() { "" } else { " " };
        let provider = visible(provider);
        users += &format!(
            "{blank}Users log in with {provider}, which has to know {callback} as redirect URI."
        );
    }
    if users.is_empty() {
        users = "Whoever opens its page may log in under any name: it is for this computer alone."
            .to_owned();
    }
    let text = format!(
        "authorization server at {issuer}\n  metadata   {metadata}\n  resources  {}\n  scopes     \
         {}\n  clients    {}\n  state      {kept}\n{users} End it with Ctrl-C.",
        settings.resources.join(", "),
        if settings.scopes.is_empty() { "none".to_owned() } else { settings.scopes.join(" ") },
        known.join(", "),
    );
    let data = json!({
        "issuer": issuer, "metadata": metadata, "resources": settings.resources,
        "scopes": settings.scopes, "clients": clients, "registration": settings.registration,
        "state": arguments.state, "users": arguments.users, "upstream": arguments.upstream,
        "callback": callback,
    });
    Report::new(data, text)
}

fn wrong(error: &dyn std::error::Error) -> Failure {
    Failure::usage(error.to_string(), NEXT)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{clients, settings, upstreams, users};
    use crate::args::{Arguments, AuthCommand, Command, ServeArguments};
    use crate::exit::Exit;

    fn given(line: &str) -> ServeArguments {
        let words = ["etdi", "auth", "serve"].into_iter().chain(line.split_whitespace());
        match Arguments::parse_from(words).command {
            Command::Auth(AuthCommand::Serve(arguments)) => *arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn users_that_nobody_checks_stay_on_this_computer() {
        for issuer in ["https://auth.example", "http://auth.example", "http://10.0.0.1:9000"] {
            assert!(settings(&given(&format!("--issuer {issuer}")), 9000).is_err(), "{issuer}");
        }
        let refused = settings(&given("--issuer https://auth.example"), 9000).unwrap_err();
        assert_eq!(refused.exit, Exit::Refused);
        let local = settings(&given("--default-scope read --scope write"), 1234).unwrap();
        assert_eq!(
            (local.issuer(), &local.scopes[..]),
            ("http://127.0.0.1:1234", &["write".to_owned(), "read".to_owned()][..])
        );
    }

    #[test]
    fn users_that_are_checked_may_be_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        let record =
            "pbkdf2-sha256$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        std::fs::write(&file, format!("alice:{record}\n\nbob:{record}\n")).unwrap();
        assert!(users(&file).is_ok());
        let line = format!("--issuer https://auth.example --users {}", file.display());
        assert!(settings(&given(&line), 9000).is_ok());
        for bad in ["alice", "alice:password", &format!(":{record}")] {
            std::fs::write(&file, format!("bob:{record}\n{bad}\n")).unwrap();
            let failure = users(&file).unwrap_err();
            assert!(failure.message.starts_with("line 2 of"), "{}", failure.message);
        }
    }

    #[test]
    fn users_who_log_in_elsewhere_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "a-secret-of-google\n").unwrap();
        let google = format!(
            "--issuer https://auth.example --upstream google --upstream-client-id id --upstream-secret {}",
            file.display()
        );
        assert!(settings(&given(&google), 9000).is_ok(), "somebody checks who users are");
        let with = |line: &str, secret: Option<&str>| {
            upstreams(&given(line), secret.map(str::to_owned)).map_err(|failure| failure.message)
        };
        let refused = with(&google, None).unwrap_err();
        assert!(refused.contains("nobody may log in"), "{refused}");
        for named in ["--allow-anybody", "--allow-user 1", "--allow-domain acme.example"] {
            assert!(with(&format!("{google} {named}"), None).unwrap().is_some(), "{named}");
        }
        let github = "--upstream github --upstream-client-id id --allow-user 583231";
        assert!(with(github, Some("a-secret")).unwrap().is_some());
        for nothing in [None, Some(""), Some("\n")] {
            assert!(with(github, nothing).unwrap_err().contains("ETDI_UPSTREAM_SECRET"));
        }
        let own = "--upstream-client-id id --allow-anybody --upstream";
        assert!(with(&format!("{own} https://login.acme.example"), None).unwrap().is_some());
        assert!(with(&format!("{own} http://127.0.0.1:9001"), None).unwrap().is_some());
        for bad in ["http://login.acme.example", "facebook", "login.acme.example"] {
            assert!(with(&format!("{own} {bad}"), None).is_err(), "{bad}");
        }
        assert!(with("", Some("a-secret")).unwrap().is_none());
    }

    #[test]
    fn clients_are_read_from_the_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "correct horse battery\n").unwrap();
        let line = format!(
            "--client app=http://127.0.0.1/a --client app=http://127.0.0.1/b --client job --secret job={}",
            secret.display()
        );
        let known = clients(&given(&line)).unwrap();
        assert_eq!(known["app"].redirect_uris.len(), 2);
        assert!(known["job"].is_confidential() && !known["app"].is_confidential());
        for bad in ["--client job", "--client a=http://a.example", "--secret x=y", "--secret x"] {
            assert!(clients(&given(bad)).is_err(), "{bad}");
        }
        std::fs::write(&secret, "short").unwrap();
        assert!(clients(&given(&line)).is_err());
    }
}
