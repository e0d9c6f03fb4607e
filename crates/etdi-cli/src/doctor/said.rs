//! One request over a connection of one's own, and what came back, whatever it is.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use etdi::core::change::visible;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mcp_types::ProtocolVersion;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::place::{Place, speak_tls, trusting};

/// A stream of bytes both ways.
trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

/// An open connection.
pub(super) struct Dialled {
    stream: Box<dyn Both>,
    /// The version of TLS that is spoken.
    pub(super) tls: Option<String>,
}

impl Dialled {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self { stream: Box::new(stream), tls: None }
    }

    pub(super) fn encrypted(stream: tokio_rustls::client::TlsStream<TcpStream>) -> Self {
        let version = stream.get_ref().1.protocol_version();
        let tls = match version {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
            _ => "TLS".to_owned(),
        };
        Self { stream: Box::new(stream), tls: Some(tls) }
    }

    /// A new connection to where the first one led.
    async fn anew(place: &Place, addresses: &[SocketAddr], patience: Duration) -> Option<Self> {
        for address in addresses {
            let Ok(Ok(stream)) = timeout(patience, TcpStream::connect(address)).await else {
                continue;
            };
            if !place.secure {
                return Some(Self::plain(stream));
            }
            let tls = speak_tls(&place.host, stream, trusting().ok()?);
            if let Ok(Ok(dialled)) = timeout(patience, tls).await {
                return Some(dialled);
            }
        }
        None
    }
}

/// What is asked.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    /// The protocol's first question, by POST.
    Discovery,
    /// The stream of the first revision, by GET.
    Stream,
}

/// An answer, as far as it was read.
pub(super) struct Answer {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// The beginning of its body.
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// A header as text.
    pub(super) fn header(&self, name: http::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The media type, in lower case.
    pub(super) fn kind(&self) -> String {
        let kind = self.header(CONTENT_TYPE).unwrap_or_default();
        kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// Whether it is a message of JSON-RPC, or a stream of them.
    pub(super) fn is_rpc(&self) -> bool {
        if self.kind() == "text/event-stream" {
            return self.status.is_success();
        }
        let value: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        value.is_some_and(|value| value.get("jsonrpc").is_some_and(|version| version == "2.0"))
    }

    /// The beginning of what it says, for people, on one line.
    pub(super) fn excerpt(&self) -> String {
        let head = self.body.get(..self.body.len().min(400)).unwrap_or_default();
        let text = String::from_utf8_lossy(head);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        visible(&text.chars().take(120).collect::<String>()).into_owned()
    }
}

/// Why there is no answer.
pub(super) enum Unanswered {
    /// Nobody answered in time.
    Late,
    /// The connection cannot be made any more.
    Gone,
    /// What came is no HTTP.
    NoHttp(String),
    /// The connection ended before an answer.
    Closed(String),
}

/// The most bytes of a body that are read.
const MOST_BODY: usize = 256 << 10;

/// How long a body may go on after its head: a stream of events has no end.
const BODY_PATIENCE: Duration = Duration::from_secs(2);

/// Asks once, over `dialled` or a connection of its own.
pub(super) async fn ask(
    place: &Place,
    addresses: &[SocketAddr],
    dialled: Option<Dialled>,
    asked: Asked,
    token: Option<&str>,
    patience: Duration,
) -> Result<Answer, Unanswered> {
    let dialled = match dialled {
        Some(dialled) => dialled,
        None => Dialled::anew(place, addresses, patience).await.ok_or(Unanswered::Gone)?,
    };
    match timeout(patience, send(place, dialled, asked, token)).await {
        Ok(answer) => answer,
        Err(_) => Err(Unanswered::Late),
    }
}

async fn send(
    place: &Place,
    dialled: Dialled,
    asked: Asked,
    token: Option<&str>,
) -> Result<Answer, Unanswered> {
    let unanswered = |error: hyper::Error| match error.is_parse() {
        true => Unanswered::NoHttp(error.to_string()),
        false => Unanswered::Closed(error.to_string()),
    };
    let shake = http1::handshake(TokioIo::new(dialled.stream)).await;
    let (mut sender, connection) = shake.map_err(unanswered)?;
    let driving = tokio::spawn(connection);
    let request =
        request(place, asked, token).map_err(|error| Unanswered::Closed(error.to_string()))?;
    let answered = sender.send_request(request).await;
    let read = match answered {
        Ok(response) => {
            let (head, mut body) = response.into_parts();
            let mut read = Vec::new();
            let reading = async {
                while let Some(Ok(frame)) = body.frame().await {
                    if let Some(data) = frame.data_ref() {
                        let room = MOST_BODY.saturating_sub(read.len());
                        read.extend_from_slice(data.get(..data.len().min(room)).unwrap_or(data));
                        if room <= data.len() {
                            break;
                        }
                    }
                }
            };
            // What came of it so far is enough.
            let _ = timeout(BODY_PATIENCE, reading).await;
            Ok(Answer { status: head.status, headers: head.headers, body: read })
        }
        Err(error) => Err(unanswered(error)),
    };
    driving.abort();
    read
}

fn request(
    place: &Place,
    asked: Asked,
    token: Option<&str>,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let version = ProtocolVersion::NEWEST.as_str();
    let host = place.origin.split_once("://").map_or("", |(_, host)| host);
    let mut request = Request::builder()
        .uri(&place.path)
        .header(HOST, host)
        .header(USER_AGENT, concat!("etdi/", env!("CARGO_PKG_VERSION")));
    for (name, value) in &place.headers {
        let mut value = HeaderValue::from_str(value)?;
        value.set_sensitive(true);
        request = request.header(name.as_str(), value);
    }
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    match asked {
        Asked::Stream => {
            let request = request.method(Method::GET).header(ACCEPT, "text/event-stream");
            request.body(Full::default())
        }
        Asked::Discovery => {
            let body = json!({
                "jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": { "_meta": {
                    "io.modelcontextprotocol/protocolVersion": version,
                    "io.modelcontextprotocol/clientInfo":
                        { "name": "etdi", "version": env!("CARGO_PKG_VERSION") },
                    "io.modelcontextprotocol/clientCapabilities": {},
                } },
            });
            request
                .method(Method::POST)
                .header(ACCEPT, "application/json, text/event-stream")
                .header(CONTENT_TYPE, "application/json")
                .header("mcp-protocol-version", version)
                .header("mcp-method", "server/discover")
                .body(Full::from(body.to_string()))
        }
    }
}

/// The most bytes of what a port says of itself, and how long that may take.
const MOST_BANNER: usize = 120;
const BANNER_PATIENCE: Duration = Duration::from_secs(2);

/// What a port says to a line of HTTP, for people: `None` where it says nothing. The first bytes of an
/// alert of TLS are told as `TLS`.
pub(super) async fn banner(
    addresses: &[SocketAddr],
    place: &Place,
    patience: Duration,
) -> Option<String> {
    let address = addresses.first()?;
    let mut stream = timeout(patience, TcpStream::connect(address)).await.ok()?.ok()?;
    let host = place.origin.split_once("://").map_or("", |(_, host)| host);
    let line = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(line.as_bytes()).await.ok()?;
    let mut bytes = vec![0; MOST_BANNER];
    let read = timeout(BANNER_PATIENCE.min(patience), stream.read(&mut bytes)).await.ok()?.ok()?;
    bytes.truncate(read);
    // RFC 8446, section 5.1: an alert, and the version of its record.
    if bytes.starts_with(&[21, 3]) {
        return Some("TLS".to_owned());
    }
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next().unwrap_or_default().trim();
    (!line.is_empty()).then(|| visible(line).into_owned())
}
