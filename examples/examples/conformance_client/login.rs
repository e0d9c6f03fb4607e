//! How the client under the suite logs in: as the scenario says, with a user who says yes at once.

use std::env;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use etdi_core::key::SigningKey;
use etdi_oauth::{
    AskWith, AuthorizationUrl, GuardedFetch, InteractionError, OAuthClient, RegisteredClient,
    ResourceMetadata, Rules, SecretText,
};
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

/// What a scenario gives.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Given {
    client_id: String,
    client_secret: Option<SecretText>,
    private_key_pem: Option<SecretText>,
    idp_client_id: String,
    idp_id_token: Option<SecretText>,
    idp_issuer: String,
    valid_jwt: Option<SecretText>,
}

pub(crate) async fn client(url: &str, scenario: &str) -> anyhow::Result<OAuthClient> {
    let given = match env::var("MCP_CONFORMANCE_CONTEXT") {
        Ok(text) => serde_json::from_str::<Given>(&text)?,
        Err(_) => Given::default(),
    };
    let builder = match scenario {
        "auth/client-credentials-basic" => OAuthClient::service(url, known(url, given).await?),
        "auth/client-credentials-jwt" => OAuthClient::service(url, known(url, given).await?),
        "auth/enterprise-managed-authorization" => {
            let provider = RegisteredClient::public(&given.idp_issuer, &given.idp_client_id);
            let id_token = given.idp_id_token.clone().context("no ID token is given")?;
            OAuthClient::enterprise(url, known(url, given).await?, provider, id_token)
        }
        "auth/wif-jwt-bearer" => {
            let token = given.valid_jwt.clone().context("no token is given")?;
            OAuthClient::workload(url, known(url, given).await?, token)
        }
        "auth/pre-registration" => interactive(url).registered(known(url, given).await?),
        _ => interactive(url),
    };
    Ok(builder.name("Conformance client").build()?)
}

fn interactive(url: &str) -> etdi_oauth::OAuthClientBuilder {
    OAuthClient::interactive(url, AskWith::new("http://127.0.0.1:8099/callback", says_yes))
        .client_metadata_url("https://conformance-test.local/client-metadata.json")
}

/// The client that the suite registered. It does not say with whom, so that is whoever the server
/// names; outside a test that is what nobody should believe.
async fn known(url: &str, given: Given) -> anyhow::Result<RegisteredClient> {
    let mut rules = Rules::default();
    rules.loopback = true;
    let metadata = ResourceMetadata::find(&GuardedFetch::new(rules), url, None).await?;
    let issuers = metadata.and_then(|metadata| metadata.authorization_servers);
    let issuer = issuers.unwrap_or_default().into_iter().next().context("no issuer is named")?;
    Ok(match (given.client_secret, given.private_key_pem) {
        (Some(secret), _) => RegisteredClient::with_secret(issuer, given.client_id, secret),
        (None, Some(pem)) => {
            let key = SigningKey::from_pkcs8_pem(pem.expose())?;
            RegisteredClient::with_key(issuer, given.client_id, Arc::new(key))
        }
        (None, None) => RegisteredClient::public(issuer, given.client_id),
    })
}

/// A user who follows the page at once, as far as it leads back here.
async fn says_yes(url: AuthorizationUrl) -> Result<String, InteractionError> {
    let failed = |error: String| InteractionError::Unavailable(error);
    let http = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let uri = url.as_str().parse().map_err(|_| failed("the page has no URL".to_owned()))?;
    let answer = http.get(uri).await.map_err(|error| failed(error.to_string()))?;
    let location = answer.headers().get("location").and_then(|one| one.to_str().ok());
    location.map(str::to_owned).ok_or_else(|| failed(format!("it answered {}", answer.status())))
}
