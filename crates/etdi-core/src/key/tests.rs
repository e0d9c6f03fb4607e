//! The vectors of RFC 7515, RFC 7638 and RFC 8037, and what is no key.

use super::*;

/// RFC 8037, appendix A: the key pair, its thumbprint and a signature.
const ED_PUBLIC: &str =
    r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const ED_THUMBPRINT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
const ED_SIGNED: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
const ED_SIGNATURE: &str =
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
/// The same private key, wrapped by hand as RFC 8410 says.
const ED_PRIVATE: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";

/// RFC 7515, appendix A.3.
const EC_PUBLIC: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const EC_SIGNED: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const EC_SIGNATURE: &str =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

fn ed25519_from_seed(seed: &[u8]) -> SigningKey {
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend(seed);
    SigningKey::from_pkcs8_der(&der).unwrap()
}

#[test]
fn rfc_8037() {
    let public = VerifyingKey::from_jwk(ED_PUBLIC).unwrap();
    assert_eq!(public.id().to_string(), ED_THUMBPRINT);
    assert_eq!(public.algorithm(), Algorithm::EdDsa);
    let signature = base64url::decode(ED_SIGNATURE).unwrap();
    assert!(public.verify(ED_SIGNED.as_bytes(), &signature));

    let private = ed25519_from_seed(&base64url::decode(ED_PRIVATE).unwrap());
    assert_eq!(private.verifying_key(), &public);
    assert_eq!(private.sign(ED_SIGNED.as_bytes()).unwrap(), signature);
}

#[test]
fn rfc_7515_es256() {
    let public = VerifyingKey::from_jwk(EC_PUBLIC).unwrap();
    assert_eq!(public.algorithm(), Algorithm::Es256);
    let signature = base64url::decode(EC_SIGNATURE).unwrap();
    assert!(public.verify(EC_SIGNED.as_bytes(), &signature));
    // The RFC's private key is not usable for comparison: ECDSA takes a random number.
}

#[test]
fn a_signature_of_zeros_is_refused() {
    for jwk in [ED_PUBLIC, EC_PUBLIC] {
        let key = VerifyingKey::from_jwk(jwk).unwrap();
        for length in [0, 1, 63, 64, 65, 128] {
            assert!(!key.verify(b"anything", &vec![0; length]));
        }
    }
}

#[test]
fn keys_come_back_from_every_form() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let key = SigningKey::generate(algorithm).unwrap();
        let pem = key.to_pkcs8_pem();
        let again = SigningKey::from_pkcs8_pem(&pem).unwrap();
        assert_eq!(again.id(), key.id());
        assert_eq!(again.verifying_key().algorithm(), algorithm);
        assert_eq!(VerifyingKey::from_jwk(&key.verifying_key().to_jwk()).unwrap(), again.public);
        let signature = again.sign(b"x").unwrap();
        assert!(key.verifying_key().verify(b"x", &signature));
        assert!(!key.verifying_key().verify(b"y", &signature));
        let shown = format!("{key:?} {:?}", key.verifying_key());
        let secret = pem.lines().nth(1).unwrap();
        assert!(!shown.contains(secret) && shown.contains(&key.id().to_string()));

        let windows = format!("  {}  ", pem.replace('\n', "\r\n"));
        assert_eq!(SigningKey::from_pkcs8_pem(&windows).unwrap().id(), key.id());
        for bad in [
            pem.replace("PRIVATE", "PUBLIC"),
            pem.replace("PRIVATE", "EC PRIVATE"),
            format!("{}{}", *pem, *pem),
            pem.replace("-----END", "----END"),
            String::new(),
        ] {
            assert_eq!(SigningKey::from_pkcs8_pem(&bad).unwrap_err(), KeyError::Pem, "{bad}");
        }
        let cut = pem.replace(secret, &secret[4..]);
        assert_eq!(SigningKey::from_pkcs8_pem(&cut).unwrap_err(), KeyError::Pkcs8);
    }
}

#[test]
fn what_is_no_public_key() {
    for (jwk, error) in [
        ("", KeyError::Jwk),
        ("[]", KeyError::Unsupported),
        (r#"{"kty":"OKP","crv":"Ed25519"}"#, KeyError::Jwk),
        (r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#, KeyError::Jwk),
        (r#"{"kty":"oct","k":"AA"}"#, KeyError::PrivateJwk),
        (r#"{"kty":"RSA","n":"AA","e":"AQAB"}"#, KeyError::Unsupported),
        (r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#, KeyError::Unsupported),
        (r#"{"kty":"OKP","kty":"EC"}"#, KeyError::Jwk),
        (&ED_PUBLIC.replace('}', r#","d":"AA"}"#), KeyError::PrivateJwk),
        (&ED_PUBLIC.replace('}', r#","alg":"ES256"}"#), KeyError::OtherPurpose),
        (&ED_PUBLIC.replace('}', r#","alg":"HS256"}"#), KeyError::OtherPurpose),
        (&ED_PUBLIC.replace('}', r#","use":"enc"}"#), KeyError::OtherPurpose),
        (&ED_PUBLIC.replace('}', r#","key_ops":["sign"]}"#), KeyError::OtherPurpose),
        (&ED_PUBLIC.replace("URo", "URp"), KeyError::Jwk),
    ] {
        assert_eq!(VerifyingKey::from_jwk(jwk).unwrap_err(), error, "{jwk}");
    }
}

#[test]
fn a_ring_leaves_other_keys_out() {
    let rsa = r#"{"kty":"RSA","n":"AA","e":"AQAB"}"#;
    let text = format!(r#"{{"keys":[{ED_PUBLIC},{rsa},{EC_PUBLIC}]}}"#);
    let ring = KeyRing::from_jwks(&text).unwrap();
    assert_eq!(ring.iter().count(), 2);
    assert!(ring.get(ED_THUMBPRINT.parse().unwrap()).is_some());
    assert_eq!(KeyRing::from_jwks(&ring.to_jwks()).unwrap(), ring);
    assert_eq!(KeyRing::from_jwks("{}").unwrap_err(), KeyError::Jwks);
    let many = format!(r#"{{"keys":[{}]}}"#, vec![rsa; 257].join(","));
    assert_eq!(KeyRing::from_jwks(&many).unwrap_err(), KeyError::Jwks);
}
