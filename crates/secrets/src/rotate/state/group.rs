//! References whose values come from one read: what is fetched, when, and who waits for it. Must not know: values.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::reference::Reference;
use crate::resolve::GroupKey;

/// Names a group. Random, so that nodes that start together do not read in the same order.
pub(crate) type GroupId = u64;

/// References whose values come from one read. There is at most one fetch for it at a time.
#[derive(Debug)]
pub(super) struct Group {
    /// What it is found by; `None` for a reference of a vault that is misconfigured, which shares with none.
    pub(super) key: Option<Arc<GroupKey>>,
    pub(super) members: Vec<Arc<Reference>>,
    /// Fetches begun so far; the number of one.
    begun: u64,
    flight: Option<Flight>,
    /// Whether the generation in effect reads it, and this one is given the outcomes: it asks for nothing else.
    fed: bool,
    /// When it was asked for out of turn. What is under way then does not count: it may have begun too early.
    asap: Option<Instant>,
    /// When its turn is.
    pub(super) due: Option<Instant>,
    /// When the first value of its members may not be used any longer.
    pub(super) expiry: Option<Instant>,
    /// Where it stands in the index of wakes.
    pub(super) wake: Option<Instant>,
    pub(super) failures: u32,
    ended: Option<Instant>,
    pub(super) took: Option<Duration>,
    waiters: Vec<Waiter>,
}

/// A fetch under way.
#[derive(Clone, Copy, Debug)]
struct Flight {
    /// Told from all others by this, also by those of other generations for the same group.
    id: u64,
    began: Instant,
}

/// Waits for the end of a fetch, by its number, or of a later one.
#[derive(Debug)]
struct Waiter {
    fetch: u64,
    told: oneshot::Sender<()>,
}

impl Group {
    pub(super) fn new(key: Option<Arc<GroupKey>>) -> Self {
        Self {
            key,
            members: Vec::new(),
            begun: 0,
            flight: None,
            fed: false,
            asap: None,
            due: None,
            expiry: None,
            wake: None,
            failures: 0,
            ended: None,
            took: None,
            waiters: Vec::new(),
        }
    }

    /// The same group in a candidate, which goes on from where that in effect is.
    pub(super) fn of_candidate(&self) -> Self {
        Self {
            fed: true,
            due: self.due,
            failures: self.failures,
            ended: self.ended,
            took: self.took,
            ..Self::new(self.key.clone())
        }
    }

    /// From now on it reads by itself.
    pub(super) fn wean(&mut self) {
        self.fed = false;
    }

    /// Takes over the same group of a candidate, which knows every outcome of this one, and perhaps later ones.
    /// (Nobody waits for that of a candidate any longer.)
    pub(super) fn take(&mut self, newer: Self) {
        let known: HashSet<&Arc<Reference>> = self.members.iter().collect();
        let new: Vec<_> = newer.members.into_iter().filter(|member| !known.contains(member)).collect();
        self.members.extend(new);
        // The later of two fetches counts for both, and whoever waited for the earlier waits for it.
        self.flight = match (self.flight, newer.flight) {
            (Some(ours), Some(theirs)) => Some(if ours.began > theirs.began { ours } else { theirs }),
            (None, Some(theirs)) => {
                // Whoever asked after it had begun waits for the next.
                if self.asap.is_none_or(|asap| asap <= theirs.began) {
                    self.begun += 1;
                }
                Some(theirs)
            }
            (ours, None) => ours,
        };
        self.asap = [self.asap, newer.asap].into_iter().flatten().min();
        if newer.ended >= self.ended {
            (self.ended, self.took, self.failures) = (newer.ended, newer.took, newer.failures);
            self.due = newer.due.or(self.due);
        }
        if self.flight.is_some() {
            self.due = None;
        }
    }

    #[cfg(test)]
    pub(super) fn is_fetched_by(&self, fetch: u64) -> bool {
        self.flight.is_some_and(|flight| flight.id == fetch)
    }

    pub(super) fn is_in_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// Whether it was fetched, with success or not.
    pub(super) fn is_tried(&self) -> bool {
        self.ended.is_some()
    }

    /// Has it fetched out of turn.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.asap.get_or_insert(now);
    }

    /// When it is to be fetched; not while it is.
    pub(super) fn next(&self) -> Option<Instant> {
        let due = self.due.filter(|_| !self.fed);
        if self.flight.is_some() { None } else { [self.asap, due].into_iter().flatten().min() }
    }

    /// When to look at it.
    pub(super) fn look(&self) -> Option<Instant> {
        [self.next(), self.expiry].into_iter().flatten().min()
    }

    /// Notes that a fetch begins, and tells by what it is told from others.
    pub(super) fn begin(&mut self, now: Instant) -> u64 {
        let id = fastrand::u64(..);
        (self.flight, self.asap, self.due) = (Some(Flight { id, began: now }), None, None);
        self.begun += 1;
        id
    }

    /// Notes that a fetch has ended, if it is the one that is under way.
    pub(super) fn end(&mut self, fetch: u64, now: Instant, took: Duration) -> bool {
        if self.flight.is_none_or(|flight| flight.id != fetch) {
            return false;
        }
        (self.flight, self.ended, self.took) = (None, Some(now), Some(took));
        true
    }

    /// Notes that the same group of the generation in effect was fetched.
    pub(super) fn feed(&mut self, now: Instant, took: Duration) {
        (self.ended, self.took) = (Some(now), Some(took));
        if self.flight.is_none() {
            // It holds for every member, also for one that came meanwhile.
            (self.asap, self.due) = (None, None);
            self.begun += 1;
        }
    }

    /// Whether something began to be fetched after `age` before now, so that asking again would be of no use.
    pub(super) fn is_younger_than(&self, age: Duration, now: Instant) -> bool {
        self.ended.is_some_and(|ended| now.saturating_duration_since(ended) < age)
    }

    /// Told at the end of a fetch that has not begun yet.
    pub(super) fn wait_for_next(&mut self) -> oneshot::Receiver<()> {
        self.wait_for(self.begun + 1)
    }

    /// Told at the end of the fetch that is under way, or of the next one.
    pub(super) fn wait_for_any(&mut self) -> oneshot::Receiver<()> {
        self.wait_for(if self.flight.is_some() { self.begun } else { self.begun + 1 })
    }

    fn wait_for(&mut self, fetch: u64) -> oneshot::Receiver<()> {
        let (told, wait) = oneshot::channel();
        if self.waiters.len() == self.waiters.capacity() {
            self.waiters.retain(|waiter| !waiter.told.is_closed());
        }
        self.waiters.push(Waiter { fetch, told });
        wait
    }

    /// Tells those who waited for what has ended.
    pub(super) fn tell(&mut self) {
        let ended = if self.flight.is_some() { self.begun.saturating_sub(1) } else { self.begun };
        for waiter in self.waiters.extract_if(.., |waiter| waiter.fetch <= ended) {
            // Nobody waits any longer: fine.
            let _ = waiter.told.send(());
        }
    }

    /// Those who waited for a group whose members have moved on wait for where these are now: for what is under way
    /// there, or the next.
    pub(super) fn take_waiters_of(&mut self, old: &mut Self, now: Instant) {
        old.waiters.retain(|waiter| !waiter.told.is_closed());
        if old.waiters.is_empty() {
            return;
        }
        if self.flight.is_none() {
            self.hurry(now);
        }
        let fetch = if self.flight.is_some() { self.begun } else { self.begun + 1 };
        self.waiters.extend(old.waiters.drain(..).map(|waiter| Waiter { fetch, ..waiter }));
    }
}
