//! The way to a URL: its name, a connection, TLS; then HTTP, the login and the protocol.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use etdi::core::change::visible;
use etdi_oauth::SecretText;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::said::{self, Dialled};
use super::{Examination, Fault, Whose, login, offered, web};
use crate::args::Target;
use crate::exit::Exit;
use crate::home::Home;
use crate::targets::Found;
use crate::verbs::target::quoted;

/// Where a URL leads.
pub(super) struct Place {
    /// Whether TLS is spoken there.
    pub(super) secure: bool,
    /// The name or address, without brackets.
    pub(super) host: String,
    /// The port.
    pub(super) port: u16,
    /// Scheme, host and port as they are written.
    pub(super) origin: String,
    /// The path and the query.
    pub(super) path: String,
    /// The headers that its entry has; they may hold secrets.
    pub(super) headers: Vec<(String, String)>,
}

impl Place {
    fn of(url: &str, headers: &[(String, String)]) -> Result<Self, Fault> {
        let bad = |why: &str| {
            let what = format!("`{}` is no URL: {why}", visible(url));
            let advice = "write it as `https://mcp.acme.example/mcp`";
            Fault::new("url", Whose::You, what, advice).next("etdi doctor --help")
        };
        let plain = url.split('#').next().unwrap_or_default();
        let uri: http::Uri =
            plain.parse().map_err(|error: http::uri::InvalidUri| bad(&error.to_string()))?;
        let secure = uri.scheme_str() == Some("https");
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("a user name in it is not sent; leave it out"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(bad("it names no host"));
        }
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let scheme = if secure { "https" } else { "http" };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self {
            secure,
            host,
            port,
            origin: format!("{scheme}://{authority}"),
            path,
            headers: headers.to_vec(),
        })
    }

    /// The same place with another path.
    pub(super) fn at(&self, path: &str) -> Self {
        Self {
            secure: self.secure,
            host: self.host.clone(),
            port: self.port,
            origin: self.origin.clone(),
            path: path.to_owned(),
            headers: self.headers.clone(),
        }
    }

    /// Its URL without the query, which may hold a secret.
    pub(super) fn shown(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        visible(&format!("{}{path}", self.origin)).into_owned()
    }

    /// Whether it is on this computer.
    pub(super) fn is_here(&self) -> bool {
        let address = self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        address || self.host.eq_ignore_ascii_case("localhost")
    }
}

/// Examines a server behind a URL.
pub(super) async fn examine(
    url: &str,
    token: Option<SecretText>,
    found: &Found,
    target: &Target,
    home: &Home,
    examination: &mut Examination,
) -> Result<(), Fault> {
    let place = Place::of(url, found.headers_as_written())?;
    proxies(&place, examination);
    let addresses = resolve(&place, examination).await?;
    let stream = connect(&place, &addresses, examination).await?;
    let dialled = encrypt(&place, stream, &addresses, examination).await?;
    let answer = web::examine(&place, dialled, &addresses, examination).await?;
    let way = login::examine(url, &place, &addresses, answer, token, home, examination).await?;
    offered::behind_a_url(&place, url, way, target, examination).await
}

/// What the environment says of a proxy, which nothing here goes through.
fn proxies(place: &Place, examination: &mut Examination) {
    let names = match place.secure {
        true => ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        false => ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"],
    };
    let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let Some(name) = names.into_iter().find(set) else { return };
    if place.is_here() {
        return;
    }
    let what = format!("`{name}` is set, and this program dials without a proxy");
    let advice =
        "where only the proxy leads out, run a bridge that knows it, or ask for a direct way";
    examination.warned("proxy", Whose::You, what, advice);
}

async fn resolve(place: &Place, examination: &mut Examination) -> Result<Vec<SocketAddr>, Fault> {
    let (host, port) = (&place.host, place.port);
    let shown = visible(host);
    examination.looking(&format!("looking up {shown}"));
    if let Ok(address) = host.parse::<IpAddr>() {
        examination.passed("dns", format!("`{shown}` is an address"));
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let again = format!("getent hosts {}", quoted(host));
    let found = timeout(examination.patience, tokio::net::lookup_host((host.as_str(), port))).await;
    let found = match found {
        Err(_) => {
            let what = format!("nobody says in time where `{shown}` is");
            let advice = "are you on line, and does the resolver of this network answer?";
            return Err(Fault::new("dns", Whose::Network, what, advice).next(again));
        }
        Ok(found) => found,
    };
    let addresses: Vec<SocketAddr> = match found {
        Ok(found) => found.take(MOST_ADDRESSES).collect(),
        Err(error) => {
            // RFC 6761, section 6.4: no name ends so, whatever a resolver says.
            let reserved = host.trim_end_matches('.').to_ascii_lowercase().ends_with(".invalid");
            let text = error.to_string();
            let away = text.contains("emporary") && !reserved;
            let what = format!("`{shown}` cannot be found: {}", visible(&text));
            let fault = match away {
                true => {
                    let advice =
                        "the resolver does not answer: are you on line, behind a VPN or proxy?";
                    Fault::new("dns", Whose::Network, what, advice)
                }
                false => {
                    let advice =
                        "is the name spelled rightly, and known outside of its own network?";
                    Fault::new("dns", Whose::You, what, advice).exit(Exit::Unreachable)
                }
            };
            return Err(fault.next(again));
        }
    };
    if addresses.is_empty() {
        let what = format!("`{shown}` has no address");
        let advice = "is the name spelled rightly?";
        let fault = Fault::new("dns", Whose::You, what, advice);
        return Err(fault.exit(Exit::Unreachable).next(again));
    }
    let list: Vec<String> = addresses.iter().map(|one| one.ip().to_string()).collect();
    examination.passed("dns", format!("`{shown}` is at {}", list.join(", ")));
    Ok(addresses)
}

/// How many addresses of a name are tried.
const MOST_ADDRESSES: usize = 4;

async fn connect(
    place: &Place,
    addresses: &[SocketAddr],
    examination: &mut Examination,
) -> Result<TcpStream, Fault> {
    examination.looking(&format!("connecting to port {}", place.port));
    let mut last = None;
    for address in addresses {
        match timeout(examination.patience, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                examination.passed("tcp", format!("{address} accepts a connection"));
                return Ok(stream);
            }
            Ok(Err(error)) => last = Some((*address, Some(error))),
            Err(_) => last = Some((*address, None)),
        }
    }
    let shown = place.shown();
    let Some((address, error)) = last else {
        let fault = Fault::new("tcp", Whose::You, "there is no address to dial", "look at the URL");
        return Err(fault);
    };
    let port = place.port;
    let fault = match error {
        Some(error) if error.kind() == ErrorKind::ConnectionRefused && place.is_here() => {
            let what = format!("nothing listens at port {port} of this computer");
            let advice = "start the server, or look up the port that it prints when it starts";
            Fault::new("tcp", Whose::You, what, advice).next("ss -ltn")
        }
        Some(error) if error.kind() == ErrorKind::ConnectionRefused => {
            let what = format!("{address} refuses connections at port {port}");
            let advice = format!("the server is down, or `{shown}` is not its port");
            Fault::new("tcp", Whose::ServerOperator, what, advice)
        }
        Some(error) => {
            let what = format!("{address} cannot be connected to: {error}");
            let advice = "is there a way there: a VPN, IPv6, a route?";
            Fault::new("tcp", Whose::Network, what, advice)
        }
        None => {
            let seconds = examination.patience.as_secs();
            let what = format!("{address} did not accept a connection within {seconds} seconds");
            let advice = "a firewall on the way drops what is sent there, or the computer is off";
            Fault::new("tcp", Whose::Network, what, advice)
        }
    };
    Err(fault.exit(Exit::Unreachable))
}

async fn encrypt(
    place: &Place,
    stream: TcpStream,
    addresses: &[SocketAddr],
    examination: &mut Examination,
) -> Result<Dialled, Fault> {
    if !place.secure {
        return Ok(Dialled::plain(stream));
    }
    examination.looking("speaking TLS");
    let config = trusting()?;
    match timeout(examination.patience, speak_tls(&place.host, stream, config)).await {
        Err(_) => {
            let what = "the handshake of TLS did not end in time";
            let advice =
                "something at this port accepts connections and says nothing; look at the server";
            Err(Fault::new("tls", Whose::ServerOperator, what, advice).exit(Exit::Unreachable))
        }
        Ok(Ok(dialled)) => {
            let version = dialled.tls.as_deref().unwrap_or("TLS");
            examination.passed("tls", format!("{version}, and the certificate is good"));
            Ok(dialled)
        }
        Ok(Err(error)) => Err(tls_fault(place, addresses, &error, examination).await),
    }
}

/// Speaks TLS on a stream.
pub(super) async fn speak_tls(
    host: &str,
    stream: TcpStream,
    config: Arc<ClientConfig>,
) -> std::io::Result<Dialled> {
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| std::io::Error::other(error.to_string()))?;
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    Ok(Dialled::encrypted(stream))
}

/// TLS with the system's roots; those that browsers agree on where the system has none.
pub(super) fn trusting() -> Result<Arc<ClientConfig>, Fault> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions();
    let config = config.map_err(|error| {
        let what = format!("TLS cannot be set up: {error}");
        Fault::new("tls", Whose::You, what, "this is a fault of this program, report it")
    })?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

async fn tls_fault(
    place: &Place,
    addresses: &[SocketAddr],
    error: &std::io::Error,
    examination: &Examination,
) -> Fault {
    let host = visible(&place.host).into_owned();
    let look = format!(
        "openssl s_client -connect {}:{} -servername {}",
        quoted(&place.host),
        place.port,
        quoted(&place.host)
    );
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let operator = |what: String, advice: &str| {
        let fault = Fault::new("tls", Whose::ServerOperator, what, advice);
        fault.exit(Exit::Unreachable).next(look.clone())
    };
    match cause {
        Some(rustls::Error::InvalidCertificate(wrong)) => match wrong {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                let what = format!("the certificate of `{host}` has ended; it is {} here", clock());
                operator(what, "renew the certificate, if the clock of this computer is right")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                let what = format!(
                    "the certificate of `{host}` does not count yet; it is {} here",
                    clock()
                );
                let advice = "set the clock of this computer";
                Fault::new("tls", Whose::You, what, advice).next("timedatectl status")
            }
            CertificateError::NotValidForName => {
                let what = format!("the certificate is not for `{host}`");
                operator(what, "get a certificate for this name, or dial the name that it is for")
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                let names: Vec<_> =
                    presented.iter().take(5).map(|name| visible(name).into_owned()).collect();
                let what =
                    format!("the certificate is not for `{host}` but for {}", names.join(", "));
                operator(what, "get a certificate for this name, or dial the name that it is for")
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                let what = format!(
                    "nobody whom this computer trusts vouches for the certificate of `{host}`: it is \
                     self-signed, or of an authority that is unknown here"
                );
                operator(
                    what,
                    "get a certificate of a public authority and send the whole chain; for an \
                     authority of your own name its file in `SSL_CERT_FILE`",
                )
            }
            other => operator(
                format!(
                    "the certificate of `{host}` does not count: {}",
                    visible(&other.to_string())
                ),
                "get a certificate that is in order",
            ),
        },
        Some(rustls::Error::AlertReceived(alert)) => {
            let what = format!("`{host}` ended the handshake of TLS: {alert:?}");
            operator(what, "does it want a certificate of its clients, or a newer or older TLS?")
        }
        _ => {
            // What is no TLS breaks the handshake in many ways; what the port says tells.
            let banner = said::banner(addresses, place, examination.patience).await;
            let yours = |what: String, advice: &str, next: String| {
                Fault::new("tls", Whose::You, what, advice).exit(Exit::Unreachable).next(next)
            };
            match banner.as_deref() {
                Some(said) if said.starts_with("HTTP/") => {
                    let plain = place.origin.replacen("https:", "http:", 1);
                    let what = format!("port {} speaks plain HTTP, not TLS", place.port);
                    let next = quoted(&format!("{plain}{}", place.path));
                    let advice = "dial it with `http://`, or the port of TLS";
                    yours(what, advice, format!("etdi doctor -- {next}"))
                }
                Some(said) if said != "TLS" => {
                    let what = format!("port {} does not speak TLS, it says `{said}`", place.port);
                    yours(what, "another program listens there: is the port right?", look)
                }
                _ => {
                    let what =
                        format!("the handshake of TLS failed: {}", visible(&error.to_string()));
                    operator(what, "look at the server, or at a middlebox on the way that ends TLS")
                }
            }
        }
    }
}

/// The time of this computer, for people.
fn clock() -> String {
    httpdate::fmt_http_date(std::time::SystemTime::now())
}
