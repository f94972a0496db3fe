//! `latency`: of two peers that chance names, the one that is likely to answer sooner.
//!
//! Owns: the moving average of a peer, in one word. As Kong: the average decays over ten seconds, two candidates are
//! compared, and who is new starts with the average of the others. Beyond Kong: a slow reply counts at once and in
//! full, requests under way count, and a failure counts as a slow reply (a peer that refuses connections is fast).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::set::Entry;

/// Kong's `DECAY_TIME`.
const DECAY: Duration = Duration::from_secs(10);
/// What a failure counts as, at least.
pub(super) const FAILURE: Duration = Duration::from_secs(1);

/// Seconds as `f32` in the upper half, and in the lower the time of the last change in milliseconds of the balancer's
/// own clock; it wraps after 49 days, which at worst makes one average look recent.
#[derive(Debug, Default)]
pub(super) struct Latency(AtomicU64);

impl Latency {
    pub(super) fn observe(&self, seen: Duration, now: Duration) {
        let update = |word| {
            let average = decayed(word, now);
            let seen = seen.as_secs_f32();
            // Slow replies count at once, fast ones slowly: "peak EWMA".
            let next = if seen > average { seen } else { seen + (average - seen) * weight(word, now) };
            Some(pack(next, now))
        };
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    /// In seconds, as Kong scores: an average that nobody refreshes sinks, so that its peer is tried again.
    pub(super) fn average(&self, now: Duration) -> f32 {
        decayed(self.0.load(Ordering::Relaxed), now)
    }

    pub(super) fn is_new(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    pub(super) fn start(&self, average: f32, now: Duration) {
        let _ = self.0.compare_exchange(0, pack(average, now), Ordering::Relaxed, Ordering::Relaxed);
    }
}

fn pack(seconds: f32, now: Duration) -> u64 {
    // Wraps on purpose. The lowest bit is set so that a word that was written is never zero.
    u64::from(seconds.to_bits()) << 32 | u64::from(now.as_millis() as u32 | 1)
}

fn weight(word: u64, now: Duration) -> f32 {
    let elapsed = (now.as_millis() as u32).wrapping_sub(word as u32);
    // The lowest bit may be ahead of the clock by one.
    let elapsed = if elapsed == u32::MAX { 0 } else { elapsed };
    (-(elapsed as f32) / DECAY.as_millis() as f32).exp()
}

fn decayed(word: u64, now: Duration) -> f32 {
    f32::from_bits((word >> 32) as u32) * weight(word, now)
}

/// Of two that chance names; a single one is itself. `may` says who is a candidate at all.
pub(super) fn choose(entries: &[Entry], now: Duration, may: impl Fn(&Entry) -> bool) -> Option<&Entry> {
    let n = entries.len();
    if n == 0 {
        return None;
    }
    let next = |from: usize| (0..n).map(|i| &entries[(from + i) % n]).find(|entry| may(entry));
    let first = next(fastrand::usize(..n))?;
    // From beyond the first, so that with two candidates they are always both compared.
    let place = entries.iter().position(|entry| std::ptr::eq(entry, first))?;
    let second = next((place + 1 + fastrand::usize(..(n - 1).max(1))) % n)?;
    let second = if std::ptr::eq(first, second) { next((place + 1) % n)? } else { second };
    Some(if score(second, now) < score(first, now) { second } else { first })
}

fn score(entry: &Entry, now: Duration) -> f32 {
    // The addition keeps a peer without an average comparable by its requests under way.
    (entry.peer.latency.average(now) + 1e-6) * (entry.peer.active() + 1) as f32 / entry.weight as f32
}
