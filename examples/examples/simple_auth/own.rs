//! An authorization server of one's own: its clients, codes and tokens are tables of this process.
//!
//! What OAuth demands (PKCE, redirect URIs letter by letter, `iss`, proofs, who a client is) the routes
//! check. This only keeps what there is: codes and tokens are random texts, of which a digest is kept.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::digest::Digest;
use etdi_core::key::KeyId;
use etdi_core::time::UnixTime;
use etdi_oauth::SecretText;
use etdi_oauth::embedded::{
    AuthorizationServer, Client, Credential, Grant, GrantType, Held, Issued, Page, ServerError,
    TokenClaims, Verdict, Visit, Wanted,
};
use mcp_server::types::BoxFuture;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::page;

/// How long things last, in seconds.
const PAGE: u64 = 600;
const CODE: u64 = 60;
const ACCESS: u64 = 600;
const REFRESH: u64 = 30 * 86_400;

/// The most of each kind, and how often passwords are tried in a minute: strangers fill nothing.
const MOST: usize = 10_000;
const TRIES: u32 = 20;

/// The server, with one user.
pub(crate) struct OwnServer {
    user: String,
    password: SecretText,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    clients: HashMap<String, Client>,
    /// Pages that were shown, by their tickets.
    pages: HashMap<Digest, Shown>,
    grants: HashMap<String, (Grant, UnixTime)>,
    /// Codes and refresh tokens.
    given: HashMap<Digest, Given>,
    access: HashMap<Digest, Access>,
    used: HashMap<String, UnixTime>,
    /// Passwords that were tried, and since when they are counted.
    tries: (u32, UnixTime),
}

struct Shown {
    cookie: String,
    action: String,
    until: UnixTime,
}

/// What stands for a grant, in the turn in which it counts: zero is the code.
struct Given {
    grant: String,
    turn: u64,
    issued: UnixTime,
    until: UnixTime,
}

struct Access {
    claims: TokenClaims,
    grant: Option<String>,
}

impl OwnServer {
    /// A server that knows one user, and the clients that register themselves.
    pub(crate) fn new(user: String, password: SecretText) -> Self {
        Self { user, password, tables: Mutex::default() }
    }

    /// Adds a client of the operator.
    pub(crate) fn client(self, client: Client) -> Self {
        self.tables().clients.insert(client.id.clone(), client);
        self
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page that asks, for this browser and this request alone.
    fn ask(&self, visit: &Visit<'_>, again: bool, now: UnixTime) -> Result<Verdict, ServerError> {
        let cookie = match visit.cookie {
            Some(cookie) => cookie.to_owned(),
            None => random()?,
        };
        let ticket = random()?;
        let shown = Shown {
            cookie: cookie.clone(),
            action: visit.action.to_owned(),
            until: now.plus(PAGE),
        };
        let mut tables = self.tables();
        tables.pages.retain(|_, shown| shown.until > now);
        room(tables.pages.len())?;
        tables.pages.insert(digest(&ticket), shown);
        Ok(Verdict::Page(Page::new(page::login(visit, &ticket, again)).cookie(cookie)))
    }

    fn decide(&self, visit: &Visit<'_>, now: UnixTime) -> Result<Verdict, ServerError> {
        let Some(answer) = visit.answer else { return self.ask(visit, false, now) };
        let ticket = answer.get("ticket").map(digest);
        // Taken out: a page is answered once.
        let shown = ticket.and_then(|ticket| self.tables().pages.remove(&ticket));
        let same = |shown: &Shown| {
            now < shown.until
                && shown.action == visit.action
                && visit.cookie == Some(shown.cookie.as_str())
        };
        if !shown.is_some_and(|shown| same(&shown)) {
            return Ok(Verdict::Stale);
        }
        if answer.get("decision") != Some("allow") {
            return Ok(Verdict::Denied);
        }
        let (name, password) = (answer.get("name"), answer.get("password"));
        let known = self.may_try(now)
            && name == Some(&*self.user)
            && password.is_some_and(|password| self.password.is(password));
        if !known {
            return self.ask(visit, true, now);
        }
        let (code, id) = (random()?, random()?);
        let grant = Grant::new(id.clone(), visit.client, &*self.user, visit.request);
        let mut tables = self.tables();
        tables.sweep(now);
        room(tables.grants.len())?;
        let until = now.plus(CODE);
        tables
            .given
            .insert(digest(&code), Given { grant: id.clone(), turn: 0, issued: now, until });
        // It outlives its code, so that a second use is known as such.
        tables.grants.insert(id, (grant, until.plus(ACCESS)));
        Ok(Verdict::Code(code))
    }

    fn may_try(&self, now: UnixTime) -> bool {
        let mut tables = self.tables();
        let (tries, since) = &mut tables.tries;
        if now >= since.plus(60) {
            (*tries, *since) = (0, now);
        }
        *tries += 1;
        *tries <= TRIES
    }

    fn make(&self, wanted: &Wanted<'_>, now: UnixTime) -> Result<Issued, ServerError> {
        let (client, grant) = (wanted.client, wanted.grant);
        let subject = grant.map_or(&client.id, |grant| &grant.subject);
        let (token, until) = (random()?, now.plus(ACCESS));
        let mut claims =
            TokenClaims::new(random()?, &client.id, subject, wanted.resource, now, until);
        claims.scopes = wanted.scopes.to_vec();
        claims.key = wanted.key.map(|key| key.to_string());
        let mut tables = self.tables();
        tables.sweep(now);
        room(tables.access.len().max(tables.given.len()))?;
        let access = Access { claims, grant: grant.map(|grant| grant.id.clone()) };
        tables.access.insert(digest(&token), access);
        let renews = client.grants.contains(&GrantType::RefreshToken);
        let mut refresh = None;
        if let Some(grant) = grant.filter(|_| renews) {
            let (next, until) = (random()?, now.plus(REFRESH));
            let given = Given { grant: grant.id.clone(), turn: grant.turn, issued: now, until };
            tables.given.insert(digest(&next), given);
            if let Some((_, kept)) = tables.grants.get_mut(&grant.id) {
                *kept = until;
            }
            refresh = Some(next);
        }
        Ok(Issued::new(token, ACCESS, refresh))
    }
}

impl Tables {
    /// Forgets what is over.
    fn sweep(&mut self, now: UnixTime) {
        self.grants.retain(|_, (_, until)| *until > now);
        let grants = &self.grants;
        self.given.retain(|_, given| grants.contains_key(&given.grant));
        self.access.retain(|_, access| access.claims.expires_at > now);
    }

    /// What a credential stands for, and whether it was spent.
    fn held(&self, credential: Credential<'_>, now: UnixTime) -> Option<(&Given, &Grant, bool)> {
        let (text, is_code) = match credential {
            Credential::Code(text) => (text, true),
            Credential::RefreshToken(text) => (text, false),
            _ => return None,
        };
        let given = self.given.get(&digest(text)).filter(|given| (given.turn == 0) == is_code)?;
        let (grant, kept) = self.grants.get(&given.grant)?;
        let spent = grant.turn != given.turn;
        (*kept > now && (spent || given.until > now)).then_some((given, grant, spent))
    }

    fn token(&self, token: &str, now: UnixTime) -> Option<TokenClaims> {
        let holds = |id: &String| self.grants.get(id).is_some_and(|(_, until)| *until > now);
        if let Some(access) = self.access.get(&digest(token)) {
            let alive = access.claims.expires_at > now && access.grant.as_ref().is_none_or(holds);
            return alive.then(|| access.claims.clone());
        }
        let (given, grant, spent) = self.held(Credential::RefreshToken(token), now)?;
        let mut claims = TokenClaims::new(
            &*grant.id,
            &*grant.client,
            &*grant.subject,
            &*grant.resource,
            given.issued,
            given.until,
        );
        claims.refresh = true;
        claims.scopes.clone_from(&grant.scopes);
        claims.key = grant.key.map(|key| key.to_string());
        (!spent).then_some(claims)
    }
}

impl AuthorizationServer for OwnServer {
    fn client<'a>(
        &'a self,
        id: &'a str,
        _now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Client>, ServerError>> {
        Box::pin(async move { Ok(self.tables().clients.get(id).cloned()) })
    }

    fn register<'a>(
        &'a self,
        client: &'a Client,
        _now: UnixTime,
    ) -> BoxFuture<'a, Result<(), ServerError>> {
        Box::pin(async move {
            let mut tables = self.tables();
            room(tables.clients.len())?;
            tables.clients.insert(client.id.clone(), client.clone());
            Ok(())
        })
    }

    fn authorize<'a>(
        &'a self,
        visit: Visit<'a>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Verdict, ServerError>> {
        Box::pin(async move { self.decide(&visit, now) })
    }

    fn grant<'a>(
        &'a self,
        credential: Credential<'a>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Held>, ServerError>> {
        Box::pin(async move {
            let tables = self.tables();
            let held = tables.held(credential, now);
            Ok(held.map(|(_, grant, spent)| Held::new(grant.clone(), spent)))
        })
    }

    fn spend<'a>(
        &'a self,
        credential: Credential<'a>,
        key: Option<KeyId>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Grant>, ServerError>> {
        Box::pin(async move {
            // Under one lock, so that of all who try at once one succeeds.
            let mut tables = self.tables();
            let held = tables.held(credential, now).filter(|(_, _, spent)| !spent);
            let Some(id) = held.map(|(_, grant, _)| grant.id.clone()) else { return Ok(None) };
            let Some((grant, kept)) = tables.grants.get_mut(&id) else { return Ok(None) };
            grant.turn += 1;
            grant.key = key.or(grant.key);
            *kept = now.plus(ACCESS);
            Ok(Some(grant.clone()))
        })
    }

    fn issue<'a>(
        &'a self,
        wanted: Wanted<'a>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Issued, ServerError>> {
        Box::pin(async move { self.make(&wanted, now) })
    }

    fn revoke_grant<'a>(
        &'a self,
        id: &'a str,
        _now: UnixTime,
    ) -> BoxFuture<'a, Result<(), ServerError>> {
        Box::pin(async move {
            self.tables().grants.remove(id);
            Ok(())
        })
    }

    fn token<'a>(
        &'a self,
        token: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<TokenClaims>, ServerError>> {
        Box::pin(async move { Ok(self.tables().token(token, now)) })
    }

    fn revoke<'a>(
        &'a self,
        claims: &'a TokenClaims,
        _now: UnixTime,
    ) -> BoxFuture<'a, Result<(), ServerError>> {
        Box::pin(async move {
            let mut tables = self.tables();
            match claims.refresh {
                true => drop(tables.grants.remove(&claims.id)),
                false => tables.access.retain(|_, access| access.claims.id != claims.id),
            }
            Ok(())
        })
    }

    fn first_use<'a>(
        &'a self,
        what: &'a str,
        until: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<bool, ServerError>> {
        Box::pin(async move {
            let mut tables = self.tables();
            tables.used.retain(|_, until| *until > now);
            room(tables.used.len())?;
            Ok(tables.used.insert(what.to_owned(), until).is_none())
        })
    }

    /// Nothing is signed here.
    fn jwks(&self, _now: UnixTime) -> String {
        r#"{"keys":[]}"#.to_owned()
    }
}

fn room(taken: usize) -> Result<(), ServerError> {
    if taken < MOST { Ok(()) } else { Err(ServerError::Full) }
}

fn digest(text: &str) -> Digest {
    Digest::of_bytes(text.as_bytes())
}

/// 256 random bits.
pub(crate) fn random() -> Result<String, ServerError> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| ServerError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
