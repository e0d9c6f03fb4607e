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

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use etdi::core::identity::ServerIdentity;
    use etdi::core::manifest::ManifestBuilder;
    use etdi::system_time;
    use etdi_oauth::{FetchRequest, FetchResponse};
    use mcp_types::BoxFuture;
    use serde_json::json;

    use super::*;
    use crate::args::Arguments;

    /// An issuer that answers whoever wants something signed with an access token.
    struct Knows(&'static str);

    impl Fetch for Knows {
        fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, FetchError>> {
            let answer = match request.url.rsplit('/').next() {
                Some("token") => json!({ "access_token": "eyJ.eyJ.c2ln", "token_type": "Bearer" }),
                Some("oauth-authorization-server") => json!({ "issuer": self.0,
                    "token_endpoint": "https://id.example/token",
                    "jwks_uri": "https://id.example/keys" }),
                _ => return Box::pin(std::future::ready(Ok(FetchResponse::new(404, Vec::new())))),
            };
            let answer = FetchResponse::new(200, answer.to_string().into_bytes());
            Box::pin(std::future::ready(Ok(answer)))
        }
    }

    fn found(issuer: &'static str) -> Result<IdentityProvider, Failure> {
        let client = RegisteredClient::with_secret(issuer, "acme", "a secret of some length");
        block_on(IdentityProvider::through(Arc::new(Knows(issuer)), client))
    }

    #[test]
    fn a_token_in_place_of_a_statement_is_not_written_down() {
        let provider = found("https://id.example").unwrap();
        assert_eq!(provider.issuer().as_str(), "https://id.example");
        let server = ServerIdentity::url("https://mcp.acme.example/mcp").unwrap();
        let statement = Attestation::new(provider.issuer().clone(), server, system_time());
        let contents = ManifestBuilder::new(1).build();
        let refused = block_on(provider.ask(&statement, &contents, &[])).unwrap_err();
        assert_eq!(refused.exit, Exit::Refused);
        assert!(!refused.message.contains("eyJ"), "{}", refused.message);
    }

    #[test]
    fn whoever_cannot_sign_is_not_asked() {
        assert!(found("https://id.example/tenant").is_err());
        assert!(found("http://127.0.0.1:9000").is_err());
        assert!(secret(None, "acme").is_err() && secret(Some(String::new()), "acme").is_err());
    }

    #[test]
    fn a_provider_is_named_whole() {
        let read = |line: &str| {
            let words = ["etdi", "sign", "--server", "https://mcp.acme.example/mcp"];
            Arguments::try_parse_from(words.into_iter().chain(line.split(' ')).chain(["--", "x"]))
        };
        assert!(read("--issuer https://id.example --client-id acme").is_ok());
        assert!(read("--issuer https://id.example --client-id acme --client-key ci").is_ok());
        for wrong in [
            "--client-id acme",
            "--issuer https://id.example --client-key ci",
            "--issuer https://id.example --client-id acme --key mine",
            "--issuer https://id.example --client-id acme --contents list.json",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
