//! Each level's demand, each kind of entry, rollback, forks, thieves, restarts.

use std::sync::Mutex;

use futures_executor::block_on;

use super::fresh::{MAX_FETCHES, RETRY};
use super::*;
use crate::attestation::Attestation;
use crate::definition::RawTool;
use crate::identity::ServerIdentity;
use crate::jws;
use crate::key::{Algorithm, KeyId, SigningKey};
use crate::level::Policy;
use crate::manifest;
use crate::proof::Evidence;
use crate::trust::TrustAnchors;
use crate::verify::{Peer, Verdict, VerifiedManifest, Verifier};

mod held;
mod taken_away;
mod waiting;

const NOW: UnixTime = UnixTime(1_767_323_045);
const ACME: &str = "https://acme.example";

type Answer = Result<Option<String>, String>;

/// What an issuer answers, and how often it was asked.
#[derive(Default)]
struct Published {
    answer: Mutex<Option<Answer>>,
    asked: Mutex<usize>,
}

impl Published {
    fn says(&self, answer: Answer) {
        *self.answer.lock().unwrap() = Some(answer);
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

impl RevocationSource for Published {
    fn list<'a>(&'a self, _: &'a ProviderId, _: UnixTime) -> BoxFuture<'a, Answer> {
        *self.asked.lock().unwrap() += 1;
        let answer = self.answer.lock().unwrap().clone();
        Box::pin(std::future::ready(answer.unwrap_or_else(|| Err("no route".to_owned()))))
    }
}

struct World {
    key: SigningKey,
    second: SigningKey,
    anchors: TrustAnchors,
    source: Arc<Published>,
    tool: RawTool,
    peer: Peer,
}

impl World {
    fn new() -> Self {
        let make = || SigningKey::generate(Algorithm::EdDsa).unwrap();
        let (key, second) = (make(), make());
        let mut anchors = TrustAnchors::new();
        anchors.trust(acme(), key.verifying_key().clone());
        anchors.trust(acme(), second.verifying_key().clone());
        let server = ServerIdentity::url("https://mcp.acme.example/mcp").unwrap();
        let statement = Attestation::new(acme(), server.clone(), NOW);
        let proof = statement.sign(tool("").definition(), &key).unwrap();
        let (source, peer) = (Arc::default(), Peer::new(server));
        Self { key, second, anchors, source, tool: tool(&format!("\"{proof}\"")), peer }
    }

    fn verifier(&self, revocations: Revocations, demand: Revocation) -> Verifier {
        let revocations = Arc::new(revocations.source(self.source.clone()));
        Verifier::new(self.anchors.clone()).revocations(revocations, demand)
    }

    fn check(&self, verifier: &Verifier, now: UnixTime) -> Result<(), VerifyError> {
        block_on(verifier.prepare(std::slice::from_ref(&self.tool), &[], now));
        verifier.verify(&self.tool, &self.peer, now).map(|_| ())
    }

    fn code(&self, verifier: &Verifier, now: UnixTime) -> &'static str {
        self.check(verifier, now).map_or_else(|error| error.code(), |()| "VERIFIED")
    }

    fn list(&self, seq: u64, now: UnixTime) -> RevocationList {
        RevocationList::new(acme(), seq, now)
    }

    /// The `jti` of the tool's attestation.
    fn id(&self) -> String {
        let text = &self.tool.attestations()[0];
        let evidence = self.anchors.verify_proof(text, StatementType::Tool, NOW).unwrap();
        let claims: serde_json::Value = serde_json::from_str(&evidence.claims).unwrap();
        claims["jti"].as_str().unwrap().to_owned()
    }
}

fn acme() -> ProviderId {
    ACME.parse().unwrap()
}

fn tool(proof: &str) -> RawTool {
    RawTool::read(&format!(
        r#"{{"name":"search","description":"Search.","inputSchema":{{"type":"object"}},
            "_meta":{{"dev.etdi/etdi":{{"v":1,"version":"1.0.0","attestations":[{proof}]}}}}}}"#
    ))
    .unwrap()
}

#[test]
fn each_level_demands_what_its_row_says() {
    let world = World::new();
    let empty = world.list(1, NOW).next_update(NOW.plus(7 * LIFETIME)).sign(&world.key).unwrap();
    let unknown = "REVOCATION_UNKNOWN";
    for (policy, unreachable, later, much_later) in [
        (Policy::basic(), "VERIFIED", "VERIFIED", "VERIFIED"),
        (Policy::enhanced(), unknown, "VERIFIED", unknown),
        (Policy::strict(), unknown, unknown, unknown),
    ] {
        let level = policy.level;
        let verifier = world.verifier(Revocations::new(), policy.revocation);
        world.source.says(Err("no route".to_owned()));
        assert_eq!(world.code(&verifier, NOW), unreachable, "{level}");
        world.source.says(Ok(Some(empty.clone())));
        let now = NOW.plus(RETRY);
        assert_eq!(world.code(&verifier, now), "VERIFIED", "{level}");
        world.source.says(Err("no route".to_owned()));
        assert_eq!(world.code(&verifier, now.plus(20 * 3_600)), later, "{level}");
        assert_eq!(world.code(&verifier, now.plus(25 * 3_600)), much_later, "{level}");
    }
    let verifier = world.verifier(Revocations::new(), Revocation::Fresh);
    let error = world.check(&verifier, NOW).unwrap_err();
    assert_eq!(error.verdict(), Verdict::Unverifiable, "not known is not the same as revoked");
    assert!(error.to_string().contains("no route"), "{error}");
}

#[test]
fn revoked_now_is_invalid_now_at_every_level() {
    let world = World::new();
    let digest = world.tool.definition().digest();
    for policy in [Policy::basic(), Policy::enhanced(), Policy::strict()] {
        for (revoked, code) in [
            (Revoked::Key(world.key.id()), "KEY_REVOKED"),
            (Revoked::Statement(world.id()), "ATTESTATION_REVOKED"),
            (Revoked::Definition(digest), "ATTESTATION_REVOKED"),
            (Revoked::Provider(acme()), "ATTESTATION_REVOKED"),
            (Revoked::Key(world.second.id()), "VERIFIED"),
            (Revoked::Statement("other".to_owned()), "VERIFIED"),
        ] {
            let verifier = world.verifier(Revocations::new(), policy.revocation);
            let first = world.list(1, NOW).next_update(NOW.plus(100)).sign(&world.second).unwrap();
            world.source.says(Ok(Some(first)));
            assert_eq!(world.code(&verifier, NOW), "VERIFIED");
            // The signature is remembered as valid by now.
            let later = NOW.plus(LIFETIME);
            let list = world.list(2, later).revoke(revoked.clone()).sign(&world.second).unwrap();
            world.source.says(Ok(Some(list)));
            assert_eq!(world.code(&verifier, later), code, "{revoked:?} {}", policy.level);
        }
    }
}

#[test]
fn what_is_revoked_here_needs_nobody() {
    let world = World::new();
    let revocations = Arc::new(Revocations::new());
    let verifier = Verifier::new(world.anchors.clone())
        .revocations(revocations.clone(), Revocation::BestEffort);
    assert_eq!(world.code(&verifier, NOW), "VERIFIED");
    revocations.revoke(Revoked::Statement(world.id()), None, NOW).unwrap();
    assert_eq!(world.code(&verifier, NOW), "ATTESTATION_REVOKED");
    // Without a source nothing is fresh, unless the operator says that there is no list.
    for (revocations, code) in [
        (Revocations::new(), "REVOCATION_UNKNOWN"),
        (Revocations::new().without_list(acme()), "VERIFIED"),
    ] {
        let verifier = Verifier::new(world.anchors.clone());
        let verifier = verifier.revocations(Arc::new(revocations), Revocation::Fresh);
        assert_eq!(world.code(&verifier, NOW), code);
    }
}

#[test]
fn a_tool_that_only_a_manifest_lists_is_revoked_as_well() {
    let world = World::new();
    let bare = tool("");
    let statement = Attestation::new(acme(), world.peer.identity.clone(), NOW);
    let text = manifest::sign(&statement, [bare.definition()], &world.key).unwrap();
    let revocations = Arc::new(Revocations::new());
    let verifier = Verifier::new(world.anchors.clone())
        .revocations(revocations.clone(), Revocation::BestEffort);
    let listed = verifier.verify_manifest(&text, &world.peer, NOW).unwrap();
    let check = || verifier.verify_listed(&bare, &listed, &world.peer, NOW).map_err(|e| e.code());
    assert!(check().is_ok());
    revocations.revoke(Revoked::Definition(bare.definition().digest()), None, NOW).unwrap();
    assert_eq!(check().unwrap_err(), "ATTESTATION_REVOKED");
    assert!(verifier.verify_manifest(&text, &world.peer, NOW).is_ok(), "the others still count");
    // Nor does what a listing keeps of a manifest outlive its key.
    let revocations = Arc::new(Revocations::new());
    let verifier = Verifier::new(world.anchors.clone())
        .revocations(revocations.clone(), Revocation::BestEffort);
    revocations.revoke(Revoked::Key(world.key.id()), None, NOW).unwrap();
    let code = verifier.verify_listed(&bare, &listed, &world.peer, NOW).unwrap_err().code();
    assert_eq!(code, "KEY_REVOKED");
}

/// Whoever leaves the signature out does not bring a definition back.
#[test]
fn a_revoked_definition_is_refused_without_a_signature_as_well() {
    let world = World::new();
    let (bare, odd) = (tool(""), tool("\"no.statement.here\""));
    let revocations = Arc::new(Revocations::new().authority(ACME.parse().unwrap()));
    let verifier =
        Verifier::new(TrustAnchors::new()).revocations(revocations.clone(), Revocation::BestEffort);
    let code = |tool: &RawTool| verifier.verify(tool, &world.peer, NOW).unwrap_err().code();
    let (unsigned, stranger) = (code(&bare), code(&world.tool));
    assert_eq!((unsigned, stranger), ("UNSIGNED", "KEY_UNKNOWN"));
    let was = code(&odd);
    revocations.revoke(Revoked::Definition(odd.definition().digest()), None, NOW).unwrap();
    assert_eq!([code(&bare), code(&world.tool)], ["DEFINITION_REVOKED"; 2]);
    assert_eq!(code(&odd), was, "what is wrong by itself says so");
    // A list of whoever speaks for all counts as well; one of anybody else does not.
    for (revocations, expected) in [
        (Revocations::new().authority(acme()), "DEFINITION_REVOKED"),
        (Revocations::new(), "UNSIGNED"),
    ] {
        let list = world.list(1, NOW).revoke(Revoked::Definition(bare.definition().digest()));
        let list = list.sign(&world.key).unwrap();
        revocations.accept(&list, &acme(), &world.anchors, NOW).unwrap();
        let verifier = Verifier::new(TrustAnchors::new())
            .revocations(Arc::new(revocations), Revocation::BestEffort);
        let found = verifier.verify(&bare, &world.peer, NOW).unwrap_err();
        assert_eq!(found.code(), expected);
    }
}

#[test]
fn a_number_never_goes_back() {
    let world = World::new();
    let revocations = Revocations::new();
    let accept = |list: &RevocationList, key: &SigningKey, now| {
        revocations.accept(&list.sign(key).unwrap(), &acme(), &world.anchors, now)
    };
    accept(&world.list(5, NOW), &world.key, NOW).unwrap();
    accept(&world.list(5, NOW), &world.key, NOW).unwrap();
    let error = accept(&world.list(4, NOW.plus(9)), &world.key, NOW.plus(9)).unwrap_err();
    assert_eq!(error, RevocationError::Rollback { found: 4, seen: 5 });
    let other = world.list(5, NOW).revoke(Revoked::Statement("x".to_owned()));
    assert_eq!(accept(&other, &world.key, NOW), Err(RevocationError::Fork(5)));
    // Once there was a list, there is no saying that there is none.
    assert!(matches!(revocations.has_none(&acme(), NOW), Err(RevocationError::Rollback { .. })));

    // A thief with the revoked key cannot take the revocation back.
    accept(&world.list(6, NOW).revoke(Revoked::Key(world.key.id())), &world.second, NOW).unwrap();
    let error = accept(&world.list(7, NOW), &world.key, NOW).unwrap_err();
    assert_eq!(error, RevocationError::Proof(VerifyError::Revoked { key: world.key.id() }));
    let error = accept(&world.list(8, NOW.plus(31)), &world.second, NOW).unwrap_err();
    assert!(error.to_string().contains("future"));
}

/// A thief names a key of its own as the next before the publisher knows of the theft. What the
/// stolen key introduced falls with it, also where a list says so and not the operator.
#[test]
fn a_key_that_a_stolen_one_introduced_falls_with_it() {
    use crate::rotation::Rotation;
    let mut world = World::new();
    let thiefs = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let next = Rotation::new(acme(), thiefs.verifying_key().clone(), NOW).retire(NOW.plus(100));
    world.anchors.rotate(&next.sign(&world.key).unwrap(), NOW).unwrap();
    let statement = Attestation::new(acme(), world.peer.identity.clone(), NOW);
    let proof = statement.sign(tool("").definition(), &thiefs).unwrap();
    world.tool = tool(&format!("\"{proof}\""));
    let listed = manifest::sign(&statement, [tool("").definition()], &thiefs).unwrap();

    let revocations = Arc::new(Revocations::new());
    let verifier = Verifier::new(world.anchors.clone())
        .revocations(revocations.clone(), Revocation::BestEffort);
    let shown = verifier.verify_manifest(&listed, &world.peer, NOW).unwrap();
    let by_list = || verifier.verify_manifest(&listed, &world.peer, NOW).map_err(|e| e.code());
    let kept = || verifier.verify_listed(&tool(""), &shown, &world.peer, NOW).map_err(|e| e.code());
    assert_eq!(world.code(&verifier, NOW), "VERIFIED");
    assert!(by_list().is_ok() && kept().is_ok());

    let list = world.list(1, NOW).revoke(Revoked::Key(world.key.id())).sign(&world.second).unwrap();
    revocations.accept(&list, &acme(), &world.anchors, NOW).unwrap();
    assert_eq!(world.code(&verifier, NOW), "KEY_REVOKED");
    assert_eq!((by_list().unwrap_err(), kept().unwrap_err()), ("KEY_REVOKED", "KEY_REVOKED"));
    // Nor does it take the revocation back.
    let back = world.list(2, NOW).sign(&thiefs).unwrap();
    assert!(revocations.accept(&back, &acme(), &world.anchors, NOW).is_err());
}

/// The attack: an instance key was stolen with the machine that it lay on, and its thief proves to be
/// the server with it. Nobody has to sign the tools anew before that ends.
#[test]
fn an_instance_key_that_was_revoked_binds_nothing() {
    use crate::binding::{Challenge, Possession, answer};
    let world = World::new();
    let stolen = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let server = ServerIdentity::package("pkg:cargo/notes").unwrap();
    let statement = Attestation::new(acme(), server.clone(), NOW).instance_key(stolen.id());
    let proof = statement.sign(tool("").definition(), &world.key).unwrap();
    let (bare, signed) = (tool(""), tool(&format!("\"{proof}\"")));
    let listed = manifest::sign(&statement, [bare.definition()], &world.key).unwrap();
    let challenge = Challenge::new().unwrap();
    let text = answer(challenge.nonce(), &server, None, &stolen, NOW).unwrap();
    let shown = Possession::check(&text, &challenge, NOW).unwrap();
    let peer = Peer::new(server).possessing(shown);
    let codes = |verifier: &Verifier, kept: &VerifiedManifest| {
        let code = |error: VerifyError| error.code();
        [
            verifier.verify(&signed, &peer, NOW).map(drop).map_err(code),
            verifier.verify_manifest(&listed, &peer, NOW).map(drop).map_err(code),
            verifier.verify_listed(&bare, kept, &peer, NOW).map(drop).map_err(code),
        ]
    };

    let known = Arc::new(Revocations::new());
    let verifier =
        Verifier::new(world.anchors.clone()).revocations(known.clone(), Revocation::BestEffort);
    let kept = verifier.verify_manifest(&listed, &peer, NOW).unwrap();
    assert_eq!(codes(&verifier, &kept), [Ok(()); 3]);
    let list = world.list(1, NOW).revoke(Revoked::Key(stolen.id())).sign(&world.key).unwrap();
    known.accept(&list, &acme(), &world.anchors, NOW).unwrap();
    assert_eq!(codes(&verifier, &kept), [Err("KEY_REVOKED"); 3], "by its publisher's list");
    let mut anchors = world.anchors.clone();
    anchors.revoke(stolen.id());
    assert_eq!(codes(&Verifier::new(anchors), &kept), [Err("KEY_REVOKED"); 3], "by the operator");
}

/// What the operator revoked counts nowhere, whoever else vouches for it and is asked before.
#[test]
fn who_is_asked_first_does_not_outvote_a_revocation() {
    let world = World::new();
    let mut revoked = TrustAnchors::new();
    revoked.revoke(world.key.id());
    for proofs in [[world.anchors.clone(), revoked.clone()], [revoked, world.anchors.clone()]] {
        let all = proofs.map(|one| Arc::new(one) as Arc<dyn ProofVerifier>);
        assert_eq!(world.code(&Verifier::with_all(all.clone()), NOW), "KEY_REVOKED");
        // Nor does a list that such a key signs take anything back.
        let known = Revocations::new().source(world.source.clone());
        world.source.says(Ok(Some(world.list(1, NOW).sign(&world.key).unwrap())));
        block_on(known.refresh([acme()].into(), &Revocation::Fresh, &all, NOW));
        assert_eq!(known.list_of(&acme()), None);
    }
}

#[test]
fn a_thief_cannot_have_the_last_word() {
    let world = World::new();
    let revocations = Revocations::new();
    let accept = |text: &str, now| revocations.accept(text, &acme(), &world.anchors, now);
    for seq in [NOW.0 + 31, (1 << 53) - 1, u64::MAX >> 1] {
        assert!(world.list(seq, NOW).sign(&world.second).is_err(), "{seq}");
        let claims = format!(
            r#"{{"iss":"{ACME}","aud":"etdi:keys","iat":{0},"seq":{seq},"next_update":{0},"revoked":[]}}"#,
            NOW.0
        );
        if let Ok(stolen) = jws::sign(StatementType::Revocations, &claims, &world.second) {
            let error = accept(&stolen, NOW).unwrap_err();
            assert!(matches!(error, RevocationError::Claims(_) | RevocationError::Proof(_)));
        }
    }
    // The highest that the thief can have accepted, and the issuer's answer.
    accept(&world.list(NOW.0 + 30, NOW).sign(&world.second).unwrap(), NOW).unwrap();
    let later = NOW.plus(60);
    let answer = world.list(later.0, later).revoke(Revoked::Key(world.second.id()));
    accept(&answer.sign(&world.key).unwrap(), later).unwrap();
    let again = world.list(later.0 + 1, later).sign(&world.second).unwrap();
    assert!(accept(&again, later).is_err());
}

#[test]
fn a_rolled_back_list_makes_nothing_fresh() {
    let world = World::new();
    let verifier = world.verifier(Revocations::new(), Revocation::Fresh);
    world.source.says(Ok(Some(world.list(2, NOW).sign(&world.key).unwrap())));
    assert_eq!(world.code(&verifier, NOW), "VERIFIED");
    world.source.says(Ok(Some(world.list(1, NOW).sign(&world.key).unwrap())));
    let error = world.check(&verifier, NOW.plus(FRESH + 1)).unwrap_err();
    assert!(error.to_string().contains("rolled back"), "{error}");
    // A frozen one: still the newest, but the next should be there.
    world.source.says(Ok(Some(world.list(2, NOW).sign(&world.key).unwrap())));
    assert_eq!(world.code(&verifier, NOW.plus(LIFETIME)), "REVOCATION_UNKNOWN");
}

#[test]
fn lists_of_others_and_strangers_do_not_count() {
    let world = World::new();
    let other: ProviderId = "https://other.example".parse().unwrap();
    let stranger = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let mut anchors = world.anchors.clone();
    anchors.trust(other.clone(), stranger.verifying_key().clone());
    let victim = acme();
    let statement = Statement { issuer: &victim, key: world.key.id(), id: "x", definition: None };
    let attack = |revocations: Revocations, issuer: &ProviderId, asked: &ProviderId| {
        let list = RevocationList::new(issuer.clone(), 9, NOW);
        let list = list.revoke(Revoked::Key(world.key.id())).sign(&stranger).unwrap();
        let accepted = revocations.accept(&list, asked, &anchors, NOW).is_ok();
        (accepted, revocations.check(statement, &Revocation::BestEffort, NOW).is_ok())
    };
    assert_eq!(attack(Revocations::new(), &victim, &victim), (false, true), "another key");
    assert_eq!(attack(Revocations::new(), &other, &victim), (false, true), "another issuer");
    assert_eq!(attack(Revocations::new(), &other, &other), (true, true), "it revokes its own only");
    let registry = Revocations::new().authority(other.clone());
    assert_eq!(attack(registry, &other, &other), (true, false), "unless it is an authority");
}

#[test]
fn entries_must_name_one_thing() {
    let world = World::new();
    let kid = world.key.id();
    for entries in [
        "[{}]".to_owned(),
        format!(r#"[{{"kid":"{kid}","jti":"x"}}]"#),
        r#"[{"jti":""}]"#.to_owned(),
        r#"[{"kid":"x"}]"#.to_owned(),
        "{}".to_owned(),
    ] {
        let claims = format!(
            r#"{{"iss":"{ACME}","aud":"etdi:keys","iat":{0},"seq":1,"next_update":{0},"revoked":{entries}}}"#,
            NOW.0
        );
        let text = jws::sign(StatementType::Revocations, &claims, &world.key).unwrap();
        let error = Revocations::new().accept(&text, &acme(), &world.anchors, NOW).unwrap_err();
        assert!(matches!(error, RevocationError::Claims(_)), "{entries}");
    }
}

#[test]
fn failures_are_not_repeated_at_once() {
    let world = World::new();
    let verifier = world.verifier(Revocations::new(), Policy::enhanced().revocation);
    for second in 0..RETRY {
        _ = world.check(&verifier, NOW.plus(second));
    }
    assert_eq!(world.source.asked(), 1);
    world.source.says(Ok(None));
    for second in RETRY..RETRY + 1_000 {
        assert_eq!(world.code(&verifier, NOW.plus(second)), "VERIFIED");
    }
    assert_eq!(world.source.asked(), 2);
}

#[test]
fn a_restart_forgets_nothing() {
    let world = World::new();
    let name = format!("etdi-revocations-{}", crate::random::id().unwrap());
    let directory = std::env::temp_dir().join(name);
    let open = || Revocations::open(&directory).unwrap();
    let (one, two) = (open(), open());
    let list = world.list(3, NOW).revoke(Revoked::Statement("x".to_owned()));
    one.accept(&list.sign(&world.key).unwrap(), &acme(), &world.anchors, NOW).unwrap();
    two.revoke(Revoked::Key(world.second.id()), Some("stolen".to_owned()), NOW).unwrap();
    // A process that runs learns what another has written before it looks at the next listing.
    let stolen = Statement { issuer: &acme(), key: world.second.id(), id: "", definition: None };
    assert!(one.check(stolen, &Revocation::BestEffort, NOW).is_ok());
    block_on(one.refresh(BTreeSet::new(), &Revocation::BestEffort, &[], NOW));
    assert!(one.check(stolen, &Revocation::BestEffort, NOW).is_err());
    let again = open();
    let issuer = acme();
    let check = |key, id| {
        let statement = Statement { issuer: &issuer, key, id, definition: None };
        again.check(statement, &Revocation::BestEffort, NOW).is_ok()
    };
    assert!(check(world.key.id(), "y"));
    assert!(!check(world.key.id(), "x"), "the list of the issuer");
    assert!(!check(world.second.id(), "y"), "what was revoked here");
    let old = world.list(2, NOW).sign(&world.key).unwrap();
    assert!(again.accept(&old, &issuer, &world.anchors, NOW).is_err());
    std::fs::write(directory.join(FILE), r#"{"v":1,"here":[{}]}"#).unwrap();
    assert!(matches!(Revocations::open(&directory), Err(RevocationError::Store(_))));
    std::fs::remove_dir_all(&directory).unwrap();
}

/// A number that ran ahead, in a file from before numbers had a bound: what its list took back stays
/// taken back, and the issuer is heard again.
#[test]
fn a_number_that_an_old_file_keeps_silences_nobody() {
    let world = World::new();
    let name = format!("etdi-revocations-{}", crate::random::id().unwrap());
    let directory = std::env::temp_dir().join(name);
    let stolen = world.list(5, NOW).revoke(Revoked::Statement("x".to_owned()));
    let stolen = stolen.sign(&world.second).unwrap();
    Revocations::open(&directory).unwrap().accept(&stolen, &acme(), &world.anchors, NOW).unwrap();
    let (path, issuer) = (directory.join(FILE), acme());
    let kept = std::fs::read_to_string(&path).unwrap();
    let ahead = kept.replace("\"seq\":5", "\"seq\":9007199254740991");
    assert_ne!(ahead, kept);
    std::fs::write(&path, ahead).unwrap();

    let again = Revocations::open(&directory).unwrap();
    let taken_back = |revocations: &Revocations| {
        let statement =
            Statement { issuer: &issuer, key: world.key.id(), id: "x", definition: None };
        revocations.check(statement, &Revocation::BestEffort, NOW).is_err()
    };
    assert!(taken_back(&again));
    // It is as new as its time says, and no older list takes its place.
    let older = world.list(NOW.0 - 1, NOW).sign(&world.key).unwrap();
    let refused = again.accept(&older, &issuer, &world.anchors, NOW).unwrap_err();
    assert_eq!(refused, RevocationError::Rollback { found: NOW.0 - 1, seen: NOW.0 });
    let later = NOW.plus(60);
    let answer = world.list(later.0, later).revoke(Revoked::Key(world.second.id()));
    let answer = answer.sign(&world.key).unwrap();
    again.accept(&answer, &issuer, &world.anchors, later).unwrap();
    let after = Revocations::open(&directory).unwrap();
    assert_eq!(after.list_of(&issuer).unwrap().seq, later.0);
    assert!(!taken_back(&after), "the newest list is what counts");
    std::fs::remove_dir_all(&directory).unwrap();
}

/// The attack: an old list, kept in a file or put back there, beside which the issuer publishes a
/// newer one; and the other way round.
#[test]
fn no_place_hides_what_another_says_is_revoked() {
    let world = World::new();
    let file: Arc<Published> = Arc::default();
    let places = || {
        let both: [Arc<dyn RevocationSource>; 2] = [file.clone(), world.source.clone()];
        AllOf::new(both)
    };
    let verifier = |demand| {
        let revocations = Arc::new(Revocations::new().source(Arc::new(places())));
        Verifier::new(world.anchors.clone()).revocations(revocations, demand)
    };
    let stolen = Revoked::Key(world.key.id());
    let says = |seq, revoked: Option<&Revoked>| {
        let list = world.list(seq, NOW);
        let list = revoked.map_or(list.clone(), |one| list.revoke(one.clone()));
        Ok(Some(list.sign(&world.second).unwrap()))
    };
    for demand in [Revocation::Fresh, Policy::enhanced().revocation, Revocation::BestEffort] {
        let code = || world.code(&verifier(demand), NOW);
        for (old, new) in
            [(says(1, None), says(2, Some(&stolen))), (says(1, Some(&stolen)), says(2, None))]
        {
            file.says(old.clone());
            world.source.says(new.clone());
            assert_eq!(code(), "KEY_REVOKED", "{demand:?}");
            file.says(new);
            world.source.says(old);
            assert_eq!(code(), "KEY_REVOKED", "{demand:?}");
        }
        file.says(says(2, None));
        world.source.says(says(2, None));
        assert_eq!(code(), "VERIFIED");
        // Two of one number: whatever either revokes is revoked, and neither is the last word.
        file.says(says(2, Some(&Revoked::Statement("x".to_owned()))));
        assert_eq!(code() == "VERIFIED", demand == Revocation::BestEffort);
        file.says(says(2, Some(&stolen)));
        assert_eq!(code(), "KEY_REVOKED");
    }

    // Whoever keeps the issuer's own list away is not helped by the file.
    let verifier = verifier(Revocation::Fresh);
    file.says(says(1, None));
    world.source.says(Err("no route".to_owned()));
    assert_eq!(world.code(&verifier, NOW), "REVOCATION_UNKNOWN");
    world.source.says(Ok(None));
    assert_eq!(world.code(&verifier, NOW), "VERIFIED", "who publishes none is told of by the file");
    world.source.says(says(3, None));
    assert_eq!(world.code(&verifier, NOW.plus(FRESH + 1)), "VERIFIED");
}

#[test]
fn what_an_older_list_revokes_outlives_a_restart() {
    let world = World::new();
    let name = format!("etdi-revocations-{}", crate::random::id().unwrap());
    let directory = std::env::temp_dir().join(name);
    let file: Arc<Published> = Arc::default();
    let open = || Revocations::open(&directory).unwrap();
    let both: [Arc<dyn RevocationSource>; 2] = [file.clone(), world.source.clone()];
    let revocations = open().source(Arc::new(AllOf::new(both)));
    let lost = Revoked::Statement("x".to_owned());
    file.says(Ok(Some(world.list(1, NOW).revoke(lost).sign(&world.key).unwrap())));
    world.source.says(Ok(Some(world.list(2, NOW).sign(&world.key).unwrap())));
    let proofs: [Arc<dyn ProofVerifier>; 1] = [Arc::new(world.anchors.clone())];
    let ask = || {
        let issuers = BTreeSet::from([acme()]);
        block_on(revocations.refresh(issuers, &Revocation::Fresh, &proofs, NOW));
    };
    ask();
    let issuer = acme();
    let statement = Statement { issuer: &issuer, key: world.key.id(), id: "x", definition: None };
    let counts = |of: &Revocations| of.check(statement, &Revocation::BestEffort, NOW).is_ok();
    assert!(!counts(&revocations) && !counts(&open()));
    assert_eq!(open().list_of(&issuer).unwrap().seq, 2);
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_thief_whose_key_another_list_takes_back_does_not_silence_it() {
    let world = World::new();
    let thief: Arc<Published> = Arc::default();
    let both: [Arc<dyn RevocationSource>; 2] = [thief.clone(), world.source.clone()];
    let revocations = Revocations::new().source(Arc::new(AllOf::new(both)));
    let verifier =
        Verifier::new(world.anchors.clone()).revocations(Arc::new(revocations), Revocation::Fresh);
    thief.says(Ok(Some(world.list(9, NOW).sign(&world.second).unwrap())));
    let taken_back = world.list(3, NOW).revoke(Revoked::Key(world.second.id()));
    world.source.says(Ok(Some(taken_back.sign(&world.key).unwrap())));
    assert_eq!(world.code(&verifier, NOW), "VERIFIED");
    // The thief's word is no list from then on; the issuer's next one is.
    let next = world.list(4, NOW).revoke(Revoked::Key(world.second.id()));
    world.source.says(Ok(Some(next.sign(&world.key).unwrap())));
    thief.says(Ok(None));
    assert_eq!(world.code(&verifier, NOW.plus(FRESH + 1)), "VERIFIED");
}
