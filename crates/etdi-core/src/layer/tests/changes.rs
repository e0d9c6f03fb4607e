//! What was approved and is another now.

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
