//! Where a server is, and what is closed with it.

use std::fmt;
#[cfg(feature = "unix")]
use std::path::PathBuf;

#[cfg(feature = "unix")]
use etdi_core::identity::ServerIdentity;
use etdi_core::layer::VerifyLayer;
use etdi_core::verify::Peer;
use mcp_transport::Connection;
use mcp_types::{Caller, ClientNotification, ExchangeService, ProtocolVersion};

use crate::Program;

/// Where a server is: a program to start, a URL to dial, a socket to open, or a service that is there
/// already.
///
/// ```
/// use etdi::Target;
///
/// let program = Target::from(["notes-server", "--stdio"]);
/// assert_eq!(format!("{program:?}"), "Target(\"notes-server --stdio\")");
/// ```
pub struct Target(pub(super) Kind);

pub(super) enum Kind {
    Program(Program),
    #[cfg(feature = "http")]
    Url(Box<crate::http::HttpTarget>),
    #[cfg(feature = "websocket")]
    WebSocket(Box<crate::websocket::WebSocketTarget>),
    #[cfg(feature = "unix")]
    Unix(PathBuf, Box<ServerIdentity>),
    Service(Caller, Box<Peer>),
}

impl Target {
    /// A program that speaks over its standard streams.
    pub fn program(program: Program) -> Self {
        Self(Kind::Program(program))
    }

    /// A server behind HTTP, by its URL.
    #[cfg(feature = "http")]
    pub fn url(url: impl Into<String>) -> Self {
        Self::http(crate::http::HttpTarget::new(url))
    }

    /// A server behind HTTP, with headers or a login.
    #[cfg(feature = "http")]
    pub fn http(target: crate::http::HttpTarget) -> Self {
        Self(Kind::Url(Box::new(target)))
    }

    /// A server behind a WebSocket, by its `ws://` URL.
    #[cfg(feature = "websocket")]
    pub fn web_socket(target: impl Into<crate::websocket::WebSocketTarget>) -> Self {
        Self(Kind::WebSocket(Box::new(target.into())))
    }

    /// A server behind a Unix socket, and how its attestations name it: as a package or by its
    /// instance key, like a program's. A URL is refused when it is connected to, because nothing
    /// was dialled and no TLS stands behind it.
    ///
    /// ```
    /// use etdi::Target;
    /// use etdi::core::identity::ServerIdentity;
    ///
    /// let notes = ServerIdentity::package("pkg:cargo/notes")?;
    /// let target = Target::unix_socket("/run/user/1000/notes.sock", notes);
    /// assert_eq!(format!("{target:?}"), "Target(\"/run/user/1000/notes.sock\")");
    /// # Ok::<(), etdi::core::identity::IdentityError>(())
    /// ```
    #[cfg(feature = "unix")]
    pub fn unix_socket(path: impl Into<PathBuf>, identity: ServerIdentity) -> Self {
        Self(Kind::Unix(path.into(), Box::new(identity)))
    }

    /// Any service: a server in this process, or a connection of one's own. `peer` is what this side
    /// knows of it by itself.
    pub fn service(service: impl ExchangeService, peer: Peer) -> Self {
        Self(Kind::Service(Caller::new(service), Box::new(peer)))
    }
}

impl From<Program> for Target {
    fn from(program: Program) -> Self {
        Self::program(program)
    }
}

impl<const N: usize> From<[&str; N]> for Target {
    /// A program and its arguments.
    fn from(argv: [&str; N]) -> Self {
        Self::program(Program::new(argv))
    }
}

impl From<Vec<String>> for Target {
    /// A program and its arguments.
    fn from(argv: Vec<String>) -> Self {
        Self::program(Program::new(argv))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = match &self.0 {
            Kind::Program(program) => program.argv().join(" "),
            #[cfg(feature = "http")]
            Kind::Url(target) => target.url().to_owned(),
            #[cfg(feature = "websocket")]
            Kind::WebSocket(target) => target.url().to_owned(),
            #[cfg(feature = "unix")]
            Kind::Unix(path, _) => path.display().to_string(),
            Kind::Service(_, peer) => peer.identity.to_string(),
        };
        f.debug_tuple("Target").field(&shown).finish()
    }
}

/// What is behind a session, to be closed with it.
#[derive(Clone)]
pub(crate) enum Ending {
    /// Bytes: with a program it ends the program too.
    Stream(Connection),
    /// With what tells which access token goes along.
    #[cfg(feature = "http")]
    Http(mcp_transport::http::HttpConnection, Option<crate::http::AccessToken>),
    None,
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ending")
    }
}

impl Ending {
    /// Has the layer that signs name the access token that goes along.
    pub(crate) fn naming(&self, layer: VerifyLayer) -> VerifyLayer {
        match self {
            #[cfg(feature = "http")]
            Self::Http(_, Some(token)) => {
                let token = token.clone();
                layer.access_token(move || token())
            }
            _ => layer,
        }
    }

    /// Tells the server something that belongs to no exchange.
    pub(crate) fn tell(&self, told: &ClientNotification) {
        match self {
            Self::Stream(connection) => connection.tell(told),
            #[cfg(feature = "http")]
            Self::Http(connection, _) => connection.tell(told),
            Self::None => {}
        }
    }

    /// Waits until a server on a stream is gone; for ever with any other.
    pub(crate) async fn ended(&self) {
        match self {
            Self::Stream(connection) => connection.ended().await,
            _ => std::future::pending().await,
        }
    }

    pub(super) fn version(&self) -> Option<ProtocolVersion> {
        match self {
            Self::Stream(connection) => connection.version(),
            #[cfg(feature = "http")]
            Self::Http(connection, _) => connection.version(),
            Self::None => None,
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Stream(connection) => connection.close().await,
            #[cfg(feature = "http")]
            Self::Http(connection, _) => connection.close().await,
            Self::None => {}
        }
    }
}
