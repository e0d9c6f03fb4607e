//! Dynamic registration (RFC 7591): bounded in what is taken, in number and in rate.

use etdi_core::ijson::{Document, Limits, Value};
use etdi_core::time::UnixTime;
use http::StatusCode;
use serde_json::json;

use super::client::{Authentication, Client, Source};
use super::refusal::Refusal;
use super::routes::{Answer, Shared, private};
use super::seal::{random, sha256};

/// Registers a client.
pub(super) async fn serve(shared: &Shared, body: &[u8], now: UnixTime) -> Result<Answer, Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| Refusal::ClientMetadata("(not UTF-8)"))?;
    let said = Document::parse(text, Limits::STATEMENT);
    let said = said.map_err(|_| Refusal::ClientMetadata("(not strict JSON)"))?;
    let secret = random()?;
    let digest = sha256(&secret);
    let client = Client::read(random()?, said.root(), Some(&digest), Source::Registered)?;
    let known = |scope: &String| shared.settings.scopes.contains(scope);
    if client.scopes.as_ref().is_some_and(|scopes| !scopes.iter().all(known)) {
        return Err(Refusal::ClientMetadata("scope"));
    }
    // Counted when there is nothing else against it: mistakes cost nobody a place.
    if !shared.registrations.take(now) {
        return Err(Refusal::TooMany);
    }
    shared.server.register(&client, now).await?;
    let mut answer = json!({
        "client_id": client.id,
        "client_id_issued_at": now.seconds(),
        "redirect_uris": client.redirect_uris,
        "grant_types": client.grants,
        "response_types": ["code"],
        "token_endpoint_auth_method": client.authentication.method(),
        "dpop_bound_access_tokens": client.dpop,
    });
    if let Some(answer) = answer.as_object_mut() {
        if let Some(name) = client.name {
            answer.insert("client_name".to_owned(), name.into());
        }
        if let Some(scopes) = client.scopes {
            answer.insert("scope".to_owned(), scopes.join(" ").into());
        }
        if let Some(kind) = said.root().get("application_type").and_then(Value::as_str) {
            answer.insert("application_type".to_owned(), kind.into());
        }
        if let Authentication::Secret { .. } = client.authentication {
            answer.insert("client_secret".to_owned(), secret.into());
            answer.insert("client_secret_expires_at".to_owned(), 0.into());
        }
    }
    Ok(private(StatusCode::CREATED, &answer))
}
