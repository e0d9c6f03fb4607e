//! Room for so many: what was asked for longest ago makes place for what is new.

use std::collections::HashMap;
use std::hash::Hash;

/// Values by key, a bounded number of them.
#[derive(Debug)]
pub(crate) struct Shelf<K, V> {
    most: usize,
    /// Each with when it was asked for last, by a count of questions.
    kept: HashMap<K, (V, u64)>,
    asked: u64,
}

impl<K: Eq + Hash + Clone, V: Clone + Default> Shelf<K, V> {
    /// Keeps at most `most`.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, kept: HashMap::new(), asked: 0 }
    }

    /// What is kept under `key`, or an empty one that is kept from now on.
    pub(crate) fn get(&mut self, key: &K) -> V {
        self.asked += 1;
        if let Some((value, asked)) = self.kept.get_mut(key) {
            *asked = self.asked;
            return value.clone();
        }
        if self.kept.len() >= self.most {
            // A look at each costs less than an order that every question keeps.
            let oldest = self.kept.iter().min_by_key(|(_, (_, asked))| *asked);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.kept.remove(&oldest);
            }
        }
        let value = V::default();
        self.kept.insert(key.clone(), (value.clone(), self.asked));
        value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_one_that_was_asked_for_longest_ago_goes() {
        let mut shelf: Shelf<&str, Arc<()>> = Shelf::new(3);
        let (one, two) = (shelf.get(&"one"), shelf.get(&"two"));
        _ = shelf.get(&"three");
        assert!(Arc::ptr_eq(&one, &shelf.get(&"one")));
        _ = shelf.get(&"four");
        assert_eq!(shelf.kept.len(), 3);
        assert!(Arc::ptr_eq(&one, &shelf.get(&"one")), "it was asked for since");
        assert!(!Arc::ptr_eq(&two, &shelf.get(&"two")), "it made place");
    }
}
