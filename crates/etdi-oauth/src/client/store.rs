//! Where tokens and registrations are kept: each with the issuer that gave it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use etdi_core::digest::Digest;
use etdi_core::secret::{Secret, SecretStore};
use etdi_core::time::UnixTime;
use mcp_types::BoxFuture;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::flow::{ClientAuthentication, RegisteredClient, Registration};
use crate::token::{TokenScheme, Tokens};
use crate::{AccessToken, SecretText};

mod contract;

pub use contract::token_store_contract;

/// Keeps secrets of OAuth under names. Object safe.
///
/// A name says what is under it and never is secret: `tokens URL` for the tokens of a server,
/// `client ISSUER` and `device ISSUER` for registrations. Of all who keep something under one name at
/// once one is last, and what it kept is there whole. [`token_store_contract`] holds an implementation
/// to this.
pub trait TokenStore: Send + Sync {
    /// What is under a name, `None` when there is nothing. What cannot be read for certain is an
    /// error, never an absence.
    ///
    /// # Errors
    ///
    /// What failed, in words.
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<SecretText>, String>>;

    /// Keeps a secret in place of what was there.
    ///
    /// # Errors
    ///
    /// What failed, in words; what was there is there then.
    fn put<'a>(&'a self, name: &'a str, secret: SecretText) -> BoxFuture<'a, Result<(), String>>;

    /// Takes it away; nothing is as good as something.
    ///
    /// # Errors
    ///
    /// What failed, in words.
    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), String>>;
}

/// Keeps them until the process ends.
#[derive(Debug, Default)]
pub struct MemoryTokens(Mutex<BTreeMap<String, SecretText>>);

impl MemoryTokens {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, run: impl FnOnce(&mut BTreeMap<String, SecretText>) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TokenStore for MemoryTokens {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<SecretText>, String>> {
        Box::pin(async move { Ok(self.with(|kept| kept.get(name).cloned())) })
    }

    fn put<'a>(&'a self, name: &'a str, secret: SecretText) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.with(|kept| kept.insert(name.to_owned(), secret));
            Ok(())
        })
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.with(|kept| kept.remove(name));
            Ok(())
        })
    }
}

/// Keeps them encrypted on this computer, in a [`SecretStore`] whose key is in the system's keyring,
/// behind a passphrase, or the host's.
#[derive(Debug)]
pub struct SealedTokens(SecretStore);

impl SealedTokens {
    /// In a store that is open. Other secrets may be in it.
    pub fn new(store: SecretStore) -> Self {
        Self(store)
    }

    /// The name in the store, which has no room for long ones.
    fn place(name: &str) -> String {
        match name.len() <= 400 {
            true => format!("oauth {name}"),
            false => format!("oauth {}", Digest::of_bytes(name.as_bytes())),
        }
    }
}

impl TokenStore for SealedTokens {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<SecretText>, String>> {
        Box::pin(async move {
            let secret = self.0.get(&Self::place(name)).map_err(|error| error.to_string())?;
            let text = |secret: Secret| secret.reveal_text().map(SecretText::new);
            secret.map(|secret| text(secret).ok_or("it is no text".to_owned())).transpose()
        })
    }

    fn put<'a>(&'a self, name: &'a str, secret: SecretText) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let secret = Secret::from(secret.expose());
            self.0.put(&Self::place(name), &secret).map_err(|error| error.to_string())
        })
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.0.delete(&Self::place(name)).map(drop).map_err(|error| error.to_string())
        })
    }
}

/// What is known of a server: its tokens, and who gave them for what.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) issuer: String,
    pub(super) resource: String,
    /// Whose tokens they are at the issuer.
    pub(super) client_id: String,
    /// What was asked for, so that a step up keeps it.
    pub(super) asked: Vec<String>,
    pub(super) tokens: Tokens,
    /// The key to which they are bound.
    pub(super) dpop: Option<SecretText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptText {
    v: u32,
    issuer: String,
    resource: String,
    client_id: String,
    asked: Vec<String>,
    access: Zeroizing<String>,
    dpop_bound: bool,
    issued: UnixTime,
    expires: Option<UnixTime>,
    refresh: Option<Zeroizing<String>>,
    scopes: Vec<String>,
    dpop: Option<Zeroizing<String>>,
}

fn wiped(secret: &SecretText) -> Zeroizing<String> {
    Zeroizing::new(secret.expose().to_owned())
}

fn unwiped(text: &Zeroizing<String>) -> SecretText {
    SecretText::new(text.as_str())
}

fn written(value: &impl Serialize) -> Result<SecretText, String> {
    serde_json::to_string(value).map(SecretText::new).map_err(|error| error.to_string())
}

/// Nothing of a record stands in an error: it is one secret as a whole.
fn damaged<T>(_: T) -> String {
    "a record of it cannot be read; log in again after it was removed".to_owned()
}

impl Kept {
    pub(super) fn name(server: &str) -> String {
        format!("tokens {server}")
    }

    pub(super) fn write(&self) -> Result<SecretText, String> {
        written(&KeptText {
            v: 1,
            issuer: self.issuer.clone(),
            resource: self.resource.clone(),
            client_id: self.client_id.clone(),
            asked: self.asked.clone(),
            access: Zeroizing::new(self.tokens.access.expose().to_owned()),
            dpop_bound: self.tokens.scheme == TokenScheme::DPoP,
            issued: self.tokens.issued,
            expires: self.tokens.expires,
            refresh: self.tokens.refresh.as_ref().map(wiped),
            scopes: self.tokens.scopes.clone(),
            dpop: self.dpop.as_ref().map(wiped),
        })
    }

    pub(super) fn read(text: &SecretText) -> Result<Self, String> {
        let text: KeptText = serde_json::from_str(text.expose()).map_err(damaged)?;
        if text.v != 1 {
            return Err(damaged(()));
        }
        let scheme = if text.dpop_bound { TokenScheme::DPoP } else { TokenScheme::Bearer };
        Ok(Self {
            issuer: text.issuer,
            resource: text.resource,
            client_id: text.client_id,
            asked: text.asked,
            tokens: Tokens {
                access: AccessToken::new(text.access.as_str().to_owned()),
                scheme,
                issued: text.issued,
                expires: text.expires,
                refresh: text.refresh.as_ref().map(unwiped),
                scopes: text.scopes,
                id_token: None,
            },
            dpop: text.dpop.as_ref().map(unwiped),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistrationText {
    v: u32,
    issuer: String,
    id: String,
    secret: Option<Zeroizing<String>>,
    in_form: bool,
    redirect_uris: Vec<String>,
    expires: Option<UnixTime>,
}

impl Registration {
    pub(super) fn name(device: bool, issuer: &str) -> String {
        format!("{} {issuer}", if device { "device" } else { "client" })
    }

    pub(super) fn write(&self) -> Result<SecretText, String> {
        let (secret, in_form) = match &self.client.authentication {
            ClientAuthentication::SecretPost(secret) => (Some(wiped(secret)), true),
            ClientAuthentication::SecretBasic(secret) => (Some(wiped(secret)), false),
            _ => (None, false),
        };
        written(&RegistrationText {
            v: 1,
            issuer: self.client.issuer.clone(),
            id: self.client.id.clone(),
            secret,
            in_form,
            redirect_uris: self.redirect_uris.clone(),
            expires: self.expires,
        })
    }

    /// The registration with `issuer`: one with somebody else under its name is damage.
    pub(super) fn read(text: &SecretText, issuer: &str) -> Result<Self, String> {
        let text: RegistrationText = serde_json::from_str(text.expose()).map_err(damaged)?;
        if text.v != 1 || text.issuer != issuer {
            return Err(damaged(()));
        }
        let authentication = match text.secret.as_ref().map(unwiped) {
            None => ClientAuthentication::None,
            Some(secret) if text.in_form => ClientAuthentication::SecretPost(secret),
            Some(secret) => ClientAuthentication::SecretBasic(secret),
        };
        Ok(Self {
            client: RegisteredClient::new(text.issuer, text.id, authentication),
            redirect_uris: text.redirect_uris,
            expires: text.expires,
        })
    }
}

#[cfg(test)]
mod tests;
