//! What the builder gives an authorization server, and a client that logs in.

use super::RedisStores;
use crate::error::RedisError;
use crate::oauth::{RedisAuthorizationStore, RedisTokenStore};

impl RedisStores {
    /// The state of an authorization server, for `Embedded::open`: keys, clients, grants, what was used.
    ///
    /// On a Redis that knows nothing yet, nothing counts as used for the first time, and no code is
    /// taken, for two minutes and the tolerance of clocks; see
    /// [`dangerously_believe_empty`](super::RedisStoresBuilder::dangerously_believe_empty).
    ///
    /// Whoever asks again gets the same store.
    ///
    /// # Errors
    ///
    /// [`RedisError`] when no key follows from the secret, or Redis cannot be asked since when it can be
    /// believed.
    pub async fn authorization(&self) -> Result<RedisAuthorizationStore, RedisError> {
        let made = self.authorization.get_or_try_init(async || {
            let store = self.unmarked_authorization()?;
            store.mark(super::now()).await?;
            Ok(store)
        });
        made.await.cloned()
    }

    /// The same, which does not note that somebody has looked.
    pub(crate) fn unmarked_authorization(&self) -> Result<RedisAuthorizationStore, RedisError> {
        let super::RedisStoresBuilder { tolerance, believes_empty, .. } = *self.settings;
        let (client, seal) = (self.client.clone(), self.secret.seal("authorization")?);
        Ok(RedisAuthorizationStore::new(client, seal, tolerance, believes_empty))
    }

    /// The secret for `AuthorizationRoutes::shared_nonces`. It follows from the secret of all nodes, and
    /// asks no Redis. It follows from the one that seals alone: in the midst of a change of the secret a client that goes
    /// from a node of one secret to one of another is given a new nonce (`use_dpop_nonce`), and asks again.
    ///
    /// # Errors
    ///
    /// [`RedisError::Config`] when no key follows from the secret.
    pub fn authorization_nonces(&self) -> Result<zeroize::Zeroizing<[u8; 32]>, RedisError> {
        self.secret.derived("authorization nonces")
    }

    /// Tokens and registrations of one owner's logins, for `OAuthClientBuilder::store`. What one owner has,
    /// such as a user of a gateway, no other owner's store gives.
    ///
    /// # Errors
    ///
    /// [`RedisError::Config`] when no key follows from the secret.
    pub fn tokens_of(&self, owner: impl Into<String>) -> Result<RedisTokenStore, RedisError> {
        let seal = self.secret.seal("tokens")?;
        Ok(RedisTokenStore::new(self.client.clone(), seal, owner.into()))
    }
}
