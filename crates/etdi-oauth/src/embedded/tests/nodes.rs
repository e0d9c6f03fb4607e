//! Several nodes of one authorization server, on one store.

use std::sync::Arc;

use etdi_core::time::UnixTime;

use super::world::{ISSUER, RESOURCE, START};
use crate::embedded::seal::Seal;
use crate::embedded::{AuthorizationServer, Embedded, MemoryStore, Settings};

const NOW: UnixTime = UnixTime(START);

async fn node(store: &Arc<MemoryStore>) -> Embedded {
    let settings = Settings::new(ISSUER, [RESOURCE]).unwrap();
    Embedded::open(store.clone(), &settings, NOW).await.unwrap()
}

/// How many keys a node shows.
fn shown(node: &Embedded, now: UnixTime) -> usize {
    node.jwks(now).matches("\"kty\"").count()
}

#[tokio::test]
async fn nodes_show_and_take_each_others_keys() {
    let store = Arc::new(MemoryStore::new());
    let (one, other) = tokio::join!(node(&store), node(&store));
    assert_eq!((shown(&one, NOW), one.jwks(NOW)), (1, other.jwks(NOW)), "one first key");
    one.rotate_keys(NOW).await.unwrap();
    assert_eq!((shown(&one, NOW), shown(&other, NOW)), (2, 1));
    // A moment ago it was looked, and the next key does not sign for an hour.
    other.look(NOW.plus(29)).await.unwrap();
    assert_eq!(shown(&other, NOW.plus(29)), 1);
    other.look(NOW.plus(30)).await.unwrap();
    assert_eq!(other.jwks(NOW.plus(30)), one.jwks(NOW.plus(30)));
    // A node that starts later has both.
    assert_eq!(shown(&node(&store).await, NOW), 2);
}

#[test]
fn nodes_of_one_secret_know_each_others_nonces() {
    use crate::embedded::dpop::Nonces;
    let node = |secret: [u8; 32]| Nonces::new(Seal::new(&secret), true);
    let nonce = node([1; 32]).make(NOW).unwrap();
    let holds = |secret, nonce: &str, now| node(secret).holds(Some(nonce.to_owned()), now);
    assert!(holds([1; 32], &nonce, NOW.plus(300)) && holds([1; 32], &nonce, NOW.minus(30)));
    for (secret, now) in [([2; 32], NOW), ([1; 32], NOW.plus(301)), ([1; 32], NOW.minus(31))] {
        assert!(!holds(secret, &nonce, now));
    }
}
