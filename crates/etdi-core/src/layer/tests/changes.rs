//! What was approved and is another now.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

#[test]
fn once_signed_always_signed() {
    let world = World::new([tool("search", Some(SEARCH))]);
    assert!(world.connect(Policy::basic(), world.stack()).call("search").is_ok());
    // The block is stripped, or the proofs are, or the plain server stands there.
    let stripped = || {
        tamper(
            world.stack(),
            rewrite(|text| {
                let mut tool: Value = serde_json::from_str(&text).unwrap();
                tool.as_object_mut().unwrap().remove("_meta");
                tool.to_string()
            }),
        )
    };
    let bare = || {
        tamper(
            world.stack(),
            rewrite(|text| {
                let mut tool: Value = serde_json::from_str(&text).unwrap();
                tool["_meta"][wire::TOOL]["attestations"] = json!([]);
                tool.to_string()
            }),
        )
    };
    for policy in [Policy::basic(), Policy::enhanced(), Policy::strict()] {
        let refused = ("SIGNATURE_REMOVED".to_owned(), Some("UNSIGNED"));
        assert_eq!(world.connect(policy.clone(), stripped()).refused("search"), refused);
        assert_eq!(world.connect(policy.clone(), bare()).refused("search"), refused);
        assert_eq!(world.connect(policy, world.server.clone()).refused("search"), refused);
    }
    assert_eq!(world.server.calls(), 1);
}

#[test]
fn what_changes_between_approval_and_call_is_refused() {
    let world = World::new([tool("search", Some(SEARCH))]);
    let mut client = world.connect(Policy::enhanced(), world.stack());
    assert!(client.call("search").is_ok());
    // Properly signed, the version unchanged.
    let mut changed = tool("search", Some(SEARCH));
    changed.description = Some("Does something else.".to_owned());
    world.server.set([changed]);
    world.yes.0.lock().unwrap().clear();
    let no = |layer: VerifyLayer| layer.ask(AskWhen::Never);
    let mut strict = world.connect_with(Policy::strict(), world.stack(), no);
    assert_eq!(strict.refused("search").0, "DEFINITION_CHANGED");
    // The very connection that has called it before asks again before the next call.
    assert!(client.call("search").is_ok());
    assert_eq!(world.asked(), [Reason::DefinitionChanged]);
    world.server.set([]);
    assert_eq!(client.refused("search").0, "NOT_LISTED");
}

/// A person, and what happens while they read.
struct Reads<F>(F);

impl<F: Fn(&Question<'_>) -> Answer + Send + Sync> Approver for Reads<F> {
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready((self.0)(&question)))
    }
}

/// A client of a server that nobody vouches for, with a clock that a person's reading moves.
fn client_of<F: Fn(&Question<'_>) -> Answer + Send + Sync + 'static>(
    world: &World,
    time: Arc<AtomicU64>,
    reads: Reads<F>,
    ask: AskWhen,
) -> Client<VerifyService<Server>> {
    let (store, audit) = (world.store.clone(), world.audit.clone());
    let approvals = Approvals::new(Policy::basic(), store, Arc::new(reads), audit);
    let peer = Peer::new(ServerIdentity::command(&["notes"]));
    let clock = move || UnixTime(time.load(Ordering::Relaxed));
    let layer = VerifyLayer::new(Verifier::new(TrustAnchors::new()), approvals, peer, clock);
    let layer = layer.ask(ask);
    Client { service: layer.layer(world.server.clone()), layer }
}

/// Somebody who reads everything closely is no clock that was set back.
#[test]
fn a_person_may_take_their_time() {
    let world = World::new(["a", "b", "c"].map(|name| tool(name, None)));
    let time = Arc::new(AtomicU64::new(NOW.0));
    let later = time.clone();
    let reads = Reads(move |_: &Question<'_>| {
        later.fetch_add(3_600, Ordering::Relaxed);
        Answer::approve(Granted::All, "tester")
    });
    let mut client = client_of(&world, time, reads, AskWhen::Listed);
    assert_eq!(client.list(), ["a", "b", "c"]);
    assert_eq!(client.call("b").unwrap(), "b");
}

/// A server that waits until somebody reads, and then shows another tool under the same name: what
/// is called is what was approved, or they are asked again.
#[test]
fn what_changes_while_a_person_reads_is_refused() {
    let say = |text: &str| {
        let mut other = tool("search", None);
        other.description = Some(text.to_owned());
        other
    };
    // How long they read, whether the tool changes meanwhile, how they are asked, and the end.
    let new = Reason::NotApproved;
    for (seconds, changes, asked, end) in [
        (0, false, vec![new], Ok("search")),
        (600, false, vec![new], Ok("search")),
        (600, true, vec![new, Reason::DefinitionChanged], Err("DEFINITION_CHANGED")),
    ] {
        let world = World::new([say("Searches.")]);
        let time = Arc::new(AtomicU64::new(NOW.0));
        let (server, later) = (world.server.clone(), time.clone());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let told = seen.clone();
        let reads = Reads(move |question: &Question<'_>| {
            told.lock().unwrap().push(question.reason);
            later.fetch_add(seconds, Ordering::Relaxed);
            if changes {
                server.set([say("Searches, and sends it along.")]);
            }
            // Whoever reads says no to what they did not mean to approve.
            match question.reason {
                Reason::NotApproved => Answer::approve(Granted::All, "tester"),
                _ => Answer::Decline,
            }
        });
        let mut client = client_of(&world, time, reads, AskWhen::Called);
        let called = client.call("search").map_err(|error| code(&error));
        assert_eq!(called.as_deref().map_err(|code| &**code), end, "{seconds} {changes}");
        assert_eq!(*seen.lock().unwrap(), asked);
        assert_eq!(world.server.calls(), usize::from(end.is_ok()));
    }
}

#[test]
fn a_withdrawn_approval_bites_at_once() {
    use crate::approval::ApprovalStore;
    let world = World::new([tool("search", Some(SEARCH))]);
    let no = |layer: VerifyLayer| layer.ask(AskWhen::Never).recheck_after(3_600);
    assert!(world.connect(Policy::enhanced(), world.stack()).call("search").is_ok());
    let mut client = world.connect_with(Policy::enhanced(), world.stack(), no);
    assert!(client.call("search").is_ok());
    let listings = world.server.0.lock().unwrap().listings;
    assert!(client.call("search").is_ok());
    assert_eq!(world.server.0.lock().unwrap().listings, listings, "it was checked a moment ago");
    let approvals = block_on(world.store.list()).unwrap().approvals;
    block_on(world.store.remove(&approvals[0].key, approvals[0].generation)).unwrap();
    assert_eq!(client.refused("search").0, "NOT_APPROVED");
}
