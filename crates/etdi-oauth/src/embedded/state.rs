//! The embedded server itself: clients, grants and keys in a store, users asked on a page.

use std::collections::BTreeMap;
use std::sync::Arc;

use etdi_core::endorsement::EndorsementRequest;
use etdi_core::key::{KeyId, KeyRing};
use etdi_core::time::UnixTime;
use mcp_types::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Client, GrantType, Source};
use super::documents::Documents;
use super::jose::{self, Jwt};
use super::keys::{Keys, Rotation};
use super::login::{DevelopmentLogin, Login};
use super::page::{self, Ways};
use super::seal::{Seal, decode, encode, random, random_bytes, sha256};
use super::server::{
    AuthorizationRequest, AuthorizationServer, Credential, Grant, Held, Issued, Page, Return,
    Returned, ServerError, TokenClaims, Verdict, Visit, Wanted,
};
use super::settings::Settings;
use super::store::{Kind, Store};
use super::upstream::Upstreams;
use crate::Fetch;

/// An authorization server that keeps its state in a [`Store`] and asks users on a plain page.
///
/// Every authorization is asked about, whoever the client is: there is no consent that a stranger
/// could make use of later. Codes and refresh tokens are names of grants under a seal, so that those
/// who guess fill nothing and end nothing, and that one which is shown twice is known as long as its
/// grant lives. Access tokens are JWTs of RFC 9068.
///
/// ```
/// use std::sync::Arc;
///
/// use etdi_core::time::UnixTime;
/// use etdi_oauth::embedded::{AuthorizationRoutes, Client, Embedded, MemoryStore, Settings};
///
/// # futures_executor::block_on(async {
/// let settings = Settings::new("http://127.0.0.1:9000", ["http://127.0.0.1:8000/mcp"])?;
/// let store = Arc::new(MemoryStore::new());
/// let server = Embedded::open(store, &settings, UnixTime(1_767_323_045)).await?;
/// let server = server.client(Client::public("notes", ["http://127.0.0.1/callback"])?);
/// let routes = AuthorizationRoutes::new(Arc::new(server), settings)?;
/// # drop(routes);
///
/// // Nobody is sent to where a program could be listening that is not on this computer.
/// assert!(Client::public("notes", ["http://notes.example/callback"]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Embedded {
    store: Arc<dyn Store>,
    settings: Settings,
    seal: Seal,
    keys: Keys,
    clients: BTreeMap<String, Client>,
    documents: Option<Documents>,
    /// The one that was chosen; without one and without providers everybody is believed.
    login: Option<Arc<dyn Login>>,
    upstreams: Option<Upstreams>,
}

/// A grant as it is kept, and until when what stands for it now is good.
#[derive(Serialize, Deserialize)]
struct Record {
    grant: Grant,
    until: UnixTime,
    /// When the user agreed to it. A record that does not say is older than any.
    #[serde(default)]
    begun: UnixTime,
}

/// How long a page may be answered, in seconds.
const PAGE: u64 = 600;

/// How long a client is kept that registered itself and was let do nothing yet, and one that was, in
/// seconds.
const UNUSED: u64 = 3_600;
const USED: u64 = 90 * 86_400;

const MASTER: &str = "seal";

impl Embedded {
    /// Opens the state in `store`, and makes what is missing: the key that signs, the one that seals.
    ///
    /// Users log in by [`DevelopmentLogin`], which asks for a name and believes it; see
    /// [`Embedded::login`].
    ///
    /// # Errors
    ///
    /// When the store cannot be used.
    pub async fn open(
        store: Arc<dyn Store>,
        settings: &Settings,
        now: UnixTime,
    ) -> Result<Self, ServerError> {
        Self::open_with(store, settings, Rotation::default(), now).await
    }

    /// The same with keys that change otherwise.
    ///
    /// # Errors
    ///
    /// As [`Embedded::open`].
    pub async fn open_with(
        store: Arc<dyn Store>,
        settings: &Settings,
        rotation: Rotation,
        now: UnixTime,
    ) -> Result<Self, ServerError> {
        let fresh = encode(&random_bytes()?).into_bytes();
        store.insert(Kind::Key, MASTER, fresh, UnixTime(u64::MAX), now).await?;
        let damaged = || ServerError::Storage("its seal cannot be read".to_owned());
        let secret = store.get(Kind::Key, MASTER, now).await?.ok_or_else(damaged)?;
        let secret = String::from_utf8(secret).ok().and_then(|text| decode(&text));
        let secret = secret.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let overlap = settings.access_lifetime.max(settings.statement_lifetime) + 60;
        Ok(Self {
            keys: Keys::open(store.clone(), rotation, overlap, now).await?,
            store,
            settings: settings.clone(),
            seal: Seal::new(&secret.ok_or_else(damaged)?),
            clients: BTreeMap::new(),
            documents: None,
            login: None,
            upstreams: None,
        })
    }

    /// Adds a client of the operator.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.clients.insert(client.id.clone(), client);
        self
    }

    /// Takes clients whose id is the URL of a document about them, fetched through `fetch`, which has
    /// to be a guarded one: anybody can name a URL. It should follow no redirects.
    #[must_use]
    pub fn documents(mut self, fetch: Arc<dyn Fetch>) -> Self {
        self.documents = Some(Documents::new(fetch));
        self
    }

    /// Has users log in otherwise. With [`Embedded::upstreams`] their names hold no `://`.
    #[must_use]
    pub fn login(mut self, login: Arc<dyn Login>) -> Self {
        self.login = Some(login);
        self
    }

    /// Has users log in with providers elsewhere. Whoever is to have a name here as well is added by
    /// [`Embedded::login`]; without that nobody has.
    #[must_use]
    pub fn upstreams(mut self, upstreams: Upstreams) -> Self {
        self.upstreams = Some(upstreams);
        self
    }

    /// Makes the next key that signs, before it is time. It is shown from now on.
    ///
    /// # Errors
    ///
    /// When it cannot be made or kept.
    pub async fn rotate_keys(&self, now: UnixTime) -> Result<KeyId, ServerError> {
        self.keys.rotate(now).await
    }

    async fn record(
        &self,
        id: &str,
        now: UnixTime,
    ) -> Result<Option<(Record, Vec<u8>)>, ServerError> {
        let Some(bytes) = self.store.get(Kind::Grant, id, now).await? else { return Ok(None) };
        let record = serde_json::from_slice(&bytes).map_err(unreadable)?;
        Ok(Some((record, bytes)))
    }

    /// The grant that a credential names under our seal, and the turn in which it counts.
    fn named<'c>(&self, credential: Credential<'c>) -> Option<(&'c str, u64)> {
        match credential {
            Credential::Code(text) => {
                let (id, seal) = text.split_once('.')?;
                self.seal.is("code", &[id], seal).then_some((id, 0))
            }
            Credential::RefreshToken(text) => {
                let (id, rest) = text.split_once('.')?;
                let (turn, seal) = rest.split_once('.')?;
                let holds = self.seal.is("refresh", &[id, turn], seal);
                holds.then_some((id, turn.parse().ok()?))
            }
        }
    }

    fn ticket(&self, visit: &Visit<'_>, cookie: &str, until: &str) -> String {
        let request = visit.request;
        let scopes = request.scopes.join(" ");
        let key = request.key.map(|key| key.to_string()).unwrap_or_default();
        let state = request.state.as_deref().unwrap_or_default();
        let parts = [
            cookie,
            until,
            &visit.client.id,
            &request.redirect_uri,
            state,
            &request.challenge,
            &scopes,
            &request.resource,
            &key,
        ];
        self.seal.over("ticket", &parts)
    }

    fn page(&self, visit: &Visit<'_>, now: UnixTime, again: bool) -> Result<Verdict, ServerError> {
        let cookie = visit.cookie.filter(|cookie| cookie.len() == 43 && decode(cookie).is_some());
        let cookie = cookie.map_or_else(random, |cookie| Ok(cookie.to_owned()))?;
        let until = now.plus(PAGE).seconds().to_string();
        let ticket = format!("{until}.{}", self.ticket(visit, &cookie, &until));
        let elsewhere = self.upstreams.iter().flat_map(Upstreams::offered).collect();
        let here = self.here().map(|login| login.asks_password());
        let html = page::consent(visit, &ticket, &Ways { here, elsewhere }, again);
        Ok(Verdict::Page(Page::new(html).cookie(cookie)))
    }

    async fn decide(&self, visit: Visit<'_>, now: UnixTime) -> Result<Verdict, ServerError> {
        let Some(answer) = visit.answer else { return self.page(&visit, now, false) };
        let ticket = answer.get("ticket").and_then(|ticket| ticket.split_once('.'));
        let (Some((until, seal)), Some(cookie)) = (ticket, visit.cookie) else {
            return Ok(Verdict::Stale);
        };
        let fresh = until.parse().is_ok_and(|until| now < UnixTime(until));
        if !fresh || !self.seal.same(&self.ticket(&visit, cookie, until), seal) {
            return Ok(Verdict::Stale);
        }
        if let (Some(upstream), Some(upstreams)) = (answer.get("upstream"), &self.upstreams) {
            return upstreams.begin(upstream, &visit, &self.settings, now).await;
        }
        if answer.get("decision") != Some("allow") {
            return Ok(Verdict::Denied);
        }
        let (name, password) = (answer.get("name"), answer.get("password"));
        let user = match (self.here(), name) {
            (Some(login), Some(name)) => {
                login.log_in(name, password.unwrap_or_default(), now).await
            }
            _ => None,
        };
        // It would be the name of somebody whom a provider knows.
        let user = user.filter(|user| self.upstreams.is_none() || !user.contains("://"));
        let Some(user) = user else { return self.page(&visit, now, true) };
        self.granted(&user, visit.client, visit.request, now).await
    }

    /// Who has a name here.
    fn here(&self) -> Option<&dyn Login> {
        match (&self.login, &self.upstreams) {
            (Some(login), _) => Some(&**login),
            (None, None) => Some(&DevelopmentLogin),
            (None, Some(_)) => None,
        }
    }

    /// A user who agreed before and has logged in elsewhere since.
    async fn land(&self, back: Return<'_>, now: UnixTime) -> Result<Option<Returned>, ServerError> {
        let Some(upstreams) = &self.upstreams else { return Ok(None) };
        let Some(done) = upstreams.finish(&back, now).await else { return Ok(None) };
        let Some(client) = self.find(&done.client, now).await? else { return Ok(None) };
        let verdict = match done.user {
            Ok(user) => self.granted(&user.subject(), &client, &done.request, now).await?,
            Err(refusal) => Verdict::Refused(refusal),
        };
        Ok(Some(Returned::new(done.client, done.request, verdict)))
    }

    /// The code of what a user let a client do.
    async fn granted(
        &self,
        user: &str,
        client: &Client,
        request: &AuthorizationRequest,
        now: UnixTime,
    ) -> Result<Verdict, ServerError> {
        let grant = Grant::new(random()?, client, user, request);
        let code = format!("{}.{}", grant.id, self.seal.over("code", &[&grant.id]));
        let until = now.plus(self.settings.code_lifetime);
        let id = grant.id.clone();
        let record =
            serde_json::to_vec(&Record { grant, until, begun: now }).map_err(unreadable)?;
        // It outlives its code, so that a second use is known as such.
        let kept = until.plus(self.settings.access_lifetime);
        match self.store.insert(Kind::Grant, &id, record, kept, now).await? {
            true => Ok(Verdict::Code(code)),
            false => Err(ServerError::Random),
        }
    }

    async fn take(
        &self,
        credential: Credential<'_>,
        key: Option<KeyId>,
        now: UnixTime,
    ) -> Result<Option<Grant>, ServerError> {
        let Some((id, turn)) = self.named(credential) else { return Ok(None) };
        let Some((record, before)) = self.record(id, now).await? else { return Ok(None) };
        let mut grant = record.grant;
        if grant.turn != turn || record.until <= now {
            return Ok(None);
        }
        grant.turn += 1;
        grant.key = key.or(grant.key);
        let client = self.find(&grant.client, now).await?;
        let renews = client.is_some_and(|one| one.grants.contains(&GrantType::RefreshToken));
        let settings = &self.settings;
        let lasts = if renews { settings.refresh_lifetime } else { settings.access_lifetime };
        let mut until = now.plus(lasts);
        // A user of another issuer: who may log in is asked there and here, and only at a login.
        if grant.subject.contains("://") {
            until = until.min(record.begun.plus(settings.upstream_lifetime));
            if until <= now {
                return Ok(None);
            }
        }
        let kept = until.plus(settings.access_lifetime);
        let record = Record { grant: grant.clone(), until, begun: record.begun };
        let record = serde_json::to_vec(&record).map_err(unreadable)?;
        let done = self.store.swap(Kind::Grant, id, &before, record, kept, now).await?;
        Ok(done.then_some(grant))
    }

    async fn find(&self, id: &str, now: UnixTime) -> Result<Option<Client>, ServerError> {
        if let Some(client) = self.clients.get(id) {
            return Ok(Some(client.clone()));
        }
        if id.starts_with("https://") {
            let Some(documents) = &self.documents else { return Ok(None) };
            return documents.client(id, now).await.map(Some);
        }
        let Some(record) = self.store.get(Kind::Client, id, now).await? else { return Ok(None) };
        serde_json::from_slice(&record).map(Some).map_err(unreadable)
    }

    async fn make(&self, wanted: Wanted<'_>, now: UnixTime) -> Result<Issued, ServerError> {
        let client = wanted.client;
        let subject = wanted.grant.map_or(&client.id, |grant| &grant.subject);
        // The grant's id is in that of the token, so that it ends with the grant.
        let family = wanted.grant.map_or("", |grant| &grant.id);
        let lasts = self.settings.access_lifetime;
        let mut claims = json!({
            "iss": self.settings.issuer(),
            "sub": subject,
            "aud": wanted.resource,
            "client_id": client.id,
            "iat": now.seconds(),
            "exp": now.plus(lasts).seconds(),
            "jti": format!("{family}.{}", random()?),
        });
        if let Some(claims) = claims.as_object_mut() {
            if !wanted.scopes.is_empty() {
                claims.insert("scope".to_owned(), wanted.scopes.join(" ").into());
            }
            if let Some(key) = wanted.key {
                claims.insert("cnf".to_owned(), json!({ "jkt": key.to_string() }));
            }
        }
        let signing = self.keys.current(now).await?;
        let token = jose::sign(&claims.to_string(), &signing.key)?;
        let renews = client.grants.contains(&GrantType::RefreshToken);
        let refresh = wanted.grant.filter(|_| renews).map(|grant| {
            let turn = grant.turn.to_string();
            format!("{}.{turn}.{}", grant.id, self.seal.over("refresh", &[&grant.id, &turn]))
        });
        if client.source == Source::Registered {
            let name = &client.id;
            if let Some(record) = self.store.get(Kind::Client, name, now).await? {
                let (copy, until) = (record.clone(), now.plus(USED));
                self.store.swap(Kind::Client, name, &record, copy, until, now).await?;
            }
        }
        Ok(Issued::new(token, lasts, refresh))
    }

    async fn read(&self, token: &str, now: UnixTime) -> Result<Option<TokenClaims>, ServerError> {
        let credential = Credential::RefreshToken(token);
        if let Some((id, turn)) = self.named(credential) {
            let Some((record, _)) = self.record(id, now).await? else { return Ok(None) };
            let grant = record.grant;
            if grant.turn != turn || record.until <= now {
                return Ok(None);
            }
            return Ok(Some(TokenClaims {
                id: grant.id,
                refresh: true,
                client: grant.client,
                subject: grant.subject,
                scopes: grant.scopes,
                resource: grant.resource,
                issued_at: record.until.minus(self.settings.refresh_lifetime),
                expires_at: record.until,
                key: grant.key.map(|key| key.to_string()),
            }));
        }
        self.keys.look(now).await?;
        let Some(claims) = self.access_token(token, now) else { return Ok(None) };
        let family = claims.id.split_once('.').map_or("", |(family, _)| family);
        if !family.is_empty() && self.record(family, now).await?.is_none() {
            return Ok(None);
        }
        let revoked = self.store.get(Kind::Used, &revoked(&claims.id), now).await?;
        Ok(revoked.is_none().then_some(claims))
    }

    fn access_token(&self, token: &str, now: UnixTime) -> Option<TokenClaims> {
        let jwt = Jwt::read(token, &["at+jwt"]).ok()?;
        let key = self.keys.public(&jwt.header("kid")?, now)?;
        let claims = jwt.verify(&key).ok()?;
        let expires_at = claims.time("exp").ok()??;
        if expires_at <= now || claims.text("iss")? != self.settings.issuer() {
            return None;
        }
        let scopes = claims.text("scope").unwrap_or_default();
        Some(TokenClaims {
            id: claims.text("jti")?,
            refresh: false,
            client: claims.text("client_id")?,
            subject: claims.text("sub")?,
            scopes: scopes.split_whitespace().map(str::to_owned).collect(),
            resource: claims.text("aud")?,
            issued_at: claims.time("iat").ok()??,
            expires_at,
            key: claims.within("cnf", "jkt"),
        })
    }
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn revoked(id: &str) -> String {
    format!("revoked {}", sha256(id))
}

fn unreadable(error: serde_json::Error) -> ServerError {
    ServerError::Storage(error.to_string())
}

impl AuthorizationServer for Embedded {
    fn client<'a>(
        &'a self,
        id: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Client>, ServerError>> {
        Box::pin(self.find(id, now))
    }

    fn register<'a>(
        &'a self,
        client: &'a Client,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<(), ServerError>> {
        Box::pin(async move {
            let record = serde_json::to_vec(client).map_err(unreadable)?;
            let until = now.plus(UNUSED);
            match self.store.insert(Kind::Client, &client.id, record, until, now).await? {
                true => Ok(()),
                false => Err(ServerError::Random),
            }
        })
    }

    fn authorize<'a>(
        &'a self,
        visit: Visit<'a>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Verdict, ServerError>> {
        Box::pin(self.decide(visit, now))
    }

    fn returned<'a>(
        &'a self,
        back: Return<'a>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Returned>, ServerError>> {
        Box::pin(self.land(back, now))
    }

    fn grant<'a>(
        &'a self,
        credential: Credential<'a>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Held>, ServerError>> {
        Box::pin(async move {
            let Some((id, turn)) = self.named(credential) else { return Ok(None) };
            let Some((record, _)) = self.record(id, now).await? else { return Ok(None) };
            let spent = record.grant.turn != turn;
            let counts = spent || record.until > now;
            Ok(counts.then(|| Held::new(record.grant, spent)))
        })
    }

    fn spend<'a>(
        &'a self,
        credential: Credential<'a>,
        key: Option<KeyId>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Grant>, ServerError>> {
        Box::pin(self.take(credential, key, now))
    }

    fn issue<'a>(
        &'a self,
        wanted: Wanted<'a>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Issued, ServerError>> {
        Box::pin(self.make(wanted, now))
    }

    fn revoke_grant<'a>(
        &'a self,
        id: &'a str,
        _now: UnixTime,
    ) -> BoxFuture<'a, Result<(), ServerError>> {
        self.store.remove(Kind::Grant, id)
    }

    fn token<'a>(
        &'a self,
        token: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<TokenClaims>, ServerError>> {
        Box::pin(self.read(token, now))
    }

    fn revoke<'a>(
        &'a self,
        claims: &'a TokenClaims,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<(), ServerError>> {
        Box::pin(async move {
            if claims.refresh {
                return self.store.remove(Kind::Grant, &claims.id).await;
            }
            let (name, until) = (revoked(&claims.id), claims.expires_at);
            self.store.insert(Kind::Used, &name, Vec::new(), until, now).await.map(drop)
        })
    }

    fn first_use<'a>(
        &'a self,
        what: &'a str,
        until: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<bool, ServerError>> {
        self.store.insert(Kind::Used, what, Vec::new(), until, now)
    }

    fn endorse<'a>(
        &'a self,
        asked: &'a EndorsementRequest,
        most: u64,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<String>, ServerError>> {
        Box::pin(async move {
            let signing = self.keys.current(now).await?;
            let signed = asked.sign(most, now, &signing.key).map_err(|_| ServerError::Random)?;
            Ok(Some(signed))
        })
    }

    fn look(&self, now: UnixTime) -> BoxFuture<'_, Result<(), ServerError>> {
        Box::pin(self.keys.look(now))
    }

    fn jwks(&self, now: UnixTime) -> String {
        self.keys.shown(now).into_iter().collect::<KeyRing>().to_jwks()
    }
}
