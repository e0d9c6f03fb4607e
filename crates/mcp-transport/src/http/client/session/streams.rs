//! The streams of a session: read to their end, and taken up again where they break.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Response};
use hyper::body::Incoming;
use mcp_types::{ErrorObject, Origin, RequestId};

use super::Session;
use crate::http::client::answer::{Events, Form, beginning, form};
use crate::http::headers;

/// How often in a row a broken stream is asked for again before it is given up.
const MOST_BREAKS: u32 = 5;

/// How long a broken stream rests when the server does not say, doubled with each failure.
const REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// A server that wants us back sooner, each time, would keep us busy with nothing else.
const SHORTEST_REST: Duration = Duration::from_millis(50);

impl Session {
    /// Reads the stream of a request up to its answer, taking it up again where it breaks.
    pub(super) async fn follow(
        &self,
        mut events: Events,
        id: &RequestId,
    ) -> Result<(), ErrorObject> {
        let mut cursor = Cursor::default();
        loop {
            let ended = loop {
                match events.next(&self.endpoint).await {
                    Ok(Some(event)) => {
                        cursor.breaks = 0;
                        if event.name.is_none_or(|name| name == "message") {
                            self.feed(event.data, Some(id)).await?;
                        }
                        if !self.shared.lock().conn.awaits(id) {
                            events.finish();
                            return Ok(());
                        }
                    }
                    Ok(None) => {
                        let text = "ended its answer before the message that was asked for";
                        break self.endpoint.broken(text);
                    }
                    Err(error) if error.origin == Origin::Protocol => return Err(error),
                    Err(error) => break error,
                }
            };
            cursor.learn(&events);
            events = self.resume(&mut cursor, ended).await?;
        }
    }

    /// Opens a stream anew behind the last event that was seen, if there was any.
    async fn resume(
        &self,
        cursor: &mut Cursor,
        mut ended: ErrorObject,
    ) -> Result<Events, ErrorObject> {
        loop {
            let Some(last) = &cursor.last_id else { return Err(ended) };
            if cursor.breaks >= MOST_BREAKS {
                return Err(ended);
            }
            tokio::time::sleep(cursor.rest()).await;
            cursor.breaks += 1;
            let mut protocol = self.place().headers();
            protocol.insert(headers::LAST_EVENT_ID, last.clone());
            match self.endpoint.get(&protocol, Some(self.opening_timeout)).await {
                Ok(response) if opens(&response) => {
                    return Ok(Events::new(response.into_body(), self.limits.line));
                }
                Ok(response) if response.status().is_server_error() => {
                    let (head, body) = response.into_parts();
                    ended = self.endpoint.status(&head, &beginning(body).await);
                }
                Ok(response) => {
                    let status = response.status();
                    ended.message += &format!(", and answered {status} to a question for the rest");
                    return Err(ended);
                }
                Err(error) => ended = error,
            }
        }
    }

    /// Opens the stream on which the server speaks of its own accord, anew after each renewal.
    pub(super) fn listen(self: &Arc<Self>) {
        if self.place().messages.is_some() {
            return;
        }
        let session = self.clone();
        let listener = tokio::spawn(async move { session.hear().await }).abort_handle();
        if let Some(before) = self.place().listener.replace(listener) {
            before.abort();
        }
    }

    /// Hears what the server says of its own accord, if it says anything: nothing depends on it.
    async fn hear(&self) {
        let mut cursor = Cursor::default();
        loop {
            let mut protocol = self.place().headers();
            if let Some(last) = &cursor.last_id {
                protocol.insert(headers::LAST_EVENT_ID, last.clone());
            }
            match self.endpoint.get(&protocol, Some(self.opening_timeout)).await {
                Ok(response) if opens(&response) => {
                    let mut events = Events::new(response.into_body(), self.limits.line);
                    while let Ok(Some(event)) = events.next(&self.endpoint).await {
                        cursor.breaks = 0;
                        if event.name.is_none_or(|name| name == "message") {
                            let _ = self.feed(event.data, None).await;
                        }
                    }
                    cursor.learn(&events);
                }
                Ok(response) if response.status().is_server_error() => {}
                Ok(_) => return,
                Err(_) => {}
            }
            // As long as the session lives, because a server that is started anew may speak again.
            tokio::time::sleep(cursor.rest()).await;
            cursor.breaks = cursor.breaks.saturating_add(1);
        }
    }

    /// Reads the stream of the first revision to its end, and says how it ended.
    pub(super) async fn receive(&self, mut events: Events) -> ErrorObject {
        loop {
            match events.next(&self.endpoint).await {
                Ok(Some(event)) if event.name.as_deref().is_none_or(|name| name == "message") => {
                    if let Err(error) = self.feed(event.data, None).await {
                        return error;
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return self.endpoint.failed("closed the stream of its messages"),
                Err(error) => return error,
            }
        }
    }
}

/// How far a stream was read, and how long it rests when it has broken.
#[derive(Default)]
struct Cursor {
    last_id: Option<HeaderValue>,
    retry: Option<Duration>,
    breaks: u32,
}

impl Cursor {
    fn learn(&mut self, events: &Events) {
        let last = events.last_id().and_then(|id| HeaderValue::from_str(id).ok());
        self.last_id = last.or(self.last_id.take());
        self.retry = events.retry().or(self.retry);
    }

    fn rest(&self) -> Duration {
        let grown = REST.saturating_mul(1 << self.breaks.min(5)).min(LONGEST_REST);
        match self.retry {
            Some(retry) if self.breaks == 0 => retry.max(SHORTEST_REST),
            Some(retry) => retry.max(grown),
            None => grown,
        }
    }
}

fn opens(response: &Response<Incoming>) -> bool {
    response.status().is_success() && form(response.headers()) == Form::Events
}
