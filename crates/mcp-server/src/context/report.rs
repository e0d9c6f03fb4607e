//! What a running tool tells the client: progress and log messages.

use std::sync::atomic::Ordering;

use mcp_types::{
    LoggingLevel, LoggingMessageNotificationParams, ProgressNotificationParams, RawText,
    ServerNotification,
};
use serde::Serialize;

use super::Context;

impl<S> Context<S> {
    /// Tells the client how far the call is: `done` of `total`, or of nobody knows how much.
    ///
    /// Nothing is sent when the client did not ask, or when `done` did not grow (specification,
    /// "Progress"). It waits while the client reads slowly.
    pub async fn progress(&self, done: impl Into<f64>, total: impl Into<Option<f64>>) {
        self.report(done.into(), total.into(), None).await;
    }

    /// The same with a sentence for people.
    pub async fn progress_with(
        &self,
        done: impl Into<f64>,
        total: impl Into<Option<f64>>,
        message: impl Into<String>,
    ) {
        self.report(done.into(), total.into(), Some(message.into())).await;
    }

    async fn report(&self, done: f64, total: Option<f64>, message: Option<String>) {
        let Some(token) = &self.shared.request.progress_token else { return };
        let grown =
            self.shared.progress.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                (done > f64::from_bits(last)).then_some(done.to_bits())
            });
        if grown.is_err() || !done.is_finite() {
            return;
        }
        let mut params = ProgressNotificationParams::new(done, token.clone());
        params.total = total;
        params.message = message;
        self.notify(ServerNotification::Progress(params)).await;
    }

    /// Tells the client what happens, if it wants to hear of this level (specification, "Logging").
    ///
    /// The client is not the operator: what only the operator may read belongs into `tracing`.
    pub async fn log<T: Serialize + ?Sized>(&self, level: LoggingLevel, data: &T) {
        let wanted = self.shared.request.log_level;
        if wanted.is_none_or(|wanted| severity(level) < severity(wanted)) {
            return;
        }
        let Ok(data) = RawText::of(data) else { return };
        let mut params = LoggingMessageNotificationParams::new(data, level);
        params.logger = Some(self.shared.name.clone());
        self.notify(ServerNotification::Message(params)).await;
    }

    async fn notify(&self, notification: ServerNotification) {
        // A closed connection drops this call at its next `.await`; there is nobody to tell.
        let _ = self.shared.notifier.notify(notification).await;
    }
}

/// The levels of RFC 5424 from the least to the most severe.
fn severity(level: LoggingLevel) -> u8 {
    match level {
        LoggingLevel::Debug => 0,
        LoggingLevel::Info => 1,
        LoggingLevel::Notice => 2,
        LoggingLevel::Warning => 3,
        LoggingLevel::Error => 4,
        LoggingLevel::Critical => 5,
        LoggingLevel::Alert => 6,
        LoggingLevel::Emergency => 7,
    }
}
