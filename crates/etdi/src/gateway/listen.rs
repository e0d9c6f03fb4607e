//! A subscription to one server, which outlives the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use mcp_types::error::codes;
use mcp_types::{
    ClientRequest, Closed, ErrorObject, Exchange, ExchangeId, NotificationParams, NotificationSink,
    Notifier, Origin, Outcome, ServerNotification, SubscriptionFilter,
    SubscriptionsAcknowledgedNotificationParams,
};
use tower_service::Service;

use super::naming::naming;
use super::upstream::{Now, Upstream, changes, either};

/// How long it takes until a subscription that a server has ended is opened again, the first time and at
/// most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long a server may take to answer for a subscription, before the gateway does.
const PATIENCE: Duration = Duration::from_secs(5);

impl Upstream {
    pub(super) async fn listen(
        self: Arc<Self>,
        exchange: Exchange,
    ) -> Result<Outcome, ErrorObject> {
        let ClientRequest::SubscriptionsListen(params) = &exchange.request else {
            return Err(ErrorObject::internal("not a subscription"));
        };
        let (params, context) = (params.clone(), exchange.context.clone());
        let counted = Counted::in_(&self.listeners);
        let sink = Arc::new(Heard {
            to: naming(&self.alias, exchange.notifier.clone(), exchange.id()),
            wanted: params.notifications.clone(),
            acknowledged: AtomicBool::new(false),
        });
        // What happened before is nothing new.
        let mut seen = self.until(|_, turn| Some(turn)).await;
        let mut pause = FIRST_PAUSE;
        loop {
            let mut inner = Exchange::new(ClientRequest::SubscriptionsListen(params.clone()));
            inner.context = context.clone();
            inner.notifier = Notifier::new(sink.clone(), inner.id());
            let listening = async {
                let mut guarded = self.up().await.ok()?;
                guarded.call(inner).await.err()
            };
            let mut listening = std::pin::pin!(listening);
            let started = self.runtime.now();
            // Until the server has ended the subscription, every change is passed on.
            let ended = loop {
                let late = self.runtime.sleep_until(started + PATIENCE);
                let is_acknowledged = sink.acknowledged.load(Ordering::Relaxed);
                let turned = self.until(|_, turn| (turn != seen).then_some(turn));
                let stop = async {
                    match is_acknowledged {
                        true => std::future::pending().await,
                        false => late.await,
                    }
                };
                let mut ended = None;
                let listened = async { ended = Some(listening.as_mut().await) };
                let next = either(either(turned, listened), stop).await;
                if let Some(ended) = ended {
                    break ended;
                }
                match next.flatten() {
                    Some(turn) => {
                        seen = turn;
                        sink.acknowledge().await?;
                        sink.tell_changes().await?;
                    }
                    // Nobody has answered for it yet.
                    None => sink.acknowledge().await?,
                }
            };
            sink.acknowledge().await?;
            if self.until(|now, _| Some(matches!(now, Now::Closing | Now::Closed))).await {
                drop(counted);
                return Err(ErrorObject::local(Origin::Connection, "the gateway ends"));
            }
            if self.runtime.now().saturating_duration_since(started) > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            // One that has no subscriptions is asked again when it was started again, any other after a
            // while.
            let is_absent = ended.is_some_and(|error| error.code == codes::METHOD_NOT_FOUND);
            let wait = async {
                match is_absent {
                    true => std::future::pending().await,
                    false => self.runtime.sleep_until(self.runtime.now() + pause).await,
                }
            };
            either(self.until(|_, turn| (turn != seen).then_some(())), wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Takes what a server tells of a subscription.
struct Heard {
    to: Notifier,
    wanted: SubscriptionFilter,
    acknowledged: AtomicBool,
}

impl Heard {
    /// Says of what the gateway will tell, if nobody has said so.
    async fn acknowledge(&self) -> Result<(), ErrorObject> {
        if self.acknowledged.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let told = SubscriptionsAcknowledgedNotificationParams::new(self.wanted.clone());
        self.tell(ServerNotification::SubscriptionsAcknowledged(told)).await
    }

    async fn tell_changes(&self) -> Result<(), ErrorObject> {
        for change in changes() {
            let wanted = match &change {
                ServerNotification::ToolListChanged(_) => self.wanted.tools_list_changed,
                ServerNotification::PromptListChanged(_) => self.wanted.prompts_list_changed,
                _ => self.wanted.resources_list_changed,
            };
            if wanted == Some(true) {
                self.tell(change).await?;
            }
        }
        Ok(())
    }

    async fn tell(&self, told: ServerNotification) -> Result<(), ErrorObject> {
        let closed = |_| ErrorObject::local(Origin::Connection, "nobody listens any more");
        self.to.notify(told).await.map_err(closed)
    }
}

impl NotificationSink for Heard {
    fn poll_notify(
        &self,
        cx: &mut Context<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        if let Some(ServerNotification::SubscriptionsAcknowledged(told)) = notification {
            if self.acknowledged.load(Ordering::Relaxed) {
                // It was opened again, and what changed meanwhile was not told.
                let wanted = self.wanted.tools_list_changed == Some(true);
                let change = ServerNotification::ToolListChanged(NotificationParams::new());
                *notification = Some(change).filter(|_| wanted);
                if !wanted {
                    return Poll::Ready(Ok(()));
                }
                return self.to.poll_notify(cx, notification);
            }
            // Of lists the gateway tells whatever the server does: when it goes, and when it is back.
            let (wanted, told) = (&self.wanted, &mut told.notifications);
            told.tools_list_changed = wanted.tools_list_changed;
            told.prompts_list_changed = wanted.prompts_list_changed;
            told.resources_list_changed = wanted.resources_list_changed;
            let polled = self.to.poll_notify(cx, notification);
            if polled.is_ready() {
                self.acknowledged.store(true, Ordering::Relaxed);
            }
            return polled;
        }
        self.to.poll_notify(cx, notification)
    }
}

/// One subscription more, as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn in_(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
