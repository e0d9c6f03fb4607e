//! Whether this node has the secret that the others have, asked before it uses any store.
//!
//! Redis keeps of each secret that the node which started last has a name, and which of them it seals with. A name
//! follows from the secret and the prefix, and tells neither. Whoever may write to Redis can put any name there, and
//! wins nothing: what is sealed opens with the secret alone.
//!
//! A node has to open what the others seal. So each round of a change of the secret is accepted beside the one before
//! and the one after, and one that leaves a round out is refused before it serves anything.

use crate::client::{Client, Lua};
use crate::error::RedisError;
use crate::metrics::StoreName;
use crate::secret::ClusterSecret;

/// Holds the secrets of this node against those of the nodes that started before, and notes them.
pub(crate) async fn check(
    client: &Client,
    prefix: &str,
    secret: &ClusterSecret,
) -> Result<(), RedisError> {
    let key = client.key("n", "nodes");
    let names = client.count(StoreName::Nodes, secret.names(prefix))?;
    let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    let script = Lua::new(include_str!("scripts/nodes.lua"));
    let said: String = client.script(StoreName::Nodes, &script, &[&key], &names).await?;
    let prefix = prefix.to_owned();
    let error = match &*said {
        "first" | "same" => return Ok(()),
        "changes" => {
            tracing::info!(prefix, "this node seals with another secret than the one before it");
            return Ok(());
        }
        "ahead" => {
            tracing::warn!(
                prefix,
                "this node seals with a secret that the node before it does not open: unless all are stopped, go \
                 over all nodes with the old secret that `also_opens` the new one first"
            );
            return Ok(());
        }
        "other" => RedisError::OtherSecret { prefix, key },
        "behind" => RedisError::SecretBehind { prefix },
        _ => RedisError::Damaged("the script of nodes said what it never says"),
    };
    client.count(StoreName::Nodes, Err(error))
}
