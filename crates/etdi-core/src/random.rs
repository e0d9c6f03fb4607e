//! Random ids.

use ring::rand::{SecureRandom, SystemRandom};

use crate::base64url;
use crate::key::KeyError;

/// 128 random bits as 22 characters of base64url.
pub(crate) fn id() -> Result<String, KeyError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError::Random)?;
    Ok(base64url::encode(&bytes))
}

/// 64 random bits.
pub(crate) fn number() -> Result<u64, KeyError> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError::Random)?;
    Ok(u64::from_ne_bytes(bytes))
}
