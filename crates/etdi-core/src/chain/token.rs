//! Call tokens: what one server tells the next about the tools that are under way.
//!
//! A server makes one for each call that its tools make elsewhere, signed with its instance key. It
//! names the called server and tool, the arguments, the key that signs the call where it is signed,
//! the tools under way, how many more there may be and what they may do at most. It counts once and
//! for a minute, so whoever sees one on its way gains a call that was to be made anyway, and of a
//! signed one nothing. A server that was called with a token hands
//! that on beside its own, so that the next one sees that nothing was widened.
//!
//! Leaving a token out gains nothing but to look like a call from outside; whom a tool lets call it
//! by name is proven by the token of a [peer](Peers) alone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mcp_types::RawText;

use super::{ChainError, Frame, MAX_DEPTH, Member, Running};
use crate::attestation::to_json;
use crate::digest::Digest;
use crate::identity::ServerIdentity;
use crate::jws::{self, Jws};
use crate::key::{KeyId, VerifyingKey};
use crate::permission::{Scope, is_subset};
use crate::proof::{SignError, Signer};
use crate::random;
use crate::request::{CLOCK_SKEW, Call, MAX_ID, ReplayStore, Taken};
use crate::time::UnixTime;
use crate::wire::{
    Ancestor, CallConstraints, ChainClaims, Confirmation, KEY_ISSUER, OneOrMany, StatementType,
};

/// How long a token counts, in seconds.
pub const LIFETIME: u64 = 60;

/// The most tokens of one call.
const MAX_TOKENS: usize = MAX_DEPTH as usize;

/// What makes the tokens of a server.
pub(crate) struct Minter {
    server: ServerIdentity,
    signer: Arc<dyn Signer>,
}

impl Minter {
    pub(crate) fn new(server: ServerIdentity, signer: Arc<dyn Signer>) -> Self {
        Self { server, signer }
    }
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Minter({})", self.server)
    }
}

/// The tokens with which a call came, and what the newest says.
#[derive(Debug)]
pub(super) struct Came {
    texts: Vec<String>,
    claims: ChainClaims,
}

/// Servers whose tokens prove who calls, by their keys.
#[derive(Clone, Debug, Default)]
pub struct Peers(BTreeMap<KeyId, (VerifyingKey, String)>);

impl Peers {
    /// Knows nobody: tokens narrow, and prove no names.
    pub fn new() -> Self {
        Self::default()
    }

    /// Knows that a server holds this instance key. A tool of it is `server#tool` in the lists of
    /// whom a tool lets call it.
    pub fn trust(&mut self, server: &ServerIdentity, key: VerifyingKey) {
        self.0.insert(key.id(), (key, server.to_string()));
    }
}

impl Frame {
    /// The tokens for a call of a tool of another server, for [`wire::CHAIN`](crate::wire::CHAIN);
    /// `None` on a server that makes none. `signer` is the key that signs this very call, where it
    /// is signed.
    ///
    /// # Errors
    ///
    /// When the arguments are not I-JSON, or the key cannot be used.
    pub fn token(
        &self,
        call: &Call<'_>,
        signer: Option<KeyId>,
        now: UnixTime,
    ) -> Result<Option<RawText>, SignError> {
        let Some(minter) = &self.0.minter else { return Ok(None) };
        let key = minter.signer.verifying_key();
        let came = self.frames().find_map(|frame| frame.0.came.as_ref());
        let mut anc: Vec<Ancestor> = self.frames().map(Self::ancestor).collect();
        anc.reverse();
        if let Some(came) = came {
            // Those of other servers stand as the tokens name them.
            for (own, theirs) in anc.iter_mut().zip(&came.claims.anc) {
                own.clone_from(theirs);
            }
        }
        let mut per = self.member().scopes().to_vec();
        if let Some(came) = came {
            per.retain(|scope| is_subset(std::slice::from_ref(scope), &came.claims.per));
        }
        let prt =
            came.and_then(|came| came.texts.last()).map(|text| Digest::of_bytes(text.as_bytes()));
        let unfit = |error| SignError(format!("the arguments are not strict JSON: {error}"));
        let claims = ChainClaims {
            iss: format!("{KEY_ISSUER}{}", key.id()),
            srv: minter.server.to_string(),
            aud: call.server().to_string(),
            iat: now.0,
            exp: now.plus(LIFETIME).0,
            jti: random::id().map_err(SignError::from)?,
            tool: call.tool().to_owned(),
            tdg: call.definition(),
            adg: call.arguments_digest().map_err(unfit)?,
            mdg: call.inputs_digest().map_err(unfit)?,
            cnf: signer.map(|key| Confirmation { jkt: OneOrMany(vec![key]) }),
            dep: self.depth(),
            bud: self.budget().min(MAX_DEPTH.saturating_sub(self.depth())),
            anc,
            per,
            prt,
            jwk: serde_json::from_str(&key.to_jwk())
                .map_err(|error| SignError(error.to_string()))?,
        };
        let mut texts = came.map(|came| came.texts.clone()).unwrap_or_default();
        texts.push(jws::sign(StatementType::Chain, &to_json(&claims)?, &*minter.signer)?);
        RawText::of(&texts).map(Some).map_err(|error| SignError(error.to_string()))
    }

    fn ancestor(&self) -> Ancestor {
        let (srv, tool) = (self.member().server().to_owned(), self.tool().to_owned());
        Ancestor { srv, tool, dig: self.digest() }
    }

    /// Hands the tokens of this server out from here on.
    pub(crate) fn minting(self, minter: Option<&Arc<Minter>>) -> Self {
        match (minter, Arc::try_unwrap(self.0)) {
            (Some(minter), Ok(mut running)) => {
                running.minter = Some(minter.clone());
                Self(Arc::new(running))
            }
            (_, Ok(running)) => Self(Arc::new(running)),
            (_, Err(shared)) => Self(shared),
        }
    }
}

/// What the tokens of a call are held against.
pub(crate) struct TokenCheck<'a> {
    pub(crate) call: &'a Call<'a>,
    /// Who signed the call, if it was signed.
    pub(crate) signer: Option<KeyId>,
    pub(crate) peers: &'a Peers,
    pub(crate) replay: &'a dyn ReplayStore,
    /// Where the tokens of keys that nobody knows are remembered: they must not use up the room of
    /// signed calls.
    pub(crate) strangers: &'a dyn ReplayStore,
    pub(crate) now: UnixTime,
    /// For a handler that is entered anew, whose tokens were taken before.
    pub(crate) again: bool,
}

impl TokenCheck<'_> {
    /// The frame of the tool that makes the call.
    ///
    /// # Errors
    ///
    /// [`ChainError::Token`], and [`ChainError::Circular`] when this very tool is under way.
    pub(crate) async fn frame(&self, list: &RawText) -> Result<Frame, ChainError> {
        let texts: Vec<String> = list.parse().map_err(|_| invalid("it is no list of texts"))?;
        if texts.len() > MAX_TOKENS {
            return Err(invalid("it is a list of more than 10 tokens"));
        }
        let (newest, older) = texts.split_last().ok_or_else(|| invalid("there is none"))?;
        let mut frame: Option<Frame> = None;
        let mut before: Option<(&str, ChainClaims)> = None;
        for text in older {
            let (claims, from) = self.read(text)?;
            follows(&claims, before.as_ref())?;
            frame = Some(grow(frame, &claims, &from)?);
            before = Some((text, claims));
        }
        let (claims, from) = self.read(newest)?;
        follows(&claims, before.as_ref())?;
        self.is_for_this(&claims)?;
        let frame = grow(frame, &claims, &from)?;
        if self.again {
            return Ok(frame.came_with(Came { texts, claims }));
        }
        self.is_fresh(&claims)?;
        let (end, key) = (UnixTime(claims.exp).plus(CLOCK_SKEW), from.key);
        let replay = if self.peers.0.contains_key(&key) { self.replay } else { self.strangers };
        match replay.take(key, &claims.jti, end, self.now).await {
            Taken::First => Ok(frame.came_with(Came { texts, claims })),
            Taken::Before => Err(invalid("it was used before")),
            Taken::Full => Err(invalid("too many are remembered, try again in two minutes")),
        }
    }

    /// The claims, with a signature that holds, and whose it is.
    fn read(&self, text: &str) -> Result<(ChainClaims, Signed), ChainError> {
        let jws = Jws::read(text, StatementType::Chain).map_err(|error| invalid(&error))?;
        let claims: ChainClaims = serde_json::from_str(jws.unverified_payload())
            .map_err(|_| invalid("a claim is missing or of another form"))?;
        let id = jws.key_id();
        let peer = self.peers.0.get(&id);
        let brought = || VerifyingKey::from_jwk(&claims.jwk.to_string()).ok();
        let key = peer.map(|(key, _)| key.clone()).or_else(brought);
        let key = key.ok_or_else(|| invalid("it brings no key"))?;
        jws.verify(&key).map_err(|error| invalid(&error))?;
        let named = match peer {
            Some((_, server)) if *server != claims.srv => {
                return Err(invalid("its key is that of another server"));
            }
            Some((_, server)) => server.clone(),
            // What it calls itself is not proven, its key is.
            None => format!("{KEY_ISSUER}{id}"),
        };
        if claims.iss != format!("{KEY_ISSUER}{id}") {
            return Err(invalid("it is issued by another than its key"));
        }
        let depth = usize::try_from(claims.dep).unwrap_or(usize::MAX);
        if depth != claims.anc.len()
            || depth == 0
            || claims.dep.saturating_add(claims.bud) > MAX_DEPTH
        {
            return Err(invalid("its depth does not fit its list of tools"));
        }
        Ok((claims, Signed { key: id, named }))
    }

    fn is_fresh(&self, claims: &ChainClaims) -> Result<(), ChainError> {
        let (issued, until, now) = (UnixTime(claims.iat), UnixTime(claims.exp), self.now);
        let too_long = claims.exp.saturating_sub(claims.iat) > LIFETIME;
        if too_long || issued > now.plus(CLOCK_SKEW) || now > until.plus(CLOCK_SKEW) {
            return Err(invalid("it is too old, from the future, or for too long"));
        }
        match claims.jti.is_empty() || claims.jti.len() > MAX_ID {
            true => Err(invalid("its `jti` is empty or longer than 128 bytes")),
            false => Ok(()),
        }
    }

    fn is_for_this(&self, claims: &ChainClaims) -> Result<(), ChainError> {
        let (server, call) = (self.call.server().to_string(), self.call);
        if claims.aud != server {
            return Err(invalid("it is for another server"));
        }
        if claims.tool != call.tool() || claims.tdg != call.definition() {
            return Err(invalid("it is for another tool or definition"));
        }
        if claims.adg != call.arguments_digest().map_err(|error| invalid(&error))? {
            return Err(invalid("it is for other arguments"));
        }
        // Whoever is entered anew has other inputs than those that were signed.
        if !self.again && claims.mdg != call.inputs_digest().map_err(|error| invalid(&error))? {
            return Err(invalid("it is for other input responses"));
        }
        let holder = claims.cnf.as_ref().map(|cnf| &cnf.jkt.0);
        if holder.is_some_and(|keys| self.signer.is_none_or(|key| !keys.contains(&key))) {
            return Err(invalid("it is for a call that a certain key signs, and that did not"));
        }
        if claims.anc.iter().any(|one| one.srv == server && one.tool == call.tool()) {
            return Err(ChainError::Circular { tool: call.tool().to_owned() });
        }
        Ok(())
    }
}

/// Whose token it is.
struct Signed {
    key: KeyId,
    /// The server by the name that is proven.
    named: String,
}

/// That a token goes on from the one before and widens nothing.
fn follows(claims: &ChainClaims, before: Option<&(&str, ChainClaims)>) -> Result<(), ChainError> {
    let known = before.map_or(0, |(_, before)| before.anc.len());
    let (theirs, own) = claims.anc.split_at_checked(known).unwrap_or((&[], &claims.anc));
    if own.is_empty() || own.iter().any(|one| one.srv != claims.srv) {
        return Err(invalid("it names tools of a server that did not sign for them"));
    }
    let Some((text, before)) = before else {
        return match claims.prt {
            Some(_) => Err(invalid("the token that it goes on from is missing")),
            None => Ok(()),
        };
    };
    let called = own.first().is_some_and(|one| one.tool == before.tool && one.dig == before.tdg);
    let grown = u32::try_from(own.len()).unwrap_or(u32::MAX);
    for (fits, why) in [
        (claims.prt == Some(Digest::of_bytes(text.as_bytes())), "it goes on from another token"),
        (before.aud == claims.srv, "the token before it is for another server"),
        (called, "the token before it is for another tool"),
        (theirs == before.anc, "it names other tools than the token before it"),
        (
            claims.bud.saturating_add(grown) <= before.bud,
            "it allows more calls than the one before",
        ),
        (is_subset(&claims.per, &before.per), "it allows more than the one before"),
        (claims.iat.saturating_add(CLOCK_SKEW) >= before.iat, "it is older than the one before"),
    ] {
        if !fits {
            return Err(invalid(why));
        }
    }
    Ok(())
}

/// The frames that a token adds.
fn grow(
    mut frame: Option<Frame>,
    claims: &ChainClaims,
    from: &Signed,
) -> Result<Frame, ChainError> {
    let known = frame.as_ref().map_or(0, |frame| frame.frames().count());
    let own = claims.anc.get(known..).unwrap_or_default();
    let limit = claims.dep.saturating_add(claims.bud);
    for (index, one) in own.iter().enumerate() {
        let depth = frame.as_ref().map_or(1, |frame| frame.depth().saturating_add(1));
        // What the outer ones may do is not told; it was narrowed to this.
        let scopes: Vec<Scope> = match index + 1 == own.len() {
            true => claims.per.clone(),
            false => Vec::new(),
        };
        let member =
            Member::new(&from.named, &one.tool, one.dig, CallConstraints::default(), scopes);
        let running =
            Running { member, depth, limit, caller: frame.take(), minter: None, came: None };
        frame = Some(Frame(Arc::new(running)));
    }
    frame.ok_or_else(|| invalid("it names no tool that is under way"))
}

impl Frame {
    fn came_with(self, came: Came) -> Self {
        match Arc::try_unwrap(self.0) {
            Ok(mut running) => {
                running.came = Some(Arc::new(came));
                Self(Arc::new(running))
            }
            Err(shared) => Self(shared),
        }
    }
}

fn invalid(why: impl ToString) -> ChainError {
    ChainError::Token { why: why.to_string() }
}
