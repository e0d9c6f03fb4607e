//! Two MCP servers, the application's own route, state and layer, in one axum application.
//!
//! `two_servers_one_app [ADDRESS]` serves on `127.0.0.1:8000`:
//!
//! | where | what |
//! |---|---|
//! | `/echo/mcp`, `/math/mcp` | a server each |
//! | `/echo/sse`, `/math/sse` | the same for clients of 2024, which need a stream (HTTP+SSE) |
//! | `/api/v1/math` | the second one again, nested twice |
//! | `/mcp` | by host name: `echo.localhost`, `math.localhost` |
//! | `/health` | the application itself |
//!
//! A server is a service like any other: nothing has to be started before it is mounted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use mcp_server::types::ExchangeService;
use mcp_server::{Extension, prompt, resource, server, tool};
use mcp_transport::LimitsLayer;
use mcp_transport::http::server::{HttpOptions, HttpServer, SseServer};
use tower_layer::Layer as _;

/// Echoes a message as a tool.
#[tool]
async fn echo(request: Extension<Parts>, message: String) -> String {
    match request.extensions.get() {
        Some(RequestNumber(number)) => format!("Tool echo: {message} (request {number})"),
        None => format!("Tool echo: {message}"),
    }
}

/// Echoes a message as a resource.
#[resource("echo://{message}")]
async fn echo_resource(message: String) -> String {
    format!("Resource echo: {message}")
}

/// Creates an echo prompt.
#[prompt]
async fn echo_prompt(message: String) -> String {
    format!("Please process this message: {message}")
}

/// Adds two to a number.
#[tool]
async fn add_two(n: i64) -> i64 {
    n.saturating_add(2)
}

/// What the application's layer tells whoever comes after it, tools among them.
#[derive(Debug, Clone)]
struct RequestNumber(u64);

/// One MCP server, behind both kinds of HTTP.
struct Doors {
    http: HttpServer,
    sse: SseServer,
}

impl Doors {
    /// Besides `localhost` the server answers to `host` alone, for a page in a browser could else
    /// reach it under a name of its own.
    fn new(service: impl ExchangeService, host: &str) -> Self {
        let service = LimitsLayer::new().layer(service);
        let options = HttpOptions::default().allow_host(host);
        Self {
            http: HttpServer::with(service.clone(), options.clone()),
            sse: SseServer::with(service, options),
        }
    }

    fn router(&self) -> Router<Arc<App>> {
        Router::new().route_service("/mcp", self.http.clone()).fallback_service(self.sse.clone())
    }

    /// Ends streams, which last as long as their clients want and would hold up a shutdown.
    fn close(&self) {
        self.http.close_streams();
        self.sse.close_streams();
    }
}

/// The application's own state, beside the servers that it hands out.
struct App {
    requests: AtomicU64,
    echo: Doors,
    math: Doors,
}

impl App {
    fn new() -> anyhow::Result<Self> {
        let echo =
            server!().tool::<echo>().resource::<echo_resource>().prompt::<echo_prompt>().build()?;
        let math = server!().tool::<add_two>().build()?;
        let (echo, math) = (Doors::new(echo, "echo.localhost"), Doors::new(math, "math.localhost"));
        Ok(Self { requests: AtomicU64::new(0), echo, math })
    }

    fn router(self: &Arc<Self>) -> Router {
        let versioned = Router::new().route_service("/math", self.math.http.clone());
        Router::new()
            .nest("/echo", self.echo.router())
            .nest("/math", self.math.router())
            .nest("/api", Router::new().nest("/v1", versioned))
            .route("/mcp", any(by_host))
            .route("/health", get(health))
            .layer(from_fn_with_state(self.clone(), count))
            .with_state(self.clone())
    }
}

/// Chooses a server by the name under which the application was asked.
async fn by_host(State(app): State<Arc<App>>, request: Request) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let doors = match host.and_then(|host| host.split(':').next()) {
        Some("echo.localhost") => &app.echo,
        Some("math.localhost") => &app.math,
        _ => return (StatusCode::NOT_FOUND, "there is no server of this name").into_response(),
    };
    doors.http.serve(request).await.into_response()
}

async fn health(State(app): State<Arc<App>>) -> String {
    format!("{} requests", app.requests.load(Ordering::Relaxed))
}

/// A layer of the application around everything.
async fn count(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let number = app.requests.fetch_add(1, Ordering::Relaxed) + 1;
    request.extensions_mut().insert(RequestNumber(number));
    next.run(request).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let app = Arc::new(App::new()?);
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    eprintln!("http://{}/echo/mcp", listener.local_addr()?);
    let router = app.router();
    let stop = async move {
        // Without a signal handler the application serves until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        app.echo.close();
        app.math.close();
    };
    Ok(axum::serve(listener, router).with_graceful_shutdown(stop).await?)
}
