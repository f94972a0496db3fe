//! `round-robin`: turns in proportion to the weights, spread evenly over a period.

use super::set::Entry;

/// The longest period. Weights that need a longer one are scaled down, by less than one part in a thousand for those
/// that matter.
const LONGEST: u64 = 16_384;

/// One period: places in `entries`, each as often as its weight says. Only those that `may` take part.
pub(super) fn period(entries: &[Entry], may: impl Fn(&Entry) -> bool) -> Box<[u32]> {
    let entries: Vec<_> = (0u32..).zip(entries).filter(|(_, entry)| may(entry) && entry.weight > 0).collect();
    let weights: Vec<_> = entries.iter().map(|(_, entry)| u64::from(entry.weight)).collect();
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let total = weights.iter().sum::<u64>() / divisor;
    let turns = |weight: u64| match weight / divisor {
        weight if total <= LONGEST => weight,
        weight => (weight * LONGEST / total).max(1),
    };
    // The turns of each are spread evenly over [0, 1); sorted by their places, they interleave.
    let mut places: Vec<(f64, u32)> = entries
        .iter()
        .zip(&weights)
        .flat_map(|((index, _), weight)| {
            let turns = turns(*weight);
            (0..turns).map(move |turn| ((turn as f64 + 0.5) / turns as f64, *index))
        })
        .collect();
    places.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    places.into_iter().map(|(_, index)| index).collect()
}

/// Whose turn it is, or the next one's that `may`.
pub(super) fn choose<'a>(
    entries: &'a [Entry],
    period: &[u32],
    turn: usize,
    may: impl Fn(&Entry) -> bool,
) -> Option<&'a Entry> {
    let n = period.len();
    (0..n).filter_map(|i| entries.get(period[(turn % n + i) % n] as usize)).find(|entry| may(entry))
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
