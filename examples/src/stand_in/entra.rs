//! Microsoft Entra ID, played on this machine: one tenant with one app registration, whose
//! certificate, secret and app role are known.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::digest::Digest;
use etdi_core::key::{Algorithm, SigningKey, VerifyingKey};
use serde_json::{Value, json};

use super::{Asked, Desk, Form, Login, Vendor, answer, document, now, pem, proves, serve};

/// The tenant and the client id that Microsoft's pages use in examples.
pub const TENANT: &str = "aaaabbbb-0000-cccc-1111-dddd2222eeee";
/// The same for the app registration.
pub const CLIENT_ID: &str = "00001111-aaaa-2222-bbbb-3333cccc4444";
/// A client secret that nobody has.
pub const SECRET: &str = "A1bC2dE3f...a secret of the demo";
/// The app role that the registration gives to services.
pub const APP_ROLE: &str = "Echo.Call";

/// Another application of the tenant, to which nobody assigned the role, and its secret.
pub const OTHER_ID: &str = "11112222-bbbb-3333-cccc-4444dddd5555";
/// The same for that application.
pub const OTHER_SECRET: &str = "another secret of the demo";

/// A tenant that is played.
pub struct Entra {
    origin: String,
    desk: Desk,
    certificate: Certificate,
}

/// A certificate that is uploaded to the registration, with its key.
struct Certificate {
    pem: String,
    thumbprint: String,
    key: VerifyingKey,
}

impl Certificate {
    fn new() -> anyhow::Result<Self> {
        let key = SigningKey::generate_rsa(Algorithm::Ps256, 2048)?;
        let der = key.to_pkcs8_der();
        let pair = rcgen::KeyPair::try_from(der.as_slice())?;
        let parameters = rcgen::CertificateParams::new(vec!["secure-echo.example".to_owned()])?;
        let certificate = parameters.self_signed(&pair)?;
        let pem = format!("{}{}", *key.to_pkcs8_pem(), pem("CERTIFICATE", certificate.der()));
        let digest = Digest::of_bytes(certificate.der());
        let thumbprint = URL_SAFE_NO_PAD.encode(digest.as_bytes());
        Ok(Self { pem, thumbprint, key: key.verifying_key().clone() })
    }
}

impl Entra {
    /// Plays it as long as the runtime runs.
    ///
    /// # Errors
    ///
    /// When nothing can listen on this machine.
    pub async fn start() -> anyhow::Result<Arc<Self>> {
        let (desk, certificate) = (Desk::new()?, Certificate::new()?);
        serve(|origin| Self { origin, desk, certificate }).await
    }

    /// What stands for `https://login.microsoftonline.com`.
    pub fn authority(&self) -> &str {
        &self.origin
    }

    /// How many times a person signed in.
    pub fn logins(&self) -> usize {
        self.desk.logins.load(Ordering::Relaxed)
    }

    /// The certificate of the registration with its key, as one PEM text.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate.pem
    }

    fn issuer(&self) -> String {
        format!("{}/{TENANT}/v2.0", self.origin)
    }

    /// <https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc>, "Fetch the OpenID
    /// configuration document". No PKCE methods are named in it.
    fn configuration(&self) -> Response {
        let base = format!("{}/{TENANT}", self.origin);
        document(&json!({
            "issuer": self.issuer(),
            "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
            "token_endpoint": format!("{base}/oauth2/v2.0/token"),
            "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
            "jwks_uri": format!("{base}/discovery/v2.0/keys"),
            "end_session_endpoint": format!("{base}/oauth2/v2.0/logout"),
            "token_endpoint_auth_methods_supported":
                ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "request_uri_parameter_supported": false,
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
        }))
    }

    /// <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow>, "Request an
    /// authorization code"; redirect URIs:
    /// <https://learn.microsoft.com/entra/identity-platform/reply-url>, "Localhost exceptions".
    fn authorize(&self, asked: &Form) -> Response {
        let redirect = url::Url::parse(asked.get("redirect_uri"));
        let registered = redirect.is_ok_and(|uri| {
            uri.scheme() == "http" && uri.host_str() == Some("localhost") && uri.path() == "/"
        });
        if asked.get("client_id") != CLIENT_ID {
            return refused("unauthorized_client", 700_016, "no such application in the tenant");
        }
        if !registered {
            return refused(
                "invalid_request",
                50_011,
                "the redirect URI is not that of the registration, `http://localhost`",
            );
        }
        if asked.0.contains_key("resource") {
            return refused(
                "invalid_request",
                901_002,
                "the parameter `resource` is not supported",
            );
        }
        if asked.get("code_challenge_method") != "S256" || asked.get("code_challenge").is_empty() {
            return refused("invalid_request", 9_002_325, "PKCE is required");
        }
        match self.is_ours(asked.get("scope")) {
            true => self.desk.sign_in(asked),
            false => refused("invalid_scope", 70_011, "the scopes are not those of the API"),
        }
    }

    /// Whether scopes are the API's, by their full name, or those of OpenID Connect.
    fn is_ours(&self, scope: &str) -> bool {
        let full = format!("api://{CLIENT_ID}/user_impersonation");
        let known = ["openid", "profile", "email", "offline_access", &full];
        scope.split(' ').any(|one| one == full) && scope.split(' ').all(|one| known.contains(&one))
    }

    fn token(&self, asked: &Form) -> Response {
        match asked.get("grant_type") {
            "authorization_code" => self.redeem(asked),
            "refresh_token" => match self.desk.take(asked.get("refresh_token")) {
                Some(login) if login.client == asked.get("client_id") => self.delegated(login),
                _ => refused("invalid_grant", 700_082, "the refresh token has expired"),
            },
            "client_credentials" => self.application(asked),
            _ => refused("unsupported_grant_type", 70_003, "the grant is not supported"),
        }
    }

    fn redeem(&self, asked: &Form) -> Response {
        let Some(login) = self.desk.take(asked.get("code")) else {
            return refused("invalid_grant", 54_005, "the code was redeemed already");
        };
        let same = login.client == asked.get("client_id")
            && login.redirect_uri == asked.get("redirect_uri");
        match same && proves(asked.get("code_verifier"), &login.challenge) {
            true => self.delegated(login),
            false => refused("invalid_grant", 501_481, "the code verifier does not match"),
        }
    }

    /// A token for a person, of version 2:
    /// <https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>.
    fn delegated(&self, login: Login) -> Response {
        let mut claims = self.claims("0");
        for (name, value) in [
            ("scp", "user_impersonation"),
            ("name", "Ada Lovelace"),
            ("preferred_username", "ada@contoso.example"),
            ("oid", "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb"),
            ("sub", "HKZpfaHyWadeOouYlitjrI"),
        ] {
            put(&mut claims, name, json!(value));
        }
        let mut answer = self.answer(&claims);
        put(&mut answer, "scope", json!(format!("api://{CLIENT_ID}/user_impersonation")));
        if login.wants("offline_access") {
            put(&mut answer, "refresh_token", json!(self.desk.hand_out(login)));
        }
        document(&answer)
    }

    /// <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>, "Get a
    /// token".
    fn application(&self, asked: &Form) -> Response {
        let shown = (asked.get("client_id"), asked.get("client_secret"));
        let (client, how) = match asked.get("client_assertion") {
            "" if shown == (CLIENT_ID, SECRET) => (CLIENT_ID, "1"),
            "" if shown == (OTHER_ID, OTHER_SECRET) => (OTHER_ID, "1"),
            "" => return refused("invalid_client", 7_000_215, "invalid client secret provided"),
            assertion => match self.check(assertion) {
                Ok(()) => (CLIENT_ID, "2"),
                Err(why) => return refused("invalid_client", 700_027, &format!("{why:#}")),
            },
        };
        if asked.get("scope") != format!("api://{CLIENT_ID}/.default") {
            return refused(
                "invalid_scope",
                1_002_012,
                "client credential flows must have a scope value with /.default suffixed to the \
                 resource identifier",
            );
        }
        let mut claims = self.claims(how);
        put(&mut claims, "azp", json!(client));
        // Any application of the tenant gets a token; roles are in it where somebody assigned them.
        if client == CLIENT_ID {
            put(&mut claims, "roles", json!([APP_ROLE]));
        }
        let object = "bbbbbbbb-1111-2222-3333-cccccccccccc";
        for (name, value) in [("idtyp", "app"), ("oid", object), ("sub", object)] {
            put(&mut claims, name, json!(value));
        }
        document(&self.answer(&claims))
    }

    /// <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>, "Assertion
    /// format".
    fn check(&self, assertion: &str) -> anyhow::Result<()> {
        let (signed, signature) = assertion.rsplit_once('.').context("it is no JWT")?;
        let (header, claims) = signed.split_once('.').context("it is no JWT")?;
        let read = |part: &str| -> anyhow::Result<Value> {
            Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok().context("it is no JWT")?)?)
        };
        let (header, claims) = (read(header)?, read(claims)?);
        let text = |value: &Value, name: &str| -> String {
            value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        anyhow::ensure!(text(&header, "alg") == "PS256", "`alg` must be PS256");
        let thumbprint = text(&header, "x5t#S256");
        anyhow::ensure!(thumbprint == self.certificate.thumbprint, "no certificate is known by it");
        let endpoint = format!("{}/{TENANT}/oauth2/v2.0/token", self.origin);
        let audience = text(&claims, "aud");
        anyhow::ensure!(audience == self.issuer() || audience == endpoint, "it is for others");
        let who = (text(&claims, "iss"), text(&claims, "sub"));
        anyhow::ensure!(who == (CLIENT_ID.to_owned(), CLIENT_ID.to_owned()), "it is of others");
        let end = claims.get("exp").and_then(Value::as_u64).unwrap_or_default();
        anyhow::ensure!(end > now(), "it has expired");
        let signature = URL_SAFE_NO_PAD.decode(signature).ok().context("it is no JWT")?;
        let holds = self.certificate.key.verify(signed.as_bytes(), &signature);
        anyhow::ensure!(holds, "its signature does not hold");
        Ok(())
    }

    /// What every token says; `azpacr` says how the client showed who it is: not at all, by a
    /// secret, by a certificate.
    fn claims(&self, azpacr: &str) -> Value {
        json!({
            "aud": CLIENT_ID, "iss": self.issuer(), "azp": CLIENT_ID, "azpacr": azpacr,
            "tid": TENANT, "ver": "2.0",
        })
    }

    fn answer(&self, claims: &Value) -> Value {
        json!({
            "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599,
            "access_token": self.desk.token(claims.clone(), 3599),
        })
    }
}

impl Vendor for Entra {
    fn answer(&self, asked: &Asked) -> Response {
        let path = asked.uri.path().strip_prefix(&format!("/{TENANT}/")).unwrap_or_default();
        match (&asked.method, path) {
            (&Method::GET, "v2.0/.well-known/openid-configuration") => self.configuration(),
            (&Method::GET, "discovery/v2.0/keys" | "discovery/keys") => self.desk.jwks(),
            (&Method::GET, "oauth2/v2.0/authorize") => self.authorize(&asked.query()),
            (&Method::POST, "oauth2/v2.0/token") => self.token(&asked.form()),
            _ => answer(StatusCode::NOT_FOUND, &json!({})),
        }
    }
}

fn put(value: &mut Value, name: &str, member: Value) {
    if let Some(members) = value.as_object_mut() {
        members.insert(name.to_owned(), member);
    }
}

/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>.
fn refused(error: &str, code: u32, text: &str) -> Response {
    let status = match error {
        "invalid_client" => StatusCode::UNAUTHORIZED,
        _ => StatusCode::BAD_REQUEST,
    };
    let text = format!("AADSTS{code}: {text}");
    let said = json!({ "error": error, "error_description": text, "error_codes": [code] });
    answer(status, &said)
}
