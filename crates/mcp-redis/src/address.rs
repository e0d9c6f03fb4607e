//! Where Redis is: one server, a cluster, or one that sentinels know.

use std::sync::Arc;
use std::time::Duration;

use redis::cluster::ClusterClientBuilder;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{
    SentinelClient, SentinelClientBuilder, SentinelNodeConnectionInfo, SentinelServerType,
};
use redis::{
    Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult,
    TlsCertificates, TlsMode, Value,
};

use zeroize::Zeroizing;

use crate::error::RedisError;
use crate::line::{Finder, Line};
use crate::patience::Patience;
use crate::shards::Shards;

/// Where Redis or Valkey is. Addresses are URLs: `redis://name:password@host:port/database`, or
/// `rediss://` over TLS, whose certificate has to name the host of the URL, and to be signed by one of the
/// system's authorities, or of those that [`Address::authorities`] names.
#[derive(Clone)]
pub struct Address {
    kind: Kind,
    authorities: Option<Vec<u8>>,
    /// A certificate and its key, in PEM.
    ours: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
}

#[derive(Clone)]
enum Kind {
    One(String),
    Cluster(Vec<String>),
    Sentinel { sentinels: Vec<String>, service: String },
}

impl Address {
    /// One server, such as `redis://127.0.0.1:6379`. A name is looked up anew whenever the connection breaks, or is
    /// silent for too long.
    pub fn one(url: impl Into<String>) -> Self {
        Self::of(Kind::One(url.into()))
    }

    /// A cluster, by some of its nodes; the others are found.
    pub fn cluster(urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::of(Kind::Cluster(urls.into_iter().map(Into::into).collect()))
    }

    /// The master of `service`, as the sentinels at these URLs say. User, password, database and TLS
    /// of the first URL are also those of the master. They are asked again when it is silent, or says that it
    /// is no master any more.
    pub fn sentinel(
        sentinels: impl IntoIterator<Item = impl Into<String>>,
        service: impl Into<String>,
    ) -> Self {
        let sentinels = sentinels.into_iter().map(Into::into).collect();
        Self::of(Kind::Sentinel { sentinels, service: service.into() })
    }

    /// Trusts these authorities, certificates in PEM, in place of the system's: for a Redis whose
    /// certificate an authority of one's own has signed. For `rediss://` alone: a URL without TLS is refused beside it.
    #[must_use]
    pub fn authorities(self, pem: impl Into<Vec<u8>>) -> Self {
        Self { authorities: Some(pem.into()), ..self }
    }

    /// Shows this certificate, with those of the authorities between it and the one that Redis trusts, and proves that
    /// the key is ours, both in PEM: for a Redis that asks for one (`tls-auth-clients yes`). Members of a cluster,
    /// sentinels and the master that they name are all shown it. For `rediss://` alone, as the authorities are. Rustls takes a key of PKCS #8, PKCS #1
    /// or SEC 1 that no password protects.
    ///
    /// ```no_run
    /// # fn example() -> std::io::Result<mcp_redis::Address> {
    /// use std::fs::read;
    ///
    /// let address = mcp_redis::Address::one("rediss://redis.internal:6379")
    ///     .authorities(read("/etc/shop/authority.pem")?)
    ///     .certificate(read("/etc/shop/node.pem")?, read("/etc/shop/node.key")?);
    /// # Ok(address) }
    /// ```
    #[must_use]
    pub fn certificate(self, pem: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self { ours: Some((pem.into(), Zeroizing::new(key.into()))), ..self }
    }

    fn of(kind: Kind) -> Self {
        Self { kind, authorities: None, ours: None }
    }

    /// What the client of Redis is to trust and to show, `None` for what the system trusts and nothing.
    fn certificates(&self) -> Option<TlsCertificates> {
        if !self.names_certificates() {
            return None;
        }
        let client_tls = self.ours.as_ref().map(|(certificate, key)| ClientTlsConfig {
            client_cert: certificate.clone(),
            client_key: key.to_vec(),
        });
        Some(TlsCertificates { client_tls, root_cert: self.authorities.clone() })
    }

    /// Whether something is to be trusted or shown that is for TLS alone.
    pub(crate) fn names_certificates(&self) -> bool {
        self.authorities.is_some() || self.ours.is_some()
    }

    pub(crate) fn urls(&self) -> &[String] {
        match &self.kind {
            Kind::One(url) => std::slice::from_ref(url),
            Kind::Cluster(urls) | Kind::Sentinel { sentinels: urls, .. } => urls,
        }
    }

    /// The name of the master that sentinels know.
    pub(crate) fn service(&self) -> Option<&str> {
        match &self.kind {
            Kind::Sentinel { service, .. } => Some(service),
            Kind::One(_) | Kind::Cluster(_) => None,
        }
    }

    /// Connects, within `timeout` for each step.
    pub(crate) async fn connect(&self, timeout: Duration) -> Result<Connection, RedisError> {
        if self.urls().iter().any(|url| url.starts_with("rediss:") || url.starts_with("valkeys:")) {
            // The client of Redis takes the provider of the process. One that the application
            // installed before is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let sorted = |error| RedisError::of(error, timeout);
        match &self.kind {
            Kind::One(url) => {
                let server = url.as_str().into_connection_info().map_err(sorted)?;
                let server = server.set_tcp_settings(tcp(timeout));
                let client = match self.certificates() {
                    Some(trusted) => Client::build_with_tls(server, trusted),
                    None => Client::open(server),
                };
                let line = Line::new(Finder::Address(client.map_err(sorted)?), timeout);
                line.connect().await.map_err(sorted)?;
                Ok(Connection::Line(line))
            }
            Kind::Cluster(urls) => {
                let mut client = ClusterClientBuilder::new(urls.iter().map(String::as_str));
                if let Some(trusted) = self.certificates() {
                    client = client.certs(trusted);
                }
                let client = client
                    .connection_timeout(timeout)
                    .response_timeout(Patience::most(timeout))
                    .tcp_settings(tcp(timeout))
                    // Following a key to where it moved counts as one.
                    .retries(3)
                    .build()
                    .map_err(sorted)?;
                let shards = Shards::connect(client, timeout).await.map_err(sorted)?;
                Ok(Connection::Cluster(shards))
            }
            Kind::Sentinel { sentinels, service } => {
                let first = sentinels.first().map_or("", String::as_str);
                let first = first.into_connection_info().map_err(sorted)?;
                let tls = match first.addr() {
                    ConnectionAddr::TcpTls { .. } => Some(TlsMode::Secure),
                    _ => None,
                };
                let mut node = SentinelNodeConnectionInfo::default()
                    .set_tcp_settings(tcp(timeout))
                    .set_redis_connection_info(first.redis_settings().clone());
                if let Some(tls) = tls {
                    node = node.set_tls_mode(tls);
                }
                let client = match self.certificates() {
                    Some(trusted) => trusting(sentinels, service, &first, trusted, timeout),
                    None => {
                        let sentinels = sentinels.iter().map(String::as_str).collect();
                        let master = SentinelServerType::Master;
                        SentinelClient::build(sentinels, service, Some(node), master)
                    }
                };
                let line = Line::new(Finder::Sentinels(client.map_err(sorted)?), timeout);
                line.connect().await.map_err(sorted)?;
                Ok(Connection::Line(line))
            }
        }
    }
}

/// A client of sentinels which trusts, and shows, these certificates to them and to the master.
fn trusting(
    sentinels: &[String],
    service: &str,
    first: &ConnectionInfo,
    trusted: TlsCertificates,
    timeout: Duration,
) -> RedisResult<SentinelClient> {
    let addresses = sentinels
        .iter()
        .map(|url| Ok(url.as_str().into_connection_info()?.addr().clone()))
        .collect::<RedisResult<Vec<_>>>()?;
    let settings = first.redis_settings();
    let mut client = SentinelClientBuilder::new(addresses, service, SentinelServerType::Master)?
        .set_client_to_sentinel_certificates(trusted.clone())
        .set_client_to_redis_certificates(trusted)
        .set_client_to_redis_tls_mode(TlsMode::Secure)
        .set_client_to_redis_tcp_settings(tcp(timeout))
        .set_client_to_redis_db(settings.db());
    if let Some(name) = settings.username() {
        client = client.set_client_to_sentinel_username(name).set_client_to_redis_username(name);
    }
    if let Some(word) = settings.password() {
        client = client.set_client_to_sentinel_password(word).set_client_to_redis_password(word);
    }
    client.build()
}

/// The longest such time. Linux takes no more than 24 days.
#[cfg(target_os = "linux")]
const LONGEST: Duration = Duration::from_hours(24);

/// A command leaves at once, whatever is still on its way; a connection whose other end vanished without a
/// word is given up, and made anew, where the system can tell.
fn tcp(timeout: Duration) -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(Patience::most(timeout).min(LONGEST));
    settings
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // URLs have passwords in them.
        f.write_str(match &self.kind {
            Kind::One(_) => "one server",
            Kind::Cluster(_) => "a cluster",
            Kind::Sentinel { .. } => "a server that sentinels know",
        })
    }
}

/// A connection that mends itself, shared by all stores.
#[derive(Clone)]
pub(crate) enum Connection {
    Line(Arc<Line>),
    Cluster(Arc<Shards>),
}

impl Connection {
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    pub(crate) async fn query(&self, cmd: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Line(line) => line.query(cmd).await,
            Self::Cluster(shards) => shards.query(cmd).await,
        }
    }

    /// The number of the line that is in use now; a cluster has lines of its own.
    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Self::Line(line) => line.number(),
            Self::Cluster(_) => None,
        }
    }

    /// No more commands go over the line of this number, which was silent for too long. In a cluster whoever has
    /// the key that was asked for is looked for anew.
    pub(crate) fn leave(&self, number: Option<u64>, key: Option<&[u8]>) {
        match (self, number, key) {
            (Self::Line(line), Some(number), _) => line.leave(number),
            (Self::Cluster(shards), _, Some(key)) => shards.search(key.to_vec()),
            _ => {}
        }
    }
}
