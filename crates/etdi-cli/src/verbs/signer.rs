//! The key of `etdi sign`: a file, the keyring of the system, or a program that holds it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi::core::change::visible;
use etdi::core::key::{SigningKey, VerifyingKey};
use etdi::core::proof::{SignError, Signer};
use etdi::core::secret::Keychain;

use crate::exit::Failure;
use crate::home::Home;
use crate::keyring;
use crate::verbs::keys;
use crate::verbs::offered::public_key;

/// The key that `text` names.
///
/// # Errors
///
/// When there is no such key, or the public half of a program's key is not given.
pub fn open(home: &Home, text: &str, public: Option<&Path>) -> Result<Arc<dyn Signer>, Failure> {
    if let Some(command) = text.strip_prefix("command:") {
        let public = public.ok_or_else(|| {
            let message = "a `command:` signs with a key that only it knows, so say which";
            Failure::usage(message, "etdi sign --key 'command:…' --public KEY.jwk …")
        })?;
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            return Err(Failure::usage("`command:` names no program", "etdi sign --help"));
        }
        return Ok(Arc::new(CommandSigner { words, key: public_key(public)? }));
    }
    if let Some(account) = text.strip_prefix("keyring:") {
        return Ok(Arc::new(from_keychain(&*keyring::keychain()?, account)?));
    }
    let name = match text.split_once(':') {
        // A name without a slash is one of `etdi keys list`, not a file.
        Some(("file", path)) if !path.contains(['/', '.']) => format!("./{path}"),
        Some(("file", path)) => path.to_owned(),
        _ => text.to_owned(),
    };
    Ok(Arc::new(keys::load(home, &name)?))
}

/// A key that lies in a keyring as PKCS#8, in PEM or DER.
pub(crate) fn from_keychain(keychain: &dyn Keychain, account: &str) -> Result<SigningKey, Failure> {
    let unfit = |why: String| {
        let message = format!("the keyring's entry `{}`: {why}", visible(account));
        Failure::usage(message, "etdi sign --help")
    };
    let entry = keychain.get(account).map_err(|error| unfit(error.to_string()))?;
    let entry = entry.ok_or_else(|| unfit("there is none".to_owned()))?;
    let key = match entry.reveal_text() {
        Some(pem) => SigningKey::from_pkcs8_pem(pem),
        None => SigningKey::from_pkcs8_der(entry.reveal()),
    };
    key.map_err(|error| unfit(error.to_string()))
}

/// A program that holds a key: it reads what is to be signed and prints the signature.
struct CommandSigner {
    words: Vec<String>,
    key: VerifyingKey,
}

impl Signer for CommandSigner {
    fn verifying_key(&self) -> &VerifyingKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let (program, arguments) = self.words.split_first().ok_or_else(unnamed)?;
        let failed = |what: &str| SignError(format!("`{program}` {what}"));
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(&format!("cannot be started: {error}")))?;
        let written = child.stdin.take().map(|mut input| input.write_all(message));
        let output = child
            .wait_with_output()
            .map_err(|error| failed(&format!("gave no answer: {error}")))?;
        if !output.status.success() {
            return Err(failed(&format!("failed ({})", output.status)));
        }
        // A program may have signed without reading everything; then the signature is wrong.
        _ = written;
        let signature = self.signature(message, &output.stdout);
        signature.ok_or_else(|| failed("printed no signature of that key over what it was given"))
    }
}

impl CommandSigner {
    /// The signature in what a program printed, raw or in base64url, if it is one.
    fn signature(&self, message: &[u8], printed: &[u8]) -> Option<Vec<u8>> {
        if self.key.verify(message, printed) {
            return Some(printed.to_vec());
        }
        let text = core::str::from_utf8(printed).ok()?.trim().trim_end_matches('=');
        let signature = URL_SAFE_NO_PAD.decode(text.replace('+', "-").replace('/', "_")).ok()?;
        self.key.verify(message, &signature).then_some(signature)
    }
}

fn unnamed() -> SignError {
    SignError("`command:` names no program".to_owned())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use etdi::core::key::Algorithm;
    use etdi::core::secret::{MemoryKeychain, Secret};

    use super::*;

    #[test]
    fn a_keyring_gives_the_key_that_lies_in_it() {
        let keychain = MemoryKeychain::default();
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        keychain.set("pem", &Secret::from(key.to_pkcs8_pem().to_string())).unwrap();
        keychain.set("other", &Secret::new(b"no key".to_vec())).unwrap();
        assert_eq!(from_keychain(&keychain, "pem").unwrap().id(), key.id());
        assert!(from_keychain(&keychain, "other").is_err());
        assert!(from_keychain(&keychain, "absent").is_err());
    }

    /// Whatever a program prints is believed only if it is a signature by the key.
    #[test]
    fn a_program_that_does_not_hold_the_key_signs_nothing() {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let signer = |words: &[&str]| CommandSigner {
            words: words.iter().map(|&word| word.to_owned()).collect(),
            key: key.verifying_key().clone(),
        };
        let signature = URL_SAFE_NO_PAD.encode(key.sign(b"message").unwrap());
        let honest = signer(&["/bin/echo", &signature]);
        assert_eq!(honest.sign(b"message").unwrap(), key.sign(b"message").unwrap());
        for (signer, message) in [
            (honest, "another message"),
            (signer(&["/bin/cat"]), "message"),
            (signer(&["/bin/false"]), "message"),
            (signer(&["/nowhere/etdi-key"]), "message"),
        ] {
            assert!(signer.sign(message.as_bytes()).is_err());
        }
    }
}
