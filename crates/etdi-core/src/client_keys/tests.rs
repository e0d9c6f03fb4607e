//! Strangers, names, first use, tokens, issuers, and the file that several processes share.

use futures_executor::block_on;

use super::*;
use crate::key::{Algorithm, SigningKey};
use crate::key_source::{FoundKey, PinnedKeys};
use crate::proof::Trust;

const NOW: UnixTime = UnixTime(1_767_323_045);

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::EdDsa).unwrap()
}

#[test]
fn a_brought_key_counts_only_under_its_own_name() {
    let (client, other) = (key(), key());
    let open = KnownClients::new().taking_first_use();
    let lying = Introduction::new(client.id()).bringing(other.verifying_key());
    let bare = Introduction::new(client.id());
    for caller in [lying, bare, lying.confirmed(client.id()), bare.confirmed(client.id())] {
        let refused = block_on(open.find(caller, NOW)).unwrap_err();
        assert_eq!(refused, ClientKeyError::Unknown { key: client.id() });
    }
    // What was found and never seen to sign anything is not kept.
    let honest = Introduction::new(client.id()).bringing(client.verifying_key());
    let found = block_on(open.find(honest, NOW)).unwrap();
    assert!(open.list().is_empty());
    block_on(open.seen(&found, NOW)).unwrap();
    block_on(open.seen(&found, NOW)).unwrap();
    assert_eq!(open.list(), [found]);
}

#[test]
fn a_token_vouches_for_its_own_key_and_leaves_no_trace() {
    let client = key();
    let clients = KnownClients::new();
    let caller = Introduction::new(client.id()).bringing(client.verifying_key());
    assert!(block_on(clients.find(caller.confirmed(key().id()), NOW)).is_err());
    let found = block_on(clients.find(caller.confirmed(client.id()), NOW)).unwrap();
    assert_eq!(found.trust, ClientTrust::Token);
    block_on(clients.seen(&found, NOW)).unwrap();
    assert!(clients.known(client.id(), NOW).is_none(), "the next token may be another's");
}

#[test]
fn issuers_of_clients_are_asked() {
    let (client, stranger) = (key(), key());
    let issuer: ProviderId = "https://agents.example".parse().unwrap();
    let pins = PinnedKeys::new();
    pins.pin(issuer.clone(), client.verifying_key().clone(), Trust::Issuer);
    pins.pin(
        "https://other.example".parse().unwrap(),
        stranger.verifying_key().clone(),
        Trust::Issuer,
    );
    let clients = KnownClients::new().issued_by([issuer], Arc::new(pins));
    let found = block_on(clients.find(Introduction::new(client.id()), NOW)).unwrap();
    assert_eq!((found.name.as_str(), found.trust), ("https://agents.example", ClientTrust::Issuer));
    assert!(block_on(clients.find(Introduction::new(stranger.id()), NOW)).is_err());
}

/// Gives its own key whatever it is asked for.
struct Liar(VerifyingKey);

impl KeySource for Liar {
    fn key<'a>(
        &'a self,
        _: &'a ProviderId,
        _: &'a str,
        _: UnixTime,
    ) -> BoxFuture<'a, Result<FoundKey, KeySourceError>> {
        Box::pin(std::future::ready(Ok(FoundKey::new(self.0.clone(), Trust::Issuer))))
    }
}

#[test]
fn an_issuer_that_gives_another_key_vouches_for_nobody() {
    let (client, other) = (key(), key());
    let issuer: ProviderId = "https://agents.example".parse().unwrap();
    let source = Arc::new(Liar(other.verifying_key().clone()));
    let clients = KnownClients::new().issued_by([issuer], source);
    let refused = block_on(clients.find(Introduction::new(client.id()), NOW)).unwrap_err();
    assert_eq!(refused, ClientKeyError::Unknown { key: client.id() });
    assert!(block_on(clients.find(Introduction::new(other.id()), NOW)).is_ok());
}

#[test]
fn first_use_is_a_matter_of_the_level() {
    let client = key();
    let caller = Introduction::new(client.id()).bringing(client.verifying_key());
    for (level, taken) in [
        (SecurityLevel::Basic, true),
        (SecurityLevel::Enhanced, true),
        (SecurityLevel::Strict, false),
    ] {
        let found = block_on(KnownClients::at(level).find(caller, NOW));
        assert_eq!(found.is_ok(), taken, "{level}");
    }
}

#[test]
fn first_use_has_a_bound() {
    let clients = KnownClients::new().taking_first_use();
    let client = |id: KeyId, key: &SigningKey| {
        let key = key.verifying_key().clone();
        let one = Client { name: "x".into(), key, trust: ClientTrust::FirstUse, since: NOW };
        clients.write().insert(id, Arc::new(one));
    };
    let one = key();
    for number in 0..MAX_FIRST_USE {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        client(KeyId::from_bytes(bytes), &one);
    }
    let caller = Introduction::new(one.id()).bringing(one.verifying_key());
    assert_eq!(block_on(clients.find(caller, NOW)), Err(ClientKeyError::Full(MAX_FIRST_USE)));
}

#[test]
fn a_damaged_list_knows_nobody() {
    let clients = KnownClients::new();
    clients.trust("alice@example.com", key().verifying_key().clone(), NOW).unwrap();
    let text = clients.to_json();
    let again = KnownClients::new();
    again.add_json(&text).unwrap();
    assert_eq!(again.list(), clients.list());
    for (old, new) in [
        (r#""v":1"#, r#""v":2"#),
        ("alice", "a/../b"),
        ("named", "trusted"),
        (r#""kty":"OKP""#, r#""kty":"oct""#),
        (r#""v":1"#, r#""v":1,"x":1"#),
        (r#""kid":""#, r#""kid":"A"#),
    ] {
        let bad = text.replacen(old, new, 1);
        assert_ne!(bad, text);
        let empty = KnownClients::new();
        assert!(empty.add_json(&bad).is_err(), "{bad}");
        assert!(empty.list().is_empty());
    }
    for name in ["", "a b", "a/b", "ä", &"a".repeat(65), "a\n"] {
        let refused = clients.trust(name, key().verifying_key().clone(), NOW);
        assert!(matches!(refused, Err(ClientKeyError::Name(_))), "{name:?}");
    }
}

#[test]
fn strangers_leave_room_in_the_file() {
    let directory =
        std::env::temp_dir().join(format!("etdi-clients-{}", crate::random::id().unwrap()));
    let server = FileClients::open(&directory, || KnownClients::new().taking_first_use()).unwrap();
    // Keys of other algorithms are long, so that the bound of their number comes too late.
    let crowd = |clients: &KnownClients| {
        while clients.to_json().len() < MAX_LENGTH / 4 * 3 - 2_000 {
            for _ in 0..8 {
                let one = key();
                let key = one.verifying_key().clone();
                let name = "x".repeat(64);
                let one = Client { name, key, trust: ClientTrust::FirstUse, since: NOW };
                clients.write().insert(one.key.id(), Arc::new(one));
            }
        }
        Ok(())
    };
    server.change(MAX_LENGTH, crowd).unwrap();
    let full = (0..20).find_map(|_| {
        let one = key();
        let caller = Introduction::new(one.id()).bringing(one.verifying_key());
        let found = block_on(server.find(caller, NOW)).unwrap();
        block_on(server.seen(&found, NOW)).err()
    });
    assert_eq!(full, Some(ClientKeyError::Crowded));
    let alice = key();
    server.trust("alice", alice.verifying_key(), NOW).unwrap();
    assert_eq!(server.known(alice.id(), NOW.plus(1)).unwrap().name, "alice");
    assert!(server.list().unwrap().len() < MAX_FIRST_USE);
    let _ = std::fs::remove_dir_all(&directory);
}

#[test]
fn processes_share_a_file() {
    let directory =
        std::env::temp_dir().join(format!("etdi-clients-{}", crate::random::id().unwrap()));
    let open = |first: bool| {
        let make = move || match first {
            true => KnownClients::new().taking_first_use(),
            false => KnownClients::new(),
        };
        FileClients::open(&directory, make).unwrap()
    };
    let (server, operator) = (open(true), open(false));
    let (alice, bob) = (key(), key());
    assert!(server.known(alice.id(), NOW).is_none());
    operator.trust("alice", alice.verifying_key(), NOW).unwrap();
    assert_eq!(server.known(alice.id(), NOW.plus(1)).unwrap().name, "alice");

    let caller = Introduction::new(bob.id()).bringing(bob.verifying_key());
    assert!(block_on(operator.find(caller, NOW)).is_err());
    let found = block_on(server.find(caller, NOW.plus(1))).unwrap();
    block_on(server.seen(&found, NOW.plus(1))).unwrap();
    assert_eq!(operator.list().unwrap().len(), 2);

    assert!(operator.remove(alice.id()).unwrap());
    assert!(server.known(alice.id(), NOW.plus(2)).is_none(), "removed now is unknown now");
    assert!(server.known(bob.id(), NOW.plus(2)).is_some());

    // Who was taken on first use and removed does not come back by calling again.
    assert!(operator.remove(bob.id()).unwrap());
    let again = block_on(server.find(caller, NOW.plus(3))).unwrap_err();
    assert_eq!(again, ClientKeyError::Unknown { key: bob.id() });
    assert!(block_on(server.seen(&found, NOW.plus(3))).is_err());
    operator.trust("bob", bob.verifying_key(), NOW).unwrap();
    assert_eq!(server.known(bob.id(), NOW.plus(4)).unwrap().name, "bob");

    std::fs::write(directory.join("clients.json"), "{").unwrap();
    assert!(server.known(bob.id(), NOW.plus(5)).is_none());
    assert!(matches!(block_on(server.find(caller, NOW.plus(5))), Err(ClientKeyError::Store(_))));
    std::fs::remove_dir_all(&directory).unwrap();
}
