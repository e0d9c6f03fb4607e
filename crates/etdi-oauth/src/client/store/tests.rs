//! The stores keep what they promise, and records say whose they are.

use std::sync::Arc;

use etdi_core::secret::{Protection, SealingKey};

use super::*;
use crate::DpopKey;

#[tokio::test]
async fn both_stores_hold_the_contract() {
    let memory = MemoryTokens::new();
    token_store_contract(&[&memory, &memory]).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let key = SealingKey::generate().unwrap();
    let path = directory.path().join("secrets");
    let open = || SecretStore::open(&path, Protection::key(key.clone())).unwrap();
    // Two processes on one directory.
    let (one, other) = (SealedTokens::new(open()), SealedTokens::new(open()));
    token_store_contract(&[&one, &other]).await.unwrap();
    // Another process finds it.
    let again = SealedTokens::new(open());
    let kept = again.get("tokens https://mcp.example/mcp").await.unwrap().unwrap();
    assert_eq!(kept.expose(), "two");
}

#[tokio::test]
async fn the_contract_notices_a_store_that_mixes_names_up() {
    struct Short(MemoryTokens);
    impl TokenStore for Short {
        fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<SecretText>, String>> {
            self.0.get(&name[..name.len().min(100)])
        }
        fn put<'a>(&'a self, name: &'a str, text: SecretText) -> BoxFuture<'a, Result<(), String>> {
            self.0.put(&name[..name.len().min(100)], text)
        }
        fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), String>> {
            self.0.remove(&name[..name.len().min(100)])
        }
    }
    assert!(token_store_contract(&[&Short(MemoryTokens::new())]).await.is_err());
    let apart = [MemoryTokens::new(), MemoryTokens::new()];
    assert!(token_store_contract(&[&apart[0], &apart[1]]).await.is_err());
}

fn kept(dpop: Option<&Arc<DpopKey>>) -> Kept {
    Kept {
        issuer: "https://auth.example".to_owned(),
        resource: "https://mcp.example".to_owned(),
        client_id: "us".to_owned(),
        asked: vec!["a".to_owned()],
        tokens: Tokens {
            access: AccessToken::new("access".to_owned()),
            scheme: if dpop.is_some() { TokenScheme::DPoP } else { TokenScheme::Bearer },
            issued: UnixTime(5),
            expires: Some(UnixTime(65)),
            refresh: Some(SecretText::new("refresh")),
            scopes: vec!["a".to_owned(), "b".to_owned()],
            id_token: Some(SecretText::new("who")),
        },
        dpop: dpop.map(|key| key.to_secret()),
    }
}

#[test]
fn a_record_comes_back_as_it_was() {
    let key = Arc::new(DpopKey::generate().unwrap());
    for dpop in [None, Some(&key)] {
        let before = kept(dpop);
        let after = Kept::read(&before.write().unwrap()).unwrap();
        assert_eq!((&after.issuer, &after.resource), (&before.issuer, &before.resource));
        assert_eq!((&after.client_id, &after.asked), (&before.client_id, &before.asked));
        let (one, other) = (&after.tokens, &before.tokens);
        assert_eq!(one.access.expose(), other.access.expose());
        assert_eq!(one.refresh.as_ref().unwrap().expose(), "refresh");
        assert_eq!(
            (one.scheme, one.issued, one.expires),
            (other.scheme, other.issued, other.expires)
        );
        assert_eq!(one.scopes, other.scopes);
        assert!(one.id_token.is_none(), "what nothing here reads is not kept");
        let again = after.dpop.map(|key| DpopKey::from_secret(&key).unwrap().thumbprint());
        assert_eq!(again, dpop.map(|key| key.thumbprint()));
    }
    let changed = kept(None).write().unwrap().expose().replace(r#""v":1"#, r#""v":2"#);
    assert!(Kept::read(&changed.into()).is_err());
    let error = Kept::read(&SecretText::new(r#"{"v":1,"access":"marked"#)).unwrap_err();
    assert!(!error.contains("marked"), "{error}");
}

#[test]
fn a_registration_is_one_with_its_issuer() {
    for authentication in [
        ClientAuthentication::None,
        ClientAuthentication::SecretBasic(SecretText::new("s")),
        ClientAuthentication::SecretPost(SecretText::new("s")),
    ] {
        let client = RegisteredClient::new("https://auth.example", "us", authentication.clone());
        let redirect_uris = vec!["http://127.0.0.1:4000/callback".to_owned()];
        let made = Registration { client, redirect_uris, expires: Some(UnixTime(9)) };
        let text = made.write().unwrap();
        let read = Registration::read(&text, "https://auth.example").unwrap();
        assert_eq!((&read.client.id, read.expires), (&made.client.id, made.expires));
        assert_eq!(format!("{:?}", read.client.authentication), format!("{authentication:?}"));
        assert_eq!(read.redirect_uris, made.redirect_uris);
        // Whoever can move records in a store cannot move a secret to another issuer by that.
        assert!(Registration::read(&text, "https://evil.example").is_err());
    }
}
