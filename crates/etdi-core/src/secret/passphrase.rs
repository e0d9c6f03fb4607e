//! From a passphrase to a key: Argon2id (RFC 9106).

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{ProtectionError, SealingKey, Secret};

/// What it costs to try one passphrase. Stored beside the wrapped key, so that it can be raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PassphraseCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl PassphraseCost {
    /// The second recommended option of RFC 9106, section 4: 64 MiB, three passes, four lanes.
    pub const RECOMMENDED: Self = Self { memory_kib: 64 << 10, passes: 3, lanes: 4 };

    /// Other costs.
    ///
    /// # Errors
    ///
    /// [`ProtectionError::Cost`] below 8 MiB or beyond 1 GiB, 64 passes or 16 lanes. A file may
    /// not make its reader spend more.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, ProtectionError> {
        let cost = Self { memory_kib, passes, lanes };
        cost.is_allowed().then_some(cost).ok_or(ProtectionError::Cost { memory_kib, passes, lanes })
    }

    fn is_allowed(self) -> bool {
        (8 << 10..=1 << 20).contains(&self.memory_kib)
            && (1..=64).contains(&self.passes)
            && (1..=16).contains(&self.lanes)
    }

    /// Whether these costs are lower than others in any part.
    pub(super) fn is_below(self, other: Self) -> bool {
        self.memory_kib < other.memory_kib || self.passes < other.passes || self.lanes < other.lanes
    }

    /// The key that a passphrase stands for.
    pub(super) fn stretch(
        self,
        passphrase: &Secret,
        salt: &[u8],
    ) -> Result<SealingKey, ProtectionError> {
        let Self { memory_kib, passes, lanes } = self;
        let refused = ProtectionError::Cost { memory_kib, passes, lanes };
        if !self.is_allowed() {
            return Err(refused);
        }
        let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| refused)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut key = Zeroizing::new([0; 32]);
        argon
            .hash_password_into(passphrase.reveal(), salt, &mut *key)
            .map_err(|_| ProtectionError::Cost { memory_kib, passes, lanes })?;
        Ok(SealingKey::from_bytes(*key))
    }
}

impl Default for PassphraseCost {
    fn default() -> Self {
        Self::RECOMMENDED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A known answer of the reference implementation (its `test.c`, version 0x13).
    #[test]
    fn is_argon2id() {
        let cost = PassphraseCost::new(64 << 10, 2, 1).unwrap();
        let key = cost.stretch(&Secret::from("password"), b"somesalt").unwrap();
        let hex: String = key.reveal().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7");
    }

    #[test]
    fn a_file_cannot_make_its_reader_spend_more() {
        for (memory, passes, lanes) in
            [(8 << 20, 3, 4), (64 << 10, 65, 4), (64 << 10, 3, 17), (64 << 10, 0, 4), (1024, 3, 4)]
        {
            assert!(PassphraseCost::new(memory, passes, lanes).is_err());
            let cost = PassphraseCost { memory_kib: memory, passes, lanes };
            let stretched = cost.stretch(&Secret::from("x"), b"0123456789abcdef");
            assert!(matches!(stretched, Err(ProtectionError::Cost { .. })));
        }
    }
}
