//! T17: a definition that is made to exhaust whoever looks at it closely.

use etdi_cli::demo::attacks::TOOL;

use crate::world::{Bound, World};

#[tokio::test]
async fn what_is_too_large_to_be_looked_at_is_no_definition() {
    let world = World::new(Bound::Key).await;
    let deep = format!("{}{{}}{}", r#"{"items":"#.repeat(70), "}".repeat(70));
    let many = format!("[{}0]", "0,".repeat(33_000));
    let long = format!("\"{}\"", "x".repeat(520 << 10));
    for (size, code) in [(deep, "too_deep"), (many, "too_many"), (long, "too_long")] {
        let smuggled = format!(r#""definitions":{size},"properties":"#);
        let listing = world.honest.edit_text(TOOL, r#""properties":"#, &smuggled).unwrap();
        let (refused, found) = world.stopped(&world.gone_bad(&listing)).await;
        assert_eq!((&*refused, &*found), ("DEFINITION_INVALID", code));
    }
}
