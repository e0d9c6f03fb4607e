//! What a token says, judged once its signature is known to be its issuer's.

use std::collections::BTreeSet;

use etdi_core::ijson::{Document, Limits, Value};
use etdi_core::time::UnixTime;
use mcp_types::RawText;

use super::header::shown;
use super::{Confirmation, Issuer, TokenRefusal, VerifiedToken};
use crate::provider::ClaimShape;

/// The most audiences, scopes or roles of one token.
const MAX_LIST: usize = 1024;

/// Claims that only ID tokens have (OpenID Connect Core, sections 2 and 3.3.2.11).
pub(crate) const OF_ID_TOKENS: [&str; 3] = ["nonce", "at_hash", "c_hash"];

/// Claims by which some issuers say what a token is for, where neither its header nor `token_type`
/// does, and what they say of others than access tokens: Keycloak's `typ`, and `token_use` of Ory Hydra
/// and Cognito.
const OTHER_USES: [(&str, &[&str]); 2] = [
    ("typ", &["id", "refresh", "offline", "logout"]),
    ("token_use", &["id", "id_token", "refresh", "refresh_token"]),
];

/// Where claims come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A signed token.
    Token,
    /// The issuer's answer about one, which may leave things out (RFC 7662, section 2.2).
    Introspection,
}

/// For how many seconds an answer counts that does not say when its token ends.
const UNTIL_ASKED_AGAIN: u64 = 60;

/// Claims that were read and whose issuer is not known to be who they say.
pub(super) struct Claims<'d>(Document<'d>);

impl<'d> Claims<'d> {
    pub(super) fn parse(text: &'d str) -> Result<Self, TokenRefusal> {
        let document = Document::parse(text, Limits::STATEMENT).map_err(TokenRefusal::Claims)?;
        match document.root().is_object() {
            true => Ok(Self(document)),
            false => Err(TokenRefusal::Malformed("its claims are no JSON object")),
        }
    }

    /// Who is said to have issued it: for finding the keys.
    pub(super) fn issuer(&self) -> Result<&str, TokenRefusal> {
        self.text("iss")?.ok_or(TokenRefusal::Missing("iss"))
    }

    pub(super) fn get(&self, name: &str) -> Option<Value<'_>> {
        self.0.root().get(name)
    }

    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, TokenRefusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let text = value.as_str().filter(|text| !text.is_empty());
        text.map(Some).ok_or(TokenRefusal::Mistyped { claim: name, expected: "a text" })
    }

    pub(super) fn time(&self, name: &'static str) -> Result<Option<UnixTime>, TokenRefusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let mistyped = TokenRefusal::Mistyped { claim: name, expected: "a number of seconds" };
        let Some(number) = value.as_number() else { return Err(mistyped) };
        let seconds = number.get().floor();
        // The year 9999 in seconds; a cast beyond would have to guess.
        if !(0.0..=253_402_300_799.0).contains(&seconds) {
            return Err(mistyped);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded above"
        )]
        Ok(Some(UnixTime(seconds as u64)))
    }

    /// A text or a list of texts.
    pub(super) fn texts(&self, name: &'static str) -> Result<Option<Vec<&str>>, TokenRefusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let mistyped =
            TokenRefusal::Mistyped { claim: name, expected: "a text or a list of texts" };
        if let Some(one) = value.as_str() {
            return Ok(Some(vec![one]));
        }
        let list = value.as_array().filter(|list| list.len() <= MAX_LIST);
        let texts: Option<Vec<_>> = list.and_then(|mut list| {
            let mut texts = Vec::with_capacity(list.len());
            list.try_for_each(|one| one.as_str().map(|one| texts.push(one)))?;
            Some(texts)
        });
        texts.map(Some).ok_or(mistyped)
    }

    /// What several claims name together: lists, or texts with blanks between the names.
    fn names(
        &self,
        claims: &[String],
        kind: &'static str,
    ) -> Result<BTreeSet<String>, TokenRefusal> {
        let mut names = BTreeSet::new();
        let mistyped =
            TokenRefusal::Mistyped { claim: kind, expected: "a text or a list of texts" };
        for value in claims.iter().filter_map(|claim| self.get(claim)) {
            let all: Vec<&str> = match (value.as_str(), value.as_array()) {
                (Some(text), _) => text.split(' ').collect(),
                (None, Some(list)) => {
                    list.map(Value::as_str).collect::<Option<_>>().ok_or(mistyped.clone())?
                }
                (None, None) => return Err(mistyped),
            };
            names.extend(all.into_iter().filter(|name| !name.is_empty()).map(str::to_owned));
            if names.len() > MAX_LIST {
                return Err(mistyped);
            }
        }
        Ok(names)
    }

    /// The client, by all the claims that name it.
    fn client(&self, shape: &ClaimShape) -> Result<Option<String>, TokenRefusal> {
        let mistyped = TokenRefusal::Mistyped { claim: "client", expected: "one text" };
        let mut client: Option<&str> = None;
        for value in shape.client.iter().filter_map(|claim| self.get(claim)) {
            let named = value.as_str().filter(|named| !named.is_empty());
            let Some(named) = named else { return Err(mistyped) };
            if client.is_some_and(|other| other != named) {
                return Err(mistyped);
            }
            client = Some(named);
        }
        match client {
            None if shape.client_required => Err(TokenRefusal::Missing("client")),
            client => Ok(client.map(str::to_owned)),
        }
    }

    /// The key that the token is bound to. A way of binding that is not known here is refused: the
    /// token would count for whoever stole it.
    fn confirmation(&self) -> Result<Option<Confirmation>, TokenRefusal> {
        let Some(bound) = self.get("cnf") else { return Ok(None) };
        let members = bound.as_object().ok_or(TokenRefusal::Confirmation)?;
        let mut confirmation = Confirmation::default();
        for (name, value) in members {
            let value = value.as_str().ok_or(TokenRefusal::Confirmation)?;
            match name {
                "jkt" => {
                    let key = value.parse().map_err(|_| TokenRefusal::Confirmation)?;
                    confirmation.key = Some(key);
                }
                "x5t#S256" => confirmation.certificate = Some(value.to_owned()),
                _ => return Err(TokenRefusal::Confirmation),
            }
        }
        match confirmation == Confirmation::default() {
            true => Err(TokenRefusal::Confirmation),
            false => Ok(Some(confirmation)),
        }
    }

    /// Judges what the token says, now that its issuer is known to have said it.
    pub(super) fn judge(
        &self,
        text: &str,
        issuer: &Issuer,
        source: Source,
        now: UnixTime,
        leeway: u64,
    ) -> Result<VerifiedToken, TokenRefusal> {
        let expires = match (self.time("exp")?, source) {
            (Some(expires), _) => expires,
            (None, Source::Introspection) => now.plus(UNTIL_ASKED_AGAIN),
            (None, Source::Token) => return Err(TokenRefusal::Missing("exp")),
        };
        if expires.plus(leeway) <= now {
            return Err(TokenRefusal::Expired(expires));
        }
        if let Some(from) = self.time("nbf")?.filter(|from| *from > now.plus(leeway)) {
            return Err(TokenRefusal::NotYet(from));
        }
        let issued = self.time("iat")?;
        if let Some(issued) = issued.filter(|issued| *issued > now.plus(leeway)) {
            return Err(TokenRefusal::IssuedLater(issued));
        }
        let audiences = self.texts("aud")?.ok_or(TokenRefusal::Missing("aud"))?;
        let meant = |one: &&str| issuer.audiences.iter().any(|audience| audience == one);
        if !audiences.iter().any(meant) {
            let expected = issuer.audiences.first().cloned().unwrap_or_default();
            return Err(TokenRefusal::Audience { expected });
        }
        let shape = &issuer.shape;
        if OF_ID_TOKENS.iter().any(|claim| self.get(claim).is_some()) {
            return Err(TokenRefusal::IdToken);
        }
        for (claim, uses) in OTHER_USES {
            let said = self.get(claim).and_then(Value::as_str);
            if let Some(said) =
                said.filter(|said| uses.iter().any(|one| one.eq_ignore_ascii_case(said)))
            {
                let (found, expected) = (shown(said), "an access token".to_owned());
                return Err(TokenRefusal::Type { found, expected });
            }
        }
        let client = self.client(shape)?;
        let subject = match (self.text("sub")?, source) {
            (Some(subject), _) => subject.to_owned(),
            // A client that acts for itself.
            (None, Source::Introspection) if client.is_some() => client.clone().unwrap_or_default(),
            _ => return Err(TokenRefusal::Missing("sub")),
        };
        if let Some(clients) = &issuer.clients {
            let client = client.as_ref().ok_or(TokenRefusal::Missing("client"))?;
            if !clients.contains(client) {
                return Err(TokenRefusal::Client(shown(client)));
            }
        }
        let tenant = match &shape.tenant {
            Some(claim) => match self.get(claim) {
                None => None,
                Some(value) => {
                    let mistyped = TokenRefusal::Mistyped { claim: "tenant", expected: "a text" };
                    Some(value.as_str().ok_or(mistyped)?.to_owned())
                }
            },
            None => None,
        };
        if let Some(tenants) = &issuer.tenants {
            let tenant = tenant.as_ref().ok_or(TokenRefusal::Missing("tenant"))?;
            if !tenants.contains(tenant) {
                return Err(TokenRefusal::Tenant(shown(tenant)));
            }
        }
        let delegated = shape.scopes.iter().any(|claim| self.get(claim).is_some());
        let scopes = if delegated { &shape.scopes } else { &shape.application_scopes };
        Ok(VerifiedToken {
            issuer: issuer.issuer.clone(),
            subject,
            client,
            audiences: audiences.into_iter().map(str::to_owned).collect(),
            scopes: self.names(scopes, "scope")?,
            roles: self.names(&shape.roles, "roles")?,
            tenant,
            expires,
            issued,
            id: self.text("jti")?.map(str::to_owned),
            confirmation: self.confirmation()?,
            claims: RawText::new(text).ok(),
        })
    }
}
