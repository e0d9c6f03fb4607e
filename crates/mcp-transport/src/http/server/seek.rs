//! A message of a session that is looked up in a store first, and kept in it afterwards.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use http::request::Parts;
use mcp_types::jsonrpc::Message;
use mcp_types::{ByteString, ErrorObject, RequestId};

use super::body::{self, Answer};
use super::legacy::{self, extensions};
use super::modern::sender;
use super::nodes::{Done, Finding, Found, Nodes};
use super::post::{Held, Of, Post};
use super::session::{Busy, Session};
use super::shared::Shared;
use super::{State, headers};
use crate::proto::server::Settings;

/// A request whose session is being looked up.
pub(super) struct Seeking {
    shared: Arc<Shared>,
    nodes: Arc<dyn Nodes>,
    parts: Arc<Parts>,
    finding: Finding,
    wanted: Option<Wanted>,
}

/// What a client wants of its session.
pub(super) enum Wanted {
    /// Takes one message, which is parsed already.
    Message(Message, ByteString),
    Batch(ByteString),
    Stream,
    End,
}

/// Looks up the session that the headers name.
pub(super) fn seek(
    shared: &Arc<Shared>,
    nodes: &Arc<dyn Nodes>,
    parts: &Arc<Parts>,
    wanted: Wanted,
) -> Result<State, Answer> {
    let id = parts.headers.get(headers::SESSION_ID).and_then(|id| id.to_str().ok());
    let id = id.ok_or_else(legacy::unnamed)?;
    let finding = nodes.find(shared, id, sender(parts));
    let (shared, nodes, parts) = (shared.clone(), nodes.clone(), parts.clone());
    let wanted = Some(wanted);
    Ok(State::Seeking { seeking: Box::new(Seeking { shared, nodes, parts, finding, wanted }) })
}

impl Seeking {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<State, Answer>> {
        let found = ready!(self.finding.as_mut().poll(cx));
        let Some(wanted) = self.wanted.take() else { return Poll::Pending };
        Poll::Ready(found.and_then(|found| self.go_on(found, wanted, cx)))
    }

    fn go_on(
        &self,
        Found { busy, settings }: Found,
        wanted: Wanted,
        cx: &mut Context<'_>,
    ) -> Result<State, Answer> {
        let Self { shared, parts, .. } = self;
        set(shared, &busy.0, parts, &settings, cx);
        let session = busy.0.clone();
        match wanted {
            Wanted::Stream => legacy::stream(shared, parts, busy, Some(cx)),
            Wanted::End => {
                let ending = self.nodes.end(shared, &session);
                Ok(waiting(ending, StatusCode::NO_CONTENT))
            }
            Wanted::Batch(text) => {
                let state = legacy::serve_batch(shared, parts.clone(), busy, &text, cx);
                Ok(self.saved(&session, state))
            }
            Wanted::Message(message, text) if is_for_another(&busy, &message) => {
                refuse_long(&text)?;
                Ok(waiting(self.nodes.pass_on(&session, &text), StatusCode::ACCEPTED))
            }
            Wanted::Message(message, _) => {
                let sets = matches!(&message, Message::Request(request) if sets(&request.method));
                let state = legacy::serve(shared, parts.clone(), busy, message, cx)?;
                Ok(if sets { self.saved(&session, state) } else { state })
            }
        }
    }

    /// Keeps what the client has set before it hears that it is set.
    fn saved(&self, session: &Arc<Session>, state: State) -> State {
        let State::Posting { post } = state else { return state };
        let (shared, parts) = (self.shared.clone(), self.parts.clone());
        let saving = self.nodes.save(&shared, session);
        let session = session.clone();
        State::Saving { saving: Box::new(Saving { shared, parts, session, saving, post }) }
    }
}

/// Whether a message sets something that other nodes have to know.
fn sets(method: &str) -> bool {
    matches!(method, "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe")
}

/// Whether a message is about a call or a question that this node knows nothing of.
fn is_for_another(busy: &Busy, message: &Message) -> bool {
    match message {
        Message::Response(response) => match &response.id {
            // Every question of ours has a number.
            Some(id @ RequestId::Number(_)) => !busy.0.has_asked(id),
            _ => false,
        },
        Message::Notification(told) if &*told.method == "notifications/cancelled" => {
            let params = mcp_types::ClientNotification::decode(&told.method, told.params.as_ref());
            let Ok(mcp_types::ClientNotification::Cancelled(params)) = params else { return false };
            !busy.0.is_taken(&params.request_id)
        }
        _ => false,
    }
}

/// How long a text may be that is passed on to another node: all nodes read it.
const LONGEST: usize = 1 << 20;

fn refuse_long(text: &ByteString) -> Result<(), Answer> {
    if text.len() <= LONGEST {
        return Ok(());
    }
    let text = format!("what is said about a call of another node has at most {LONGEST} bytes");
    let error = ErrorObject::invalid_request(text);
    Err(body::error(StatusCode::PAYLOAD_TOO_LARGE, None, &error))
}

fn set(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    parts: &Arc<Parts>,
    settings: &Settings,
    cx: &mut Context<'_>,
) {
    if !settings.is_empty() {
        let extensions = extensions(parts.clone());
        let session = session.clone();
        let act = |conn: &mut crate::proto::server::ServerConn, now| conn.set(now, settings);
        drop(Post::start(shared, session, Of::Session, extensions, cx, act));
    }
}

fn waiting(doing: Done<(), Answer>, status: StatusCode) -> State {
    let answer = Box::pin(async move {
        match doing.await {
            Ok(()) => body::empty(status),
            Err(answer) => answer,
        }
    });
    State::Waiting { answer }
}

/// A message whose effect is being kept.
pub(super) struct Saving {
    shared: Arc<Shared>,
    parts: Arc<Parts>,
    session: Arc<Session>,
    saving: Done<Settings, (Answer, Settings)>,
    post: Held,
}

impl Saving {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<State, Answer>> {
        let saved = ready!(self.saving.as_mut().poll(cx));
        let (settings, refused) = match saved {
            Ok(settings) => (settings, None),
            Err((answer, settings)) => (settings, Some(answer)),
        };
        set(&self.shared, &self.session, &self.parts, &settings, cx);
        Poll::Ready(match refused {
            Some(answer) => Err(answer),
            None => Ok(State::Posting { post: Held(self.post.0.take()) }),
        })
    }
}
