//! Who is let in: what a request shows, held against what the server takes.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use etdi_core::event::Severity;
use etdi_core::key::KeyId;
use etdi_core::request::TokenBinding;
use etdi_core::time::UnixTime;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use mcp_transport::http::{Admission, Document, Gate, Refused};
use mcp_types::{ClientCertificate, Extensions, TokenClaims};
use serde::Serialize;
use zeroize::Zeroizing;

use super::dpop::{ALGORITHMS, NoProof, Shown};
use super::known::{Admitted, Known};
use super::{Inner, Protected};
use crate::verify::{TokenRefusal, VerifiedToken};
use crate::{ApiKeyError, ApiKeys};

const DPOP: HeaderName = HeaderName::from_static("dpop");
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// The document of RFC 9728, section 2.
#[derive(Serialize)]
struct Metadata<'a> {
    resource: &'a str,
    authorization_servers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    scopes_supported: BTreeSet<&'a str>,
    bearer_methods_supported: [&'static str; 1],
    dpop_signing_alg_values_supported: [&'static str; 4],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dpop_bound_access_tokens_required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_documentation: Option<&'a str>,
}

impl Inner {
    /// What a scope implies, and what that implies.
    fn widen(&self, scopes: &mut BTreeSet<String>) {
        let mut more: Vec<String> = scopes.iter().cloned().collect();
        while let Some(scope) = more.pop() {
            let implied = self.implied.get(&scope).into_iter().flatten();
            more.extend(implied.filter(|scope| scopes.insert((*scope).clone())).cloned());
        }
    }

    /// What a verified token lets in.
    fn admit_token(&self, text: &str, mut token: VerifiedToken) -> Admitted {
        self.widen(&mut token.scopes);
        let mut found = Extensions::new();
        let key = token.confirmation.as_ref().and_then(|bound| bound.key);
        found.insert(token.principal());
        let binding = TokenBinding::new(text, key);
        found.insert(if self.binds_calls { binding } else { binding.optional() });
        if let Some(claims) = &token.claims {
            found.insert(TokenClaims::new(claims.clone()));
        }
        let bound = token.confirmation.clone();
        let lacking = self.required.iter().any(|scope| !token.scopes.contains(scope));
        let until = token.expires;
        found.insert(token);
        Admitted { found, until, bound, lacking }
    }

    /// Holds what a token lets in against the request that shows it: by which certificate, and with
    /// a proof of which key.
    fn enter(
        &self,
        admitted: &Admitted,
        certificate: Option<&str>,
        holder: Option<KeyId>,
    ) -> Result<Extensions, Refused> {
        let bound = admitted.bound.as_ref();
        let key = bound.and_then(|bound| bound.key);
        // A token that is not bound does not count as one that is (RFC 9449, section 7.1).
        if key != holder || self.proofs.required && key.is_none() {
            return Err(self.refuse(&TokenRefusal::Unproven("a key (`jkt`)")));
        }
        let expected = bound.and_then(|bound| bound.certificate.as_deref());
        if expected.is_some() && expected != certificate {
            return Err(self.refuse(&TokenRefusal::Unproven("a certificate (`x5t#S256`)")));
        }
        if admitted.lacking {
            return Err(self.lacking());
        }
        Ok(admitted.found.clone())
    }

    /// The answer to a token that does not count.
    fn refuse(&self, refusal: &TokenRefusal) -> Refused {
        if let Some(trail) = &self.trail {
            trail.token(&self.resource, refusal, self.clock.now());
        }
        if refusal.is_passing() {
            let refused = Refused::new(StatusCode::SERVICE_UNAVAILABLE, refusal.summary());
            return refused.header(http::header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        let text = format!("{}, get another one", refusal.summary());
        let challenge =
            self.challenge.write(&self.required, Some(("invalid_token", refusal.summary())));
        Refused::new(StatusCode::UNAUTHORIZED, text).header(WWW_AUTHENTICATE, challenge)
    }

    /// The answer to a proof that does not count.
    fn unproven(&self, why: NoProof, now: UnixTime) -> Refused {
        let (code, what) = match why {
            NoProof::Invalid(what) => ("invalid_dpop_proof", what),
            NoProof::UseNonce => {
                ("use_dpop_nonce", "the proof has to name the nonce of this answer")
            }
            // Not 401: neither another token nor another login would help.
            NoProof::Busy => {
                let text = "there is no room for another proof now, try again later";
                let refused = Refused::new(StatusCode::SERVICE_UNAVAILABLE, text);
                return refused.header(http::header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
        };
        // Who does not know the nonce yet did nothing wrong.
        if let NoProof::Invalid(what) = why {
            self.note(Severity::High, &what);
        }
        let challenge = self.challenge.of_proofs(&ALGORITHMS, (code, what));
        let refused =
            Refused::new(StatusCode::UNAUTHORIZED, what).header(WWW_AUTHENTICATE, challenge);
        let nonce = self.proofs.nonces.as_ref().map(|nonces| nonces.issue(now));
        match nonce.and_then(|nonce| HeaderValue::try_from(nonce).ok()) {
            Some(nonce) => refused.header(DPOP_NONCE, nonce),
            None => refused,
        }
    }

    /// Notes what does not count, or does not suffice.
    fn note(&self, severity: Severity, why: &dyn fmt::Display) {
        if let Some(trail) = &self.trail {
            trail.other(&self.resource, severity, why, self.clock.now());
        }
    }

    /// The answer to a token that counts and does not suffice for anything here.
    fn lacking(&self) -> Refused {
        let text = "the access token lacks scopes that every request needs";
        self.note(Severity::Low, &text);
        let challenge = self.challenge.write(&self.required, Some(("insufficient_scope", text)));
        Refused::new(StatusCode::FORBIDDEN, text).header(WWW_AUTHENTICATE, challenge)
    }

    /// The answer to a request that shows nothing.
    fn unknown(&self) -> Refused {
        match &self.verifier {
            Some(_) => {
                let refused = Refused::new(StatusCode::UNAUTHORIZED, "show an access token");
                // RFC 6750, section 3.1: no error code for who did not know.
                refused.header(WWW_AUTHENTICATE, self.challenge.write(&self.required, None))
            }
            None => self.no_key("show an API key"),
        }
    }

    fn no_key(&self, text: &'static str) -> Refused {
        let header = self.keys.as_ref().map_or("", |(header, _)| header.as_str());
        let challenge = HeaderValue::try_from(format!("ApiKey header=\"{header}\""));
        let refused = Refused::new(StatusCode::UNAUTHORIZED, text);
        match challenge {
            Ok(challenge) => refused.header(WWW_AUTHENTICATE, challenge),
            Err(_) => refused,
        }
    }

    /// Lets in whoever shows an API key.
    fn by_key(&self, keys: &ApiKeys, shown: &HeaderValue) -> Result<Extensions, Refused> {
        let verified = match shown.to_str() {
            Ok(shown) => keys.verify(shown, self.clock.now()),
            Err(_) => Err(ApiKeyError::Unknown),
        };
        let key = verified.inspect_err(|error| self.note(Severity::Medium, error));
        let mut key = key.map_err(|error| match error {
            ApiKeyError::File { .. } => Refused::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "API keys cannot be checked now, try again later",
            ),
            ApiKeyError::Expired { .. } => self.no_key("the API key has ended"),
            // That a key was one once is nobody's business.
            _ => self.no_key("the API key is not known"),
        })?;
        self.widen(&mut key.scopes);
        if self.required.iter().any(|scope| !key.scopes.contains(scope)) {
            let text = "the API key lacks scopes that every request needs";
            self.note(Severity::Low, &format_args!("{text}: `{}`", key.name));
            return Err(Refused::new(StatusCode::FORBIDDEN, text));
        }
        let mut found = Extensions::new();
        found.insert(key.principal());
        found.insert(key);
        Ok(found)
    }
}

impl Gate for Protected {
    fn admit(&self, request: &Parts) -> Admission {
        let inner = &self.0;
        let shown = match one(request, &AUTHORIZATION) {
            Ok(shown) => shown,
            Err(refused) => return Admission::Now(Err(refused)),
        };
        if let Some((header, keys)) = &inner.keys {
            match (one(request, header), shown) {
                (Err(refused), _) => return Admission::Now(Err(refused)),
                (Ok(Some(_)), Some(_)) if inner.verifier.is_some() => {
                    let text = "the request shows both an API key and a token, show one of them";
                    return Admission::Now(Err(Refused::new(StatusCode::BAD_REQUEST, text)));
                }
                (Ok(Some(key)), _) => return Admission::Now(inner.by_key(keys, key)),
                (Ok(None), _) => {}
            }
        }
        let (Some(verifier), Some(shown)) = (&inner.verifier, shown) else {
            return Admission::Now(Err(inner.unknown()));
        };
        let (token, bound) = match credentials(shown) {
            Some((Some(token), bound)) => (token, bound),
            Some((None, _)) => {
                let text = "what stands behind the name of the scheme is no token";
                let error = Some(("invalid_request", text));
                let challenge = inner.challenge.write(&inner.required, error);
                let refused = Refused::new(StatusCode::BAD_REQUEST, text);
                return Admission::Now(Err(refused.header(WWW_AUTHENTICATE, challenge)));
            }
            None => return Admission::Now(Err(inner.unknown())),
        };
        let certificate = request.extensions.get::<Arc<ClientCertificate>>();
        let certificate = certificate.map(|certificate| &*certificate.thumbprint);
        let now = inner.clock.now();
        let place = Known::place(token);
        let known = inner.known.get(&place, now);
        let proof = match one(request, &DPOP) {
            Err(refused) => return Admission::Now(Err(refused)),
            Ok(_) if !bound => None,
            Ok(proof) => match proof.and_then(|proof| proof.to_str().ok()) {
                Some(proof) => Some((proof.to_owned(), request.method.as_str().to_owned())),
                None => {
                    let why = NoProof::Invalid("a token of this scheme needs one header `DPoP`");
                    return Admission::Now(Err(inner.unproven(why, now)));
                }
            },
        };
        if let (Some(admitted), None) = (&known, &proof) {
            return Admission::Now(inner.enter(admitted, certificate, None));
        }
        let (inner, verifier) = (inner.clone(), verifier.clone());
        let (token, certificate) =
            (Zeroizing::new(token.to_owned()), certificate.map(str::to_owned));
        Admission::Later(Box::pin(async move {
            let admitted = match known {
                Some(admitted) => admitted,
                None => {
                    let verified = verifier.verify(&token, now).await.map_err(|why| {
                        tracing::info!(%why, "an access token is refused");
                        inner.refuse(&why)
                    })?;
                    let admitted = Arc::new(inner.admit_token(&token, verified));
                    inner.known.put(place, &admitted, now, verifier.keep());
                    admitted
                }
            };
            let holder = match &proof {
                Some((proof, method)) => {
                    let bound_to = admitted.bound.as_ref().and_then(|bound| bound.key);
                    let shown = Shown { method, url: &inner.resource, token: &token, bound_to };
                    let holder = inner.proofs.check(proof, shown, now).await;
                    Some(holder.map_err(|why| inner.unproven(why, now))?)
                }
                None => None,
            };
            inner.enter(&admitted, certificate.as_deref(), holder)
        }))
    }

    fn documents(&self) -> Vec<Document> {
        let inner = &*self.0;
        let Some(verifier) = &inner.verifier else { return Vec::new() };
        let metadata = Metadata {
            resource: &inner.resource,
            authorization_servers: verifier.issuers(),
            jwks_uri: inner.jwks_uri.as_deref(),
            scopes_supported: inner.supported.iter().map(String::as_str).collect(),
            bearer_methods_supported: ["header"],
            dpop_signing_alg_values_supported: ALGORITHMS,
            dpop_bound_access_tokens_required: inner.proofs.required,
            resource_name: inner.name.as_deref(),
            resource_documentation: inner.documentation.as_deref(),
        };
        let text = serde_json::to_vec(&metadata).unwrap_or_default();
        vec![Document::new(&*inner.metadata_path, Bytes::from(text))]
    }

    fn step_up(&self, scopes: &[String]) -> Option<HeaderValue> {
        self.0.verifier.as_ref()?;
        // All that the call needs, at once ("Scope Challenge Handling").
        let inner = &*self.0;
        let more = scopes.iter().filter(|scope| !inner.required.contains(scope));
        // A server behind a gateway must not choose what its clients log in for.
        let more = more.filter(|scope| inner.supported.contains(*scope) || inner.wanted.has(scope));
        let more: Vec<String> = more.cloned().collect();
        if more.is_empty() {
            return None;
        }
        let mut all = inner.required.clone();
        all.extend(more);
        let text = "the call needs scopes that the access token does not have";
        Some(inner.challenge.write(&all, Some(("insufficient_scope", text))))
    }
}

/// The one header of a name; a second one is refused, because somebody else may look at the other.
fn one<'p>(request: &'p Parts, name: &HeaderName) -> Result<Option<&'p HeaderValue>, Refused> {
    let mut all = request.headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (first, None) => Ok(first),
        _ => {
            let text = format!("the header `{name}` stands twice");
            Err(Refused::new(StatusCode::BAD_REQUEST, text))
        }
    }
}

/// The token of `Bearer <token>` (RFC 6750, section 2.1) or `DPoP <token>` (RFC 9449, section 7.1),
/// if it is one, and whether it is said to be bound; `None` for another scheme.
fn credentials(shown: &HeaderValue) -> Option<(Option<&str>, bool)> {
    let shown = shown.to_str().ok()?;
    let (scheme, token) = shown.split_once(' ').unwrap_or((shown, ""));
    let bound = scheme.eq_ignore_ascii_case("dpop");
    if !bound && !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let token = token.trim_matches(' ');
    let plain = token.trim_end_matches('=');
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    Some((Some(token).filter(|_| !plain.is_empty() && plain.bytes().all(fits)), bound))
}
