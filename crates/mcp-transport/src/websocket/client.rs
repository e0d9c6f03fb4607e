//! The client's end.

use std::io;
use std::time::Duration;

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderMap, HeaderValue, Uri};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::{SUBPROTOCOL, stream};
use crate::Io;
use crate::framing::FrameLimits;

/// How long a server may take to connect and to upgrade.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens the WebSocket at a `ws://` URL within 30 seconds; give the result to [`connect`](crate::connect).
///
/// `headers` go along with the upgrade request, such as an `Authorization`. For another scheme open
/// the stream yourself and give it to [`over`].
///
/// # Errors
///
/// `InvalidInput` for another URL, `ConnectionRefused` with the status and the text of a server that
/// does not upgrade, and whatever the system says.
pub async fn open(url: &str, headers: HeaderMap) -> io::Result<Io> {
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
    let uri: Uri = url.parse().map_err(|error| invalid(format!("`{url}` is no URL: {error}")))?;
    let (Some("ws"), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(invalid(format!("`{url}` does not start with `ws://` and a host")));
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let opening = async {
        let socket = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
        socket.set_nodelay(true)?;
        over(socket, url, headers).await
    };
    tokio::time::timeout(PATIENCE, opening).await?
}

/// The same over a stream that is open already, such as one with TLS in it.
///
/// # Errors
///
/// As [`open`].
pub async fn over<T>(stream: T, url: &str, headers: HeaderMap) -> io::Result<Io>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut request = url.into_client_request().map_err(io::Error::other)?;
    request.headers_mut().extend(headers);
    let speaks = HeaderValue::from_static(SUBPROTOCOL);
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, speaks);
    let config = stream::config(FrameLimits::default());
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(stream::io(socket)),
        Err(Error::Http(response)) => {
            let status = response.status();
            let said = response.into_body().unwrap_or_default();
            let said: String = String::from_utf8_lossy(&said).chars().take(200).collect();
            let text = format!("`{url}` does not upgrade: {status}, {}", said.escape_debug());
            Err(io::Error::new(io::ErrorKind::ConnectionRefused, text))
        }
        Err(Error::Io(error)) => Err(error),
        Err(error) => Err(io::Error::other(error)),
    }
}
