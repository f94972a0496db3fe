//! A map in many parts, so that a copy with a few changes costs a few parts.
//!
//! Owns: which part a key is in. Must not know: what is kept. Looking something up is what it is in one map, and one
//! step to the part; a copy shares every part that nobody changes.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

/// So many entries are copied where one changes.
const PART: usize = 512;
/// So many parts are copied, as addresses, where anything changes.
const MAX_PARTS: usize = 4096;
/// A part that has grown to so many times its size is better made anew with the rest.
const GROWN: usize = 8;

#[derive(Clone, Debug)]
pub(super) struct Shards<K, V, S = RandomState> {
    parts: Box<[Arc<HashMap<K, V, S>>]>,
    hasher: S,
    len: usize,
    /// Beyond it, parts have become too large.
    most: usize,
}

impl<K: Eq + Hash + Clone, V: Clone, S: BuildHasher + Clone + Default> Shards<K, V, S> {
    /// An empty one that is going to have about so many entries.
    pub(super) fn sized(len: usize) -> Self {
        let count = (len / PART).next_power_of_two().min(MAX_PARTS);
        let hasher = S::default();
        let part = || Arc::new(HashMap::with_hasher(hasher.clone()));
        let parts = (0..count).map(|_| part()).collect();
        Self { parts, hasher, len: 0, most: len.max(count * PART).saturating_mul(GROWN) }
    }

    pub(super) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.parts[self.part(key)].get(key)
    }

    pub(super) fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let part = self.part(key);
        // A part is not copied for what is not in it.
        self.parts[part]
            .contains_key(key)
            .then(|| Arc::make_mut(&mut self.parts[part]).get_mut(key))
            .flatten()
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        let part = self.part(&key);
        if Arc::make_mut(&mut self.parts[part]).insert(key, value).is_none() {
            self.len += 1;
        }
    }

    pub(super) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        let part = self.part(key);
        if self.parts[part].contains_key(key) {
            Arc::make_mut(&mut self.parts[part]).remove(key);
            self.len -= 1;
        }
    }

    /// Whether it has become too large for its parts.
    pub(super) fn is_outgrown(&self) -> bool {
        self.len > self.most
    }

    /// In the middle of the hash, for the map in a part goes by both ends of it.
    fn part<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        (self.hasher.hash_one(key) >> 32) as usize & (self.parts.len() - 1)
    }
}

impl<K: Eq + Hash + Clone, V: Clone, S: BuildHasher + Clone + Default> Default for Shards<K, V, S> {
    fn default() -> Self {
        Self::sized(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_with_changes_shares_the_rest_and_leaves_the_original_alone() {
        let mut numbers: Shards<u32, u32> = Shards::sized(10_000);
        (0..10_000).for_each(|n| numbers.insert(n, n));
        let before = numbers.clone();
        numbers.insert(7, 70);
        numbers.insert(10_000, 1);
        numbers.remove(&8);
        numbers.remove(&8);
        *numbers.get_mut(&9).unwrap() = 90;
        assert!(numbers.get_mut(&8).is_none());
        assert_eq!(
            [7, 8, 9, 10, 10_000].map(|n| numbers.get(&n).copied()),
            [Some(70), None, Some(90), Some(10), Some(1)]
        );
        assert_eq!([7, 8, 9, 10_000].map(|n| before.get(&n).copied()), [Some(7), Some(8), Some(9), None]);
        assert_eq!((numbers.len, before.len), (10_000, 10_000));
        let shared = numbers.parts.iter().zip(&before.parts).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        let apart = numbers.parts.len() - shared;
        assert!((1..=4).contains(&apart), "{apart} of {} parts are not shared", numbers.parts.len());
        assert!(!numbers.is_outgrown());
    }
}
