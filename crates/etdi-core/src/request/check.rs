//! Checking the statement of a call against the call as it arrived.

use std::sync::Arc;

use mcp_types::{Extensions, Principal};

use super::replay::MAX_ID;
use super::{CLOCK_SKEW, Call, CallRefusal, LIFETIME, METHOD, ReplayStore, Taken, TokenBinding};
use crate::client_keys::{Client, ClientKeyError, ClientKeys, ClientTrust, Introduction};
use crate::ijson::IjsonError;
use crate::jws::Jws;
use crate::key::{KeyId, KeyRing, VerifyingKey};
use crate::nonce::Nonces;
use crate::time::UnixTime;
use crate::wire::{CallClaims, KEY_ISSUER, StatementType};

/// A call that was checked: who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedCall {
    /// The key of the caller.
    pub key: KeyId,
    /// The client whose key it is, where the server keeps such a list.
    pub client: Option<Arc<Client>>,
    /// The user or agent, as the caller says.
    pub subject: Option<String>,
    /// The id of the statement.
    pub id: String,
}

/// Whose statements count.
#[derive(Clone, Copy)]
enum Whose<'a> {
    Any,
    Ring(&'a KeyRing),
    Clients(&'a dyn ClientKeys),
}

/// What a statement has to pass.
///
/// Without [`Check::keys`] and [`Check::clients`] any key counts that signs for itself, which shows
/// that the call was not changed and not repeated, not who made it.
#[derive(Clone, Copy)]
#[must_use = "nothing is checked until a call is given"]
pub struct Check<'a> {
    replay: &'a dyn ReplayStore,
    now: UnixTime,
    keys: Whose<'a>,
    nonces: Option<&'a dyn Nonces>,
    extensions: Option<&'a Extensions>,
    unbound: bool,
    first_use: bool,
}

impl<'a> Check<'a> {
    /// A check at a time, that a statement passes once.
    pub fn new(replay: &'a dyn ReplayStore, now: UnixTime) -> Self {
        let (keys, nonces, extensions) = (Whose::Any, None, None);
        Self { replay, now, keys, nonces, extensions, unbound: false, first_use: true }
    }

    /// Only with one of these keys.
    pub fn keys(mut self, keys: &'a KeyRing) -> Self {
        self.keys = Whose::Ring(keys);
        self
    }

    /// Only with the key of a client that is found here. The key that a verified access token is
    /// bound to is told to it ([`TokenBinding`], else [`Principal::key_thumbprint`]).
    pub fn clients(mut self, clients: &'a dyn ClientKeys) -> Self {
        self.keys = Whose::Clients(clients);
        self
    }

    /// Only with a nonce of the server.
    pub fn nonces(mut self, nonces: Option<&'a dyn Nonces>) -> Self {
        self.nonces = nonces;
        self
    }

    /// With what outer layers know about the exchange.
    pub fn extensions(mut self, extensions: &'a Extensions) -> Self {
        self.extensions = Some(extensions);
        self
    }

    /// Whether a statement counts that names no access token, though one goes along. Not unless
    /// this says so: whoever holds another token of the same server could send it.
    pub fn unbound(mut self, unbound: bool) -> Self {
        self.unbound = unbound;
        self
    }

    /// Whether the key of a client counts that is known by its first use alone; it does unless this
    /// says otherwise.
    pub fn first_use(mut self, counts: bool) -> Self {
        self.first_use = counts;
        self
    }

    /// Checks a statement, and takes its place in the replay store.
    ///
    /// # Errors
    ///
    /// One [`CallRefusal`] a cause. The replay store is asked last, so that only a statement that
    /// would count uses up its place.
    pub async fn call(self, statement: &str, call: &Call<'_>) -> Result<SignedCall, CallRefusal> {
        let (signed, claims) = self.signature(statement, call).await?;
        let (issued, until) = (UnixTime(claims.iat), UnixTime(claims.exp));
        let too_long = claims.exp.saturating_sub(claims.iat) > LIFETIME;
        let now = self.now;
        if too_long || issued > now.plus(CLOCK_SKEW) || now > until.plus(CLOCK_SKEW) {
            return Err(CallRefusal::Stale { issued, until, now });
        }
        if claims.mdg != call.inputs_digest().map_err(unfit)? {
            return Err(invalid("it is for other input responses"));
        }
        if let Some(nonces) = self.nonces {
            let fresh = claims.nonce.is_some_and(|nonce| nonces.holds(&nonce, now));
            if !fresh {
                return Err(CallRefusal::NonceRequired { nonce: nonces.issue(now) });
            }
        }
        let end = until.plus(CLOCK_SKEW);
        match self.replay.take(signed.key, &signed.id, end, now).await {
            Taken::First => {
                if let (Whose::Clients(clients), Some(client)) = (self.keys, &signed.client) {
                    let seen = clients.seen(client, now).await;
                    seen.map_err(|error| CallRefusal::KeyUnavailable {
                        key: signed.key,
                        why: error.to_string(),
                    })?;
                }
                Ok(signed)
            }
            Taken::Before => Err(CallRefusal::Replayed),
            Taken::Full => Err(CallRefusal::ReplayStoreFull { seconds: LIFETIME + 2 * CLOCK_SKEW }),
        }
    }

    /// Checks once more the statement of a call that [`Check::call`] let in, for a handler that is
    /// entered anew with answers: all but its time, its place and its inputs, which it has used.
    ///
    /// # Errors
    ///
    /// One [`CallRefusal`] a cause, such as that the definition has changed since.
    pub async fn again(self, statement: &str, call: &Call<'_>) -> Result<SignedCall, CallRefusal> {
        Ok(self.signature(statement, call).await?.0)
    }

    /// Who signed, and that it is for this server, definition, token and these arguments.
    async fn signature(
        &self,
        statement: &str,
        call: &Call<'_>,
    ) -> Result<(SignedCall, CallClaims), CallRefusal> {
        let jws = Jws::read(statement, StatementType::Call).map_err(|error| invalid(&error))?;
        let claims: CallClaims = serde_json::from_str(jws.unverified_payload())
            .map_err(|_| invalid("a claim is missing or of another form"))?;
        let id = jws.key_id();
        let brought = match &claims.jwk {
            Some(jwk) => {
                let key = VerifyingKey::from_jwk(&jwk.to_string()).map_err(invalid)?;
                if key.id() != id {
                    return Err(invalid("it brings another key than the one that signs"));
                }
                Some(key)
            }
            None => None,
        };
        let (key, client) = self.key(id, brought).await?;
        jws.verify(&key).map_err(|error| invalid(&error))?;
        if claims.iss != format!("{KEY_ISSUER}{id}") {
            return Err(invalid("it is issued by another than its key"));
        }
        if claims.aud != call.server.to_string() {
            let server = call.server.clone();
            return Err(CallRefusal::WrongAudience { named: claims.aud, server });
        }
        if claims.mth != METHOD || claims.tool != call.tool {
            return Err(invalid("it is for another tool or method"));
        }
        if claims.tdg != call.definition {
            let (approved, live) = (claims.tdg, call.definition);
            return Err(CallRefusal::DefinitionChanged { approved, live });
        }
        if claims.adg != call.arguments_digest().map_err(unfit)? {
            return Err(invalid("it is for other arguments"));
        }
        let token = self.extensions.and_then(Extensions::get::<TokenBinding>);
        match (&claims.ath, token) {
            (None, None) => {}
            (None, Some(token)) if self.unbound || !token.demanded => {}
            (None, Some(_)) => return Err(invalid("it does not name the access token (`ath`)")),
            (Some(named), Some(token)) if token.hash == *named => {}
            (Some(_), Some(_)) => return Err(invalid("it is for another access token")),
            (Some(_), None) => {
                return Err(invalid(
                    "it goes along with an access token, and none was verified here",
                ));
            }
        }
        if claims.jti.is_empty() || claims.jti.len() > MAX_ID {
            return Err(invalid("its `jti` is empty or longer than 128 bytes"));
        }
        let (subject, jti) = (claims.sub.clone(), claims.jti.clone());
        Ok((SignedCall { key: id, client, subject, id: jti }, claims))
    }

    /// The key of this thumbprint, if it counts, and whose it is.
    async fn key(
        &self,
        id: KeyId,
        brought: Option<VerifyingKey>,
    ) -> Result<(VerifyingKey, Option<Arc<Client>>), CallRefusal> {
        let unknown = CallRefusal::KeyUnknown { key: id };
        let clients = match self.keys {
            Whose::Any => return brought.map(|key| (key, None)).ok_or(unknown),
            Whose::Ring(ring) => {
                return ring.get(id).cloned().map(|key| (key, None)).ok_or(unknown);
            }
            Whose::Clients(clients) => clients,
        };
        let counts = |client: &Client| self.first_use || client.trust > ClientTrust::FirstUse;
        if let Some(client) = clients.known(id, self.now).filter(|client| counts(client)) {
            return Ok((client.key.clone(), Some(client)));
        }
        let mut caller = Introduction::new(id);
        caller.brought = brought.as_ref();
        caller.confirmed = self.extensions.and_then(confirmed);
        match clients.find(caller, self.now).await {
            Ok(client) if counts(&client) => Ok((client.key.clone(), Some(client))),
            Ok(_) => Err(unknown),
            Err(ClientKeyError::Unknown { .. }) => Err(unknown),
            Err(error) => Err(CallRefusal::KeyUnavailable { key: id, why: error.to_string() }),
        }
    }
}

impl std::fmt::Debug for Check<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").field("now", &self.now).finish_non_exhaustive()
    }
}

/// The key that the access token of an exchange is bound to.
fn confirmed(extensions: &Extensions) -> Option<KeyId> {
    let token = extensions.get::<TokenBinding>().and_then(|token| token.key);
    let principal = || extensions.get::<Principal>()?.key_thumbprint.as_ref()?.parse().ok();
    token.or_else(principal)
}

fn invalid(why: impl ToString) -> CallRefusal {
    CallRefusal::SignatureInvalid { why: why.to_string() }
}

fn unfit(error: IjsonError) -> CallRefusal {
    invalid(format!("the arguments are not strict JSON: {error}"))
}
