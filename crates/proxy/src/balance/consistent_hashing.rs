//! `consistent-hashing`: the same value goes to the same peer, and a change of peers moves few values.
//!
//! Owns: the ring. Kong places about 160 points for each address on a ring of `slots`, and looks for the next point;
//! here each slot belongs to the peer that wins a draw by weight for it (weighted rendezvous hashing), so that shares
//! are closer to the weights, a peer that comes takes slots only for itself, and one that goes gives up only its own.
//! A peer that is down keeps its slots; who asks for one goes on to the next slot, as in Kong.

use std::sync::Arc;

use super::hash::mixed;
use super::set::Entry;

/// Draws for one ring. With very many peers the slots become fewer, rather than the work more.
const DRAWS: usize = 1 << 24;

/// Who owns each slot: places in the entries.
#[derive(Clone)]
pub(super) struct Ring(Arc<[u32]>);

impl Ring {
    pub(super) fn new(entries: &[Entry], slots: u32) -> Self {
        let few = DRAWS / entries.len().max(1);
        let slots = (slots as usize).min(few.max(entries.len())).max(1);
        let owner = |slot: u64| {
            (0u32..)
                .zip(entries)
                .filter(|(_, entry)| entry.weight > 0)
                .map(|(index, entry)| (draw(slot, entry), index))
                .min_by(|a, b| a.0.total_cmp(&b.0))
                .map(|(_, index)| index)
        };
        Self((0..slots as u64).map_while(owner).collect())
    }

    /// The owner of the slot of this hash, or of the next slot whose owner `may`.
    pub(super) fn choose<'a>(
        &self,
        entries: &'a [Entry],
        hash: u64,
        may: impl Fn(&Entry) -> bool,
    ) -> Option<&'a Entry> {
        let n = self.0.len();
        let start = (hash % n.max(1) as u64) as usize;
        (0..n).filter_map(|i| entries.get(self.0[(start + i) % n] as usize)).find(|entry| may(entry))
    }
}

#[cfg(test)]
impl Ring {
    pub(super) fn slots(&self) -> usize {
        self.0.len()
    }
}

/// The time until this peer's turn at this slot: exponentially distributed, so that the chance to be first is in
/// proportion to the weight, whoever else takes part.
fn draw(slot: u64, entry: &Entry) -> f64 {
    // 53 bits, and never zero, whose logarithm is infinite.
    let uniform = ((mixed(entry.peer.id ^ mixed(slot)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -uniform.ln() / f64::from(entry.weight)
}
