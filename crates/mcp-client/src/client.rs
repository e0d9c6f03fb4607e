//! One method for each request of the specification.

use std::future::poll_fn;
use std::sync::Arc;

use mcp_types::{
    CallToolResult, ClientRequest, DiscoverResult, Exchange, ExchangeService, ListToolsResult,
    Listed, Outcome, PaginatedRequestParams, RequestParams, ServerResult, Tool,
};
use serde::Serialize;

use crate::call::ToolCall;
use crate::{Error, Pages};

/// Typed requests over a service of exchanges.
///
/// A clone is cheap and shares the connection. Dropping the future of a method cancels the
/// request.
#[derive(Debug, Clone)]
pub struct Client<S> {
    service: S,
}

impl<S: ExchangeService> Client<S> {
    /// A client on `service`.
    pub fn new(service: S) -> Self {
        Self { service }
    }

    /// The service on which the client stands.
    pub fn service(&self) -> &S {
        &self.service
    }

    /// What the server is and can do (`server/discover`; an older server said it once).
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn discover(&self) -> Result<DiscoverResult, Error> {
        match self.request(ClientRequest::Discover(RequestParams::new())).await? {
            ServerResult::Discover(result) => Ok(*result),
            other => Err(unexpected("server/discover", &other)),
        }
    }

    /// One page of `tools/list`; `cursor` is what the page before gave.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn list_tools(&self, cursor: Option<String>) -> Result<ListToolsResult, Error> {
        let mut params = PaginatedRequestParams::new();
        params.cursor = cursor;
        match self.request(ClientRequest::ListTools(params)).await? {
            ServerResult::ListTools(result) => Ok(result),
            other => Err(unexpected("tools/list", &other)),
        }
    }

    /// All pages of `tools/list`, one after the other.
    pub fn tool_pages(&self) -> Pages<S> {
        Pages::new(self.clone())
    }

    /// All tools of all pages; entries that could not be read are left out.
    ///
    /// # Errors
    ///
    /// See [`Error`]; also [`Error::TooManyPages`] for a server that never ends its list.
    pub async fn all_tools(&self) -> Result<Vec<Arc<Listed<Tool>>>, Error> {
        let (mut pages, mut tools) = (self.tool_pages(), Vec::new());
        while let Some(page) = pages.next_page().await? {
            tools.extend(page.tools.into_vec());
        }
        Ok(tools)
    }

    /// Calls a tool. `arguments` is anything that serializes to an object.
    ///
    /// A tool that fails answers with `is_error`; that is a result, for the model to read.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::Arguments`] for arguments without a JSON form.
    pub async fn call_tool<A: Serialize + ?Sized>(
        &self,
        name: &str,
        arguments: &A,
    ) -> Result<CallToolResult, Error> {
        self.tool_call(name).arguments(arguments)?.send().await
    }

    /// A call of a tool with more to say: metadata, progress.
    pub fn tool_call(&self, name: &str) -> ToolCall<S> {
        ToolCall::new(self.clone(), name)
    }

    /// Sends any request, and gives its complete result.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn request(&self, request: ClientRequest) -> Result<ServerResult, Error> {
        self.exchange(Exchange::new(request)).await
    }

    /// Runs an exchange that the caller has furnished, and gives its complete result.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::InputRequired`] when the server asks and no layer answers.
    pub async fn exchange(&self, exchange: Exchange) -> Result<ServerResult, Error> {
        let mut service = self.service.clone();
        poll_fn(|cx| service.poll_ready(cx)).await.map_err(Error::of)?;
        match service.call(exchange).await.map_err(Error::of)? {
            Outcome::Complete(result) => Ok(result),
            Outcome::InputRequired(asked) => Err(Error::InputRequired(Box::new(asked))),
            _ => Err(Error::Protocol(
                "the server answered in a form that this client does not know".into(),
            )),
        }
    }
}

pub(crate) fn unexpected(method: &str, result: &ServerResult) -> Error {
    let text =
        format!("the server answered `{method}` with the result of another request: {result:?}");
    Error::Protocol(text.chars().take(300).collect())
}
