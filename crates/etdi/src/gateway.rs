//! Several servers behind one endpoint, each behind a guard of its own.
//!
//! A client sees one server. Tools, prompts and tasks are named `alias__name`, resources keep their URIs
//! and belong to the server that lists them first (see [`Group`]). What a server lists is verified and
//! approved under the name that the server gives it, by its [guard](crate::guard), before it is renamed;
//! since nothing that was signed holds for a renamed tool, signatures go no further than here.
//!
//! ```no_run
//! use etdi::{EtdiClient, Gateway, Program};
//! use mcp_types::Implementation;
//!
//! # async fn example() -> Result<(), etdi::Error> {
//! let gateway = Gateway::new(Implementation::new("all", "1.0.0"))
//!     .server("notes", |_| async {
//!         let guard = EtdiClient::builder().build().guard().trust_first_use(true);
//!         Ok((guard, Program::new(["notes-server"]).into()))
//!     })
//!     .on_note(|line| eprintln!("{line}"));
//! gateway.serve(mcp_transport::stdio()?).await
//! # }
//! ```
//!
//! # What fails
//!
//! A server that cannot be started, ends, or does not answer takes no other with it: what it offers is
//! left out, its calls are answered by an error, and it is started again after a pause that grows from a
//! quarter of a second to a minute. Clients are told that lists have changed, when one goes that had
//! answered, and when it answers again. A call that it was at when it ended is not made again.
//!
//! # Who shares what
//!
//! Where callers are known by a [`Principal`](mcp_types::Principal), each has connections of its own to
//! all servers, started with its first request: no question, task, state or session of a server gets from
//! one to another. At most 32 are served at once, and whoever has been idle longest makes room. All who
//! are not told apart share one. Approvals, the audit trail, and what the gateway itself shows to
//! servers (variables, headers, logins) are the same for all.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use etdi_core::change::visible;
use etdi_core::flow::FlowTracker;
use mcp_client::Group;
use mcp_transport::{ClientPeer, Io, ServeOptions, serve_with};
use mcp_types::{BoxFuture, Implementation};

use crate::{Error, Guard, Target};

mod door;
mod lanes;
mod listen;
mod naming;
mod upstream;

pub use lanes::Gatewayed;

/// Why a server cannot be reached, to show.
pub type Unreached = Box<dyn std::error::Error + Send + Sync>;

/// How a server is reached, each time that it has to be started.
type Reach = Arc<
    dyn Fn(Option<FlowTracker>) -> BoxFuture<'static, Result<(Guard, Target), Unreached>>
        + Send
        + Sync,
>;

/// A conversation's tracker of flows.
type Flows = Arc<dyn Fn() -> FlowTracker + Send + Sync>;

/// How many resources that two servers have are spoken of, and how much of each URI.
const MOST_COLLISIONS: usize = 64;
const MOST_SHOWN: usize = 256;

type Note = Arc<dyn Fn(&str) + Send + Sync>;

/// A gateway in the making; see the [module](self).
#[derive(Clone)]
#[must_use = "a gateway does nothing until it serves"]
pub struct Gateway {
    info: Implementation,
    instructions: Option<String>,
    members: Vec<(String, Reach)>,
    flows: Option<Flows>,
    note: Note,
    idle: Option<Duration>,
}

impl Gateway {
    /// A gateway that gives itself this name, to show.
    pub fn new(info: Implementation) -> Self {
        let note: Note = Arc::new(|line| tracing::warn!("{line}"));
        Self { info, instructions: None, members: Vec::new(), flows: None, note, idle: None }
    }

    /// Adds a server under an alias of up to 32 letters, digits, `-` and single `_` between them.
    ///
    /// `reach` gives its guard and where it is, each time that it is started: for each caller that is
    /// told apart, and again after it has ended. It is given the flow tracker of the caller's
    /// conversation, where there is one, for [`EtdiClientBuilder::flows`](crate::EtdiClientBuilder::flows).
    pub fn server<F>(
        mut self,
        alias: impl Into<String>,
        reach: impl Fn(Option<FlowTracker>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(Guard, Target), Unreached>> + Send + 'static,
    {
        let reach: Reach = Arc::new(move |flows| Box::pin(reach(flows)));
        self.members.push((alias.into(), reach));
        self
    }

    /// Says how to use the gateway, for the model; the servers' own instructions follow.
    pub fn instructions(mut self, text: impl Into<String>) -> Self {
        self.instructions = Some(text.into());
        self
    }

    /// Makes the tracker that all servers of one caller share, so that text of one server is recognised
    /// on its way to another.
    pub fn flows(mut self, flows: impl Fn() -> FlowTracker + Send + Sync + 'static) -> Self {
        self.flows = Some(Arc::new(flows));
        self
    }

    /// Takes what the gateway has to say of its servers, line by line; by default that is a warning
    /// in the log. Guards say theirs by [`Guard::on_note`].
    pub fn on_note(mut self, note: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.note = Arc::new(note);
        self
    }

    /// Ends the servers of a caller who has asked nothing for so long, a subscription being a question
    /// that lasts; they are started again with the next request. By default they end only when another
    /// caller needs the room. Nothing of this holds where one client is [served](Self::serve) on a stream.
    pub fn idle(mut self, after: Duration) -> Self {
        self.idle = Some(after);
        self
    }

    /// Starts all servers, and serves one client until it is gone; the servers are ended with it.
    ///
    /// # Errors
    ///
    /// [`Error::Names`] for an alias that is none or is taken, and [`Error::Start`] when the client's
    /// stream fails.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with timers.
    pub async fn serve(self, io: Io) -> Result<(), Error> {
        let client = ClientPeer::new();
        let gatewayed = Gatewayed::new(self, Some(client.clone()))?;
        gatewayed.start();
        let mut options = ServeOptions::default();
        options.client = Some(client);
        let served = serve_with(gatewayed.clone(), io, options).await;
        gatewayed.close().await;
        Ok(served?)
    }

    /// The gateway as a service, to be served in any way. Servers are started when the first request
    /// comes. What they ask outside of any call is refused, because nobody knows which client that is
    /// for.
    ///
    /// # Errors
    ///
    /// [`Error::Names`] for an alias that is none or is taken.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with timers.
    pub fn open(self) -> Result<Gatewayed, Error> {
        Gatewayed::new(self, None)
    }

    /// The servers as one.
    fn group(&self, doors: Vec<door::Door>) -> Result<Group, Error> {
        let mut group = Group::builder(self.info.clone());
        if let Some(text) = &self.instructions {
            group = group.instructions(text.clone());
        }
        let (note, said) = (self.note.clone(), Mutex::new(BTreeSet::new()));
        group = group.on_collision(move |alias, uri, owner| {
            let shown: String = uri.chars().take(MOST_SHOWN).collect();
            let line = format!(
                "`{}` lists `{}`, which is left out, because `{}` has it",
                visible(alias),
                visible(&shown),
                visible(owner)
            );
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            // Once each, and not without end.
            if said.len() < MOST_COLLISIONS && said.insert(line.clone()) {
                note(&line);
            }
        });
        for ((alias, _), door) in self.members.iter().zip(doors) {
            group = group.server(alias.clone(), door);
        }
        Ok(group.build()?)
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members.iter().map(|(alias, _)| alias)).finish()
    }
}
