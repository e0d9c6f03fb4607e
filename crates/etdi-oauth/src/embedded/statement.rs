//! Statements about definitions, which a client has signed by a token exchange (RFC 8693): no token
//! comes of it.

use etdi_core::endorsement::EndorsementRequest;
use etdi_core::wire::{DEFINITION_AUDIENCE, StatementType, UNSIGNED};
use http::StatusCode;
use serde_json::{Value, json};

use super::client::Source;
use super::refusal::Refusal;
use super::routes::{Answer, private};
use super::token::Request;

/// Answers a client that wants one signed.
pub(super) async fn serve(request: &Request<'_>) -> Result<Answer, Refusal> {
    let (form, now, settings) = (request.form, request.now, &request.shared.settings);
    let bounds = request.client.endorsed.as_ref();
    let configured =
        request.client.source == Source::Configured && request.client.is_confidential();
    let bounds = bounds.filter(|_| configured).ok_or(Refusal::ClientGrantType)?;
    let own = settings.provider().ok_or(Refusal::GrantType)?;

    let wanted = form.need("requested_token_type")?;
    let kinds = [StatementType::Tool, StatementType::Manifest];
    let kind = kinds.into_iter().find(|kind| kind.token_type() == Some(wanted));
    let kind = kind.ok_or(Refusal::NoStatement)?;
    let audience = form.get("audience").is_none_or(|audience| audience == DEFINITION_AUDIENCE);
    if !audience || form.need("subject_token_type")? != UNSIGNED {
        return Err(Refusal::NoStatement);
    }
    let asked = EndorsementRequest::read(kind, form.need("subject_token")?);
    let asked = asked.map_err(Refusal::Statement)?;
    let same = |details: &str| {
        let read = |text: &str| serde_json::from_str::<Value>(text).ok();
        let about = asked.authorization_details().ok();
        about.is_some_and(|about| read(details).is_some_and(|one| Some(one) == read(&about)))
    };
    if form.get("authorization_details").is_some_and(|details| !same(details)) {
        return Err(Refusal::Details);
    }
    asked.check(&own, bounds, now).map_err(Refusal::Statement)?;
    request.first_proof().await?;
    let server = &request.shared.server;
    let signed = server.endorse(&asked, settings.statement_lifetime, now).await?;
    let answer = json!({
        "access_token": signed.ok_or(Refusal::GrantType)?,
        "issued_token_type": wanted,
        "token_type": "N_A",
    });
    Ok(private(StatusCode::OK, &answer))
}
