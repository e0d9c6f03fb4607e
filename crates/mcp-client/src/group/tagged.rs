//! Notifications of one server on their way through the group.

use std::sync::Arc;
use std::task::{Context, Poll};

use mcp_types::{Closed, ExchangeId, NotificationSink, Notifier, ServerNotification};

use super::tasks;

/// The same notifier for the exchange, whose log messages name the server.
pub(super) fn tagged(alias: &str, notifier: Notifier, exchange: ExchangeId) -> Notifier {
    if !notifier.is_connected() {
        return notifier;
    }
    Notifier::new(Arc::new(Tagged { alias: alias.to_owned(), notifier }), exchange)
}

struct Tagged {
    alias: String,
    notifier: Notifier,
}

impl NotificationSink for Tagged {
    fn poll_notify(
        &self,
        cx: &mut Context<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        use ServerNotification::{Extension, Message};
        if !matches!(notification, Some(Message(_) | Extension { .. })) {
            return self.notifier.poll_notify(cx, notification);
        }
        let Some(told) = notification.take() else { return Poll::Ready(Ok(())) };
        let mut named = Some(told.clone());
        named.iter_mut().for_each(|told| name(&self.alias, told));
        let polled = self.notifier.poll_notify(cx, &mut named);
        if polled.is_pending() {
            // What had no room comes again, and must not be named twice.
            *notification = Some(told);
        }
        polled
    }
}

/// Puts the server's name to what it tells of a log or of a task.
pub(super) fn name(alias: &str, told: &mut ServerNotification) {
    if let ServerNotification::Message(message) = told {
        message.logger = Some(match &message.logger {
            Some(logger) => format!("{alias}/{logger}"),
            None => alias.to_owned(),
        });
    }
    tasks::spaced_notification(alias, told);
}
