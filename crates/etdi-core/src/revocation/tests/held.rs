//! What is known already must neither hide nor push out what is revoked.

use super::*;

fn directory() -> std::path::PathBuf {
    let name = format!("etdi-revocations-{}", crate::random::id().unwrap());
    std::env::temp_dir().join(name)
}

/// Hears what two places say of the issuer.
fn hear(known: &Revocations, world: &World, texts: [&str; 2]) -> Result<(), String> {
    let proofs: [Arc<dyn ProofVerifier>; 1] = [Arc::new(world.anchors.clone())];
    let answers = texts.map(|text| Ok(Some(text.to_owned()))).to_vec();
    block_on(known.hear(answers, &acme(), &proofs, NOW))
}

fn counts(known: &Revocations, key: KeyId, id: &str) -> bool {
    let issuer = acme();
    let statement = Statement { issuer: &issuer, key, id, definition: None };
    known.check(statement, &Revocation::BestEffort, NOW).is_ok()
}

/// The attack: a thief whose list was heard first, and the publisher's emergency list in the
/// operator's file, which was made before that one or has its number.
#[test]
fn a_list_that_was_heard_first_hides_no_revocation() {
    let world = World::new();
    let thiefs = world.list(9, NOW).sign(&world.second).unwrap();
    for number in [8, 9] {
        let directory = directory();
        let known = Revocations::open(&directory).unwrap();
        known.accept(&thiefs, &acme(), &world.anchors, NOW).unwrap();
        assert!(counts(&known, world.second.id(), ""));
        let emergency = world.list(number, NOW).revoke(Revoked::Key(world.second.id()));
        let emergency = emergency.sign(&world.key).unwrap();
        assert!(hear(&known, &world, [&thiefs, &emergency]).is_err(), "it makes nothing fresh");
        for known in [known, Revocations::open(&directory).unwrap()] {
            assert!(!counts(&known, world.second.id(), ""), "{number}");
            assert!(counts(&known, world.key.id(), ""));
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}

/// Whoever has a key and fills what is kept of an issuer's lists hides nothing by it.
#[test]
fn what_has_no_room_takes_the_issuer_back() {
    let world = World::new();
    let known = Revocations::new();
    let list = |number: u64, id: &str| {
        let list = (0..16).fold(world.list(number, NOW), |list, one| {
            list.revoke(Revoked::Statement(format!("{id}{one}{}", "x".repeat(8_000))))
        });
        list.sign(&world.second).unwrap()
    };
    known.accept(&list(9, "first"), &acme(), &world.anchors, NOW).unwrap();
    for id in ["a", "b"] {
        assert!(known.accept(&list(8, id), &acme(), &world.anchors, NOW).is_err());
        assert!(counts(&known, world.key.id(), ""), "{id}");
    }
    assert!(known.accept(&list(8, "c"), &acme(), &world.anchors, NOW).is_err());
    assert!(!counts(&known, world.key.id(), ""));
}

/// A process that asks one place only, such as a command beside a program that reads the operator's
/// file too: it takes nothing back of what the other has heard, whoever writes last.
#[test]
fn who_hears_less_forgets_nothing_that_another_heard() {
    let world = World::new();
    let (stolen, fork) = (Revoked::Key(world.second.id()), Revoked::Statement("x".to_owned()));
    let newest = world.list(9, NOW).sign(&world.key).unwrap();
    let file = world.list(8, NOW).revoke(stolen).sign(&world.key).unwrap();
    let forked = world.list(9, NOW).revoke(fork).sign(&world.key).unwrap();
    for first in [true, false] {
        let directory = directory();
        let open = || Revocations::open(&directory).unwrap();
        let (program, command) = (open(), open());
        let hears_both = || hear(&program, &world, [&newest, &file]).unwrap();
        let hears_one = || command.accept(&newest, &acme(), &world.anchors, NOW).unwrap();
        match first {
            true => (hears_both(), hears_one()),
            false => (hears_one(), hears_both()),
        };
        assert!(!counts(&open(), world.second.id(), ""), "{first}");
        assert!(counts(&open(), world.key.id(), "x"));
        // Nor does it forget its own list for another one of the same number.
        let other = Revocations::new();
        other.accept(&forked, &acme(), &world.anchors, NOW).unwrap();
        let other = Revocations { disk: open().disk, ..other };
        other.save(&mut other.write(), None).unwrap();
        let known = open();
        assert!(!counts(&known, world.key.id(), "x") && !counts(&known, world.second.id(), ""));
        block_on(command.refresh(BTreeSet::new(), &Revocation::BestEffort, &[], NOW));
        assert!(!counts(&command, world.second.id(), ""), "a command that runs learns of it");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}

/// Strangers, none of whom the host names, and what each publishes: nothing where it says so.
struct Strangers {
    anchors: TrustAnchors,
    lists: BTreeMap<ProviderId, Option<String>>,
}

impl Strangers {
    /// So many, each of whom takes back one long thing, or says that it publishes no list.
    fn new(world: &World, number: usize, length: Option<usize>) -> Self {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let mut lists = BTreeMap::new();
        let mut anchors = world.anchors.clone();
        for one in 0..number {
            let issuer: ProviderId = format!("https://a{one:04}.evil.example").parse().unwrap();
            anchors.trust(issuer.clone(), key.verifying_key().clone());
            let list = length.map(|length| {
                let list = RevocationList::new(issuer.clone(), 1, NOW);
                list.revoke(Revoked::Statement("x".repeat(length))).sign(&key).unwrap()
            });
            lists.insert(issuer, list);
        }
        Self { anchors, lists }
    }

    /// As a server's listings bring them up, sixteen a page.
    fn come_up(&self, known: &Revocations, now: UnixTime) {
        let proofs: [Arc<dyn ProofVerifier>; 1] = [Arc::new(self.anchors.clone())];
        let issuers: Vec<ProviderId> = self.lists.keys().cloned().collect();
        for page in issuers.chunks(MAX_FETCHES) {
            let page = page.iter().cloned().collect();
            block_on(known.refresh(page, &Revocation::BestEffort, &proofs, now));
        }
    }
}

impl RevocationSource for Strangers {
    fn list<'a>(&'a self, issuer: &'a ProviderId, _: UnixTime) -> BoxFuture<'a, Answer> {
        let list = self.lists.get(issuer).cloned();
        Box::pin(std::future::ready(list.ok_or_else(|| "no route".to_owned())))
    }
}

fn both(world: &World, strangers: &Arc<Strangers>) -> Arc<dyn RevocationSource> {
    struct Both(Arc<Strangers>, Arc<Published>);
    impl RevocationSource for Both {
        fn list<'a>(&'a self, issuer: &'a ProviderId, now: UnixTime) -> BoxFuture<'a, Answer> {
            let strange = self.0.lists.contains_key(issuer);
            if strange { self.0.list(issuer, now) } else { self.1.list(issuer, now) }
        }
    }
    Arc::new(Both(strangers.clone(), world.source.clone()))
}

/// The attack: a server whose tools are attested by ever more issuers, with lists as long as any.
#[test]
fn strangers_do_not_fill_the_file() {
    let world = World::new();
    let directory = directory();
    let strangers = Arc::new(Strangers::new(&world, 2, Some(180_000)));
    let known = Revocations::open(&directory).unwrap().source(both(&world, &strangers));
    known.revoke(Revoked::Statement("mine".to_owned()), None, NOW).unwrap();
    let list = world.list(7, NOW).revoke(Revoked::Key(world.second.id())).sign(&world.key).unwrap();
    world.source.says(Ok(Some(list)));
    let known = Arc::new(known);
    let verifier = Verifier::new(world.anchors.clone())
        .revocations(known.clone(), Policy::enhanced().revocation);
    assert_eq!(world.code(&verifier, NOW), "VERIFIED");
    strangers.come_up(&known, NOW.plus(9));
    // Ninety-eight more, without writing and reading megabytes for each.
    let issuer: ProviderId = "https://a0001.evil.example".parse().unwrap();
    let last = known.read().issuers[&issuer].clone();
    for one in 2..100 {
        let issuer = format!("https://a{one:04}.evil.example").parse().unwrap();
        known.write().issuers.insert(issuer, last.clone());
    }
    known.save(&mut known.write(), Some(&issuer)).unwrap();
    let again = Revocations::open(&directory).unwrap();
    for known in [&*known, &again] {
        assert!(!counts(known, world.key.id(), "mine"), "what was revoked here");
        assert!(!counts(known, world.second.id(), ""), "what the host's own publisher revoked");
        assert_eq!(known.list_of(&acme()).unwrap().seq, 7);
        assert!(known.read().issuers.len() > MAX_FETCHES, "strangers have their place too");
        assert!(length_of(known) <= MAX_STRANGE + (64 << 10), "{}", length_of(known));
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

fn length_of(known: &Revocations) -> usize {
    known.read().text().unwrap().len()
}

/// Nor do ever more issuers without a list keep a new publisher's from being kept.
#[test]
fn strangers_take_no_place_of_others() {
    let world = World::new();
    let strangers = Arc::new(Strangers::new(&world, MAX_ISSUERS + 16, None));
    let known = Arc::new(Revocations::new().source(both(&world, &strangers)));
    strangers.come_up(&known, NOW);
    assert_eq!(known.read().issuers.len(), MAX_ISSUERS);
    world.source.says(Ok(Some(world.list(7, NOW).sign(&world.key).unwrap())));
    let verifier = Verifier::new(world.anchors.clone())
        .revocations(known.clone(), Policy::enhanced().revocation);
    assert_eq!(world.code(&verifier, NOW), "VERIFIED");
    assert_eq!(known.list_of(&acme()).unwrap().seq, 7);
    // Nor do newer lists push out that of a publisher whom the host names.
    let newer = known::Known {
        named: false,
        answered: Some(NOW.plus(9)),
        ..known.read().issuers[&acme()].clone()
    };
    for issuer in strangers.lists.keys() {
        known.write().issuers.insert(issuer.clone(), newer.clone());
    }
    known.note_failure(&"https://b.evil.example".parse().unwrap(), String::new(), NOW);
    assert_eq!(known.read().issuers.len(), MAX_ISSUERS + 1);
    assert!(known.list_of(&acme()).is_some());
    // One that the host does not name comes before who has no list.
    let newcomer = Strangers::new(&world, 1, Some(9));
    let proofs = newcomer.anchors.clone();
    let known = Revocations::new().source(Arc::new(newcomer));
    let issuer: ProviderId = "https://a0000.evil.example".parse().unwrap();
    strangers.lists.keys().filter(|one| **one != issuer).for_each(|one| {
        known.has_none(one, NOW.plus(9)).unwrap();
    });
    let proofs: [Arc<dyn ProofVerifier>; 1] = [Arc::new(proofs)];
    block_on(known.refresh([issuer.clone()].into(), &Revocation::BestEffort, &proofs, NOW));
    known.has_none(&"https://b.evil.example".parse().unwrap(), NOW.plus(9)).unwrap();
    assert!(known.list_of(&issuer).is_some());
}

/// A server that lists the tools of many beside a stolen one chooses who is asked first.
#[test]
fn strangers_are_asked_after_whom_the_host_names() {
    let world = World::new();
    let strangers = Arc::new(Strangers::new(&world, MAX_FETCHES, None));
    let known = Revocations::new().source(both(&world, &strangers));
    world.source.says(Ok(Some(world.list(7, NOW).sign(&world.key).unwrap())));
    known.name([acme()].into());
    let issuers = strangers.lists.keys().cloned().chain([acme()]).collect();
    let proofs: [Arc<dyn ProofVerifier>; 1] = [Arc::new(world.anchors.clone())];
    block_on(known.refresh(issuers, &Revocation::Fresh, &proofs, NOW));
    assert!(known.list_of(&acme()).is_some());
    // And whose word counts for nothing is not asked at all.
    let world = World::new();
    let other: ProviderId = "https://other.example".parse().unwrap();
    let verifier = world.verifier(Revocations::new(), Revocation::Fresh).accept_only([other], []);
    assert_eq!(world.code(&verifier, NOW), "ISSUER_UNTRUSTED");
    assert_eq!(world.source.asked(), 0);
}

/// A file that others made longer than it may be is no reason to throw away what was revoked here.
#[test]
fn a_file_that_is_too_long_is_kept() {
    let directory = directory();
    let known = Revocations::open(&directory).unwrap();
    let long = Revoked::Statement("x".repeat(MAX_FILE));
    let error = known.revoke(long, None, NOW).unwrap_err().to_string();
    assert!(error.contains("`here`") && !error.contains("discard"), "{error}");
    drop(Revocations::open(&directory).unwrap());
    let disk = Disk::open(&directory).unwrap();
    disk.write(FILE, &vec![b' '; MAX_FILE + 1]).unwrap();
    let error = Revocations::open(&directory).unwrap_err().to_string();
    assert!(error.contains("`here`") && !error.contains("discard"), "{error}");
    std::fs::remove_dir_all(&directory).unwrap();
}

/// The operator puts an emergency list in place: it counts from the next listing on, however young
/// the last answer is.
#[test]
fn a_file_that_has_changed_is_read_at_once() {
    let world = World::new();
    let directory = directory();
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join("acme.jwt");
    let stolen = Revoked::Key(world.key.id());
    for demand in [Revocation::Fresh, Policy::enhanced().revocation, Revocation::BestEffort] {
        let old = world.list(7, NOW).sign(&world.second).unwrap();
        world.source.says(Ok(Some(old.clone())));
        std::fs::write(&file, &old).unwrap();
        let files = Arc::new(FileLists::new().list_of(acme(), &file));
        let places: [Arc<dyn RevocationSource>; 2] = [world.source.clone(), files];
        let known = Revocations::new().source(Arc::new(AllOf::new(places)));
        let verifier = Verifier::new(world.anchors.clone()).revocations(Arc::new(known), demand);
        let asked = world.source.asked();
        for _ in 0..9 {
            assert_eq!(world.code(&verifier, NOW), "VERIFIED");
        }
        assert_eq!(world.source.asked(), asked + 1, "nobody is asked for a file that is the same");
        let new = world.list(7, NOW).revoke(stolen.clone()).sign(&world.second).unwrap();
        std::fs::write(&file, new).unwrap();
        assert_eq!(world.code(&verifier, NOW), "KEY_REVOKED", "{demand:?}");
    }
    std::fs::remove_dir_all(&directory).unwrap();
}
