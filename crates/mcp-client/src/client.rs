//! One method for each request of the specification.

use std::future::poll_fn;
use std::sync::Arc;

use mcp_types::{
    CallToolResult, ClientRequest, CompleteReference, CompleteRequestParams,
    CompleteRequestParamsArgument, CompleteRequestParamsContext, CompleteResultCompletion,
    DiscoverResult, Exchange, ExchangeService, GetPromptRequestParams, GetPromptResult,
    ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, Listed,
    Outcome, PaginatedRequestParams, Prompt, ReadResourceRequestParams, ReadResourceResult,
    RequestParams, Resource, ResourceTemplate, ServerResult, SubscriptionFilter, Tool,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower_layer::Layer;

use crate::call::{ToolCall, structured};
use crate::stack::Stacked;
use crate::subscription::{Reopen, Subscription};
use crate::{Error, Page, Pages};

/// Typed requests over a service of exchanges.
///
/// A clone is cheap and shares the connection. Dropping the future of a method cancels the
/// request.
#[derive(Debug, Clone)]
pub struct Client<S> {
    service: S,
}

impl<S: ExchangeService> Client<Stacked<S>> {
    /// A client on a server in the same program, without a transport between them.
    ///
    /// For tests: the server sees what it would see of a client on a wire (a name, the newest
    /// revision, declared capabilities), and nothing is encoded on the way.
    ///
    /// ```
    /// # futures_executor::block_on(async {
    /// use mcp_client::Client;
    /// use mcp_server::{server, tool};
    ///
    /// /// Adds two numbers.
    /// #[tool]
    /// async fn add(a: i64, b: i64) -> i64 {
    ///     a + b
    /// }
    ///
    /// let client = Client::stack(server!().tool::<add>().build()?);
    /// let sum: i64 = client.call("add", &serde_json::json!({"a": 1, "b": 2})).await?;
    /// assert_eq!(sum, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn stack(server: S) -> Self {
        Self::new(Stacked::new(server))
    }
}

impl<S: ExchangeService> Client<S> {
    /// A client on `service`: a connection, a server, a stack of layers.
    pub fn new(service: S) -> Self {
        Self { service }
    }

    /// The client on the same service with `layer` around it; the last layer is the outermost.
    ///
    /// ```
    /// # use mcp_client::{CacheLayer, Client, InputLayer, Inputs};
    /// # fn example(connection: impl mcp_client::types::ExchangeService) {
    /// let client = Client::new(connection)
    ///     .layer(CacheLayer::new(std::time::Instant::now))
    ///     .layer(InputLayer::new(Inputs::new()));
    /// # }
    /// ```
    pub fn layer<L: Layer<S>>(self, layer: L) -> Client<L::Service> {
        Client { service: layer.layer(self.service) }
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

    /// One page of a listing; `cursor` is what the page before gave. Which listing, says the type.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::Service`] for a cursor that the server does not know.
    pub async fn list<P: Page>(&self, cursor: Option<String>) -> Result<P, Error> {
        let mut params = PaginatedRequestParams::new();
        params.cursor = cursor;
        let request = P::request(params);
        let method = request.method().to_owned();
        P::of(self.request(request).await?).map_err(|other| unexpected(&method, &other))
    }

    /// One page of `tools/list`; `cursor` is what the page before gave.
    ///
    /// # Errors
    ///
    /// As [`Client::list`].
    pub async fn list_tools(&self, cursor: Option<String>) -> Result<ListToolsResult, Error> {
        self.list(cursor).await
    }

    /// One page of `prompts/list`; `cursor` is what the page before gave.
    ///
    /// # Errors
    ///
    /// As [`Client::list`].
    pub async fn list_prompts(&self, cursor: Option<String>) -> Result<ListPromptsResult, Error> {
        self.list(cursor).await
    }

    /// One page of `resources/list`; `cursor` is what the page before gave.
    ///
    /// # Errors
    ///
    /// As [`Client::list`].
    pub async fn list_resources(
        &self,
        cursor: Option<String>,
    ) -> Result<ListResourcesResult, Error> {
        self.list(cursor).await
    }

    /// One page of `resources/templates/list`; `cursor` is what the page before gave.
    ///
    /// # Errors
    ///
    /// As [`Client::list`].
    pub async fn list_resource_templates(
        &self,
        cursor: Option<String>,
    ) -> Result<ListResourceTemplatesResult, Error> {
        self.list(cursor).await
    }

    /// All pages of `tools/list`, one after the other.
    ///
    /// ```
    /// # use mcp_client::{Client, Error};
    /// # use mcp_client::types::ExchangeService;
    /// # async fn example<S: ExchangeService>(client: Client<S>) -> Result<(), Error> {
    /// let mut pages = client.tool_pages();
    /// while let Some(page) = pages.next_page().await? {
    ///     for tool in page.tools.iter() {
    ///         println!("{}", mcp_client::display_name(tool));
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn tool_pages(&self) -> Pages<S> {
        Pages::new(self.clone())
    }

    /// All pages of `prompts/list`.
    pub fn prompt_pages(&self) -> Pages<S, ListPromptsResult> {
        Pages::new(self.clone())
    }

    /// All pages of `resources/list`.
    pub fn resource_pages(&self) -> Pages<S, ListResourcesResult> {
        Pages::new(self.clone())
    }

    /// All pages of `resources/templates/list`.
    pub fn resource_template_pages(&self) -> Pages<S, ListResourceTemplatesResult> {
        Pages::new(self.clone())
    }

    /// All tools of all pages; entries that could not be read are left out.
    ///
    /// # Errors
    ///
    /// As [`Pages::next_page`], within the default [`Budget`](crate::Budget).
    pub async fn all_tools(&self) -> Result<Vec<Arc<Listed<Tool>>>, Error> {
        self.tool_pages().all().await
    }

    /// All prompts of all pages; entries that could not be read are left out.
    ///
    /// # Errors
    ///
    /// As [`Client::all_tools`].
    pub async fn all_prompts(&self) -> Result<Vec<Arc<Listed<Prompt>>>, Error> {
        self.prompt_pages().all().await
    }

    /// All resources of all pages; entries that could not be read are left out.
    ///
    /// # Errors
    ///
    /// As [`Client::all_tools`].
    pub async fn all_resources(&self) -> Result<Vec<Arc<Listed<Resource>>>, Error> {
        self.resource_pages().all().await
    }

    /// All resource templates of all pages; entries that could not be read are left out.
    ///
    /// # Errors
    ///
    /// As [`Client::all_tools`].
    pub async fn all_resource_templates(
        &self,
    ) -> Result<Vec<Arc<Listed<ResourceTemplate>>>, Error> {
        self.resource_template_pages().all().await
    }

    /// Reads a resource (`resources/read`).
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::Service`] for a URI that the server does not know.
    pub async fn read_resource(&self, uri: &str) -> Result<ReadResourceResult, Error> {
        let params = ReadResourceRequestParams::new(uri);
        match self.request(ClientRequest::ReadResource(params)).await? {
            ServerResult::ReadResource(result) => Ok(result),
            other => Err(unexpected("resources/read", &other)),
        }
    }

    /// The messages of a prompt, with its arguments filled in (`prompts/get`).
    ///
    /// ```
    /// # use mcp_client::{Client, Error};
    /// # use mcp_client::types::ExchangeService;
    /// # async fn example<S: ExchangeService>(client: Client<S>) -> Result<(), Error> {
    /// let review = client.get_prompt("review", [("language", "rust")]).await?;
    /// // Without arguments, the empty array has to say of what.
    /// let greeting = client.get_prompt("greeting", [("", ""); 0]).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::Service`] for a prompt that is not there or an argument that is
    /// missing.
    pub async fn get_prompt<K: Into<String>, V: Into<String>>(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = (K, V)>,
    ) -> Result<GetPromptResult, Error> {
        let mut params = GetPromptRequestParams::new(name);
        let arguments = arguments.into_iter().map(|(name, value)| (name.into(), value.into()));
        params.arguments = Some(arguments.collect())
            .filter(|all: &std::collections::BTreeMap<_, _>| !all.is_empty());
        match self.request(ClientRequest::GetPrompt(params)).await? {
            ServerResult::GetPrompt(result) => Ok(result),
            other => Err(unexpected("prompts/get", &other)),
        }
    }

    /// Values that complete what a person types as an argument (`completion/complete`).
    ///
    /// `reference` is the prompt or resource template, `known` the arguments that are filled in
    /// already, by name: `[("", ""); 0]` when there are none.
    ///
    /// ```
    /// # use mcp_client::{Client, Error};
    /// # use mcp_client::types::{CompleteReference, ExchangeService, PromptReference};
    /// # async fn example<S: ExchangeService>(client: Client<S>) -> Result<(), Error> {
    /// let prompt = CompleteReference::Prompt(PromptReference::new("review"));
    /// let known = [("language", "rust")];
    /// let found = client.complete(prompt, "framework", "to", known).await?;
    /// assert!(found.values.len() <= 100);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn complete<K: Into<String>, V: Into<String>>(
        &self,
        reference: CompleteReference,
        argument: &str,
        typed: &str,
        known: impl IntoIterator<Item = (K, V)>,
    ) -> Result<CompleteResultCompletion, Error> {
        let argument = CompleteRequestParamsArgument::new(argument, typed);
        let mut params = CompleteRequestParams::new(argument, reference);
        let known = known.into_iter().map(|(name, value)| (name.into(), value.into()));
        let known: std::collections::BTreeMap<String, String> = known.collect();
        if !known.is_empty() {
            let mut context = CompleteRequestParamsContext::new();
            context.arguments = Some(known);
            params.context = Some(context);
        }
        match self.request(ClientRequest::Complete(Box::new(params))).await? {
            ServerResult::Complete(result) => Ok(result.completion),
            other => Err(unexpected("completion/complete", &other)),
        }
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

    /// Calls a tool and reads its result as an `Out`; see [`structured`](crate::structured).
    ///
    /// ```
    /// # use mcp_client::{Client, Error};
    /// # use mcp_client::types::ExchangeService;
    /// #[derive(serde::Serialize)]
    /// struct Place<'a> {
    ///     city: &'a str,
    /// }
    /// #[derive(serde::Deserialize)]
    /// struct Weather {
    ///     degrees: f64,
    /// }
    /// # async fn example<S: ExchangeService>(client: Client<S>) -> Result<(), Error> {
    /// let weather: Weather = client.call("get_weather", &Place { city: "Bern" }).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::ToolFailed`] when the tool reported an error, [`Error::Result`] with
    /// the path of the member that does not fit.
    pub async fn call<A: Serialize + ?Sized, Out: DeserializeOwned>(
        &self,
        name: &str,
        arguments: &A,
    ) -> Result<Out, Error> {
        structured(&self.call_tool(name, arguments).await?)
    }

    /// A call of a tool with more to say: metadata, progress.
    pub fn tool_call(&self, name: &str) -> ToolCall<S> {
        ToolCall::new(self.clone(), name)
    }

    /// Listens to changes (`subscriptions/listen`), as a stream that opens when it is first polled.
    ///
    /// It ends with the connection; [`Subscription::reopen`] sets another policy.
    pub fn subscribe(&self, filter: SubscriptionFilter) -> Subscription<S> {
        Subscription::new(self.clone(), filter, Reopen::never())
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
