//! A provider asked step by step, before the first user is.

use std::fmt;
use std::sync::Arc;

use etdi_core::key::{Algorithm, AllowList, JwkSet};
use serde::Serialize;

use super::Severity;
use crate::flow::ClientAuthentication;
use crate::web::{checked, shown};
use crate::{
    Fetch, FetchError, FetchRequest, Method, OAuthError, RegisteredClient, ServerMetadata,
};

/// Asks a provider what it is, and holds that against what a client is set to.
///
/// Nothing secret is sent: the endpoint for tokens is asked without credentials, and has to refuse.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use etdi_oauth::inspect::OAuthValidator;
/// use etdi_oauth::{GuardedFetch, RegisteredClient, Rules};
///
/// let validator = OAuthValidator::new(Arc::new(GuardedFetch::new(Rules::default())));
/// let client = RegisteredClient::public("https://auth.example", "s6BhdRkqt3");
/// let report = validator.validate_provider(&client, &["tools:read".to_owned()]).await;
/// println!("set up rightly: {}, reached: {}", report.configuration_valid, report.is_reachable);
/// for step in &report.steps {
///     println!("{} {}: {}", step.outcome, step.code, step.what);
/// }
/// # Ok(()) }
/// ```
pub struct OAuthValidator {
    fetch: Arc<dyn Fetch>,
    loopback: bool,
}

impl fmt::Debug for OAuthValidator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthValidator").field("loopback", &self.loopback).finish_non_exhaustive()
    }
}

/// What came of the questions.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ProviderReport {
    /// Who was asked.
    pub issuer: String,
    /// Whether no step failed by the client's own settings. Only as far as the provider was reached.
    pub configuration_valid: bool,
    /// Whether the provider answered with its metadata and refused a request without credentials.
    pub is_reachable: bool,
    /// Every step, in order; those after one that has to hold are left out.
    pub steps: Vec<Step>,
    /// How much of what was asked holds, of 100, by weight: what is critical 4, high 3, medium 2,
    /// low 1.
    pub score: u8,
}

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// A word that stays the same, for programs.
    pub code: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// How much it matters.
    pub severity: Severity,
    /// What was found, in a sentence. What the provider says is escaped in it.
    pub what: String,
    /// Whose business it is, where it does not hold.
    pub whose: Option<Whose>,
    /// What to do, where it does not hold.
    pub advice: Option<&'static str>,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It could be better, and works.
    Warned,
    /// It does not hold.
    Failed,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Warned => "warned",
            Self::Failed => "failed",
        })
    }
}

/// Whose business a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// The client's settings.
    Settings,
    /// The way between.
    Network,
    /// The provider.
    Provider,
}

/// The most bytes of a key set.
const MAX_SET: usize = 256 << 10;

/// The most bytes of the answer to a request without credentials.
const MAX_REFUSAL: usize = 64 << 10;

impl OAuthValidator {
    /// Asks through `fetch`, such as a [`GuardedFetch`](crate::GuardedFetch).
    pub fn new(fetch: Arc<dyn Fetch>) -> Self {
        Self { fetch, loopback: false }
    }

    /// Lets a provider be on this computer, by HTTP as well.
    #[must_use]
    pub fn loopback(mut self) -> Self {
        self.loopback = true;
        self
    }

    /// Asks the provider of `client`, who wants `scopes`. Whatever it answers, there is a report.
    pub async fn validate_provider(
        &self,
        client: &RegisteredClient,
        scopes: &[String],
    ) -> ProviderReport {
        let mut steps = Steps(Vec::new());
        let reached = self.ask(client, scopes, &mut steps).await.is_some();
        let Steps(steps) = steps;
        let failed =
            |step: &Step| step.outcome == Outcome::Failed && step.whose == Some(Whose::Settings);
        ProviderReport {
            issuer: shown(&client.issuer),
            configuration_valid: !steps.iter().any(failed),
            is_reachable: reached,
            score: score(&steps),
            steps,
        }
    }

    /// Every question; `None` where the provider was not reached.
    async fn ask(
        &self,
        client: &RegisteredClient,
        scopes: &[String],
        steps: &mut Steps,
    ) -> Option<()> {
        self.settings(client, steps)?;
        let found = ServerMetadata::find(&*self.fetch, &client.issuer, self.loopback).await;
        let server = match found {
            Ok(server) => server,
            Err(error) => {
                steps.metadata(&error);
                return None;
            }
        };
        steps.passed("METADATA", Severity::Critical, "its metadata is there and names this issuer");
        self.keys(&server, steps).await;
        fits(&server, client, scopes, steps);
        self.token_endpoint(&server, steps).await
    }

    fn settings(&self, client: &RegisteredClient, steps: &mut Steps) -> Option<()> {
        if client.id.trim().is_empty() {
            let what = "the client has no id";
            let advice = "take the id of your application from the provider";
            steps.failed("CLIENT_ID", Severity::Critical, what, Whose::Settings, advice);
        } else {
            steps.passed("CLIENT_ID", Severity::Critical, "the client has an id");
        }
        match checked(&client.issuer, self.loopback) {
            Ok(_) => {
                steps.passed("ISSUER", Severity::Critical, "the issuer is a URL that may be asked")
            }
            Err(why) => {
                let what = format!("the issuer `{}` cannot be used: {why}", shown(&client.issuer));
                let advice = "the domain alone, such as `acme.eu.auth0.com`, or the issuer as tokens name it";
                steps.failed("ISSUER", Severity::Critical, what, Whose::Settings, advice);
                return None;
            }
        }
        Some(())
    }

    /// The keys that its tokens are signed with.
    async fn keys(&self, server: &ServerMetadata, steps: &mut Steps) {
        let advice = "tokens of this provider can be asked about by introspection alone";
        let Some(url) = &server.jwks_uri else {
            let what = "it publishes no keys (`jwks_uri`)";
            return steps.warned("KEYS", Severity::High, what, Whose::Provider, advice);
        };
        if let Err(why) = checked(url, self.loopback) {
            let what = format!("its keys are at `{}`: {why}", shown(url));
            return steps.failed("KEYS", Severity::Critical, what, Whose::Provider, advice);
        }
        let mut request = FetchRequest::get(url.as_str());
        request.most_bytes = MAX_SET;
        let read = match self.fetch.fetch(request).await {
            Ok(answer) if answer.status == 200 => read_keys(&answer.body),
            Ok(answer) => Err(FetchError::status(answer.status)),
            Err(error) => Err(error.to_string()),
        };
        match read {
            Ok(what) => steps.passed("KEYS", Severity::Critical, what),
            Err(why) => {
                let what = format!("its key set cannot be used: {why}");
                steps.failed("KEYS", Severity::Critical, what, Whose::Provider, advice);
            }
        }
    }

    /// Whether tokens are given to who shows nothing.
    async fn token_endpoint(&self, server: &ServerMetadata, steps: &mut Steps) -> Option<()> {
        let Some(url) = &server.token_endpoint else {
            let what = "it names no endpoint for tokens (`token_endpoint`)";
            let advice = "is this the issuer that your tokens name?";
            steps.failed("TOKEN_ENDPOINT", Severity::Critical, what, Whose::Provider, advice);
            return None;
        };
        let mut request = FetchRequest::get(url.as_str());
        request.method = Method::Post;
        let form = "application/x-www-form-urlencoded".to_owned();
        request.headers.push(("content-type".to_owned(), form));
        request.headers.push(("accept".to_owned(), "application/json".to_owned()));
        request.body = b"grant_type=client_credentials".to_vec();
        request.most_bytes = MAX_REFUSAL;
        match self.fetch.fetch(request).await {
            Ok(answer) if matches!(answer.status, 400 | 401 | 403) => {
                let what = "its endpoint for tokens answers, and refuses who shows nothing";
                steps.passed("TOKEN_ENDPOINT", Severity::Critical, what);
                Some(())
            }
            Ok(answer) if answer.status == 200 => {
                let what = "its endpoint for tokens gives one to who shows nothing";
                let advice = "do not trust tokens of this provider";
                steps.failed("TOKEN_ENDPOINT", Severity::Critical, what, Whose::Provider, advice);
                Some(())
            }
            Ok(answer) => {
                let what = format!("its endpoint for tokens answers with status {}", answer.status);
                let advice = "ask again later; its status page may say more";
                steps.failed("TOKEN_ENDPOINT", Severity::Critical, what, Whose::Provider, advice);
                None
            }
            Err(error) => {
                let advice = "is there a proxy or firewall on the way?";
                let what = error.to_string();
                steps.failed("TOKEN_ENDPOINT", Severity::Critical, what, Whose::Network, advice);
                None
            }
        }
    }
}

/// What a key set is, in a sentence.
fn read_keys(body: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(body).map_err(|_| "it is no UTF-8".to_owned())?;
    let set =
        JwkSet::read(text, AllowList::IDENTITY_PROVIDER).map_err(|error| error.to_string())?;
    let ring = set.keys();
    let mut algorithms: Vec<Algorithm> = ring.iter().map(|key| key.algorithm()).collect();
    let count = algorithms.len();
    if count == 0 {
        return Err("it has no key for signatures that is accepted here".to_owned());
    }
    algorithms.sort();
    algorithms.dedup();
    let names: Vec<&str> = algorithms.iter().map(|one| one.name()).collect();
    Ok(format!(
        "it publishes {count} usable key{}: {}",
        if count == 1 { "" } else { "s" },
        names.join(", ")
    ))
}

/// Whether the provider takes what the client is set to.
fn fits(server: &ServerMetadata, client: &RegisteredClient, scopes: &[String], steps: &mut Steps) {
    let method = match &client.authentication {
        ClientAuthentication::None => "none",
        ClientAuthentication::Secret(_) if server.takes_method("client_secret_post") => {
            "client_secret_post"
        }
        ClientAuthentication::Secret(_) | ClientAuthentication::SecretBasic(_) => {
            "client_secret_basic"
        }
        ClientAuthentication::SecretPost(_) => "client_secret_post",
        ClientAuthentication::PrivateKey { .. } => "private_key_jwt",
    };
    if server.takes_method(method) {
        let what = format!("it takes `{method}`, by which the client shows who it is");
        steps.passed("AUTHENTICATION", Severity::High, what);
    } else if method == "none" {
        let what =
            "the client has no secret, and the provider does not say that it takes such clients";
        let advice = "set the secret, or register the application as a public one";
        steps.warned("AUTHENTICATION", Severity::High, what, Whose::Settings, advice);
    } else {
        let what = format!("it does not take `{method}`, by which the client shows who it is");
        let advice =
            "register the application with a secret or key of a kind that the provider takes";
        steps.failed("AUTHENTICATION", Severity::High, what, Whose::Settings, advice);
    }
    let methods = server.code_challenge_methods_supported.as_deref();
    if methods.unwrap_or_default().iter().any(|one| one == "S256") {
        steps.passed("PKCE", Severity::High, "it takes PKCE with S256");
    } else if client.dialect.s256_unsaid {
        steps.passed(
            "PKCE",
            Severity::High,
            "it is known to take PKCE with S256, without saying so",
        );
    } else {
        let what = "it does not say that it takes PKCE with S256, so no user is sent there";
        let advice = "logins need it; a program that acts for itself does not";
        steps.warned("PKCE", Severity::High, what, Whose::Provider, advice);
    }
    if server.authorization_response_iss_parameter_supported == Some(true) {
        steps.passed(
            "ISSUER_IN_ANSWERS",
            Severity::Medium,
            "its answers to logins name it (RFC 9207)",
        );
    } else {
        let what = "its answers to logins do not name it (RFC 9207)";
        let advice = "let a client that uses several providers have a redirect URI for each";
        steps.warned("ISSUER_IN_ANSWERS", Severity::Medium, what, Whose::Provider, advice);
    }
    let unknown = |scope: &&String| !server.has_scope(scope);
    let missing: Vec<String> = scopes.iter().filter(unknown).map(|scope| shown(scope)).collect();
    match (&server.scopes_supported, missing.is_empty()) {
        (Some(_), false) => {
            let what = format!("its metadata does not list the scopes {}", missing.join(", "));
            let advice = "providers may leave scopes out; if a login is refused, define them there";
            steps.warned("SCOPES", Severity::Low, what, Whose::Settings, advice);
        }
        (None, _) => {
            steps.passed("SCOPES", Severity::Low, "it does not say what scopes there are");
        }
        (Some(_), true) => {
            steps.passed("SCOPES", Severity::Low, "it has the scopes that are wanted")
        }
    }
}

/// The steps that were made.
struct Steps(Vec<Step>);

impl Steps {
    fn passed(&mut self, code: &'static str, severity: Severity, what: impl Into<String>) {
        self.add(Outcome::Passed, code, severity, what.into(), None);
    }

    fn warned(
        &mut self,
        code: &'static str,
        severity: Severity,
        what: impl Into<String>,
        whose: Whose,
        advice: &'static str,
    ) {
        self.add(Outcome::Warned, code, severity, what.into(), Some((whose, advice)));
    }

    fn failed(
        &mut self,
        code: &'static str,
        severity: Severity,
        what: impl Into<String>,
        whose: Whose,
        advice: &'static str,
    ) {
        self.add(Outcome::Failed, code, severity, what.into(), Some((whose, advice)));
    }

    fn add(
        &mut self,
        outcome: Outcome,
        code: &'static str,
        severity: Severity,
        what: String,
        fault: Option<(Whose, &'static str)>,
    ) {
        let (whose, advice) = fault.unzip();
        self.0.push(Step { code, outcome, severity, what, whose, advice });
    }

    /// Why there is no metadata, and whose fault that is.
    fn metadata(&mut self, error: &OAuthError) {
        let (whose, advice) = match error {
            OAuthError::Fetch(FetchError::Unreachable { .. }) => {
                (Whose::Network, "is the domain spelled rightly, and can this computer reach it?")
            }
            OAuthError::Fetch(FetchError::Forbidden { .. }) => (
                Whose::Settings,
                "a provider has a public address, or is on this computer as `http://127.0.0.1:PORT`",
            ),
            OAuthError::OtherIssuer { .. } => {
                (Whose::Settings, "set the issuer letter by letter as its metadata names it")
            }
            OAuthError::Metadata { .. } => (
                Whose::Settings,
                "is this the provider's issuer? Okta's has a path, Entra's a tenant",
            ),
            _ => (Whose::Provider, "the provider has to mend what it publishes"),
        };
        self.failed("METADATA", Severity::Critical, error.to_string(), whose, advice);
    }
}

fn score(steps: &[Step]) -> u8 {
    let weight = |step: &Step| match step.severity {
        Severity::Critical => 4,
        Severity::High => 3,
        Severity::Medium => 2,
        Severity::Low => 1,
        Severity::Info => 0,
    };
    let all: u32 = steps.iter().map(weight).sum();
    let held: u32 = steps.iter().filter(|step| step.outcome == Outcome::Passed).map(weight).sum();
    u8::try_from((held * 100).checked_div(all).unwrap_or(0)).unwrap_or(100)
}

#[cfg(test)]
mod tests;
