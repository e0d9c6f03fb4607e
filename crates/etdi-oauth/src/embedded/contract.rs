//! What every authorization server must do, as a function for whoever writes one.

use etdi_core::key::{AllowList, JwkSet};
use etdi_core::time::UnixTime;

use super::server::{AuthorizationServer, Credential, Grant, ServerError, TokenClaims, Wanted};

/// Holds an [`AuthorizationServer`] to what the trait says. `code` is one that the server has just
/// given for a client that may have refresh tokens; it is spent by this.
///
/// # Errors
///
/// The first thing that is not as it must be, in words.
pub async fn check_server(
    server: &dyn AuthorizationServer,
    code: &str,
    now: UnixTime,
) -> Result<(), String> {
    let told = |error: ServerError| error.to_string();
    let grant = spent_once(server, Credential::Code(code), now).await?;
    let client = server.client(&grant.client, now).await.map_err(told)?;
    let client = client.ok_or("the grant is of no client")?;
    let wanted = Wanted {
        client: &client,
        grant: Some(&grant),
        scopes: &grant.scopes,
        resource: &grant.resource,
        key: None,
    };
    let issued = server.issue(wanted, now).await.map_err(told)?;
    let access = claims(server, &issued.access_token, now).await?.ok_or("a new token is none")?;
    let lasts = access.expires_at.seconds().checked_sub(now.seconds());
    expect(lasts == Some(issued.expires_in), "a token lasts otherwise than it says")?;
    let same = access.client == grant.client
        && access.subject == grant.subject
        && access.scopes == grant.scopes
        && access.resource == grant.resource;
    expect(same && !access.refresh, "a token says something else than its grant")?;
    let over = claims(server, &issued.access_token, access.expires_at).await?;
    expect(over.is_none(), "a token outlives its time")?;

    let refresh = issued.refresh_token.ok_or("a client that may have one gets no refresh token")?;
    let held = claims(server, &refresh, now).await?.ok_or("a new refresh token is none")?;
    expect(held.refresh, "a refresh token says that it is none")?;
    let next = spent_once(server, Credential::RefreshToken(&refresh), now).await?;
    expect(next.id == grant.id, "a refresh token begins another grant")?;
    let issued = server.issue(Wanted { grant: Some(&next), ..wanted }, now).await.map_err(told)?;
    let renewed = issued.refresh_token.ok_or("a refresh token has no next one")?;
    expect(renewed != refresh, "a refresh token does not change")?;

    server.revoke(&access, now).await.map_err(told)?;
    let first = claims(server, &issued.access_token, now).await?;
    expect(first.is_some(), "taking one token back takes another")?;
    server.revoke_grant(&grant.id, now).await.map_err(told)?;
    for token in [&issued.access_token, &renewed] {
        expect(claims(server, token, now).await?.is_none(), "a token outlives its grant")?;
    }
    let gone = server.grant(Credential::RefreshToken(&renewed), now).await.map_err(told)?;
    expect(gone.is_none_or(|held| held.spent), "a refresh token outlives its grant")?;
    others(server, code, now).await
}

/// Spends what must be good exactly once.
async fn spent_once(
    server: &dyn AuthorizationServer,
    credential: Credential<'_>,
    now: UnixTime,
) -> Result<Grant, String> {
    let told = |error: ServerError| error.to_string();
    let held = || async { server.grant(credential, now).await.map_err(told) };
    let fresh = held().await?.ok_or("what was just given is unknown")?;
    expect(!fresh.spent, "what was just given is spent")?;
    expect(held().await?.is_some_and(|held| !held.spent), "looking at it spends it")?;
    let grant = server.spend(credential, None, now).await.map_err(told)?;
    let grant = grant.ok_or("what is good cannot be spent")?;
    let again = server.spend(credential, None, now).await.map_err(told)?;
    expect(again.is_none(), "a thing is spent twice")?;
    expect(held().await?.is_some_and(|held| held.spent), "what was spent does not say so")?;
    Ok(grant)
}

async fn others(server: &dyn AuthorizationServer, code: &str, now: UnixTime) -> Result<(), String> {
    let told = |error: ServerError| error.to_string();
    for credential in [Credential::Code("made-up"), Credential::RefreshToken("made.up")] {
        let held = server.grant(credential, now).await.map_err(told)?;
        expect(held.is_none(), "what was made up stands for something")?;
        let spent = server.spend(credential, None, now).await.map_err(told)?;
        expect(spent.is_none(), "what was made up can be spent")?;
    }
    expect(claims(server, "made-up", now).await?.is_none(), "a token that was made up is one")?;
    let nobody = server.client("made-up", now).await.map_err(told)?;
    expect(nobody.is_none(), "an id that was made up is a client")?;
    let (name, until) = (format!("contract {code}"), now.plus(60));
    let first = || server.first_use(&name, until, now);
    expect(first().await.map_err(told)?, "a first use is none")?;
    expect(!first().await.map_err(told)?, "a second use is a first")?;
    let keys = JwkSet::read(&server.jwks(now), AllowList::IDENTITY_PROVIDER);
    expect(keys.is_ok(), "the keys are no set of public keys")
}

async fn claims(
    server: &dyn AuthorizationServer,
    token: &str,
    now: UnixTime,
) -> Result<Option<TokenClaims>, String> {
    server.token(token, now).await.map_err(|error| error.to_string())
}

fn expect(held: bool, what: &str) -> Result<(), String> {
    if held { Ok(()) } else { Err(what.to_owned()) }
}
