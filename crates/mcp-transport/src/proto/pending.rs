//! Requests of the peer that are in flight, by our name and by theirs.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::hash::{BuildHasherDefault, Hasher};

use mcp_types::{ExchangeId, RequestId};

/// Requests in flight, each with what its edge has to remember of it.
///
/// The peer chooses the ids of its requests, so those are hashed with a secret; ours count up.
#[derive(Debug)]
pub(super) struct Pending<T> {
    by_exchange: HashMap<ExchangeId, T, BuildHasherDefault<CountingHasher>>,
    by_request: HashMap<RequestId, ExchangeId>,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self { by_exchange: HashMap::default(), by_request: HashMap::new() }
    }
}

impl<T> Pending<T> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_exchange.len()
    }

    /// Whether the peer's id is taken.
    pub(super) fn holds(&self, id: &RequestId) -> bool {
        self.by_request.contains_key(id)
    }

    /// Adds an exchange, under the peer's id where it has one; gives it back if that is taken.
    pub(super) fn insert(
        &mut self,
        id: Option<&RequestId>,
        exchange: ExchangeId,
        entry: T,
    ) -> Result<(), T> {
        if let Some(id) = id {
            match self.by_request.entry(id.clone()) {
                Slot::Occupied(_) => return Err(entry),
                Slot::Vacant(slot) => slot.insert(exchange),
            };
        }
        self.by_exchange.insert(exchange, entry);
        Ok(())
    }

    /// The exchange under the peer's id.
    pub(super) fn exchange(&self, id: &RequestId) -> Option<ExchangeId> {
        self.by_request.get(id).copied()
    }

    /// All exchanges, in no order.
    pub(super) fn exchanges(&self) -> Vec<ExchangeId> {
        self.by_exchange.keys().copied().collect()
    }

    pub(super) fn get(&self, exchange: ExchangeId) -> Option<&T> {
        self.by_exchange.get(&exchange)
    }

    pub(super) fn get_mut(&mut self, exchange: ExchangeId) -> Option<&mut T> {
        self.by_exchange.get_mut(&exchange)
    }

    /// Takes an exchange out; the caller says under which id of the peer it stood.
    pub(super) fn remove(
        &mut self,
        exchange: ExchangeId,
        id: impl FnOnce(&T) -> Option<&RequestId>,
    ) -> Option<T> {
        let entry = self.by_exchange.remove(&exchange)?;
        if let Some(id) = id(&entry) {
            self.by_request.remove(id);
        }
        Some(entry)
    }
}

/// Spreads numbers that count up; no peer chooses them.
#[derive(Debug, Default)]
pub(super) struct CountingHasher(u64);

impl Hasher for CountingHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // The table takes its position from the low bits and its tag from the high ones.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcp_types::{ClientRequest, Exchange, RequestParams};

    #[test]
    fn an_id_in_flight_is_not_given_twice() {
        let fresh = || Exchange::new(ClientRequest::Discover(RequestParams::new())).id();
        let (first, second, id) = (fresh(), fresh(), RequestId::from("a"));
        let mut pending = Pending::default();
        assert_eq!(pending.insert(Some(&id), first, id.clone()), Ok(()));
        assert_eq!(pending.insert(Some(&id), second, id.clone()), Err(id.clone()));
        assert_eq!((pending.len(), pending.exchange(&id)), (1, Some(first)));
        assert_eq!(pending.remove(first, |id| Some(id)), Some(id.clone()));
        assert!(!pending.holds(&id));
        assert_eq!(pending.insert(Some(&id), second, id.clone()), Ok(()), "free again");
    }
}
