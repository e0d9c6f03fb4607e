//! `etdi sign --issuer … --client-id …`: an identity provider signs in the publisher's place.

use std::sync::Arc;

use etdi::core::attestation::Attestation;
use etdi::core::change::visible;
use etdi::core::definition::RawTool;
use etdi::core::endorsement::EndorsementRequest;
use etdi::core::identity::ProviderId;
use etdi::core::wire::ManifestContents;
use etdi_oauth::{
    ClientAuthentication, Endorsed, Fetch, FetchError, GuardedFetch, OAuthError, RegisteredClient,
    Rules, SecretText, ServerMetadata, TokenEndpoint,
};

use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::output::Output;
use crate::verbs::signer;
use crate::verbs::target::block_on;

/// The variable with the client's secret.
pub const SECRET: &str = "ETDI_CLIENT_SECRET";

const NEXT: &str = "etdi sign --help";

/// An identity provider, and who this publisher is there.
pub struct IdentityProvider {
    endpoint: TokenEndpoint,
    issuer: ProviderId,
}

impl IdentityProvider {
    /// Finds the provider, which is asked by nobody but this client: with the key that is named, or
    /// the secret that the environment holds.
    ///
    /// # Errors
    ///
    /// When there is neither key nor secret, or the issuer is none that can sign.
    pub fn find(
        issuer: &str,
        client: &str,
        key: Option<&str>,
        home: &Home,
    ) -> Result<Self, Failure> {
        let shows = match key {
            Some(key) => ClientAuthentication::PrivateKey {
                key: signer::open(home, key, None)?,
                key_id: None,
                certificate: None,
            },
            None => ClientAuthentication::Secret(secret(std::env::var(SECRET).ok(), client)?),
        };
        let fetch = Arc::new(GuardedFetch::new(Rules::default()));
        block_on(Self::through(fetch, RegisteredClient::new(issuer, client, shows)))
    }

    async fn through(fetch: Arc<dyn Fetch>, client: RegisteredClient) -> Result<Self, Failure> {
        let metadata = ServerMetadata::find(&*fetch, &client.issuer, false).await;
        let metadata = metadata.map_err(|error| failure(&error))?;
        let issuer = metadata.provider().map_err(|error| failure(&error))?;
        let endpoint = TokenEndpoint::new(fetch, metadata, client);
        Ok(Self { endpoint: endpoint.map_err(|error| failure(&error))?, issuer })
    }

    /// Who it is as a publisher.
    pub fn issuer(&self) -> &ProviderId {
        &self.issuer
    }

    /// Has it sign a manifest of these tools.
    ///
    /// # Errors
    ///
    /// When it refuses, cannot be reached, or gives something else.
    pub fn sign(
        &self,
        statement: &Attestation,
        contents: &ManifestContents,
        tools: &[RawTool],
        output: Output,
    ) -> Result<Endorsed, Failure> {
        output.progress(&format!("asking {} to sign", self.issuer));
        block_on(self.ask(statement, contents, tools))
    }

    async fn ask(
        &self,
        statement: &Attestation,
        contents: &ManifestContents,
        tools: &[RawTool],
    ) -> Result<Endorsed, Failure> {
        let definitions = tools.iter().map(RawTool::definition);
        let asked = EndorsementRequest::manifest(statement, contents, definitions);
        let asked = asked.map_err(|error| Failure::usage(error.to_string(), NEXT))?;
        self.endpoint.endorse(&asked).await.map_err(|error| failure(&error))
    }
}

/// The client's secret, as the environment holds it.
fn secret(held: Option<String>, client: &str) -> Result<SecretText, Failure> {
    let held = held.map(SecretText::from).filter(|secret| !secret.is_empty());
    held.ok_or_else(|| {
        let message = format!(
            "client `{}` shows by nothing who it is, set `{SECRET}` or give `--client-key`",
            visible(client)
        );
        Failure::usage(message, NEXT)
    })
}

fn failure(error: &OAuthError) -> Failure {
    let exit = match error {
        OAuthError::Fetch(FetchError::Unreachable { .. }) | OAuthError::Unavailable { .. } => {
            Exit::Unreachable
        }
        OAuthError::Refused { .. } | OAuthError::Token { .. } => Exit::Refused,
        _ => Exit::Usage,
    };
    Failure::new(exit, error.to_string(), NEXT)
}
