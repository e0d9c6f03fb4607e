//! A server as a service of exchanges, with nothing checked: for those who write one, and bridge,
//! compare and test it.

use std::sync::Arc;

use etdi::core::change::visible;
use etdi::core::identity::ServerIdentity;
use mcp_transport::http::{HttpConnectOptions, HttpConnection, connect_http_with};
use mcp_transport::proto::client::ClientConfig;
use mcp_transport::{ClientPeer, ConnectOptions, Connection, Era, PeerRequests, connect_with};
use mcp_types::{Caller, Implementation, ProtocolVersion, ServerNotification};

use crate::args::BuildArguments;
use crate::ask::IN_THE_CLEAR;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::targets;
use crate::verbs::target::quoted;
use crate::verbs::{ended, endorse};

/// The way to a server that was reached without verifying anything.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// A program that was started here.
    Program(Connection),
    /// A server behind a URL.
    Url(HttpConnection),
}

/// Takes a line that a program writes to its standard error.
pub type TakeLine = Box<dyn FnMut(&str) + Send>;

/// How a server is reached.
#[derive(Default)]
pub struct Way {
    /// In which revisions it is asked, with a handshake or without; in what it agrees to by default.
    pub era: Option<Era>,
    /// Takes the lines of a program's standard error; they are passed on without it.
    pub on_stderr: Option<TakeLine>,
    /// The one client that it has, for what belongs to no exchange: the server is spoken to as the
    /// client speaks, and each hears what the other asks and tells of its own accord.
    pub client: Option<ClientPeer>,
    /// How a package is built.
    pub build: BuildArguments,
    /// Whether a guard of ours before it is kept, as for whoever serves it on; else it is looked through.
    pub guarded: bool,
}

impl Upstream {
    /// Starts the program of a command line, or gets ready to dial its URL. The first exchange opens
    /// the connection, and tells a server with a handshake who its client is.
    ///
    /// # Errors
    ///
    /// When the program cannot be started, or the URL cannot be one.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn reach(words: &[String], way: Way, output: Output) -> Result<Self, Failure> {
        let info = Implementation::new("etdi", env!("CARGO_PKG_VERSION"));
        let unreachable = |error: mcp_transport::Error| {
            let first = words.first().map_or("COMMAND", String::as_str);
            let next = match error {
                mcp_transport::Error::Spawn { .. } if first.contains('/') => {
                    format!("etdi doctor -- {}", shown(words))
                }
                mcp_transport::Error::Spawn { .. } => format!("which {}", quoted(first)),
                _ => format!("curl -i {}", quoted(first)),
            };
            Failure::new(Exit::Unreachable, error.to_string(), next).with_code("NOT_STARTED")
        };
        let found = targets::resolve_built(words, &way.build)?;
        let found = if way.guarded { found } else { targets::behind(found)? };
        if let Some(url) = found.url() {
            if url.parse().is_ok_and(|server: ServerIdentity| server.is_in_the_clear()) {
                output.warn(&format!("`{}` is reached {IN_THE_CLEAR}", visible(url)));
            }
            let mut options = HttpConnectOptions::new(info);
            options.config.era = way.era;
            options.headers = found.headers()?;
            options.on_notification = behind(&mut options.config, way.client.as_ref());
            let connection = connect_http_with(url, options).map_err(unreachable)?;
            if let Some(client) = way.client {
                let server = connection.clone();
                client.on_notification(move |told| server.tell(&told));
            }
            return Ok(Self::Url(connection));
        }
        let Some(command) = found.process() else {
            return Err(Failure::usage("no command is given", "etdi --help"));
        };
        let mut command = command.env_remove(endorse::SECRET);
        if let Some(take) = way.on_stderr {
            command = command.on_stderr(take);
        }
        let io = command.spawn().map_err(unreachable)?;
        let mut options = ConnectOptions::new(info);
        options.config.era = way.era;
        options.on_notification = behind(&mut options.config, way.client.as_ref());
        let connection = connect_with(io, options);
        if let Some(client) = way.client {
            let server = connection.clone();
            client.on_notification(move |told| server.tell(&told));
        }
        Ok(Self::Program(connection))
    }

    /// The server behind a pointer.
    pub fn caller(&self) -> Caller {
        match self {
            Self::Program(connection) => Caller::new(connection.clone()),
            Self::Url(connection) => Caller::new(connection.clone()),
        }
    }

    /// The revision that is spoken, once something was answered.
    pub fn version(&self) -> Option<ProtocolVersion> {
        match self {
            Self::Program(connection) => connection.version(),
            Self::Url(connection) => connection.version(),
        }
    }

    /// Waits until a program has ended; for ever for a URL.
    pub async fn ended(&self) {
        match self {
            Self::Program(connection) => connection.ended().await,
            Self::Url(_) => std::future::pending().await,
        }
    }

    /// Closes the connection, and waits until a program has ended.
    pub async fn close(&self) {
        match self {
            Self::Program(connection) => connection.close().await,
            Self::Url(connection) => connection.close().await,
        }
    }
}

type Tell = Arc<dyn Fn(ServerNotification) + Send + Sync>;

/// Settings for a server behind which one client stands; gives who takes what the server tells.
fn behind(config: &mut ClientConfig, client: Option<&ClientPeer>) -> Option<Tell> {
    let client = client?.clone();
    config.follow = true;
    config.peer_requests = Some(PeerRequests(Arc::new(client.clone())));
    Some(Arc::new(move |told| client.tell(told)))
}

/// Words as they can be typed.
pub fn shown(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// What an exchange with such a server came to, as a failure of the command.
pub fn failure(error: &mcp_client::Error, words: &[String]) -> Failure {
    let shown = shown(words);
    let exit = match error {
        mcp_client::Error::Connection(error)
            if mcp_transport::http::http_status(error) == Some(401) =>
        {
            Exit::AuthenticationNeeded
        }
        mcp_client::Error::Connection(_) | mcp_client::Error::Timeout(_) => Exit::Unreachable,
        mcp_client::Error::Protocol(_)
        | mcp_client::Error::TooManyPages(_)
        | mcp_client::Error::TooManyBytes(_) => Exit::ProtocolViolation,
        mcp_client::Error::ToolFailed(_) => Exit::ToolError,
        _ => Exit::ProtocolViolation,
    };
    let program = words.first().map_or("the server", String::as_str);
    let message = ended::plainly(error, &format!("`{}`", visible(program)));
    Failure::new(exit, message, format!("etdi doctor -- {shown}"))
}
