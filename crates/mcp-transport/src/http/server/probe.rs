//! Paths at which a balancer, or whatever starts servers, asks how this one is.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use http::header::{ALLOW, CACHE_CONTROL};
use http::{HeaderValue, Method, StatusCode};
use mcp_types::BoxFuture;

use super::{Answer, HttpOptions, Shared, State, body};

/// One such path, and what knows the answer.
#[derive(Clone)]
pub(super) struct Probe {
    pub(super) path: String,
    ready: Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>,
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl HttpOptions {
    /// Answers a GET or HEAD of `path`, which begins with `/`, by whether `ready` says so: 200 with
    /// `{"ready":true}` or 503 with `{"ready":false}`.
    ///
    /// For whoever asks, under any `Host` (a balancer asks by address) and before a
    /// [`HttpOptions::gate`]: it tells no more than that. `ready` is asked each time and is to be quick
    /// and bounded, as `RedisStores::health` of `mcp-redis` is. A path that is that of the endpoint or
    /// of a document is never reached.
    ///
    /// ```
    /// use mcp_transport::http::server::HttpOptions;
    ///
    /// // That the process answers at all is what matters here.
    /// let options = HttpOptions::default().probe("/live", || async { true });
    /// ```
    #[must_use]
    pub fn probe<F>(
        mut self,
        path: impl Into<String>,
        ready: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = bool> + Send + 'static,
    {
        let ready = Arc::new(move || -> BoxFuture<'static, bool> { Box::pin(ready()) });
        self.probes.push(Probe { path: path.into(), ready });
        self
    }
}

impl Shared {
    pub(super) fn is_probe(&self, path: &str) -> bool {
        self.options.probes.iter().any(|probe| probe.path == path)
    }

    /// The answer to who asks how the server is; `None` under any other path.
    pub(super) fn probed(&self, method: &Method, path: &str) -> Option<State> {
        let probe = self.options.probes.iter().find(|probe| probe.path == path)?;
        if path == self.options.path || self.is_document(path) {
            return None;
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut answer = body::empty(StatusCode::METHOD_NOT_ALLOWED);
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(State::answered(answer));
        }
        let ready = (probe.ready)();
        Some(State::Waiting { answer: Box::pin(async move { answer(ready.await) }) })
    }
}

fn answer(ready: bool) -> Answer {
    let mut answer = match ready {
        true => body::json(StatusCode::OK, r#"{"ready":true}"#),
        false => body::json(StatusCode::SERVICE_UNAVAILABLE, r#"{"ready":false}"#),
    };
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
