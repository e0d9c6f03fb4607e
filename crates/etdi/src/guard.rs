//! A guard before a server: ETDI for clients and servers that know nothing of it.
//!
//! A client starts the guard in place of the server. Towards the server the guard is the host: it
//! verifies what is listed, lets through what was approved, asks policies and flow rules before a
//! call, signs where that is wanted, and notes what happens. All else passes: prompts, resources,
//! completion, progress, the log, changes, subscriptions, tasks, extensions, cancellations, and what
//! the server asks of the client, in a call or outside of any. Both sides may speak any revision.
//!
//! Where both speak the same kind of revision, a result that no layer changes leaves as the text that
//! came.
//!
//! ```no_run
//! use etdi::{EtdiClient, Program};
//!
//! # async fn example() -> Result<(), etdi::Error> {
//! let guard = EtdiClient::builder().build().guard().trust_first_use(true);
//! let guard = guard.on_note(|line| eprintln!("{line}"));
//! guard.serve(Program::new(["notes-server"]), mcp_transport::stdio()?).await
//! # }
//! ```
//!
//! A tool that is not approved is neither shown nor called. A call of it gives a result that says so and
//! how to approve it. Where the client can show forms it is asked instead: when tools are listed,
//! if it speaks a revision in which a server may ask of its own accord, and when one is called.
//!
//! What it leaves out: what nothing attests and no approval covers, such as prompts and instructions of
//! unsigned servers, passes as it is.

use std::fmt;
use std::sync::Arc;

use etdi_core::definition::ToolDefinition;
use etdi_core::level::SecurityLevel;
use mcp_transport::{ClientPeer, Io, ServeOptions, serve_with};

use crate::{Error, EtdiClient, Target};

mod first;
mod listen;
mod offer;
mod question;
mod serve;
mod service;

pub use service::Guarded;
pub(crate) use service::is_ours;

/// A guard in the making; see the [module](self).
#[derive(Clone)]
#[must_use = "a guard does nothing until it serves"]
pub struct Guard {
    client: EtdiClient,
    settings: Settings,
}

#[derive(Clone)]
struct Settings {
    first_use: bool,
    elicit: bool,
    recheck_after: u64,
    calls_per_minute: u32,
    advice: Advice,
    note: Arc<dyn Fn(&str) + Send + Sync>,
    screen: Option<Screen>,
    remarks: Option<Screen>,
    name: Option<String>,
}

/// Says what to do about a tool of a server.
type Advice = Arc<dyn Fn(&Refused<'_>) -> String + Send + Sync>;

/// What a guard refuses, for whoever says how to go on; see [`Guard::advice`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refused<'a> {
    /// The stable code of the refusal.
    pub code: &'a str,
    /// The name of the tool, which is the server's choice and may be anything; empty where a server is
    /// refused as a whole.
    pub tool: &'a str,
    /// Who calls, as policies name them; nobody where it is no call that is refused.
    pub user: Option<String>,
    /// The tool as it is listed, where that can be read.
    pub definition: Option<&'a ToolDefinition>,
}

impl<'a> Refused<'a> {
    /// A refusal with this code of a tool of this name, of which nothing else is known.
    pub fn new(code: &'a str, tool: &'a str) -> Self {
        Self { code, tool, user: None, definition: None }
    }
}

/// Says what is suspicious about a definition, a line each.
type Screen = Arc<dyn Fn(&ToolDefinition) -> Vec<String> + Send + Sync>;

impl EtdiClient {
    /// A guard that checks as this client does, before one server.
    pub fn guard(&self) -> Guard {
        let strict = self.policy().level == SecurityLevel::Strict;
        let settings = Settings {
            first_use: false,
            elicit: true,
            recheck_after: if strict { 0 } else { RECHECK_AFTER },
            calls_per_minute: 0,
            advice: Arc::new(|_| "a person approves it with `etdi approve`".to_owned()),
            note: Arc::new(|line| tracing::warn!("{line}")),
            screen: None,
            remarks: None,
            name: None,
        };
        Guard { client: self.clone(), settings }
    }
}

/// For how many seconds a tool that was looked at is not listed anew before a call, below strict.
const RECHECK_AFTER: u64 = 5;

impl Guard {
    /// Approves what the server lists when it is seen for the first time, and says so. What it lists or
    /// changes later waits for a person, and so does a tool that the [`screen`](Self::screen) finds
    /// something about.
    pub fn trust_first_use(mut self, trust: bool) -> Self {
        self.settings.first_use = trust;
        self
    }

    /// Whether a client that can show forms is asked about tools that are not approved; it is by
    /// default.
    pub fn elicit(mut self, elicit: bool) -> Self {
        self.settings.elicit = elicit;
        self
    }

    /// Does not list anew before a call when the tool was looked at most this many seconds ago, and the
    /// server did not say since that its tools have changed: by default 5 seconds, and 0 at strict,
    /// where each call is preceded by a listing.
    pub fn recheck_after(mut self, seconds: u64) -> Self {
        self.settings.recheck_after = seconds;
        self
    }

    /// Lets each tool be called so often a minute; 0, the default, is no limit. What is too much is
    /// answered by an error that says when to try again.
    pub fn calls_per_minute(mut self, calls: u32) -> Self {
        self.settings.calls_per_minute = calls;
        self
    }

    /// What the server is called where people are told of it, such as the command line that starts it;
    /// without it, its name in attestations.
    pub fn called(mut self, name: impl Into<String>) -> Self {
        self.settings.name = Some(name.into());
        self
    }

    /// Says how to go on after a refusal; the answer stands in the result of a refused call.
    pub fn advice(
        mut self,
        advice: impl Fn(&Refused<'_>) -> String + Send + Sync + 'static,
    ) -> Self {
        self.settings.advice = Arc::new(advice);
        self
    }

    /// What is to be done about a server that is refused as a whole.
    pub(crate) fn way_on(&self, error: &Error) -> Option<String> {
        let is_refused = matches!(error, Error::ExecutableChanged { .. });
        is_refused.then(|| (self.settings.advice)(&Refused::new(&error.code(), "")))
    }

    /// Takes what the guard has to say, line by line and free of the server's invisible characters; by
    /// default that is a warning in the log.
    pub fn on_note(mut self, note: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.settings.note = Arc::new(note);
        self
    }

    /// Shows what this finds about a definition with the question whether it is approved. Whatever it
    /// finds something about is not approved on first use.
    pub fn screen(
        mut self,
        screen: impl Fn(&ToolDefinition) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        self.settings.screen = Some(Arc::new(screen));
        self
    }

    /// Shows what this finds about a definition with the question whether it is approved, and says it
    /// where the definition is approved on first use. It holds nothing back.
    pub fn remarks(
        mut self,
        remarks: impl Fn(&ToolDefinition) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        self.settings.remarks = Some(Arc::new(remarks));
        self
    }

    /// Starts or dials the server, and serves one client until either end is gone; the server is ended
    /// with it.
    ///
    /// # Errors
    ///
    /// Those of [`EtdiClient::connect_to`] before anything was asked of the server, and
    /// [`Error::Start`] when the client's stream fails; [`Error::Ended`] when the server ended first.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with timers.
    pub async fn serve(self, target: impl Into<Target>, io: Io) -> Result<(), Error> {
        let client = ClientPeer::new();
        let guarded = self.open_for(target.into(), Some(client.clone())).await?;
        let mut options = ServeOptions::default();
        options.client = Some(client.clone());
        let serving = serve_with(guarded.clone(), io, options);
        let mut has_ended = false;
        let hang_up = || {
            has_ended = true;
            client.hang_up();
        };
        let served = serve::while_it_lasts(serving, guarded.ended(), hang_up).await;
        guarded.close().await;
        served?;
        // Whoever waits for this must not take a server that failed for one that was not needed.
        if has_ended { Err(Error::Ended) } else { Ok(()) }
    }

    /// Starts or dials the server, and gives the service that guards it, to be served in any way. What
    /// the server asks outside of any call is refused, because nobody knows which client that is for.
    ///
    /// # Errors
    ///
    /// Those of [`EtdiClient::connect_to`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with timers.
    pub async fn open(self, target: impl Into<Target>) -> Result<Guarded, Error> {
        self.open_for(target.into(), None).await
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("client", &self.client).finish_non_exhaustive()
    }
}
