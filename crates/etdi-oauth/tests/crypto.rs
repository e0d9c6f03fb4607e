//! The provider of `jsonwebtoken` is chosen once in a process, so each case here is a process: this
//! program starts itself with the name of one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use etdi_core::key::{Algorithm as Ours, SigningKey};
use etdi_oauth::crypto::{CryptoError, PROVIDER, install};
use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, ThumbprintHash};
use jsonwebtoken::signature::{Error, Verifier};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Header, Validation, decode, encode,
};
use serde_json::{Value, json};

const CASES: &[(&str, fn())] = &[
    ("ours comes first", ours_comes_first),
    ("another comes first", another_comes_first),
    ("one that believes everything comes first", a_believer_comes_first),
    ("one that knows half of it comes first", half_a_provider_comes_first),
    ("something is decoded before any", decoded_before),
    ("ours does all that the application wants", ours_does_all),
];

fn main() {
    let named = std::env::args().nth(1);
    if let Some((_, case)) = CASES.iter().find(|(name, _)| Some(*name) == named.as_deref()) {
        return case();
    }
    let failed = CASES.iter().filter(|(name, _)| {
        let myself = std::env::current_exe().unwrap();
        let output = Command::new(myself).arg(name).output().unwrap();
        let ok = output.status.success();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        if !ok {
            println!("{}", String::from_utf8_lossy(&output.stderr));
        }
        !ok
    });
    assert_eq!(failed.count(), 0);
}

/// A token by HS256, encoded and decoded with whatever provider there is.
fn round() -> bool {
    let claims = json!({ "exp": 4_000_000_000_u64 });
    let header = Header::new(Algorithm::HS256);
    let secret = b"a secret of the application itself";
    let token = encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap();
    let key = DecodingKey::from_secret(secret);
    decode::<Value>(&token, &key, &Validation::new(Algorithm::HS256)).is_ok()
}

fn ours_comes_first() {
    assert_eq!(install(), Ok(()));
    assert_eq!(install(), Ok(()), "and again");
    assert!(PROVIDER.install_default().is_err(), "it is there already");
    assert!(round());
}

static ASKED: AtomicUsize = AtomicUsize::new(0);

/// Another provider, which is as good.
static ANOTHER: CryptoProvider = CryptoProvider {
    verifier_factory: |algorithm, key| {
        ASKED.fetch_add(1, Ordering::SeqCst);
        (PROVIDER.verifier_factory)(algorithm, key)
    },
    ..PROVIDER_COPY
};

const PROVIDER_COPY: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| (PROVIDER.signer_factory)(algorithm, key),
    verifier_factory: |algorithm, key| (PROVIDER.verifier_factory)(algorithm, key),
    key_utils: jsonwebtoken::crypto::KeyUtils::new_unimplemented(),
};

fn another_comes_first() {
    ANOTHER.install_default().unwrap();
    assert_eq!(install(), Ok(()));
    assert!(ASKED.load(Ordering::SeqCst) >= 8, "it was tried with each algorithm");
    assert!(round());
}

struct Believer(Algorithm);

impl Verifier<Vec<u8>> for Believer {
    fn verify(&self, _: &[u8], _: &Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
}

impl JwtVerifier for Believer {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
}

static BELIEVER: CryptoProvider = CryptoProvider {
    verifier_factory: |algorithm, _| Ok(Box::new(Believer(*algorithm))),
    ..PROVIDER_COPY
};

fn a_believer_comes_first() {
    BELIEVER.install_default().unwrap();
    assert!(matches!(install(), Err(CryptoError::Wrong(_))));
    assert!(matches!(install(), Err(CryptoError::Wrong(_))), "and stays so");
}

static HALF: CryptoProvider = CryptoProvider {
    verifier_factory: |algorithm, key| match algorithm {
        Algorithm::PS256 => Err(jsonwebtoken::errors::ErrorKind::UnsupportedAlgorithm.into()),
        _ => (PROVIDER.verifier_factory)(algorithm, key),
    },
    ..PROVIDER_COPY
};

fn half_a_provider_comes_first() {
    HALF.install_default().unwrap();
    assert_eq!(install(), Err(CryptoError::Wrong("PS256")));
}

/// Whoever decodes before a provider is chosen has none for ever; what comes later is an error.
fn decoded_before() {
    let early = std::panic::catch_unwind(|| {
        let key = DecodingKey::from_secret(b"x");
        _ = decode::<Value>("eyJhbGciOiJIUzI1NiJ9.e30.x", &key, &Validation::default());
    });
    assert!(early.is_err(), "this is what would happen within a call");
    assert_eq!(install(), Err(CryptoError::NoProvider));
    assert_eq!(install(), Err(CryptoError::NoProvider));
}

fn ours_does_all() {
    install().unwrap();
    let der = |algorithm| SigningKey::generate(algorithm).unwrap().to_pkcs8_der().to_vec();
    let ec = der(Ours::Es256);
    // As OpenSSL writes it (RFC 8410, section 7): `jsonwebtoken` knows a key by that length.
    let version_1 = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let ed = [&version_1, &der(Ours::EdDsa)[16..48]].concat();
    for (algorithm, key) in [
        (Algorithm::EdDSA, EncodingKey::from_ed_der(&ed)),
        (Algorithm::ES256, EncodingKey::from_ec_der(&ec)),
        (Algorithm::HS384, EncodingKey::from_secret(b"a long enough secret for this")),
        (Algorithm::HS512, EncodingKey::from_secret(b"a long enough secret for this")),
    ] {
        let claims = json!({ "exp": 4_000_000_000_u64 });
        let token = encode(&Header::new(algorithm), &claims, &key).unwrap();
        let public = match algorithm.family() {
            AlgorithmFamily::Hmac => DecodingKey::from_secret(key.as_bytes()),
            _ => {
                let jwk = Jwk::from_encoding_key(&key, algorithm).unwrap();
                assert_eq!(jwk.thumbprint(ThumbprintHash::SHA256).unwrap().len(), 43);
                assert!(!matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)));
                DecodingKey::from_jwk(&jwk).unwrap()
            }
        };
        let decoded = decode::<Value>(&token, &public, &Validation::new(algorithm));
        assert!(decoded.is_ok(), "{algorithm:?}");
        let other = token.replacen('.', ".e", 1);
        assert!(decode::<Value>(other, &public, &Validation::new(algorithm)).is_err());
        // A public key is no secret of HS256, whatever the header says.
        if algorithm.family() != AlgorithmFamily::Hmac {
            let secret = EncodingKey::from_secret(public.try_get_as_bytes().unwrap());
            let forged = encode(&Header::new(Algorithm::HS256), &claims, &secret).unwrap();
            let lax = Validation::new(Algorithm::HS256);
            assert!(decode::<Value>(&forged, &public, &lax).is_err());
        }
    }
    assert!(encode(&Header::default(), &json!({}), &EncodingKey::from_ed_der(&ed)).is_err());
}
