//! Amazon Verified Permissions: the policies of [`CedarEngine`](crate::CedarEngine), evaluated by a
//! service of AWS.
//!
//! A decision is one `IsAuthorized` of its JSON protocol, signed with AWS Signature Version 4. What
//! is asked has the schema of [`schema_of`](crate::schema_of), so that the same policies can stand in
//! a folder and in a policy store. What is not a clear answer in time is a denial.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use cedar_policy::Entities;
use etdi_core::policy::{Decision, Obligation, PolicyEngine, Request};
use etdi_oauth::{Fetch, FetchError, FetchRequest, GuardedFetch, Method, Rules};
use mcp_types::{BoxFuture, Runtime};

use crate::cedar::load;
use crate::files::Source;

mod answer;
mod body;
mod credentials;
mod settings;
mod sigv4;

use answer::Unclear;
use body::Unasked;
use settings::Endpoint;
use sigv4::{Scope, Signed};

pub use body::schema_json_of;
pub use credentials::{AwsCredentials, CredentialError, CredentialSource, EnvironmentCredentials};
pub use settings::{AvpError, AvpSettings};

/// Decides by the policies of a policy store of Amazon Verified Permissions.
///
/// Each decision is one request, sent once: a failure is not tried again. Only `ALLOW` with the
/// policies that permit, and without an error in any policy, allows; everything else is a denial
/// with its reason: no answer within the deadline, another status, another form, another word.
///
/// It is asked over HTTPS by a [`GuardedFetch`], which keeps no connection. Requests are dated by
/// the time of the call that is decided about ([`Context::now`](etdi_core::policy::Context::now)).
///
/// The service does not tell the annotations of policies: neither `@reason` nor `@obligation`. What
/// a policy asks for is said in the settings ([`AvpSettings::obligations`]), by the id that the store
/// gave it.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use etdi_core::policy::Gate;
/// use etdi_policy::{AvpEngine, AvpError, AvpSettings, EnvironmentCredentials};
/// use mcp_types::Runtime;
///
/// fn gate(runtime: Arc<dyn Runtime>) -> Result<Gate, AvpError> {
///     let settings = AvpSettings::new("PSEXAMPLEabcdefg111111", "eu-central-1");
///     let keys = Arc::new(EnvironmentCredentials::default());
///     Ok(Gate::new(Arc::new(AvpEngine::new(settings, keys, runtime)?)))
/// }
/// ```
pub struct AvpEngine {
    settings: AvpSettings,
    endpoint: Endpoint,
    obligations: BTreeMap<String, Vec<Obligation>>,
    deadline: Duration,
    credentials: Arc<dyn CredentialSource>,
    runtime: Arc<dyn Runtime>,
    fetch: Arc<dyn Fetch>,
    others: Entities,
}

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
enum Undecided {
    #[error(transparent)]
    Unasked(#[from] Unasked),
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    #[error("the clock is beyond the year 9999, set it")]
    Clock,
    #[error("Verified Permissions was not asked: {0}")]
    Fetch(#[from] FetchError),
    #[error("Verified Permissions decided nothing: {0}")]
    Unclear(#[from] Unclear),
    #[error("Verified Permissions did not answer within {0:?}")]
    Late(Duration),
}

impl AvpEngine {
    /// An engine that asks a policy store. `runtime` has the timer of its deadline.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings.
    pub fn new(
        settings: AvpSettings,
        credentials: Arc<dyn CredentialSource>,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self, AvpError> {
        let (endpoint, deadline) = (settings.checked_endpoint()?, settings.deadline()?);
        let obligations = settings.checked_obligations()?;
        let mut rules = Rules::default();
        // Behind the engine's own deadline, which is the one that counts.
        let behind = deadline + Duration::from_secs(1);
        (rules.connect_timeout, rules.timeout) = (behind, behind);
        (rules.redirects, rules.most_bytes) = (0, answer::MAX_ANSWER);
        rules.loopback = settings.loopback;
        // The operator named it, and TLS proves it: a VPC endpoint has an address inside.
        rules.private_hosts.insert(endpoint.host.clone());
        let fetch = Arc::new(GuardedFetch::new(rules));
        let others = Entities::empty();
        Ok(Self { settings, endpoint, obligations, deadline, credentials, runtime, fetch, others })
    }

    /// Sends requests in another way, such as over connections that are kept. Whoever sends must
    /// send each once, follow no redirect and sign nothing itself.
    #[must_use]
    pub fn fetch(mut self, fetch: Arc<dyn Fetch>) -> Self {
        self.fetch = fetch;
        self
    }

    /// Tells the service what a file says about users, agents and groups, the same that stands as
    /// `entities.json` beside policies in a folder.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or speaks of anything else.
    pub fn entities(mut self, source: &Source) -> Result<Self, AvpError> {
        self.others = load::read_entities(source).map_err(AvpError::Entities)?;
        Ok(self)
    }

    /// Decides about a request.
    pub async fn decide(&self, request: &Request<'_>) -> Decision {
        let mut asking = pin!(self.ask(request));
        let mut end = pin!(self.runtime.sleep_until(self.runtime.now() + self.deadline));
        let decided = poll_fn(|cx| match asking.as_mut().poll(cx) {
            Poll::Ready(decided) => Poll::Ready(decided),
            Poll::Pending => end.as_mut().poll(cx).map(|()| Err(Undecided::Late(self.deadline))),
        });
        match decided.await {
            Ok(decision) => decision,
            Err(error) => Decision::failed(&error),
        }
    }

    async fn ask(&self, request: &Request<'_>) -> Result<Decision, Undecided> {
        let body = body::body_of(&self.settings.policy_store_id, request, &self.others)?;
        let moment = sigv4::moment(request.context.now).ok_or(Undecided::Clock)?;
        let credentials = self.credentials.credentials().await?;
        let answer = self.fetch.fetch(self.signed(body, &moment, &credentials)).await?;
        if answer.body.len() > answer::MAX_ANSWER {
            let (url, most) = (self.endpoint.url.clone(), answer::MAX_ANSWER);
            return Err(FetchError::TooLong { url, most }.into());
        }
        Ok(self.obliged(answer::read(answer.status, &answer.body)?))
    }

    /// The same decision with what its policies ask for where they permit.
    fn obliged(&self, mut decision: Decision) -> Decision {
        if decision.allow {
            let asked = decision.policies.iter().filter_map(|id| self.obligations.get(id));
            decision.obligations.extend(asked.flatten().cloned());
        }
        decision
    }

    fn signed(&self, body: Vec<u8>, moment: &str, credentials: &AwsCredentials) -> FetchRequest {
        let mut headers = vec![
            ("content-type", "application/x-amz-json-1.0"),
            ("host", self.endpoint.authority.as_str()),
            ("x-amz-date", moment),
            ("x-amz-target", "VerifiedPermissions.IsAuthorized"),
        ];
        headers.extend(credentials.token().map(|token| ("x-amz-security-token", token)));
        let signed = Signed { method: "POST", headers: &headers, body: &body };
        let scope = Scope { region: &self.settings.region, service: "verifiedpermissions", moment };
        let proof = sigv4::authorization(&signed, scope, credentials);

        let mut request = FetchRequest::get(self.endpoint.url.clone());
        request.method = Method::Post;
        request.most_bytes = answer::MAX_ANSWER;
        // Whoever sends writes the host, of the same URL.
        headers.retain(|(name, _)| *name != "host");
        request.headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        request.headers.push(("authorization".to_owned(), proof));
        request.body = body;
        request
    }
}

impl PolicyEngine for AvpEngine {
    fn authorize<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Decision> {
        Box::pin(self.decide(request))
    }
}

impl fmt::Debug for AvpEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AvpEngine").field("settings", &self.settings).finish_non_exhaustive()
    }
}
