//! A map for keys that mostly come in ascending order.
//!
//! Events, their markers and their cursors nearly always arrive in their order. Then a key is known to be new by one
//! comparison and found by a search in a list that was never sorted; what comes out of order is in a table beside it.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// The map.
#[derive(Clone, Debug)]
pub struct Ascending<K, V> {
    /// Strictly ascending by key.
    list: Vec<(K, V)>,
    /// Keys that came behind a greater one.
    others: FxHashMap<K, V>,
}

impl<K, V> Default for Ascending<K, V> {
    fn default() -> Self {
        Ascending { list: Vec::new(), others: FxHashMap::default() }
    }
}

impl<K: Copy + Ord + Hash, V> Ascending<K, V> {
    /// An empty map with room for that many keys.
    pub(crate) fn with_capacity(keys: usize) -> Self {
        Ascending { list: Vec::with_capacity(keys), others: FxHashMap::default() }
    }

    /// The value of a key, made by `value` if it is new; true when it was.
    pub(crate) fn or_insert(&mut self, key: K, value: impl FnOnce() -> V) -> (&mut V, bool) {
        if self.list.last().is_none_or(|(last, _)| *last < key) {
            self.list.push((key, value()));
            let at = self.list.len() - 1;
            return (&mut self.list[at].1, true);
        }
        match self.place(&key) {
            Ok(at) => (&mut self.list[at].1, false),
            Err(_) => {
                let mut new = false;
                let value = self.others.entry(key).or_insert_with(|| {
                    new = true;
                    value()
                });
                (value, new)
            }
        }
    }

    fn place(&self, key: &K) -> Result<usize, usize> {
        // What is asked for is mostly what came last.
        match self.list.last() {
            Some((last, _)) if last == key => Ok(self.list.len() - 1),
            Some(_) | None => self.list.binary_search_by(|(known, _)| known.cmp(key)),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.place(key).map_or_else(|_| self.others.get(key), |at| Some(&self.list[at].1))
    }

    /// True when the key is there.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.list.len() + self.others.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && self.others.is_empty()
    }

    /// All keys with their values: those that came in order, then the others in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.list.iter().map(|(key, value)| (key, value)).chain(&self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn it_is_a_map_in_whatever_order_keys_come() {
        let orders: [&[u32]; 6] = [&[], &[1, 2, 3, 9], &[3, 2, 1], &[1, 5, 2, 5, 2, 9, 1, 9, 7], &[4, 4, 4], &[2, 9, 3, 10, 3]];
        for order in orders {
            let (mut ours, mut known) = (Ascending::default(), BTreeMap::new());
            for (at, key) in order.iter().enumerate() {
                let (value, new) = ours.or_insert(*key, || at);
                assert_eq!(new, !known.contains_key(key), "{key} in {order:?}");
                assert_eq!(*value, *known.entry(*key).or_insert(at));
            }
            let mut all: Vec<(u32, usize)> = ours.iter().map(|(key, at)| (*key, *at)).collect();
            all.sort_unstable();
            assert_eq!(all, known.iter().map(|(key, at)| (*key, *at)).collect::<Vec<_>>());
            assert_eq!((ours.len(), ours.is_empty()), (known.len(), known.is_empty()));
            for key in 0..12 {
                assert_eq!(ours.get(&key), known.get(&key), "{key} in {order:?}");
                assert_eq!(ours.contains_key(&key), known.contains_key(&key));
            }
        }
    }
}
