//! Sessions that other nodes serve too: what a server asks its [`SessionStore`], and what it does with
//! the answers.
//!
//! A node that is asked for a session looks it up, once for each message of its client, so that one
//! that ended elsewhere has ended here. What it needs beside the record it makes anew: a connection of
//! its own, with streams of its own. Calls, and questions to the client, stay with the node that runs
//! them; what a client says about them to another node is passed on.
//!
//! It stands behind [`Nodes`], so that a server without a store carries none of it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use mcp_types::{BoxFuture, ByteString, ErrorObject, Principal};
use serde::{Deserialize, Serialize};

use super::body::{Answer, unavailable};
use super::event_store::{EventPlace, EventStore};
use super::follow::{Follow, Following};
use super::hearing;
use super::legacy::{broken, no_such_session};
use super::session::{Busy, Known, Owner, Session};
use super::session_store::{Insertion, KeptSession, SessionStore, SessionStoreError, Updated};
use super::shared::Shared;
use crate::proto::server::{Remembered, ServerConn, Settings};

/// What a server does for sessions that other nodes serve too.
pub(super) trait Nodes: Send + Sync {
    /// The session with this id, if it is the caller's: one lookup.
    fn find(&self, shared: &Arc<Shared>, id: &str, who: Option<&Principal>) -> Finding;

    /// Keeps a session that has just begun.
    fn keep(&self, shared: &Arc<Shared>, session: &Arc<Session>) -> Done<(), Answer>;

    /// Keeps what the client has set; gives what it has set elsewhere meanwhile, or what has to be set
    /// here because it could not be kept.
    fn save(
        &self,
        shared: &Arc<Shared>,
        session: &Arc<Session>,
    ) -> Done<Settings, (Answer, Settings)>;

    /// Ends a session on all nodes.
    fn end(&self, shared: &Arc<Shared>, session: &Arc<Session>) -> Done<(), Answer>;

    /// Passes on what the client says about something that another node does.
    fn pass_on(&self, session: &Arc<Session>, text: &ByteString) -> Done<(), Answer>;

    /// Hears what other nodes do to sessions that are in use here.
    fn hear(&self, shared: Weak<Shared>) -> BoxFuture<'static, ()>;

    /// Reads a stream that another node writes.
    fn follow(&self, store: Arc<dyn EventStore>, after: EventPlace) -> Box<dyn Follow>;
}

pub(super) type Done<T, E> = BoxFuture<'static, Result<T, E>>;

pub(super) type Finding = Done<Found, Answer>;

/// A session that was looked up, and what its client has set elsewhere since.
pub(super) struct Found {
    pub(super) busy: Busy,
    pub(super) settings: Settings,
}

/// What nodes tell each other of a session, before the first byte of a message.
pub(super) const ENDED: u8 = b'E';
pub(super) const CHANGED: u8 = b'C';
pub(super) const PASSED: u8 = b'P';

/// How long a session lives that was never used after its handshake.
const FIRST: Duration = Duration::from_secs(300);

/// How long the text may be that is kept of a session.
const LONGEST: usize = 512 << 10;

/// How long an id may be that is looked up; ours have 32 letters.
const LONGEST_ID: usize = 128;

/// How often an update is tried that meets others.
const TRIES: usize = 8;

/// The nodes that share a store.
#[derive(Clone)]
pub(super) struct Together(pub(super) Arc<dyn SessionStore>);

/// What is kept of a session.
#[derive(Serialize, Deserialize)]
struct Record {
    owner: Owner,
    said: Remembered,
}

impl Record {
    fn write(owner: &Owner, said: &Remembered) -> Option<Bytes> {
        let record = Self { owner: owner.clone(), said: said.clone() };
        let text = serde_json::to_vec(&record).ok()?;
        (text.len() <= LONGEST).then(|| text.into())
    }

    fn read(kept: &KeptSession) -> Result<Self, Answer> {
        serde_json::from_slice(&kept.record).map_err(|error| {
            tracing::error!(%error, "a session that is kept cannot be read");
            internal("what is kept of the session cannot be read, begin a new one")
        })
    }
}

impl Together {
    async fn find(
        self,
        shared: Arc<Shared>,
        id: Arc<str>,
        who: Option<Principal>,
    ) -> Result<Found, Answer> {
        let kept = if id.len() > LONGEST_ID { None } else { self.look_up(&shared, &id).await? };
        let Some(kept) = kept else { return Err(no_such_session()) };
        if let Some(busy) = shared.sessions.held(&id) {
            // Somebody else's session is no session: its existence is nobody's business.
            if !busy.0.belongs_to(who.as_ref()) {
                return Err(no_such_session());
            }
            let settings = learn(&busy.0, &kept)?;
            return Ok(Found { busy, settings });
        }
        let Record { owner, said } = Record::read(&kept)?;
        let now = tokio::time::Instant::now().into_std();
        let conn = ServerConn::resumed(shared.options.limits, now, &said);
        let Some(conn) = conn else {
            return Err(internal("the session is of a revision that this node does not serve"));
        };
        let session = Session::of(id, owner, kept.record.len() * 2, conn);
        if !session.belongs_to(who.as_ref()) {
            return Err(no_such_session());
        }
        join(&session, Known::new(kept.version, said, true))?;
        // Another message of the client may have been faster.
        let busy = shared.sessions.insert(&shared, session).ok_or_else(crowded)?;
        let settings = learn(&busy.0, &kept)?;
        Ok(Found { busy, settings })
    }

    /// The session as it is kept. One that has ended ends here.
    pub(super) async fn look_up(
        &self,
        shared: &Arc<Shared>,
        id: &str,
    ) -> Result<Option<KeptSession>, Answer> {
        let kept = self.0.find(id, shared.options.session_idle).await.map_err(failed)?;
        if kept.is_none()
            && let Some(session) = shared.sessions.remove(id)
        {
            session.close();
        }
        Ok(kept)
    }

    async fn keep(self, shared: Arc<Shared>, session: Arc<Session>) -> Result<(), Answer> {
        let said = session.remembered();
        let record = said.and_then(|said| Some((Record::write(session.owner(), &said)?, said)));
        let Some((record, said)) = record else {
            return Err(internal("the handshake cannot be kept"));
        };
        let life = shared.options.session_idle.min(FIRST);
        match self.0.insert(&session.id, record, life).await.map_err(failed)? {
            Insertion::Kept => join(&session, Known::new(1, said, false)),
            Insertion::Taken => Err(internal("the session could not begin, try again")),
        }
    }

    async fn save(
        self,
        shared: Arc<Shared>,
        session: Arc<Session>,
    ) -> Result<Settings, (Answer, Settings)> {
        let Some(saving) = session.saving() else { return Ok(Settings::default()) };
        // One at a time: the next one sees what this one has kept.
        let _saving = saving.lock().await;
        let Some((before, mut version, ours)) = session.difference() else {
            return Ok(Settings::default());
        };
        let set = Settings::between(&before, &ours);
        if set.is_empty() {
            return Ok(set);
        }
        let undo = || Settings::between(&ours, &before);
        let mut said = before.clone();
        for _ in 0..TRIES {
            let theirs = Settings::between(&before, &said);
            said.set(&set);
            let Some(record) = Record::write(session.owner(), &said) else {
                return Err((internal("there is no room to keep more of the session"), undo()));
            };
            let life = shared.options.session_idle;
            let updated = self.0.update(&session.id, version, record, life).await;
            match updated.map_err(|error| (failed(error), undo()))? {
                Updated::Kept => {
                    session.learn(version + 1, &said);
                    // Who does not hear of it now does with the next message.
                    let _ = self.0.tell(&session.id, Bytes::from_static(&[CHANGED])).await;
                    return Ok(theirs);
                }
                Updated::Newer(kept) => {
                    let record = Record::read(&kept).map_err(|answer| (answer, undo()))?;
                    (said, version) = (record.said, kept.version);
                }
                Updated::Gone => return Err((no_such_session(), undo())),
            }
        }
        let error = ErrorObject::internal("the session changes too often, try again later");
        Err((unavailable(None, &error), undo()))
    }

    async fn end(self, shared: Arc<Shared>, session: Arc<Session>) -> Result<(), Answer> {
        self.0.remove(&session.id).await.map_err(failed)?;
        shared.sessions.remove(&session.id);
        session.close();
        if let Some(events) = &shared.options.event_store {
            events.forget(&session.id).await;
        }
        // A node that does not hear of it now does when it looks after its sessions.
        let _ = self.0.tell(&session.id, Bytes::from_static(&[ENDED])).await;
        Ok(())
    }
}

/// What the client has set elsewhere since this node last looked; from here on it is known.
pub(super) fn learn(session: &Session, kept: &KeptSession) -> Result<Settings, Answer> {
    if session.known_version().is_none_or(|known| known >= kept.version) {
        return Ok(Settings::default());
    }
    let said = Record::read(kept)?.said;
    Ok(session.learn(kept.version, &said))
}

/// Gives the session numbers for streams and questions that no other node gives.
fn join(session: &Session, known: Known) -> Result<(), Answer> {
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        return Err(internal("no session can be served: the system gave no randomness"));
    }
    let random = u128::from_be_bytes(random);
    // An id is a number that every reader of JSON knows exactly, with room to count on.
    let question = i64::try_from(random & ((1 << 52) - 1)).unwrap_or_default();
    let streams = u64::try_from(random >> 96).unwrap_or_default().max(1) << 32;
    session.join(known, streams, question);
    Ok(())
}

fn internal(text: &str) -> Answer {
    broken(&ErrorObject::internal(text))
}

fn crowded() -> Answer {
    let text = "there are as many sessions as there may be, try again later";
    unavailable(None, &ErrorObject::internal(text))
}

/// The answer where the store does not answer: whether there is such a session is not known.
fn failed(error: SessionStoreError) -> Answer {
    tracing::debug!(%error, "a session cannot be served");
    let text = "sessions cannot be looked up at the moment, try again later";
    unavailable(None, &ErrorObject::internal(text))
}

impl Nodes for Together {
    fn find(&self, shared: &Arc<Shared>, id: &str, who: Option<&Principal>) -> Finding {
        Box::pin(self.clone().find(shared.clone(), id.into(), who.cloned()))
    }

    fn keep(&self, shared: &Arc<Shared>, session: &Arc<Session>) -> Done<(), Answer> {
        Box::pin(self.clone().keep(shared.clone(), session.clone()))
    }

    fn save(
        &self,
        shared: &Arc<Shared>,
        session: &Arc<Session>,
    ) -> Done<Settings, (Answer, Settings)> {
        Box::pin(self.clone().save(shared.clone(), session.clone()))
    }

    fn end(&self, shared: &Arc<Shared>, session: &Arc<Session>) -> Done<(), Answer> {
        Box::pin(self.clone().end(shared.clone(), session.clone()))
    }

    fn pass_on(&self, session: &Arc<Session>, text: &ByteString) -> Done<(), Answer> {
        let mut told = vec![PASSED];
        told.extend_from_slice(text.as_bytes());
        let telling = self.0.tell(&session.id, told.into());
        Box::pin(async move { telling.await.map_err(failed) })
    }

    fn hear(&self, shared: Weak<Shared>) -> BoxFuture<'static, ()> {
        Box::pin(hearing::hear(self.clone(), shared))
    }

    fn follow(&self, store: Arc<dyn EventStore>, after: EventPlace) -> Box<dyn Follow> {
        Box::new(Following::new(store, after))
    }
}
