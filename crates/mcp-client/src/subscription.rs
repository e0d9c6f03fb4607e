//! Changes at the server, as a stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use mcp_types::{
    BoxFuture, ClientRequest, Exchange, ExchangeService, ServerNotification, SubscriptionFilter,
    SubscriptionsListenRequestParams,
};

use crate::inbox::{Event, Running};
use crate::{Client, Error};

/// Something changed at the server.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// The subscription stands. It will tell of no more than `honoured`; check it against what was
    /// wanted. When it was `reopened`, changes may have been missed: read anew what matters.
    Opened {
        /// Of which changes the server will tell.
        honoured: SubscriptionFilter,
        /// Whether the subscription stood before, and was lost.
        reopened: bool,
    },
    /// The list of tools changed.
    Tools,
    /// The list of prompts changed.
    Prompts,
    /// The list of resources or of resource templates changed.
    Resources,
    /// The resource of this URI changed; it may lie below the one that was subscribed to.
    Resource(String),
    /// Something that an extension tells.
    Other(Box<ServerNotification>),
}

impl Change {
    fn of(told: ServerNotification, reopened: bool) -> Self {
        match told {
            ServerNotification::SubscriptionsAcknowledged(acknowledged) => {
                Self::Opened { honoured: acknowledged.notifications, reopened }
            }
            ServerNotification::ToolListChanged(_) => Self::Tools,
            ServerNotification::PromptListChanged(_) => Self::Prompts,
            ServerNotification::ResourceListChanged(_) => Self::Resources,
            ServerNotification::ResourceUpdated(updated) => Self::Resource(updated.uri),
            other => Self::Other(Box::new(other)),
        }
    }
}

fn is_change(told: &ServerNotification) -> bool {
    use ServerNotification::{Cancelled, Message, Progress};
    !matches!(told, Cancelled(_) | Progress(_) | Message(_))
}

/// What to do when a subscription ends that nobody has ended here.
///
/// This crate has no clock, so a policy that waits is given the waiting:
///
/// ```
/// # async fn sleep(_: std::time::Duration) {}
/// use mcp_client::Reopen;
///
/// let patient = Reopen::with(|attempt, _lost| {
///     let seconds = 1 << attempt.min(6);
///     (attempt < 20).then(|| Box::pin(sleep(std::time::Duration::from_secs(seconds))) as _)
/// });
/// ```
pub struct Reopen(Box<Policy>);

type Policy = dyn FnMut(u32, Option<&Error>) -> Option<BoxFuture<'static, ()>> + Send;

impl Reopen {
    /// Ends with the subscription.
    pub fn never() -> Self {
        Self::with(|_, _| None)
    }

    /// Opens it anew at once, up to `times` in a row without success.
    pub fn at_once(times: u32) -> Self {
        Self::with(move |attempt, _| {
            (attempt < times).then(|| Box::pin(std::future::ready(())) as BoxFuture<'static, ()>)
        })
    }

    /// Asks `policy`, which gives what to wait for before the next attempt, or `None` to end.
    ///
    /// It is told how many attempts have failed in a row, and what went wrong; `None` when the
    /// server closed the subscription in good order.
    pub fn with(
        policy: impl FnMut(u32, Option<&Error>) -> Option<BoxFuture<'static, ()>> + Send + 'static,
    ) -> Self {
        Self(Box::new(policy))
    }
}

impl std::fmt::Debug for Reopen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reopen")
    }
}

/// Changes at a server as a stream; made by [`Client::subscribe`].
///
/// It opens when it is first polled, and whoever polls it drives it. Dropping it ends the
/// subscription at the server. An item that is an error is the last one; a server that closes the
/// subscription in good order ends the stream without one (specification, "Subscriptions").
///
/// ```
/// # use mcp_client::{Change, Client, Error, Reopen};
/// # use mcp_client::types::{ExchangeService, SubscriptionFilter};
/// # async fn example<S: ExchangeService>(client: Client<S>) -> Result<(), Error> {
/// let mut filter = SubscriptionFilter::new();
/// filter.tools_list_changed = Some(true);
/// let mut changes = client.subscribe(filter).reopen(Reopen::at_once(3));
/// while let Some(change) = changes.next_change().await? {
///     match change {
///         Change::Tools | Change::Opened { reopened: true, .. } => {
///             println!("{} tools", client.all_tools().await?.len());
///         }
///         _ => {}
///     }
/// }
/// # Ok(()) }
/// ```
#[must_use = "a subscription does nothing unless it is polled"]
pub struct Subscription<S> {
    client: Client<S>,
    filter: SubscriptionFilter,
    policy: Reopen,
    step: Step,
    /// Attempts that have failed since the subscription stood last.
    failed: u32,
    stood: bool,
}

enum Step {
    Closed,
    Open(Running),
    Pause(BoxFuture<'static, ()>),
    Over,
}

impl<S: ExchangeService> Subscription<S> {
    pub(crate) fn new(client: Client<S>, filter: SubscriptionFilter, policy: Reopen) -> Self {
        Self { client, filter, policy, step: Step::Closed, failed: 0, stood: false }
    }

    /// What to do when the subscription ends that nobody has ended here.
    pub fn reopen(mut self, policy: Reopen) -> Self {
        self.policy = policy;
        self
    }

    /// The next change; `None` when the server has closed the subscription.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::Service`] from a server that has no subscriptions.
    pub async fn next_change(&mut self) -> Result<Option<Change>, Error> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await.transpose()
    }

    fn open(&self) -> Running {
        let params = SubscriptionsListenRequestParams::new(self.filter.clone());
        let exchange = Exchange::new(ClientRequest::SubscriptionsListen(params));
        Running::start(self.client.clone(), exchange, is_change)
    }

    /// The subscription has ended; gives what to say about it, if it does not go on.
    fn ended(&mut self, error: Option<Error>) -> Result<(), Option<Error>> {
        self.step = Step::Over;
        let may_return = matches!(error, None | Some(Error::Connection(_) | Error::Timeout(_)));
        let pause = may_return.then(|| (self.policy.0)(self.failed, error.as_ref())).flatten();
        self.failed = self.failed.saturating_add(1);
        self.step = Step::Pause(pause.ok_or(error)?);
        Ok(())
    }
}

impl<S> Unpin for Subscription<S> {}

impl<S: ExchangeService> Stream for Subscription<S> {
    type Item = Result<Change, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.step {
                Step::Over => return Poll::Ready(None),
                Step::Closed => self.step = Step::Open(self.open()),
                Step::Pause(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    self.step = Step::Closed;
                }
                Step::Open(running) => {
                    let ended = match ready!(running.poll_event(cx)) {
                        Some(Event::Told(told)) => {
                            let change = Change::of(told, self.stood);
                            if matches!(change, Change::Opened { .. }) {
                                (self.stood, self.failed) = (true, 0);
                            }
                            return Poll::Ready(Some(Ok(change)));
                        }
                        Some(Event::Done(answer)) => self.ended(answer.err()),
                        None => self.ended(None),
                    };
                    if let Err(error) = ended {
                        return Poll::Ready(error.map(Err));
                    }
                }
            }
        }
    }
}

impl<S> std::fmt::Debug for Subscription<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("stood", &self.stood).finish_non_exhaustive()
    }
}
