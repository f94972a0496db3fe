//! What is kept across restarts: when values are written down, and when one that was kept may serve.
//!
//! Owns: that a kept value serves only while its vault cannot be reached, and only for `resurrect_ttl` since it was
//! read. Must not know: files, keys or ciphers; [`crate::snapshot`] does those.

use std::time::Duration;

use tokio::time::Instant;

use super::cell::{Cell, Since};
use super::{Digest, State};
use crate::clock::Clock;
use crate::snapshot::{Entries, Entry};

/// A change is written after this; more of them by then are one write.
const PAUSE: Duration = Duration::from_secs(1);
/// After a write that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// When values were only found to be what they were: their age in the file may be wrong by this, or by a tenth of what
/// it is compared with.
const MAX_LAG: Duration = Duration::from_secs(60);
/// For this long after the start, or a new configuration, references that were not asked for yet may still be.
const STARTING: Duration = Duration::from_secs(60);
/// A value from the future is one whose age is not known. Clocks may differ by this.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// The part of the state that is about what is kept.
#[derive(Debug)]
pub(super) struct Keeping {
    clock: Clock,
    /// When references could begin to be asked for.
    started: Instant,
    /// What was kept, and is not in a cell.
    loaded: Entries,
    /// When to write.
    save_at: Option<Instant>,
    not_before: Option<Instant>,
    lag: Duration,
}

impl Keeping {
    pub(super) fn new(clock: Clock, loaded: Entries, now: Instant) -> Self {
        Self { clock, started: now, loaded, save_at: None, not_before: None, lag: MAX_LAG }
    }

    /// The same for a candidate, which may read what was kept; what it notes is its own.
    pub(super) fn copy(&self) -> Self {
        Self {
            clock: self.clock.clone(),
            started: self.started,
            loaded: self.loaded.clone(),
            save_at: None,
            not_before: None,
            lag: self.lag,
        }
    }

    /// A candidate takes effect: what it has used or forgotten of what was kept is so here, and what it has not come to
    /// use is kept on.
    pub(super) fn take_over(&mut self, digest: &Digest, of_candidate: &mut Self) {
        match of_candidate.loaded.remove(digest) {
            Some(entry) => drop(self.loaded.entry(*digest).or_insert(entry)),
            None => drop(self.loaded.remove(digest)),
        }
    }

    /// Notes that something is to be written: soon, or when it is convenient.
    pub(super) fn mark(&mut self, changed: bool, now: Instant) {
        let at = now + if changed { PAUSE } else { self.lag };
        let at = self.not_before.map_or(at, |not_before| at.max(not_before));
        self.save_at = Some(self.save_at.map_or(at, |known| known.min(at)));
    }

    /// Takes out what was kept, if it may still be used. `resurrect` is for how long after it was read.
    pub(super) fn take(
        &mut self,
        digest: &Digest,
        resurrect: Duration,
        now: Instant,
    ) -> Option<(Entry, Since)> {
        let entry = self.loaded.remove(digest)?;
        let wall = self.clock.since_1970();
        let age = match wall.checked_sub(entry.read) {
            Some(age) => age,
            None if entry.read - wall <= CLOCKS_DIFFER => Duration::ZERO,
            None => return None,
        };
        (age < resurrect)
            .then_some((entry, Since { at: now, kept: Some(age), current: true, lent_for: None }))
    }

    /// Forgets what was kept: it is not wanted, or the vault said that it is not so.
    pub(super) fn forget(&mut self, digest: &Digest, now: Instant) {
        if self.loaded.remove(digest).is_some() {
            self.mark(true, now);
        }
    }

    /// What was kept is out of date.
    pub(super) fn supersede(&mut self, digest: &Digest) {
        self.loaded.remove(digest);
    }
}

impl State {
    /// Starts from what was kept.
    pub(in crate::rotate) fn keep(&mut self, clock: Clock, loaded: Entries, now: Instant) {
        self.keeping = Some(Keeping::new(clock, loaded, now));
    }

    /// A configuration begins, or takes effect.
    pub(in crate::rotate) fn more_may_be_asked(&mut self, now: Instant) {
        if let Some(keeping) = &mut self.keeping {
            keeping.started = now;
        }
    }

    /// How many references are served from what was kept.
    pub(in crate::rotate) fn served_from_kept(&self) -> usize {
        self.cells.values().filter(|cell| cell.is_kept()).count()
    }

    /// When to write down what is known.
    pub(in crate::rotate) fn save_due(&self) -> Option<Instant> {
        self.keeping.as_ref()?.save_at
    }

    /// What to write down, if anything has changed since the last time.
    pub(in crate::rotate) fn take_unsaved(&mut self, now: Instant) -> Option<Entries> {
        let keeping = self.keeping.as_mut()?;
        keeping.save_at.take()?;
        keeping.not_before = None;
        let wall = keeping.clock.since_1970();
        let mut entries = Entries::new();
        let mut lag = MAX_LAG;
        for cell in self.cells.values() {
            let Some((digest, since)) = kept_as(cell) else { continue };
            let (Some(asked), Some(value)) = (cell.asked, &cell.value) else { continue };
            lag = lag.min(asked.policy.resurrect / 10);
            entries.insert(digest, Entry { value: value.clone(), read: wall.saturating_sub(since.age(now)) });
        }
        keeping.lag = lag.max(PAUSE);
        // What is asked for and could not be fetched yet is kept on; the rest goes once everything was asked for.
        let starting = now.saturating_duration_since(keeping.started) < STARTING;
        if !starting {
            let asked = self.cells.values().filter_map(|cell| cell.asked?.keep_as);
            let asked: std::collections::HashSet<Digest> = asked.collect();
            keeping.loaded.retain(|digest, _| asked.contains(digest));
        }
        for (digest, entry) in &keeping.loaded {
            entries.entry(*digest).or_insert_with(|| entry.clone());
        }
        Some(entries)
    }

    /// It could not be written down.
    pub(in crate::rotate) fn save_failed(&mut self, now: Instant) {
        if let Some(keeping) = &mut self.keeping {
            keeping.not_before = Some(now + AFTER_FAILURE);
            keeping.mark(true, now);
        }
    }
}

/// Under what, and since when, a cell's value is to be kept. What an older configuration gave is not, and neither is what
/// the vault takes back.
pub(super) fn kept_as(cell: &Cell) -> Option<(Digest, Since)> {
    let (digest, since) = (cell.asked?.keep_as?, cell.since?);
    (cell.value.is_some() && since.current && since.lent_for.is_none()).then_some((digest, since))
}
