//! What OAuth keeps, behind the feature `oauth`: the state of an authorization server of one's own, and the
//! tokens of clients.

mod state;
mod tokens;

pub use state::RedisAuthorizationStore;
pub use tokens::RedisTokenStore;
