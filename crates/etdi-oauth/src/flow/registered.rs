//! Who a client is at one issuer, and how it shows that (RFC 6749, section 2.3; RFC 7523).

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use etdi_core::digest::Digest;
use etdi_core::key::{Algorithm, SigningKey};
use etdi_core::proof::Signer;
use etdi_core::time::UnixTime;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::Serialize;
use zeroize::Zeroizing;

use super::endpoint::{Form, form_encoded};
use super::{Dialect, JwtHeader, OAuthError, sign_jwt};
use crate::web::random;
use crate::{SecretText, ServerMetadata};

/// For how many seconds an assertion of who we are counts.
const ASSERTION: u64 = 60;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How a client shows who it is.
#[derive(Clone)]
#[non_exhaustive]
pub enum ClientAuthentication {
    /// It does not: a public client, such as a program on a user's computer.
    None,
    /// By a secret, in a header (`client_secret_basic`) where the server takes that, else in the
    /// form (`client_secret_post`).
    Secret(SecretText),
    /// By a secret in the header.
    SecretBasic(SecretText),
    /// By a secret in the form.
    SecretPost(SecretText),
    /// By an assertion that a key signs (`private_key_jwt`).
    PrivateKey {
        /// The key; its algorithm is that of the assertion.
        key: Arc<dyn Signer>,
        /// What the issuer calls the key, where that is needed.
        key_id: Option<String>,
        /// The SHA-256 of the key's certificate in base64url (`x5t#S256`), where that is needed.
        certificate: Option<String>,
    },
}

impl ClientAuthentication {
    /// By a certificate and its RSA key: one PEM text with a block `PRIVATE KEY` and one or more
    /// `CERTIFICATE`, of which the first is shown, as Entra wants it. Assertions are signed by PS256 and
    /// name the certificate by `x5t#S256`.
    ///
    /// # Errors
    ///
    /// When one of the two blocks is missing, or the key is none of RSA with 2048 to 4096 bits.
    pub fn certificate_pem(text: &str) -> Result<Self, OAuthError> {
        let missing = |what: &str| {
            let how = "`openssl req -x509 -newkey rsa:2048 -nodes` writes both";
            OAuthError::Setting(format!("the PEM text has no block `{what}`, {how}"))
        };
        let certificate = CertificateDer::from_pem_slice(text.as_bytes());
        let certificate = certificate.map_err(|_| missing("CERTIFICATE"))?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes());
        let key = key.map_err(|_| missing("PRIVATE KEY"))?;
        let key = SigningKey::from_pkcs8_der(key.secret_pkcs8_der());
        let key = key.and_then(|key| key.with_algorithm(Algorithm::Ps256)).map_err(|error| {
            OAuthError::Setting(format!("the key of the certificate cannot be used: {error}"))
        })?;
        let thumbprint = URL_SAFE_NO_PAD.encode(Digest::of_bytes(&certificate).as_bytes());
        Ok(Self::PrivateKey { key: Arc::new(key), key_id: None, certificate: Some(thumbprint) })
    }
}

impl fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Secret(_) => "Secret(…)",
            Self::SecretBasic(_) => "SecretBasic(…)",
            Self::SecretPost(_) => "SecretPost(…)",
            Self::PrivateKey { .. } => "PrivateKey(…)",
        })
    }
}

/// A client as one issuer knows it. What is in here is shown to that issuer and to nobody else.
///
/// ```
/// use etdi_oauth::{RegisteredClient, SecretText};
///
/// let client = RegisteredClient::public("https://auth.example", "s6BhdRkqt3");
/// let service = RegisteredClient::with_secret("https://auth.example", "s6BhdRkqt3", "7Fjf…");
/// assert!(!format!("{service:?}").contains("7Fjf"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RegisteredClient {
    /// The issuer, as it writes itself.
    pub issuer: String,
    /// The client's id there.
    pub id: String,
    /// How it shows who it is.
    pub authentication: ClientAuthentication,
    /// How the issuer wants to be asked.
    pub dialect: Dialect,
}

#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: &'a str,
    iat: u64,
    exp: u64,
}

impl RegisteredClient {
    /// A client that shows who it is in this way.
    pub fn new(
        issuer: impl Into<String>,
        id: impl Into<String>,
        authentication: ClientAuthentication,
    ) -> Self {
        Self { issuer: issuer.into(), id: id.into(), authentication, dialect: Dialect::default() }
    }

    /// A client without a secret.
    pub fn public(issuer: impl Into<String>, id: impl Into<String>) -> Self {
        Self::new(issuer, id, ClientAuthentication::None)
    }

    /// A client with a secret.
    pub fn with_secret(
        issuer: impl Into<String>,
        id: impl Into<String>,
        secret: impl Into<SecretText>,
    ) -> Self {
        Self::new(issuer, id, ClientAuthentication::Secret(secret.into()))
    }

    /// A client with a key.
    pub fn with_key(
        issuer: impl Into<String>,
        id: impl Into<String>,
        key: Arc<dyn Signer>,
    ) -> Self {
        let (key_id, certificate) = (None, None);
        Self::new(issuer, id, ClientAuthentication::PrivateKey { key, key_id, certificate })
    }

    /// Puts into a request who sends it. The server has to be the issuer; who made an endpoint of it
    /// has seen to that.
    pub(super) fn authenticate(
        &self,
        server: &ServerMetadata,
        form: &mut Form,
        headers: &mut Vec<(String, String)>,
        now: UnixTime,
    ) -> Result<(), OAuthError> {
        match &self.authentication {
            ClientAuthentication::None => form.put("client_id", &self.id),
            ClientAuthentication::Secret(secret) => {
                if server.takes_method("client_secret_basic") {
                    headers.push(self.basic(secret));
                } else if server.takes_method("client_secret_post") {
                    self.post(secret, form);
                } else {
                    let what = "a way to show a secret, register this client with a key";
                    return Err(server.not_offered(what));
                }
            }
            ClientAuthentication::SecretBasic(secret) => headers.push(self.basic(secret)),
            ClientAuthentication::SecretPost(secret) => self.post(secret, form),
            ClientAuthentication::PrivateKey { key, key_id, certificate } => {
                let (jti, now) = (random()?, now.seconds());
                let claims = Assertion {
                    iss: &self.id,
                    sub: &self.id,
                    aud: &server.issuer,
                    jti: &jti,
                    iat: now,
                    exp: now.saturating_add(ASSERTION),
                };
                let (kid, certificate) = (key_id.as_deref(), certificate.as_deref());
                let header = JwtHeader { typ: "JWT", kid, certificate, ..JwtHeader::default() };
                let assertion = Zeroizing::new(sign_jwt(header, &claims, &**key)?);
                form.put("client_assertion_type", JWT_BEARER);
                form.put("client_assertion", &assertion);
            }
        }
        Ok(())
    }

    fn post(&self, secret: &SecretText, form: &mut Form) {
        form.put("client_id", &self.id);
        form.put("client_secret", secret.expose());
    }

    /// RFC 6749, section 2.3.1: both are form-encoded before they are joined.
    fn basic(&self, secret: &SecretText) -> (String, String) {
        let secret = form_encoded(secret.expose());
        let pair = Zeroizing::new(format!("{}:{}", *form_encoded(&self.id), *secret));
        ("authorization".to_owned(), format!("Basic {}", STANDARD.encode(pair.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_comes_with_a_key_that_fits() {
        let block = |label: &str, der: &[u8]| {
            let text = STANDARD.encode(der);
            format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
        };
        let made = rcgen::generate_simple_self_signed(["service".to_owned()]).unwrap();
        let certificate = block("CERTIFICATE", made.cert.der());
        let key = block("PRIVATE KEY", &made.signing_key.serialize_der());
        let refusal =
            |text: &str| ClientAuthentication::certificate_pem(text).unwrap_err().to_string();
        assert!(refusal(&certificate).contains("no block `PRIVATE KEY`"));
        assert!(refusal(&key).contains("no block `CERTIFICATE`"));
        // It is a key of P-256, which signs by no PS256.
        let both = refusal(&format!("{certificate}{key}"));
        assert!(both.contains("the key of the certificate cannot be used"), "{both}");
    }
}
