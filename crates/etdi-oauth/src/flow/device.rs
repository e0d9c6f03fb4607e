//! A login on another device (RFC 8628): a code is shown here and typed in there.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::endpoint::Form;
use super::{OAuthError, TokenEndpoint};
use crate::SecretText;
use crate::client::InteractionError;
use crate::token::Tokens;
use crate::web::{checked, object};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The most seconds that a code counts, whatever the issuer says, and those between two questions.
const MAX_LIFE: u64 = 1_800;
const INTERVAL: u64 = 5;
const MAX_INTERVAL: u64 = 60;

/// What a user has to be shown.
#[derive(Clone)]
#[non_exhaustive]
pub struct DeviceCode {
    /// Where the user goes.
    pub verification_uri: String,
    /// The same with the code in it, where the issuer offers that.
    pub verification_uri_complete: Option<String>,
    /// What the user types in there.
    pub user_code: String,
    device_code: SecretText,
    expires_in: u64,
    interval: u64,
    resource: String,
    scopes: Vec<String>,
}

impl fmt::Debug for DeviceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceCode({})", self.verification_uri)
    }
}

#[derive(Deserialize)]
struct Answer {
    device_code: SecretText,
    user_code: String,
    #[serde(alias = "verification_url")]
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

/// Asks for a code.
pub(crate) async fn begin(
    endpoint: &TokenEndpoint,
    resource: &str,
    scopes: &[String],
) -> Result<DeviceCode, OAuthError> {
    let server = &endpoint.server;
    let url =
        server.endpoint("device_authorization_endpoint", &server.device_authorization_endpoint)?;
    let mut form = Form::new();
    form.put_target(&endpoint.client.dialect, resource, scopes);
    let answer = endpoint.send(url, &form, None).await?;
    if answer.status != 200 {
        return Err(endpoint.refusal(&answer));
    }
    let answer: Answer = object(&answer.body)
        .map_err(|_| endpoint.bad("it is no answer with a code for another device"))?;
    for url in [Some(&answer.verification_uri), answer.verification_uri_complete.as_ref()] {
        if let Some(Err(why)) = url.map(|url| checked(url, true)) {
            return Err(endpoint.bad(format!("the page for the code cannot be shown: {why}")));
        }
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b' ';
    let user_code = answer.user_code;
    if user_code.is_empty() || user_code.len() > 64 || !user_code.bytes().all(plain) {
        return Err(endpoint.bad("the code for the other device cannot be shown"));
    }
    Ok(DeviceCode {
        verification_uri: answer.verification_uri,
        verification_uri_complete: answer.verification_uri_complete,
        user_code,
        device_code: answer.device_code,
        expires_in: answer.expires_in.min(MAX_LIFE),
        interval: answer.interval.unwrap_or(INTERVAL).clamp(1, MAX_INTERVAL),
        resource: resource.to_owned(),
        scopes: scopes.to_vec(),
    })
}

/// Waits until the user has logged in.
pub(crate) async fn wait(
    endpoint: &TokenEndpoint,
    code: &DeviceCode,
) -> Result<Tokens, OAuthError> {
    let mut form = Form::new();
    form.put("grant_type", GRANT);
    form.put("device_code", code.device_code.expose());
    form.put_target(&endpoint.client.dialect, &code.resource, &[]);
    let until = endpoint.now().plus(code.expires_in);
    let mut interval = code.interval;
    loop {
        tokio::time::sleep(Duration::from_secs(interval)).await;
        if endpoint.now() >= until {
            return Err(InteractionError::Late.into());
        }
        match endpoint.grant(&form, &code.scopes).await {
            Err(OAuthError::Refused { error, .. }) if error == "authorization_pending" => {}
            Err(OAuthError::Refused { error, .. }) if error == "slow_down" => {
                interval = interval.saturating_add(5).min(MAX_INTERVAL);
            }
            // RFC 8628, section 3.5: a connection that timed out is no answer.
            Err(OAuthError::Fetch(_)) => {
                interval = interval.saturating_mul(2).min(MAX_INTERVAL);
            }
            other => return other,
        }
    }
}

impl DeviceCode {
    /// What a user is to read, in one text.
    pub fn to_text(&self) -> String {
        format!(
            "Open {} on any device and type in the code {}",
            self.verification_uri, self.user_code
        )
    }
}
