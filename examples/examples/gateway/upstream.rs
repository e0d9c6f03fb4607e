//! The servers behind the gateway: how each is reached, and what is demanded of it.

use std::sync::Arc;

use anyhow::Context as _;
use etdi::core::approval::{Answer, Approver, Granted, Question, Standing};
use etdi::core::identity::ServerIdentity;
use etdi::core::key::KeyRing;
use etdi::core::trust::TrustAnchors;
use etdi::core::verify::Peer;
use etdi::{EtdiClient, Program};
use mcp_client::GroupBuilder;
use mcp_client::types::{BoxFuture, Implementation};
use mcp_transport::http::connect_http;
use mcp_transport::process::Command;

/// Adds servers to a group.
pub(crate) struct Upstreams {
    info: Implementation,
    trusting: Option<EtdiClient>,
    identity: Option<ServerIdentity>,
}

impl Upstreams {
    pub(crate) fn new(info: Implementation) -> Self {
        Self { info, trusting: None, identity: None }
    }

    /// From now on only tools that one of these keys has signed.
    pub(crate) fn trust(&mut self, keys: &str) -> anyhow::Result<()> {
        let mut anchors = TrustAnchors::new();
        for key in KeyRing::from_jwks(keys)?.iter() {
            anchors.trust_key(key.clone());
        }
        let client = EtdiClient::builder().trust(anchors).approver(Arc::new(Signed));
        self.trusting = Some(client.client_info(self.info.clone()).build());
        Ok(())
    }

    /// The name of the next server in what its publisher signed, such as `pkg:cargo/notes`.
    pub(crate) fn identify(&mut self, package: &str) -> anyhow::Result<()> {
        self.identity = Some(ServerIdentity::package(package)?);
        Ok(())
    }

    /// Adds a server: a URL, or a program with its arguments.
    pub(crate) async fn add(
        &mut self,
        group: GroupBuilder,
        name: &str,
        server: &str,
    ) -> anyhow::Result<GroupBuilder> {
        let identity = self.identity.take();
        let url = server.starts_with("http://") || server.starts_with("https://");
        let mut words = server.split_whitespace();
        Ok(match &self.trusting {
            None if url => group.server(name, connect_http(server, self.info.clone())?),
            None => {
                let program = words.next().context("say which program the server is")?;
                let io = Command::new(program).args(words).spawn()?;
                group.server(name, mcp_transport::connect(io, self.info.clone()))
            }
            Some(trusting) if url => {
                let peer = Peer::new(identity.map_or_else(|| ServerIdentity::url(server), Ok)?);
                let connection = connect_http(server, self.info.clone())?;
                let session = trusting.over(connection, peer).await?;
                group.server(name, session.client().service().clone())
            }
            Some(trusting) => {
                let mut program = Program::new(words);
                if let Some(identity) = identity {
                    program = program.named(identity);
                }
                let session = trusting.connect(program).await?;
                group.server(name, session.client().service().clone())
            }
        })
    }
}

/// Nobody sits at a gateway: what a trusted key has signed is approved, and nothing else.
struct Signed;

impl Approver for Signed {
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Answer> {
        let verified = matches!(question.standing(), Standing::Verified { .. }) && !question.alarm;
        let answer = match verified {
            true => Answer::approve(Granted::All, "the gateway's trusted keys"),
            false => Answer::Decline,
        };
        Box::pin(std::future::ready(answer))
    }
}
