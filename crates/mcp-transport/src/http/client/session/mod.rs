//! A session with a server that wants a handshake: a task that carries a [`ClientConn`] over HTTP.
//!
//! What the connection says is POSTed, each message for itself; what comes back, on the streams of
//! those POSTs or on the one that a GET opens, is given to it. See the specification (2025-11-25),
//! "Transports", "Streamable HTTP".
//!
//! [`ClientConn`]: crate::proto::client::ClientConn

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use hyper::body::Incoming;
use mcp_types::jsonrpc::Response as Answer;
use mcp_types::version::Era;
use mcp_types::{ErrorObject, Origin, RequestId, ServerNotification};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, Sleep};

use super::HttpConnectOptions;
use super::answer::{
    Events, Form, NoAnswer, answer_in, answer_of, beginning, excerpt, form, text, whole,
};
use super::endpoint::{Endpoint, http_status};
use super::sse_2024;
use crate::driver::{Connection, Shared, carried, closed, guarded};
use crate::framing::FrameLimits;
use crate::http::headers;

mod streams;

/// How many notifications and answers of ours may wait before no more is read, how many of them
/// are sent at once, and how long one may take.
const MOST_OWED: usize = 256;
const MOST_SENDING: usize = 8;
const LONGEST_TELLING: Duration = Duration::from_secs(30);

/// How long the end of a session may take.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) struct Session {
    endpoint: Arc<Endpoint>,
    shared: Arc<Shared>,
    limits: FrameLimits,
    on_notification: Option<Arc<dyn Fn(ServerNotification) + Send + Sync>>,
    opening_timeout: Duration,
    /// What the server said to a discovery, for the text of an error.
    before: Option<String>,
    place: Mutex<Place>,
    /// One renewal at a time.
    renewing: tokio::sync::Mutex<()>,
    /// Notifications and answers of ours that are on their way.
    owed: Arc<Semaphore>,
    /// Those of them that are being sent.
    sending: Semaphore,
    /// Requests that wait for their answers, to be aborted when nobody waits any more.
    posts: Mutex<HashMap<RequestId, AbortHandle>>,
}

/// Where messages go, and what goes with them.
#[derive(Clone, Default)]
struct Place {
    session: Option<HeaderValue>,
    version: Option<HeaderValue>,
    /// How many sessions there were before.
    epoch: u64,
    /// In the first revision: where the server wants messages.
    messages: Option<Uri>,
    handshake: Option<(Bytes, RequestId)>,
    initialized: Bytes,
    listener: Option<AbortHandle>,
}

/// A message of ours, with the request to which it belongs.
type Outgoing = (Bytes, Option<RequestId>);

impl Session {
    /// A connection whose first exchange shakes hands with the server.
    pub(super) fn start(
        endpoint: Arc<Endpoint>,
        options: &HttpConnectOptions,
        before: Option<String>,
    ) -> Connection {
        let mut config = options.config.clone();
        config.era = Some(Era::Legacy);
        let opening_timeout = config.opening_timeout;
        let (connection, shared) = carried(config);
        let session = Arc::new(Self {
            endpoint,
            shared,
            limits: options.frame,
            on_notification: options.on_notification.clone(),
            opening_timeout,
            before,
            place: Mutex::default(),
            renewing: tokio::sync::Mutex::default(),
            owed: Arc::new(Semaphore::new(MOST_OWED)),
            sending: Semaphore::new(MOST_SENDING),
            posts: Mutex::default(),
        });
        tokio::spawn(session.run());
        connection
    }

    async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        let lost = match self.open(&mut tasks).await {
            Ok(()) => self.carry(&mut tasks).await,
            Err(error) => error,
        };
        self.shared.lose(lost, None);
        drop(tasks);
        if let Some(listener) = self.place().listener.take() {
            listener.abort();
        }
        self.leave().await;
        self.shared.finish();
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn posts(&self) -> MutexGuard<'_, HashMap<RequestId, AbortHandle>> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` unless the connection is closed on this side, which gives `None`.
    async fn unless_closing<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            let mut state = self.shared.lock();
            if state.closing {
                return Poll::Ready(None);
            }
            state.driver = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Waits until the connection has said something, and gives it.
    async fn said(&self) -> Vec<Outgoing> {
        poll_fn(|cx| {
            let mut state = self.shared.lock();
            let said = drain(&mut state.conn);
            if !said.is_empty() || state.conn.failure().is_some() {
                return Poll::Ready(said);
            }
            state.driver = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Shakes hands, says that this is done, and listens.
    async fn open(self: &Arc<Self>, tasks: &mut JoinSet<()>) -> Result<(), ErrorObject> {
        self.unless_closing(self.shake_hands(tasks)).await.unwrap_or_else(|| Err(closed()))
    }

    /// Waits for something that the server has to do in the opening.
    async fn soon<T>(&self, work: impl Future<Output = T>) -> Result<T, ErrorObject> {
        let done = tokio::time::timeout(self.opening_timeout, work).await;
        done.map_err(|_| self.endpoint.late())
    }

    async fn shake_hands(self: &Arc<Self>, tasks: &mut JoinSet<()>) -> Result<(), ErrorObject> {
        let mut said = self.said().await.into_iter();
        let Some((handshake, Some(id))) = said.next() else { return Err(closed()) };
        self.place().handshake = Some((handshake.clone(), id.clone()));
        self.offer(handshake, &id, tasks).await?;
        // The connection says that it is ready, and then what has waited for that.
        let mut said = self.soon(self.said()).await?.into_iter();
        {
            let state = self.shared.lock();
            if let Some(error) = state.conn.failure() {
                return Err(error.clone());
            }
            let version = state.conn.version();
            drop(state);
            let mut place = self.place();
            if place.messages.is_none() {
                place.version = version.map(|version| HeaderValue::from_static(version.as_str()));
            }
        }
        if let Some((initialized, _)) = said.next() {
            self.place().initialized = initialized.clone();
            // Requests that overtake this one would be refused.
            self.tell_server(initialized).await?;
        }
        self.listen();
        for (message, id) in said {
            self.send(message, id, tasks);
        }
        Ok(())
    }

    /// POSTs the handshake; where the server takes no POST, opens the stream of the first revision.
    async fn offer(
        self: &Arc<Self>,
        handshake: Bytes,
        id: &RequestId,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), ErrorObject> {
        let endpoint = &self.endpoint;
        let patience = Some(self.opening_timeout);
        let none = HeaderMap::new();
        let response = endpoint.post(&endpoint.uri, &none, handshake.clone(), patience).await;
        let response = response.map_err(|error| self.in_full(error))?;
        let session = session_id(response.headers());
        let refused = match self.soon(answer_of(endpoint, self.limits, response, id)).await? {
            Ok((status, answer)) if status.is_success() || !is_old(status) => {
                self.place().session = session;
                self.give(answer);
                return Ok(());
            }
            // An error of the protocol, under a status that older servers have for every POST.
            Ok((status, answer)) => {
                let message = answer.result.err().map(|error| error.message).unwrap_or_default();
                endpoint.failed(&format!("answered {status}: {message}"))
            }
            Err(NoAnswer { error, status }) if status.is_some_and(is_old) => error,
            Err(none) => return Err(self.in_full(none.error)),
        };
        let (messages, events) =
            match sse_2024::open(endpoint, self.limits, self.opening_timeout).await {
                Ok(opened) => opened,
                Err(stream) => {
                    let mut refused = refused;
                    refused.message = format!("{}; a GET: {}", refused.message, stream.message);
                    return Err(self.in_full(refused));
                }
            };
        self.place().messages = Some(messages);
        let session = self.clone();
        tasks.spawn(async move {
            let lost = session.receive(events).await;
            session.shared.lose(lost, None);
            session.shared.lock().wake_driver();
        });
        self.tell_server(handshake).await
    }

    /// An error of the opening, with what came before it.
    fn in_full(&self, mut error: ErrorObject) -> ErrorObject {
        if let Some(before) = &self.before {
            error.message = format!("{}; before, a discovery: {before}", error.message);
        }
        if matches!(http_status(&error), Some(404 | 405)) {
            error.message += "; is the path of the URL right? most servers have `/mcp`";
        }
        error
    }

    /// Carries messages until the connection ends, and says how it did.
    async fn carry(self: &Arc<Self>, tasks: &mut JoinSet<()>) -> ErrorObject {
        let mut timer = None;
        poll_fn(|cx| {
            loop {
                let mut state = self.shared.lock();
                state.driver = Some(cx.waker().clone());
                state.conn.handle_timeout(Instant::now().into_std());
                let unrelated = state.run_events();
                let said = drain(&mut state.conn);
                self.give_up(&state.conn);
                if let Some(error) = state.conn.failure() {
                    return Poll::Ready(error.clone());
                }
                let (closing, deadline) = (state.closing, state.conn.poll_timeout());
                drop(state);
                unrelated.into_iter().for_each(|notification| self.tell(notification));
                if closing {
                    return Poll::Ready(closed());
                }
                for (message, id) in said {
                    self.send(message, id, tasks);
                }
                while let Poll::Ready(Some(_)) = tasks.poll_join_next(cx) {}
                if poll_timer(&mut timer, cx, deadline).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Stops waiting for answers that nobody wants any more.
    fn give_up(&self, conn: &crate::proto::client::ClientConn) {
        let mut posts = self.posts();
        if posts.len() <= conn.in_flight() {
            return;
        }
        posts.retain(|id, post| {
            let wanted = conn.awaits(id);
            if !wanted {
                post.abort();
            }
            wanted
        });
    }

    /// Sends a message, without waiting for what comes of it.
    fn send(self: &Arc<Self>, message: Bytes, id: Option<RequestId>, tasks: &mut JoinSet<()>) {
        let session = self.clone();
        let Some(id) = id else {
            // Without room for once is better than never: readers wait until there is some.
            let room = self.owed.clone().try_acquire_owned();
            tasks.spawn(async move {
                let _room = room;
                let Ok(_turn) = session.sending.acquire().await else { return };
                // Nobody waits for a notification or an answer; a server that is gone is met by
                // the next request.
                let _ = session.tell_server(message).await;
            });
            return;
        };
        let mut posts = self.posts();
        let name = id.clone();
        let post = tasks.spawn(async move {
            let asked = session.ask(message, &id).await;
            session.posts().remove(&id);
            if let Err(error) = asked {
                session.give(Answer { id: Some(id), result: Err(error) });
            }
        });
        posts.insert(name, post);
    }

    /// POSTs a request and takes what comes on its stream, up to its answer.
    async fn ask(self: &Arc<Self>, message: Bytes, id: &RequestId) -> Result<(), ErrorObject> {
        let mut renewed = false;
        loop {
            let place = self.place().clone();
            let to = place.messages.as_ref().unwrap_or(&self.endpoint.uri);
            // How long the answer may take is the connection's business.
            let response = self.endpoint.post(to, &place.headers(), message.clone(), None).await?;
            let status = response.status();
            if status == StatusCode::NOT_FOUND && place.session.is_some() && !renewed {
                drop(response);
                self.renew(place.epoch).await?;
                renewed = true;
                continue;
            }
            if place.messages.is_some() && status.is_success() {
                // The answer comes on the stream that was opened first.
                return Ok(());
            }
            return self.take(response, id).await;
        }
    }

    /// POSTs what wants no answer.
    async fn tell_server(&self, message: Bytes) -> Result<(), ErrorObject> {
        let place = self.place().clone();
        let to = place.messages.as_ref().unwrap_or(&self.endpoint.uri);
        let patience = Some(LONGEST_TELLING);
        let response = self.endpoint.post(to, &place.headers(), message, patience).await?;
        if !response.status().is_success() {
            let (head, body) = response.into_parts();
            return Err(self.endpoint.status(&head, &beginning(body).await));
        }
        if !matches!(response.status(), StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            // Read to its end, so that the connection can be used again.
            beginning(response.into_body()).await;
        }
        Ok(())
    }

    async fn take(
        self: &Arc<Self>,
        response: Response<Incoming>,
        id: &RequestId,
    ) -> Result<(), ErrorObject> {
        let (head, body) = response.into_parts();
        let endpoint = &self.endpoint;
        if head.status.is_success() && form(&head.headers) == Form::Events {
            return self.follow(Events::new(body, self.limits.line), id).await;
        }
        let body = match head.status.is_success() && form(&head.headers) == Form::Json {
            true => whole(endpoint, body, self.limits.line).await?,
            false => beginning(body).await,
        };
        if let Some(answer) = answer_in(self.limits, &body, id) {
            // An error without an id is about the request that it came back to.
            self.give(Answer { id: Some(id.clone()), ..answer });
        } else if head.status.is_success() && form(&head.headers) == Form::Json {
            self.feed(body.clone(), Some(id)).await?;
        }
        match self.shared.lock().conn.awaits(id) {
            true => Err(endpoint.status(&head, &body)),
            false => Ok(()),
        }
    }

    /// Gives the connection a message that came on the stream of a request, or on none.
    ///
    /// Waits while much is owed, so that a server that asks and asks waits for itself.
    async fn feed(&self, message: Bytes, stream: Option<&RequestId>) -> Result<(), ErrorObject> {
        drop(self.owed.acquire().await);
        let Some(text) = text(&self.endpoint, self.limits, message)? else { return Ok(()) };
        let mut state = self.shared.lock();
        state.conn.handle_on(Instant::now().into_std(), &text, stream);
        let unrelated = state.run_events();
        state.wake_driver();
        drop(state);
        unrelated.into_iter().for_each(|notification| self.tell(notification));
        Ok(())
    }

    /// Gives the connection an answer.
    fn give(&self, answer: Answer) {
        let mut state = self.shared.lock();
        state.conn.handle_response(Instant::now().into_std(), answer);
        let unrelated = state.run_events();
        state.wake_driver();
        drop(state);
        unrelated.into_iter().for_each(|notification| self.tell(notification));
    }

    fn tell(&self, notification: ServerNotification) {
        if let Some(take) = &self.on_notification {
            // What a listener of the application does must not end the connection.
            let _ = guarded(|| take(notification));
        }
    }

    /// Begins a new session after the server has forgotten the one of `epoch`.
    ///
    /// What was in flight in it is lost; what is sent from now on is not.
    async fn renew(self: &Arc<Self>, epoch: u64) -> Result<(), ErrorObject> {
        let _turn = self.renewing.lock().await;
        let place = self.place().clone();
        if place.epoch != epoch {
            return Ok(());
        }
        let endpoint = &self.endpoint;
        let Some((handshake, id)) = place.handshake else { return Err(closed()) };
        let (none, patience) = (HeaderMap::new(), Some(self.opening_timeout));
        let response = endpoint.post(&endpoint.uri, &none, handshake, patience).await?;
        let session = session_id(response.headers());
        let answer = self.soon(answer_of(endpoint, self.limits, response, &id)).await?;
        let (_, answer) = answer.map_err(|none| none.error)?;
        let result = answer.result.map_err(|error| {
            endpoint.failed(&format!("has ended the session and begins no other: {error}"))
        })?;
        if settled(&result).as_deref() != place.version.as_ref().and_then(|text| text.to_str().ok())
        {
            return Err(endpoint.broken("has begun another session in another revision"));
        }
        {
            let mut place = self.place();
            place.session = session;
            place.epoch += 1;
        }
        {
            // A new session knows nothing of what the old one was asked to tell.
            let text = "the server has ended the session, and with it the subscription";
            let mut state = self.shared.lock();
            state.conn.end_listeners(&ErrorObject::local(Origin::Connection, text));
            state.run_events();
        }
        self.tell_server(place.initialized).await?;
        self.listen();
        Ok(())
    }

    /// Ends the session at the server, which may not care.
    async fn leave(&self) {
        let place = self.place().clone();
        if place.session.is_none() || place.messages.is_some() {
            return;
        }
        let (uri, protocol) = (&self.endpoint.uri, place.headers());
        let ending = self.endpoint.send(&Method::DELETE, uri, &protocol, Bytes::new(), None);
        let _ = tokio::time::timeout(FAREWELL, ending).await;
    }
}

impl Place {
    fn headers(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(4);
        if let Some(session) = &self.session {
            map.insert(headers::SESSION_ID, session.clone());
        }
        if let Some(version) = &self.version {
            map.insert(headers::PROTOCOL_VERSION, version.clone());
        }
        map
    }
}

/// What the connection wants to say.
fn drain(conn: &mut crate::proto::client::ClientConn) -> Vec<Outgoing> {
    let mut said = Vec::new();
    while let Some(transmit) = conn.poll_transmit() {
        said.push((Bytes::copy_from_slice(transmit.message), transmit.relates_to.cloned()));
    }
    said
}

/// A status with which servers of the first revision refuse every POST at their URL.
fn is_old(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 404 | 405)
}

/// The session's id; what is no visible ASCII is none (2025-11-25, "Session Management").
fn session_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(headers::SESSION_ID)?;
    let visible = !id.is_empty() && id.as_bytes().iter().all(u8::is_ascii_graphic);
    visible.then(|| {
        let mut id = id.clone();
        id.set_sensitive(true);
        id
    })
}

/// The revision that a handshake's result settles.
fn settled(result: &mcp_types::RawText) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Settled {
        #[serde(rename = "protocolVersion")]
        version: String,
    }
    result.parse::<Settled>().ok().map(|settled| excerpt(settled.version.as_bytes()))
}

fn poll_timer(
    timer: &mut Option<Pin<Box<Sleep>>>,
    cx: &mut Context<'_>,
    deadline: Option<std::time::Instant>,
) -> Poll<()> {
    let Some(deadline) = deadline.map(Instant::from_std) else {
        *timer = None;
        return Poll::Pending;
    };
    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
    if timer.deadline() != deadline {
        timer.as_mut().reset(deadline);
    }
    timer.as_mut().poll(cx)
}
