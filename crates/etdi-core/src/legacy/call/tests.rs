//! The vectors of the fork, and signatures as its README states them. They need RSA keys.
#![cfg(feature = "rsa-keys")]

use futures_executor::block_on;

use super::*;
use crate::key::SigningKey;
use crate::request::MemoryReplayStore;

const NOW: UnixTime = UnixTime(1_767_323_045);

/// One key for all tests, because making one takes a while.
fn key(algorithm: Algorithm) -> SigningKey {
    static PEM: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let made = || SigningKey::generate_rsa(Algorithm::Rs256, 2048).unwrap().to_pkcs8_pem();
    let pem = PEM.get_or_init(|| made().to_string());
    SigningKey::from_pkcs8_pem(pem).unwrap().with_algorithm(algorithm).unwrap()
}

fn call() -> CallToolRequestParams {
    let mut params = CallToolRequestParams::new("get_weather");
    params.arguments = RawText::new(r#"{"city":"Zürich","days":3}"#).ok();
    params
}

fn signed() -> CallToolRequestParams {
    let mut params = call();
    sign(&mut params, &key(Algorithm::Rs256), NOW).unwrap();
    params
}

fn taker() -> LegacyCalls {
    LegacyCalls::new().key("laptop", key(Algorithm::Rs256).verifying_key().clone())
}

fn check(params: &CallToolRequestParams, now: UnixTime) -> Result<(), &'static str> {
    let checked = block_on(taker().check(params, &MemoryReplayStore::new(8), now));
    checked.map(|signed| assert!(signed.is_some())).map_err(|error| error.code())
}

#[test]
fn a_call_is_signed_as_the_readme_says() {
    let params = signed();
    assert_eq!(check(&params, NOW), Ok(()));
    let text = |name: &str| params.extra.get(name).unwrap().parse::<String>().unwrap();
    assert_eq!(text("etdi_algorithm"), "RS256");
    assert_eq!(text("etdi_key_id"), key(Algorithm::Rs256).id().to_string());
    assert_eq!(text("etdi_timestamp").len(), "2026-01-02T03:04:05.678901Z".len());
    let replay = MemoryReplayStore::new(8);
    assert!(block_on(taker().check(&params, &replay, NOW)).is_ok());
    let again = block_on(taker().check(&params, &replay, NOW));
    assert_eq!(again, Err(LegacyError::Replayed));
    assert_eq!(block_on(taker().check(&call(), &replay, NOW)), Ok(None), "unsigned");
}

#[test]
fn each_member_counts() {
    let with = |name: &str, value: &str| {
        let mut params = signed();
        params.extra.insert(name.to_owned(), RawText::new(value.to_owned()).unwrap());
        check(&params, NOW)
    };
    assert_eq!(with("etdi_signature", "\"AAAA\""), Err("SIGNATURE_INVALID"));
    assert_eq!(with("etdi_signature", "1"), Err("SIGNATURE_INVALID"));
    assert_eq!(with("etdi_timestamp", "\"2026-01-02T03:04:05Z\""), Err("SIGNATURE_INVALID"));
    assert_eq!(with("etdi_key_id", "\"../other\""), Err("KEY_UNKNOWN"));
    for algorithm in ["\"none\"", "\"HS256\"", "\"PS256\"", "\"\""] {
        assert_eq!(with("etdi_algorithm", algorithm), Err("SIGNATURE_INVALID"), "{algorithm}");
    }
    for name in FORK_MEMBERS {
        let mut params = signed();
        params.extra.remove(name);
        assert_eq!(check(&params, NOW), Err("SIGNATURE_INVALID"), "without {name}");
    }
    let mut other = signed();
    other.name = "pay".to_owned();
    assert_eq!(check(&other, NOW), Err("SIGNATURE_INVALID"));
    for arguments in [r#"{"city":"Bern","days":3}"#, r#"{"city":"Zürich","days":3.0}"#] {
        let mut other = signed();
        other.arguments = RawText::new(arguments).ok();
        assert_eq!(check(&other, NOW), Err("SIGNATURE_INVALID"));
    }
}

/// The fork has no bound in the future, and one of its stamps verifies ten years ahead.
#[test]
fn it_counts_for_five_minutes() {
    let params = signed();
    for (now, code) in [
        (NOW.plus(300), Ok(())),
        (NOW.plus(301), Err("STALE")),
        (NOW.minus(30), Ok(())),
        (NOW.minus(31), Err("STALE")),
    ] {
        assert_eq!(check(&params, now), code, "{now}");
    }
}

#[test]
fn times_are_utc_and_real() {
    for (text, seconds) in [
        ("2026-01-02T03:04:05Z", Some(1_767_323_045)),
        ("2026-01-02T03:04:05.678Z", Some(1_767_323_045)),
        ("2026-01-02T03:04:05.678901Z", Some(1_767_323_045)),
        ("2000-02-29T00:00:00Z", Some(951_782_400)),
        ("1970-01-01T00:00:00Z", Some(0)),
        ("2026-01-02T03:04:05+00:00", None),
        ("2026-01-02T03:04:05", None),
        ("2026-01-02 03:04:05Z", None),
        ("2026-01-02T03:04:05.6Z", None),
        ("2026-02-31T00:00:00Z", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-01-00T00:00:00Z", None),
        ("2026-01-02T24:00:00Z", None),
        ("0000-01-01T00:00:00Z", None),
        ("2026-01-02T03:04:0ézZ", None),
        ("", None),
    ] {
        assert_eq!(read_time(text).map(|time| time.0), seconds, "{text}");
    }
}

#[test]
fn other_keys_do_not_sign_like_this() {
    let eddsa = SigningKey::generate(Algorithm::EdDsa).unwrap();
    assert!(matches!(sign(&mut call(), &eddsa, NOW), Err(LegacyError::Signer(_))));
}

/// What the fork itself made, with a key that was thrown away.
#[cfg(feature = "python-fork")]
mod fork {
    use rsa::pkcs8::DecodePublicKey;
    use rsa::traits::PublicKeyParts;

    use super::*;

    const PUBLIC: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAj56blUtjs/CZkS8p2vwT\
        wtkh/aR/bHnF7sHLgEMyWJfP/6/5BNFaBv8Ptse+UsPpDasD7feNVdalPfragBsf\
        wFUrKfaXZDgV4PnKG7URGygWkeSHuLMbp703wgxSIpbm4WTrlQ16xh7x6/HEb5qc\
        g3zGGsAW2UDqCWegalasiiryb1Z4DQzl1tOW78xF1JJegPzSEV4Ie6rJzXEW+Ttb\
        jstuyUeNyJGSV8xMLmbap6ombDuJW15YCxrkcOCELzdelkA1BbD1ZYCkdcCY6E4T\
        UUzxUZt95eJXvkWb0d47VNBlPdg/tVSfjN++4TvcUPTyjjT8EyBmFjWx9p3o9+FS\
        YQIDAQAB";
    const SIGNATURE: &str = "cD61H4QE9o5TuxUQtfN46t1yPkWKXwayxZfN6xfN+sKqLqfP4EIbl2KWbxHMhDzYo5Cg4up42NpwupYNwFODxbTV2i0d8WMnjRdyXCexSo5LP6RHyneHI+YkMyTcMp3/uoz0RNNZvhuI1s+pcSwYnRZl1iGtLHhRsuOTChKg3ORWqHbjy+dpt4mM8/IGZ8M/rt/UfgM+wIEgALm17nwPp9d75DbIpcR86O4ER0GGyXF7LZzwLDkT84vaJEM8mgpltYvBrxt/2dFQeOb9oobV85ei96EvuTyvrnls4xXE7MbcM1/tzFjVXItS9wuMxE+1xfp9+cHxpt89rjepp0Dyyw==";

    fn public() -> VerifyingKey {
        let der = STANDARD.decode(PUBLIC).unwrap();
        let key = rsa::RsaPublicKey::from_public_key_der(&der).unwrap();
        let number = |number: &rsa::BigUint| crate::base64url::encode(&number.to_bytes_be());
        let (n, e) = (number(key.n()), number(key.e()));
        VerifyingKey::from_jwk(&format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"}}"#)).unwrap()
    }

    fn request(signature: &str) -> CallToolRequestParams {
        let mut params = call();
        let values = [signature, "2026-01-02T03:04:05.678901Z", "vec-key-1", "RS256"];
        for (name, value) in FORK_MEMBERS.into_iter().zip(values) {
            params.extra.insert(name, RawText::of(value).unwrap());
        }
        params
    }

    #[test]
    fn the_golden_vector_of_the_fork_holds() {
        let payload = payload(
            "get_weather",
            Some(r#"{"city":"Zürich","days":3}"#),
            "2026-01-02T03:04:05.678901Z",
        );
        let hash = ring::digest::digest(&ring::digest::SHA256, payload.unwrap().as_bytes());
        let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "7ddef39d996e31544efc5631104302e15d1209d55051c911143a5bc1c17f18fd");

        let check = |calls: LegacyCalls, params: &CallToolRequestParams| {
            block_on(calls.check(params, &MemoryReplayStore::new(8), NOW))
        };
        let known = || LegacyCalls::new().key("vec-key-1", public());
        let found = check(known().as_the_fork_does(), &request(SIGNATURE)).unwrap().unwrap();
        assert_eq!((found.key_id.as_str(), found.key), ("vec-key-1", public().id()));
        // It is no signature as the README says, so it counts behind the flag alone.
        assert_eq!(check(known(), &request(SIGNATURE)), Err(LegacyError::Signature));
        let mut other = request(SIGNATURE);
        other.arguments = RawText::new(r#"{"city":"Bern","days":3}"#).ok();
        assert!(check(known().as_the_fork_does(), &other).is_err());
        let bent = format!("d{}", &SIGNATURE[1..]);
        assert!(check(known().as_the_fork_does(), &request(&bent)).is_err());
    }

    /// Its verifier takes any length of salt, so ours of 32 bytes will do.
    #[test]
    fn what_we_write_for_the_fork_is_what_it_verifies() {
        let pss = key(Algorithm::Ps256);
        let mut params = call();
        sign(&mut params, &pss, NOW).unwrap();
        let rs = key(Algorithm::Rs256);
        let calls = LegacyCalls::new().key("laptop", rs.verifying_key().clone());
        let replay = MemoryReplayStore::new(8);
        assert!(block_on(calls.clone().check(&params, &replay, NOW)).is_err());
        assert!(block_on(calls.as_the_fork_does().check(&params, &replay, NOW)).unwrap().is_some());
    }
}
