//! Project Wycheproof's vectors for every algorithm that counts; `vectors/NOTICE` says what they are.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::*;

fn decode(text: &str) -> Vec<u8> {
    if text == "." { Vec::new() } else { base64url::decode(text).unwrap() }
}

/// Reads each key as a JWK, checks each signature, and gives how many were valid and not.
fn run(table: &str, jwk: impl Fn(&[&str]) -> String) -> (usize, usize) {
    let (mut valid, mut invalid) = (0, 0);
    let mut key: Option<VerifyingKey> = None;
    for (number, line) in table.lines().enumerate() {
        let parts: Vec<&str> = line.split(' ').collect();
        if parts[0] == "key" {
            key = VerifyingKey::from_jwk(&jwk(&parts[1..])).ok();
            // An exponent of 3 is no key here, so that none of its signatures counts.
            assert_eq!(key.is_none(), parts.get(2) == Some(&"Aw"), "line {number}");
            continue;
        }
        let (message, signature) = (decode(parts[1]), decode(parts[2]));
        let accepted = key.as_ref().is_some_and(|key| key.verify(&message, &signature));
        assert_eq!(accepted, parts[0] == "+" && key.is_some(), "line {number}");
        *(if accepted { &mut valid } else { &mut invalid }) += 1;
    }
    (valid, invalid)
}

fn rsa_jwk(algorithm: &'static str) -> impl Fn(&[&str]) -> String {
    move |key| format!(r#"{{"kty":"RSA","alg":"{algorithm}","n":"{}","e":"{}"}}"#, key[0], key[1])
}

#[test]
fn ed25519() {
    let table = include_str!("vectors/ed25519.txt");
    let jwk = |key: &[&str]| format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, key[0]);
    assert_eq!(run(table, jwk), (88, 63));
}

#[test]
fn es256() {
    let table = include_str!("vectors/es256.txt");
    let jwk =
        |key: &[&str]| format!(r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}"#, key[0], key[1]);
    assert_eq!(run(table, jwk), (173, 89));
}

#[test]
fn rs256() {
    let (valid, invalid) = run(include_str!("vectors/rs256.txt"), rsa_jwk("RS256"));
    assert_eq!(valid + invalid, 776);
    assert!(valid >= 15, "{valid}");
}

#[test]
fn ps256() {
    let (valid, invalid) = run(include_str!("vectors/ps256.txt"), rsa_jwk("PS256"));
    assert_eq!((valid, invalid), (189, 135));
    assert_eq!(run(include_str!("vectors/ps256_other.txt"), rsa_jwk("PS256")), (0, 40));
    // Signatures of one padding never count for the other.
    let valid = include_str!("vectors/ps256.txt").lines().filter(|line| !line.starts_with('-'));
    let valid: Vec<String> = valid.map(|line| line.replacen('+', "-", 1)).collect();
    assert_eq!(run(&valid.join("\n"), rsa_jwk("RS256")), (0, 189));
}

/// What seals records and keys.
#[test]
fn aes_256_gcm() {
    let mut valid = 0;
    for (number, line) in include_str!("vectors/aes256gcm.txt").lines().enumerate() {
        let parts: Vec<Vec<u8>> = line.split(' ').skip(1).map(decode).collect();
        let [key, nonce, data, text, sealed, tag] = parts.try_into().unwrap();
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
        let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
        let mut sealed = [sealed, tag].concat();
        let opened = key.open_in_place(nonce, Aad::from(&data), &mut sealed);
        match line.starts_with('+') {
            true => assert_eq!(opened.unwrap(), text, "line {number}"),
            false => assert!(opened.is_err(), "line {number}"),
        }
        valid += usize::from(line.starts_with('+'));
    }
    assert!(valid > 20, "{valid}");
}
