//! The peers of a balancer at one time, prepared for the algorithm. Immutable; a change makes a new one.

use std::sync::Arc;
use std::time::Duration;

use postern_model::entity::upstream::Algorithm;

use super::consistent_hashing::Ring;
use super::hash::Key;
use super::peer::{Peer, Tried};
use super::{latency, least_connections, round_robin};

/// A peer with its share.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) peer: Arc<Peer>,
    pub(super) weight: u32,
}

/// What [`PeerSet::choose`] needs to know beyond the peers.
pub(super) struct Turn<'a> {
    pub(super) key: &'a Key,
    pub(super) tried: &'a Tried,
    /// One more each time.
    pub(super) count: usize,
    /// Of the balancer's own clock.
    pub(super) now: Duration,
}

/// Peers with a weight, and what their algorithm prepares.
pub(super) struct PeerSet {
    algorithm: Algorithm,
    entries: Box<[Entry]>,
    /// Turns of those who were up when this set was made.
    period: Box<[u32]>,
    ring: Option<Ring>,
    /// Of all weights.
    total: u64,
}

impl PeerSet {
    /// `before` gives its ring if its peers and weights are the same: health changes more often than peers.
    pub(super) fn new(
        algorithm: Algorithm,
        slots: u32,
        entries: Box<[Entry]>,
        before: Option<&Self>,
        now: Duration,
    ) -> Self {
        let period = round_robin::period(&entries, |entry| entry.peer.is_up());
        let ring = (algorithm == Algorithm::ConsistentHashing).then(|| {
            let same = before.filter(|before| {
                before.entries.len() == entries.len()
                    && before
                        .entries
                        .iter()
                        .zip(&entries)
                        .all(|(a, b)| a.weight == b.weight && a.peer.id == b.peer.id)
            });
            same.and_then(|before| before.ring.clone()).unwrap_or_else(|| Ring::new(&entries, slots))
        });
        if algorithm == Algorithm::Latency {
            start_as_the_others(&entries, now);
        }
        let total = entries.iter().map(|entry| u64::from(entry.weight)).sum();
        Self { algorithm, entries, period, ring, total }
    }

    /// Whether more than `threshold` percent of the weight is up. As in Kong, nothing at all is not enough.
    pub(super) fn is_up(&self, threshold: f64) -> bool {
        let up: u64 =
            self.entries.iter().filter(|entry| entry.peer.is_up()).map(|entry| u64::from(entry.weight)).sum();
        self.total > 0 && up as f64 / self.total as f64 * 100.0 > threshold
    }

    /// A peer that is up, and not one that was tried while there is another.
    pub(super) fn choose(&self, turn: &Turn<'_>) -> Option<&Arc<Peer>> {
        let up = |entry: &Entry| entry.peer.is_up();
        let fresh = |entry: &Entry| up(entry) && !turn.tried.contains(&entry.peer);
        let found = if turn.tried.is_empty() {
            self.by_algorithm(turn, up)
        } else {
            self.by_algorithm(turn, fresh).or_else(|| self.by_algorithm(turn, up))
        };
        // A peer that came up after the period was made has no turn in it yet.
        found.or_else(|| self.entries.iter().find(|entry| up(entry))).map(|entry| &entry.peer)
    }

    fn by_algorithm(&self, turn: &Turn<'_>, may: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        match (self.algorithm, &self.ring, turn.key.hash()) {
            (Algorithm::ConsistentHashing, Some(ring), Some(hash)) => ring.choose(&self.entries, hash, may),
            (Algorithm::LeastConnections, ..) => least_connections::choose(&self.entries, turn.count, may),
            (Algorithm::Latency, ..) => latency::choose(&self.entries, turn.now, may),
            // Also where there is nothing to hash, as Kong's documentation has it.
            _ => round_robin::choose(&self.entries, &self.period, turn.count, may),
        }
    }
}

/// A new peer must not get everything because nothing is known of it.
fn start_as_the_others(entries: &[Entry], now: Duration) {
    let known: Vec<_> = entries
        .iter()
        .filter(|entry| !entry.peer.latency.is_new() && entry.peer.is_up())
        .map(|entry| entry.peer.latency.average(now))
        .collect();
    if known.is_empty() {
        return;
    }
    let average = known.iter().sum::<f32>() / known.len() as f32;
    entries.iter().for_each(|entry| entry.peer.latency.start(average, now));
}
