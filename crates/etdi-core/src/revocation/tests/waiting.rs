//! Those who are asked and do not answer.

use std::task::Poll;

use mcp_types::{Busy, Runtime};

use super::*;

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

/// Somewhere keys are looked for, and no answer ever comes.
struct NoAnswer;

impl ProofVerifier for NoAnswer {
    fn verify_proof(
        &self,
        _: &str,
        _: StatementType,
        _: UnixTime,
    ) -> Result<Evidence, VerifyError> {
        Err(VerifyError::NobodyToAsk)
    }

    fn prepares(&self) -> bool {
        true
    }

    fn prepare<'a>(&'a self, _: &'a [&'a str], _: UnixTime) -> BoxFuture<'a, ()> {
        Box::pin(std::future::pending())
    }
}

impl RevocationSource for NoAnswer {
    fn list<'a>(&'a self, _: &'a ProviderId, _: UnixTime) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::pending())
    }
}

/// A server lists a tool beside the stolen one whose issuer it keeps silent: waiting for that one's
/// keys must not cost the time in which it is told what was taken back.
#[test]
fn who_stalls_over_keys_keeps_nothing_back_of_what_was_revoked() {
    let world = World::new();
    let stolen = world.list(1, NOW).revoke(Revoked::Key(world.key.id()));
    world.source.says(Ok(Some(stolen.sign(&world.second).unwrap())));
    let demands =
        [Policy::basic().revocation, Policy::enhanced().revocation, Policy::strict().revocation];
    for demand in &demands {
        let proofs: [Arc<dyn ProofVerifier>; 2] =
            [Arc::new(world.anchors.clone()), Arc::new(NoAnswer)];
        let known = Arc::new(Revocations::new().source(world.source.clone()));
        let verifier = Verifier::with_all(proofs).runtime(Arc::new(Hurried));
        let verifier = verifier.revocations(known, *demand);
        assert_eq!(world.code(&verifier, NOW), "KEY_REVOKED", "{demand:?}");
    }
    // And who stalls over revocations ends no listing, and is no proof that nothing was revoked.
    let unknown = "REVOCATION_UNKNOWN";
    for (demand, code) in demands.into_iter().zip(["VERIFIED", unknown, unknown]) {
        let known = Arc::new(Revocations::new().source(Arc::new(NoAnswer)));
        let verifier = Verifier::new(world.anchors.clone()).runtime(Arc::new(Hurried));
        assert_eq!(world.code(&verifier.revocations(known, demand), NOW), code);
    }
}

/// The attack: whoever stands before an issuer lets nothing of it through, when the operator has put its
/// emergency list in place. Being kept waiting must not cost what lies at hand.
#[test]
fn who_stalls_keeps_nothing_back_of_a_file() {
    let world = World::new();
    let file = std::env::temp_dir().join(crate::random::id().unwrap());
    let list = |number| world.list(number, NOW);
    for demand in [Revocation::BestEffort, Policy::enhanced().revocation, Revocation::Fresh] {
        for first in [true, false] {
            std::fs::write(&file, list(1).sign(&world.second).unwrap()).unwrap();
            let files: Arc<dyn RevocationSource> =
                Arc::new(FileLists::new().list_of(acme(), &file));
            let stalled: Arc<dyn RevocationSource> = Arc::new(NoAnswer);
            let places = if first { [files, stalled] } else { [stalled, files] };
            let known = Revocations::new().source(Arc::new(AllOf::new(places)));
            let verifier = Verifier::new(world.anchors.clone()).runtime(Arc::new(Hurried));
            let verifier = verifier.revocations(Arc::new(known), demand);
            let before = world.code(&verifier, NOW);
            assert_eq!(before == "VERIFIED", demand == Revocation::BestEffort, "{before}");
            let stolen = list(2).revoke(Revoked::Key(world.key.id()));
            std::fs::write(&file, stolen.sign(&world.second).unwrap()).unwrap();
            assert_eq!(world.code(&verifier, NOW), "KEY_REVOKED", "{demand:?} {first}");
        }
    }
    std::fs::remove_file(&file).unwrap();
}
