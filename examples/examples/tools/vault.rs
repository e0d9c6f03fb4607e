//! Secrets that are encrypted as long as they are kept.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use mcp_server::checked::{Length, Text};
use mcp_server::{Server, State, ToolError, server, tool};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

/// Keeps secrets by name, each encrypted and bound to its name.
struct Vault {
    key: LessSafeKey,
    random: SystemRandom,
    sealed: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Vault {
    /// A vault whose key ends with the process; one that lasts would take its key from a keychain.
    fn new() -> Result<Self, ring::error::Unspecified> {
        let (random, mut key) = (SystemRandom::new(), [0; 32]);
        random.fill(&mut key)?;
        let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key)?);
        Ok(Self { key, random, sealed: Mutex::default() })
    }

    fn seal(&self, name: &str, secret: &str) -> Result<(), ring::error::Unspecified> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce)?;
        let mut text = secret.as_bytes().to_vec();
        let nonce_once = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(nonce_once, Aad::from(name), &mut text)?;
        let sealed = [&nonce[..], &text].concat();
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), sealed);
        Ok(())
    }

    fn open(&self, name: &str) -> Option<String> {
        let mut sealed =
            self.sealed.lock().unwrap_or_else(PoisonError::into_inner).get(name)?.clone();
        let (nonce, text) = sealed.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let text = self.key.open_in_place(nonce, Aad::from(name), text).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }
}

/// Stores a secret. Its text is in no answer and in no log.
#[tool]
fn store_secret(
    vault: State<Vault>,
    name: Text<Length<1, 64>>,
    secret: Text<Length<1, 4096>>,
) -> Result<String, ToolError> {
    let failed = |error| ToolError::new("the secret could not be stored").log(error);
    vault.seal(&name, &secret).map_err(failed)?;
    Ok(format!("stored {name}"))
}

/// Says whether a secret is the one that was stored, without saying it.
#[tool(annotations(read_only))]
fn check_secret(vault: State<Vault>, name: Text<Length<1, 64>>, secret: String) -> bool {
    // Digests are compared, because how long that takes says nothing about the secret.
    let digest = |text: &str| digest(&SHA256, text.as_bytes());
    vault.open(&name).is_some_and(|stored| digest(&stored).as_ref() == digest(&secret).as_ref())
}

pub(crate) fn server() -> anyhow::Result<Server> {
    let vault = Vault::new().map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    Ok(server!().state(vault).tool::<store_secret>().tool::<check_secret>().build()?)
}
