//! A call of a tool: arguments in, content out.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use mcp_types::{
    CallToolRequestParams, CallToolResult, ClientRequest, Closed, ContentBlock, DecodeError,
    Exchange, ExchangeId, ExchangeService, LoggingLevel, NotificationSink, Notifier,
    ProgressNotificationParams, ProgressToken, RawText, ServerNotification, ServerResult,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::value::{Error as Unfit, StrDeserializer};

use crate::client::unexpected;
use crate::inbox::{Event, Running};
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
    /// [`Error::Arguments`] when they have no JSON form, or one that is no object.
    pub fn arguments<A: Serialize + ?Sized>(mut self, arguments: &A) -> Result<Self, Error> {
        let text = RawText::of(arguments).map_err(Error::Arguments)?;
        if !text.is_object() {
            let reason = "the arguments of a tool are an object, give a struct or a map";
            return Err(Error::Arguments(serde::ser::Error::custom(reason)));
        }
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

    /// Asks for log messages of this call from `level` on (specification, "Logging"); they come to
    /// [`ToolCall::on_notification`].
    #[must_use]
    pub fn log_level(mut self, level: LoggingLevel) -> Self {
        self.exchange.context.log_level = Some(level);
        self
    }

    /// Asks for progress, and hands each report to `listener` while the call runs.
    ///
    /// The listener runs in the connection's own task: it should only take note. A loop over
    /// [`ToolCall::start`] can do more.
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
        self.exchange.context.progress_token = Some(fresh_token());
        self
    }

    /// Sends the call.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn send(self) -> Result<CallToolResult, Error> {
        result_of(self.client.exchange(self.exchange).await?)
    }

    /// Starts the call and gives its progress as a stream, with the result at its end.
    ///
    /// ```
    /// # use mcp_client::{Client, Error};
    /// # use mcp_client::types::ExchangeService;
    /// # async fn example<S: ExchangeService>(client: Client<S>) -> Result<(), Error> {
    /// let mut call = client.tool_call("index").start();
    /// while let Some(report) = call.next_progress().await {
    ///     println!("{} of {:?}", report.progress, report.total);
    /// }
    /// let result = call.finish().await?;
    /// # Ok(()) }
    /// ```
    pub fn start(mut self) -> RunningCall {
        self.exchange.context.progress_token = Some(fresh_token());
        let wanted = |told: &ServerNotification| matches!(told, ServerNotification::Progress(_));
        RunningCall { running: Running::start(self.client, self.exchange, wanted), answer: None }
    }
}

/// A call under way: a stream of its progress, then a result; made by [`ToolCall::start`].
///
/// Whoever polls it drives the call. Dropping it cancels the call. A reader that falls behind holds
/// up the sender, not memory.
#[must_use = "a call does nothing unless it is polled"]
pub struct RunningCall {
    running: Running,
    answer: Option<Result<CallToolResult, Error>>,
}

impl RunningCall {
    /// The next report of progress, or `None` when the call is over.
    pub async fn next_progress(&mut self) -> Option<ProgressNotificationParams> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Waits for the result; progress that nobody has read is passed over.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn finish(mut self) -> Result<CallToolResult, Error> {
        self.running.deafen();
        while self.next_progress().await.is_some() {}
        let over = || Error::Protocol("the call was over before it had a result".into());
        self.answer.unwrap_or_else(|| Err(over()))
    }
}

impl Stream for RunningCall {
    type Item = ProgressNotificationParams;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.running.poll_event(cx)) {
                Some(Event::Told(ServerNotification::Progress(report))) => {
                    return Poll::Ready(Some(report));
                }
                Some(Event::Told(_)) => {}
                Some(Event::Done(answer)) => {
                    self.answer = Some((*answer).and_then(result_of));
                    return Poll::Ready(None);
                }
                None => return Poll::Ready(None),
            }
        }
    }
}

impl std::fmt::Debug for RunningCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunningCall(answered: {})", self.answer.is_some())
    }
}

fn result_of(result: ServerResult) -> Result<CallToolResult, Error> {
    match result {
        ServerResult::CallTool(result) => Ok(result),
        other => Err(unexpected("tools/call", &other)),
    }
}

/// Tokens differ among all requests in flight (specification, "Progress").
fn fresh_token() -> ProgressToken {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    ProgressToken::Number(NEXT.fetch_add(1, Ordering::Relaxed))
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
///
/// ```
/// let result = mcp_client::types::CallToolResult::text("hello");
/// assert_eq!(mcp_client::text_of(&result), "hello");
/// ```
pub fn text_of(result: &CallToolResult) -> String {
    let texts = result.content.iter().filter_map(|block| match block {
        ContentBlock::Text(text) => Some(text.text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// The data of a result, read as a `T`.
///
/// That is its structured content. Since structured content had to be an object for long, a `T`
/// that is none may stand in its only member, `result`. A tool without structured content gives
/// its text: as the `T` itself if that is a string, as JSON otherwise.
///
/// ```
/// use mcp_client::structured;
/// use mcp_client::types::CallToolResult;
///
/// let result = CallToolResult::structured(&serde_json::json!({"result": [1, 2]}))?;
/// assert_eq!(structured::<Vec<u8>>(&result)?, [1, 2]);
/// assert_eq!(structured::<String>(&CallToolResult::text("42"))?, "42");
/// let error = structured::<Vec<bool>>(&result).unwrap_err();
/// assert!(error.to_string().contains("`structuredContent.result[0]`"), "{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`Error::ToolFailed`] when the tool reported an error, [`Error::Result`] with the path of what
/// is not a `T`.
pub fn structured<T: DeserializeOwned>(result: &CallToolResult) -> Result<T, Error> {
    if result.is_error == Some(true) {
        return Err(Error::ToolFailed(text_of(result)));
    }
    let Some(content) = &result.structured_content else { return from_text(result) };
    let error = match content.parse() {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let wrapped = content.parse::<mcp_types::Members>().ok().filter(|members| members.len() == 1);
    let error = match wrapped.as_ref().and_then(|members| members.get("result")) {
        Some(inner) => match inner.parse() {
            Ok(value) => return Ok(value),
            Err(error) => error.within("result"),
        },
        None => error,
    };
    Err(Error::Result(error.within("structuredContent")))
}

fn from_text<T: DeserializeOwned>(result: &CallToolResult) -> Result<T, Error> {
    let text = text_of(result);
    if let Ok(value) = T::deserialize(StrDeserializer::<Unfit>::new(&text)) {
        return Ok(value);
    }
    let read = RawText::new(text).and_then(|text| text.parse());
    read.map_err(|error| {
        let reason = match error.syntax {
            true => "no JSON, and there is no structured content; read it as a `String`".into(),
            false => error.message,
        };
        Error::Result(DecodeError::new(error.path, reason).within("content"))
    })
}
