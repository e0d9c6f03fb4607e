//! How tokens are got, once it is known from whom and for what.

use std::sync::Arc;

use super::builder::{DpopUse, Settings};
use super::{AssertionSource, Interaction, InteractionError, OAuthClient};
use crate::flow::{
    AuthorizationRequest, ClientMetadata, Exchange, OAuthError, RegisteredClient, Registration,
    TokenEndpoint, TokenType, begin_device, register, wait_for_device,
};
use crate::token::{TokenScheme, Tokens};
use crate::web::shown;
use crate::{DpopKey, ServerMetadata};

pub(super) enum Grant {
    Code(Arc<dyn Interaction>),
    Device(Arc<dyn Interaction>),
    ClientCredentials,
    Enterprise { provider: RegisteredClient, id_token: Arc<dyn AssertionSource> },
    Assertion(Arc<dyn AssertionSource>),
}

/// Who gives tokens for the server, and for what.
pub(super) struct Found {
    pub(super) server: ServerMetadata,
    /// As the server publishes it.
    pub(super) resource: String,
    /// The scopes that it publishes.
    pub(super) scopes: Option<Vec<String>>,
    /// Whether it knows bound tokens, and takes no others.
    pub(super) takes_dpop: bool,
    pub(super) wants_dpop: bool,
    /// Whether no document says all this: a server of 2025-03-26 perhaps.
    pub(super) guessed: bool,
}

impl OAuthClient {
    /// Gets tokens, and says as which client.
    pub(super) async fn grant(
        &self,
        found: &Found,
        scopes: &[String],
        dpop: Option<Arc<DpopKey>>,
    ) -> Result<(String, Tokens), OAuthError> {
        let settings = &self.0.settings;
        let resource = &found.resource;
        let endpoint = |client| settings.endpoint(found, client, dpop.clone());
        let tokens = match &settings.grant {
            Grant::Code(interaction) => {
                return self.log_in(&**interaction, found, scopes, dpop).await;
            }
            Grant::Device(interaction) => {
                let (client, registered_here) = self.client(found, &[]).await?;
                let id = client.id.clone();
                let endpoint = endpoint(client)?;
                let tokens = async {
                    let code = begin_device(&endpoint, resource, scopes).await?;
                    interaction.show_code(&code).await?;
                    wait_for_device(&endpoint, &code).await
                };
                let tokens = tokens.await;
                if let Err(error) = &tokens
                    && registered_here
                {
                    self.forget_unknown(&found.server.issuer, error).await?;
                }
                return Ok((id, tokens?));
            }
            Grant::ClientCredentials => {
                endpoint(settings.registered_with(&found.server)?)?
                    .client_credentials(resource, scopes)
                    .await?
            }
            Grant::Enterprise { provider, id_token } => {
                let endpoint = endpoint(settings.registered_with(&found.server)?)?;
                let subject = id_token.assertion(&provider.issuer).await?;
                let mut exchange = Exchange::new(subject, TokenType::IdToken, resource);
                exchange.audience = Some(found.server.issuer.clone());
                exchange.scopes = scopes.to_vec();
                let provider = settings.provider(provider).await?;
                let assertion = provider.identity_assertion(&exchange).await?;
                endpoint.jwt_bearer(&assertion, resource, scopes).await?
            }
            Grant::Assertion(source) => {
                let endpoint = endpoint(settings.registered_with(&found.server)?)?;
                let assertion = source.assertion(&found.server.issuer).await?;
                endpoint.jwt_bearer(&assertion, resource, scopes).await?
            }
        };
        Ok((settings.registered_with(&found.server)?.id, tokens))
    }

    async fn log_in(
        &self,
        interaction: &dyn Interaction,
        found: &Found,
        scopes: &[String],
        dpop: Option<Arc<DpopKey>>,
    ) -> Result<(String, Tokens), OAuthError> {
        let known = self.registration(&found.server.issuer).await?;
        let known = known.map(|known| known.redirect_uris).unwrap_or_default();
        let redirection = interaction.prepare(&known).await?;
        let uri = redirection.uri().to_owned();
        let (client, registered_here) = self.client(found, std::slice::from_ref(&uri)).await?;
        let id = client.id.clone();
        let request =
            AuthorizationRequest::new(&found.server, &client, &uri, &found.resource, scopes)?;
        let endpoint = self.0.settings.endpoint(found, client, dpop)?;
        let tokens = async {
            let answer = zeroize::Zeroizing::new(redirection.answer(request.url()).await?);
            endpoint.authorization_code(&request, &request.code(&answer)?).await
        };
        let tokens = tokens.await;
        if let Err(error) = &tokens
            && registered_here
        {
            self.forget_unknown(&found.server.issuer, error).await?;
        }
        Ok((id, tokens?))
    }

    /// Forgets a registration that the issuer seems to have forgotten, so that the next login makes
    /// a new one. An issuer that does not know a client shows that to the user and to nobody else,
    /// who then does not answer.
    pub(super) async fn forget_unknown(
        &self,
        issuer: &str,
        error: &OAuthError,
    ) -> Result<(), OAuthError> {
        let unknown = match error {
            OAuthError::Refused { error, .. } => {
                matches!(&**error, "invalid_client" | "unauthorized_client")
            }
            OAuthError::Interaction(error) => *error == InteractionError::Late,
            _ => false,
        };
        if unknown {
            let name = Registration::name(self.is_device(), issuer);
            self.0.settings.store.remove(&name).await.map_err(OAuthError::Store)?;
        }
        Ok(())
    }

    /// Whether users log in on another device: that takes a registration of its own.
    fn is_device(&self) -> bool {
        matches!(self.0.settings.grant, Grant::Device(_))
    }

    /// Who this client is at the issuer, in the order of the specification (2026-07-28, "Client
    /// Registration"); and whether that is a registration that it made itself.
    async fn client(
        &self,
        found: &Found,
        redirect_uris: &[String],
    ) -> Result<(RegisteredClient, bool), OAuthError> {
        let (settings, server) = (&self.0.settings, &found.server);
        if !settings.registered.is_empty() {
            return Ok((settings.registered_with(server)?, false));
        }
        if server.client_id_metadata_document_supported == Some(true)
            && let Some(id) = &settings.metadata_url
        {
            return Ok((RegisteredClient::public(&server.issuer, id), false));
        }
        if let Some(known) = self.registration(&server.issuer).await?
            && redirect_uris.iter().all(|uri| known.redirect_uris.contains(uri))
            && known.expires.is_none_or(|end| settings.clock.now() < end)
        {
            return Ok((known.client, true));
        }
        if server.registration_endpoint.is_none() {
            let what = "to register clients, ask its operator for a client id and name it";
            return Err(server.not_offered(what));
        }
        let mut metadata = ClientMetadata::new(&settings.name, redirect_uris);
        metadata.client_uri.clone_from(&settings.client_uri);
        if self.is_device() {
            let grant = "urn:ietf:params:oauth:grant-type:device_code";
            metadata.grant_types = vec![grant.to_owned(), "refresh_token".to_owned()];
            metadata.response_types.clear();
        }
        let made = register(&*settings.fetch, server, metadata).await;
        // Nothing says that there is an issuer at all, and now it is plain that there is none.
        let made = match made {
            Err(OAuthError::Registration { .. }) if found.guessed => {
                return Err(OAuthError::NoAuthorizationServer(shown(self.server())));
            }
            made => made?,
        };
        let text = made.write().map_err(OAuthError::Store)?;
        let name = Registration::name(self.is_device(), &server.issuer);
        settings.store.put(&name, text).await.map_err(OAuthError::Store)?;
        Ok((made.client, true))
    }

    /// The registration that this client made with an issuer.
    pub(super) async fn registration(
        &self,
        issuer: &str,
    ) -> Result<Option<Registration>, OAuthError> {
        let name = Registration::name(self.is_device(), issuer);
        let text = self.0.settings.store.get(&name).await.map_err(OAuthError::Store)?;
        let read = |text| Registration::read(&text, issuer);
        text.map(read).transpose().map_err(OAuthError::Store)
    }
}

impl Settings {
    /// The endpoint of who gives tokens for the server.
    pub(super) fn endpoint(
        &self,
        found: &Found,
        client: RegisteredClient,
        dpop: Option<Arc<DpopKey>>,
    ) -> Result<TokenEndpoint, OAuthError> {
        let endpoint = TokenEndpoint::new(self.fetch.clone(), found.server.clone(), client)?;
        let endpoint = endpoint.clock(self.clock.clone());
        Ok(match dpop {
            Some(key) => endpoint.dpop(key),
            None => endpoint,
        })
    }

    async fn provider(&self, provider: &RegisteredClient) -> Result<TokenEndpoint, OAuthError> {
        let server = ServerMetadata::find(&*self.fetch, &provider.issuer, self.loopback).await?;
        let endpoint = TokenEndpoint::new(self.fetch.clone(), server, provider.clone())?;
        Ok(endpoint.clock(self.clock.clone()))
    }

    /// This client as it was registered with an issuer beforehand.
    pub(super) fn registered_with(
        &self,
        server: &ServerMetadata,
    ) -> Result<RegisteredClient, OAuthError> {
        let found = self.registered.iter().find(|client| client.issuer == server.issuer);
        found.cloned().ok_or_else(|| {
            let known: Vec<_> =
                self.registered.iter().map(|one| format!("`{}`", shown(&one.issuer))).collect();
            let issuer = shown(&server.issuer);
            OAuthError::RegisteredElsewhere { issuer, known: known.join(", ") }
        })
    }

    /// The key to which new tokens are bound: that of the old ones where they had one.
    pub(super) fn dpop_key(
        &self,
        found: &Found,
        old: Option<Arc<DpopKey>>,
    ) -> Result<Option<Arc<DpopKey>>, OAuthError> {
        let algorithms = found.server.dpop_signing_alg_values_supported.as_ref();
        let offered = algorithms.is_some_and(|list| list.iter().any(|one| one == "ES256"));
        let wanted = match self.dpop {
            DpopUse::Always => true,
            DpopUse::WhenOffered => offered && found.takes_dpop,
            DpopUse::Never => false,
        };
        if found.wants_dpop && !wanted {
            let what = "tokens that are bound by DPoP with ES256, which the server wants";
            return Err(found.server.not_offered(what));
        }
        match old {
            _ if !wanted => Ok(None),
            Some(key) => Ok(Some(key)),
            None => DpopKey::generate().map(Arc::new).map(Some),
        }
    }

    /// Whether tokens may be used: they are bound where they have to be.
    pub(super) fn allows(&self, found: &Found, tokens: &Tokens) -> Result<(), OAuthError> {
        let must = found.wants_dpop || self.dpop == DpopUse::Always;
        if must && tokens.scheme != TokenScheme::DPoP {
            let why = "the token is not bound to the key that was shown".to_owned();
            return Err(OAuthError::Token { issuer: shown(&found.server.issuer), why });
        }
        Ok(())
    }
}
