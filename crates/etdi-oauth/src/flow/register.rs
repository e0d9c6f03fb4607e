//! What a client says of itself: its metadata document, and registration (RFC 7591).

use etdi_core::time::UnixTime;
use serde::{Deserialize, Serialize};

use super::{ClientAuthentication, OAuthError, RegisteredClient};
use crate::web::{checked, is_loopback, object, shown};
use crate::{Fetch, FetchRequest, Method, SecretText, ServerMetadata};

/// The most bytes of an answer to a registration.
const MAX_ANSWER: usize = 64 << 10;

/// Where a client runs (OpenID Connect Registration, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ApplicationType {
    /// On the user's computer.
    Native,
    /// Behind a host of its own.
    Web,
}

/// What a client says of itself, for a client id metadata document or a registration.
///
/// ```
/// use etdi_oauth::ClientMetadata;
///
/// let mut metadata = ClientMetadata::new("Example client", ["http://127.0.0.1/callback"]);
/// metadata.client_id = Some("https://app.example/client.json".to_owned());
/// // To be served at that very URL.
/// assert!(metadata.to_json().contains(r#""application_type":"native""#));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClientMetadata {
    /// The URL of the document, in a document only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// What users are shown.
    pub client_name: String,
    /// A page about the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<String>,
    /// Where answers may be sent.
    pub redirect_uris: Vec<String>,
    /// Where it runs.
    pub application_type: ApplicationType,
    /// The grants that it uses.
    pub grant_types: Vec<String>,
    /// The answers that it wants.
    pub response_types: Vec<String>,
    /// How it shows who it is.
    pub token_endpoint_auth_method: String,
}

impl ClientMetadata {
    /// A public client that sends users to log in, and renews its tokens.
    pub fn new(
        name: impl Into<String>,
        redirect_uris: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let redirect_uris: Vec<String> = redirect_uris.into_iter().map(Into::into).collect();
        let web = |uri: &String| checked(uri, true).is_ok_and(|url| !is_loopback(&url));
        let application_type = match redirect_uris.iter().any(web) {
            true => ApplicationType::Web,
            false => ApplicationType::Native,
        };
        Self {
            client_id: None,
            client_name: name.into(),
            client_uri: None,
            redirect_uris,
            application_type,
            grant_types: vec!["authorization_code".to_owned(), "refresh_token".to_owned()],
            response_types: vec!["code".to_owned()],
            token_endpoint_auth_method: "none".to_owned(),
        }
    }

    /// The document.
    pub fn to_json(&self) -> String {
        // Texts and lists of texts always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A registration as it is kept: whom it is with, and for which redirect URIs.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) client: RegisteredClient,
    pub(crate) redirect_uris: Vec<String>,
    /// When the secret ends, if it does.
    pub(crate) expires: Option<UnixTime>,
}

#[derive(Deserialize)]
struct Answer {
    client_id: String,
    client_secret: Option<SecretText>,
    client_secret_expires_at: Option<u64>,
    token_endpoint_auth_method: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    error_description: Option<String>,
}

/// Registers a client with `server`.
///
/// # Errors
///
/// When the server does not register clients, refuses, or answers with something else.
pub(crate) async fn register(
    fetch: &dyn Fetch,
    server: &ServerMetadata,
    mut metadata: ClientMetadata,
) -> Result<Registration, OAuthError> {
    let url = server.endpoint("registration_endpoint", &server.registration_endpoint)?;
    let failed = |why: String| OAuthError::Registration { issuer: shown(&server.issuer), why };
    let method = ["none", "client_secret_basic", "client_secret_post"]
        .into_iter()
        .find(|method| server.takes_method(method));
    let method = method.ok_or_else(|| {
        server.not_offered("a method by which a registered client can show who it is")
    })?;
    metadata.client_id = None;
    method.clone_into(&mut metadata.token_endpoint_auth_method);
    let mut request = FetchRequest::get(url);
    request.method = Method::Post;
    request.most_bytes = MAX_ANSWER;
    for (name, value) in [("accept", "application/json"), ("content-type", "application/json")] {
        request.headers.push((name.to_owned(), value.to_owned()));
    }
    request.body = metadata.to_json().into_bytes();
    let answer = fetch.fetch(request).await?;
    if !matches!(answer.status, 200 | 201) {
        return Err(failed(match object::<Refusal>(&answer.body) {
            Ok(Refusal { error, error_description: None }) => shown(&error),
            Ok(Refusal { error, error_description: Some(text) }) => {
                format!("{}: {}", shown(&error), shown(&text))
            }
            Err(_) => format!("it answered with status {}", answer.status),
        }));
    }
    let answer: Answer =
        object(&answer.body).map_err(|_| failed("its answer is no registration".to_owned()))?;
    let plain = |byte: u8| (0x20..=0x7e).contains(&byte);
    if answer.client_id.is_empty() || !answer.client_id.bytes().all(plain) {
        return Err(failed("the id that it gives is none".to_owned()));
    }
    // The server may choose otherwise than it was asked.
    let method = answer.token_endpoint_auth_method.as_deref().unwrap_or(method);
    let authentication = match (method, answer.client_secret) {
        ("none", _) | ("client_secret_basic" | "client_secret_post", None) => {
            ClientAuthentication::None
        }
        ("client_secret_basic", Some(secret)) => ClientAuthentication::SecretBasic(secret),
        ("client_secret_post", Some(secret)) => ClientAuthentication::SecretPost(secret),
        (other, _) => return Err(failed(format!("it wants the method `{}`", shown(other)))),
    };
    let expires = answer.client_secret_expires_at.filter(|at| *at != 0).map(UnixTime);
    let client = RegisteredClient::new(&server.issuer, answer.client_id, authentication);
    Ok(Registration { client, redirect_uris: metadata.redirect_uris, expires })
}
