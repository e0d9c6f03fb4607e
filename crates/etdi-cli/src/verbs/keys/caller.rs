//! The key that signs this user's calls: the one named `default`, made when it is first needed.

use std::sync::{Arc, OnceLock};

use etdi::core::key::{Algorithm, SigningKey, VerifyingKey};
use etdi::core::proof::{SignError, Signer};

use super::chest;
use crate::exit::Failure;
use crate::home::Home;

/// The name of the key.
const NAME: &str = "default";

/// Whoever signs the calls. Nothing is written, and no passphrase asked for, before a call has to be
/// signed.
///
/// # Errors
///
/// When the public half of a key that is there cannot be read.
pub fn caller(home: &Home) -> Result<Arc<dyn Signer>, Failure> {
    match chest::exists(home, NAME) {
        true => {
            let (home, public) = (home.clone(), chest::public(home, NAME)?);
            Ok(Arc::new(Kept { home, public, key: OnceLock::new() }))
        }
        false => {
            let key = chest::generate(Algorithm::EdDsa, 0)?;
            Ok(Arc::new(Fresh { home: home.clone(), key, kept: OnceLock::new() }))
        }
    }
}

/// A key that is opened when it has to sign.
struct Kept {
    home: Home,
    public: VerifyingKey,
    key: OnceLock<SigningKey>,
}

impl Signer for Kept {
    fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        if let Some(key) = self.key.get() {
            return Ok(key.sign(message)?);
        }
        let key = chest::load(&self.home, NAME).map_err(said)?;
        if key.id() != self.public.id() {
            return Err(SignError(
                "the key `default` was replaced meanwhile, try again".to_owned(),
            ));
        }
        let signature = key.sign(message)?;
        // Whoever was faster has the same key.
        _ = self.key.set(key);
        Ok(signature)
    }
}

/// A key that is kept from its first signature on.
struct Fresh {
    home: Home,
    key: SigningKey,
    kept: OnceLock<Result<(), SignError>>,
}

impl Signer for Fresh {
    fn verifying_key(&self) -> &VerifyingKey {
        self.key.verifying_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let keep = || {
            let protection = chest::protection(false).map_err(said)?;
            chest::keep(&self.home, NAME, &self.key, protection).map(|_| ()).map_err(said)
        };
        self.kept.get_or_init(keep).clone()?;
        Ok(self.key.sign(message)?)
    }
}

fn said(failure: Failure) -> SignError {
    SignError(failure.message)
}
