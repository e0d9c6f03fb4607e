//! What other nodes do to sessions that are in use here.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use mcp_types::ByteString;

use super::nodes::{CHANGED, ENDED, PASSED, Together, learn};
use super::post::{Of, Post};
use super::session::Session;
use super::session_store::Heard;
use super::shared::Shared;
use crate::proto::server::Settings;

/// How often a node looks for what others have told.
const PAUSE: Duration = Duration::from_millis(250);

/// Hears the others, as long as there are sessions here; and keeps those alive that are in use though
/// their clients say nothing, because a stream is open or a call runs.
pub(super) async fn hear(nodes: Together, shared: Weak<Shared>) {
    let mut heard: Option<Heard> = None;
    // What was told before is not known.
    let mut unsure = true;
    let mut looked = tokio::time::Instant::now();
    loop {
        let Some(server) = shared.upgrade() else { return };
        match nodes.0.hear(heard.clone()).await {
            Ok(news) => {
                unsure |= news.lost;
                heard = Some(news.heard);
                let more = !news.told.is_empty();
                for (id, told) in news.told {
                    unsure |= take(&nodes, &server, &id, &told).await.is_err();
                }
                let step = (server.options.session_idle / 4).min(Duration::from_secs(60));
                if unsure || looked.elapsed() >= step {
                    looked = tokio::time::Instant::now();
                    unsure = look_after(&nodes, &server).await.is_err();
                }
                if more {
                    continue;
                }
            }
            Err(_) => unsure = true,
        }
        drop(server);
        tokio::time::sleep(PAUSE).await;
    }
}

/// The store could not be asked.
struct Unsure;

/// Takes what another node told of a session.
async fn take(
    nodes: &Together,
    shared: &Arc<Shared>,
    id: &str,
    told: &Bytes,
) -> Result<(), Unsure> {
    let Some((kind, text)) = told.split_first() else { return Ok(()) };
    match *kind {
        ENDED => {
            if let Some(session) = shared.sessions.remove(id) {
                session.close();
            }
        }
        CHANGED => {
            if let Some(session) = shared.sessions.in_use(id) {
                look_at(nodes, shared, &session).await?;
            }
        }
        PASSED => {
            let text = ByteString::try_from(Bytes::copy_from_slice(text));
            if let (Some(busy), Ok(text)) = (shared.sessions.held(id), text) {
                // A node knows its own calls and questions, and passes over all others.
                work(shared, &busy.0, |conn, now| conn.handle(now, &text)).await;
            }
        }
        // Of a release that knows more.
        _ => {}
    }
    Ok(())
}

/// Looks at all sessions that are in use, which keeps them alive.
async fn look_after(nodes: &Together, shared: &Arc<Shared>) -> Result<(), Unsure> {
    for session in shared.sessions.all_in_use() {
        look_at(nodes, shared, &session).await?;
    }
    Ok(())
}

async fn look_at(
    nodes: &Together,
    shared: &Arc<Shared>,
    session: &Arc<Session>,
) -> Result<(), Unsure> {
    let kept = nodes.look_up(shared, &session.id).await.map_err(|_| Unsure)?;
    let Some(kept) = kept else { return Ok(()) };
    if let Ok(settings) = learn(session, &kept)
        && !settings.is_empty()
    {
        set(shared, session, &settings).await;
    }
    Ok(())
}

async fn set(shared: &Arc<Shared>, session: &Arc<Session>, settings: &Settings) {
    work(shared, session, |conn, now| conn.set(now, settings)).await;
}

/// Works on a session for nobody in particular; what begins by it is whoever's who reads.
async fn work(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    act: impl FnOnce(&mut crate::proto::server::ServerConn, std::time::Instant),
) {
    let mut act = Some(act);
    poll_fn(|cx| {
        if let Some(act) = act.take() {
            let extensions = session.reader();
            drop(Post::start(shared, session.clone(), Of::Session, extensions, cx, act));
        }
        Poll::Ready(())
    })
    .await;
}
