//! Access tokens as they should be, and the means to make others of them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use etdi::core::key::{Algorithm, SigningKey};
use etdi::core::time::UnixTime;
use etdi_oauth::{Fetch, FetchError, FetchRequest, FetchResponse, Issuer, Issuers, JwtVerifier};
use mcp_types::BoxFuture;
use serde_json::{Map, Value, json};

pub(super) const NOW: UnixTime = UnixTime(1_800_000_000);
pub(super) const ISSUER: &str = "https://id.example.com";
pub(super) const OTHER: &str = "https://login.example.org";
pub(super) const AUDIENCE: &str = "https://mcp.example.com/mcp";

/// Made for these tests, and for nothing else.
const RSA: &str = "\
    MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDkoXRd3bzzhgJD5kW49KmMaRdpt9/Uj88Bp/Km\
    8juMaJoE7aZty/3+/z8GkE10/+V8GOuwxlo54iMuxbmxBfUSBBq2rwwCAvRmc04ecBOGkMn0RAcxbGCqYsqelRfV\
    4zllrlU9Z6++QMTCqY5Mppy7PHmDssg+y6NwQH25OnNovycobNwlJoG76BHuWJrMoUS7kVH+ewWBNjMnZOMMPTOZ\
    EZ6LGQfMrK1Evy4aBKgW0/iBeD2d5nn9tlYFe9iX0g5UxwVNP0Y/9sphH+jNK80J0UAI/18/2f1nnrNFWEZZtya5\
    eJEzJVXbBiJpeiKEBUU7RxUcPxjhYva1oYVAByp/AgMBAAECggEASPgAsD6nYh+4lFwnj4bCoDYgS1TsoqY9Pr2P\
    89lmyQLPeVgx4GQVTi+/uUQP/JH5d5hqjLJZtJSofvKLN+T7WQMnVXvbvL6dqx8M5SkHClEmq4eUtiDtXyQFoARc\
    pZ6OQJYZzW3MyM9aHPjJmkwoxJdh/vbt8yDCKn7iwV3W3Kxe+4vmgzf5P8l8FdFLhK2CIQXrNBLQmamuzaVB5e3e\
    IljRK3vtkBGyJchCsO4W14d/Mag3f47m5iihxbVbdThmVyi5siZRzeJpLUf7iGevLRK1X7h68ueJ78It36o4Dfjo\
    C9sP+donZJbMznWPht8GxCrglgIFX0kYxzsRtNYHDQKBgQD6BNpmZHKMPgmEv7Om/75kEaHBMnnz1bACgXr1UHiZ\
    AgNDCl+wWK3WOd3Yxw2M3lN1XIqZsV+25mr2g03HgDMyvLyWBJQgsO9DNx4QpYtxrDlgAJdKDirHe2/7MJ4CTmPF\
    Fh/tEJ8ZgTRRP/qs40QDK6PoEQQU4cesiThD0zaifQKBgQDqGZ3zqVUeRPE2LTObkAVKUVxNLo2zZGYpHfRcqrDt\
    vXtBRtsrhuCWnBxpdhUA01di0y2TYR4hU1VJogyQ8o/pvdvg9/nHE39DQ93WzcIB5oOSL8gb6J3sv0tFeCz0w0rv\
    qGl0I957qsXlu6D1S5aUF3Ana+AnWPPk69IqBNP1qwKBgBPp9wtYzNbmyhNMwZ53mE6YKO4eeyA00QQiFA0eD70A\
    MApS9TQynAYILedqU2X4/2TFrjR3sEv9Jl/kLXnKeEl+Rvcb/kBsV2JfLYHd7bFsKlW/Nk2ruzSQXGcBhFRisges\
    r3ZOcJ2zcNtX4TuMDorCGxgM4upW4XSYqWadmChxAoGBANPdO0Y6Cf7LBkKxxfMT9LW9zHtNlpC0XID5yx3SnS2M\
    PvBk4BYUi03DGzOW2otUudGGrcikLFCcyqNJNXY5EGXKniSMSFITIyoNUcgFj3+Iz6qN89zOOZ75wXWtvYIG/NrI\
    4CdsDv59H306wgE915lPXQFQcB0sNA8KHbpJhErhAoGBANvsvVBsl1owUaWBGglOYbc5DCrmv2o43OpdnHB23Yiu\
    wDovkwx22Kfg1PHTeBK29XAeUPc+Fct4+fs06SrhtWQSvqU9TPX0NbvrhvcxwXJZ7fZ8ylcokx02HKjM9tpGwGOl\
    Y6JQ8PFESgA8JEgMRECvz0nSLiWCEbysl4M8a5rn";

/// The keys of the issuer, of another one, and of somebody who is none.
pub(super) struct Keys {
    pub(super) ec: SigningKey,
    pub(super) ed: SigningKey,
    pub(super) rsa: SigningKey,
    pub(super) pss: SigningKey,
    pub(super) other: SigningKey,
    pub(super) stranger: SigningKey,
}

pub(super) static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let rsa = || SigningKey::from_pkcs8_der(&STANDARD.decode(RSA).unwrap()).unwrap();
    let ec = || SigningKey::generate(Algorithm::Es256).unwrap();
    Keys {
        ec: ec(),
        ed: SigningKey::generate(Algorithm::EdDsa).unwrap(),
        rsa: rsa(),
        pss: rsa().with_algorithm(Algorithm::Ps256).unwrap(),
        other: ec(),
        stranger: ec(),
    }
});

/// Answers by URL.
#[derive(Default)]
pub(super) struct Table(pub(super) Mutex<HashMap<String, String>>);

impl Fetch for Table {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, FetchError>> {
        let answer = self.0.lock().unwrap().get(&request.url).cloned();
        Box::pin(async move {
            Ok(match answer {
                Some(text) => FetchResponse::new(200, text.into_bytes()),
                None => FetchResponse::new(404, Vec::new()),
            })
        })
    }
}

pub(super) fn jwk(kid: &str, key: &SigningKey) -> Value {
    let mut jwk: Value = serde_json::from_str(&key.verifying_key().to_jwk()).unwrap();
    jwk["kid"] = json!(kid);
    jwk
}

/// A server of [`AUDIENCE`] that takes tokens of two issuers, each by its own keys.
pub(super) fn verifier() -> JwtVerifier {
    let table = Table::default();
    let own = [jwk("ec", &KEYS.ec), jwk("ed", &KEYS.ed), jwk("rsa", &KEYS.rsa)];
    let others = [jwk("other", &KEYS.other)];
    let mut answers = table.0.lock().unwrap();
    answers.insert(format!("{ISSUER}/jwks"), json!({ "keys": own }).to_string());
    answers.insert(format!("{OTHER}/jwks"), json!({ "keys": others }).to_string());
    drop(answers);
    let issuer = |name: &str| Issuer::new(name, AUDIENCE).jwks_uri(format!("{name}/jwks"));
    let issuers = Issuers::from(issuer(ISSUER).only_clients(["console"])).and(issuer(OTHER));
    JwtVerifier::new(issuers, Arc::new(table)).unwrap()
}

/// How a token is signed.
#[derive(Clone)]
pub(super) enum By {
    Ec,
    Ed,
    Rsa,
    Pss,
    Other,
    Stranger,
    /// With these bytes as the shared key.
    Hmac(Vec<u8>),
    /// Not at all: this is what stands there.
    Text(String),
}

/// A token that is made.
pub(super) struct Forged {
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
    pub(super) by: By,
    /// In place of the header or claims as they are.
    pub(super) raw_header: Option<Vec<u8>>,
    pub(super) raw_claims: Option<Vec<u8>>,
    /// What becomes of the whole text.
    pub(super) then: fn(String) -> String,
}

impl Forged {
    /// A token that counts.
    pub(super) fn new() -> Self {
        let Value::Object(header) = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "ec" }) else {
            panic!("no object")
        };
        let Value::Object(claims) = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "client_id": "console", "jti": "1",
            "iat": NOW.0 - 5, "exp": NOW.0 + 600, "scope": "notes:read",
        }) else {
            panic!("no object")
        };
        let (raw_header, raw_claims) = (None, None);
        Self { header, claims, by: By::Ec, raw_header, raw_claims, then: |text| text }
    }

    /// The same by another key of the issuer.
    pub(super) fn signed(by: By, alg: &str, kid: &str) -> Self {
        let mut forged = Self::new();
        forged.head("alg", json!(alg));
        forged.head("kid", json!(kid));
        forged.by = by;
        forged
    }

    pub(super) fn head(&mut self, name: &str, value: Value) {
        self.header.insert(name.to_owned(), value);
    }

    pub(super) fn claim(&mut self, name: &str, value: Value) {
        self.claims.insert(name.to_owned(), value);
    }

    pub(super) fn text(self) -> String {
        let json = |map: Map<String, Value>| Value::Object(map).to_string().into_bytes();
        let header = self.raw_header.unwrap_or_else(|| json(self.header));
        let claims = self.raw_claims.unwrap_or_else(|| json(self.claims));
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let by = |key: &SigningKey| encode(&key.sign(signed.as_bytes()).unwrap());
        let signature = match self.by {
            By::Ec => by(&KEYS.ec),
            By::Ed => by(&KEYS.ed),
            By::Rsa => by(&KEYS.rsa),
            By::Pss => by(&KEYS.pss),
            By::Other => by(&KEYS.other),
            By::Stranger => by(&KEYS.stranger),
            By::Hmac(secret) => {
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
                encode(ring::hmac::sign(&key, signed.as_bytes()).as_ref())
            }
            By::Text(text) => text,
        };
        (self.then)(format!("{signed}.{signature}"))
    }
}
