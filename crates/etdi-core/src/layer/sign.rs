//! The server's side of attestations: adds them to each listed tool.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use mcp_types::{
    ClientRequest, DiscoverResult, ErrorObject, Exchange, ExchangeFuture, ExchangeService, Items,
    ListToolsResult, Listed, Members, Meta, Outcome, RawText, RequestContext, ServerResult, Tool,
};
use tower_layer::Layer;
use tower_service::Service;

use super::{Clock, Pages};
use crate::attestation::{AttestError, Attestation};
use crate::binding;
use crate::bounded::Bounded;
use crate::client_keys::ClientKeyError;
use crate::definition::{DefinitionError, RawTool};
use crate::digest::Digest;
use crate::identity::{ProviderId, ServerIdentity};
use crate::lock::Lock;
use crate::manifest::{self, ManifestFile, ReadError};
use crate::proof::{SignError, Signer};
use crate::time::UnixTime;
use crate::verify::exceeds;
use crate::wire::{self, Capability, ManifestContents, OneOrMany};

mod start;

pub use start::Difference;

/// Signs what `tools/list` returns, answers challenges and says in the capabilities that it does.
///
/// A tool that declares nothing (no ETDI block) is listed as it is. One that was attested before,
/// off line, keeps its proofs. Where the layer has a signer it adds an attestation of its own; the
/// outcome is kept until the tool's text changes or the attestation has less than a tenth of its
/// time left. Stands directly on the server, so that it sees every tool of every page.
///
/// What it does not do: it does not decide who may call (see
/// [`GuardLayer`](super::GuardLayer)), and without a signer or proofs made before it adds nothing.
#[derive(Clone)]
pub struct SignLayer(Arc<Signing>);

struct Signing {
    server: ServerIdentity,
    clock: Clock,
    online: Option<Online>,
    instance: Option<Arc<dyn Signer>>,
    manifest: Option<Manifest>,
    delegated: Option<Arc<dyn Signer>>,
    lock: Option<Arc<Lock>>,
    on_unsigned: Option<UnsignedListener>,
    capability: Capability,
    signed: Mutex<Bounded<String, Entry, MAX_KEPT>>,
}

type UnsignedListener = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// What the delegated key says of a tool, and the key.
type ByDelegation<'a> = (Attestation, &'a Arc<dyn Signer>);

#[derive(Clone)]
struct Online {
    statement: Attestation,
    provider_name: Option<String>,
    signer: Arc<dyn Signer>,
}

#[derive(Clone)]
struct Manifest {
    text: RawText,
    issuer: ProviderId,
    contents: Arc<ManifestContents>,
    digest: Digest,
}

impl Manifest {
    /// Whether some key may sign tools of this name.
    fn delegates(&self, tool: &str) -> bool {
        self.contents.delegations.iter().any(|one| tool.starts_with(one.prefix.as_str()))
    }
}

/// A tool as the server lists it, and what became of it.
struct Entry {
    listed: Arc<Listed<Tool>>,
    signed: Arc<Listed<Tool>>,
    renew_at: Option<UnixTime>,
    /// Why nothing vouches for it, where nothing does.
    unsigned: Option<String>,
}

/// The most tools whose signed form is kept.
const MAX_KEPT: usize = 65_536;

impl SignLayer {
    /// A layer of the server that clients know as `server`. So far it only passes on proofs that
    /// the tools bring along.
    pub fn new(
        server: ServerIdentity,
        clock: impl Fn() -> UnixTime + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Signing {
            server,
            clock: Arc::new(clock),
            online: None,
            instance: None,
            manifest: None,
            delegated: None,
            lock: None,
            on_unsigned: None,
            capability: Capability::of_server(),
            signed: Mutex::default(),
        }))
    }

    /// Signs each declared tool with the key of `signer`, as a publisher that is also the operator
    /// does. `statement` says who, until when, and what binds it; its times are shifted to when
    /// the tool is signed, its server is the layer's.
    #[must_use]
    pub fn signing(self, statement: Attestation, signer: Arc<dyn Signer>) -> Self {
        self.with(|signing| {
            let provider_name = signing.online.take().and_then(|online| online.provider_name);
            signing.online = Some(Online { statement, provider_name, signer });
        })
    }

    /// Signs as the key itself, for the common case that nobody else has to vouch for it.
    #[must_use]
    pub fn signing_as_key(self, signer: Arc<dyn Signer>) -> Self {
        let issuer = ProviderId::of_key(signer.verifying_key().id());
        let statement = Attestation::new(issuer, self.0.server.clone(), (self.0.clock)());
        self.signing(statement, signer)
    }

    /// Gives the provider a name for people, in tools that do not name their provider.
    #[must_use]
    pub fn provider_name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.with(|signing| {
            if let Some(online) = &mut signing.online {
                online.provider_name = Some(name);
            }
        })
    }

    /// Answers challenges with this instance key, and names it in attestations that it makes.
    #[must_use]
    pub fn instance_key(self, signer: Arc<dyn Signer>) -> Self {
        self.with(|signing| signing.instance = Some(signer))
    }

    /// Sends a manifest along that was signed off line: the text of `etdi.manifest.jws`, a line for
    /// each who signed it.
    ///
    /// # Errors
    ///
    /// When the text is no manifest. Its signature is not checked: that is the clients' affair,
    /// and [`SignLayer::start`] compares what it names with what the server lists.
    pub fn manifest(self, jws: &str) -> Result<Self, StartError> {
        let ManifestFile { statements, issuer, contents } = manifest::read(jws)?;
        let text = RawText::of(&OneOrMany(statements))
            .map_err(|error| ReadError::Claims(error.to_string()))?;
        let digest = contents.digest();
        let manifest = Manifest { text, issuer, contents: Arc::new(contents), digest };
        Ok(self.with(|signing| signing.manifest = Some(manifest)))
    }

    /// Says something else about ETDI in the server's capabilities.
    #[must_use]
    pub fn capability(self, capability: Capability) -> Self {
        self.with(|signing| signing.capability = capability)
    }

    /// Signs tools that are made at run time with this key, as far as the manifest delegates to it:
    /// by prefix of the name, by permissions, until the delegation ends. What goes beyond is listed
    /// unsigned, see [`SignLayer::unsigned`].
    #[must_use]
    pub fn delegated(self, signer: Arc<dyn Signer>) -> Self {
        self.with(|signing| signing.delegated = Some(signer))
    }

    /// Says what was locked: a server whose tools are not as they were locked does not start, and
    /// says what changed.
    #[must_use]
    pub fn lock(self, lock: Arc<Lock>) -> Self {
        self.with(|signing| signing.lock = Some(lock))
    }

    /// Tells `listener` of each tool that is listed although nothing vouches for it: its name and
    /// why. Once for each text that it has.
    #[must_use]
    pub fn on_unsigned(self, listener: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        self.with(|signing| signing.on_unsigned = Some(Arc::new(listener)))
    }

    /// The tools that are listed although nothing vouches for them, and why.
    pub fn unsigned(&self) -> BTreeMap<String, String> {
        let signed = self.0.signed.lock().unwrap_or_else(PoisonError::into_inner);
        let unsigned = signed.iter().filter_map(|(name, entry)| {
            entry.unsigned.as_ref().map(|why| (name.clone(), why.clone()))
        });
        unsigned.collect()
    }

    /// Lists all that `service` offers once, signs its tools, and compares everything with the
    /// manifest and the lock: call this before serving, so that a server which is not the signed one does not
    /// start.
    ///
    /// Gives the definitions of the tools in the order of the listing.
    ///
    /// # Errors
    ///
    /// When the service does not list, a tool cannot be signed, or something is not as the manifest
    /// says; then all that differs is named.
    pub async fn start<S: ExchangeService>(
        &self,
        mut service: S,
    ) -> Result<Vec<RawTool>, StartError> {
        let context = RequestContext::default();
        let mut pages = Pages::new();
        let mut tools = Vec::new();
        while let Some(page) = pages.next(&mut service, &context).await.map_err(StartError::List)? {
            for tool in page.tools.iter() {
                let signed = self.0.sign(tool)?;
                let raw = RawTool::from_listed(&signed)
                    .map_err(|error| StartError::Definition { tool: tool.name.clone(), error })?;
                tools.push(raw);
            }
        }
        let (manifest, lock) = (self.0.manifest.as_ref(), self.0.lock.as_deref());
        let mut differences = Vec::new();
        if let Some(manifest) = manifest {
            differences.extend(start::tools(manifest, &tools, lock, &self.unsigned()));
            differences.extend(start::features(manifest, &mut service, &context).await?);
        }
        if let Some(lock) = lock {
            let locked = start::locked(lock, manifest, &tools);
            let known = |one: &Difference| differences.iter().any(|known| known.name == one.name);
            let more: Vec<_> = locked.into_iter().filter(|one| !known(one)).collect();
            differences.extend(more);
        }
        if !differences.is_empty() {
            return Err(StartError::NotAsSigned(differences));
        }
        Ok(tools)
    }

    fn with(self, change: impl FnOnce(&mut Signing)) -> Self {
        let mut signing = match Arc::try_unwrap(self.0) {
            Ok(signing) => signing,
            Err(shared) => Signing {
                server: shared.server.clone(),
                clock: shared.clock.clone(),
                online: shared.online.clone(),
                instance: shared.instance.clone(),
                manifest: shared.manifest.clone(),
                delegated: shared.delegated.clone(),
                lock: shared.lock.clone(),
                on_unsigned: shared.on_unsigned.clone(),
                capability: shared.capability.clone(),
                signed: Mutex::default(),
            },
        };
        change(&mut signing);
        Self(Arc::new(signing))
    }
}

impl fmt::Debug for SignLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignLayer")
            .field("server", &self.0.server)
            .field("signs", &self.0.online.is_some())
            .field("proves", &self.0.instance.is_some())
            .field("manifest", &self.0.manifest.is_some())
            .finish()
    }
}

impl<S> Layer<S> for SignLayer {
    type Service = SignService<S>;

    fn layer(&self, inner: S) -> SignService<S> {
        SignService { inner, signing: self.0.clone() }
    }
}

/// What [`SignLayer`] makes of a service.
#[derive(Clone)]
pub struct SignService<S> {
    inner: S,
    signing: Arc<Signing>,
}

impl<S: fmt::Debug> fmt::Debug for SignService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SignService").field(&self.inner).finish()
    }
}

impl<S: ExchangeService> Service<Exchange> for SignService<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        match exchange.request {
            ClientRequest::ListTools(_) => {
                let answer = self.inner.call(exchange);
                let signing = self.signing.clone();
                Box::pin(async move {
                    match answer.await? {
                        Outcome::Complete(ServerResult::ListTools(page)) => {
                            Ok(Outcome::Complete(ServerResult::ListTools(signing.listing(page)?)))
                        }
                        other => Ok(other),
                    }
                })
            }
            ClientRequest::ListPrompts(_) | ClientRequest::ListResourceTemplates(_)
                if self.signing.manifest.is_some() =>
            {
                let answer = self.inner.call(exchange);
                let signing = self.signing.clone();
                Box::pin(async move { answer.await.map(|outcome| signing.accompany(outcome)) })
            }
            ClientRequest::Discover(_) => {
                let nonce = exchange.context.meta.get(wire::CHALLENGE).cloned();
                let answer = self.inner.call(exchange);
                let signing = self.signing.clone();
                Box::pin(async move {
                    match answer.await? {
                        Outcome::Complete(ServerResult::Discover(result)) => {
                            let result = signing.discovery(result, nonce)?;
                            Ok(Outcome::Complete(ServerResult::from(result)))
                        }
                        other => Ok(other),
                    }
                })
            }
            _ => Box::pin(self.inner.call(exchange)),
        }
    }
}

impl Signing {
    fn listing(&self, mut page: ListToolsResult) -> Result<ListToolsResult, ErrorObject> {
        let signed: Result<Vec<_>, _> = page.tools.iter().map(|tool| self.sign(tool)).collect();
        // An unsigned listing would look like an attack to whoever has seen a signed one.
        page.tools = Items::from(signed.map_err(|error| ErrorObject::internal(error.to_string()))?);
        self.add_manifest(&mut page.meta);
        Ok(page)
    }

    /// Puts the manifest beside prompts and resource templates.
    fn accompany(&self, mut outcome: Outcome) -> Outcome {
        match &mut outcome {
            Outcome::Complete(ServerResult::ListPrompts(page)) => self.add_manifest(&mut page.meta),
            Outcome::Complete(ServerResult::ListResourceTemplates(page)) => {
                self.add_manifest(&mut page.meta);
            }
            _ => {}
        }
        outcome
    }

    fn add_manifest(&self, meta: &mut Option<Meta>) {
        if let Some(manifest) = &self.manifest {
            meta.get_or_insert_with(Meta::new).insert(wire::MANIFEST, manifest.text.clone());
        }
    }

    fn discovery(
        &self,
        mut result: Box<DiscoverResult>,
        nonce: Option<RawText>,
    ) -> Result<Box<DiscoverResult>, ErrorObject> {
        let capability = RawText::of(&self.capability)
            .map_err(|error| ErrorObject::internal(error.to_string()))?;
        let extensions = result.capabilities.extensions.get_or_insert_default();
        extensions.insert(wire::EXTENSION.to_owned(), capability);
        self.add_manifest(&mut result.meta);
        if let (Some(nonce), Some(instance)) = (nonce, &self.instance) {
            let nonce: String = nonce.parse().map_err(|_| bad_challenge())?;
            let listed = self.manifest.as_ref().map(|manifest| manifest.digest);
            let now = (self.clock)();
            let answer = binding::answer(&nonce, &self.server, listed, instance, now)
                .map_err(|_| bad_challenge())?;
            let answer =
                RawText::of(&answer).map_err(|error| ErrorObject::internal(error.to_string()))?;
            result.meta.get_or_insert_with(Meta::new).insert(wire::POSSESSION, answer);
        }
        Ok(result)
    }

    /// The signed form of a tool, from what is kept or made anew.
    fn sign(&self, tool: &Arc<Listed<Tool>>) -> Result<Arc<Listed<Tool>>, StartError> {
        let now = (self.clock)();
        {
            let signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = signed.get(&tool.name) {
                let same = Arc::ptr_eq(&entry.listed, tool) || entry.listed.text() == tool.text();
                if same && entry.renew_at.is_none_or(|renew_at| now < renew_at) {
                    return Ok(entry.signed.clone());
                }
            }
        }
        let made = self.make(tool, now)?;
        if let (Some(why), Some(listener)) = (&made.unsigned, &self.on_unsigned) {
            listener(&tool.name, why);
        }
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        let given = made.signed.clone();
        signed.insert(tool.name.clone(), made);
        Ok(given)
    }

    fn make(&self, tool: &Arc<Listed<Tool>>, now: UnixTime) -> Result<Entry, StartError> {
        let block = tool.meta.as_ref().and_then(|meta| meta.get(wire::TOOL));
        let name = || tool.name.clone();
        let unfit = |error: String| StartError::Block { tool: name(), error };
        let as_is = |unsigned| Entry {
            listed: tool.clone(),
            signed: tool.clone(),
            renew_at: None,
            unsigned,
        };
        let Some(block) = block else {
            // No key signs a tool that does not say that it is to be signed.
            let unmarked = |why| match (&self.online, &self.delegated) {
                (None, None) => why,
                _ => "it is not marked `etdi`".to_owned(),
            };
            return Ok(as_is(self.unvouched(&tool.name).map(unmarked)));
        };
        let mut block: Members = block.parse().map_err(|error| unfit(error.to_string()))?;
        let (statement, provider_name, signer) = match (&self.online, self.delegation(tool, now)) {
            (Some(online), _) => {
                (online.statement.clone(), online.provider_name.clone(), &online.signer)
            }
            (None, Ok(Some((statement, signer)))) => (statement, None, signer),
            (None, Ok(None)) => {
                let proven = block.get(wire::ATTESTATIONS).is_some();
                return Ok(as_is(self.unvouched(&tool.name).filter(|_| !proven)));
            }
            (None, Err(why)) => return Ok(as_is(Some(why))),
        };
        if block.get("provider").is_none() {
            let provider = wire::Provider { id: statement.issuer.clone(), name: provider_name };
            block.insert("provider", RawText::of(&provider).map_err(|e| unfit(e.to_string()))?);
        }
        let proofs = block.remove(wire::ATTESTATIONS);
        let mut proofs: Vec<String> = match proofs {
            Some(text) => text.parse().map_err(|error| unfit(error.to_string()))?,
            None => Vec::new(),
        };
        let definition_of = |listed: &Listed<Tool>| {
            RawTool::from_listed(listed)
                .map_err(|error| StartError::Definition { tool: name(), error })
        };
        let bare = with_block(tool, &block).map_err(unfit)?;
        let definition = definition_of(&bare)?;

        let statement = statement.shifted(self.server.clone(), now);
        let statement = match &self.instance {
            Some(instance) => statement.naming(instance.verifying_key().id()),
            None => statement,
        };
        let proof = statement.sign(definition.definition(), signer).map_err(StartError::Attest)?;
        proofs.push(proof);
        block.insert(wire::ATTESTATIONS, RawText::of(&proofs).map_err(|e| unfit(e.to_string()))?);
        let signed = with_block(tool, &block).map_err(unfit)?;
        // What leaves must be what was signed, whatever the typed view made of it.
        if definition_of(&signed)?.digest() != definition.digest() {
            return Err(unfit("writing the tool changes it".to_owned()));
        }
        let lifetime = statement.expires.0.saturating_sub(now.0);
        let renew_at = Some(now.plus(lifetime - lifetime / 10));
        Ok(Entry { listed: tool.clone(), signed: Arc::new(signed), renew_at, unsigned: None })
    }

    /// Why nothing vouches for a tool without attestations.
    fn unvouched(&self, tool: &str) -> Option<String> {
        match &self.manifest {
            None => Some("there is no manifest and no key".to_owned()),
            Some(manifest) if manifest.contents.tools.contains_key(tool) => None,
            Some(_) => Some("the manifest does not name it".to_owned()),
        }
    }

    /// How a tool that the manifest does not name is signed by the delegated key; why not, where
    /// that may not sign it.
    fn delegation(
        &self,
        tool: &Listed<Tool>,
        now: UnixTime,
    ) -> Result<Option<ByDelegation<'_>>, String> {
        let (Some(manifest), Some(signer)) = (&self.manifest, &self.delegated) else {
            return Ok(None);
        };
        if manifest.contents.tools.contains_key(&tool.name) {
            return Ok(None);
        }
        let raw = RawTool::from_listed(tool).map_err(|error| error.to_string())?;
        let jwk = serde_json::from_str::<serde_json::Value>(&signer.verifying_key().to_jwk());
        let jwk = jwk.map_err(|error| error.to_string())?;
        let mut why = "the manifest delegates nothing to this server's key".to_owned();
        for delegation in manifest.contents.delegations.iter().filter(|one| one.jwk == jwk) {
            match exceeds(delegation, &tool.name, raw.definition().block(), now) {
                None => {
                    let until = UnixTime(delegation.exp);
                    let statement =
                        Attestation::new(manifest.issuer.clone(), self.server.clone(), now);
                    let until = until.min(statement.expires);
                    return Ok(Some((statement.expires(until), signer)));
                }
                Some(beyond) => why = beyond,
            }
        }
        Err(why)
    }
}

fn bad_challenge() -> ErrorObject {
    ErrorObject::invalid_params(format!(
        "`_meta[\"{}\"]` is no nonce, send 22 characters of base64url",
        wire::CHALLENGE
    ))
}

fn with_block(tool: &Listed<Tool>, block: &Members) -> Result<Listed<Tool>, String> {
    let mut tool = Tool::clone(tool);
    let block = RawText::of(block).map_err(|error| error.to_string())?;
    tool.meta.get_or_insert_with(Meta::new).insert(wire::TOOL, block);
    Listed::new(tool).map_err(|error| error.to_string())
}

/// Why a server does not start, or does not list.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The service did not list its tools.
    #[error("the server does not list its tools: {0}")]
    List(ErrorObject),
    /// The manifest cannot be read.
    #[error("the manifest cannot be used: {0}")]
    Manifest(#[from] ReadError),
    /// The ETDI block of a tool cannot be used.
    #[error("the ETDI block of tool `{}` cannot be used: {error}", .tool.escape_debug())]
    Block {
        /// The tool.
        tool: String,
        /// Why.
        error: String,
    },
    /// A tool cannot be signed because it can be read in two ways, or is no tool.
    #[error("tool `{}` cannot be signed: {error}", .tool.escape_debug())]
    Definition {
        /// The tool.
        tool: String,
        /// Why.
        error: DefinitionError,
    },
    /// A tool cannot be attested.
    #[error(transparent)]
    Attest(AttestError),
    /// The key cannot be used.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Receipts are wanted, and there is no key to sign them with.
    #[error("receipts are signed with the instance key, give the server one")]
    ReceiptsWithoutKey,
    /// At `strict` each call is noted before it is made, and nothing notes it.
    #[error("at strict each call is audited before it runs, give the server an auditor")]
    StrictWithoutAuditor,
    /// At `strict` a call needs a rule that permits it, and there is none.
    #[error("at strict a call needs a policy that permits it, give the server an engine")]
    StrictWithoutEngine,
    /// At `strict` calls are signed by clients that are known, and nothing says whose keys those are.
    #[error(
        "at strict every call is signed by a client that is known: give the server `callers`, and name \
         each client's key with `etdi keys trust FILE --as NAME`"
    )]
    StrictWithoutCallers,
    /// The keys of clients cannot be read.
    #[error(transparent)]
    Callers(#[from] ClientKeyError),
    /// What the server offers is not what was signed or locked.
    #[error(
        "the server is not what its author signed or locked:{}\nrestore it, or run `etdi lock` and `etdi sign`",
        lines(.0)
    )]
    NotAsSigned(Vec<Difference>),
}

fn lines(differences: &[Difference]) -> String {
    differences.iter().map(|one| format!("\n  {one}")).collect()
}
