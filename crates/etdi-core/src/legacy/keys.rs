//! The fork's keys: RSA in PEM, not encrypted, each with a public half and a note on its times.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::ForkError;
use super::approvals::{load, quoted};
use crate::base64url;
use crate::key::SigningKey;

/// A key of a directory such as `~/.etdi/keys`.
///
/// It lay on the disk unencrypted, and the fork believed keys after their end: take it over to
/// verify what it signed, and make a new one to sign with.
#[derive(Debug)]
#[non_exhaustive]
pub struct ForkKey {
    /// The name that the fork knew it by; ours is the thumbprint of the key itself.
    pub key_id: String,
    /// When it was made, as it stands there: a local time without a zone.
    pub created_at: String,
    /// When it ended, as it stands there.
    pub expires_at: Option<String>,
    /// The key, which signs by RS256 unless it is told otherwise.
    pub key: SigningKey,
}

#[derive(Deserialize)]
struct Metadata {
    key_id: String,
    created_at: String,
    #[serde(default)]
    expires_at: Option<String>,
    fingerprint: String,
}

/// The public members of an RSA key.
#[derive(Deserialize)]
struct Modulus {
    n: String,
}

const ENDING: &str = ".private.pem";

impl ForkKey {
    /// The ids of the keys in a directory, in order; names that are no id are left out.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn list(directory: &Path) -> Result<Vec<String>, ForkError> {
        let failed = |source| ForkError::Io { path: directory.display().to_string(), source };
        let mut ids = Vec::new();
        for entry in directory.read_dir().map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(ENDING));
            ids.extend(id.filter(|id| is_id(id)).map(str::to_owned));
        }
        ids.sort();
        Ok(ids)
    }

    /// Reads a key with its two companions, which must be about it.
    ///
    /// # Errors
    ///
    /// [`ForkError::Unreadable`] for an id that could leave the directory (the fork took any), for
    /// what is no RSA key, and where the files are not of one key.
    pub fn read(directory: &Path, key_id: &str) -> Result<Self, ForkError> {
        let refused = |why| ForkError::Unreadable { what: quoted(key_id), why };
        if !is_id(key_id) {
            return Err(refused("a key's id has letters, digits, `-` and `_`"));
        }
        let part = |ending: &str| load(&directory.join(format!("{key_id}{ending}")));
        let text = |bytes| String::from_utf8(bytes).map_err(|_| refused("it is no text"));
        let private = Zeroizing::new(text(part(ENDING)?)?);
        let public = text(part(".public.pem")?)?;
        let metadata: Metadata = serde_json::from_slice(&part(".metadata.json")?)
            .map_err(|_| refused("a member of its metadata is missing or of another type"))?;
        let hash = STANDARD.encode(digest(&SHA256, public.as_bytes()).as_ref());
        if metadata.key_id != key_id || hash.get(..16) != Some(&*metadata.fingerprint) {
            return Err(refused("its metadata is about another key"));
        }
        let key = SigningKey::from_pkcs8_pem(&private)
            .map_err(|_| refused("its private half is no key that counts here"))?;
        if !is_half(&key, &public) {
            return Err(refused("its public half is of another key"));
        }
        let Metadata { created_at, expires_at, .. } = metadata;
        Ok(Self { key_id: key_id.to_owned(), created_at, expires_at, key })
    }
}

fn is_id(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=128).contains(&id.len()) && id.chars().all(plain)
}

/// Whether a PEM of a public key holds the modulus of an RSA key.
fn is_half(key: &SigningKey, public: &str) -> bool {
    let jwk = key.verifying_key().to_jwk();
    let modulus = serde_json::from_str::<Modulus>(&jwk).ok();
    let modulus = modulus.and_then(|modulus| base64url::decode(&modulus.n));
    let body: String =
        public.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(body).ok();
    modulus.zip(der).is_some_and(|(modulus, der)| {
        !modulus.is_empty() && der.windows(modulus.len()).any(|part| part == modulus)
    })
}

#[cfg(all(test, feature = "rsa-keys"))]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::key::Algorithm;

    /// The public key as the fork writes it: SubjectPublicKeyInfo of RSA with 2048 bits.
    fn public_pem(key: &SigningKey) -> String {
        let jwk = key.verifying_key().to_jwk();
        let modulus: Modulus = serde_json::from_str(&jwk).unwrap();
        let mut der = vec![
            0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
            0x01, 0x01, 0x01, 0x05, 0x00, 0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01, 0x0a,
            0x02, 0x82, 0x01, 0x01, 0x00,
        ];
        der.extend(base64url::decode(&modulus.n).unwrap());
        der.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    fn write(directory: &std::path::Path, id: &str, private: &str, public: &str) {
        let hash = STANDARD.encode(digest(&SHA256, public.as_bytes()).as_ref());
        let metadata = serde_json::json!({
            "key_id": id, "created_at": "2025-05-29T10:00:00", "expires_at": "2026-05-29T10:00:00",
            "fingerprint": hash[..16],
        });
        fs::write(directory.join(format!("{id}.private.pem")), private).unwrap();
        fs::write(directory.join(format!("{id}.public.pem")), public).unwrap();
        fs::write(directory.join(format!("{id}.metadata.json")), metadata.to_string()).unwrap();
    }

    #[test]
    fn reads_a_key_with_companions_that_are_about_it() {
        let directory: PathBuf =
            std::env::temp_dir().join(format!("etdi-fork-keys-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let made = || SigningKey::generate_rsa(Algorithm::Rs256, 2048).unwrap();
        let (one, two) = (made(), made());
        write(&directory, "alice", &one.to_pkcs8_pem(), &public_pem(&one));
        write(&directory, "mixed", &one.to_pkcs8_pem(), &public_pem(&two));
        write(&directory, "renamed", &two.to_pkcs8_pem(), &public_pem(&two));
        fs::copy(directory.join("alice.metadata.json"), directory.join("renamed.metadata.json"))
            .unwrap();
        fs::write(directory.join("no id.private.pem"), "x").unwrap();
        let ids = ForkKey::list(&directory).unwrap();
        let read = |id: &str| ForkKey::read(&directory, id);
        let alice = read("alice").unwrap();
        let why = |id: &str| read(id).map(drop).unwrap_err().to_string();
        let (mixed, renamed) = (why("mixed"), why("renamed"));
        // The attack on the fork: an id is a path.
        let outside = why("../keys/alice");
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(ids, ["alice", "mixed", "renamed"]);
        assert_eq!(alice.key.id(), one.id());
        assert_eq!(alice.expires_at.as_deref(), Some("2026-05-29T10:00:00"));
        assert!(mixed.contains("its public half is of another key"), "{mixed}");
        assert!(renamed.contains("its metadata is about another key"), "{renamed}");
        assert!(outside.contains("a key's id has letters"), "{outside}");
    }
}
