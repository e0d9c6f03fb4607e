//! Two MCP servers, the application's own route, state and layer, in one axum application.
//!
//! `two_servers_one_app [ADDRESS]` serves on `127.0.0.1:8000`:
//!
//! | where | what |
//! |---|---|
//! | `/echo`, `/math` | a server each |
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
use mcp_server::{Extension, server, tool};
use mcp_transport::LimitsLayer;
use mcp_transport::http::server::{HttpOptions, HttpServer};
use tower_layer::Layer as _;

/// Gives its message back.
#[tool]
async fn echo(request: Extension<Parts>, message: String) -> String {
    match request.extensions.get() {
        Some(RequestNumber(number)) => format!("{message} (request {number})"),
        None => message,
    }
}

/// Adds two numbers.
#[tool]
async fn add(a: f64, b: f64) -> f64 {
    a + b
}

/// What the application's layer tells whoever comes after it, tools among them.
#[derive(Debug, Clone)]
struct RequestNumber(u64);

/// The application's own state, beside the servers that it hands out.
struct App {
    requests: AtomicU64,
    echo: HttpServer,
    math: HttpServer,
}

impl App {
    fn new() -> anyhow::Result<Self> {
        let echo = server!().tool::<echo>().build()?;
        let math = server!().tool::<add>().build()?;
        let requests = AtomicU64::new(0);
        Ok(Self {
            requests,
            echo: mounted(echo, "echo.localhost"),
            math: mounted(math, "math.localhost"),
        })
    }

    fn router(self: &Arc<Self>) -> Router {
        let versioned = Router::new().route_service("/math", self.math.clone());
        Router::new()
            .route_service("/echo", self.echo.clone())
            .route_service("/math", self.math.clone())
            .nest("/api", Router::new().nest("/v1", versioned))
            .route("/mcp", any(by_host))
            .route("/health", get(health))
            .layer(from_fn_with_state(self.clone(), count))
            .with_state(self.clone())
    }
}

/// A server that may also be reached under `host`; others are refused, for a page in a browser
/// could else reach it under a name of its own.
fn mounted(service: impl ExchangeService, host: &str) -> HttpServer {
    HttpServer::with(LimitsLayer::new().layer(service), HttpOptions::default().allow_host(host))
}

/// Chooses a server by the name under which the application was asked.
async fn by_host(State(app): State<Arc<App>>, request: Request) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let server = match host.and_then(|host| host.split(':').next()) {
        Some("echo.localhost") => &app.echo,
        Some("math.localhost") => &app.math,
        _ => return (StatusCode::NOT_FOUND, "there is no server of this name").into_response(),
    };
    server.serve(request).await.into_response()
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
    eprintln!("http://{}/echo", listener.local_addr()?);
    let router = app.router();
    let stop = async move {
        // Without a signal handler the application serves until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        // Streams last as long as their clients want, and would hold up the shutdown.
        app.echo.close_streams();
        app.math.close_streams();
    };
    Ok(axum::serve(listener, router).with_graceful_shutdown(stop).await?)
}
