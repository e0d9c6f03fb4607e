//! A map that forgets what has been in it longest, rather than everything at once.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Keeps at most `MOST` values. A value that is put in again is the newest. Only for what can be
/// had again: a place that must not be lost is refused to others instead.
#[derive(Debug)]
pub(crate) struct Bounded<K, V, const MOST: usize> {
    kept: HashMap<K, (u64, V)>,
    /// What was put in, oldest first; what was put in again or taken out stands here without a
    /// value of its number.
    order: VecDeque<(u64, K)>,
    next: u64,
}

impl<K, V, const MOST: usize> Default for Bounded<K, V, MOST> {
    fn default() -> Self {
        Self { kept: HashMap::new(), order: VecDeque::new(), next: 0 }
    }
}

impl<K: Clone + Eq + Hash, V, const MOST: usize> Bounded<K, V, MOST> {
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.kept.get(key).map(|(_, value)| value)
    }

    pub(crate) fn contains_key<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.kept.contains_key(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.kept.values().map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.kept.iter().map(|(key, (_, value))| (key, value))
    }

    /// Puts a value in, and gives that which had to go for it.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        let gone = match self.kept.len() >= MOST && !self.kept.contains_key(&key) {
            true => self.pop_oldest(),
            false => None,
        };
        self.next += 1;
        self.order.push_back((self.next, key.clone()));
        self.kept.insert(key, (self.next, value));
        if self.order.len() > 2 * self.kept.len() + 16 {
            let kept = &self.kept;
            self.order.retain(|(number, key)| kept.get(key).is_some_and(|(own, _)| own == number));
        }
        gone
    }

    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.kept.remove(key).map(|(_, value)| value)
    }

    /// Takes out what has been in longest.
    pub(crate) fn pop_oldest(&mut self) -> Option<(K, V)> {
        while let Some((number, key)) = self.order.pop_front() {
            if self.kept.get(&key).is_some_and(|(own, _)| *own == number) {
                return self.kept.remove(&key).map(|(_, value)| (key, value));
            }
        }
        None
    }

    pub(crate) fn clear(&mut self) {
        self.kept.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_and_the_others_stay() {
        let mut map = Bounded::<u32, char, 3>::default();
        for (key, value) in [(1, 'a'), (2, 'b'), (3, 'c')] {
            assert_eq!(map.insert(key, value), None);
        }
        assert_eq!(map.insert(1, 'A'), None, "put in again");
        assert_eq!(map.insert(4, 'd'), Some((2, 'b')));
        assert_eq!(map.remove(&3), Some('c'));
        assert_eq!(map.insert(5, 'e'), None, "there is room");
        assert_eq!(map.insert(6, 'f'), Some((1, 'A')));
        let mut left: Vec<_> = map.values().copied().collect();
        left.sort_unstable();
        assert_eq!(left, ['d', 'e', 'f']);
        map.clear();
        assert_eq!((map.len(), map.pop_oldest()), (0, None));
    }

    #[test]
    fn what_is_put_in_again_and_again_takes_no_room() {
        let mut map = Bounded::<u32, (), 3>::default();
        for turn in 0..10_000 {
            map.insert(turn % 2, ());
            map.remove(&(turn % 2));
            map.insert(7, ());
        }
        assert!(map.order.len() <= 2 * 3 + 17, "{}", map.order.len());
    }
}
