//! Requests of the peer that are in flight, by our name and by theirs.

use std::collections::HashMap;

use mcp_types::{ExchangeId, RequestId};

/// Requests in flight, each with what its edge has to remember of it.
///
/// Most of the time there are few, and looking through a short list costs less than one hash. The
/// peer chooses the ids of its requests, so what is hashed is hashed with a secret.
#[derive(Debug)]
pub(super) struct Pending<T> {
    few: Vec<Held<T>>,
    many: HashMap<ExchangeId, Held<T>>,
    /// The peer's ids of the many.
    ids: HashMap<RequestId, ExchangeId>,
}

#[derive(Debug)]
struct Held<T> {
    exchange: ExchangeId,
    id: Option<RequestId>,
    entry: T,
}

/// How many are few.
const FEW: usize = 16;

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self { few: Vec::new(), many: HashMap::new(), ids: HashMap::new() }
    }
}

impl<T> Pending<T> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.few.len() + self.many.len()
    }

    /// The exchange under the peer's id.
    pub(super) fn exchange(&self, id: &RequestId) -> Option<ExchangeId> {
        let few = self.few.iter().find(|held| held.id.as_ref() == Some(id));
        match few {
            Some(held) => Some(held.exchange),
            None if self.ids.is_empty() => None,
            None => self.ids.get(id).copied(),
        }
    }

    /// Adds an exchange, under the peer's id where it has one, which must be free.
    pub(super) fn insert(&mut self, id: Option<RequestId>, exchange: ExchangeId, entry: T) {
        let held = Held { exchange, id, entry };
        if self.few.len() < FEW {
            return self.few.push(held);
        }
        if let Some(id) = &held.id {
            self.ids.insert(id.clone(), exchange);
        }
        self.many.insert(exchange, held);
    }

    pub(super) fn get(&self, exchange: ExchangeId) -> Option<&T> {
        let few = self.few.iter().find(|held| held.exchange == exchange);
        few.or_else(|| self.many.get(&exchange)).map(|held| &held.entry)
    }

    pub(super) fn get_mut(&mut self, exchange: ExchangeId) -> Option<&mut T> {
        let few = self.few.iter_mut().find(|held| held.exchange == exchange);
        few.or_else(|| self.many.get_mut(&exchange)).map(|held| &mut held.entry)
    }

    /// Takes an exchange out.
    pub(super) fn remove(&mut self, exchange: ExchangeId) -> Option<T> {
        if let Some(at) = self.few.iter().position(|held| held.exchange == exchange) {
            return Some(self.few.swap_remove(at).entry);
        }
        let held = self.many.remove(&exchange)?;
        if let Some(id) = &held.id {
            self.ids.remove(id);
        }
        Some(held.entry)
    }

    /// All exchanges, in no order.
    pub(super) fn exchanges(&self) -> Vec<ExchangeId> {
        self.few.iter().map(|held| held.exchange).chain(self.many.keys().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcp_types::{ClientRequest, Exchange, RequestParams};

    #[test]
    fn few_and_many_are_found_by_both_names() {
        let fresh = || Exchange::new(ClientRequest::Discover(RequestParams::new())).id();
        let mut pending = Pending::default();
        let all: Vec<_> = (0..100_i64).map(|n| (RequestId::from(n), fresh(), n)).collect();
        for (id, exchange, n) in &all {
            pending.insert(Some(id.clone()), *exchange, *n);
        }
        pending.insert(None, fresh(), -1);
        assert_eq!((pending.len(), pending.exchanges().len()), (101, 101));
        for (id, exchange, n) in &all {
            assert_eq!(pending.exchange(id), Some(*exchange));
            assert_eq!(pending.get(*exchange), Some(n));
            assert_eq!(pending.get_mut(*exchange), Some(&mut n.clone()));
        }
        for (id, exchange, n) in &all {
            assert_eq!(pending.remove(*exchange), Some(*n));
            assert_eq!((pending.remove(*exchange), pending.exchange(id)), (None, None));
        }
        assert_eq!((pending.len(), pending.ids.len()), (1, 0));
    }
}
