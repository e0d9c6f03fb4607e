//! What the server says about itself (RFC 8414; OpenID Connect Discovery).

use etdi_core::key::Algorithm;
use etdi_core::wire::DETAILS;
use serde_json::json;

use super::client::GrantType;
use super::settings::Settings;

/// The metadata document.
pub(super) fn of(settings: &Settings) -> String {
    let methods = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];
    let confidential = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
    let algorithms = Algorithm::ALL.map(Algorithm::name);
    let mut document = json!({
        "issuer": settings.issuer(),
        "authorization_endpoint": settings.endpoint("/authorize"),
        "token_endpoint": settings.endpoint("/token"),
        "jwks_uri": settings.endpoint("/jwks"),
        "introspection_endpoint": settings.endpoint("/introspect"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": confidential,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "code_challenge_methods_supported": ["S256"],
        "dpop_signing_alg_values_supported": algorithms,
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": settings.metadata_documents,
        "protected_resources": settings.resources,
        "subject_types_supported": ["public"],
    });
    if let Some(document) = document.as_object_mut() {
        if !settings.scopes.is_empty() {
            document.insert("scopes_supported".to_owned(), json!(settings.scopes));
        }
        if settings.registration {
            let url = settings.endpoint("/register");
            document.insert("registration_endpoint".to_owned(), url.into());
        }
        if settings.statement_lifetime > 0 {
            document.insert("authorization_details_types_supported".to_owned(), json!([DETAILS]));
            let grants = document.get_mut("grant_types_supported");
            if let Some(grants) = grants.and_then(serde_json::Value::as_array_mut) {
                grants.push(json!(GrantType::TokenExchange));
            }
        }
        if settings.revocation {
            let url = settings.endpoint("/revoke");
            document.insert("revocation_endpoint".to_owned(), url.into());
            let name = "revocation_endpoint_auth_methods_supported";
            document.insert(name.to_owned(), json!(methods));
        }
    }
    document.to_string()
}
