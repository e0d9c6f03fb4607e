//! A session with one server: its tools, what became of each, and calls.

use std::sync::Arc;

use etdi_core::approval::{Answer, Approved, Approver, Granted, Question, Refusal};
use etdi_core::chain::Frame;
use etdi_core::definition::ToolDefinition;
use etdi_core::layer::{Review, VerifyLayer, VerifyService, WithinLayer, WithinService};
use etdi_core::verify::Peer;
use mcp_client::Client;
use mcp_transport::Connection;
use mcp_types::{BoxFuture, CallToolResult, DiscoverResult, ExchangeService};
use serde::Serialize;
use tower_layer::Layer;

use crate::{Error, EtdiClient};

/// An open session with one server.
///
/// [`Session::client`] is the whole protocol with the checks in its path; the other methods are
/// the words of ETDI.
#[derive(Clone, Debug)]
pub struct Session<S = Connection> {
    layer: VerifyLayer,
    client: Client<VerifyService<S>>,
    service: S,
    trusting: Trusting,
    about: Arc<DiscoverResult>,
}

/// Who is on both ends.
#[derive(Clone, Debug)]
pub(crate) struct Trusting {
    pub(crate) client: EtdiClient,
    pub(crate) peer: Peer,
}

impl<S: ExchangeService> Session<S> {
    pub(crate) async fn open(
        layer: VerifyLayer,
        service: S,
        trusting: Trusting,
    ) -> Result<Self, Error> {
        let client = Client::new(layer.layer(service.clone()));
        // The first exchange: a challenge that goes with it reaches servers of every revision.
        let about = Arc::new(client.discover().await?);
        Ok(Self { layer, client, service, trusting, about })
    }

    /// Typed calls, with every check in their path.
    pub fn client(&self) -> &Client<VerifyService<S>> {
        &self.client
    }

    /// The connection below the checks: whatever is called here is called unchecked.
    pub fn unchecked(&self) -> &S {
        &self.service
    }

    /// What the server says about itself: to show, never to trust.
    pub fn about(&self) -> &DiscoverResult {
        &self.about
    }

    /// What this side knows about the server by itself.
    pub fn peer(&self) -> &Peer {
        &self.trusting.peer
    }

    /// The same session for a tool that calls others while it runs: what it declares holds for these
    /// calls too, and its server's call token goes with them. A tool finds its frame in the
    /// extensions of its exchange.
    pub fn within(&self, frame: &Frame) -> Client<WithinService<VerifyService<S>>> {
        Client::new(WithinLayer::new(frame.clone()).layer(self.client.service().clone()))
    }

    /// Lists all tools, and tells what became of each: verified or not, approved or not, and why.
    ///
    /// # Errors
    ///
    /// When the server does not list; see [`mcp_client::Error`].
    pub async fn discover_tools(&self) -> Result<Vec<Arc<Review>>, Error> {
        self.client.all_tools().await?;
        Ok(self.layer.reviews())
    }

    /// What became of each tool when it was last listed or called; nothing is listed for it.
    pub fn reviews(&self) -> Vec<Arc<Review>> {
        self.layer.reviews()
    }

    /// What became of one tool when it was last listed or called; nothing is listed for it.
    pub fn review(&self, name: &str) -> Option<Arc<Review>> {
        self.layer.review(name)
    }

    /// Lists anew and tells what became of one tool.
    ///
    /// # Errors
    ///
    /// As [`Session::discover_tools`], and [`Error::NoSuchTool`].
    pub async fn verify_tool(&self, name: &str) -> Result<Arc<Review>, Error> {
        self.client.all_tools().await?;
        self.layer.review(name).ok_or_else(|| Error::NoSuchTool { name: name.to_owned() })
    }

    /// Whether a tool, as it is listed now, may be called.
    ///
    /// # Errors
    ///
    /// As [`Session::verify_tool`].
    pub async fn is_tool_approved(&self, name: &str) -> Result<bool, Error> {
        Ok(self.verify_tool(name).await?.is_approved())
    }

    /// Approves a tool as `review` shows it, with these permissions. `approver` says who does so.
    ///
    /// # Errors
    ///
    /// The refusal, when no approval makes the tool callable: its definition cannot be read, its
    /// signature is wrong, the policy blocks it.
    pub async fn approve_tool(
        &self,
        review: &Review,
        granted: Granted,
        approver: &str,
    ) -> Result<Approved<ToolDefinition>, ApproveError> {
        let yes = Arc::new(Yes(Answer::approve(granted, approver)));
        self.settle(review, yes).await
    }

    /// Has the client's own approver asked about a tool as `review` shows it.
    ///
    /// # Errors
    ///
    /// As [`Session::approve_tool`], also when the answer is no.
    pub async fn ask_about(
        &self,
        review: &Review,
    ) -> Result<Approved<ToolDefinition>, ApproveError> {
        self.settle(review, self.trusting.client.approver()).await
    }

    async fn settle(
        &self,
        review: &Review,
        approver: Arc<dyn Approver>,
    ) -> Result<Approved<ToolDefinition>, ApproveError> {
        let Trusting { client, peer } = &self.trusting;
        client.settle(peer, review, approver).await
    }

    /// Calls a tool. It is listed anew and checked first; whoever approves is asked where nothing
    /// is approved yet.
    ///
    /// # Errors
    ///
    /// [`Error::Client`] with a refusal when a check says no; see [`Error::code`].
    pub async fn invoke_tool<A: Serialize + ?Sized>(
        &self,
        name: &str,
        arguments: &A,
    ) -> Result<CallToolResult, Error> {
        Ok(self.client.call_tool(name, arguments).await?)
    }
}

impl Session<Connection> {
    /// Ends the session, and the server process behind it.
    pub async fn close(self) {
        self.service.close().await;
    }
}

/// Why a tool was not approved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApproveError {
    /// Its definition cannot be read, so there is nothing that could be approved.
    #[error("the definition of the tool cannot be read, so it cannot be approved")]
    Unreadable,
    /// A check or a person says no.
    #[error(transparent)]
    Refused(Box<Refusal>),
}

impl ApproveError {
    /// A stable word: the reason's code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable => "DEFINITION_INVALID",
            Self::Refused(refusal) => refusal.reason.code(),
        }
    }
}

/// Answers the one question that a call of `approve_tool` already is the answer to.
pub(crate) struct Yes(pub(crate) Answer);

impl Approver for Yes {
    fn ask<'a>(&'a self, _: Question<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready(self.0.clone()))
    }
}
