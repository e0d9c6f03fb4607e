//! The approvals of one listing are one write, and whatever happens to that write approves nothing
//! that nobody approved.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::approval::{Approval, ApprovalStore};
use crate::digest::Digest;
use crate::store::FileStore;

const TOOLS: [&str; 4] = ["a", "b", "c", "d"];

/// What happens while a person is asked about a tool, and what comes of it.
type Happening = Box<dyn Fn(&Question<'_>, &FileStore) -> Answer + Send + Sync>;

struct Asked {
    happening: Happening,
    store: Arc<FileStore>,
    tools: Mutex<Vec<String>>,
}

impl Approver for Asked {
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Answer> {
        self.tools.lock().unwrap().push(question.facts.tool().to_owned());
        Box::pin(std::future::ready((self.happening)(&question, &self.store)))
    }
}

struct Place {
    directory: PathBuf,
    store: Arc<FileStore>,
    world: World,
}

impl Place {
    fn new(name: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("etdi-together-{name}-{}", std::process::id()));
        let store = Arc::new(FileStore::in_the_clear(&directory).unwrap());
        let world = World::new(TOOLS.map(|name| tool(name, Some(SEARCH))));
        Self { directory, store, world }
    }

    fn tools(&self) -> Vec<String> {
        let stored = done(self.store.list()).unwrap();
        assert!(stored.faults.is_empty());
        stored.approvals.into_iter().map(|approval| approval.key.tool).collect()
    }

    /// Lists, asking; gives the tools that may be called, and those that were asked about.
    fn list(
        &self,
        clock: impl Fn() -> UnixTime + Send + Sync + 'static,
        happening: impl Fn(&Question<'_>, &FileStore) -> Answer + Send + Sync + 'static,
    ) -> (Vec<String>, Vec<String>) {
        let asked = Arc::new(Asked {
            happening: Box::new(happening),
            store: self.store.clone(),
            tools: Mutex::default(),
        });
        let mut anchors = TrustAnchors::new();
        anchors.trust(acme(), self.world.publisher.verifying_key().clone());
        let policy = Policy::enhanced();
        let audit = self.world.audit.clone();
        let approvals = Approvals::new(policy, self.store.clone(), asked.clone(), audit);
        let peer = Peer::new(ServerIdentity::command(&["notes"]));
        let layer = VerifyLayer::new(Verifier::new(anchors), approvals, peer, clock)
            .caller(Arc::new(SigningKey::generate(Algorithm::Es256).unwrap()))
            .ask(AskWhen::Listed);
        let mut client = Client { service: layer.layer(self.world.stack()), layer };
        let listed = client.list();
        for name in TOOLS {
            assert_eq!(
                client.layer.review(name).unwrap().is_approved(),
                listed.contains(&name.to_owned())
            );
        }
        let asked = asked.tools.lock().unwrap().clone();
        (listed, asked)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The futures of a file store are done when they are polled; an executor inside another is none.
pub(super) fn done<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a file store has nothing to wait for"),
    }
}

fn yes(_: &Question<'_>, _: &FileStore) -> Answer {
    Answer::approve(Granted::All, "tester")
}

fn generation(store: &FileStore) -> u64 {
    done(store.generation()).unwrap()
}

#[test]
fn a_listing_is_one_write() {
    let place = Place::new("one");
    done(place.store.observe(NOW, true)).unwrap();
    let before = generation(&place.store);
    assert_eq!(place.list(|| NOW, yes).0, TOOLS);
    // What was seen signed, and what was approved.
    assert_eq!(generation(&place.store), before + 2);
    assert_eq!(place.tools(), TOOLS);
    let (listed, asked) = place.list(|| NOW, yes);
    assert_eq!((listed.len(), asked.len()), (4, 0));
    assert_eq!(generation(&place.store), before + 2);
}

#[test]
fn nothing_counts_before_it_is_stored() {
    let place = Place::new("before");
    let (listed, _) = place.list(
        || NOW,
        |question, store| {
            assert_eq!(done(store.list()).unwrap().approvals.len(), 0, "{:?}", question.facts);
            yes(question, store)
        },
    );
    assert_eq!(listed, TOOLS);
}

#[test]
fn what_a_person_took_time_for_is_stored_before_the_next_question() {
    let place = Place::new("time");
    let time = Arc::new(AtomicU64::new(NOW.seconds()));
    let (clock, later) = (time.clone(), time);
    let (listed, asked) = place.list(
        move || UnixTime(clock.load(Ordering::Relaxed)),
        move |question, store| {
            let number = TOOLS.iter().position(|name| *name == question.facts.tool()).unwrap();
            assert_eq!(done(store.list()).unwrap().approvals.len(), number);
            later.fetch_add(1, Ordering::Relaxed);
            yes(question, store)
        },
    );
    assert_eq!((listed.len(), asked.len()), (4, 4));
}

/// The store can be read and no longer written: everything that was answered stays unapproved.
#[test]
fn a_write_that_fails_approves_none() {
    let place = Place::new("fails");
    let lock = place.directory.join("lock");
    let blocked = lock.clone();
    let (listed, asked) = place.list(
        || NOW,
        move |question, store| {
            if question.facts.tool() == "d" {
                std::fs::remove_file(&blocked).unwrap();
                std::fs::create_dir(&blocked).unwrap();
            }
            yes(question, store)
        },
    );
    assert_eq!((listed.len(), asked.len()), (0, 4));
    std::fs::remove_dir(&lock).unwrap();
    assert_eq!(place.tools(), [""; 0]);
    assert_eq!(place.list(|| NOW, |_, _| Answer::Decline).0, [""; 0]);
}

/// One of the four is approved by another process meanwhile, as another definition: the others are
/// stored all the same, and what the answer replaced is not.
#[test]
fn another_writer_costs_only_its_own_tool() {
    let place = Place::new("other");
    let (listed, asked) = place.list(
        || NOW,
        |question, store| {
            if question.facts.tool() == "b" {
                let stale = Digest::of_bytes(b"another definition");
                let (facts, given) = (
                    question.facts,
                    crate::approval::Given::new(Granted::All, "other", Reason::NotApproved),
                );
                let other =
                    Approval::new(&facts, given, crate::level::SecurityLevel::Enhanced, NOW);
                let other = Approval { digest: stale, ..other };
                done(store.put(other, None)).unwrap();
            }
            yes(question, store)
        },
    );
    assert_eq!(listed, ["a", "c", "d"]);
    assert_eq!(asked.len(), 4, "nobody is asked twice in one listing");
}

#[test]
fn an_answer_that_grants_too_little_is_stored_and_not_enough() {
    let place = Place::new("little");
    let (listed, _) = place.list(
        || NOW,
        |question, store| match question.facts.tool() {
            "c" => Answer::approve(Granted::Only(BTreeSet::new()), "tester"),
            "d" => Answer::Decline,
            _ => yes(question, store),
        },
    );
    assert_eq!(listed, ["a", "b"]);
    assert_eq!(place.tools(), ["a", "b", "c"]);
}

#[test]
fn a_twin_in_the_same_listing_is_told_of() {
    let place = Place::new("twin");
    let named = TOOLS.into_iter().chain(["transfer", "Transfer"]);
    place.world.server.set(named.map(|name| tool(name, Some(SEARCH))));
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    place.list(
        || NOW,
        move |question, store| {
            let alike = question.alike.iter().map(|key| key.tool.clone());
            telling.lock().unwrap().push((question.facts.tool().to_owned(), alike.collect()));
            yes(question, store)
        },
    );
    let told: std::collections::BTreeMap<String, Vec<String>> =
        told.lock().unwrap().drain(..).collect();
    assert_eq!(told["transfer"], [""; 0]);
    assert_eq!(told["Transfer"], ["transfer"]);
}
