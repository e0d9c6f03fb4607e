//! One HTTP request to the server: headers, authorization, and what can go wrong before an answer.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, USER_AGENT, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use mcp_types::{ErrorObject, Origin};
use serde::{Deserialize, Serialize};

use super::HttpConnectOptions;
use super::answer::excerpt;
use crate::Error;
use crate::http::auth::{Authorize, Challenge, Reaction, Target};

#[cfg(not(feature = "tls"))]
type Connector = HttpConnector;
#[cfg(feature = "tls")]
type Connector = hyper_rustls::HttpsConnector<HttpConnector>;

/// A server's URL, and the connections to it.
pub(super) struct Endpoint {
    http: Client<Connector, Full<Bytes>>,
    pub(super) uri: Uri,
    /// The URL as messages may show it: without a query, which may hold a secret.
    pub(super) shown: String,
    headers: HeaderMap,
    authorize: Option<Arc<dyn Authorize>>,
}

/// How long a connection waits for its next request. Less than the five seconds after which
/// common servers close theirs, so that no request meets a connection that is just closing.
const IDLE: Duration = Duration::from_secs(4);

/// After which silence the system asks whether the other end is there.
const SILENCE: Duration = Duration::from_secs(60);

/// How often one request is tried again after a challenge.
const MOST_TRIES: u32 = 3;

impl Endpoint {
    /// Checks the URL and makes a connection pool, which opens nothing yet.
    pub(super) fn new(url: &str, options: &HttpConnectOptions) -> Result<Self, Error> {
        let refused = |reason: &str| Error::Url { url: url.to_owned(), reason: reason.to_owned() };
        // A fragment is the business of whoever shows the page.
        let url = url.split_once('#').map_or(url, |(url, _)| url);
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| {
            refused(&format!("{error}; expected a URL such as `http://127.0.0.1:8000/mcp`"))
        })?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(refused("expected a URL that starts with `http://` or `https://`")),
        };
        let host = uri.host().filter(|host| !host.is_empty());
        let (Some(_), Some(authority)) = (host, uri.authority()) else {
            return Err(refused("the URL names no host"));
        };
        if authority.as_str().contains('@') {
            return Err(Error::Url {
                url: format!("…@{}", authority.as_str().rsplit('@').next().unwrap_or_default()),
                reason: "a user name in the URL is not sent; give a header instead".to_owned(),
            });
        }
        let shown = shown(&uri);
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // A stream may be silent for hours, and its other end may be gone without a word.
        tcp.set_keepalive(Some(SILENCE));
        tcp.set_keepalive_interval(Some(SILENCE / 4));
        tcp.set_keepalive_retries(Some(4));
        tcp.set_connect_timeout(Some(options.connect_timeout));
        let connector = connector(tcp, secure, options).map_err(|reason| refused(&reason))?;
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http1_max_buf_size(options.most_head_bytes.max(LEAST_HEAD))
            .build(connector);
        let mut headers = options.headers.clone();
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(OURSELVES));
        Ok(Self { http, uri, shown, headers, authorize: options.authorize.clone() })
    }

    /// Sends a message of ours; see [`send`](Self::send).
    pub(super) async fn post(
        &self,
        uri: &Uri,
        protocol: &HeaderMap,
        message: Bytes,
        patience: Option<Duration>,
    ) -> Result<Response<Incoming>, ErrorObject> {
        self.send(&Method::POST, uri, protocol, message, patience).await
    }

    /// Asks for a stream of the server's messages.
    pub(super) async fn get(
        &self,
        protocol: &HeaderMap,
        patience: Option<Duration>,
    ) -> Result<Response<Incoming>, ErrorObject> {
        self.send(&Method::GET, &self.uri, protocol, Bytes::new(), patience).await
    }

    /// Sends one request, again where a challenge is met; gives any answer that is no challenge.
    ///
    /// Redirects are not followed: a request carries secrets, and whoever may read it was chosen by
    /// the user. `patience` is for the head of one answer: the time that an authorization takes, in
    /// which somebody may have to log in, is not the server's.
    pub(super) async fn send(
        &self,
        method: &Method,
        uri: &Uri,
        protocol: &HeaderMap,
        message: Bytes,
        patience: Option<Duration>,
    ) -> Result<Response<Incoming>, ErrorObject> {
        let target = Target { method, uri };
        for attempt in 0.. {
            let mut headers = self.headers.clone();
            if let Some(authorize) = &self.authorize {
                authorize.authorize(target, &mut headers).await?;
            }
            if *method == Method::POST {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert(ACCEPT, HeaderValue::from_static(BOTH));
            } else {
                headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
            }
            for (name, value) in protocol {
                headers.insert(name, value.clone());
            }
            let mut request = Request::new(Full::new(message.clone()));
            *request.method_mut() = method.clone();
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = headers;
            let authorization = request.headers().get(AUTHORIZATION).cloned();
            let answered = async { Some(self.http.request(request).await) };
            let answered = match patience {
                Some(patience) => tokio::time::timeout(patience, answered).await.unwrap_or(None),
                None => answered.await,
            };
            let response =
                answered.ok_or_else(|| self.late())?.map_err(|error| self.unreachable(&error))?;
            let Some(authorize) = &self.authorize else { return Ok(response) };
            let status = response.status();
            let challenged = status == StatusCode::UNAUTHORIZED
                || (status == StatusCode::FORBIDDEN
                    && response.headers().contains_key(WWW_AUTHENTICATE));
            if !challenged {
                authorize.answered(target, response.headers());
                return Ok(response);
            }
            if attempt >= MOST_TRIES {
                return Ok(response);
            }
            let headers = response.headers();
            let authorization = authorization.as_ref();
            let challenge = Challenge { target, status, headers, authorization, attempt };
            match authorize.challenged(challenge).await? {
                Reaction::TryAgain => {}
                Reaction::GiveUp => return Ok(response),
            }
        }
        Err(self.failed("is challenged without end"))
    }

    /// An error of the connection that says where.
    pub(super) fn failed(&self, what: &str) -> ErrorObject {
        ErrorObject::local(Origin::Connection, format!("`{}` {what}", self.shown))
    }

    /// An answer that the protocol does not allow.
    pub(super) fn broken(&self, what: &str) -> ErrorObject {
        ErrorObject::local(Origin::Protocol, format!("`{}` {what}", self.shown))
    }

    /// Nothing came in time.
    pub(super) fn late(&self) -> ErrorObject {
        let text = format!("`{}` did not answer in time", self.shown);
        ErrorObject::local(Origin::Timeout, text)
    }

    /// What an HTTP status says when there is no message of the protocol in the answer.
    pub(super) fn status(&self, head: &http::response::Parts, body: &[u8]) -> ErrorObject {
        let mut text = format!("answered {}", head.status);
        if head.status.is_redirection() {
            let to = head.headers.get(LOCATION).map(|to| excerpt(to.as_bytes()));
            text += &format!(
                "; redirects are not followed, use the server's own URL: {}",
                to.as_deref().unwrap_or("it names none")
            );
        } else if head.status == StatusCode::UNAUTHORIZED {
            text += "; it wants to know who asks";
        }
        match excerpt(body) {
            said if said.is_empty() => {}
            said => text += &format!(": {said}"),
        }
        // A success that says nothing of the protocol breaks it.
        let error = if head.status.is_success() { self.broken(&text) } else { self.failed(&text) };
        error.with_data(&Status { code: head.status.as_u16() })
    }

    fn unreachable(&self, error: &hyper_util::client::legacy::Error) -> ErrorObject {
        let mut reason = error.to_string();
        let mut source = error.source();
        // The innermost says what the system said; those between repeat it.
        while let Some(inner) = source {
            reason = inner.to_string();
            source = inner.source();
        }
        match error.is_connect() {
            true => self.failed(&format!("cannot be reached: {reason}; does the server run?")),
            false => self.failed(&format!("broke off before it answered: {reason}")),
        }
    }
}

/// What programs may want to know of an answer that was none of the protocol.
#[derive(Serialize, Deserialize)]
struct Status {
    #[serde(rename = "httpStatus")]
    code: u16,
}

/// The HTTP status for which an exchange failed, such as 401 where the server wants to know who
/// asks; `None` for any other failure, and for whatever a server says in the protocol.
pub fn http_status(error: &ErrorObject) -> Option<u16> {
    let found_here = matches!(error.origin, Origin::Connection | Origin::Protocol);
    let data = error.data.as_ref().filter(|_| found_here)?;
    data.parse::<Status>().ok().map(|status| status.code)
}

const BOTH: &str = "application/json, text/event-stream";
const OURSELVES: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Below this hyper does not start.
const LEAST_HEAD: usize = 8192;

/// The URL without its query.
fn shown(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{scheme}://{authority}{}", uri.path())
}

#[cfg(not(feature = "tls"))]
fn connector(
    tcp: HttpConnector,
    secure: bool,
    _: &HttpConnectOptions,
) -> Result<Connector, String> {
    match secure {
        true => Err("this program was built without TLS; turn on the feature `tls`".to_owned()),
        false => Ok(tcp),
    }
}

/// The roots of the system where there are any, else those that browsers agree on.
#[cfg(feature = "tls")]
fn connector(
    tcp: HttpConnector,
    secure: bool,
    options: &HttpConnectOptions,
) -> Result<Connector, String> {
    use hyper_rustls::HttpsConnectorBuilder;

    let ring = rustls::crypto::ring::default_provider;
    let builder = match &options.tls {
        Some(config) => {
            let mut config = (**config).clone();
            // The builder offers HTTP/1.1, which is what is spoken here, and panics over other plans.
            config.alpn_protocols.clear();
            HttpsConnectorBuilder::new().with_tls_config(config)
        }
        None => {
            // Reading the system's roots takes a while, so only who needs them waits for it.
            let system = secure
                .then(|| HttpsConnectorBuilder::new().with_provider_and_native_roots(ring()).ok());
            match system.flatten() {
                Some(builder) => builder,
                None => HttpsConnectorBuilder::new()
                    .with_provider_and_webpki_roots(ring())
                    .map_err(|error| format!("TLS cannot be set up: {error}"))?,
            }
        }
    };
    Ok(builder.https_or_http().enable_http1().wrap_connector(tcp))
}
