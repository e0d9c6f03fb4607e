//! What a protected server is shown: an access token, and a proof of the key that it is bound to.

use std::sync::{Arc, LazyLock};

use etdi_core::key::SigningKey;
use etdi_core::time::UnixTime;
use etdi_oauth::resource::Protected;
use etdi_oauth::{
    Clock, Fetch, FetchError, FetchRequest, FetchResponse, Issuer, JwtVerifier, VerifyToken as _,
};
use mcp_transport::http::{Admission, Gate as _};
use mcp_types::BoxFuture;

use super::jws::KEY;

const ISSUER: &str = "https://id.example";
const RESOURCE: &str = "https://mcp.example/mcp";
const NOW: UnixTime = UnixTime(1_800_000_000);

/// Gives the one set of keys that there is.
struct Keys(String);

impl Fetch for Keys {
    fn fetch(&self, _: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, FetchError>> {
        let answer = FetchResponse::new(200, self.0.clone().into_bytes());
        Box::pin(std::future::ready(Ok(answer)))
    }
}

/// A token that counts, and who verifies it.
static WORLD: LazyLock<(String, JwtVerifier)> = LazyLock::new(|| {
    let key = SigningKey::from_pkcs8_pem(KEY).expect("a key");
    // {"alg":"EdDSA","typ":"at+jwt","kid":"<thumbprint>"}
    let header = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{}"}}"#, key.id());
    let claims = format!(
        r#"{{"iss":"{ISSUER}","aud":"{RESOURCE}","sub":"ada","client_id":"c","exp":{}}}"#,
        NOW.0 + 600
    );
    let signed = format!("{}.{}", encoded(header.as_bytes()), encoded(claims.as_bytes()));
    let token = format!("{signed}.{}", encoded(&key.sign(signed.as_bytes()).expect("a signature")));
    let keys = Keys(format!(r#"{{"keys":[{}]}}"#, key.verifying_key().to_jwk()));
    let issuer = Issuer::new(ISSUER, RESOURCE).jwks_uri("https://id.example/jwks");
    (token, JwtVerifier::new(issuer, Arc::new(keys)).expect("a verifier"))
});

fn encoded(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// An `Authorization` header on the first line and a `DPoP` header on the next; or after a zero byte
/// changes to a token that is good, a place and a byte each.
///
/// # Panics
///
/// When another token than the good one counts, or it counts as one that is bound to a key.
pub fn tokens(data: &[u8]) {
    let (good, verifier) = &*WORLD;
    let (shown, proof) = match data.strip_prefix(b"\0") {
        Some(changes) => {
            let mut text = good.clone().into_bytes();
            for change in changes.chunks_exact(3) {
                let [high, low, byte] = change else { continue };
                let place = (usize::from(*high) << 8 | usize::from(*low)) % text.len();
                if let Some(at) = text.get_mut(place) {
                    *at = *byte;
                }
            }
            ([b"Bearer ", &*text].concat(), None)
        }
        None => {
            let mut lines = data.splitn(2, |byte| *byte == b'\n');
            (lines.next().unwrap_or_default().to_vec(), lines.next())
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("an event loop");
    runtime.block_on(async {
        let text = std::str::from_utf8(&shown).unwrap_or_default();
        let token = text.split_once(' ').map_or(text, |(_, token)| token);
        let counts = verifier.verify(token, NOW).await.is_ok();
        assert_eq!(counts, token == good, "{token}");

        let mut request = http::Request::post("/mcp").header("authorization", &*shown);
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        let Ok(request) = request.body(()) else { return };
        let protected = Protected::new(RESOURCE, verifier.clone()).expect("a server");
        let admitted = match protected.clock(Clock::new(|| NOW)).admit(&request.into_parts().0) {
            Admission::Now(said) => said,
            Admission::Later(asking) => asking.await,
        };
        // A token that is bound to nothing lets in whoever shows it so, with or without a proof.
        let scheme = text.split(' ').next().unwrap_or_default();
        let bearer = scheme.eq_ignore_ascii_case("bearer");
        let is_good =
            bearer && text.split_once(' ').is_some_and(|(_, it)| it.trim_matches(' ') == good);
        assert_eq!(admitted.is_ok(), is_good, "{text}");
    });
}
