//! The authorization endpoint (RFC 6749, section 3.1; RFC 7636, 8707 and 9207).

use etdi_core::key::KeyId;
use etdi_core::time::UnixTime;
use http::header::{
    CONTENT_SECURITY_POLICY, COOKIE, HeaderName, LOCATION, REFERRER_POLICY, SET_COOKIE,
    X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use url::{Url, form_urlencoded};

use super::client::{Client, GrantType, Source};
use super::form::Form;
use super::page;
use super::refusal::Refusal;
use super::routes::{Answer, Shared, text_of};
use super::seal::decode;
use super::server::{AuthorizationRequest, Return, Returned, Verdict, Visit};

/// Where users come back to who logged in elsewhere.
pub(super) const CALLBACK: &str = "/callback/";

/// Answers a browser.
pub(super) async fn serve(
    shared: &Shared,
    parts: &Parts,
    sent: Option<&[u8]>,
    foreign: bool,
    now: UnixTime,
) -> Answer {
    match visit(shared, parts, sent, foreign, now).await {
        Ok(answer) => answer,
        // Whoever wrote this request may not choose where the user goes.
        Err(refusal) => shown(&refusal),
    }
}

async fn visit(
    shared: &Shared,
    parts: &Parts,
    sent: Option<&[u8]>,
    foreign: bool,
    now: UnixTime,
) -> Result<Answer, Refusal> {
    if foreign {
        return Err(Refusal::Origin);
    }
    let form = Form::read(parts.uri.query().unwrap_or_default().as_bytes())?;
    let answer = sent.map(Form::read).transpose()?;
    let client = shared.client(form.need("client_id")?, now).await?;
    let back = match (form.get("redirect_uri"), &client.redirect_uris[..]) {
        (Some(uri), _) if client.allows(uri) => uri.to_owned(),
        (None, [only]) => only.clone(),
        _ => return Err(Refusal::Redirect),
    };
    let state = form.get("state");
    let request = match request(shared, &client, &form, &back) {
        Ok(request) => request,
        // A stranger may have registered any place at all: sending users there without having asked
        // them would make this server a redirector (RFC 9700, section 4.11.2).
        Err(refusal) if is_trusted(&client, &back) => {
            return Ok(redirect(shared, &back, state, Err(&refusal)));
        }
        Err(refusal) => return Err(refusal),
    };
    let action = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let cookie = cookie(parts, shared.settings.is_secure());
    let (request, answer) = (&request, answer.as_ref());
    let visit = Visit { request, client: &client, action, cookie, answer };
    let verdict = shared.server.authorize(visit, now).await?;
    follow(shared, verdict, &back, state, answer.is_some())
}

/// Answers a browser that comes back from a login elsewhere.
pub(super) async fn returned(shared: &Shared, parts: &Parts, now: UnixTime) -> Answer {
    match landed(shared, parts, now).await {
        Ok(answer) => answer,
        // As above: what came may be from anybody.
        Err(refusal) => shown(&refusal),
    }
}

async fn landed(shared: &Shared, parts: &Parts, now: UnixTime) -> Result<Answer, Refusal> {
    let path = parts.uri.path().strip_prefix(shared.settings.base());
    let upstream = path.and_then(|path| path.strip_prefix(CALLBACK)).ok_or(Refusal::Nothing)?;
    let query = parts.uri.query().unwrap_or_default();
    let cookie = cookie(parts, shared.settings.is_secure());
    let back = Return { upstream, query, cookie };
    let returned = shared.server.returned(back, now).await?.ok_or(Refusal::Consent)?;
    let Returned { client, request, verdict } = returned;
    // A client may have gone, or changed, while the user was away.
    let client = shared.client(&client, now).await?;
    if !client.allows(&request.redirect_uri) {
        return Err(Refusal::Redirect);
    }
    follow(shared, verdict, &request.redirect_uri, request.state.as_deref(), false)
}

fn follow(
    shared: &Shared,
    verdict: Verdict,
    back: &str,
    state: Option<&str>,
    posted: bool,
) -> Result<Answer, Refusal> {
    Ok(match verdict {
        Verdict::Page(page) => {
            let mut answer = document(StatusCode::OK, page.html, Some(back));
            if let Some(cookie) = page.cookie.filter(|cookie| is_cookie(cookie)) {
                let set = match shared.settings.is_secure() {
                    true => format!("{SECURE}={cookie}; Path=/; Secure; HttpOnly; SameSite=Lax"),
                    false => format!("{PLAIN}={cookie}; Path=/; HttpOnly; SameSite=Lax"),
                };
                insert(&mut answer, SET_COOKIE, &set);
            }
            answer
        }
        Verdict::Code(code) => redirect(shared, back, state, Ok(&code)),
        Verdict::Denied => redirect(shared, back, state, Err(&Refusal::Denied)),
        Verdict::Refused(refusal) => redirect(shared, back, state, Err(&refusal)),
        Verdict::Stale => return Err(Refusal::Consent),
        // Browsers hold every redirect that follows a form to the policy of its page, and where a
        // provider sends its users on the way is its own business.
        Verdict::Elsewhere(url) if posted => document(StatusCode::OK, page::onward(&url), None),
        Verdict::Elsewhere(url) => {
            let mut answer = document(StatusCode::SEE_OTHER, String::new(), None);
            insert(&mut answer, LOCATION, &url);
            answer
        }
    })
}

fn request(
    shared: &Shared,
    client: &Client,
    form: &Form,
    back: &str,
) -> Result<AuthorizationRequest, Refusal> {
    if form.need("response_type")? != "code" {
        return Err(Refusal::ResponseType);
    }
    if form.get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(Refusal::ResponseMode);
    }
    if !client.grants.contains(&GrantType::AuthorizationCode) {
        return Err(Refusal::ClientGrantType);
    }
    let challenge = form.get("code_challenge").ok_or(Refusal::ChallengeMissing)?;
    if form.get("code_challenge_method") != Some("S256") {
        return Err(Refusal::ChallengePlain);
    }
    if decode(challenge).is_none_or(|digest| digest.len() != 32) {
        return Err(Refusal::Challenge);
    }
    let resource = shared.settings.resource(form.get("resource")).ok_or(Refusal::Target)?;
    let key: Option<KeyId> = match form.get("dpop_jkt") {
        Some(key) => Some(key.parse().map_err(|_| Refusal::Proof("`dpop_jkt` is no thumbprint"))?),
        None => None,
    };
    Ok(AuthorizationRequest {
        redirect_uri: back.to_owned(),
        state: form.get("state").map(str::to_owned),
        challenge: challenge.to_owned(),
        scopes: shared.scopes(client, form.get("scope"))?,
        resource: resource.to_owned(),
        key,
    })
}

fn is_trusted(client: &Client, back: &str) -> bool {
    client.source == Source::Configured || back.starts_with("http://")
}

const SECURE: &str = "__Host-etdi-consent";
const PLAIN: &str = "etdi-consent";

fn cookie(parts: &Parts, secure: bool) -> Option<&str> {
    let name = if secure { SECURE } else { PLAIN };
    let all = parts.headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(known, _)| known.trim() == name);
    found.map(|(_, value)| value.trim()).filter(|value| is_cookie(value))
}

fn is_cookie(value: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !value.is_empty() && value.len() <= 1_024 && value.bytes().all(fits)
}

/// Sends the user back (RFC 6749, section 4.1.2; RFC 9207). 303, so that nothing is sent again.
fn redirect(
    shared: &Shared,
    back: &str,
    state: Option<&str>,
    outcome: Result<&str, &Refusal>,
) -> Answer {
    let mut query = form_urlencoded::Serializer::new(String::new());
    match outcome {
        Ok(code) => drop(query.append_pair("code", code)),
        Err(refusal) => {
            query.append_pair("error", refusal.code());
            query.append_pair("error_description", &refusal.description());
        }
    }
    if let Some(state) = state {
        query.append_pair("state", state);
    }
    query.append_pair("iss", shared.settings.issuer());
    let joint = if back.contains('?') { '&' } else { '?' };
    let mut answer = document(StatusCode::SEE_OTHER, String::new(), None);
    insert(&mut answer, LOCATION, &format!("{back}{joint}{}", query.finish()));
    answer
}

fn shown(refusal: &Refusal) -> Answer {
    let status = match refusal.status() {
        // A browser would ask for a password.
        StatusCode::UNAUTHORIZED => StatusCode::BAD_REQUEST,
        status => status,
    };
    document(status, page::refused(&refusal.description()), None)
}

/// A page that no script runs on, nobody frames, and whose form leads nowhere but here and back.
fn document(status: StatusCode, html: String, back: Option<&str>) -> Answer {
    let mut answer = text_of(status, "text/html; charset=utf-8", html);
    // Browsers hold what follows a form to this as well.
    let back = back.and_then(|uri| Url::parse(uri).ok());
    let back = back.map(|url| format!(" {}", url.origin().ascii_serialization()));
    let policy = format!(
        "default-src 'none'; form-action 'self'{}; frame-ancestors 'none'; base-uri 'none'",
        back.unwrap_or_default()
    );
    insert(&mut answer, CONTENT_SECURITY_POLICY, &policy);
    insert(&mut answer, X_FRAME_OPTIONS, "DENY");
    // With `no-referrer` a browser would not say that the form is from here.
    insert(&mut answer, REFERRER_POLICY, "same-origin");
    answer
}

fn insert(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        answer.headers_mut().insert(name, value);
    }
}
