//! Taking tokens back (RFC 7009) and asking about them (RFC 7662).

use bytes::Bytes;
use etdi_core::time::UnixTime;
use http::{HeaderMap, StatusCode};
use http_body_util::Full;
use serde_json::json;

use super::authenticate::authenticate;
use super::client::Source;
use super::form::Form;
use super::refusal::Refusal;
use super::routes::{Answer, Shared, private};
use super::server::TokenClaims;

/// Takes a token back, if it is one and the client's own.
pub(super) async fn revoke(
    shared: &Shared,
    headers: &HeaderMap,
    form: &Form,
    now: UnixTime,
) -> Result<Answer, Refusal> {
    let client = authenticate(shared, headers, form, now).await?;
    if let Some(claims) = shared.server.token(form.need("token")?, now).await? {
        if claims.client != client.id {
            return Err(Refusal::OtherClient("token"));
        }
        shared.server.revoke(&claims, now).await?;
    }
    Ok(Answer::new(Full::new(Bytes::new())))
}

/// Says what a token is worth, to whom it may be said: the operator's own clients, and the one that it
/// was issued to. To others no token is worth anything, so that nobody can try what was found. A refresh
/// token is worth something to its client alone: a resource server that was shown one and told that it
/// holds would take it for an access token.
pub(super) async fn introspect(
    shared: &Shared,
    headers: &HeaderMap,
    form: &Form,
    now: UnixTime,
) -> Result<Answer, Refusal> {
    let client = authenticate(shared, headers, form, now).await?;
    if !client.is_confidential() {
        return Err(Refusal::NotYours);
    }
    let claims = shared.server.token(form.need("token")?, now).await?;
    let told = |claims: &TokenClaims| {
        claims.client == client.id || client.source == Source::Configured && !claims.refresh
    };
    let Some(claims) = claims.filter(told) else {
        return Ok(private(StatusCode::OK, &json!({ "active": false })));
    };
    let mut answer = json!({
        "active": true,
        "iss": shared.settings.issuer(),
        "sub": claims.subject,
        "aud": claims.resource,
        "client_id": claims.client,
        "scope": claims.scopes.join(" "),
        "iat": claims.issued_at.seconds(),
        "exp": claims.expires_at.seconds(),
        "jti": claims.id,
    });
    if let Some(answer) = answer.as_object_mut() {
        let kind = match (claims.refresh, &claims.key) {
            (true, _) => "refresh_token",
            (false, Some(_)) => "DPoP",
            (false, None) => "Bearer",
        };
        answer.insert("token_type".to_owned(), kind.into());
        if let Some(key) = claims.key {
            answer.insert("cnf".to_owned(), json!({ "jkt": key }));
        }
    }
    Ok(private(StatusCode::OK, &answer))
}
