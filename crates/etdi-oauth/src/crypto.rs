//! What signatures of tokens are verified with: ring, under `jsonwebtoken`.
//!
//! `jsonwebtoken` has one provider of cryptography for a whole process. [`install`] makes it ours,
//! [`PROVIDER`], and every verifier of this crate calls it first. An application that chose another
//! keeps that one: it is used here too, once it has shown that it verifies what it must and refuses
//! what it must.

use std::panic::catch_unwind;
use std::sync::OnceLock;

use etdi_core::key::VerifyingKey;
use jsonwebtoken::{Algorithm, DecodingKey};

mod der;
mod provider;

pub use provider::PROVIDER;

/// Why signatures cannot be verified in this process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CryptoError {
    /// `jsonwebtoken` was used before any provider was chosen, and now has none for ever.
    #[error(
        "`jsonwebtoken` was used before its provider was chosen and now has none, call \
         `etdi_oauth::crypto::install()` where the program begins"
    )]
    NoProvider,
    /// The provider that the application chose does not do what it must.
    #[error(
        "the provider that was installed for `jsonwebtoken` does not verify {0} as it must, install \
         `etdi_oauth::crypto::PROVIDER` or leave it to this crate"
    )]
    Wrong(&'static str),
}

/// Makes [`PROVIDER`] the provider of `jsonwebtoken` in this process, unless the application chose
/// one before, and tries whichever it is: one signature of each algorithm that counts for tokens,
/// and the same one over another text. Done once; later calls give the same answer.
///
/// Whoever uses `jsonwebtoken` beside this crate calls it where the program begins.
///
/// # Errors
///
/// When there is no provider, or one that is wrong. Nothing panics afterwards in either case.
pub fn install() -> Result<(), CryptoError> {
    static OUTCOME: OnceLock<Result<(), CryptoError>> = OnceLock::new();
    let first = || {
        // Another's is as good, if it passes.
        let _ = PROVIDER.install_default();
        TRIALS.iter().try_for_each(|trial| trial.run())
    };
    OUTCOME.get_or_init(first).clone()
}

/// Whether `signature`, in base64url, is one of `key` over `signed`. Of no key where there is no
/// provider that verifies as it must.
pub(crate) fn verify(key: &VerifyingKey, signed: &str, signature: &str) -> bool {
    use etdi_core::key::Algorithm as Ours;
    // `jsonwebtoken` panics without one, and not everybody who gets here was made by who calls this.
    if install().is_err() {
        return false;
    }
    let algorithm = match key.algorithm() {
        Ours::EdDsa => Algorithm::EdDSA,
        Ours::Es256 => Algorithm::ES256,
        Ours::Rs256 => Algorithm::RS256,
        Ours::Ps256 => Algorithm::PS256,
        _ => return false,
    };
    decoding_key(&key.to_jwk()).is_some_and(|key| holds(&key, signed, signature, algorithm))
}

fn decoding_key(jwk: &str) -> Option<DecodingKey> {
    let jwk = serde_json::from_str(jwk).ok()?;
    DecodingKey::from_jwk(&jwk).ok()
}

fn holds(key: &DecodingKey, signed: &str, signature: &str, algorithm: Algorithm) -> bool {
    jsonwebtoken::crypto::verify(signature, signed.as_bytes(), key, algorithm).unwrap_or(false)
}

/// A public key, and a token that it signed.
struct Trial {
    name: &'static str,
    algorithm: Algorithm,
    jwk: fn() -> String,
    token: &'static str,
}

impl Trial {
    fn run(&self) -> Result<(), CryptoError> {
        let tried = catch_unwind(|| {
            let key = decoding_key(&(self.jwk)())?;
            let (signed, signature) = self.token.rsplit_once('.')?;
            let other = signed.replacen('.', ".e", 1);
            Some((
                holds(&key, signed, signature, self.algorithm),
                holds(&key, &other, signature, self.algorithm),
            ))
        });
        match tried {
            Ok(Some((true, false))) => Ok(()),
            Ok(_) => Err(CryptoError::Wrong(self.name)),
            Err(_) => Err(CryptoError::NoProvider),
        }
    }
}

const TRIALS: [Trial; 4] = [
    Trial {
        name: "EdDSA",
        algorithm: Algorithm::EdDSA,
        jwk: || format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{ED25519}"}}"#),
        token: BY_EDDSA,
    },
    Trial {
        name: "ES256",
        algorithm: Algorithm::ES256,
        jwk: || format!(r#"{{"kty":"EC","crv":"P-256","x":"{P256_X}","y":"{P256_Y}"}}"#),
        token: BY_ES256,
    },
    Trial { name: "RS256", algorithm: Algorithm::RS256, jwk: rsa, token: BY_RS256 },
    Trial { name: "PS256", algorithm: Algorithm::PS256, jwk: rsa, token: BY_PS256 },
];

fn rsa() -> String {
    format!(r#"{{"kty":"RSA","e":"AQAB","n":"{RSA}"}}"#)
}

// Made once by OpenSSL with keys that were thrown away.
const ED25519: &str = "fpl2lfcGjcQNnUUbdigmYB19fCLM0dw9cUhw9y-S_5o";
const P256_X: &str = "hVqEwiyqTg5P2dhk2fhtjd169yB6VvUIL_NUYP8BbNA";
const P256_Y: &str = "c5RoiP-WTE0CTHp-2tPw5Uhm2-OHwgdmPUjgmk-e90Q";
const RSA: &str = "\
    5KF0Xd2884YCQ-ZFuPSpjGkXabff1I_PAafypvI7jGiaBO2mbcv9_v8_BpBNdP_lfBjrsMZaOeIjLsW5sQX1EgQa\
    tq8MAgL0ZnNOHnAThpDJ9EQHMWxgqmLKnpUX1eM5Za5VPWevvkDEwqmOTKacuzx5g7LIPsujcEB9uTpzaL8nKGzc\
    JSaBu-gR7liazKFEu5FR_nsFgTYzJ2TjDD0zmRGeixkHzKytRL8uGgSoFtP4gXg9neZ5_bZWBXvYl9IOVMcFTT9G\
    P_bKYR_ozSvNCdFACP9fP9n9Z56zRVhGWbcmuXiRMyVV2wYiaXoihAVFO0cVHD8Y4WL2taGFQAcqfw";
const BY_EDDSA: &str = "\
    eyJhbGciOiJFZERTQSJ9.eyJwdXJwb3NlIjoic2VsZi1jaGVjayJ9.FbLSFLbwq_dfDUCejpoTVzKUBc0_SaqTRx\
    8rJVsYOOf9Y5Vuzu0daRdwQ7aD233r3iH7WnP61r2LiEnkJfnSCw";
const BY_ES256: &str = "\
    eyJhbGciOiJFUzI1NiJ9.eyJwdXJwb3NlIjoic2VsZi1jaGVjayJ9.rNptHZ6D7pgNDtYmiFbEo_kG7mx-re1toi\
    _ZiM33Ly0sloqWiINVmgn_PacHkOC1eav4lAGvNYoFJ7l2SyBxfA";
const BY_RS256: &str = "\
    eyJhbGciOiJSUzI1NiJ9.eyJwdXJwb3NlIjoic2VsZi1jaGVjayJ9.EhhxAlkauIVKkt1om-jVY0E_v9B2qWDtu7\
    KYsFMQ1PeLPM5o_RsmzDslEqSLeidtM_7aTA2qIrOGp-9cHo18QERE6nCnPXL7CLhos2_UMj1tj8jSNCzmIJaCEc\
    qQ_cA65VnxswDs5iiv8RTji6Cdu1YG8x-wiipeZcjGd2J2oHKfKbYuHj_UIcIKBTyILNTEwxfBw391rgrx9PZFhS\
    Rcb3neBC3oXqV0hT8WTOAwNniSV83y8rkn5bRkQhRwE83_Ba885rWGCnEUpiZqvx6A9aQeChKMAcb78Fpdy6L9rb\
    CWDjlY0uOeY6MxIDlXXpKbxw0LfUVQgk7Vx3Ycmgun6g";
const BY_PS256: &str = "\
    eyJhbGciOiJQUzI1NiJ9.eyJwdXJwb3NlIjoic2VsZi1jaGVjayJ9.3L_Z_2TPnDIZGrJPS4wPB1-VM2O3luPJAy\
    Vhr1zDUCzVQuyyv4yFxpKc_lJLdJSZD-o0y_3WNmVNz8NojS1R14vPOArJSCupp-Su5KMApKL8c7FivxjcbYrDVw\
    ipLvwO7s425h8db_zvCjnbvbzkCCCvj_leAVfTozya-T8qwG90bq3YDr6oK8wZHHovFDX5OEo4zSxM_xjKKBHPwf\
    axlEtHyLya8d6NVVrxfr86QojU5lemnKVDif_dXiOse09okbzcbm0yoB477c6cGH-oFqio6xPeI64VwAAWR4f2LJ\
    yw7dIrpYO9ERJyQRt6AlEvBLYjcjUtANaGrgAnIOMmhA";
