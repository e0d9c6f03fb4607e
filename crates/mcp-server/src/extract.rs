//! Parameters of a tool that come from the exchange, not from the model.

use std::ops::Deref;
use std::sync::Arc;

use mcp_types::{ErrorObject, TokenClaims};
use serde::de::DeserializeOwned;

use crate::Context;

/// A parameter that is taken from the exchange of a server with state `S`.
///
/// `#[tool]` takes a parameter this way when the last segment of its type is `Context`, `State`,
/// `Claims` or `Extension`, or when it carries `#[from_context]`; all others are arguments.
///
/// ```
/// use mcp_server::{Context, FromContext, types::ErrorObject, tool};
///
/// /// The language that the caller wants.
/// struct Language(String);
///
/// impl<S> FromContext<S> for Language {
///     fn from_context(cx: &Context<S>) -> Result<Self, ErrorObject> {
///         let wanted = cx.request().meta.get("com.example/language");
///         Ok(Self(wanted.and_then(|text| text.parse().ok()).unwrap_or_else(|| "en".into())))
///     }
/// }
///
/// /// Greets.
/// #[tool]
/// async fn greet(#[from_context] language: Language) -> String {
///     if language.0 == "fr" { "bonjour".into() } else { "hello".into() }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken from a server whose state is `{S}`",
    label = "the server has another state",
    note = "call `.state(...)` with the state that the tool wants before you register the tool; what you register after it sees that state alone",
    note = "parameters of your own type need `impl<S> FromContext<S> for {Self}`"
)]
pub trait FromContext<S>: Sized {
    /// Takes the value.
    ///
    /// # Errors
    ///
    /// What the peer is told when the value is not there; the tool then does not run.
    fn from_context(cx: &Context<S>) -> Result<Self, ErrorObject>;
}

impl<S> FromContext<S> for Context<S> {
    fn from_context(cx: &Context<S>) -> Result<Self, ErrorObject> {
        Ok(cx.clone())
    }
}

/// The server's state as a parameter; it dereferences to the state.
#[derive(Debug)]
pub struct State<S>(pub Arc<S>);

impl<S> FromContext<S> for State<S> {
    fn from_context(cx: &Context<S>) -> Result<Self, ErrorObject> {
        Ok(Self(cx.shared_state().clone()))
    }
}

impl<S> Deref for State<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

impl<S> Clone for State<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// What an outer layer put into the exchange, as a parameter.
///
/// A call that reaches the tool without it is refused as an internal error: the server was put
/// together without the layer.
#[derive(Debug, Clone)]
pub struct Extension<T>(pub Arc<T>);

impl<S, T: Send + Sync + 'static> FromContext<S> for Extension<T> {
    fn from_context(cx: &Context<S>) -> Result<Self, ErrorObject> {
        cx.request().extensions.get_shared().map(Self).ok_or_else(|| {
            let missing = std::any::type_name::<T>();
            tracing::error!(tool = cx.tool(), missing, "no layer put the extension in");
            ErrorObject::internal("the server lacks a layer that this tool needs")
        })
    }
}

/// The claims of the caller's access token, read as a type of the tool's own.
///
/// They are those of a token that a layer in front has verified: its issuer, audience and times hold
/// already, and what is read here is what an organisation adds. A call that reaches the tool without
/// a verified token, or with one whose claims are no `T`, is refused, and the tool does not run.
/// `Option<…>` in a field says that a claim may be missing.
///
/// ```
/// use mcp_server::{Claims, tool};
///
/// #[derive(serde::Deserialize)]
/// struct Employee {
///     department: String,
/// }
///
/// /// Says where the caller works.
/// #[tool]
/// async fn desk(claims: Claims<Employee>) -> String {
///     format!("in {}", claims.department)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Claims<T>(pub T);

impl<S, T: DeserializeOwned> FromContext<S> for Claims<T> {
    fn from_context(cx: &Context<S>) -> Result<Self, ErrorObject> {
        let Some(claims) = cx.request().extensions.get::<TokenClaims>() else {
            return Err(ErrorObject::invalid_request(
                "the tool wants to know who calls it, and the call came without an access token",
            ));
        };
        claims.read().map(Self).map_err(|error| {
            // Which claims an organisation uses is its own affair.
            tracing::warn!(tool = cx.tool(), %error, "the claims of a token do not fit the tool");
            ErrorObject::invalid_request("the access token lacks claims that this tool needs")
        })
    }
}

impl<T> Deref for Claims<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Deref for Extension<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
