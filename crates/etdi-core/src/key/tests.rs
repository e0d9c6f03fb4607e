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
        (r#"{"kty":"RSA","n":"AQ","e":"AQAB"}"#, KeyError::Unsupported),
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
    let rsa = r#"{"kty":"RSA","n":"AQ","e":"AQAB"}"#;
    let text = format!(r#"{{"keys":[{ED_PUBLIC},{rsa},{EC_PUBLIC}]}}"#);
    let ring = KeyRing::from_jwks(&text).unwrap();
    assert_eq!(ring.iter().count(), 2);
    assert!(ring.get(ED_THUMBPRINT.parse().unwrap()).is_some());
    assert_eq!(KeyRing::from_jwks(&ring.to_jwks()).unwrap(), ring);
    assert_eq!(KeyRing::from_jwks("{}").unwrap_err(), KeyError::Jwks);
    let many = format!(r#"{{"keys":[{}]}}"#, vec![rsa; 257].join(","));
    assert_eq!(KeyRing::from_jwks(&many).unwrap_err(), KeyError::Jwks);
}

/// RFC 7515, appendix A.2.
const RSA_PUBLIC: &str = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
const RSA_SIGNED: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const RSA_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

#[test]
fn rfc_7515_rs256() {
    let public = VerifyingKey::from_jwk(RSA_PUBLIC).unwrap();
    assert_eq!(public.algorithm(), Algorithm::Rs256);
    let signature = base64url::decode(RSA_SIGNATURE).unwrap();
    assert!(public.verify(RSA_SIGNED.as_bytes(), &signature));
    assert!(!public.verify(b"else", &signature));
    // The same key never takes the other padding.
    let pss = public.with_algorithm(Algorithm::Ps256).unwrap();
    assert!(!pss.verify(RSA_SIGNED.as_bytes(), &signature));
    assert_eq!(VerifyingKey::from_jwk(&pss.to_jwk()).unwrap(), pss);
    for length in [0, 1, 64, 255, 256, 257, 512] {
        assert!(!pss.verify(b"anything", &vec![0; length]));
    }
}

#[test]
fn rfc_7638_thumbprint() {
    // The example of section 3.1 has this key; its `kid` is a date, as issuers like it.
    let text = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
    assert_eq!(VerifyingKey::from_jwk(text).unwrap_err(), KeyError::KeyId);
    let set =
        JwkSet::read(&format!(r#"{{"keys":[{text}]}}"#), AllowList::IDENTITY_PROVIDER).unwrap();
    let key = set.get("2011-04-29").unwrap();
    assert_eq!(key.id().to_string(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    let ours = JwkSet::read(&format!(r#"{{"keys":[{text}]}}"#), AllowList::STATEMENTS).unwrap();
    assert!(ours.is_empty(), "RSA does not count for our own statements");
}

#[test]
fn rsa_keys_that_are_too_weak_or_not_strict() {
    let n = |bytes: &[u8]| base64url::encode(bytes);
    let jwk = |modulus: &str, e: &str| format!(r#"{{"kty":"RSA","n":"{modulus}","e":"{e}"}}"#);
    let mut small = vec![0xff; 255];
    small[254] = 0xff;
    let mut good = vec![0xff; 256];
    for (text, error) in [
        (jwk(&n(&small), "AQAB"), KeyError::Unsupported),
        (jwk(&n(&[&[0x7f][..], &[0xff; 255]].concat()), "AQAB"), KeyError::Unsupported),
        (jwk(&n(&[&[1][..], &[0xff; 1024]].concat()), "AQAB"), KeyError::Unsupported),
        (jwk(&n(&[&[0][..], &good].concat()), "AQAB"), KeyError::Jwk),
        (jwk(&n(&good), "Aw"), KeyError::Unsupported),
        (jwk(&n(&good), "AQAA"), KeyError::Unsupported),
        (jwk(&n(&good), "AAEAAQ"), KeyError::Jwk),
        (jwk(&n(&good), "AgAAAAE"), KeyError::Unsupported),
        (jwk(&n(&good), ""), KeyError::Unsupported),
        (jwk(&n(&good), "AQAB").replace('}', r#","p":"AQ"}"#), KeyError::PrivateJwk),
        (jwk(&n(&good), "AQAB").replace('}', r#","alg":"ES256"}"#), KeyError::OtherPurpose),
        (jwk(&n(&good), "AQAB").replace('}', r#","alg":"RS512"}"#), KeyError::OtherPurpose),
        (jwk(&n(&good), "AQAB").replace('}', r#","alg":"HS256"}"#), KeyError::OtherPurpose),
    ] {
        assert_eq!(VerifyingKey::from_jwk(&text).unwrap_err(), error, "{text}");
    }
    assert!(VerifyingKey::from_jwk(&jwk(&n(&good), "AQAB")).is_ok());
    good[255] = 0xfe;
    assert_eq!(VerifyingKey::from_jwk(&jwk(&n(&good), "AQAB")).unwrap_err(), KeyError::Unsupported);
}

#[test]
fn operations_and_names_of_a_jwk() {
    for (member, fits) in [
        (r#""key_ops":["verify"]"#, true),
        (r#""key_ops":["sign","verify"]"#, true),
        (r#""key_ops":["verify","verify"]"#, false),
        (r#""key_ops":["verify","encrypt"]"#, false),
        (r#""key_ops":"verify""#, false),
        (r#""use":"sig""#, true),
        (r#""use":null"#, false),
        (r#""alg":"EdDSA""#, true),
        (r#""alg":1"#, false),
    ] {
        let text = ED_PUBLIC.replace('}', &format!(",{member}}}"));
        assert_eq!(VerifyingKey::from_jwk(&text).is_ok(), fits, "{member}");
    }
    for (kid, error) in
        [("\"key-1\"", KeyError::KeyId), ("1", KeyError::Jwk), ("\"\"", KeyError::KeyId)]
    {
        let text = ED_PUBLIC.replace('}', &format!(r#","kid":{kid}}}"#));
        assert_eq!(VerifyingKey::from_jwk(&text).unwrap_err(), error, "{kid}");
    }
}

#[test]
fn sets_hold_a_key_once_and_a_name_once() {
    let ed = |kid: &str| ED_PUBLIC.replace('}', &format!(r#","kid":"{kid}"}}"#));
    let ec = |kid: &str| EC_PUBLIC.replace('}', &format!(r#","kid":"{kid}"}}"#));
    let read = |keys: &[&str]| {
        let text = format!(r#"{{"keys":[{}]}}"#, keys.join(","));
        JwkSet::read(&text, AllowList::IDENTITY_PROVIDER)
    };
    assert_eq!(read(&[&ed("a"), &ec("b")]).unwrap().keys().iter().count(), 2);
    assert_eq!(read(&[&ed("a"), &ed("b")]).unwrap_err(), KeyError::Duplicate);
    assert_eq!(read(&[&ed("a"), &ec("a")]).unwrap_err(), KeyError::Duplicate);
    assert_eq!(read(&[&ec(ED_THUMBPRINT), ED_PUBLIC]).unwrap_err(), KeyError::Duplicate);
    assert_eq!(read(&[&ed(&"a".repeat(257))]).unwrap_err(), KeyError::Jwk);
    let twice = format!(r#"{{"keys":[{ED_PUBLIC},{ED_PUBLIC}]}}"#);
    assert_eq!(KeyRing::from_jwks(&twice).unwrap_err(), KeyError::Duplicate);
}

#[cfg(feature = "rsa-keys")]
#[test]
fn rsa_keys_are_made_and_sign() {
    let key = SigningKey::generate_rsa(Algorithm::Rs256, 2048).unwrap();
    let key = SigningKey::from_pkcs8_pem(&key.to_pkcs8_pem()).unwrap();
    let public = VerifyingKey::from_jwk(&key.verifying_key().to_jwk()).unwrap();
    let signature = key.sign(b"x").unwrap();
    assert_eq!((signature.len(), public.algorithm()), (256, Algorithm::Rs256));
    assert!(public.verify(b"x", &signature) && !public.verify(b"y", &signature));
    let key = key.with_algorithm(Algorithm::Ps256).unwrap();
    let signature = key.sign(b"x").unwrap();
    assert!(key.verifying_key().verify(b"x", &signature));
    assert!(!public.verify(b"x", &signature), "PS256 is not RS256");
    assert_eq!(SigningKey::generate_rsa(Algorithm::Rs256, 1024).unwrap_err(), KeyError::Size(1024));
    assert!(key.with_algorithm(Algorithm::EdDsa).is_err());
}
