//! References whose values come from one read: what is fetched, when, and who waits for it. Must not know: values.

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
    in_flight: bool,
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
            in_flight: false,
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

    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight
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
        if self.in_flight { None } else { [self.asap, self.due].into_iter().flatten().min() }
    }

    /// When to look at it.
    pub(super) fn look(&self) -> Option<Instant> {
        [self.next(), self.expiry].into_iter().flatten().min()
    }

    /// Notes that a fetch begins, and tells its number.
    pub(super) fn begin(&mut self) -> u64 {
        (self.in_flight, self.asap, self.due) = (true, None, None);
        self.begun += 1;
        self.begun
    }

    /// Notes that a fetch has ended, if it is the one that is under way.
    pub(super) fn end(&mut self, fetch: u64, now: Instant, took: Duration) -> bool {
        if !self.in_flight || self.begun != fetch {
            return false;
        }
        (self.in_flight, self.ended, self.took) = (false, Some(now), Some(took));
        true
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
        self.wait_for(if self.in_flight { self.begun } else { self.begun + 1 })
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
        let ended = if self.in_flight { self.begun - 1 } else { self.begun };
        for waiter in self.waiters.extract_if(.., |waiter| waiter.fetch <= ended) {
            // Nobody waits any longer: fine.
            let _ = waiter.told.send(());
        }
    }

    /// Those who waited for a group whose members have moved on wait for where these are now.
    pub(super) fn take_waiters_of(&mut self, old: &mut Self) {
        let fetch = self.begun + 1;
        self.waiters.extend(old.waiters.drain(..).map(|waiter| Waiter { fetch, ..waiter }));
    }
}
