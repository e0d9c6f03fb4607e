//! When tokens are got: before they end, and where the server wants others.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use mcp_transport::http::Reaction;
use tokio::sync::MutexGuard;

use super::grant::{Found, Grant};
use super::store::Kept;
use super::{Current, Flow, OAuthClient, Refusal, is_at};
use crate::flow::{AuthChallenge, OAuthError, RegisteredClient, TokenEndpoint};
use crate::issuer::ResourceMetadata;
use crate::token::Tokens;
use crate::web::{checked, shown, split};
use crate::{DpopKey, ServerMetadata};

/// How many times one request can lead to new tokens.
const MOST_TRIES: u32 = 3;

/// For how many seconds a token that the server never took is not replaced by another one.
const JUST: u64 = 60;

impl OAuthClient {
    /// The tokens for a request, renewed where they are about to end.
    pub(super) async fn ready(&self) -> Result<Option<Arc<Current>>, OAuthError> {
        let settings = &self.0.settings;
        let due = |current: &Current| {
            let tokens = &current.kept.tokens;
            tokens.refresh.is_some() && !tokens.holds(settings.clock.now())
        };
        let current = self.current();
        if self.0.loaded.load(Ordering::Acquire) && !current.as_deref().is_some_and(due) {
            return Ok(current);
        }
        let flow = self.0.flow.lock().await;
        if !self.0.loaded.load(Ordering::Acquire) {
            if let Some(kept) = self.load().await? {
                self.set(Some(kept));
            }
            self.0.loaded.store(true, Ordering::Release);
        }
        let Some(current) = self.current() else { return Ok(None) };
        if !due(&current) {
            return Ok(Some(current));
        }
        match self.refresh(&flow, &current).await {
            Ok(renewed) => Ok(Some(renewed)),
            Err(error @ (OAuthError::Refused { .. } | OAuthError::Again { .. }))
                if !error.is_passing() =>
            {
                // What refuses once refuses always. The server says what is to be done now.
                let mut kept = current.kept.clone();
                kept.tokens.refresh = None;
                let spent = Current::new(kept, current.dpop.clone(), false)?;
                self.set(Some(spent.clone()));
                self.save(&spent.kept).await?;
                Ok(Some(spent))
            }
            // The old ones may do for a moment.
            Err(_) if current.kept.tokens.expires.is_none_or(|end| settings.clock.now() < end) => {
                Ok(Some(current))
            }
            Err(error) => Err(error),
        }
    }

    /// Reacts to a refusal.
    pub(crate) async fn react(&self, challenge: Refusal<'_>) -> Result<Reaction, OAuthError> {
        let uri = challenge.uri;
        if !is_at(uri, &self.0.settings.url) || challenge.attempt >= MOST_TRIES {
            return Ok(Reaction::GiveUp);
        }
        let headers = challenge.headers.get_all(WWW_AUTHENTICATE);
        let challenges = AuthChallenge::read(headers.iter().filter_map(|one| one.to_str().ok()));
        let ours = challenges.iter().find(|one| matches!(one.scheme(), "bearer" | "dpop"));
        let error = ours.and_then(|one| one.get("error"));
        let learned = self.learn(uri, challenge.headers);
        if error == Some("use_dpop_nonce") {
            return Ok(if learned { Reaction::TryAgain } else { Reaction::GiveUp });
        }
        let more = challenge.status == StatusCode::FORBIDDEN;
        if more && error != Some("insufficient_scope") {
            return Ok(Reaction::GiveUp);
        }
        let renewed = || {
            self.current().is_some_and(|current| challenge.authorization != Some(&current.header))
        };
        // Somebody else's challenge led to other tokens since this request was sent.
        if renewed() {
            return Ok(Reaction::TryAgain);
        }
        let seen = self.0.ended.load(Ordering::Acquire);
        let mut flow = self.0.flow.lock().await;
        if renewed() {
            return Ok(Reaction::TryAgain);
        }
        if self.0.ended.load(Ordering::Acquire) != seen
            && let Some(error) = &flow.failed
        {
            return Err(error.clone());
        }
        let result = self.renew(&flow, ours, more).await;
        flow.failed = result.as_ref().err().cloned();
        self.0.ended.fetch_add(1, Ordering::Release);
        result.map(|()| Reaction::TryAgain)
    }

    async fn renew(
        &self,
        flow: &MutexGuard<'_, Flow>,
        challenge: Option<&AuthChallenge>,
        more: bool,
    ) -> Result<(), OAuthError> {
        let settings = &self.0.settings;
        let found = self.discover(challenge).await?;
        let wanted = challenge.and_then(AuthChallenge::scopes);
        let mut current = self.current();
        let same = current.as_ref().is_some_and(|current| {
            let kept = &current.kept;
            kept.issuer == found.server.issuer && kept.resource == found.resource
        });
        if current.is_some() && !same {
            // The server moved to another issuer, to whom nothing of the old one is shown.
            self.forget().await?;
            current = None;
        }
        if let Some(current) = &current {
            let asked = &current.kept.asked;
            let enough = wanted.iter().flatten().all(|scope| asked.contains(scope));
            if more && enough {
                let scopes = wanted.unwrap_or_default().join(" ");
                return Err(OAuthError::Scopes { server: shown(self.server()), scopes });
            }
            let fresh = settings.clock.now() < current.kept.tokens.issued.plus(JUST);
            if !more && fresh && current.new && !current.accepted.load(Ordering::Relaxed) {
                let said = challenge.and_then(|one| one.get("error_description"));
                let said = said.map(|said| format!(": {}", shown(said))).unwrap_or_default();
                return Err(OAuthError::Again { server: shown(self.server()), said });
            }
            if !more && enough && current.kept.tokens.refresh.is_some() {
                match self.refresh(flow, current).await {
                    Err(error @ OAuthError::Refused { .. }) if !error.is_passing() => {
                        self.forget_unknown(&found.server.issuer, &error).await?;
                    }
                    other => return other.map(drop),
                }
            }
        }
        let asked = self.scopes(&found, current.as_deref(), wanted)?;
        let old = current.as_ref().and_then(|current| current.dpop.clone());
        let dpop = settings.dpop_key(&found, old)?;
        let (client_id, tokens) = self.grant(&found, &asked, dpop.clone()).await?;
        settings.allows(&found, &tokens)?;
        let (issuer, resource) = (found.server.issuer, found.resource);
        self.adopt(Kept { issuer, resource, client_id, asked, tokens, dpop: None }, dpop).await?;
        Ok(())
    }

    /// What is asked for (2026-07-28, "Scope Selection Strategy").
    fn scopes(
        &self,
        found: &Found,
        current: Option<&Current>,
        wanted: Option<Vec<String>>,
    ) -> Result<Vec<String>, OAuthError> {
        let settings = &self.0.settings;
        let before = current.map(|current| current.kept.asked.clone()).unwrap_or_default();
        let published = found.scopes.clone().filter(|_| before.is_empty());
        let mut scopes = before;
        let wanted = wanted.or(published).unwrap_or_default();
        // Where scopes alone say for whom a token is, a server that names those of another API would be
        // given a token for that one.
        let dialect = settings.registered_with(&found.server).map(|client| client.dialect);
        let foreign = |scope: &&String| {
            !settings.scopes.contains(scope)
                && dialect.as_ref().is_ok_and(|dialect| dialect.is_foreign(scope))
        };
        if let Some(scope) = wanted.iter().find(foreign) {
            let (server, scope) = (shown(self.server()), scope.clone());
            return Err(OAuthError::ForeignScope { server, scope });
        }
        for scope in wanted.into_iter().chain(settings.scopes.iter().cloned()) {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        let offline = "offline_access";
        let user = matches!(settings.grant, Grant::Code(_) | Grant::Device(_));
        // Alone it would mean that nothing else is wanted.
        let asks = user && settings.offline_access && !scopes.is_empty();
        if asks && found.server.has_scope(offline) && !scopes.iter().any(|one| one == offline) {
            scopes.push(offline.to_owned());
        }
        Ok(scopes)
    }

    /// Who gives tokens for the server, as it publishes that now.
    async fn discover(&self, challenge: Option<&AuthChallenge>) -> Result<Found, OAuthError> {
        let settings = &self.0.settings;
        let announced = challenge.and_then(|one| one.get("resource_metadata"));
        if let Some(url) = announced {
            checked(url, settings.loopback)
                .map_err(|why| OAuthError::Metadata { url: shown(url), why: why.to_owned() })?;
        }
        let fetch = &*settings.fetch;
        let server = settings.server.split('?').next().unwrap_or_default();
        let Some(metadata) = ResourceMetadata::find(fetch, server, announced).await? else {
            return self.discover_at_origin().await;
        };
        let issuers: Vec<&str> = metadata.issuers().collect();
        let ours = |issuer: &&&str| settings.registered.iter().any(|one| one.issuer == **issuer);
        let first = issuers.iter().find(ours).copied();
        let others = issuers.iter().copied().filter(|issuer| Some(*issuer) != first);
        let mut failed = OAuthError::NoAuthorizationServer(shown(self.server()));
        for (at, issuer) in first.into_iter().chain(others).enumerate() {
            match ServerMetadata::find(fetch, issuer, settings.loopback).await {
                Ok(server) => {
                    let algorithms = metadata.dpop_signing_alg_values_supported.iter().flatten();
                    let wants_dpop = metadata.dpop_bound_access_tokens_required == Some(true);
                    let takes_dpop = wants_dpop
                        || algorithms.into_iter().any(|one| one == "ES256")
                        || challenge.is_some_and(|one| one.scheme() == "dpop");
                    let scopes = metadata.scopes();
                    let resource = metadata.resource;
                    let guessed = false;
                    return Ok(Found { server, resource, scopes, takes_dpop, wants_dpop, guessed });
                }
                // What the first one lacks is what is told.
                Err(error) if at == 0 => failed = error,
                Err(_) => {}
            }
        }
        Err(failed)
    }

    /// The same of a server of 2025-03-26, which is its own authorization server.
    async fn discover_at_origin(&self) -> Result<Found, OAuthError> {
        let settings = &self.0.settings;
        let server = settings.server.split('?').next().unwrap_or_default();
        let origin = split(server).0;
        let found = ServerMetadata::look(&*settings.fetch, origin, settings.loopback).await?;
        Ok(Found {
            guessed: found.is_none(),
            server: found.unwrap_or_else(|| ServerMetadata::at_default_paths(origin)),
            resource: server.to_owned(),
            scopes: None,
            takes_dpop: false,
            wants_dpop: false,
        })
    }

    /// Renews tokens by their refresh token. Whoever holds `_flow` is alone in this process; what
    /// another process renewed meanwhile is taken over.
    async fn refresh(
        &self,
        _flow: &MutexGuard<'_, Flow>,
        current: &Arc<Current>,
    ) -> Result<Arc<Current>, OAuthError> {
        let mut kept = current.kept.clone();
        let mut dpop = current.dpop.clone();
        if let Some(stored) = self.load().await?
            && stored.kept.issuer == kept.issuer
            && stored.kept.resource == kept.resource
            && stored.kept.tokens.access.expose() != kept.tokens.access.expose()
        {
            if stored.kept.tokens.holds(self.0.settings.clock.now()) {
                self.set(Some(stored.clone()));
                return Ok(stored);
            }
            (kept, dpop) = (stored.kept.clone(), stored.dpop.clone());
        }
        let Some(token) = kept.tokens.refresh.take() else {
            return Err(OAuthError::Again { server: shown(self.server()), said: String::new() });
        };
        let endpoint = self.endpoint_of(&kept, dpop.clone()).await?;
        let tokens = endpoint.refresh(&token, &kept.resource, &kept.tokens.scopes).await?;
        if tokens.scheme != kept.tokens.scheme {
            let (issuer, why) = (shown(&kept.issuer), "the new token is bound otherwise");
            return Err(OAuthError::Token { issuer, why: why.to_owned() });
        }
        kept.tokens = tokens;
        self.adopt(kept, dpop).await
    }

    /// The endpoint of the issuer that gave tokens, for the client that got them.
    async fn endpoint_of(
        &self,
        kept: &Kept,
        dpop: Option<Arc<DpopKey>>,
    ) -> Result<TokenEndpoint, OAuthError> {
        let settings = &self.0.settings;
        let look = ServerMetadata::look(&*settings.fetch, &kept.issuer, settings.loopback);
        let server = match look.await? {
            Some(server) => server,
            None if kept.issuer == split(self.server()).0 => {
                ServerMetadata::at_default_paths(&kept.issuer)
            }
            None => return Err(OAuthError::NoAuthorizationServer(shown(self.server()))),
        };
        let registration = self.registration(&kept.issuer).await?;
        let client = if !settings.registered.is_empty() {
            settings.registered_with(&server)?
        } else if let Some(known) = registration.filter(|known| known.client.id == kept.client_id) {
            known.client
        } else {
            RegisteredClient::public(&kept.issuer, &kept.client_id)
        };
        let resource = kept.resource.clone();
        let (scopes, takes_dpop, wants_dpop, guessed) = (None, false, false, false);
        let found = Found { server, resource, scopes, takes_dpop, wants_dpop, guessed };
        settings.endpoint(&found, client, dpop)
    }

    /// Uses tokens from now on, and keeps them.
    async fn adopt(
        &self,
        mut kept: Kept,
        dpop: Option<Arc<DpopKey>>,
    ) -> Result<Arc<Current>, OAuthError> {
        kept.dpop = dpop.as_ref().map(|key| key.to_secret());
        let current = Current::new(kept, dpop, true)?;
        self.set(Some(current.clone()));
        self.save(&current.kept).await?;
        Ok(current)
    }

    pub(super) async fn load(&self) -> Result<Option<Arc<Current>>, OAuthError> {
        let store = &self.0.settings.store;
        let text = store.get(&Kept::name(self.server())).await.map_err(OAuthError::Store)?;
        let Some(text) = text else { return Ok(None) };
        let kept = Kept::read(&text).map_err(OAuthError::Store)?;
        if !self.is_ours(&kept).await? {
            return Ok(None);
        }
        let dpop = kept.dpop.as_ref().map(DpopKey::from_secret).transpose()?.map(Arc::new);
        Current::new(kept, dpop, false).map(Some)
    }

    /// Whether tokens that are kept for the server are those of this client: another program, or this one
    /// with another registration, may have put them there, and speaks for somebody else.
    async fn is_ours(&self, kept: &Kept) -> Result<bool, OAuthError> {
        let settings = &self.0.settings;
        let of =
            |client: &RegisteredClient| client.issuer == kept.issuer && client.id == kept.client_id;
        if !settings.registered.is_empty() {
            return Ok(settings.registered.iter().any(of));
        }
        if settings.metadata_url.as_deref() == Some(&kept.client_id) {
            return Ok(true);
        }
        let known = self.registration(&kept.issuer).await?;
        Ok(known.is_some_and(|known| of(&known.client)))
    }

    async fn save(&self, kept: &Kept) -> Result<(), OAuthError> {
        let text = kept.write().map_err(OAuthError::Store)?;
        let name = Kept::name(self.server());
        self.0.settings.store.put(&name, text).await.map_err(OAuthError::Store)
    }

    async fn forget(&self) -> Result<(), OAuthError> {
        self.set(None);
        let name = Kept::name(self.server());
        self.0.settings.store.remove(&name).await.map_err(OAuthError::Store)
    }

    /// Ends the login: takes the tokens back where the issuer offers that (RFC 7009), and forgets
    /// them in any case.
    ///
    /// # Errors
    ///
    /// When the issuer did not take them back; they are forgotten here all the same.
    pub async fn log_out(&self) -> Result<(), OAuthError> {
        let _flow = self.0.flow.lock().await;
        let current = match self.current() {
            Some(current) => Some(current),
            None => self.load().await?,
        };
        self.0.loaded.store(true, Ordering::Release);
        let Some(current) = current else { return Ok(()) };
        self.forget().await?;
        let Tokens { access, refresh, .. } = &current.kept.tokens;
        let endpoint = self.endpoint_of(&current.kept, current.dpop.clone()).await?;
        if let Some(refresh) = refresh {
            endpoint.revoke(refresh.expose(), "refresh_token").await?;
        }
        endpoint.revoke(access.expose(), "access_token").await?;
        Ok(())
    }
}
