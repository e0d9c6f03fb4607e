//! Order, what cannot be told, identity providers, and answers that lapse.

use std::task::Poll;

use futures_executor::block_on;
use mcp_types::{Busy, Runtime};

use super::*;
use crate::attestation::Attestation;
use crate::definition::RawTool;
use crate::identity::ServerIdentity;
use crate::jws;
use crate::key::{Algorithm, SigningKey};
use crate::verify::{Peer, Verdict, Verifier};

const NOW: UnixTime = UnixTime(1_767_323_045);
const KIND: StatementType = StatementType::Tool;

/// Answers what it is told to, and counts.
#[derive(Default)]
struct Scripted {
    answer: Mutex<Option<Answer>>,
    asked: Mutex<Vec<String>>,
}

impl Scripted {
    fn says(&self, answer: Answer) {
        *self.answer.lock().unwrap() = Some(answer);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl KeySource for Scripted {
    fn key<'a>(
        &'a self,
        issuer: &'a ProviderId,
        kid: &'a str,
        _: UnixTime,
    ) -> BoxFuture<'a, Result<FoundKey, KeySourceError>> {
        self.asked.lock().unwrap().push(format!("{issuer} {kid}"));
        let answer = self.answer.lock().unwrap().clone();
        Box::pin(async move { answer.unwrap_or_else(|| Err(KeySourceError::unknown(issuer, kid))) })
    }
}

fn acme() -> ProviderId {
    "https://acme.example".parse().unwrap()
}

fn unavailable() -> KeySourceError {
    KeySourceError::Unavailable { issuer: acme(), why: "no route".to_owned() }
}

fn proof(key: &SigningKey) -> String {
    jws::sign(KIND, r#"{"iss":"https://acme.example"}"#, key).unwrap()
}

/// A statement whose key has a name of the issuer's own.
fn named(key: &SigningKey, kid: &str) -> String {
    let encode = |text: &str| crate::base64url::encode(text.as_bytes());
    let alg = key.verifying_key().algorithm().name();
    let header = format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"etdi-tool+jwt"}}"#);
    let signed = format!("{}.{}", encode(&header), encode(r#"{"iss":"https://acme.example"}"#));
    let signature = key.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", crate::base64url::encode(&signature))
}

#[test]
fn the_first_that_knows_answers() {
    let (one, two) = (Arc::new(Scripted::default()), Arc::new(Scripted::default()));
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let found = |trust| FoundKey::new(key.verifying_key().clone(), trust);
    let order = InOrder::new([one.clone() as Arc<dyn KeySource>, two.clone()]);
    let ask = || block_on(order.key(&acme(), "x", NOW));
    assert_eq!(ask(), Err(KeySourceError::unknown(&acme(), "x")));
    two.says(Ok(found(Trust::Issuer)));
    assert_eq!(ask().unwrap().trust, Trust::Issuer);
    one.says(Ok(found(Trust::Configured)));
    assert_eq!(ask().unwrap().trust, Trust::Configured);
    assert_eq!(two.asked(), 2, "the second is not asked what the first knows");
    // Not to be able to tell is no answer, and not the same as no.
    one.says(Err(unavailable()));
    assert_eq!(ask().unwrap().trust, Trust::Issuer);
    two.says(Err(KeySourceError::unknown(&acme(), "x")));
    assert_eq!(ask(), Err(unavailable()));
}

#[test]
fn what_cannot_be_told_is_not_wrong() {
    let source = Arc::new(Scripted::default());
    let keys = IssuerKeys::new(source.clone());
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let other = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let text = proof(&key);
    let check = |now| keys.verify_proof(&text, KIND, now);
    let prepare = |now| block_on(keys.prepare(&[&text, &text], now));
    assert_eq!(check(NOW).unwrap_err().code(), "KEY_UNAVAILABLE");

    source.says(Err(unavailable()));
    prepare(NOW);
    let error = check(NOW).unwrap_err();
    assert_eq!((error.code(), error.verdict()), ("KEY_UNAVAILABLE", Verdict::Unverifiable));
    prepare(NOW.plus(59));
    assert_eq!(source.asked(), 1, "a failure is not repeated for a minute");

    source.says(Err(KeySourceError::unknown(&acme(), "x")));
    prepare(NOW.plus(60));
    let error = check(NOW.plus(60)).unwrap_err();
    assert_eq!((error.code(), error.verdict()), ("KEY_UNKNOWN", Verdict::Unverifiable));

    // A source that gives another key than was asked for proves nothing.
    source.says(Ok(FoundKey::new(other.verifying_key().clone(), Trust::Issuer)));
    prepare(NOW.plus(120));
    let error = check(NOW.plus(120)).unwrap_err();
    assert_eq!((error.code(), error.verdict()), ("SIGNATURE_INVALID", Verdict::Wrong));
    // Not even when that other key has signed, under a name that is not its own.
    let borrowed = named(&other, &key.id().to_string());
    let error = keys.verify_proof(&borrowed, KIND, NOW.plus(120)).unwrap_err();
    assert_eq!(error.code(), "SIGNATURE_INVALID");
}

#[test]
fn answers_lapse_and_what_was_taken_back_counts_no_more() {
    let source = Arc::new(Scripted::default());
    let keys = IssuerKeys::new(source.clone());
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let text = proof(&key);
    let found = FoundKey::new(key.verifying_key().clone(), Trust::Issuer).until(NOW.plus(300));
    source.says(Ok(found));
    block_on(keys.prepare(&[&text], NOW));
    let evidence = keys.verify_proof(&text, KIND, NOW).unwrap();
    assert_eq!((evidence.until, evidence.trust), (Some(NOW.plus(300)), Trust::Issuer));
    assert_eq!(
        keys.verify_proof(&text, KIND, NOW.plus(300)).unwrap_err().code(),
        "KEY_UNAVAILABLE"
    );

    let before = keys.epoch();
    source.says(Err(KeySourceError::unknown(&acme(), "x")));
    block_on(keys.prepare(&[&text], NOW.plus(300)));
    assert_eq!(keys.verify_proof(&text, KIND, NOW.plus(300)).unwrap_err().code(), "KEY_UNKNOWN");
    assert_ne!(keys.epoch(), before, "what a verifier remembers counts no more either");
}

/// A verifier remembers answers and signatures; neither may outlive the pin.
#[test]
fn a_key_that_is_unpinned_counts_no_more() {
    let (key, pins) =
        (SigningKey::generate(Algorithm::Es256).unwrap(), Arc::new(PinnedKeys::new()));
    pins.pin(acme(), key.verifying_key().clone(), Trust::Configured);
    let keys = IssuerKeys::new(pins.clone());
    let text = proof(&key);
    block_on(keys.prepare(&[&text], NOW));
    assert!(keys.verify_proof(&text, KIND, NOW).unwrap().until.is_some());
    pins.unpin(&acme(), key.id());
    let later = NOW.plus(60);
    block_on(keys.prepare(&[&text], later));
    assert_eq!(keys.verify_proof(&text, KIND, later).unwrap_err().code(), "KEY_UNKNOWN");
}

#[test]
fn only_identity_providers_name_keys_as_they_like() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let text = named(&key, "2026-07");
    let source = Arc::new(Scripted::default());
    source.says(Ok(FoundKey::new(key.verifying_key().clone(), Trust::Issuer)));
    let plain = IssuerKeys::new(source.clone());
    block_on(plain.prepare(&[&text], NOW));
    assert_eq!(plain.verify_proof(&text, KIND, NOW).unwrap_err().code(), "ATTESTATION_MALFORMED");
    let provider = IssuerKeys::new(source).identity_provider(acme());
    block_on(provider.prepare(&[&text], NOW));
    assert_eq!(provider.verify_proof(&text, KIND, NOW).unwrap().key, key.id());
}

#[test]
fn one_listing_asks_a_bounded_number_of_questions() {
    let source = Arc::new(Scripted::default());
    let keys = IssuerKeys::new(source.clone());
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let proofs: Vec<String> = (0..200)
        .map(|n| jws::sign(KIND, &format!(r#"{{"iss":"https://a{n}.example"}}"#), &key).unwrap())
        .collect();
    let proofs: Vec<&str> = proofs.iter().map(String::as_str).chain(["", "a.b.c"]).collect();
    block_on(keys.prepare(&proofs, NOW));
    assert_eq!(source.asked(), MAX_QUESTIONS);
}

/// Knows the key of every issuer but the first of the alphabet, who never answers.
struct OneIsSilent(VerifyingKey);

impl KeySource for OneIsSilent {
    fn key<'a>(
        &'a self,
        issuer: &'a ProviderId,
        _: &'a str,
        _: UnixTime,
    ) -> BoxFuture<'a, Result<FoundKey, KeySourceError>> {
        match issuer.as_str() {
            "https://a.example" => Box::pin(std::future::pending()),
            _ => Box::pin(std::future::ready(Ok(FoundKey::new(self.0.clone(), Trust::Issuer)))),
        }
    }
}

/// A clock on which any time has passed at the second look.
struct Hurried;

impl Runtime for Hurried {
    fn spawn(&self, _: BoxFuture<'static, ()>) {}

    fn blocking(&self, _: Box<dyn FnOnce() + Send>) -> Result<(), Busy> {
        Err(Busy)
    }

    fn sleep_until(&self, _: std::time::Instant) -> BoxFuture<'static, ()> {
        let mut looked = false;
        Box::pin(std::future::poll_fn(move |cx| {
            cx.waker().wake_by_ref();
            if std::mem::replace(&mut looked, true) { Poll::Ready(()) } else { Poll::Pending }
        }))
    }

    fn now(&self) -> std::time::Instant {
        std::time::Instant::now()
    }
}

#[test]
fn an_issuer_that_does_not_answer_delays_and_stops_nobody_else() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let server = ServerIdentity::url("https://mcp.example/mcp").unwrap();
    let tool = |issuer: &str, proof: &str| {
        RawTool::read(&format!(
            r#"{{"name":"search","inputSchema":{{"type":"object"}},"_meta":{{"dev.etdi/etdi":
            {{"v":1,"version":"1.0.0","provider":{{"id":"{issuer}"}},"attestations":[{proof}]}}}}}}"#
        ))
        .unwrap()
    };
    let signed = |issuer: &str| {
        let statement = Attestation::new(issuer.parse().unwrap(), server.clone(), NOW);
        let proof = statement.sign(tool(issuer, "").definition(), &key).unwrap();
        tool(issuer, &format!("\"{proof}\""))
    };
    let tools = ["https://a.example", "https://b.example", "https://c.example"].map(signed);
    let keys = IssuerKeys::new(Arc::new(OneIsSilent(key.verifying_key().clone())));
    let verifier = Verifier::new(keys).runtime(Arc::new(Hurried));
    block_on(verifier.prepare(&tools, &[], NOW));
    let peer = Peer::new(server);
    let verdicts = tools.each_ref().map(|tool| {
        verifier.verify(tool, &peer, NOW).map_or_else(|error| error.code(), |_| "VERIFIED")
    });
    assert_eq!(verdicts, ["KEY_UNAVAILABLE", "VERIFIED", "VERIFIED"]);
}
