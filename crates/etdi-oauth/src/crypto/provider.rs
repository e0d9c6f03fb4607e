//! ring as the provider of `jsonwebtoken`: signing, verifying and the parts of keys.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, Result, new_error};
use jsonwebtoken::jwk::{EllipticCurve, ThumbprintHash};
use jsonwebtoken::signature::{Error as Unverified, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
    RsaParameters, UnparsedPublicKey, VerificationAlgorithm,
};
use ring::{digest, hmac};

use super::der;

/// The provider: HMAC, RSA (PKCS #1 v1.5 and PSS), ECDSA on P-256 and P-384, and Ed25519, all by
/// ring.
pub static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: rsa_of_private,
        rsa_pub_components_from_public_key: rsa_of_public,
        ec_pub_components_from_private_key: ec_of_private,
        ed_pub_components_from_private_key: ed_of_private,
        compute_digest,
    },
};

/// A private key with its algorithm.
struct Signing(Algorithm, Pair);

enum Pair {
    Hmac(hmac::Key),
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    let method = Method::of(*algorithm)?;
    if key.family() != method.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    let pair = match method {
        Method::Hmac(hash) => Pair::Hmac(hmac::Key::new(hash, key.as_bytes())),
        Method::Rsa { encoding, .. } => Pair::Rsa(Box::new(rsa_pair(key.as_bytes())?), encoding),
        Method::Ec { signing, .. } => Pair::Ec(ec_pair(signing, key.as_bytes())?),
        Method::Ed => Pair::Ed(ed_pair(key.as_bytes())?),
    };
    Ok(Box::new(Signing(*algorithm, pair)))
}

impl Signer<Vec<u8>> for Signing {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Unverified> {
        Ok(match &self.1 {
            Pair::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let random = SystemRandom::new();
                let signed = pair.sign(*encoding, &random, message, &mut signature);
                signed.map_err(|_| Unverified::new())?;
                signature
            }
            Pair::Ec(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                signature.map_err(|_| Unverified::new())?.as_ref().to_vec()
            }
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }
}

impl JwtSigner for Signing {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
}

/// A public key, or a shared one, with its algorithm.
struct Verifying(Algorithm, Method, DecodingKey);

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    let method = Method::of(*algorithm)?;
    // The key's own type decides: a public key is never the secret of an HMAC.
    if key.family() != method.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    Ok(Box::new(Verifying(*algorithm, method, key.clone())))
}

impl Verifier<Vec<u8>> for Verifying {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Unverified> {
        let Self(_, method, key) = self;
        let verified = match (method, key.kind()) {
            (Method::Hmac(hash), DecodingKeyKind::SecretOrDer(secret)) => {
                hmac::verify(&hmac::Key::new(*hash, secret), message, signature)
            }
            (Method::Rsa { parameters, .. }, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                PublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (Method::Rsa { parameters, .. }, DecodingKeyKind::SecretOrDer(der)) => {
                UnparsedPublicKey::new(*parameters, der).verify(message, signature)
            }
            (Method::Ec { verifying, .. }, DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(*verifying, point).verify(message, signature)
            }
            (Method::Ed, DecodingKeyKind::SecretOrDer(x)) => {
                UnparsedPublicKey::new(&signature::ED25519, x).verify(message, signature)
            }
            _ => Err(ring::error::Unspecified),
        };
        verified.map_err(|_| Unverified::new())
    }
}

impl JwtVerifier for Verifying {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
}

/// What ring calls an algorithm.
#[derive(Clone, Copy)]
enum Method {
    Hmac(hmac::Algorithm),
    Rsa { encoding: &'static dyn RsaEncoding, parameters: &'static RsaParameters },
    Ec { signing: &'static EcdsaSigningAlgorithm, verifying: &'static dyn VerificationAlgorithm },
    Ed,
}

impl Method {
    fn of(algorithm: Algorithm) -> Result<Self> {
        let rsa =
            |encoding: &'static dyn RsaEncoding, parameters| Self::Rsa { encoding, parameters };
        Ok(match algorithm {
            Algorithm::HS256 => Self::Hmac(hmac::HMAC_SHA256),
            Algorithm::HS384 => Self::Hmac(hmac::HMAC_SHA384),
            Algorithm::HS512 => Self::Hmac(hmac::HMAC_SHA512),
            Algorithm::RS256 => {
                rsa(&signature::RSA_PKCS1_SHA256, &signature::RSA_PKCS1_2048_8192_SHA256)
            }
            Algorithm::RS384 => {
                rsa(&signature::RSA_PKCS1_SHA384, &signature::RSA_PKCS1_2048_8192_SHA384)
            }
            Algorithm::RS512 => {
                rsa(&signature::RSA_PKCS1_SHA512, &signature::RSA_PKCS1_2048_8192_SHA512)
            }
            Algorithm::PS256 => {
                rsa(&signature::RSA_PSS_SHA256, &signature::RSA_PSS_2048_8192_SHA256)
            }
            Algorithm::PS384 => {
                rsa(&signature::RSA_PSS_SHA384, &signature::RSA_PSS_2048_8192_SHA384)
            }
            Algorithm::PS512 => {
                rsa(&signature::RSA_PSS_SHA512, &signature::RSA_PSS_2048_8192_SHA512)
            }
            Algorithm::ES256 => Self::Ec {
                signing: &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                verifying: &signature::ECDSA_P256_SHA256_FIXED,
            },
            Algorithm::ES384 => Self::Ec {
                signing: &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
                verifying: &signature::ECDSA_P384_SHA384_FIXED,
            },
            Algorithm::EdDSA => Self::Ed,
            _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
        })
    }

    fn family(self) -> AlgorithmFamily {
        match self {
            Self::Hmac(_) => AlgorithmFamily::Hmac,
            Self::Rsa { .. } => AlgorithmFamily::Rsa,
            Self::Ec { .. } => AlgorithmFamily::Ec,
            Self::Ed => AlgorithmFamily::Ed,
        }
    }
}

fn rsa_pair(der: &[u8]) -> Result<RsaKeyPair> {
    // PKCS #1 is what `jsonwebtoken` takes out of a PEM file; PKCS #8 is what others write.
    let pair = RsaKeyPair::from_der(der).or_else(|_| RsaKeyPair::from_pkcs8(der));
    pair.map_err(|error| new_error(ErrorKind::InvalidRsaKey(error.to_string())))
}

fn ec_pair(algorithm: &'static EcdsaSigningAlgorithm, der: &[u8]) -> Result<EcdsaKeyPair> {
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, der, &SystemRandom::new());
    pair.map_err(|_| ErrorKind::InvalidEcdsaKey.into())
}

fn ed_pair(der: &[u8]) -> Result<Ed25519KeyPair> {
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| ErrorKind::InvalidEddsaKey.into())
}

fn rsa_of_private(der: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let pair = rsa_pair(der)?;
    let numbers = PublicKeyComponents::<Vec<u8>>::from(pair.public());
    Ok((numbers.n, numbers.e))
}

fn rsa_of_public(der: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let wrong = || Error::from(ErrorKind::InvalidRsaKey("no `RSAPublicKey` in DER".to_owned()));
    der::rsa_public_key(der).ok_or_else(wrong)
}

fn ec_of_private(der: &[u8], algorithm: Algorithm) -> Result<(EllipticCurve, Vec<u8>, Vec<u8>)> {
    let (Method::Ec { signing, .. }, (curve, length)) = (
        Method::of(algorithm)?,
        match algorithm {
            Algorithm::ES384 => (EllipticCurve::P384, 48),
            _ => (EllipticCurve::P256, 32),
        },
    ) else {
        return Err(ErrorKind::InvalidEcdsaKey.into());
    };
    let pair = ec_pair(signing, der)?;
    // The uncompressed form of SEC 1: 0x04, x, y.
    let point = pair.public_key().as_ref().strip_prefix(&[4]);
    let (x, y) = point
        .and_then(|point| point.split_at_checked(length))
        .ok_or_else(|| Error::from(ErrorKind::InvalidEcdsaKey))?;
    Ok((curve, x.to_vec(), y.to_vec()))
}

fn ed_of_private(der: &[u8], curve: &EllipticCurve) -> Result<Vec<u8>> {
    match curve {
        EllipticCurve::Ed25519 => Ok(ed_pair(der)?.public_key().as_ref().to_vec()),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

fn compute_digest(data: &[u8], hash: ThumbprintHash) -> Result<Vec<u8>> {
    let algorithm = match hash {
        ThumbprintHash::SHA256 => &digest::SHA256,
        ThumbprintHash::SHA384 => &digest::SHA384,
        ThumbprintHash::SHA512 => &digest::SHA512,
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    };
    Ok(digest::digest(algorithm, data).as_ref().to_vec())
}
