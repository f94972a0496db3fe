//! The counts of this node, for all limits of all plugins together.
//!
//! Owns: that counting takes no lock that keeps others out, and that memory is bounded whatever names requests come
//! up with. Must not know: what is counted. When there are too many counts, ended ones go first, then any.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault, Hash};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use super::window::Window;
use crate::keyed::AsItIs;

/// A power of two.
const SHARDS: usize = 64;
/// Of each shard. All together half a million, about 32 MiB.
const COUNTS_MAX: usize = 8192;

/// Counts by key and window; those of older windows are forgotten.
#[derive(Debug)]
pub(in crate::bundled) struct Counters {
    /// Two, because the hash must be so long that nobody shares a count by chance.
    hashers: [RandomState; 2],
    shards: Box<[Shard]>,
}

type Shard = RwLock<HashMap<u128, Count, BuildHasherDefault<AsItIs>>>;

/// A window's beginning in the upper half, how many requests came in it in the lower one.
#[derive(Debug)]
struct Count {
    state: AtomicU64,
    length: u32,
}

impl Default for Counters {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self { hashers: [RandomState::new(), RandomState::new()], shards }
    }
}

impl Counters {
    /// The key of what is counted together.
    pub(in crate::bundled) fn key(&self, what: &impl Hash) -> u128 {
        let [high, low] = self.hashers.each_ref().map(|hasher| u128::from(hasher.hash_one(what)));
        high << 64 | low
    }

    /// Counts so many more, if fewer than `max` were counted; gives the new count, which may then be above `max`.
    pub(in crate::bundled) fn add(&self, key: u128, window: &Window, more: u32, max: u32) -> Option<u32> {
        let shard = self.shard(key);
        if let Some(count) = shard.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return count.add(window.start, more, max);
        }
        let mut counts = shard.write().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= COUNTS_MAX && !counts.contains_key(&key) {
            make_room(&mut counts, window.start);
        }
        let new = || Count { state: AtomicU64::new(pack(window.start, 0)), length: window.length };
        counts.entry(key).or_insert_with(new).add(window.start, more, max)
    }

    /// Takes so many back that were counted.
    pub(in crate::bundled) fn take_back(&self, key: u128, window: &Window, less: u32) {
        if let Some(count) = self.shard(key).read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            let left = |state| match unpack(state) {
                (start, used) if start == window.start => Some(pack(start, used.saturating_sub(less))),
                _ => None,
            };
            // Where the window is over by now, there is nothing to take back.
            let _ = count.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
        }
    }

    /// How many were counted.
    pub(in crate::bundled) fn used(&self, key: u128, window: &Window) -> u32 {
        let counts = self.shard(key).read().unwrap_or_else(PoisonError::into_inner);
        counts.get(&key).map_or(0, |count| match unpack(count.state.load(Ordering::Relaxed)) {
            (start, used) if start == window.start => used,
            _ => 0,
        })
    }

    #[expect(clippy::cast_possible_truncation, reason = "a few bits of a hash")]
    fn shard(&self, key: u128) -> &Shard {
        // Not the bits by which the map itself chooses.
        &self.shards[(key >> 64) as usize % SHARDS]
    }

    #[cfg(test)]
    pub(in crate::bundled) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().unwrap().len()).sum()
    }
}

impl Count {
    fn add(&self, start: u32, more: u32, max: u32) -> Option<u32> {
        let after = |state| {
            let used = match unpack(state) {
                (known, used) if known == start => used,
                // Another window: nothing was counted in this one.
                _ => 0,
            };
            (used < max).then(|| pack(start, used.saturating_add(more)))
        };
        let before = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).ok()?;
        after(before).map(|state| unpack(state).1)
    }
}

fn pack(start: u32, used: u32) -> u64 {
    u64::from(start) << 32 | u64::from(used)
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of a number")]
fn unpack(state: u64) -> (u32, u32) {
    ((state >> 32) as u32, state as u32)
}

/// Away with what has ended; if that is too little, with a quarter of the rest. Which, the hash decides, so nobody
/// can aim at somebody else's count.
fn make_room(counts: &mut HashMap<u128, Count, BuildHasherDefault<AsItIs>>, now: u32) {
    counts
        .retain(|_, count| unpack(count.state.load(Ordering::Relaxed)).0.saturating_add(count.length) > now);
    if counts.len() >= COUNTS_MAX {
        let mut index = 0;
        counts.retain(|_, _| {
            index += 1;
            index % 4 != 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { start: 600, length: 60 };

    #[test]
    fn no_more_than_the_limit_are_counted() {
        let counters = Counters::default();
        let key = counters.key(&"a");
        let counted: Vec<_> = (0..4).map(|_| counters.add(key, &WINDOW, 1, 3)).collect();
        assert_eq!(counted, [Some(1), Some(2), Some(3), None]);
        counters.take_back(key, &WINDOW, 1);
        assert_eq!(counters.used(key, &WINDOW), 2);
        let next = Window { start: 660, ..WINDOW };
        assert_eq!((counters.used(key, &next), counters.add(key, &next, 1, 3)), (0, Some(1)));
        // One that was counted in the window before.
        counters.take_back(key, &WINDOW, 1);
        assert_eq!(counters.used(key, &next), 1);
        assert_eq!(counters.add(counters.key(&"b"), &WINDOW, 1, 0), None);
    }

    #[test]
    fn several_are_counted_at_once() {
        let counters = Counters::default();
        let key = counters.key(&"a");
        let counted: Vec<_> =
            [5, 7, 1].into_iter().map(|more| counters.add(key, &WINDOW, more, 10)).collect();
        assert_eq!(counted, [Some(5), Some(12), None]);
        counters.take_back(key, &WINDOW, 7);
        assert_eq!(counters.add(key, &WINDOW, u32::MAX, 10), Some(u32::MAX));
        counters.take_back(key, &WINDOW, u32::MAX);
        counters.take_back(key, &WINDOW, 1);
        assert_eq!(counters.used(key, &WINDOW), 0);
    }

    #[test]
    fn many_at_once_get_no_more() {
        let counters = Counters::default();
        let key = counters.key(&"a");
        let passed: usize = std::thread::scope(|scope| {
            let count = || (0..1000).filter(|_| counters.add(key, &WINDOW, 1, 1500).is_some()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 1500);
    }

    #[test]
    fn memory_is_bounded_and_what_has_ended_goes_first() {
        let counters = Counters::default();
        let long = Window { start: 0, length: 100_000 };
        let kept: Vec<u128> = (0..1000).map(|n| counters.key(&("kept", n))).collect();
        kept.iter().for_each(|key| assert_eq!(counters.add(*key, &long, 1, 9), Some(1)));
        for second in 0..100 {
            let window = Window { start: second, length: 1 };
            for n in 0..10_000 {
                counters.add(counters.key(&(second, n)), &window, 1, 9);
            }
        }
        assert!(counters.len() <= SHARDS * COUNTS_MAX);
        assert!(kept.iter().all(|key| counters.used(*key, &long) == 1));
        for n in 0..600_000 {
            counters.add(counters.key(&n), &long, 1, 9);
        }
        assert!(counters.len() <= SHARDS * COUNTS_MAX);
    }
}
