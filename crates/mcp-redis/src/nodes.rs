//! Whether this node has the secret that the others have, asked before it uses any store.
//!
//! Redis keeps of each secret that the node which started last has a name, and which of them it seals with. A name
//! follows from the secret and the prefix, and tells neither. Whoever may write to Redis can put any name there, and
//! wins nothing: what is sealed opens with the secret alone.
//!
//! A node has to open what the others seal, and they what it seals; and one of the two has to know all secrets of the
//! other, because a secret that was mistyped in the first round would be sealed with in the second. So each round of a change of the secret is accepted
//! beside the one before and the one after; one that leaves a round out is refused before it serves anything, and leaves
//! what is noted as it was, so that the others start again as before.

use crate::client::{Client, Lua};
use crate::error::RedisError;
use crate::metrics::StoreName;
use crate::secret::ClusterSecret;

/// What becomes of the secrets that were held against the others'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// Noted: the next node is held against them.
    Node,
    /// Noted where nothing is: a node that is up, on a Redis that was emptied.
    Again,
    /// Nothing yet: a node that has still more to look at.
    Candidate,
    /// Nothing: what is no node needs one that started before.
    Visitor,
}

/// Holds these secrets against those of the nodes that started before.
pub(crate) async fn check(
    client: &Client,
    prefix: &str,
    secret: &ClusterSecret,
    who: As,
) -> Result<(), RedisError> {
    let key = client.key("n", "nodes");
    let names = client.count(StoreName::Nodes, secret.names(prefix))?;
    let how = match who {
        As::Node => "join",
        As::Again => "again",
        As::Candidate | As::Visitor => "look",
    };
    let args: Vec<&[u8]> =
        std::iter::once(how).chain(names.iter().map(String::as_str)).map(str::as_bytes).collect();
    let script = Lua::new(include_str!("scripts/nodes.lua"));
    let said: String = client.script(StoreName::Nodes, &script, &[&key], &args).await?;
    let prefix = prefix.to_owned();
    let error = match &*said {
        "first" | "same" => return Ok(()),
        "changes" if who != As::Node => return Ok(()),
        "nobody" if who == As::Candidate => return Ok(()),
        "changes" => {
            tracing::info!(prefix, "this node seals with another secret than the one before it");
            return Ok(());
        }
        "nobody" => nobody(&prefix),
        "other" => RedisError::OtherSecret { prefix, key },
        "behind" => RedisError::SecretBehind { prefix, key },
        "ahead" => RedisError::SecretAhead { prefix, key },
        "aside" => RedisError::SecretAside { prefix, key },
        _ => RedisError::Damaged("the script of nodes said what it never says"),
    };
    client.count(StoreName::Nodes, Err(error))
}

/// Whether the node that started last seals with the secret that these seal with.
///
/// # Errors
///
/// [`RedisError::SecretAhead`] when it does not, [`RedisError::Config`] where none started.
pub(crate) async fn seal_as(
    client: &Client,
    prefix: &str,
    secret: &ClusterSecret,
) -> Result<(), RedisError> {
    let error = match sealing(client).await? {
        Some(seals) if secret.names(prefix)?.first() == Some(&seals) => return Ok(()),
        Some(_) => {
            RedisError::SecretAhead { prefix: prefix.to_owned(), key: client.key("n", "nodes") }
        }
        None => nobody(prefix),
    };
    client.count(StoreName::Nodes, Err(error))
}

/// The name of the secret with which the node seals that started last.
pub(crate) async fn sealing(client: &Client) -> Result<Option<String>, RedisError> {
    let mut read = redis::cmd("HGET");
    read.arg(client.key("n", "nodes")).arg("seals");
    client.run(StoreName::Nodes, &read).await
}

fn nobody(prefix: &str) -> RedisError {
    let text = "no node has started under the prefix";
    RedisError::Config(format!("{text} `{prefix}`, give the prefix that the nodes have"))
}
