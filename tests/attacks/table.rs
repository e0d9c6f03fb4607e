//! T3, T8, T9, T10, T11, T18, T30, T36: the table of the demo, over an in-memory stream.

use etdi_cli::demo::attacks::{ATTACKS, Runner};

use crate::world::{
    Bound, World, attacker, fools_plain_client, honest_peer, identity, program, refusal,
};
use etdi::core::verify::Peer;

#[tokio::test]
async fn each_attack_works_without_etdi_and_is_refused_with_it() {
    for attack in ATTACKS {
        let bound = if attack.runner == Runner::Replaced { Bound::Program } else { Bound::Key };
        let world = World::new(bound).await;
        let (honest, statement) = (&world.honest, &world.statement);
        let script = attack.script(&world.keys, honest, statement, &world.overheard).unwrap();
        assert!(fools_plain_client(&script).await, "{}", attack.name);

        let peer = match attack.runner {
            Runner::Replaced => Peer::new(identity()).measured(program(b"another program")),
            Runner::GoneBad => honest_peer(),
            _ => Peer::new(identity()),
        };
        let (connection, calls) = attacker(&script);
        let session = world.session(connection, peer).await;
        // The first listing, which the attack that swaps later keeps honest.
        session.discover_tools().await.unwrap();
        let stopped = refusal(&session).await;
        let expected = (attack.code.to_owned(), attack.verification.to_owned());
        assert_eq!(stopped, expected, "{}", attack.name);
        assert_eq!(calls.count(), 0, "{}", attack.name);
    }
}
