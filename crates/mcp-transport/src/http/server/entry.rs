//! What stands before a request is read: host and origin, what everybody may read, and the gate.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, HOST, ORIGIN, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use mcp_types::{BoxFuture, ErrorObject, Extensions};

use super::State;
use super::body::{self, Answer};
use super::guard::Refusal;
use super::shared::Shared;
use crate::http::{Admission, Refused};

/// A gate that has to ask somebody first.
pub(super) type Asking = BoxFuture<'static, Result<Extensions, Refused>>;

impl Shared {
    /// Refuses a request before its body is read, or answers it if it has none.
    pub(super) fn enter(
        self: &Arc<Self>,
        mut parts: Parts,
        page: Option<&HeaderValue>,
    ) -> Result<State, Answer> {
        self.check_origin(&parts)?;
        if let Some(answer) = self.document(&parts) {
            return Err(answer);
        }
        // A browser that asks beforehand sends no credentials (Fetch, "CORS protocol").
        let gate = self.options.gate.as_ref().filter(|_| parts.method != Method::OPTIONS);
        let Some(gate) = gate else { return self.admit(Arc::new(parts), page) };
        match gate.admit(&parts) {
            Admission::Now(Err(refused)) => Err(told(refused)),
            Admission::Now(Ok(found)) => {
                parts.extensions.insert(found);
                self.admit(Arc::new(parts), page)
            }
            Admission::Later(asking) => {
                Ok(State::Entering { shared: self.clone(), parts: Some(parts), asking })
            }
        }
    }

    fn check_origin(&self, parts: &Parts) -> Result<(), Answer> {
        self.guard.check(&parts.uri, &parts.headers).map_err(|refusal| {
            let (host, origin) = (parts.headers.get(HOST), parts.headers.get(ORIGIN));
            // Escaped by `Debug`: both come from outside.
            tracing::warn!(
                ?host,
                ?origin,
                "a request is refused: {}, by `HttpOptions::allow_host` and `allow_origin`",
                refusal.text()
            );
            refused(refusal)
        })
    }

    /// Whether everybody may read what is under this path.
    pub(super) fn is_document(&self, path: &str) -> bool {
        self.documents.iter().any(|document| *document.path == *path)
    }

    fn document(&self, parts: &Parts) -> Option<Answer> {
        if parts.method != Method::GET || self.documents.is_empty() {
            return None;
        }
        let path = full_path(parts);
        let document = self.documents.iter().find(|document| *document.path == *path)?;
        let mut answer = body::json(StatusCode::OK, document.body.clone());
        let fresh = HeaderValue::from_static("public, max-age=300");
        answer.headers_mut().insert(CACHE_CONTROL, fresh);
        Some(answer)
    }

    /// Adds the gate's challenge to an answer that wants scopes.
    pub(super) fn challenge(&self, answer: &mut Answer, scopes: &[String]) {
        let challenge = self.options.gate.as_ref().and_then(|gate| gate.step_up(scopes));
        if let Some(challenge) = challenge {
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
    }
}

/// Asks a gate, where there is one, and keeps what it found beside the request; for doors that are
/// asynchronous anyway.
#[cfg(any(feature = "rest", feature = "sse"))]
pub(super) async fn pass(
    gate: Option<&dyn crate::http::Gate>,
    parts: &mut Parts,
) -> Result<(), Answer> {
    let Some(gate) = gate else { return Ok(()) };
    let found = gate.admit(parts).settled().await.map_err(told)?;
    parts.extensions.insert(found);
    Ok(())
}

/// The answer to a request that a gate does not let in.
pub(super) fn told(refused: Refused) -> Answer {
    let mut answer = body::json(refused.status(), refused.body());
    answer.headers_mut().extend(refused.headers().clone());
    answer
}

pub(super) fn refused(refusal: Refusal) -> Answer {
    body::error(refusal.status(), None, &ErrorObject::invalid_request(refusal.text()))
}

/// The path as the client wrote it, although a router in front took a prefix off.
#[cfg(feature = "axum")]
pub(super) fn full_path(parts: &Parts) -> &str {
    let original = parts.extensions.get::<axum::extract::OriginalUri>();
    original.map_or_else(|| parts.uri.path(), |uri| uri.0.path())
}

/// The path.
#[cfg(not(feature = "axum"))]
pub(super) fn full_path(parts: &Parts) -> &str {
    parts.uri.path()
}
