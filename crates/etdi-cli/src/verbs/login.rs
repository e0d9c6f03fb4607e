//! `etdi auth login`, `logout` and `status`: logins that are kept and used for their servers.

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;

use etdi::core::change::visible;
use etdi::system_time;
use etdi_oauth::{GuardedFetch, Loopback, OAuthClient, Paste, ResourceMetadata, Rules, Standing};
use mcp_client::{Client, Error};
use mcp_transport::http::{HttpConnectOptions, connect_http_with, http_status};
use mcp_types::Implementation;
use serde_json::{Value, json};

use crate::args::LoginArguments;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::login::{Logins, Made, Registered, plain};
use crate::output::{Output, Report, table};
use crate::verbs::target::{block_on, quoted};

/// The secret of a client that was registered by hand.
const SECRET: &str = "ETDI_CLIENT_SECRET";

/// Logs in, and keeps the login.
///
/// # Errors
///
/// When the server cannot be reached, or nobody logged in.
pub fn login(arguments: &LoginArguments, home: &Home, output: Output) -> Result<Report, Failure> {
    let url = plain(&arguments.url);
    let logins = Logins::open(home)?;
    block_on(async {
        let client = match &arguments.client_id {
            Some(id) => {
                let secret = std::env::var(SECRET).ok().filter(|secret| !secret.is_empty());
                let issuer = match &arguments.issuer {
                    Some(issuer) => issuer.clone(),
                    // A server that names an issuer would choose who is told the secret.
                    None if secret.is_some() => {
                        let message =
                            format!("the secret in `{SECRET}` is told one issuer alone: name it");
                        return Err(Failure::usage(message, "etdi auth login --issuer https://…"));
                    }
                    None => issuer_of(url).await?,
                };
                Some(Registered { issuer, id: id.clone(), secret })
            }
            None => None,
        };
        let made = Made { device: arguments.device, client };
        let builder = match (arguments.device, arguments.paste) {
            (true, _) => OAuthClient::device(url, Loopback::browser(tell)),
            (false, true) => OAuthClient::interactive(url, Paste::new(tell, typed)),
            (false, false) => OAuthClient::interactive(url, Loopback::browser(tell)),
        };
        let client = logins.build(builder.scopes(&arguments.scope), &made)?;
        output.progress(&format!("asking {}", visible(url)));
        let asked = ask(url, &client).await;
        let standing =
            client.standing().await.map_err(|error| unusable(url, &error.to_string()))?;
        match (asked, standing) {
            (Ok(()), Some(standing)) => {
                logins.note(url, &made).await?;
                let text = format!(
                    "logged in at `{}` by `{}`{}{}",
                    visible(url),
                    visible(&standing.issuer),
                    scopes(&standing),
                    until(&standing)
                );
                let next = format!("\ntry: etdi inspect -- {}", quoted(url));
                Ok(Report::new(data(url, &standing), format!("{text}{next}")))
            }
            (Ok(()), None) => {
                let text =
                    format!("`{}` lets everybody in, there is nothing to log in to", visible(url));
                Ok(Report::new(json!({ "server": url, "needed": false }), text))
            }
            (Err(failure), _) => Err(failure),
        }
    })
}

/// Ends a login.
///
/// # Errors
///
/// When none is kept.
pub fn logout(url: &str, home: &Home, output: Output) -> Result<Report, Failure> {
    let url = plain(url);
    block_on(async {
        let none = || {
            let message = format!("no login is kept for `{}`", visible(url));
            Failure::usage(message, "etdi auth status").with_code("NO_LOGIN")
        };
        let logins = Logins::find(home)?.ok_or_else(none)?;
        let client = logins.client(url).await?.ok_or_else(none)?;
        let taken_back = client.log_out().await;
        logins.forget(url).await?;
        if let Err(error) = &taken_back {
            output.warn(&format!("the issuer did not take the tokens back: {error}"));
        }
        let data = json!({ "server": url, "taken_back": taken_back.is_ok() });
        Ok(Report::new(data, format!("the login for `{}` is forgotten", visible(url))))
    })
}

/// Lists the logins.
///
/// # Errors
///
/// When they cannot be read.
pub fn status(home: &Home) -> Result<Report, Failure> {
    block_on(async {
        let (mut rows, mut list) = (Vec::new(), Vec::new());
        if let Some(logins) = Logins::find(home)? {
            for server in logins.servers()? {
                let Some(client) = logins.client(&server).await? else { continue };
                let standing = client.standing().await;
                let standing = standing.map_err(|error| unusable(&server, &error.to_string()))?;
                let Some(standing) = standing else { continue };
                let text = |text: &str| visible(text).into_owned();
                rows.push([
                    text(&server),
                    text(&standing.issuer),
                    text(&standing.scopes.join(" ")),
                    until(&standing).trim_start_matches(", ").to_owned(),
                ]);
                list.push(data(&server, &standing));
            }
        }
        let text = match rows.is_empty() {
            true => "no login is kept; `etdi auth login URL` makes one".to_owned(),
            false => table(["server", "issuer", "scopes", "token"], rows),
        };
        Ok(Report::new(json!({ "logins": list }), text))
    })
}

/// Has the server ask for the login, by a question that every server answers.
async fn ask(url: &str, client: &OAuthClient) -> Result<(), Failure> {
    let us = Implementation::new("etdi", env!("CARGO_PKG_VERSION"));
    let mut options = HttpConnectOptions::new(us);
    options.authorize = Some(Arc::new(client.clone()));
    let doctor = format!("etdi doctor -- {}", quoted(url));
    let connection = connect_http_with(url, options)
        .map_err(|error| Failure::usage(error.to_string(), doctor.clone()))?;
    let discovered = Client::new(connection.clone()).discover().await;
    connection.close().await;
    let error = match discovered {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let exit = match &error {
        Error::Refused(_) => Exit::AuthenticationNeeded,
        Error::Connection(inner) if http_status(inner) == Some(401) => Exit::AuthenticationNeeded,
        Error::Connection(_) | Error::Timeout(_) => Exit::Unreachable,
        _ => Exit::ProtocolViolation,
    };
    let text = match &error {
        Error::Refused(inner) | Error::Connection(inner) => inner.message.clone(),
        other => other.to_string(),
    };
    Err(Failure::new(exit, visible(&text), doctor))
}

/// The issuer that a server names first.
async fn issuer_of(url: &str) -> Result<String, Failure> {
    let mut rules = Rules::default();
    let place: Option<http::Uri> = url.parse().ok();
    let host = place.as_ref().and_then(|place| place.host()).unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<std::net::IpAddr>();
    rules.loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    let found = ResourceMetadata::find(&GuardedFetch::new(rules), url, None).await;
    let found = found.map_err(|error| unusable(url, &error.to_string()))?;
    let issuers = found.and_then(|found| found.authorization_servers).unwrap_or_default();
    issuers.into_iter().next().ok_or_else(|| {
        let message = format!("`{}` names no issuer; name it with `--issuer`", visible(url));
        Failure::usage(message, "etdi auth login --help")
    })
}

fn unusable(url: &str, error: &str) -> Failure {
    let next = format!("etdi doctor -- {}", quoted(url));
    Failure::new(Exit::AuthenticationNeeded, visible(error), next)
}

/// Tells the person what to do, whatever the command prints.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A line that was pasted.
async fn typed() -> Option<String> {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        read.ok().filter(|read| *read > 0).map(|_| line.trim().to_owned())
    });
    read.await.ok().flatten()
}

fn data(url: &str, standing: &Standing) -> Value {
    json!({
        "server": url, "issuer": standing.issuer, "resource": standing.resource,
        "scopes": standing.scopes, "expires": standing.expires.map(|at| at.seconds()),
        "is_renewed": standing.is_renewed,
    })
}

fn scopes(standing: &Standing) -> String {
    match standing.scopes.is_empty() {
        true => String::new(),
        false => format!(", for {}", visible(&standing.scopes.join(" "))),
    }
}

fn until(standing: &Standing) -> String {
    let renewed = if standing.is_renewed { ", renewed by itself" } else { "" };
    let Some(end) = standing.expires else { return renewed.to_owned() };
    match end.seconds().checked_sub(system_time().seconds()) {
        Some(left) => format!(", for {} minutes{renewed}", left.div_ceil(60)),
        None => format!(", ended{renewed}"),
    }
}
