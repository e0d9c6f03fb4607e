//! Stores that fail, and writers who are faster.

use super::*;
use crate::approval::troubled::{Troubled, Use};

#[test]
fn a_faster_writer_is_read_again_and_nobody_is_asked_twice() {
    let tool = tool("1.0.0", "Search.");
    let standing = verified(&tool);
    // Someone approves the same at the same time: that counts.
    let same = |inner: &MemoryStore, what: Use<'_>| match what {
        Use::Approval(approval) => now(inner.put(approval.clone(), None)).err(),
        Use::Manifest(..) => None,
    };
    let store = Troubled { inner: MemoryStore::new(), trouble: same };
    let world = with_store(Policy::enhanced(), Arc::new(store), [yes(), yes()]);
    world.review(&tool, &standing).unwrap();
    assert_eq!(world.script.asked().len(), 1);

    // Someone approves another definition: the answer was about something outdated.
    let other = |inner: &MemoryStore, what: Use<'_>| {
        let Use::Approval(approval) = what else { return None };
        let other = Approval { digest: Digest::of_bytes(b""), ..approval.clone() };
        now(inner.put(other, None)).err()
    };
    let store = Troubled { inner: MemoryStore::new(), trouble: other };
    let world = with_store(Policy::enhanced(), Arc::new(store), [yes(), yes()]);
    let refusal = world.review(&tool, &standing).unwrap_err();
    assert_eq!(refusal.reason, Reason::DefinitionChanged);
    assert_eq!(world.script.asked().len(), 1);
}

#[test]
fn a_store_that_fails_approves_nothing_and_says_so_loudly() {
    let broken = |_: &MemoryStore, _: Use<'_>| {
        Some(StoreError::Corrupt { what: "`x` is not what was written".into() })
    };
    let store = Troubled { inner: MemoryStore::new(), trouble: broken };
    let world = with_store(Policy::enhanced(), Arc::new(store), [yes()]);
    let tool = tool("1.0.0", "Search.");
    let refusal = world.review(&tool, &verified(&tool)).unwrap_err();
    assert_eq!(refusal.reason, Reason::StoreFailed);
    assert!(matches!(refusal.source, Some(StoreError::Corrupt { .. })));
    let event = world.audit.entries().pop().unwrap().event;
    assert_eq!((event.kind, event.severity), (EventKind::StoreFailed, Severity::Critical));
    assert!(event.detail.unwrap().contains("nothing in doubt counts as approved"));
}
