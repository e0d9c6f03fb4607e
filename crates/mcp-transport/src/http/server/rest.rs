//! A small door for programs that speak plain HTTP and no MCP: a tool is a POST.
//!
//! | request | answer |
//! |---|---|
//! | `POST /tools/{name}`, the arguments as a JSON object | the tool's result as MCP has it: `content`, `structuredContent` |
//! | `GET /tools` | `{"tools": […]}`, the whole listing |
//! | `GET /health` | `{"status": "ok"}` once the server can say who it is |
//!
//! Errors are problem details (RFC 9457). A call passes the same service, layers and guards as one
//! over MCP; what needs a conversation (questions to the user, progress, tasks) needs MCP.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use mcp_types::error::codes;
use mcp_types::{
    BoxFuture, CallToolRequestParams, ClientRequest, ContentBlock, ErrorObject, Exchange,
    ExchangeService, Items, ListToolsResult, Outcome, PaginatedRequestParams, RawText,
    RequestParams, ServerResult, Tool,
};
use serde::Serialize;
use tower_service::Service;

use super::body::{self, Answer, ResponseBody};
use super::call::status_of;
use super::entry;
use super::guard;
use super::options::HttpOptions;
use super::read::{Gathered, Unread};
use super::shared::Shared;
use crate::http::required_scopes;

/// Pages of a listing that are joined at most.
const MOST_PAGES: usize = 1000;

/// A service of exchanges as a few plain HTTP resources. Cheap to clone.
///
/// Nest it where it shall stand, such as axum's `nest_service("/api", RestServer::new(server))`.
/// `Host` and `Origin` are checked as for [`HttpServer`](super::HttpServer), and a body must be
/// declared as JSON, which a foreign web page cannot do without asking first.
#[derive(Clone)]
pub struct RestServer(Arc<Shared>);

impl RestServer {
    /// Puts `service` behind the door, with the default [`HttpOptions`].
    pub fn new(service: impl ExchangeService) -> Self {
        Self::with(service, HttpOptions::default())
    }

    /// Puts `service` behind the door; of the options those of hosts, origins, sizes and the gate matter
    /// here.
    pub fn with(service: impl ExchangeService, options: HttpOptions) -> Self {
        Self(Arc::new(Shared::new(service, options)))
    }
}

impl std::fmt::Debug for RestServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RestServer").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl<B: Body<Data: Send> + Send + 'static> Service<Request<B>> for RestServer {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            Ok(match shared.clone().rest(parts, body).await {
                Ok(answer) => answer,
                Err(problem) => {
                    let lacking = problem.lacking.clone();
                    let mut answer = problem.answer();
                    if let Some(scopes) = lacking {
                        shared.challenge(&mut answer, &scopes);
                    }
                    answer
                }
            })
        })
    }
}

/// Why a request is not served (RFC 9457).
struct Problem {
    status: StatusCode,
    detail: String,
    /// The error code of MCP, where one stands behind it.
    code: Option<i64>,
    allow: Option<&'static str>,
    retry_after: Option<u64>,
    /// The scopes that the sender lacks, where that is why.
    lacking: Option<Vec<String>>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let (detail, code, allow, retry_after, lacking) = (detail.into(), None, None, None, None);
        Self { status, detail, code, allow, retry_after, lacking }
    }

    fn of(error: &ErrorObject) -> Self {
        let status = match status_of(error.code) {
            // A code without a status of its own is a fault of whoever raised it.
            StatusCode::OK => StatusCode::INTERNAL_SERVER_ERROR,
            status => status,
        };
        let (code, retry_after) = (Some(error.code), crate::rate::retry_after(error));
        let lacking = required_scopes(error);
        Self { code, retry_after, lacking, ..Self::new(status, &*error.message) }
    }

    fn answer(self) -> Answer {
        #[derive(Serialize)]
        struct Details<'a> {
            title: &'a str,
            status: u16,
            detail: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            code: Option<i64>,
        }
        let title = self.status.canonical_reason().unwrap_or("Error");
        let (status, detail) = (self.status.as_u16(), &*self.detail);
        let mut answer = written(self.status, &Details { title, status, detail, code: self.code });
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        answer
    }
}

fn written(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(text) => body::json(status, text),
        Err(_) => body::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

impl Shared {
    async fn rest<B: Body>(self: Arc<Self>, mut parts: Parts, body: B) -> Result<Answer, Problem> {
        self.guard
            .check(&parts.uri, &parts.headers)
            .map_err(|refusal: guard::Refusal| Problem::new(refusal.status(), refusal.text()))?;
        if let Err(answer) = entry::pass(self.options.gate.as_deref(), &mut parts).await {
            return Ok(answer);
        }
        let path = parts.uri.path().trim_end_matches('/').to_owned();
        let (allow, name) = match (&*path, path.strip_prefix("/tools/")) {
            ("/health" | "/tools", _) => ("GET", None),
            (_, Some(name)) => ("POST", Some(name)),
            _ => {
                let text = "there is `POST /tools/{name}`, `GET /tools` and `GET /health`";
                return Err(Problem::new(StatusCode::NOT_FOUND, text));
            }
        };
        let head_of_get = allow == "GET" && parts.method == Method::HEAD;
        if parts.method != *allow && !head_of_get {
            let text = format!("`{path}` is asked by {allow}");
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, text);
            return Err(Problem { allow: Some(allow), ..problem });
        }
        match name {
            None if path == "/health" => self.health(parts).await,
            None => self.list(parts).await,
            Some(name) => {
                let arguments = self.arguments(&parts, body).await?;
                self.call_tool(parts, name, arguments).await
            }
        }
    }

    /// The body as an object; nothing is the empty one.
    async fn arguments<B: Body>(&self, parts: &Parts, body: B) -> Result<RawText, Problem> {
        let mut body = pin!(body);
        let mut gathered = Gathered::default();
        let most = self.options.frame.line;
        let bytes = poll_fn(|cx| gathered.poll(body.as_mut(), self.bodies(), cx)).await;
        let bytes = bytes.map_err(|why| match why {
            Unread::TooLarge => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is larger than {most} bytes"),
            ),
            Unread::TooSlow => {
                Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive")
            }
            Unread::Crowded => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "there is no room for another large body, try again later",
            ),
            Unread::Broken => Problem::new(StatusCode::BAD_REQUEST, "the body ended too early"),
        })?;
        let bad = |text: String| Problem::new(StatusCode::BAD_REQUEST, text);
        if bytes.is_empty() {
            return RawText::new("{}").map_err(|error| bad(error.to_string()));
        }
        guard::check_media(&parts.headers, false)
            .map_err(|refusal| Problem::new(refusal.status(), refusal.text()))?;
        let text = match self.options.frame.admit(bytes) {
            Some(Ok(text)) => text,
            Some(Err(fault)) => return Err(bad(fault.to_error().message.to_string())),
            None => return Err(bad("the body is empty".into())),
        };
        let no_json = |error| bad(format!("the arguments are no JSON: {error}"));
        let arguments = RawText::new(&*text).map_err(no_json)?;
        if arguments.is_object() {
            Ok(arguments)
        } else {
            Err(bad("the arguments are a JSON object, such as `{\"message\": \"hello\"}`".into()))
        }
    }

    async fn health(self: Arc<Self>, parts: Parts) -> Result<Answer, Problem> {
        #[derive(Serialize)]
        struct Health {
            status: &'static str,
        }
        match self.ask(&parts, ClientRequest::Discover(RequestParams::new())).await {
            Ok(_) => Ok(written(StatusCode::OK, &Health { status: "ok" })),
            Err(error) => {
                Err(Problem { status: StatusCode::SERVICE_UNAVAILABLE, ..Problem::of(&error) })
            }
        }
    }

    async fn list(self: Arc<Self>, parts: Parts) -> Result<Answer, Problem> {
        let tools = self.all_tools(&parts).await.map_err(|error| Problem::of(&error))?;
        Ok(written(StatusCode::OK, &ListToolsResult::new(tools)))
    }

    async fn all_tools(&self, parts: &Parts) -> Result<Items<Tool>, ErrorObject> {
        let (mut all, mut params) = (Vec::new(), PaginatedRequestParams::new());
        for _ in 0..MOST_PAGES {
            match self.ask(parts, ClientRequest::ListTools(params)).await? {
                ServerResult::ListTools(page) => {
                    all.extend(page.tools.iter().cloned());
                    params = PaginatedRequestParams::new();
                    params.cursor = page.next_cursor;
                }
                _ => return Err(ErrorObject::internal("the server did not list its tools")),
            }
            if params.cursor.is_none() {
                break;
            }
        }
        Ok(all.into())
    }

    async fn call_tool(
        self: Arc<Self>,
        parts: Parts,
        name: &str,
        arguments: RawText,
    ) -> Result<Answer, Problem> {
        let mut call = CallToolRequestParams::new(name);
        call.arguments = Some(arguments);
        match self.ask(&parts, ClientRequest::CallTool(call)).await {
            Ok(ServerResult::CallTool(result)) if result.is_error == Some(true) => {
                let said = result.content.iter().find_map(|block| match block {
                    ContentBlock::Text(text) => Some(&*text.text),
                    _ => None,
                });
                let detail = said.unwrap_or("the tool failed and did not say why");
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
            }
            Ok(ServerResult::CallTool(result)) => Ok(written(StatusCode::OK, &result)),
            Ok(_) => Err(Problem::of(&ErrorObject::internal("the server gave no tool's result"))),
            Err(error) if error.code == codes::INVALID_PARAMS => {
                // The code does not tell an unknown tool from another fault of the request.
                let known = self.all_tools(&parts).await;
                let known = known.is_ok_and(|tools| tools.iter().any(|tool| tool.name == name));
                let status = if known { StatusCode::BAD_REQUEST } else { StatusCode::NOT_FOUND };
                Err(Problem { status, ..Problem::of(&error) })
            }
            Err(error) => Err(Problem::of(&error)),
        }
    }

    /// Sends one request through the service behind, as whoever sent the HTTP request.
    async fn ask(
        &self,
        parts: &Parts,
        request: ClientRequest,
    ) -> Result<ServerResult, ErrorObject> {
        let mut exchange = Exchange::new(request);
        exchange.context.runtime = Some(self.runtime());
        super::modern::extend(&mut exchange.context.extensions, Arc::new(parts.clone()));
        let mut future: Pin<Box<_>> = Box::pin(self.call(exchange));
        let outcome = poll_fn(|cx| match crate::driver::guarded(|| future.as_mut().poll(cx)) {
            Ok(polled) => polled,
            Err(error) => Poll::Ready(Err(error)),
        });
        match outcome.await? {
            Outcome::Complete(result) => Ok(result),
            _ => Err(ErrorObject::new(
                codes::MISSING_CLIENT_CAPABILITY,
                "the tool asks its user something, which takes a client that speaks MCP",
            )),
        }
    }
}
