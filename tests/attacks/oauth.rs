//! T22, T24, T32: access tokens that are forged, stolen, meant for others or read in two ways.
//!
//! One token counts; each case changes one thing of it and is refused for just that.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use etdi_oauth::VerifyToken as _;
use serde_json::{Value, json};

use forge::{AUDIENCE, By, Forged, ISSUER, KEYS, NOW, OTHER, jwk, verifier};

mod forge;
mod gate;
mod resolver;
mod statements;
mod trail;

/// A name, the code of the refusal, and what is changed.
type Case = (&'static str, &'static str, fn(&mut Forged));

#[tokio::test]
async fn what_is_as_it_should_be_counts() {
    let verifier = verifier();
    for forged in [
        Forged::new(),
        Forged::signed(By::Ed, "EdDSA", "ed"),
        Forged::signed(By::Rsa, "RS256", "rsa"),
    ] {
        let token = verifier.verify(&forged.text(), NOW).await.unwrap();
        assert_eq!((&*token.subject, token.client.as_deref()), ("ada", Some("console")));
    }
    let mut of_other = Forged::signed(By::Other, "ES256", "other");
    of_other.claim("iss", json!(OTHER));
    verifier.verify(&of_other.text(), NOW).await.unwrap();
    let mut lists = Forged::new();
    lists.claim("aud", json!(["https://other.example.com", AUDIENCE]));
    lists.claim("exp", json!(NOW.0 as f64 + 0.5));
    lists.claim("nbf", json!(NOW.0 + 60));
    lists.head("typ", json!("application/AT+JWT"));
    lists.head("x5t", json!("ignored"));
    verifier.verify(&lists.text(), NOW).await.unwrap();
}

#[tokio::test]
async fn whatever_is_changed_is_refused_for_that() {
    let (verifier, mut wrong, mut count) = (verifier(), Vec::new(), 0);
    for (name, code, change) in [ALGORITHMS, KEY_NAMES, SIGNATURES, TEXTS, TYPES]
        .into_iter()
        .chain([TIMES, AUDIENCES, ISSUERS, CLAIMS])
        .flatten()
    {
        let mut forged = Forged::new();
        change(&mut forged);
        count += 1;
        match verifier.verify(&forged.text(), NOW).await {
            Ok(_) => wrong.push(format!("{name}: it counts")),
            Err(refusal) if refusal.code() != *code => {
                wrong.push(format!("{name}: {}, expected {code}: {refusal}", refusal.code()));
            }
            Err(refusal) => assert!(!refusal.summary().is_empty()),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 120, "{count}");
}

/// A shared key that everybody knows: a public one.
fn shared(forged: &mut Forged, alg: &str, secret: Vec<u8>) {
    forged.head("alg", json!(alg));
    forged.by = By::Hmac(secret);
}

fn public(kid: &str) -> Value {
    match kid {
        "rsa" => jwk(kid, &KEYS.rsa),
        _ => jwk(kid, &KEYS.ec),
    }
}

fn number(kid: &str, name: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(public(kid)[name].as_str().unwrap()).unwrap()
}

/// The signature, which the function changes.
fn resigned(text: String, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
    let (signed, signature) = text.rsplit_once('.').unwrap();
    let signature = change(URL_SAFE_NO_PAD.decode(signature).unwrap());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Header or claims, which the function changes after they were signed.
fn changed(text: String, part: usize, from: &str, to: &str) -> String {
    let mut parts: Vec<String> = text.split('.').map(str::to_owned).collect();
    let old = String::from_utf8(URL_SAFE_NO_PAD.decode(&parts[part]).unwrap()).unwrap();
    let new = old.replacen(from, to, 1);
    assert_ne!(old, new);
    parts[part] = URL_SAFE_NO_PAD.encode(new);
    parts.join(".")
}

fn alg(forged: &mut Forged, named: Value) {
    forged.head("alg", named);
}

const ALGORITHMS: &[Case] = &[
    ("none without a signature", "ALGORITHM", |it| {
        alg(it, json!("none"));
        it.by = By::Text(String::new());
    }),
    ("none with a signature", "ALGORITHM", |it| alg(it, json!("none"))),
    ("None", "ALGORITHM", |it| alg(it, json!("None"))),
    ("NONE", "ALGORITHM", |it| alg(it, json!("NONE"))),
    ("nOnE", "ALGORITHM", |it| alg(it, json!("nOnE"))),
    ("no algorithm", "ALGORITHM", |it| _ = it.header.remove("alg")),
    ("an algorithm of null", "ALGORITHM", |it| alg(it, Value::Null)),
    ("an algorithm of 0", "ALGORITHM", |it| alg(it, json!(0))),
    ("a list of algorithms", "ALGORITHM", |it| alg(it, json!(["ES256"]))),
    ("an empty algorithm", "ALGORITHM", |it| alg(it, json!(""))),
    ("an algorithm in small letters", "ALGORITHM", |it| alg(it, json!("es256"))),
    ("an algorithm with a blank", "ALGORITHM", |it| alg(it, json!("ES256 "))),
    ("HS256 keyed by the public key as JWK", "ALGORITHM", |it| {
        shared(it, "HS256", public("ec").to_string().into_bytes());
    }),
    ("HS256 keyed by the point of the public key", "ALGORITHM", |it| {
        shared(it, "HS256", [vec![4], number("ec", "x"), number("ec", "y")].concat());
    }),
    ("HS256 keyed by the modulus", "ALGORITHM", |it| {
        it.head("kid", json!("rsa"));
        shared(it, "HS256", number("rsa", "n"));
    }),
    ("HS256 keyed by the public key as PEM", "ALGORITHM", |it| {
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(number("rsa", "n"))
        );
        it.head("kid", json!("rsa"));
        shared(it, "HS256", pem.into_bytes());
    }),
    ("HS256 keyed by nothing", "ALGORITHM", |it| shared(it, "HS256", Vec::new())),
    ("HS256 keyed by `secret`", "ALGORITHM", |it| shared(it, "HS256", b"secret".to_vec())),
    ("HS384", "ALGORITHM", |it| shared(it, "HS384", public("ec").to_string().into_bytes())),
    ("HS512", "ALGORITHM", |it| shared(it, "HS512", public("ec").to_string().into_bytes())),
    ("ES384", "ALGORITHM", |it| alg(it, json!("ES384"))),
    ("ES512", "ALGORITHM", |it| alg(it, json!("ES512"))),
    ("ES256K", "ALGORITHM", |it| alg(it, json!("ES256K"))),
    ("RS1", "ALGORITHM", |it| alg(it, json!("RS1"))),
    ("RS384", "ALGORITHM", |it| alg(it, json!("RS384"))),
    ("RS512", "ALGORITHM", |it| alg(it, json!("RS512"))),
    ("PS384", "ALGORITHM", |it| alg(it, json!("PS384"))),
    ("Ed25519 by another name", "ALGORITHM", |it| alg(it, json!("Ed25519"))),
    ("RSA-OAEP", "ALGORITHM", |it| alg(it, json!("RSA-OAEP"))),
    ("dir", "ALGORITHM", |it| alg(it, json!("dir"))),
    ("RS256 by the name of an EC key", "OTHER_ALGORITHM", |it| alg(it, json!("RS256"))),
    ("EdDSA by the name of an EC key", "OTHER_ALGORITHM", |it| alg(it, json!("EdDSA"))),
    ("ES256 by the name of an RSA key", "OTHER_ALGORITHM", |it| it.head("kid", json!("rsa"))),
    ("ES256 by the name of an Ed25519 key", "OTHER_ALGORITHM", |it| it.head("kid", json!("ed"))),
    ("PS256 by a key that is for RS256", "OTHER_ALGORITHM", |it| {
        *it = Forged::signed(By::Pss, "PS256", "rsa");
    }),
    ("RS256 that is PS256", "SIGNATURE", |it| *it = Forged::signed(By::Pss, "RS256", "rsa")),
];

fn kid(forged: &mut Forged, name: &str) {
    forged.head("kid", json!(name));
}

const KEY_NAMES: &[Case] = &[
    ("its own key", "KEY_HEADER", |it| {
        it.head("jwk", jwk("ec", &KEYS.stranger));
        it.by = By::Stranger;
    }),
    ("its own key under no name", "KEY_HEADER", |it| {
        it.header.remove("kid");
        it.head("jwk", jwk("x", &KEYS.stranger));
        it.by = By::Stranger;
    }),
    ("no own key, but the word", "KEY_HEADER", |it| it.head("jwk", Value::Null)),
    ("keys elsewhere", "KEY_HEADER", |it| it.head("jku", json!("https://evil.example/jwks"))),
    ("keys at the issuer", "KEY_HEADER", |it| it.head("jku", json!(format!("{ISSUER}/jwks")))),
    ("keys inside", "KEY_HEADER", |it| it.head("jku", json!("http://169.254.169.254/"))),
    ("a certificate elsewhere", "KEY_HEADER", |it| it.head("x5u", json!("https://evil.example"))),
    ("its own certificate", "KEY_HEADER", |it| it.head("x5c", json!(["MIIB"]))),
    ("no name of a key", "NO_KEY_NAME", |it| _ = it.header.remove("kid")),
    ("an empty name", "NO_KEY_NAME", |it| kid(it, "")),
    ("a name that is a number", "NO_KEY_NAME", |it| it.head("kid", json!(1))),
    ("a name of null", "NO_KEY_NAME", |it| it.head("kid", Value::Null)),
    ("a list of names", "NO_KEY_NAME", |it| it.head("kid", json!(["ec"]))),
    ("a very long name", "NO_KEY_NAME", |it| kid(it, &"x".repeat(257))),
    ("a name that nobody has", "UNKNOWN_KEY", |it| kid(it, "made-up")),
    ("a name that is a path", "UNKNOWN_KEY", |it| kid(it, "../../../dev/null")),
    ("a name that is SQL", "UNKNOWN_KEY", |it| kid(it, "' UNION SELECT 'key' --")),
    ("a name that is a URL", "UNKNOWN_KEY", |it| kid(it, "https://evil.example/key")),
    ("a name that is a command", "UNKNOWN_KEY", |it| kid(it, "|touch /tmp/x")),
    ("a name in other letters", "UNKNOWN_KEY", |it| kid(it, "EC")),
    ("the thumbprint of a stranger's key", "UNKNOWN_KEY", |it| {
        kid(it, &KEYS.stranger.id().to_string());
        it.by = By::Stranger;
    }),
    ("extensions that are demanded", "CRITICAL", |it| it.head("crit", json!(["exp"]))),
    ("no extension that is demanded", "CRITICAL", |it| it.head("crit", json!([]))),
    ("a payload that is not encoded", "CRITICAL", |it| {
        it.head("crit", json!(["b64"]));
        it.head("b64", json!(false));
    }),
];

const SIGNATURES: &[Case] = &[
    ("a stranger's signature", "SIGNATURE", |it| it.by = By::Stranger),
    ("no signature", "SIGNATURE", |it| it.by = By::Text(String::new())),
    ("the signature of zeros", "SIGNATURE", |it| {
        it.then = |text| resigned(text, |_| vec![0; 64]);
    }),
    ("the signature of ones", "SIGNATURE", |it| {
        it.then = |text| resigned(text, |_| [vec![0; 31], vec![1], vec![0; 31], vec![1]].concat());
    }),
    ("a signature that is cut", "SIGNATURE", |it| {
        it.then = |text| resigned(text, |signature| signature[..63].to_vec());
    }),
    ("a signature that is longer", "SIGNATURE", |it| {
        it.then = |text| resigned(text, |signature| [signature, vec![0]].concat());
    }),
    ("a signature whose halves changed places", "SIGNATURE", |it| {
        it.then = |text| resigned(text, |one| [&one[32..], &one[..32]].concat());
    }),
    ("a signature in the form of ASN.1", "SIGNATURE", |it| {
        it.then = |text| {
            resigned(text, |one| [&[0x30, 0x44, 2, 32], &one[..32], &[2, 32], &one[32..]].concat())
        };
    }),
    ("a signature with padding", "SIGNATURE", |it| it.then = |text| text + "=="),
    ("a signature in the other alphabet", "SIGNATURE", |it| {
        it.by = By::Text("+".repeat(86));
    }),
    ("a signature over something else", "SIGNATURE", |it| {
        let mut other = Forged::new();
        other.claim("sub", json!("eve"));
        let text = other.text();
        it.by = By::Text(text.rsplit('.').next().unwrap().to_owned());
    }),
    ("a scope that was added", "SIGNATURE", |it| {
        it.then = |text| changed(text, 1, "notes:read", "notes:admin");
    }),
    ("a subject that was changed", "SIGNATURE", |it| {
        it.then = |text| changed(text, 1, "ada", "bob");
    }),
    ("a header that was changed", "SIGNATURE", |it| {
        it.then = |text| changed(text, 0, "at+jwt", "AT+jwt");
    }),
    ("blanks that were added", "SIGNATURE", |it| it.then = |text| changed(text, 1, ":", ": ")),
];

fn raw_claims(forged: &mut Forged, text: &str) {
    forged.raw_claims = Some(text.as_bytes().to_vec());
}

const TEXTS: &[Case] = &[
    ("nothing", "MALFORMED", |it| it.then = |_| String::new()),
    ("two dots", "HEADER", |it| it.then = |_| "..".to_owned()),
    ("two parts", "MALFORMED", |it| {
        it.then = |text| text.rsplit_once('.').unwrap().0.to_owned();
    }),
    ("four parts", "MALFORMED", |it| it.then = |text| text + ".x"),
    ("an encrypted token", "ENCRYPTED", |it| it.then = |text| text + ".x.y"),
    ("a token of 20 KiB", "TOO_LONG", |it| it.claim("x", json!("x".repeat(20 << 10)))),
    ("a header with padding", "MALFORMED", |it| it.then = |text| text.replacen('.', "=.", 1)),
    ("a line break within", "MALFORMED", |it| it.then = |text| text.replacen('.', "\n.", 1)),
    ("a header that is no JSON", "HEADER", |it| it.raw_header = Some(b"alg=ES256".to_vec())),
    ("a header behind a byte order mark", "HEADER", |it| {
        it.raw_header =
            Some("\u{feff}{\"alg\":\"ES256\",\"kid\":\"ec\",\"typ\":\"at+jwt\"}".into());
    }),
    ("two algorithms", "HEADER", |it| {
        it.raw_header = Some(br#"{"alg":"ES256","kid":"ec","typ":"at+jwt","alg":"none"}"#.to_vec());
    }),
    ("two names, one of them escaped", "HEADER", |it| {
        it.raw_header =
            Some(br#"{"alg":"ES256","kid":"ec","typ":"at+jwt","k\u0069d":"ed"}"#.to_vec());
    }),
    ("a header that is a list", "ALGORITHM", |it| it.raw_header = Some(b"[]".to_vec())),
    ("a header that is not UTF-8", "MALFORMED", |it| it.raw_header = Some(vec![0xff])),
    ("claims that are not UTF-8", "MALFORMED", |it| it.raw_claims = Some(vec![0xff])),
    ("claims that are a list", "MALFORMED", |it| raw_claims(it, "[]")),
    ("claims that are a text", "MALFORMED", |it| raw_claims(it, r#""exp""#)),
    ("claims that are null", "MALFORMED", |it| raw_claims(it, "null")),
    ("two values", "CLAIMS", |it| raw_claims(it, "{}{}")),
    ("two subjects", "CLAIMS", |it| raw_claims(it, r#"{"sub":"ada","sub":"eve"}"#)),
    ("two ends, one of them escaped", "CLAIMS", |it| {
        raw_claims(it, r#"{"exp":1,"\u0065xp":99999999999}"#);
    }),
    ("half a character", "CLAIMS", |it| raw_claims(it, r#"{"sub":"\ud800"}"#)),
    ("a number that is none", "CLAIMS", |it| raw_claims(it, r#"{"exp":NaN}"#)),
    ("an end beyond all numbers", "CLAIMS", |it| raw_claims(it, r#"{"exp":1e400}"#)),
    ("an end that doubles do not have", "CLAIMS", |it| {
        raw_claims(it, r#"{"exp":9007199254740993}"#);
    }),
    ("claims within claims within claims", "CLAIMS", |it| {
        raw_claims(it, &format!("{{\"x\":{}{}}}", "[".repeat(500), "]".repeat(500)));
    }),
];

fn typ(forged: &mut Forged, named: &str) {
    forged.head("typ", json!(named));
}

const TYPES: &[Case] = &[
    ("a plain JWT", "TYPE", |it| typ(it, "JWT")),
    ("a plain JWT, spelled out", "TYPE", |it| typ(it, "application/jwt")),
    ("no type", "TYPE", |it| _ = it.header.remove("typ")),
    ("an empty type", "TYPE", |it| typ(it, "")),
    ("an ID token", "TYPE", |it| typ(it, "id+jwt")),
    ("a logout token", "TYPE", |it| typ(it, "logout+jwt")),
    ("a proof of possession", "TYPE", |it| typ(it, "dpop+jwt")),
    ("an event", "TYPE", |it| typ(it, "secevent+jwt")),
    ("an assertion of an identity", "TYPE", |it| typ(it, "oauth-id-jag+jwt")),
    ("the answer of an introspection", "TYPE", |it| typ(it, "token-introspection+jwt")),
    ("a statement about a tool", "TYPE", |it| typ(it, "etdi-tool+jwt")),
    ("a type with a blank", "TYPE", |it| typ(it, "at+jwt ")),
    ("a type with a parameter", "TYPE", |it| typ(it, "at+jwt;v=1")),
    ("a type of another family", "TYPE", |it| typ(it, "text/at+jwt")),
    ("a list of types", "MISTYPED", |it| it.head("typ", json!(["at+jwt"]))),
    ("a type of null", "MISTYPED", |it| it.head("typ", Value::Null)),
];

fn exp(forged: &mut Forged, at: Value) {
    forged.claim("exp", at);
}

const TIMES: &[Case] = &[
    ("no end", "MISSING", |it| _ = it.claims.remove("exp")),
    ("an end of null", "MISTYPED", |it| exp(it, Value::Null)),
    ("an end that is a text", "MISTYPED", |it| exp(it, json!((NOW.0 + 600).to_string()))),
    ("an end that is a date", "MISTYPED", |it| exp(it, json!("2099-01-01T00:00:00Z"))),
    ("an end of true", "MISTYPED", |it| exp(it, json!(true))),
    ("a list of ends", "MISTYPED", |it| exp(it, json!([NOW.0 + 600]))),
    ("an end that is an object", "MISTYPED", |it| exp(it, json!({ "s": NOW.0 + 600 }))),
    ("an end in milliseconds", "MISTYPED", |it| exp(it, json!((NOW.0 + 600) * 1_000))),
    ("an end before 1970", "MISTYPED", |it| exp(it, json!(-1))),
    ("an end in 1970", "EXPIRED", |it| exp(it, json!(0))),
    ("an end an hour ago", "EXPIRED", |it| exp(it, json!(NOW.0 - 3_600))),
    ("an end just beyond what clocks may differ", "EXPIRED", |it| exp(it, json!(NOW.0 - 60))),
    ("a beginning tomorrow", "NOT_YET", |it| it.claim("nbf", json!(NOW.0 + 86_400))),
    ("a beginning just beyond that", "NOT_YET", |it| it.claim("nbf", json!(NOW.0 + 61))),
    ("a beginning that is a text", "MISTYPED", |it| it.claim("nbf", json!("0"))),
    ("a beginning of null", "MISTYPED", |it| it.claim("nbf", Value::Null)),
    ("a beginning before 1970", "MISTYPED", |it| it.claim("nbf", json!(-5))),
    ("issued tomorrow", "ISSUED_LATER", |it| it.claim("iat", json!(NOW.0 + 86_400))),
    ("issued at a text", "MISTYPED", |it| it.claim("iat", json!("now"))),
    ("issued at false", "MISTYPED", |it| it.claim("iat", json!(false))),
];

fn aud(forged: &mut Forged, named: Value) {
    forged.claim("aud", named);
}

const AUDIENCES: &[Case] = &[
    ("no audience", "MISSING", |it| _ = it.claims.remove("aud")),
    ("an audience of null", "MISTYPED", |it| aud(it, Value::Null)),
    ("an audience of 1", "MISTYPED", |it| aud(it, json!(1))),
    ("an audience that is an object", "MISTYPED", |it| aud(it, json!({ "0": AUDIENCE }))),
    ("audiences of which one is a number", "MISTYPED", |it| aud(it, json!([AUDIENCE, 1]))),
    ("a list in a list", "MISTYPED", |it| aud(it, json!([[AUDIENCE]]))),
    ("a list of a thousand and more", "MISTYPED", |it| {
        aud(it, json!((0..1_025).map(|_| "a").collect::<Vec<_>>()));
    }),
    ("no audience in the list", "AUDIENCE", |it| aud(it, json!([]))),
    ("an empty audience", "AUDIENCE", |it| aud(it, json!(""))),
    ("another server", "AUDIENCE", |it| aud(it, json!("https://other.example.com/mcp"))),
    ("other servers", "AUDIENCE", |it| aud(it, json!(["https://a.example", "https://b.example"]))),
    ("another path of this host", "AUDIENCE", |it| aud(it, json!("https://mcp.example.com/mcp2"))),
    ("the host alone", "AUDIENCE", |it| aud(it, json!("https://mcp.example.com"))),
    ("a slash behind", "AUDIENCE", |it| aud(it, json!("https://mcp.example.com/mcp/"))),
    ("capitals", "AUDIENCE", |it| aud(it, json!("https://MCP.example.com/mcp"))),
    ("the port spelled out", "AUDIENCE", |it| aud(it, json!("https://mcp.example.com:443/mcp"))),
    ("an escape", "AUDIENCE", |it| aud(it, json!("https://mcp.example.com/%6Dcp"))),
    ("plain http", "AUDIENCE", |it| aud(it, json!("http://mcp.example.com/mcp"))),
    ("a query", "AUDIENCE", |it| aud(it, json!("https://mcp.example.com/mcp?x"))),
    ("a blank behind", "AUDIENCE", |it| aud(it, json!("https://mcp.example.com/mcp "))),
    ("two in one text", "AUDIENCE", |it| aud(it, json!(format!("{AUDIENCE} https://b.example")))),
    ("everybody", "AUDIENCE", |it| aud(it, json!("*"))),
    ("the issuer", "AUDIENCE", |it| aud(it, json!(ISSUER))),
    ("the client", "AUDIENCE", |it| aud(it, json!("console"))),
];

fn iss(forged: &mut Forged, named: &str) {
    forged.claim("iss", json!(named));
}

const ISSUERS: &[Case] = &[
    ("no issuer", "MISSING", |it| _ = it.claims.remove("iss")),
    ("an issuer of null", "MISTYPED", |it| it.claim("iss", Value::Null)),
    ("a list of issuers", "MISTYPED", |it| it.claim("iss", json!([ISSUER]))),
    ("an empty issuer", "MISTYPED", |it| iss(it, "")),
    ("a stranger", "ISSUER", |it| iss(it, "https://evil.example")),
    ("an issuer with a slash behind", "ISSUER", |it| iss(it, "https://id.example.com/")),
    ("an issuer over http", "ISSUER", |it| iss(it, "http://id.example.com")),
    ("an issuer in capitals", "ISSUER", |it| iss(it, "https://ID.example.com")),
    ("an issuer below", "ISSUER", |it| iss(it, "https://a.id.example.com")),
    ("an issuer within another's name", "ISSUER", |it| {
        iss(it, "https://id.example.com.evil.example");
    }),
    ("an issuer as a user", "ISSUER", |it| iss(it, "https://id.example.com@evil.example")),
    ("an issuer with a path", "ISSUER", |it| iss(it, "https://id.example.com/tenant")),
    ("an issuer with its port", "ISSUER", |it| iss(it, "https://id.example.com:443")),
    ("an issuer with a dot behind", "ISSUER", |it| iss(it, "https://id.example.com.")),
    ("an issuer with a blank", "ISSUER", |it| iss(it, " https://id.example.com")),
    ("an issuer in letters that look alike", "ISSUER", |it| {
        iss(it, "https://id.ex\u{430}mple.com")
    }),
    ("an issuer without a scheme", "ISSUER", |it| iss(it, "id.example.com")),
    ("another issuer by this one's key", "UNKNOWN_KEY", |it| iss(it, OTHER)),
    ("another issuer by this one's key under its name", "SIGNATURE", |it| {
        iss(it, OTHER);
        kid(it, "other");
    }),
    ("this issuer by another's key", "UNKNOWN_KEY", |it| {
        *it = Forged::signed(By::Other, "ES256", "other");
    }),
];

const CLAIMS: &[Case] = &[
    ("no subject", "MISSING", |it| _ = it.claims.remove("sub")),
    ("an empty subject", "MISTYPED", |it| it.claim("sub", json!(""))),
    ("a subject that is a number", "MISTYPED", |it| it.claim("sub", json!(1))),
    ("a subject of null", "MISTYPED", |it| it.claim("sub", Value::Null)),
    ("an ID token by its nonce", "ID_TOKEN", |it| it.claim("nonce", json!("n"))),
    ("an ID token by the hash of a token", "ID_TOKEN", |it| it.claim("at_hash", json!("h"))),
    ("an ID token by the hash of a code", "ID_TOKEN", |it| it.claim("c_hash", json!("h"))),
    ("another client", "CLIENT", |it| it.claim("client_id", json!("evil"))),
    ("no client", "MISSING", |it| _ = it.claims.remove("client_id")),
    ("two clients", "MISTYPED", |it| it.claim("azp", json!("evil"))),
    ("a list of clients", "MISTYPED", |it| it.claim("client_id", json!(["console"]))),
    ("scopes that are a number", "MISTYPED", |it| it.claim("scope", json!(7))),
    ("scopes that are objects", "MISTYPED", |it| it.claim("scope", json!([{ "a": 1 }]))),
    ("roles that are an object", "MISTYPED", |it| it.claim("roles", json!({ "a": 1 }))),
    ("bound to null", "CONFIRMATION", |it| it.claim("cnf", Value::Null)),
    ("bound to nothing", "CONFIRMATION", |it| it.claim("cnf", json!({}))),
    ("bound to a text", "CONFIRMATION", |it| it.claim("cnf", json!("key"))),
    ("bound in an unknown way", "CONFIRMATION", |it| it.claim("cnf", json!({ "kid": "a" }))),
    ("bound to a key in full", "CONFIRMATION", |it| {
        it.claim("cnf", json!({ "jwk": jwk("a", &KEYS.stranger) }));
    }),
    ("bound to what is no thumbprint", "CONFIRMATION", |it| {
        it.claim("cnf", json!({ "jkt": "short" }));
    }),
    ("bound to a list", "CONFIRMATION", |it| it.claim("cnf", json!({ "jkt": ["a"] }))),
    ("a name that is a number", "MISTYPED", |it| it.claim("jti", json!(1))),
];
