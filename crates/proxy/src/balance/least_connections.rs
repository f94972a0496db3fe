//! `least-connections`: the peer with the fewest requests under way for its weight.

use super::set::Entry;

/// The lowest `(active + 1) / weight`, as Kong: without the one, a peer at rest would always win, however small its
/// weight. Among equals the turn goes round, by `turn`.
pub(super) fn choose(entries: &[Entry], turn: usize, may: impl Fn(&Entry) -> bool) -> Option<&Entry> {
    let n = entries.len();
    let load = |entry: &Entry| (u64::from(entry.peer.active()) + 1, u64::from(entry.weight));
    (0..n)
        .map(|i| &entries[(turn % n + i) % n])
        .filter(|entry| may(entry))
        .map(|entry| (load(entry), entry))
        .reduce(|best, other| {
            // a/b < c/d without division.
            if other.0.0 * best.0.1 < best.0.0 * other.0.1 { other } else { best }
        })
        .map(|(_, entry)| entry)
}
