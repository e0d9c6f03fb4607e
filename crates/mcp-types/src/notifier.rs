//! The way back for notifications while an exchange runs.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::exchange::ExchangeId;
use crate::{RequestId, ServerNotification};

/// Sends notifications that belong to one exchange.
///
/// Sending waits while the peer reads slowly, so a tool that reports in a loop is slowed down
/// rather than heaped up. An exchange that nobody listens to drops them.
#[derive(Clone, Default)]
pub struct Notifier(Option<(Arc<dyn NotificationSink>, ExchangeId)>);

/// Where notifications of exchanges go; implemented by a connection.
pub trait NotificationSink: Send + Sync {
    /// Takes `notification` out once there is room for it.
    ///
    /// The sink stamps what the wire wants, such as a subscription id.
    fn poll_notify(
        &self,
        cx: &mut Context<'_>,
        exchange: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>>;

    /// The id that the peer gave the exchange, where there is one.
    fn peer_id(&self, _exchange: ExchangeId) -> Option<RequestId> {
        None
    }
}

impl Notifier {
    /// A notifier that drops what it is given.
    pub const fn none() -> Self {
        Self(None)
    }

    /// A notifier into `sink` for the exchange `id`.
    pub fn new(sink: Arc<dyn NotificationSink>, id: ExchangeId) -> Self {
        Self(Some((sink, id)))
    }

    /// The same way for log messages alone; what else is sent there is dropped.
    ///
    /// For an exchange within this one, whose progress is not this one's.
    #[must_use]
    pub fn logs_only(&self) -> Self {
        match &self.0 {
            Some((sink, id)) => Self(Some((Arc::new(LogsOnly(sink.clone())), *id))),
            None => Self(None),
        }
    }

    /// Whether anybody listens.
    pub fn is_connected(&self) -> bool {
        self.0.is_some()
    }

    /// Sends `notification` as soon as there is room.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the peer is gone; the exchange is about to be dropped then.
    pub async fn notify(&self, notification: ServerNotification) -> Result<(), Closed> {
        let mut notification = Some(notification);
        poll_fn(|cx| self.poll_notify(cx, &mut notification)).await
    }

    /// Takes `notification` out once there is room for it; for sinks that pass on to another.
    ///
    /// # Errors
    ///
    /// As [`Notifier::notify`], when it is ready.
    pub fn poll_notify(
        &self,
        cx: &mut Context<'_>,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        let Some((sink, id)) = &self.0 else {
            *notification = None;
            return Poll::Ready(Ok(()));
        };
        sink.poll_notify(cx, *id, notification)
    }
}

struct LogsOnly(Arc<dyn NotificationSink>);

impl NotificationSink for LogsOnly {
    fn poll_notify(
        &self,
        cx: &mut Context<'_>,
        exchange: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        match notification {
            Some(ServerNotification::Message(_)) => self.0.poll_notify(cx, exchange, notification),
            _ => {
                notification.take();
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notifier(connected: {})", self.is_connected())
    }
}

/// The peer is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is closed")
    }
}

impl std::error::Error for Closed {}
