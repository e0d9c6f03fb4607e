//! What the server offers: a tool, a resource and a prompt to begin with.

use mcp_server::{BuildError, Server, prompt, resource, server, tool};

/// Adds two numbers.
#[tool]
pub async fn add(a: f64, b: f64) -> f64 {
    a + b
}

/// Greets somebody by name.
#[resource("greeting://{name}", mime_type = "text/plain")]
pub async fn greeting(name: String) -> String {
    format!("Hello, {name}!")
}

/// Asks for a review of some code.
#[prompt]
pub async fn review(code: String) -> String {
    format!("Review this code, and name the gravest fault first:\n\n{code}")
}

/// The server with all of it.
///
/// # Errors
///
/// When two tools have one name, or one cannot describe itself.
pub fn build() -> Result<Server, BuildError> {
    server!().tool::<add>().resource::<greeting>().prompt::<review>().build()
}
