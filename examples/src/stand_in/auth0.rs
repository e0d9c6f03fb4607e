//! Auth0, played on this machine: one tenant with one API and one application.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::{Asked, Desk, Form, Login, Vendor, answer, document, proves, random, serve};

/// The application's id.
pub const CLIENT_ID: &str = "2TZsZnUkkEWGcDAAyBp9rQ7Tk7yQ8j2x";
/// A client secret that nobody has.
pub const SECRET: &str = "a-client-secret-of-the-demo-that-nobody-has";
/// The identifier of the API.
pub const AUDIENCE: &str = "https://echo.example/api";
/// The scopes of the API, all of which the application was granted.
const SCOPES: &str = "echo:admin";

/// A tenant that is played.
pub struct Auth0 {
    origin: String,
    desk: Desk,
}

impl Auth0 {
    /// Plays it as long as the runtime runs.
    ///
    /// # Errors
    ///
    /// When nothing can listen on this machine.
    pub async fn start() -> anyhow::Result<Arc<Self>> {
        let desk = Desk::new()?;
        serve(|origin| Self { origin, desk }).await
    }

    /// What stands for the tenant's domain.
    pub fn domain(&self) -> &str {
        &self.origin
    }

    /// How many times a person signed in.
    pub fn logins(&self) -> usize {
        self.desk.logins.load(Ordering::Relaxed)
    }

    /// <https://auth0.com/docs/get-started/applications/configure-applications-with-oidc-discovery>.
    fn configuration(&self) -> Response {
        let Self { origin, .. } = self;
        document(&json!({
            "issuer": format!("{origin}/"),
            "authorization_endpoint": format!("{origin}/authorize"),
            "token_endpoint": format!("{origin}/oauth/token"),
            "device_authorization_endpoint": format!("{origin}/oauth/device/code"),
            "userinfo_endpoint": format!("{origin}/userinfo"),
            "jwks_uri": format!("{origin}/.well-known/jwks.json"),
            "registration_endpoint": format!("{origin}/oidc/register"),
            "revocation_endpoint": format!("{origin}/oauth/revoke"),
            "scopes_supported": ["openid", "profile", "offline_access", "name", "email"],
            "response_types_supported": ["code", "token", "id_token", "code token"],
            "code_challenge_methods_supported": ["S256", "plain"],
            "token_endpoint_auth_methods_supported":
                ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        }))
    }

    /// <https://auth0.com/docs/get-started/authentication-and-authorization-flow/authorization-code-flow-with-pkce/call-your-api-using-the-authorization-code-flow-with-pkce>.
    fn authorize(&self, asked: &Form) -> Response {
        if asked.get("client_id") != CLIENT_ID {
            return refused("invalid_request", "Unknown client");
        }
        let redirect = url::Url::parse(asked.get("redirect_uri"));
        let allowed = redirect.is_ok_and(|uri| {
            uri.host_str() == Some("127.0.0.1")
                && uri.port() == Some(3_000)
                && uri.path() == "/callback"
        });
        if !allowed {
            return refused("unauthorized_client", "Callback URL mismatch");
        }
        match asked.get("code_challenge_method") {
            "S256" => self.desk.sign_in(asked),
            _ => refused("invalid_request", "Parameter 'code_challenge' is required"),
        }
    }

    /// <https://auth0.com/docs/get-started/authentication-and-authorization-flow/client-credentials-flow/call-your-api-using-the-client-credentials-flow>.
    fn token(&self, asked: &Form) -> Response {
        let known = asked.get("client_id") == CLIENT_ID;
        match asked.get("grant_type") {
            "client_credentials" if known && asked.get("client_secret") == SECRET => {
                self.machine(asked)
            }
            "client_credentials" => answer(
                StatusCode::UNAUTHORIZED,
                &json!({"error": "access_denied", "error_description": "Unauthorized"}),
            ),
            "authorization_code" => match self.desk.take(asked.get("code")) {
                Some(login)
                    if known
                        && login.redirect_uri == asked.get("redirect_uri")
                        && proves(asked.get("code_verifier"), &login.challenge) =>
                {
                    self.person(login)
                }
                _ => refused("invalid_grant", "Invalid authorization code"),
            },
            "refresh_token" => match self.desk.take(asked.get("refresh_token")) {
                Some(login) if known => self.person(login),
                _ => refused("invalid_grant", "Unknown or invalid refresh token."),
            },
            _ => refused("unsupported_grant_type", "Unsupported grant type"),
        }
    }

    /// <https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles>, the Auth0 profile:
    /// a machine is its client id with `@clients` behind.
    fn machine(&self, asked: &Form) -> Response {
        if asked.get("audience") != AUDIENCE {
            return answer(
                StatusCode::FORBIDDEN,
                &json!({"error": "access_denied", "error_description": "Service not enabled within domain"}),
            );
        }
        let claims = json!({
            "iss": format!("{}/", self.origin), "sub": format!("{CLIENT_ID}@clients"),
            "aud": AUDIENCE, "azp": CLIENT_ID, "gty": "client-credentials", "scope": SCOPES,
        });
        document(&json!({
            "access_token": self.desk.token(claims, 86_400), "token_type": "Bearer",
            "scope": SCOPES, "expires_in": 86_400,
        }))
    }

    /// The same page: a person's token names the userinfo endpoint beside the API.
    fn person(&self, login: Login) -> Response {
        // Without `audience` Auth0 gives a token that is for nobody but itself.
        let access = match login.audience == AUDIENCE {
            false => random(),
            true => self.desk.token(
                json!({
                    "iss": format!("{}/", self.origin), "sub": "auth0|6605e3a2b7c8d9",
                    "aud": [AUDIENCE, format!("{}/userinfo", self.origin)],
                    "azp": CLIENT_ID, "scope": login.scope,
                }),
                86_400,
            ),
        };
        let mut said = json!({
            "access_token": access, "token_type": "Bearer", "scope": login.scope,
            "expires_in": 86_400,
        });
        if let (true, Some(members)) = (login.wants("offline_access"), said.as_object_mut()) {
            members.insert("refresh_token".to_owned(), Value::from(self.desk.hand_out(login)));
        }
        document(&said)
    }
}

impl Vendor for Auth0 {
    fn answer(&self, asked: &Asked) -> Response {
        match (&asked.method, asked.uri.path()) {
            (&Method::GET, "/.well-known/openid-configuration") => self.configuration(),
            (&Method::GET, "/.well-known/jwks.json") => self.desk.jwks(),
            (&Method::GET, "/authorize") => self.authorize(&asked.query()),
            (&Method::POST, "/oauth/token") => self.token(&asked.form()),
            _ => answer(StatusCode::NOT_FOUND, &json!({})),
        }
    }
}

fn refused(error: &str, text: &str) -> Response {
    answer(StatusCode::FORBIDDEN, &json!({"error": error, "error_description": text}))
}
