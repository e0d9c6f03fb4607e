//! Several servers as one.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use mcp_types::{
    BoxFuture, Caller, ClientRequest, CompleteReference, ErrorObject, Exchange, ExchangeFuture,
    ExchangeService, Implementation, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, Origin, Outcome, ServerNotification, ServerResult,
};
use tower_service::Service;

mod discover;
mod listen;
mod lists;
mod names;
mod owners;
mod tagged;
mod tasks;

use owners::Owners;

/// Several servers as one service: a client of all of them, or a gateway before them.
///
/// - Each server has an alias that the host chooses. Tools and prompts are named
///   `alias__name`, so that two servers' names never collide and none can pass for another's.
/// - Listings ask all servers at once and merge what they answer. A server that fails is left out;
///   [`GroupBuilder::on_failure`] hears of it, and no cache keeps such a listing. Only when all
///   fail does the listing.
/// - Resources keep their URIs. A URI belongs to the server that lists it or whose result linked
///   it, or to the one whose template it fits best; where two claim it, to the one that was added
///   first. It is asked of nobody else.
/// - Instructions stand under the alias of their server, as a quotation.
/// - Changes of all servers come on one subscription, and of a resource only from the server to which
///   it belongs. It ends when one of the servers that it
///   stands on is lost, so that whoever listens hears of it by opening it anew.
///
/// Questions of a server pass through, and so do progress and log messages; a log message names
/// the server that sent it. Each server may stand behind layers of its own, and the group behind
/// others: what is verified by a definition's exact text (its name included) is verified below the
/// group, and signed anew above it.
///
/// ```
/// # futures_executor::block_on(async {
/// use mcp_client::types::Implementation;
/// use mcp_client::{Client, Group};
/// use mcp_server::{server, tool};
///
/// /// Adds two numbers.
/// #[tool]
/// async fn add(a: i64, b: i64) -> i64 {
///     a + b
/// }
///
/// let one = server!().tool::<add>().build()?;
/// let two = server!().tool::<add>().build()?;
/// let group = Group::builder(Implementation::new("both", "1.0.0"))
///     .server("one", one)
///     .server("two", two)
///     .build()?;
/// let client = Client::stack(group);
/// let tools = client.all_tools().await?;
/// assert_eq!(tools.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ["one__add", "two__add"]);
/// let sum: i64 = client.call("two__add", &serde_json::json!({"a": 1, "b": 2})).await?;
/// assert_eq!(sum, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Group {
    shared: Arc<Shared>,
}

struct Shared {
    info: Implementation,
    instructions: Option<String>,
    members: Vec<Member>,
    owners: Mutex<Owners>,
    on_failure: Option<Box<OnFailure>>,
    on_collision: Option<Box<OnCollision>>,
    patience: Option<Box<Patience>>,
}

type OnCollision = dyn Fn(&str, &str, &str) + Send + Sync;
type OnFailure = dyn Fn(&str, &ErrorObject) + Send + Sync;
type Patience = dyn Fn() -> BoxFuture<'static, ()> + Send + Sync;

/// One server of a group.
struct Member {
    alias: String,
    caller: Caller,
}

impl Group {
    /// A group that gives itself this name, to show.
    pub fn builder(info: Implementation) -> GroupBuilder {
        let shared = Shared {
            info,
            instructions: None,
            members: Vec::new(),
            owners: Mutex::default(),
            on_failure: None,
            on_collision: None,
            patience: None,
        };
        GroupBuilder { shared }
    }

    /// The alias of the server and the name under which it knows what the group calls `name`;
    /// `None` for a name that is none of this group's.
    ///
    /// ```
    /// # use mcp_client::{Group, types::{ExchangeService, Implementation}};
    /// # fn example(server: impl ExchangeService) -> Result<(), mcp_client::GroupError> {
    /// let info = Implementation::new("all", "1.0.0");
    /// let group = Group::builder(info).server("notes", server).build()?;
    /// assert_eq!(group.split("notes__search"), Some(("notes", "search")));
    /// assert_eq!(group.split("search"), None);
    /// # Ok(()) }
    /// ```
    pub fn split<'a>(&'a self, name: &'a str) -> Option<(&'a str, &'a str)> {
        let (member, name) = self.shared.split(name)?;
        Some((&member.alias, name))
    }

    /// Says of a log message or a task which server it is of, as the group does with what comes in the
    /// course of an exchange; for gateways, whose servers may tell such things outside of any.
    pub fn name_notification(alias: &str, told: &mut ServerNotification) {
        tagged::name(alias, told);
    }

    /// The aliases of the servers, in the order in which they were added.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.shared.members.iter().map(|member| member.alias.as_str())
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.aliases()).finish()
    }
}

/// A group that is being put together; made by [`Group::builder`].
#[must_use = "call `build`"]
pub struct GroupBuilder {
    shared: Shared,
}

impl GroupBuilder {
    /// Adds a server under an alias of up to 32 letters, digits, `-` and single `_` between them.
    ///
    /// The alias is the host's word, because the name that a server gives itself may be another's.
    pub fn server(mut self, alias: impl Into<String>, server: impl ExchangeService) -> Self {
        let member = Member { alias: alias.into(), caller: Caller::new(server) };
        self.shared.members.push(member);
        self
    }

    /// Says how to use the group, for the model; the servers' own instructions follow.
    pub fn instructions(mut self, text: impl Into<String>) -> Self {
        self.shared.instructions = Some(text.into());
        self
    }

    /// Hears which server failed where the others went on, by its alias, and how.
    pub fn on_failure(mut self, hear: impl Fn(&str, &ErrorObject) + Send + Sync + 'static) -> Self {
        self.shared.on_failure = Some(Box::new(hear));
        self
    }

    /// Hears of each resource and template that is left out of a listing because its URI belongs to
    /// another server: the alias of who listed it, the URI, and the alias of whose it is.
    pub fn on_collision(mut self, hear: impl Fn(&str, &str, &str) + Send + Sync + 'static) -> Self {
        self.shared.on_collision = Some(Box::new(hear));
        self
    }

    /// Counts a server as failed that has not answered once what `patience` gives is over; for
    /// whatever asks several servers at once.
    ///
    /// Without it a listing waits for the slowest server. This crate has no clock, so the waiting
    /// is given: `|| Box::pin(tokio::time::sleep(Duration::from_secs(5)))`.
    pub fn patience(
        mut self,
        patience: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        self.shared.patience = Some(Box::new(patience));
        self
    }

    /// The group.
    ///
    /// # Errors
    ///
    /// For an alias that is none, or that is taken.
    pub fn build(self) -> Result<Group, GroupError> {
        let mut taken = BTreeSet::new();
        for member in &self.shared.members {
            if !names::is_alias(&member.alias) {
                return Err(GroupError::Alias(member.alias.clone()));
            }
            if !taken.insert(member.alias.as_str()) {
                return Err(GroupError::Taken(member.alias.clone()));
            }
        }
        Ok(Group { shared: Arc::new(self.shared) })
    }
}

impl fmt::Debug for GroupBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupBuilder(servers: {})", self.shared.members.len())
    }
}

/// Why a group cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The alias is none.
    #[error("`{0}` is no alias, take up to 32 letters, digits, `-`, and single `_` between them")]
    Alias(String),
    /// Two servers have the same alias.
    #[error("the alias `{0}` is taken, give each server its own")]
    Taken(String),
}

impl Service<Exchange> for Group {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let shared = self.shared.clone();
        Box::pin(async move { shared.serve(exchange).await })
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, mut exchange: Exchange) -> Result<Outcome, ErrorObject> {
        use ClientRequest as Request;
        let done = |result: ServerResult| Ok(Outcome::Complete(result));
        let at = match &mut exchange.request {
            Request::Discover(_) => return done(self.discover(&exchange).await?),
            Request::ListTools(_) => {
                return done(self.list::<ListToolsResult>(&exchange).await?);
            }
            Request::ListPrompts(_) => {
                return done(self.list::<ListPromptsResult>(&exchange).await?);
            }
            Request::ListResources(_) => {
                return done(self.list::<ListResourcesResult>(&exchange).await?);
            }
            Request::ListResourceTemplates(_) => {
                return done(self.list::<ListResourceTemplatesResult>(&exchange).await?);
            }
            Request::SubscriptionsListen(_) => return self.listen(&exchange).await,
            Request::CallTool(params) => self.rename("tool", &mut params.name)?,
            Request::GetPrompt(params) => self.rename("prompt", &mut params.name)?,
            Request::Complete(params) => match &mut params.r#ref {
                CompleteReference::Prompt(prompt) => self.rename("prompt", &mut prompt.name)?,
                CompleteReference::Resource(template) => {
                    let uri = template.uri.clone();
                    self.owner(&exchange, &uri).await?
                }
                _ => return Err(ErrorObject::invalid_params("`ref` is of no known type")),
            },
            Request::ReadResource(params) => {
                let uri = params.uri.clone();
                self.owner(&exchange, &uri).await?
            }
            Request::Extension { method, params } => self.route_task(method, params)?,
            other => return Err(ErrorObject::method_not_found(other.method())),
        };
        self.pass(at, exchange).await
    }

    /// Hands an exchange to one server, and learns from its answer.
    async fn pass(&self, at: usize, mut exchange: Exchange) -> Result<Outcome, ErrorObject> {
        let member = self.member(at)?;
        let notifier = std::mem::take(&mut exchange.notifier);
        exchange.notifier = tagged::tagged(&member.alias, notifier, exchange.id());
        let answer = member.caller.send(exchange).await;
        let mut outcome = answer.map_err(|error| member.said(error))?;
        if let Outcome::Complete(result) = &mut outcome {
            self.owners().learn(at, result);
            tasks::spaced_result(&member.alias, result);
        }
        Ok(outcome)
    }

    fn member(&self, at: usize) -> Result<&Member, ErrorObject> {
        self.members.get(at).ok_or_else(|| ErrorObject::internal("a server of the group is gone"))
    }

    fn owners(&self) -> MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn patience(&self) -> Option<BoxFuture<'static, ()>> {
        self.patience.as_ref().map(|patience| patience())
    }

    /// Tells that a server failed where the others went on.
    fn failed(&self, member: &Member, error: &ErrorObject) {
        if let Some(hear) = &self.on_failure {
            hear(&member.alias, error);
        }
    }
}

impl Member {
    /// An error that was found on this side of the wire, with the server that it is about.
    fn said(&self, mut error: ErrorObject) -> ErrorObject {
        if error.origin != Origin::Service {
            error.message = format!("`{}`: {}", self.alias, error.message);
        }
        error
    }

    fn late(&self) -> ErrorObject {
        let text = format!("`{}` did not answer in time", self.alias);
        ErrorObject::local(Origin::Timeout, text)
    }
}
