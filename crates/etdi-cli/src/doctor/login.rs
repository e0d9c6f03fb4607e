//! The login: what the server publishes, who gives tokens, whether one can be had, whether it counts.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use etdi::core::change::visible;
use etdi::system_time;
use etdi_oauth::inspect::{Severity, TokenDebugger};
use etdi_oauth::{
    AuthChallenge, FetchError, GuardedFetch, OAuthError, ResourceMetadata, Rules, SecretText,
    ServerMetadata,
};
use http::header::WWW_AUTHENTICATE;
use mcp_transport::http::Authorize;
use mcp_types::ErrorObject;

use super::place::Place;
use super::said::{Answer, Asked, ask};
use super::{Examination, Fault, Whose, web};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::login::{Logins, kept};
use crate::verbs::target::{quoted, shown_path};

/// What lets in.
pub(super) enum Way {
    /// Nothing is wanted.
    Open,
    /// A token that was given for this examination.
    Token(SecretText),
    /// The login that is kept for this server.
    Kept(Arc<dyn Authorize>),
}

/// What is to be done where no login is to be had.
const BY_A_KEY: &str = "where it lets in by a key, put that into an entry, \
                        `\"headers\": {\"X-API-Key\": \"${KEY}\"}` beside its `url`, and name the entry: \
                        `etdi list ./servers.json:NAME`; for logins its operator names the issuer in \
                        `authorization_servers` (RFC 9728, section 2)";

/// Where there are no logins at all, such as at a gateway with keys.
const AN_API_KEY: &str = "its operator makes one with `etdi auth api-key new FILE NAME`; put it into an entry, \
                          `\"headers\": {\"X-API-Key\": \"${KEY}\"}` beside its `url`, and name the entry: \
                          `etdi list ./servers.json:NAME`";

/// Where one is sent.
const KNOWN_NO_MORE: &str = "this key is unknown, revoked, or has ended: its operator makes another one with \
                             `etdi auth api-key new FILE NAME`";

/// The most bytes of a token.
const MAX_TOKEN: u64 = 64 << 10;

/// Reads a token from a file, or from standard input for `-`.
pub(super) fn read_token(path: &Path) -> Result<SecretText, Failure> {
    let unreadable = |error: std::io::Error| {
        let message = format!("the token in `{}` cannot be read: {error}", path.display());
        Failure::usage(message, format!("ls -l {}", shown_path(path)))
    };
    let mut text = String::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().take(MAX_TOKEN).read_to_string(&mut text),
        false => std::fs::File::open(path)
            .and_then(|file| file.take(MAX_TOKEN).read_to_string(&mut text)),
    };
    read.map_err(unreadable)?;
    let token = text.trim();
    match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(SecretText::new(token)),
        false => {
            let message = "a token is one word of visible ASCII, without `Bearer`";
            Err(Failure::usage(message, "etdi debug-token --help"))
        }
    }
}

/// Looks at the login, where the server wants one.
pub(super) async fn examine(
    url: &str,
    place: &Place,
    addresses: &[SocketAddr],
    answer: Answer,
    token: Option<SecretText>,
    home: &Home,
    examination: &mut Examination,
) -> Result<Way, Fault> {
    if !web::wants_login(&answer) {
        if token.is_some() {
            let what = "the server lets everybody in, so the token was not shown";
            examination.warned("token", Whose::You, what, "leave the token out");
        }
        return Ok(Way::Open);
    }
    if let Some(token) = token {
        // Whoever brings a token got it somewhere; where, says what comes after a refusal.
        if accepted(place, addresses, &token, examination).await? {
            return Ok(Way::Token(token));
        }
    }
    published(url, place, &answer, home, examination).await?;
    examination.looking("looking for a login");
    match kept(url, home).await.map_err(|failure| unopened("token", failure))? {
        Some(client) => Ok(Way::Kept(Arc::new(client))),
        None => {
            let what = "the server wants a login, and none is kept here";
            let advice = "log in once, it is kept and renewed";
            let fault = Fault::new("token", Whose::You, what, advice);
            let next = format!("etdi auth login {}", quoted(url));
            Err(fault.exit(Exit::AuthenticationNeeded).next(next))
        }
    }
}

async fn is_registered(issuer: &str, home: &Home) -> Result<bool, Failure> {
    match Logins::find(home)? {
        Some(logins) => logins.is_registered(issuer).await,
        None => Ok(false),
    }
}

fn unopened(step: &'static str, failure: Failure) -> Fault {
    let advice = "the store of logins has to open first";
    Fault::new(step, Whose::You, failure.message, advice).next(failure.next)
}

/// Whether a token that was given is taken; a fault where it is known why not.
async fn accepted(
    place: &Place,
    addresses: &[SocketAddr],
    token: &SecretText,
    examination: &mut Examination,
) -> Result<bool, Fault> {
    examination.looking("showing the token");
    let patience = examination.patience;
    let shown = ask(place, addresses, None, Asked::Discovery, Some(token.expose()), patience).await;
    let answer = shown.map_err(|_| {
        let what = "it does not answer when it is shown the token";
        let advice = "the server fails over it, or cannot reach its issuer: read its log";
        Fault::new("token", Whose::ServerOperator, what, advice).exit(Exit::Unreachable)
    })?;
    if !web::wants_login(&answer) {
        examination.passed("token", "the token is taken");
        return Ok(true);
    }
    let challenges = challenges(&answer);
    let said = challenges.iter().find_map(|one| one.get("error_description").or(one.get("error")));
    let said = said.map_or_else(String::new, |said| format!(": {}", visible(said)));
    let report = TokenDebugger::new(system_time()).debug_token(token.expose());
    let grave = report.issues.iter().find(|issue| issue.severity >= Severity::High);
    let (what, advice) = match grave.filter(|_| report.well_formed) {
        Some(issue) => (format!("; {}", issue.what), issue.advice),
        None => (String::new(), "log in anew; was it given for this server, and by its issuer?"),
    };
    let status = answer.status.as_u16();
    let what = format!("the token is refused (status {status}){said}{what}");
    let next = format!("etdi auth login {}", quoted(&place.shown()));
    Err(Fault::new("token", Whose::You, what, advice).exit(Exit::AuthenticationNeeded).next(next))
}

/// What a refusal of the login that is kept means.
pub(super) fn refused(url: &str, error: &ErrorObject) -> Fault {
    let what = format!("the login that is kept does not let in: {}", visible(&error.message));
    let next = format!("etdi auth login {}", quoted(url));
    let fault = Fault::new("token", Whose::You, what, "log in anew");
    fault.exit(Exit::AuthenticationNeeded).next(next)
}

fn challenges(answer: &Answer) -> Vec<AuthChallenge> {
    let headers = answer.headers.get_all(WWW_AUTHENTICATE);
    AuthChallenge::read(headers.iter().filter_map(|value| value.to_str().ok()))
}

/// What the server and its issuer publish, as far as a login needs it.
async fn published(
    url: &str,
    place: &Place,
    answer: &Answer,
    home: &Home,
    examination: &mut Examination,
) -> Result<(), Fault> {
    let mut rules = Rules::default();
    rules.loopback = place.is_here();
    (rules.timeout, rules.connect_timeout) = (examination.patience, examination.patience);
    let fetch = GuardedFetch::new(rules);
    let challenges = challenges(answer);
    let bearer = challenges.iter().find(|one| matches!(one.scheme(), "bearer" | "dpop"));
    if bearer.is_none()
        && let Some(other) = challenges.first()
    {
        if other.scheme().eq_ignore_ascii_case("apikey") {
            let sends = |(name, _): &(String, String)| {
                other.get("header").is_some_and(|header| name.eq_ignore_ascii_case(header))
            };
            let (what, advice) = match place.headers.iter().any(sends) {
                true => ("the API key that the entry sends does not let in", KNOWN_NO_MORE),
                false => ("it lets in by an API key", AN_API_KEY),
            };
            let fault = Fault::new("api_key", Whose::You, what, advice);
            return Err(fault.exit(Exit::AuthenticationNeeded).next("etdi list --help"));
        }
        let scheme = visible(other.scheme()).into_owned();
        let what = format!("it wants `{scheme}`, not a token of OAuth");
        let advice = "ask its operator how clients log in; a key goes into a header of the client";
        let fault = Fault::new("resource_metadata", Whose::ServerOperator, what, advice);
        return Err(fault.exit(Exit::AuthenticationNeeded));
    }
    examination.looking("reading what the server publishes of itself");
    let announced = bearer.and_then(|one| one.get("resource_metadata"));
    let found = ResourceMetadata::find(&fetch, url, announced).await;
    let metadata = found.map_err(|error| resource_fault(&error))?;
    let issuers: Vec<String> = match &metadata {
        Some(metadata) => metadata.authorization_servers.clone().unwrap_or_default(),
        // A server of the first revision with logins is its own authorization server.
        None => vec![place.origin.clone()],
    };
    let Some(issuer) = issuers.first() else {
        let what = "its metadata names no authorization server";
        let fault = Fault::new("resource_metadata", Whose::ServerOperator, what, BY_A_KEY);
        return Err(fault.next("etdi list --help"));
    };
    match &metadata {
        Some(metadata) => {
            let resource = visible(&metadata.resource).into_owned();
            examination.passed(
                "resource_metadata",
                format!("it is `{resource}`, tokens are of `{}`", visible(issuer)),
            );
            if announced.is_none() {
                let what = "the refusal does not say where its metadata is";
                let advice = "send `WWW-Authenticate: Bearer resource_metadata=…` with each 401";
                examination.warned("challenge", Whose::ServerOperator, what, advice);
            }
        }
        None => {
            let found = ServerMetadata::find(&fetch, issuer, place.is_here()).await;
            if found.is_err() {
                let what = "it wants a login and publishes no metadata of where to get one";
                let advice = "publish `/.well-known/oauth-protected-resource` (RFC 9728) and name it in \
                              `WWW-Authenticate`";
                return Err(Fault::new("resource_metadata", Whose::ServerOperator, what, advice));
            }
            let what = "it publishes no resource metadata, and is its own authorization server";
            let advice = "publish `/.well-known/oauth-protected-resource` (RFC 9728)";
            examination.warned("resource_metadata", Whose::ServerOperator, what, advice);
        }
    }
    examination.looking("asking the authorization server");
    let server = ServerMetadata::find(&fetch, issuer, place.is_here()).await;
    let server = server.map_err(|error| issuer_fault(issuer, &error))?;
    examination.passed("authorization_server", format!("`{}` says what it is", visible(issuer)));
    examination.looking("looking at what it offers");
    offers(url, &server, home, examination).await
}

/// Whether a user can log in there.
async fn offers(
    url: &str,
    server: &ServerMetadata,
    home: &Home,
    examination: &mut Examination,
) -> Result<(), Fault> {
    let issuer = visible(&server.issuer).into_owned();
    let next = format!(
        "etdi validate-oauth --provider custom --client-id etdi --domain {}",
        quoted(&server.issuer)
    );
    let provider = |step, what: String, advice: &str| {
        Err(Fault::new(step, Whose::IdentityProvider, what, advice).next(next.clone()))
    };
    if server.authorization_endpoint.is_none() || server.token_endpoint.is_none() {
        let what = format!("`{issuer}` names no endpoint for logins or tokens");
        return provider("pkce", what, "publish `authorization_endpoint` and `token_endpoint`");
    }
    let methods = server.code_challenge_methods_supported.as_deref().unwrap_or_default();
    if !methods.iter().any(|method| method == "S256") {
        let what = format!("`{issuer}` does not say that it takes PKCE with S256");
        let advice = "publish `code_challenge_methods_supported` with `S256`; no client of MCP logs in \
                      without it";
        return provider("pkce", what, advice);
    }
    examination.passed("pkce", "it takes PKCE with S256");
    let registered = is_registered(&server.issuer, home).await;
    if registered.map_err(|failure| unopened("registration", failure))? {
        examination.passed("registration", "this client is registered there");
    } else if server.registration_endpoint.is_some() {
        examination.passed("registration", "it registers clients");
    } else if server.client_id_metadata_document_supported == Some(true) {
        let what = "it takes clients by their metadata document, and registers none";
        let advice = "give the URL of yours, or the id of a client that is registered there";
        examination.warned("registration", Whose::You, what, advice);
    } else {
        let what = format!("`{issuer}` registers no clients by itself, and none is known here");
        let advice = "register one by hand at the provider, and give its id when you log in";
        let next = format!("etdi auth login --client-id etdi {}", quoted(url));
        let fault = Fault::new("registration", Whose::IdentityProvider, what, advice);
        return Err(fault.exit(Exit::AuthenticationNeeded).next(next));
    }
    Ok(())
}

fn resource_fault(error: &OAuthError) -> Fault {
    let what = error.to_string();
    let advice = match error {
        OAuthError::OtherResource { .. } => {
            "publish as `resource` the URL that clients dial, letter by letter"
        }
        OAuthError::Fetch(FetchError::Forbidden { .. }) => {
            "name metadata at an address that clients may ask: `https`, and of the server's own origin"
        }
        _ => "publish the metadata of RFC 9728 where the refusal says that it is",
    };
    Fault::new("resource_metadata", Whose::ServerOperator, what, advice)
}

fn issuer_fault(issuer: &str, error: &OAuthError) -> Fault {
    let next = format!("curl -i {}", quoted(issuer));
    let (whose, advice, exit) = match error {
        OAuthError::Fetch(FetchError::Unreachable { .. }) => (
            Whose::IdentityProvider,
            "the server names it, and it is down or cannot be reached from here",
            Exit::Unreachable,
        ),
        OAuthError::Fetch(FetchError::Forbidden { .. }) => (
            Whose::ServerOperator,
            "name an issuer that clients may ask: `https`, at a public address",
            Exit::ProtocolViolation,
        ),
        OAuthError::OtherIssuer { .. } => (
            Whose::IdentityProvider,
            "its metadata has to name the issuer that the server names, letter by letter (RFC 8414, \
             section 3.3); one of the two is wrong",
            Exit::ProtocolViolation,
        ),
        OAuthError::Metadata { .. } => (
            Whose::IdentityProvider,
            "publish metadata of RFC 8414 or OpenID Connect Discovery; is it the issuer at all?",
            Exit::ProtocolViolation,
        ),
        _ => (Whose::IdentityProvider, "mend what it publishes", Exit::ProtocolViolation),
    };
    let fault = Fault::new("authorization_server", whose, error.to_string(), advice);
    fault.exit(exit).next(next)
}
