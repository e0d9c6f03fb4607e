//! T11: making a signed server look like a plain one.

use etdi::core::approval::{ApprovalStore, Granted};
use etdi_cli::demo::attacks::TOOL;

use crate::world::{Bound, World, attacker, fools_plain_client, honest_peer, refusal};

#[tokio::test]
async fn once_signed_is_always_signed_also_without_an_approval() {
    let world = World::new(Bound::Key).await;
    let script = world.gone_bad(&world.honest.stripped().unwrap());
    assert!(fools_plain_client(&script).await);
    for approval in world.store.list().await.unwrap().approvals {
        world.store.remove(&approval.key, approval.generation).await.unwrap();
    }
    let (connection, calls) = attacker(&script);
    let session = world.session(connection, honest_peer()).await;
    assert_eq!(refusal(&session).await.0, "SIGNATURE_REMOVED");

    // And nobody can approve it away: only an operator who says that the server gave up signing.
    let review = session.verify_tool(TOOL).await.unwrap();
    let refused = session.approve_tool(&review, Granted::All, "the user").await.unwrap_err();
    assert_eq!(refused.code(), "SIGNATURE_REMOVED");
    assert_eq!(calls.count(), 0);
}

#[tokio::test]
async fn a_tool_that_is_put_beside_the_signed_ones_is_not_one_of_them() {
    let world = World::new(Bound::Key).await;
    let injected = world.honest.edit(TOOL, |tool| {
        tool["name"] = "search_notes_2".into();
        Some(())
    });
    let injected = injected.unwrap();
    let (connection, _) = attacker(&world.gone_bad(&injected));
    let session = world.session(connection, honest_peer()).await;
    let review = session.verify_tool("search_notes_2").await.unwrap();
    assert!(!review.is_approved());
    assert_eq!(review.code(), "SIGNATURE_REMOVED", "the server signs, so this one was added");
}
