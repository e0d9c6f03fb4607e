//! A call of a tool: arguments in, content out.

use std::sync::Arc;
use std::task::{Context, Poll};

use mcp_types::{
    CallToolRequestParams, CallToolResult, ClientRequest, Closed, ContentBlock, Exchange,
    ExchangeId, ExchangeService, NotificationSink, Notifier, ProgressNotificationParams, RawText,
    ServerNotification, ServerResult,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::unexpected;
use crate::{Client, Error};

/// A call of a tool that is being put together; made by [`Client::tool_call`].
#[derive(Debug)]
pub struct ToolCall<S> {
    client: Client<S>,
    exchange: Exchange,
}

impl<S: ExchangeService> ToolCall<S> {
    pub(crate) fn new(client: Client<S>, name: &str) -> Self {
        let params = CallToolRequestParams::new(name);
        Self { client, exchange: Exchange::new(ClientRequest::CallTool(params)) }
    }

    /// Sets the arguments: anything that serializes to an object.
    ///
    /// # Errors
    ///
    /// [`Error::Arguments`] when they have no JSON form.
    pub fn arguments<A: Serialize + ?Sized>(mut self, arguments: &A) -> Result<Self, Error> {
        let text = RawText::of(arguments).map_err(Error::Arguments)?;
        if let ClientRequest::CallTool(params) = &mut self.exchange.request {
            params.arguments = Some(text);
        }
        Ok(self)
    }

    /// Adds a member to the request's `_meta`.
    #[must_use]
    pub fn meta(mut self, key: &str, value: RawText) -> Self {
        self.exchange.context.meta.insert(key, value);
        self
    }

    /// Asks for progress, and hands each report to `listener` while the call runs.
    ///
    /// The listener runs in the connection's own task: it should only take note.
    #[must_use]
    pub fn on_progress(
        self,
        listener: impl Fn(ProgressNotificationParams) + Send + Sync + 'static,
    ) -> Self {
        self.on_notification(move |notification| {
            if let ServerNotification::Progress(progress) = notification {
                listener(progress);
            }
        })
    }

    /// Hands each notification of the call to `listener`: progress, log messages.
    #[must_use]
    pub fn on_notification(
        mut self,
        listener: impl Fn(ServerNotification) + Send + Sync + 'static,
    ) -> Self {
        self.exchange.notifier = Notifier::new(Arc::new(Listener(listener)), self.exchange.id());
        self
    }

    /// Sends the call.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn send(self) -> Result<CallToolResult, Error> {
        match self.client.exchange(self.exchange).await? {
            ServerResult::CallTool(result) => Ok(result),
            other => Err(unexpected("tools/call", &other)),
        }
    }
}

struct Listener<F>(F);

impl<F: Fn(ServerNotification) + Send + Sync> NotificationSink for Listener<F> {
    fn poll_notify(
        &self,
        _: &mut Context<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        if let Some(notification) = notification.take() {
            (self.0)(notification);
        }
        Poll::Ready(Ok(()))
    }
}

/// The text of a result: its text blocks, one after the other, a line each.
pub fn text_of(result: &CallToolResult) -> String {
    let texts = result.content.iter().filter_map(|block| match block {
        ContentBlock::Text(text) => Some(text.text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// The structured content of a result, read as a `T`.
///
/// # Errors
///
/// [`Error::ToolFailed`] when the tool reported an error, [`Error::Protocol`] when there is no
/// structured content or it is not a `T`.
pub fn structured<T: DeserializeOwned>(result: &CallToolResult) -> Result<T, Error> {
    if result.is_error == Some(true) {
        return Err(Error::ToolFailed(text_of(result)));
    }
    let content = result
        .structured_content
        .as_ref()
        .ok_or_else(|| Error::Protocol("the result has no structured content".into()))?;
    content.parse().map_err(|error| Error::Protocol(error.within("structuredContent").to_string()))
}
