//! The key that signs calls.

use super::*;

/// `key_config`: where the key is, of what kind, and whether it is made.
#[test]
fn the_key_that_signs_calls() {
    let home = tempfile::tempdir().unwrap();
    let (private, public) = (home.path().join("client.pem"), home.path().join("client.jwk"));
    let mut keys = KeyConfig { private_key_path: Some(private.clone()), ..KeyConfig::default() };
    keys.public_key_path = Some(public.clone());
    keys.key_algorithm = "ES256".to_owned();
    keys.auto_generate = false;
    let nowhere = Home::at(None);
    let open = |keys: &KeyConfig| keys.open(&nowhere, None).map(|key| key.id());
    let why = |result: Result<KeyId, ConfigError>| result.unwrap_err().to_string();
    assert!(why(open(&keys)).contains("set `auto_generate`"));
    assert!(!private.exists());
    keys.auto_generate = true;
    let made = open(&keys).unwrap();
    assert_eq!(open(&keys).unwrap(), made, "it is made once");
    assert!(std::fs::read_to_string(&public).unwrap().contains("P-256"));
    std::fs::write(
        &public,
        SigningKey::generate(Algorithm::Es256).unwrap().verifying_key().to_jwk(),
    )
    .unwrap();
    assert!(why(open(&keys)).contains("not the public half"));
    std::fs::remove_file(&public).unwrap();
    keys.key_algorithm = "EdDSA".to_owned();
    assert!(why(open(&keys)).contains("it is for ES256, and `key_algorithm` is EdDSA"));
    keys.key_algorithm = "HS256".to_owned();
    assert!(why(open(&keys)).contains("key_config.key_algorithm"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        keys.key_algorithm = "ES256".to_owned();
        assert_eq!(std::fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(why(open(&keys)).contains("chmod 600"));
    }

    // Without a path it is in the directory of `etdi`, sealed where there is something to seal with.
    let place = Home::at(Some(home.path().join("home")));
    let keys = KeyConfig { key_algorithm: "EdDSA".to_owned(), ..KeyConfig::default() };
    let sealing = || Some(Protection::key(SealingKey::from_bytes([7; 32])));
    let sealed = keys.open(&place, sealing()).unwrap().id();
    assert_eq!(keys.open(&place, sealing()).unwrap().id(), sealed);
    assert!(!home.path().join("home/keys").exists());
    let other = Protection::key(SealingKey::from_bytes([8; 32]));
    assert!(keys.open(&place, Some(other)).is_err());
    assert_ne!(keys.open(&place, None).unwrap().id(), sealed);
    assert!(home.path().join("home/keys/client.pem").exists());
}

/// `key_algorithm` and `key_size` for RSA, which the README names.
#[cfg(feature = "rsa-keys")]
#[test]
fn an_rsa_key_has_its_size() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("rsa.pem");
    let mut keys = KeyConfig { private_key_path: Some(path), ..KeyConfig::default() };
    keys.key_size = 1024;
    assert!(keys.open(&Home::at(None), None).is_err());
    keys.key_size = 2048;
    let key = keys.open(&Home::at(None), None).unwrap();
    assert_eq!(key.verifying_key().algorithm(), Algorithm::Rs256);
    assert_eq!(key.sign(b"x").unwrap().len(), 256);
    keys.key_algorithm = "PS256".to_owned();
    assert_eq!(
        keys.open(&Home::at(None), None).unwrap().verifying_key().algorithm(),
        Algorithm::Ps256
    );
}

#[cfg(not(feature = "rsa-keys"))]
#[test]
fn without_the_feature_an_rsa_key_is_not_made() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("rsa.pem");
    let keys = KeyConfig { private_key_path: Some(path), ..KeyConfig::default() };
    let error = keys.open(&Home::at(None), None).unwrap_err().to_string();
    assert!(error.contains("feature `rsa-keys`"), "{error}");
}
