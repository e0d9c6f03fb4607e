//! T18: texts that two readers take for two things.

use etdi_cli::demo::attacks::TOOL;

use crate::world::{Bound, World};

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_no_definition() {
    let world = World::new(Bound::Key).await;
    let properties = r#""properties":"#;
    for (smuggled, code) in [
        (r#""properties":{"a":{}},"properties":"#, "duplicate_member"),
        (r#""\u0070roperties":{"a":{}},"properties":"#, "duplicate_member"),
        (r#""x":[[{"a":1,"a":2}]],"properties":"#, "duplicate_member"),
        (r#""maximum":9007199254740993,"properties":"#, "integer_too_large"),
        (r#""maximum":-9007199254740992,"properties":"#, "integer_too_large"),
        (r#""maximum":1e19,"properties":"#, "integer_too_large"),
        (r#""maximum":0.1000000000000000055511151231257827,"properties":"#, "not_round_trip"),
        (r#""default":"\ud800","properties":"#, "lone_surrogate"),
        (r#""default":"\udc00\ud800","properties":"#, "lone_surrogate"),
    ] {
        let listing = world.honest.edit_text(TOOL, properties, smuggled).unwrap();
        let (refused, found) = world.stopped(&world.gone_bad(&listing)).await;
        assert_eq!((&*refused, &*found), ("DEFINITION_INVALID", code), "{smuggled}");
    }
}
