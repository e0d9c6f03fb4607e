//! Who listens to changes: the guard hears of them too, and tells of those that it makes.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use mcp_types::{
    Closed, Exchange, ExchangeId, NotificationParams, NotificationSink, Notifier,
    ServerNotification,
};

use super::service::Shared;

/// How many listeners are told of what the guard changes.
const MOST_LISTENERS: usize = 64;

/// The notifier of a subscription, by which the guard hears what the server tells; if its client wants
/// to hear of `tools`, it is told of what was approved here as well.
pub(super) fn watched(shared: &Arc<Shared>, exchange: &Exchange, tools: bool) -> Notifier {
    if tools {
        let mut state = shared.state();
        if state.listeners.len() >= MOST_LISTENERS {
            state.listeners.remove(0);
        }
        state.listeners.push(exchange.notifier.clone());
    }
    let sink = Heard { to: exchange.notifier.clone(), shared: Arc::downgrade(shared) };
    Notifier::new(Arc::new(sink), exchange.id())
}

struct Heard {
    to: Notifier,
    shared: Weak<Shared>,
}

impl NotificationSink for Heard {
    fn poll_notify(
        &self,
        cx: &mut Context<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        if matches!(notification, Some(ServerNotification::ToolListChanged(_)))
            && let Some(shared) = self.shared.upgrade()
        {
            shared.layer.recheck();
        }
        self.to.poll_notify(cx, notification)
    }
}

impl Shared {
    /// Tells everybody that other tools may be called now.
    pub(super) async fn tools_changed(&self) {
        let changed = || ServerNotification::ToolListChanged(NotificationParams::new());
        let listeners = self.state().listeners.clone();
        let mut heard = Vec::new();
        for listener in listeners {
            if listener.notify(changed()).await.is_ok() {
                heard.push(listener);
            }
        }
        let nobody = heard.is_empty();
        self.state().listeners = heard;
        // A client that listens hears it there.
        if nobody && let Some(downstream) = &self.downstream {
            downstream.tell(changed());
        }
    }
}
