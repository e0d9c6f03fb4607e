//! Where a gateway is served, and who is let in.

use std::net::SocketAddr;
use std::sync::Arc;

use etdi::Gateway;
use etdi::core::change::visible;
use etdi_oauth::resource::Protected;
use etdi_oauth::{ApiKeys, GuardedFetch, Issuer, JwtVerifier, Rules};
use mcp_transport::http::server::{HttpOptions, HttpServer, serve_http};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::file::{Auth, GatewayFile};
use super::{is_local, say};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::output::Output;
use crate::verbs::target::{audit, shown_path};

/// The way in.
pub(super) struct Door {
    http: Option<Http>,
    /// The file, as it is typed.
    path: String,
}

struct Http {
    address: SocketAddr,
    url: Option<String>,
    auth: Option<Auth>,
    hosts: Vec<String>,
    origins: Vec<String>,
    trail: Option<Arc<etdi::core::audit::AuditFile>>,
}

impl Door {
    /// The way in that a file describes, at this address or on standard streams.
    ///
    /// # Errors
    ///
    /// When strangers could call, or what is said of it cannot be.
    pub(super) fn of(
        file: &GatewayFile,
        address: Option<SocketAddr>,
        home: &Home,
    ) -> Result<Self, Failure> {
        let path = shown_path(&file.path);
        let Some(address) = address else { return Ok(Self { http: None, path }) };
        let shows = format!("cat {path}");
        let refuse = |why: &str| Failure::usage(why, &*shows).with_code("GATEWAY_FILE");
        let auth = file.auth.as_ref().map(|auth| Auth {
            issuer: auth.issuer.clone(),
            audience: auth.audience.clone(),
            scopes: auth.scopes.clone(),
            api_keys: auth.api_keys.clone(),
            line: auth.line,
        });
        if auth.is_none() && !is_local(&address) {
            return Err(refuse(&format!(
                "`{address}` can be reached from other computers, and nobody has to log in: say in \
                 `gateway.auth` of {path} who may call, or listen at 127.0.0.1"
            )));
        }
        if auth.is_none()
            && let Some(url) = file.url.as_deref().filter(|url| !leads_here(url))
        {
            return Err(refuse(&format!(
                "clients elsewhere know it as `{}`, and nobody has to log in: say in `gateway.auth` of \
                 {path} who may call, or leave `gateway.url` out",
                visible(url)
            )));
        }
        if auth.is_some() && file.url.is_none() && !is_local(&address) {
            return Err(refuse(&format!(
                "tokens for `{address}` would travel in the clear: put a proxy with TLS in front, and \
                 its `https` URL into `gateway.url` of {path}"
            )));
        }
        let trail = auth.as_ref().map(|_| audit(home)).transpose()?.map(Arc::new);
        let (hosts, origins) = (file.allow_host.clone(), file.allow_origin.clone());
        let http = Http { address, url: file.url.clone(), auth, hosts, origins, trail };
        // What cannot be is known before anything listens.
        http.protected(&http.url_at(address)).map_err(|why| refuse(&format!("{path}: {why}")))?;
        Ok(Self { http: Some(http), path })
    }

    /// Serves until the client is gone, or for ever.
    ///
    /// # Errors
    ///
    /// When nothing can listen there, or the stream fails.
    pub(super) async fn serve(self, gateway: Gateway, output: Output) -> Result<(), Failure> {
        let Self { path, .. } = self;
        let next = format!("etdi gateway {path} --check");
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Unreachable, error.to_string(), &*next).with_code("NOT_SERVED")
        };
        let Some(http) = self.http else {
            let io = mcp_transport::stdio().map_err(|error| failed(&error))?;
            return gateway.serve(io).await.map_err(|error| failed(&error));
        };
        let unserved = |error: std::io::Error| {
            // Another address; what is in the file is in order.
            let next = format!("etdi gateway {path} --http 127.0.0.1:0");
            let message = format!("nothing can listen at `{}`: {error}", http.address);
            Failure::new(Exit::Unreachable, message, next).with_code("NOT_SERVED")
        };
        let listener = TcpListener::bind(http.address).await.map_err(unserved)?;
        let place = listener.local_addr().map_err(|error| failed(&error))?;
        let url = http.url_at(place);
        let mut options = HttpOptions::default();
        for host in http.hosts.iter().map(String::as_str).chain(host_of(&url)) {
            options = options.allow_host(host);
        }
        for origin in &http.origins {
            options = options.allow_origin(origin);
        }
        let protected = http.protected(&url).map_err(|why| failed(&why))?;
        let gatewayed = gateway.open().map_err(|error| failed(&error))?;
        let server = match &protected {
            Some(protected) => protected.http(gatewayed.clone(), options),
            None => HttpServer::with(gatewayed.clone(), options),
        };
        if !is_local(&place) {
            output.warn(&format!("`{}` speaks HTTP without TLS, which a proxy has to add", place));
        }
        say(&url);
        let served = serve_http(server, listener, std::future::pending()).await;
        gatewayed.close().await;
        served.map_err(|error| failed(&error))
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        let Some(http) = &self.http else { return "on standard streams:".to_owned() };
        let who = match &http.auth {
            None => "whoever is on this computer may call".to_owned(),
            Some(auth) => {
                let tokens = auth.issuer.as_ref().map(|issuer| format!("tokens of {issuer}"));
                let keys =
                    auth.api_keys.as_ref().map(|path| format!("keys of {}", shown_path(path)));
                let scopes = match auth.scopes.is_empty() {
                    true => String::new(),
                    false => format!(" with {}", auth.scopes.join(" ")),
                };
                let shown: Vec<_> = tokens.into_iter().chain(keys).collect();
                format!("{}{scopes} let in", shown.join(" and "))
            }
        };
        visible(&format!("at {}, {who}:", http.url_at(http.address))).into_owned()
    }

    /// For programs.
    pub(super) fn data(&self) -> Value {
        let Some(http) = &self.http else { return json!({ "transport": "stdio" }) };
        let auth = http.auth.as_ref().map(|auth| {
            json!({
                "issuer": auth.issuer, "scopes": auth.scopes,
                "audience": auth.issuer.as_ref().map(|_| auth.audience(&http.url_at(http.address))),
                "api_keys": auth.api_keys.as_ref().map(|path| path.display().to_string()),
            })
        });
        json!({
            "transport": "http", "address": http.address.to_string(),
            "url": http.url_at(http.address), "auth": auth,
        })
    }
}

impl Http {
    fn url_at(&self, place: SocketAddr) -> String {
        self.url.clone().unwrap_or_else(|| format!("http://{place}/mcp"))
    }

    /// Who is let in; nothing where everybody is.
    fn protected(&self, url: &str) -> Result<Option<Protected>, String> {
        let Some(auth) = &self.auth else { return Ok(None) };
        let text = |error: &dyn std::fmt::Display| {
            format!("`gateway.auth` in line {}: {error}", auth.line)
        };
        let keys = match &auth.api_keys {
            None => None,
            Some(path) if !path.is_file() => {
                let why = format!("there is no file {}", shown_path(path));
                return Err(text(&why));
            }
            Some(path) => Some(ApiKeys::open(path).map_err(|error| text(&error))?),
        };
        let protected = match &auth.issuer {
            Some(issuer) => {
                let mut rules = Rules::default();
                // An issuer on this machine counts only for a gateway that is itself on it alone.
                rules.loopback = url.starts_with("http://");
                let fetch = Arc::new(GuardedFetch::new(rules));
                let issuer = Issuer::new(issuer, auth.audience(url));
                let verifier = JwtVerifier::new(issuer, fetch).map_err(|error| text(&error))?;
                let protected = Protected::new(url, verifier).map_err(|error| text(&error))?;
                match keys {
                    Some(keys) => protected.api_keys("X-API-Key", keys),
                    None => Ok(protected),
                }
            }
            None => Protected::by_api_keys(url, keys.unwrap_or_default()),
        };
        let protected = protected.and_then(|protected| protected.require(auth.scopes.clone()));
        let mut protected = protected.map_err(|error| text(&error))?;
        if let Some(trail) = &self.trail {
            protected = protected.auditor(trail.clone());
        }
        Ok(Some(protected))
    }
}

impl Auth {
    /// For whom tokens have to be.
    fn audience(&self, url: &str) -> String {
        self.audience.clone().unwrap_or_else(|| url.to_owned())
    }
}

/// Whether a URL is one of this computer alone.
fn leads_here(url: &str) -> bool {
    let host = host_of(url).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The host of a URL, which a proxy in front passes on.
fn host_of(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = match authority.strip_prefix('[') {
        Some(v6) => return authority.get(..v6.find(']')? + 2),
        None => authority.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}
