//! What the talking verbs share: an open session whose server can ask back, and what is shown of
//! what it says.
//!
//! [`Talk`] is a session with a client around it that answers questions at the terminal and waits
//! for tasks. A verb opens one, asks what it has to and closes it; the shell keeps one open.

pub mod answers;
pub mod listing;
pub mod progress;
pub mod shown;

use std::path::PathBuf;
use std::sync::Arc;

use etdi::core::layer::VerifyService;
use etdi::{Reached, Session};
use mcp_client::task::{TaskLayer, Tracking};
use mcp_client::{Answering, Client, InputLayer};
use mcp_transport::TokioRuntime;

use crate::args::Target;
use crate::exit::Failure;
use crate::output::Output;
use crate::talk::answers::Answers;
use crate::verbs::target::{Heard, Opening, Told, failure, unlisted};

/// A client that answers what servers ask, and waits for tasks.
pub type Asking = Client<Answering<Tracking<VerifyService<Reached>>>>;

/// An open session, and how it is spoken of.
pub struct Talk {
    /// The session.
    pub session: Session<Reached>,
    /// Its client, with answers and tasks.
    pub client: Asking,
    /// The server as it was typed.
    pub target: Target,
    /// Where remarks go.
    pub output: Output,
    /// Where images, audio and other files of results are saved; nowhere without one.
    pub save: Option<PathBuf>,
}

impl Talk {
    /// Opens one.
    ///
    /// # Errors
    ///
    /// As [`Opening::open`].
    pub async fn open(
        opening: Opening<'_>,
        answers: Answers,
        told: Option<Told>,
        save: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let (target, output) = (opening.target.clone(), opening.output);
        let inputs = answers.inputs();
        let heard = Heard { answers: Some(inputs.clone()), told };
        let session = opening.open_with(heard).await?;
        // What a task asks is answered as a call's question is, so the answers stand outside.
        let client = session.client().clone();
        let client = client.layer(TaskLayer::new(Arc::new(TokioRuntime::current())));
        let client = client.layer(InputLayer::new(inputs));
        Ok(Self { session, client, target, output, save })
    }

    /// Ends the session, and the server behind it.
    pub async fn close(self) {
        self.session.close().await;
    }

    /// What an error of a request comes to at the terminal.
    pub fn failure(&self, error: mcp_client::Error, tool: &str) -> Failure {
        failure(&error.into(), tool, &self.target)
    }

    /// What an error of a listing comes to there.
    pub fn unlisted(&self, error: mcp_client::Error) -> Failure {
        unlisted(&error.into(), &self.target)
    }
}
