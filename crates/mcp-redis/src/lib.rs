//! The same server on many nodes: its stores on Redis or Valkey.
//!
//! A modern MCP server needs no shared state for the protocol itself. Everything else that must
//! survive a node, or be seen by all of them, is behind a store trait whose default lives in the
//! process; this crate implements these traits on an engine that operators already run (Redis 7 or
//! newer, Valkey). [`RedisStores`] gives a server all of them:
//!
//! ```no_run
//! use mcp_redis::{Address, ClusterSecret, RedisStores};
//! use mcp_server::Server;
//! use mcp_server::task::Tasks;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = ClusterSecret::from_base64(&std::env::var("CLUSTER_SECRET")?)?;
//! let stores = RedisStores::builder(Address::one("redis://127.0.0.1:6379"), secret)
//!     .prefix("shop")
//!     .connect()
//!     .await?;
//! let server = Server::new("shop", "1.0.0")
//!     .seal_state(stores.state_sealer()?)
//!     .tasks(Tasks::new(stores.tasks()?))
//!     .build()?;
//! # Ok(()) }
//! ```
//!
//! Three rules hold for each store. **It fails closed**: a Redis that is gone, paused, full or that
//! started anew is an error in bounded time ([`RedisError`], counted by [`RedisStores::metrics`]),
//! and a check that cannot be made refuses. **It is bounded**: every key expires or has a quota.
//! **It trusts Redis with nothing that it need not**: what is kept of calls is sealed with a key that
//! follows from a [`ClusterSecret`] which Redis never sees, for the place where it lies.
//!
//! What each store is in Redis, how many round trips it costs and how many bytes it keeps stands in
//! `docs/deploy.md`. Implementations of one's own are held to the same contracts as ours:
//! [`replay_store_contract`](etdi_core::request::replay_store_contract),
//! [`approval_store_contract`](etdi_core::approval::approval_store_contract),
//! [`approval_store_of_nodes_contract`](etdi_core::approval::approval_store_of_nodes_contract),
//! [`event_store_contract`](mcp_transport::http::server::event_store_contract),
//! [`session_store_contract`](mcp_transport::http::server::session_store_contract),
//! [`rate_store_contract`](mcp_transport::rate_store_contract),
//! [`revocation_store_contract`](etdi_core::revocation::revocation_store_contract),
//! [`nonces_contract`](etdi_core::nonce::nonces_contract),
//! [`state_sealer_contract`](mcp_server::state_sealer_contract),
//! [`task_store_contract`](mcp_server::task::task_store_contract) and
//! [`task_store_of_nodes_contract`](mcp_server::task::task_store_of_nodes_contract). Behind the feature
//! `oauth` are the state of an authorization server of one's own and the tokens of clients, with
//! `check_store` and `token_store_contract` of `etdi-oauth`.

mod address;
mod approvals;
mod changes;
mod client;
mod error;
mod events;
mod line;
mod metrics;
mod nodes;
#[cfg(feature = "oauth")]
mod oauth;
mod outage;
mod patience;
mod rates;
mod reach;
mod replay;
mod reseal;
mod revocations;
mod secret;
mod sessions;
mod shards;
mod stores;
mod tasks;

pub use address::Address;
pub use approvals::RedisApprovalStore;
pub use changes::ChangeLink;
pub use error::{Cause, Failure, RedisError};
pub use events::{EventBounds, RedisEventStore};
pub use metrics::{StoreMetrics, StoreName};
#[cfg(feature = "oauth")]
pub use oauth::{RedisAuthorizationStore, RedisTokenStore};
pub use rates::RedisRateStore;
pub use replay::RedisReplayStore;
pub use reseal::{Resealed, Seals};
pub use revocations::RedisRevocationStore;
pub use secret::ClusterSecret;
pub use sessions::RedisSessionStore;
pub use stores::{Health, RedisStores, RedisStoresBuilder};
pub use tasks::RedisTaskStore;
