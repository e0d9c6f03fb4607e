//! The server's side in one call: rate over guard over sign over server.

use std::sync::Arc;

use etdi_core::attestation::Attestation;
use etdi_core::audit::Auditor;
use etdi_core::chain::token::Peers;
use etdi_core::chain::{CallStack, CallStackPolicy};
use etdi_core::definition::RawTool;
use etdi_core::identity::{ProviderId, ServerIdentity};
use etdi_core::layer::{
    CallKeys, Clock, Enforce, GuardLayer, GuardService, SignLayer, SignService, StartError,
};
use etdi_core::legacy::call::LegacyCalls;
use etdi_core::level::{AuditMode, CallAttestation, KeyTrust, Policy, Rules, SecurityLevel};
use etdi_core::lock::Lock;
use etdi_core::nonce::Nonces;
use etdi_core::policy::PolicyEngine;
use etdi_core::proof::Signer;
use etdi_core::request::ReplayStore;
use etdi_core::time::UnixTime;
use etdi_core::wire::{ALL_CALLS, Capability, FORK_PROFILE, RESULT_PROFILE, RequestSigning};
use mcp_transport::{RateLayer, Rated};
use mcp_types::ExchangeService;
use tower_layer::Layer;

use crate::{Callers, SecureError, policing, system_time};

/// The variable that `etdi lock` and `etdi sign` set for the server that they start, which is not
/// yet what they are about to write down. A server started so shows no manifest and compares itself
/// with none, and therefore it answers listings alone: what would run a tool is refused.
pub const AUTHORING: &str = "ETDI_AUTHORING";

/// A server whose listings are signed and whose calls are guarded, and not too many.
pub type Secured<S> = Rated<GuardService<SignService<S>>>;

/// Hears the name of a tool and why nothing vouches for it.
type UnsignedListener = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// How a server is secured.
#[must_use = "a configuration does nothing until `secure` takes it"]
pub struct EtdiServerConfig {
    identity: ServerIdentity,
    clock: Clock,
    manifest: Option<String>,
    lock: Option<Arc<Lock>>,
    delegated: Option<Arc<dyn Signer>>,
    on_unsigned: UnsignedListener,
    signing: Option<(Attestation, Arc<dyn Signer>)>,
    instance: Option<Arc<dyn Signer>>,
    provider_name: Option<String>,
    keys: Option<CallKeys>,
    callers: Option<Callers>,
    replay: Option<Arc<dyn ReplayStore>>,
    nonces: Option<Arc<dyn Nonces>>,
    receipts: bool,
    auditor: Option<Arc<dyn Auditor>>,
    engines: Vec<Arc<dyn PolicyEngine>>,
    policy: Policy,
    enforce: Enforce,
    chains: Option<CallStack>,
    calls_per_minute: Option<u32>,
    peers: Peers,
    legacy: Option<LegacyCalls>,
}

impl EtdiServerConfig {
    /// A server that attestations name `identity`. So far it signs nothing.
    pub fn new(identity: ServerIdentity) -> Self {
        Self {
            identity,
            clock: Arc::new(system_time),
            manifest: None,
            lock: None,
            delegated: None,
            on_unsigned: Arc::new(|tool, why| {
                tracing::warn!(tool, why, "the tool is listed unsigned");
            }),
            signing: None,
            instance: None,
            provider_name: None,
            keys: None,
            callers: None,
            replay: None,
            nonces: None,
            receipts: false,
            auditor: None,
            engines: Vec::new(),
            policy: Policy::default(),
            enforce: Enforce::default(),
            chains: None,
            calls_per_minute: None,
            peers: Peers::new(),
            legacy: None,
        }
    }

    /// Takes calls that are signed as the Python SDK's README says (`legacy =
    /// ["python-fork-1.0"]`), and says so in the capabilities. They never suffice at `strict`.
    pub fn legacy(mut self, calls: LegacyCalls) -> Self {
        self.legacy = Some(calls);
        self
    }

    /// Judges call chains by this instead of the policy of the level. Keep a clone to read what was
    /// called and refused.
    pub fn chains(mut self, chains: CallStack) -> Self {
        self.chains = Some(chains);
        self
    }

    /// Lets each caller call each tool so often a minute from outside; 0 is no limit. By default
    /// 100 at `enhanced` and `strict`, without limit at `basic`, as
    /// [`CallStackPolicy::max_calls_per_minute`] has it for calls that tools make of each other.
    ///
    /// Callers are told apart by the [`Principal`](mcp_types::Principal) that a layer or a client
    /// certificate names; all others share one allowance. What is too much is answered by an error
    /// that says when to try again, before any signature is checked. See
    /// [`RateLayer::per_tool`].
    pub fn calls_per_minute(mut self, calls: u32) -> Self {
        self.calls_per_minute = Some(calls);
        self
    }

    /// Knows other servers by the call tokens that their tools come with.
    pub fn peers(mut self, peers: Peers) -> Self {
        self.peers = peers;
        self
    }

    /// Has this engine decide about each call before it is dispatched; with several, all must
    /// allow. Callers are told that the policy does not allow it; why is in the audit trail.
    pub fn engine(mut self, engine: Arc<dyn PolicyEngine>) -> Self {
        self.engines.push(engine);
        self
    }

    /// Sets the level that the server works at; `enhanced` by default. At `strict` every call is
    /// signed by a client that is known and names a nonce of the server; one that cannot be audited,
    /// or that no engine permits, is refused. A server without [`callers`](Self::callers),
    /// [`auditor`](Self::auditor) or [`engine`](Self::engine) does not start there.
    pub fn level(self, level: SecurityLevel) -> Self {
        self.policy(level.policy())
    }

    /// Sets what the server demands of calls, in every detail: when they are signed, by whose keys,
    /// by which rules they pass, and how they are noted. What else a policy says is a client's affair.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Says at which levels unsigned calls of tools that want signed ones are refused; by default
    /// at every level. [`secure`] warns when that lets unsigned calls through.
    pub fn enforce(mut self, enforce: Enforce) -> Self {
        self.enforce = enforce;
        self
    }

    /// Wants each signed call to name a nonce of the server: `SecretNonces::new` for one node that
    /// remembers used calls by itself, `SecretNonces::shared` with a shared replay store.
    pub fn nonces(mut self, nonces: Arc<dyn Nonces>) -> Self {
        self.nonces = Some(nonces);
        self
    }

    /// Gives a signed receipt for each signed call, with the instance key, and says so in the
    /// capabilities.
    pub fn receipts(mut self) -> Self {
        self.receipts = true;
        self
    }

    /// Notes each call that is let through or refused; nothing of arguments or results.
    pub fn auditor(mut self, auditor: Arc<dyn Auditor>) -> Self {
        self.auditor = Some(auditor);
        self
    }

    /// Shows a manifest that the publisher signed off line. [`secure`] refuses a server whose
    /// tools are not the signed ones.
    pub fn manifest(mut self, jws: impl Into<String>) -> Self {
        self.manifest = Some(jws.into());
        self
    }

    /// Shows the manifest that was built into the program, where there was one: the macro keeps it
    /// in `NAME::DECLARATION.manifest`. Without one nothing is signed, and [`secure`] warns of each
    /// tool.
    ///
    /// A program cannot hold a statement with its own digest, so such a manifest is signed for a URL,
    /// or with `--instance-key` for an [`instance_key`](Self::instance_key); over stdio without one
    /// start the server with the file: [`manifest`](Self::manifest).
    pub fn built_in(mut self, manifest: Option<&'static str>) -> Self {
        self.manifest = manifest.map(str::to_owned);
        self
    }

    /// Says what `etdi.lock` holds: a server whose tools are not as they were locked does not start,
    /// and says what changed.
    pub fn lock(mut self, lock: Lock) -> Self {
        self.lock = Some(Arc::new(lock));
        self
    }

    /// Signs tools that are made at run time, as far as the manifest delegates to this key: by
    /// prefix of the name and by permissions. What goes beyond is listed unsigned, and said to be.
    pub fn delegated_key(mut self, key: Arc<dyn Signer>) -> Self {
        self.delegated = Some(key);
        self
    }

    /// Hears of each tool that is listed although nothing vouches for it, and why; by default that
    /// is a warning in the log.
    pub fn on_unsigned(mut self, listener: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        self.on_unsigned = Arc::new(listener);
        self
    }

    /// Proves to each client that the server holds this key, which its attestations name.
    pub fn instance_key(mut self, key: Arc<dyn Signer>) -> Self {
        self.instance = Some(key);
        self
    }

    /// Signs every tool on line, for servers whose publisher is also their operator.
    pub fn signing(mut self, statement: Attestation, signer: Arc<dyn Signer>) -> Self {
        self.signing = Some((statement, signer));
        self
    }

    /// Publisher and operator are one, with one key: it signs the tools as itself, and proves that
    /// the server holds it. For development and for servers of one's own.
    pub fn operator(self, key: Arc<dyn Signer>) -> Self {
        let issuer = ProviderId::of_key(key.verifying_key().id());
        let statement = Attestation::new(issuer, self.identity.clone(), (self.clock)());
        self.signing(statement, key.clone()).instance_key(key)
    }

    /// Gives the provider a name for people, in tools that do not name their provider.
    pub fn provider_name(mut self, name: impl Into<String>) -> Self {
        self.provider_name = Some(name.into());
        self
    }

    /// Says whose signatures on calls count; anybody's by default, which `strict` does not take. It
    /// goes before [`callers`](Self::callers).
    pub fn call_keys(mut self, keys: CallKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Says where the clients are known whose signatures on calls count: those that the command
    /// `etdi keys trust FILE --as NAME` named, those that issuers publish, and below `strict` those
    /// that called first.
    pub fn callers(mut self, callers: Callers) -> Self {
        self.callers = Some(callers);
        self
    }

    /// Remembers used calls elsewhere than in this process.
    pub fn replay_store(mut self, replay: Arc<dyn ReplayStore>) -> Self {
        self.replay = Some(replay);
        self
    }

    /// Tells the time; the system's by default.
    pub fn clock(mut self, clock: impl Fn() -> UnixTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl std::fmt::Debug for EtdiServerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtdiServerConfig").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Secures a server: what it lists is signed, what is called is guarded.
///
/// Where [`AUTHORING`] is set in the environment, manifest and lock are left out, and only listings
/// are answered.
///
/// All that it offers is listed and compared once before, so that a server that is not what was
/// signed does not start, and says what differs.
///
/// # Errors
///
/// When the manifest or a key cannot be used, or a tool is not the one that was signed.
pub async fn secure<S: ExchangeService>(
    server: S,
    config: EtdiServerConfig,
) -> Result<Secured<S>, SecureError> {
    secure_for(server, config, std::env::var_os(AUTHORING).is_some()).await
}

async fn secure_for<S: ExchangeService>(
    server: S,
    config: EtdiServerConfig,
    authoring: bool,
) -> Result<Secured<S>, SecureError> {
    let EtdiServerConfig {
        identity,
        clock,
        manifest,
        lock,
        delegated,
        on_unsigned,
        signing,
        instance,
        provider_name,
        keys,
        callers,
        replay,
        nonces,
        receipts,
        auditor,
        engines,
        policy: demanded,
        enforce,
        chains,
        calls_per_minute,
        peers,
        legacy,
    } = config;
    let level = demanded.level;
    if demanded.audit == AuditMode::ChainedBeforeAct && auditor.is_none() {
        return Err(StartError::StrictWithoutAuditor.into());
    }
    if demanded.rules == Rules::EngineDefaultDeny && engines.is_empty() {
        return Err(StartError::StrictWithoutEngine.into());
    }
    let keys = match (keys, callers) {
        (Some(keys), _) => keys,
        (None, Some(callers)) => {
            CallKeys::Clients(Arc::new(callers.open(&demanded).map_err(StartError::Callers)?))
        }
        (None, None) => CallKeys::default(),
    };
    if demanded.key_trust == KeyTrust::ConfiguredRoots && matches!(keys, CallKeys::Any) {
        return Err(StartError::StrictWithoutCallers.into());
    }
    let (manifest, lock) = match authoring {
        true => {
            tracing::warn!(
                "{AUTHORING} is set, so manifest and lock are left out, and no tool runs"
            );
            (None, None)
        }
        false => (manifest, lock),
    };
    let time = |clock: &Clock| {
        let clock = clock.clone();
        move || clock()
    };
    let mut sign = SignLayer::new(identity.clone(), time(&clock));
    if let Some((statement, signer)) = signing {
        sign = sign.signing(statement, signer);
    }
    if let Some(name) = provider_name {
        sign = sign.provider_name(name);
    }
    let receipts = match (receipts, &instance) {
        (true, None) => return Err(StartError::ReceiptsWithoutKey.into()),
        (true, instance) => instance.clone(),
        (false, _) => None,
    };
    let mut capability = Capability::of_server();
    if receipts.is_some() {
        capability.profiles.push(RESULT_PROFILE.to_owned());
    }
    if demanded.call_attestation == CallAttestation::Always {
        capability.call = Some(ALL_CALLS.to_owned());
    }
    if legacy.is_some() && level != SecurityLevel::Strict {
        capability.legacy.push(FORK_PROFILE.to_owned());
    }
    sign = sign.capability(capability);
    let minting = instance.clone();
    if let Some(instance) = instance {
        sign = sign.instance_key(instance);
    }
    if let Some(manifest) = manifest {
        sign = sign.manifest(manifest.trim())?;
    }
    if let Some(lock) = lock {
        sign = sign.lock(lock);
    }
    if let Some(key) = delegated {
        sign = sign.delegated(key);
    }
    sign = sign.on_unsigned(move |tool, why| on_unsigned(tool, why));
    let tools: Vec<RawTool> = sign.start(server.clone()).await?;
    if enforce == Enforce::StrictOnly && level != SecurityLevel::Strict {
        warn_of_unsigned(&tools, level);
    }
    let chains = chains.unwrap_or_else(|| CallStack::new(CallStackPolicy::from(level)));
    let mut guard = GuardLayer::new(identity, time(&clock))
        .keys(keys)
        .enforce(enforce, level)
        .policy(demanded.clone())
        .chains(chains)
        .peers(peers);
    if authoring {
        guard = guard.listings_only();
    }
    if let Some(calls) = legacy {
        guard = guard.legacy(calls);
    }
    if let Some(instance) = minting {
        guard = guard.tokens(instance);
    }
    if let Some(nonces) = nonces {
        guard = guard.nonces(nonces);
    }
    if let Some(instance) = receipts {
        guard = guard.receipts(instance);
    }
    if let Some(gate) = policing::gate(&engines, &demanded, auditor.as_ref()) {
        guard = guard.gate(gate);
    }
    if let Some(auditor) = auditor {
        guard = guard.auditor(auditor, demanded.audit);
    }
    if let Some(replay) = replay {
        guard = guard.replay_store(replay);
    }
    let calls = calls_per_minute.unwrap_or(CallStackPolicy::from(level).max_calls_per_minute);
    let rate = match calls {
        // What nobody reaches costs no more than to count.
        0 => RateLayer::per_tool(f64::MAX, u32::MAX),
        calls => RateLayer::per_tool(f64::from(calls) / 60.0, calls),
    };
    Ok(rate.layer(guard.layer(sign.layer(server))))
}

/// Says which tools can be called unsigned though they want signed calls.
fn warn_of_unsigned(tools: &[RawTool], level: SecurityLevel) {
    let wants = |tool: &&RawTool| {
        let block = tool.definition().block();
        block.is_some_and(|block| block.request_signing == RequestSigning::Required)
    };
    for tool in tools.iter().filter(wants) {
        tracing::warn!(
            tool = tool.definition().name(),
            %level,
            "the tool wants signed calls, and `enforce = \"strict-only\"` lets anybody call it \
             unsigned at this level: remove the setting or use the level `strict`"
        );
    }
}

#[cfg(test)]
mod tests;
