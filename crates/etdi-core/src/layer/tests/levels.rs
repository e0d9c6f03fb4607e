//! The table of levels, cell by cell, through the layers: what a policy says is what happens.

use super::*;
use crate::approval::Refusal;
use crate::audit::{AuditError, Auditor};
use crate::event::Event;
use crate::level::{
    AuditMode, CallAttestation, Drift, Handling, KeyTrust, Receipt, Revocation, Rules,
    SecurityLevel, Update,
};
use crate::policy::{Gate, LocalRules};
use crate::proof::{Evidence, ProofVerifier, Trust};
use crate::revocation::{RevocationList, RevocationSource, Revoked};
use crate::wire::StatementType;

const LEVELS: [SecurityLevel; 3] =
    [SecurityLevel::Basic, SecurityLevel::Enhanced, SecurityLevel::Strict];

/// Runs a row: one expectation a level.
fn row<T: PartialEq + std::fmt::Debug>(expected: [T; 3], run: impl Fn(Policy) -> T) {
    for (level, expected) in LEVELS.into_iter().zip(expected) {
        assert_eq!(run(level.policy()), expected, "{level}");
    }
}

fn called(result: Result<String, ErrorObject>) -> String {
    match result {
        Ok(_) => "called".to_owned(),
        Err(error) => code(&error),
    }
}

/// A gate by which what was approved is permitted.
fn approvals_suffice() -> Gate {
    Gate::new(Arc::new(LocalRules::of_approvals()))
}

/// A verifier of a host that knows that the publisher has no revocation list.
pub(super) fn without_list(proofs: impl ProofVerifier + 'static) -> Verifier {
    let known = Arc::new(Revocations::new().without_list(acme()));
    Verifier::new(proofs).revocations(known, Revocation::BestEffort)
}

fn versioned(version: &'static str, edit: impl FnOnce(&mut Tool)) -> Tool {
    const READS: &[PermissionDeclaration] = &[PermissionDeclaration::new("notes:read")];
    let declaration = Declaration::new(version).permissions(READS);
    let mut tool = tool("search", Some(declaration));
    edit(&mut tool);
    tool
}

fn refusal(client: &Client<impl Sized>, name: &str) -> Arc<Refusal> {
    match client.layer.review(name).unwrap().outcome() {
        ReviewOutcome::Refused(refusal) => refusal.clone(),
        other => panic!("{other:?}"),
    }
}

/// The table of 4.10 as it is written down; a change of a level is a change of this table.
#[test]
fn the_table() {
    let day = 86_400;
    let carry_over = Update::CarryOver { undo_seconds: 30 * day };
    for (
        policy,
        level,
        unsigned,
        unverified,
        keys,
        drift,
        update,
        revocation,
        signed,
        receipt,
        rules,
        audit,
    ) in [
        (
            Policy::basic(),
            SecurityLevel::Basic,
            Handling::Label,
            Handling::Label,
            KeyTrust::FirstUse,
            Drift::Alarm,
            Update::Ask,
            Revocation::BestEffort,
            CallAttestation::WhenAsked,
            Receipt::Ignored,
            Rules::Local,
            AuditMode::On,
        ),
        (
            Policy::enhanced(),
            SecurityLevel::Enhanced,
            Handling::Label,
            Handling::Refuse,
            KeyTrust::IssuerKeys,
            Drift::Alarm,
            carry_over,
            Revocation::Cached { max_age_seconds: day },
            CallAttestation::WhenAsked,
            Receipt::IfOffered,
            Rules::Engine,
            AuditMode::On,
        ),
        (
            Policy::strict(),
            SecurityLevel::Strict,
            Handling::Refuse,
            Handling::Refuse,
            KeyTrust::ConfiguredRoots,
            Drift::Block,
            Update::Ask,
            Revocation::Fresh,
            CallAttestation::Always,
            Receipt::RequiredIfAdvertised,
            Rules::EngineDefaultDeny,
            AuditMode::ChainedBeforeAct,
        ),
    ] {
        assert_eq!(
            (policy.level, policy.unsigned, policy.unverified),
            (level, unsigned, unverified)
        );
        assert_eq!((policy.key_trust, policy.drift, policy.update), (keys, drift, update));
        assert_eq!((policy.revocation, policy.call_attestation), (revocation, signed));
        assert_eq!((policy.receipt, policy.rules, policy.audit), (receipt, rules, audit));
    }
}

#[test]
fn strict_json_pin_and_approval_before_the_first_call() {
    row(["NOT_APPROVED", "NOT_APPROVED", "NOT_APPROVED"], |policy| {
        let world = World::new([tool("search", Some(SEARCH))]);
        let never = |layer: VerifyLayer| layer.ask(AskWhen::Never);
        let refused = world.connect_with(policy, world.stack(), never).call("search").unwrap_err();
        assert_eq!(world.server.calls(), 0);
        if code(&refused) == "NOT_APPROVED" { "NOT_APPROVED" } else { "another" }
    });
    row(
        ["DEFINITION_INVALID", "DEFINITION_INVALID", "DEFINITION_INVALID"].map(str::to_owned),
        |policy| {
            let world = World::new([tool("search", Some(SEARCH))]);
            let object = r#""type":"object""#;
            let edit = rewrite(move |text| text.replace(object, &format!("{object},{object}")));
            called(world.connect(policy, tamper(world.stack(), edit)).call("search"))
        },
    );
}

#[test]
fn a_signature_that_is_there_and_bad() {
    row(["SIGNATURE_INVALID"; 3].map(str::to_owned), |policy| {
        let world = World::new([tool("search", Some(SEARCH))]);
        // The last character but one of a signature holds six bits of it.
        let edit = rewrite(|text| {
            let end = text.find(r#""]"#).unwrap() - 2;
            let other = if text.as_bytes()[end] == b'A' { "B" } else { "A" };
            format!("{}{other}{}", &text[..end], &text[end + 1..])
        });
        called(world.connect(policy, tamper(world.stack(), edit)).call("search"))
    });
}

#[test]
fn an_unsigned_tool() {
    let run = |policy: Policy| {
        let world = World::new([tool("plain", None)]);
        called(world.connect(policy, world.server.clone()).call("plain"))
    };
    row(["called", "called", "UNSIGNED"].map(str::to_owned), run);
    // `allow_non_etdi_tools = false`.
    let mut policy = Policy::enhanced();
    policy.unsigned = Handling::Refuse;
    assert_eq!(run(policy), "UNSIGNED");
}

/// A key that nobody vouches for: taken at first use, and from then on no other.
#[test]
fn a_key_that_nobody_knows() {
    let operator = || Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
    row(["called", "called", "UNVERIFIED"].map(str::to_owned), |policy| {
        let world = World::new([tool("search", Some(SEARCH))]);
        let serve = |key: Arc<SigningKey>| {
            let sign = SignLayer::new(notes(), || NOW).signing_as_key(key.clone());
            sign.instance_key(key).layer(world.server.clone())
        };
        let key = operator();
        let mut client = world.connect(policy.clone(), serve(key.clone()));
        let first = called(client.call("search"));
        let review = client.layer.review("search").unwrap();
        if policy.level == SecurityLevel::Strict {
            assert_eq!(review.verification().unwrap_err().code(), "KEY_UNKNOWN");
            return first;
        }
        assert_eq!(review.verification().unwrap().trust(), Trust::FirstUse);
        assert_eq!(world.asked(), [Reason::NotApproved]);
        // Nobody is asked about the same key again; another one is an alarm.
        assert!(world.connect(policy.clone(), serve(key)).call("search").is_ok());
        assert_eq!(world.asked().len(), 1);
        let never = |layer: VerifyLayer| layer.ask(AskWhen::Never);
        let mut other = world.connect_with(policy, serve(operator()), never);
        assert_eq!(other.refused("search").0, "ISSUER_CHANGED");
        assert!(refusal(&other, "search").alarm);
        first
    });
}

/// Takes the keys for such as their issuers publish, and the configuration does not name.
pub(super) struct Published(pub(super) TrustAnchors);

impl ProofVerifier for Published {
    fn verify_proof(
        &self,
        proof: &str,
        kind: StatementType,
        now: UnixTime,
    ) -> Result<Evidence, VerifyError> {
        let found = self.0.verify_proof(proof, kind, now)?;
        Ok(Evidence::new(found.issuer, found.key, Trust::Issuer, found.claims))
    }
}

/// A key that its issuer publishes, and the configuration does not name.
#[test]
fn a_key_that_its_issuer_publishes() {
    row(["called", "called", "KEY_UNTRUSTED"].map(str::to_owned), |policy| {
        let world = World::new([tool("search", Some(SEARCH))]);
        let mut anchors = TrustAnchors::new();
        anchors.trust(acme(), world.publisher.verifying_key().clone());
        let approvals =
            Approvals::new(policy, world.store.clone(), world.yes.clone(), world.audit.clone());
        let peer = Peer::new(ServerIdentity::command(&["notes"]));
        let verifier = without_list(Published(anchors));
        let layer = VerifyLayer::new(verifier, approvals, peer, || NOW)
            .gate(approvals_suffice())
            .caller(Arc::new(SigningKey::generate(Algorithm::Es256).unwrap()));
        called(Client { service: layer.layer(world.stack()), layer }.call("search"))
    });
}

/// An attestation that cannot be checked here is labelled at basic, and hides its tool above.
#[test]
fn an_attestation_that_nobody_can_check() {
    row(["called", "UNVERIFIED", "UNVERIFIED"].map(str::to_owned), |policy| {
        let world = World::new([tool("search", Some(SEARCH))]);
        let stranger = Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
        let sign = SignLayer::new(notes(), || NOW)
            .signing(Attestation::new(acme(), notes(), NOW), stranger)
            .instance_key(world.instance.clone());
        let answer = world.connect(policy, sign.layer(world.server.clone())).call("search");
        if let Err(error) = &answer {
            // What to do, in words that are not the server's.
            assert!(error.message.ends_with("trust the publisher's, if you know whose it is"));
        }
        called(answer)
    });
}

#[test]
fn the_same_version_with_another_digest() {
    // Asked with an alarm twice; at strict no answer helps, an operator has to clear it.
    let expected = [("called", 1), ("called", 1), ("DEFINITION_CHANGED", 0)];
    row(expected.map(|(end, asked)| (end.to_owned(), asked)), |policy| {
        let world = World::new([versioned("1.0.0", |_| {})]);
        let mut client = world.connect(policy, world.stack());
        client.call("search").unwrap();
        world.server.set([versioned("1.0.0", |tool| tool.title = Some("Search".to_owned()))]);
        let before = world.asked().len();
        let end = called(client.call("search"));
        let alarms = world.audit.entries().into_iter().filter(|entry| {
            let event = &entry.event;
            event.kind == EventKind::SecurityViolation
                && event.reason == Some(Reason::DefinitionChanged)
        });
        assert!(alarms.count() > 0);
        (end, world.asked().len() - before)
    });
}

#[test]
fn a_new_version_that_adds_nothing() {
    let expected = [("called", 1), ("called", 0), ("called", 1)];
    row(expected.map(|(end, asked)| (end.to_owned(), asked)), |policy| {
        let world = World::new([versioned("1.0.0", |_| {})]);
        let mut client = world.connect(policy.clone(), world.stack());
        client.call("search").unwrap();
        // The version alone: no power, audience, directive text or identity is added.
        world.server.set([versioned("1.0.1", |_| {})]);
        let before = world.asked().len();
        let end = called(client.call("search"));
        if policy.update != Update::Ask {
            let review = client.layer.review("search").unwrap();
            let ReviewOutcome::Approved(approved) = review.outcome() else { panic!() };
            let carried = approved.approval().carried.as_ref().unwrap();
            assert_eq!(carried.undo_until, NOW.plus(30 * 86_400));
        }
        (end, world.asked().len() - before)
    });
}

/// What an issuer answers when it is asked for its list; nothing when it cannot be reached.
struct Issuer(Option<String>);

impl RevocationSource for Issuer {
    fn list<'a>(
        &'a self,
        _: &'a ProviderId,
        _: UnixTime,
    ) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(std::future::ready(self.0.clone().map(Some).ok_or("no route".to_owned())))
    }
}

/// What comes of a call where this is known of revocations.
fn revocation_of(policy: Policy, know: impl Fn(&World) -> Option<Revocations>) -> (String, String) {
    let world = World::new([tool("search", Some(SEARCH))]);
    let mut anchors = TrustAnchors::new();
    anchors.trust(acme(), world.publisher.verifying_key().clone());
    let approvals =
        Approvals::new(policy, world.store.clone(), world.yes.clone(), world.audit.clone());
    let peer = Peer::new(ServerIdentity::command(&["notes"]));
    let mut verifier = Verifier::new(anchors);
    if let Some(known) = know(&world) {
        verifier = verifier.revocations(Arc::new(known), Revocation::BestEffort);
    }
    let layer = VerifyLayer::new(verifier, approvals, peer, || NOW)
        .gate(approvals_suffice())
        .caller(Arc::new(SigningKey::generate(Algorithm::Es256).unwrap()));
    let mut client = Client { service: layer.layer(world.stack()), layer };
    match client.call("search") {
        Ok(_) => ("called".to_owned(), String::new()),
        Err(error) => {
            let found = client.layer.review("search").unwrap();
            let found = found.verification().map_err(VerifyError::code).unwrap_err().to_owned();
            (found, error.message)
        }
    }
}

#[test]
fn what_is_known_of_revocations() {
    let unknown = |called: [bool; 3]| {
        called.map(|called| if called { "called" } else { "REVOCATION_UNKNOWN" }.to_owned())
    };
    let end = |know: fn(&World) -> Option<Revocations>| {
        move |policy: Policy| revocation_of(policy, know).0
    };
    // Nobody to ask: fresh or fail at strict.
    row(unknown([true, true, false]), end(|_| None));
    row(unknown([true, true, false]), end(|_| Some(Revocations::new())));
    let (_, why) = revocation_of(Policy::strict(), |_| None);
    assert!(why.contains("name its list"), "{why}");
    // The operator says that there is no list.
    row(unknown([true; 3]), end(|_| Some(Revocations::new().without_list(acme()))));
    // Somebody to ask, who cannot be reached, and nothing is cached.
    let unreachable = |_: &World| Some(Revocations::new().source(Arc::new(Issuer(None))));
    row(unknown([true, false, false]), end(unreachable));
    // A list that was seen: an hour ago, and more than a day ago.
    fn seen(world: &World, ago: u64) -> Option<Revocations> {
        let then = NOW.minus(ago);
        let list = RevocationList::new(acme(), 1, then).next_update(NOW.plus(1 << 20));
        let text = list.sign(&*world.publisher).unwrap();
        let known = Revocations::new().source(Arc::new(Issuer(None)));
        let mut anchors = TrustAnchors::new();
        anchors.trust(acme(), world.publisher.verifying_key().clone());
        known.accept(&text, &acme(), &anchors, then).unwrap();
        Some(known)
    }
    row(unknown([true, true, false]), end(|world| seen(world, 3_600)));
    row(unknown([true, false, false]), end(|world| seen(world, 86_401)));
    // An answer, now.
    let answers = |world: &World| {
        let text = RevocationList::new(acme(), 1, NOW).sign(&*world.publisher).unwrap();
        Some(Revocations::new().source(Arc::new(Issuer(Some(text)))))
    };
    row(unknown([true; 3]), end(answers));
    // Whatever the level, what was revoked does not count.
    let revoked = |world: &World| {
        let known = Revocations::new().without_list(acme());
        known.revoke(Revoked::Key(world.publisher.id()), None, NOW).unwrap();
        Some(known)
    };
    row(["KEY_REVOKED"; 3].map(str::to_owned), end(revoked));
}

/// A key that speaks for itself has no place for a list, at strict either.
#[test]
fn a_configured_key_needs_no_list() {
    row(["called"; 3].map(str::to_owned), |policy| {
        let world = World::new([tool("search", Some(SEARCH))]);
        let sign = SignLayer::new(notes(), || NOW).signing_as_key(world.instance.clone());
        let server = sign.instance_key(world.instance.clone()).layer(world.server.clone());
        let mut anchors = TrustAnchors::new();
        anchors.trust_key(world.instance.verifying_key().clone());
        let approvals =
            Approvals::new(policy, world.store.clone(), world.yes.clone(), world.audit.clone());
        let peer = Peer::new(ServerIdentity::command(&["notes"]));
        let layer = VerifyLayer::new(Verifier::new(anchors), approvals, peer, || NOW)
            .gate(approvals_suffice())
            .caller(Arc::new(SigningKey::generate(Algorithm::Es256).unwrap()));
        called(Client { service: layer.layer(server), layer }.call("search"))
    });
}

#[test]
fn when_a_call_is_signed() {
    // An ordinary tool, and one that asks for a signature.
    row([[false, true], [false, true], [true, true]], |policy| {
        ["search", "pay"].map(|name| {
            let world = World::new([tool("search", Some(SEARCH)), tool("pay", Some(PAY))]);
            world.connect(policy.clone(), world.stack()).call(name).unwrap();
            let calls = &world.server.0.lock().unwrap().calls;
            calls[0].context.meta.get(wire::CALL).is_some()
        })
    });
    // Without a key nothing is sent that had to be signed.
    row(["called", "called", "SIGNATURE_REQUIRED"].map(str::to_owned), |policy| {
        let world = World::new([tool("search", Some(SEARCH))]);
        let approvals =
            Approvals::new(policy, world.store.clone(), world.yes.clone(), world.audit.clone());
        let mut anchors = TrustAnchors::new();
        anchors.trust(acme(), world.publisher.verifying_key().clone());
        let peer = Peer::new(ServerIdentity::command(&["notes"]));
        let layer = VerifyLayer::new(without_list(anchors), approvals, peer, || NOW)
            .gate(approvals_suffice());
        called(Client { service: layer.layer(world.stack()), layer }.call("search"))
    });
}

#[test]
fn the_rules_that_a_call_passes() {
    let world = || World::new([tool("search", Some(SEARCH))]);
    let with = |world: &World, policy: Policy, gate: Option<Gate>| {
        let mut anchors = TrustAnchors::new();
        anchors.trust(acme(), world.publisher.verifying_key().clone());
        let approvals =
            Approvals::new(policy, world.store.clone(), world.yes.clone(), world.audit.clone());
        let peer = Peer::new(ServerIdentity::command(&["notes"]));
        let layer = VerifyLayer::new(without_list(anchors), approvals, peer, || NOW)
            .caller(Arc::new(SigningKey::generate(Algorithm::Es256).unwrap()));
        let layer = match gate {
            Some(gate) => layer.gate(gate),
            None => layer,
        };
        called(Client { service: layer.layer(world.stack()), layer }.call("search"))
    };
    let denied = || "POLICY_DENIED".to_owned();
    // Nobody decides: what was approved is not permitted yet.
    let world_without = world();
    row(["called".to_owned(), "called".to_owned(), denied()], |policy| {
        with(&world_without, policy, None)
    });
    assert_eq!(world_without.server.calls(), 2);
    // Rules that say nothing about the tool.
    row(["called".to_owned(), "called".to_owned(), denied()], |policy| {
        let gate = Gate::new(Arc::new(LocalRules::of(SecurityLevel::Basic))).under(&policy);
        with(&world(), policy, Some(gate))
    });
    row(["called"; 3].map(str::to_owned), |policy| {
        let gate = Gate::new(Arc::new(LocalRules::of_approvals())).under(&policy);
        with(&world(), policy, Some(gate))
    });
}

/// First use is a warning above basic, which listeners hear with the first listing.
#[test]
fn a_key_on_first_use_is_a_warning() {
    let kind = EventKind::KeyTakenOnFirstUse;
    row([0, 1, 0], |policy| {
        let events = crate::event::Events::new();
        let mut heard = events.subscribe();
        let world = World::new([tool("search", Some(SEARCH))]);
        let sign = SignLayer::new(notes(), || NOW).signing_as_key(world.instance.clone());
        let server = sign.instance_key(world.instance.clone()).layer(world.server.clone());
        let with = |layer: VerifyLayer| layer.events(events.clone());
        let mut client = world.connect_with(policy.clone(), server, with);
        client.list();
        client.list();
        let heard: Vec<_> = std::iter::from_fn(|| heard.try_next()).collect();
        // A publisher that is known is none.
        let mut known = events.subscribe();
        world.connect_with(policy, world.stack(), with).list();
        assert!(std::iter::from_fn(|| known.try_next()).all(|one| one.event.kind != kind));
        heard.iter().filter(|one| one.event.kind == kind).count()
    });
}

/// A sink that has no room.
struct Full {
    chained: bool,
    full: bool,
}

impl Auditor for Full {
    fn record(&self, _: &Event, _: UnixTime) -> Result<(), AuditError> {
        match self.full {
            true => Err(AuditError::Other { message: "no room".to_owned() }),
            false => Ok(()),
        }
    }

    fn is_chained(&self) -> bool {
        self.chained
    }
}

#[test]
fn the_audit_trail() {
    let run = |policy: Policy, sink: Full| {
        let world = World::new([tool("search", Some(SEARCH))]);
        world.connect(policy.clone(), world.stack()).call("search").unwrap();
        let mut anchors = TrustAnchors::new();
        anchors.trust(acme(), world.publisher.verifying_key().clone());
        let approvals =
            Approvals::new(policy, world.store.clone(), world.yes.clone(), Arc::new(sink));
        let peer = Peer::new(ServerIdentity::command(&["notes"]));
        let layer = VerifyLayer::new(without_list(anchors), approvals.clone(), peer, || NOW)
            .gate(approvals_suffice())
            .caller(Arc::new(SigningKey::generate(Algorithm::Es256).unwrap()));
        let end = called(Client { service: layer.layer(world.stack()), layer }.call("search"));
        (end, approvals.lost_events() > 0, world.server.calls())
    };
    // Everything is approved; the call itself cannot be noted.
    let end = |end: &str, lost, calls| (end.to_owned(), lost, calls);
    let full = |chained| Full { chained, full: true };
    row(
        [end("called", true, 2), end("called", true, 2), end("AUDIT_FAILED", false, 1)],
        |policy| run(policy, full(true)),
    );
    // A sink that keeps no chain is none at strict.
    let loose = || Full { chained: false, full: false };
    row(
        [end("called", false, 2), end("called", false, 2), end("AUDIT_FAILED", false, 1)],
        |policy| run(policy, loose()),
    );
}

/// What failed once is tried again: a full disk that was cleared refuses nothing any more.
#[test]
fn a_tool_that_could_not_be_noted_is_not_refused_for_ever() {
    #[derive(Default)]
    struct Recovers(std::sync::atomic::AtomicBool);
    impl Auditor for Recovers {
        fn record(&self, _: &Event, _: UnixTime) -> Result<(), AuditError> {
            match self.0.load(std::sync::atomic::Ordering::Relaxed) {
                true => Ok(()),
                false => Err(AuditError::Other { message: "no room".to_owned() }),
            }
        }
        fn is_chained(&self) -> bool {
            true
        }
    }
    let world = World::new([tool("search", Some(SEARCH))]);
    let sink = Arc::new(Recovers::default());
    let mut anchors = TrustAnchors::new();
    anchors.trust(acme(), world.publisher.verifying_key().clone());
    let approvals =
        Approvals::new(Policy::strict(), world.store.clone(), world.yes.clone(), sink.clone());
    let peer = Peer::new(ServerIdentity::command(&["notes"]));
    let layer = VerifyLayer::new(without_list(anchors), approvals, peer, || NOW)
        .gate(approvals_suffice())
        .caller(Arc::new(SigningKey::generate(Algorithm::Es256).unwrap()));
    let mut client = Client { service: layer.layer(world.stack()), layer };
    assert_eq!(client.refused("search").0, "AUDIT_FAILED");
    sink.0.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(client.call("search").unwrap(), "search");
}

/// A tool that stays refused is one line, however often it is listed; a call of it is one each.
#[test]
fn a_refused_tool_is_noted_once() {
    let world = World::new([tool("plain", None)]);
    let lines = || world.audit.entries().len();
    let mut client = world.connect(Policy::strict(), world.server.clone());
    for _ in 0..5 {
        client.list();
        // Another approval is written meanwhile, so that everything is looked at again.
        let seen =
            [crate::approval::Seen::new(format!("t{}", lines()), "i", world.publisher.id(), None)];
        block_on(crate::approval::ApprovalStore::remember(&*world.store, "s", &seen, NOW)).unwrap();
    }
    assert_eq!(lines(), 1);
    for calls in 1..=3 {
        assert_eq!(client.refused("plain").0, "UNSIGNED");
        assert_eq!(lines(), 1 + calls);
    }
}

/// The events of one call are joined: by its trace where it has one, else by an id of its own.
#[test]
fn events_of_one_call_are_joined() {
    let world = World::new([tool("search", Some(SEARCH))]);
    let mut client = world.connect(Policy::enhanced(), world.stack());
    client.call("search").unwrap();
    client.call("search").unwrap();
    let of = |entries: &[crate::audit::Entry]| -> Vec<String> {
        entries.iter().map(|entry| entry.event.correlation.clone().unwrap()).collect()
    };
    let entries = world.audit.entries();
    let joined = of(&entries);
    // Asked, approved and called, then called again.
    assert_eq!(joined.len(), 4, "{entries:?}");
    assert!(joined[0] == joined[1] && joined[1] == joined[2] && joined[2] != joined[3]);

    let mut traced = Exchange::new(ClientRequest::CallTool(CallToolRequestParams::new("search")));
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = RawText::of(&format!("00-{trace}-00f067aa0ba902b7-01")).unwrap();
    traced.context.meta.insert("traceparent", parent);
    block_on(ask(&mut client.service, traced)).unwrap();
    assert_eq!(of(&world.audit.entries())[4], trace);
}

/// Listeners hear of each thing once, however often a tool is listed.
#[test]
fn listeners_hear_what_is_new_about_a_tool() {
    let events = crate::event::Events::new();
    let mut heard = events.subscribe();
    let mut kinds = move || -> Vec<&'static str> {
        std::iter::from_fn(|| heard.try_next()).map(|entry| entry.event.kind.name()).collect()
    };
    let world = World::new([versioned("1.0.0", |_| {})]);
    let with = |layer: VerifyLayer| layer.events(events.clone());
    let mut client = world.connect_with(Policy::enhanced(), world.stack(), with);
    client.list();
    client.list();
    assert_eq!(kinds(), ["tool_discovered", "signature_verified", "tool_verified"]);
    client.call("search").unwrap();
    client.list();
    assert_eq!(kinds(), [""; 0]);
    world.server.set([versioned("1.0.1", |_| {})]);
    client.list();
    client.list();
    assert_eq!(kinds(), ["version_changed"]);
    const MORE: &[PermissionDeclaration] = &[PermissionDeclaration::new("files:read")];
    world.server.set([tool("search", Some(Declaration::new("2.0.0").permissions(MORE)))]);
    client.list();
    client.list();
    assert_eq!(kinds(), ["permission_changed"]);
    world.server.set([]);
    assert_eq!(code(&client.call("search").unwrap_err()), "NOT_LISTED");
    assert_eq!(kinds(), ["tool_removed"]);
}
