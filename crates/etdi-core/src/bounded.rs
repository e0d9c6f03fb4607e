//! A map that forgets what nobody looked up for longest, rather than everything at once.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};

/// Keeps at most `MOST` values. Only for what can be had again: a place that must not be lost is
/// refused to others instead.
///
/// Which one was used least recently is known roughly, as by the hand of a clock: who is looked up is
/// passed over once when its turn to go comes, and stands behind all others then. So a flood of new
/// values takes none away that is in use, and looking one up costs a mark and no room.
#[derive(Debug)]
pub(crate) struct Bounded<K, V, const MOST: usize> {
    kept: HashMap<K, Kept<V>>,
    /// Whose turn it is to go, next first; what was put in again or taken out stands here without a
    /// value of its number.
    order: VecDeque<(u64, K)>,
    next: u64,
}

#[derive(Debug)]
struct Kept<V> {
    number: u64,
    used: AtomicBool,
    value: V,
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
        let kept = self.kept.get(key)?;
        if !kept.used.load(Ordering::Relaxed) {
            kept.used.store(true, Ordering::Relaxed);
        }
        Some(&kept.value)
    }

    /// Whether it is there; that is no use of it.
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
        self.kept.values().map(|kept| &kept.value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.kept.iter().map(|(key, kept)| (key, &kept.value))
    }

    /// Puts a value in, and gives that which had to go for it.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        let gone = match self.kept.len() >= MOST && !self.kept.contains_key(&key) {
            true => self.pop_unused(),
            false => None,
        };
        self.next += 1;
        self.order.push_back((self.next, key.clone()));
        self.kept.insert(key, Kept { number: self.next, used: AtomicBool::new(false), value });
        if self.order.len() > 2 * self.kept.len() + 16 {
            let kept = &self.kept;
            self.order
                .retain(|(number, key)| kept.get(key).is_some_and(|own| own.number == *number));
        }
        gone
    }

    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.kept.remove(key).map(|kept| kept.value)
    }

    /// Takes out what was not looked up for longest.
    pub(crate) fn pop_unused(&mut self) -> Option<(K, V)> {
        // A mark is taken away by the first look at it, so that the second one ends this.
        while let Some((number, key)) = self.order.pop_front() {
            let Some(kept) = self.kept.get_mut(&key).filter(|kept| kept.number == number) else {
                continue;
            };
            if std::mem::take(kept.used.get_mut()) {
                self.order.push_back((number, key));
                continue;
            }
            return self.kept.remove(&key).map(|kept| (key, kept.value));
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
        assert_eq!((map.len(), map.pop_unused()), (0, None));
    }

    /// The attack: a flood of new values, to have what is in use forgotten.
    #[test]
    fn what_is_used_outlives_a_flood() {
        let mut map = Bounded::<u32, char, 4>::default();
        map.insert(0, 'a');
        map.insert(1, 'b');
        for key in 2..1_000 {
            assert_eq!(map.get(&0), Some(&'a'), "{key}");
            map.insert(key, 'x');
            assert!(map.len() <= 4 && map.order.len() <= 2 * 4 + 17);
        }
        assert!(!map.contains_key(&1), "nobody looked for it");
        // Where all are in use, one goes all the same.
        for key in [0, 997, 998, 999] {
            assert!(map.get(&key).is_some(), "{key}");
        }
        assert!(map.insert(1_000, 'y').is_some());
        assert_eq!(map.len(), 4);
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
