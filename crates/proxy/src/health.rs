//! Whether a peer is well: counters that what happens to requests and checks feeds, and what they add up to.
//!
//! Owns: the states and counters of one peer, in one word that is read and written without a lock, and what an outcome
//! counts as. Must not know: balancers, sockets. The rules are those of Kong's `lua-resty-healthcheck`
//! (`incr_counter`), to the letter; [`crate::balance`] asks before it picks.

pub(crate) mod probe;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

use postern_model::entity::upstream::{Healthy, Unhealthy};

/// What came of a request, or of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A reply with this status.
    Status(u16),
    /// Something that is not HTTP.
    Malformed,
    /// No connection, or one that broke before there was a reply.
    TcpFailure,
    /// Nothing in time.
    Timeout,
    /// A connection, where no more is asked for: checks of type `tcp`.
    Connected,
}

/// One of the four counters; the number is its place in the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Success = 0,
    Tcp = 8,
    Http = 16,
    Timeout = 24,
}

/// What outcomes count as, and how many of them make a difference.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rules {
    healthy: Statuses,
    unhealthy: Statuses,
    successes: u8,
    tcp_failures: u8,
    timeouts: u8,
    http_failures: u8,
}

impl Rules {
    pub(crate) fn new(healthy: &Healthy, unhealthy: &Unhealthy) -> Self {
        // The schema's upper bound is 255.
        let limit = |count: u32| u8::try_from(count).unwrap_or(u8::MAX);
        Self {
            healthy: Statuses::new(&healthy.http_statuses),
            unhealthy: Statuses::new(&unhealthy.http_statuses),
            successes: limit(healthy.successes),
            tcp_failures: limit(unhealthy.tcp_failures),
            timeouts: limit(unhealthy.timeouts),
            http_failures: limit(unhealthy.http_failures),
        }
    }

    /// For whom nothing has a meaning.
    pub(crate) fn none() -> Self {
        let none = Statuses([0; 16]);
        Self {
            healthy: none.clone(),
            unhealthy: none,
            successes: 0,
            tcp_failures: 0,
            timeouts: 0,
            http_failures: 0,
        }
    }

    /// Whether a failure of any kind can take a peer out.
    pub(crate) fn can_fail(&self) -> bool {
        self.tcp_failures > 0 || self.timeouts > 0 || self.http_failures > 0
    }

    /// The counter and its limit. `None`: the outcome says nothing, or nothing follows from it.
    pub(crate) fn meaning(&self, outcome: Outcome) -> Option<(Count, u8)> {
        let (count, limit) = match outcome {
            Outcome::Status(status) if self.healthy.contains(status) => (Count::Success, self.successes),
            Outcome::Status(status) if self.unhealthy.contains(status) => (Count::Http, self.http_failures),
            Outcome::Status(_) => return None,
            Outcome::Malformed => (Count::Http, self.http_failures),
            Outcome::TcpFailure => (Count::Tcp, self.tcp_failures),
            Outcome::Timeout => (Count::Timeout, self.timeouts),
            Outcome::Connected => (Count::Success, self.successes),
        };
        (limit > 0).then_some((count, limit))
    }
}

/// A set of HTTP statuses that is asked on every reply.
#[derive(Clone, Debug, PartialEq)]
struct Statuses([u64; 16]);

impl Statuses {
    fn new(statuses: &[u16]) -> Self {
        let mut words = [0; 16];
        for status in statuses {
            if let Some(word) = words.get_mut(usize::from(*status >> 6)) {
                *word |= 1 << (status & 63);
            }
        }
        Self(words)
    }

    fn contains(&self, status: u16) -> bool {
        self.0.get(usize::from(status >> 6)).is_some_and(|word| word >> (status & 63) & 1 == 1)
    }
}

/// Above the four counters, eight bits each.
const STATE: u32 = 32;
const HEALTHY: u64 = 0;
/// Well, with failures that are counted.
const MOSTLY_HEALTHY: u64 = 1;
/// Unwell, with successes that are counted.
const MOSTLY_UNHEALTHY: u64 = 2;
const UNHEALTHY: u64 = 3;

/// The health of one peer. It starts well.
#[derive(Debug, Default)]
pub(crate) struct Health(AtomicU64);

impl Health {
    /// Whether it may get requests.
    pub(crate) fn is_up(&self) -> bool {
        up(self.0.load(Ordering::Relaxed))
    }

    /// Counts; says what the peer is from now on, if that changes.
    pub(crate) fn count(&self, count: Count, limit: u8) -> Option<bool> {
        let before = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| counted(word, count, limit))
            .ok()?;
        let after = up(counted(before, count, limit)?);
        (after != up(before)).then_some(after)
    }

    /// Sets it by hand and forgets what was counted. Says whether that changes anything.
    pub(crate) fn set(&self, healthy: bool) -> bool {
        let word = if healthy { HEALTHY } else { UNHEALTHY } << STATE;
        up(self.0.swap(word, Ordering::AcqRel)) != healthy
    }
}

fn up(word: u64) -> bool {
    word >> STATE < MOSTLY_UNHEALTHY
}

/// The word after one more of a kind; `None` if nothing is counted, as on every success of a healthy peer.
fn counted(word: u64, count: Count, limit: u8) -> Option<u64> {
    let state = word >> STATE;
    let goal = if count == Count::Success { HEALTHY } else { UNHEALTHY };
    if limit == 0 || state == goal {
        return None;
    }
    let place = count as u32;
    let counter = (word >> place & 0xff).saturating_add(1).min(0xff);
    // A success forgets every failure; a failure forgets the successes, not the failures of other kinds.
    let kept = if count == Count::Success { 0 } else { word & 0xffff_ff00 & !(0xff << place) };
    let counters = kept | counter << place;
    let state = match state {
        _ if counter >= u64::from(limit) => goal,
        HEALTHY => MOSTLY_HEALTHY,
        UNHEALTHY => MOSTLY_UNHEALTHY,
        state => state,
    };
    Some(state << STATE | counters)
}
