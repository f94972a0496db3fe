//! Counts of requests, for metrics.
//!
//! Owns: what is counted together, and the buckets of durations. Must not know: who reads them, and in which form. Counting
//! takes a lock that only a reader of metrics ever makes anybody wait for: each thread has its own shard.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::mix::Mix;
use crate::view::{Request, Source, Summary};

/// The upper ends of the latency buckets, in milliseconds.
pub const BUCKETS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000, 60_000];

/// What requests have in common that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Line {
    /// The route; `None` where none matched.
    pub route: Option<Uuid>,
    /// The service.
    pub service: Option<Uuid>,
    /// The status that the client got.
    pub status: u16,
    /// Who made the response.
    pub source: Source,
    /// The consumer, where that is wanted.
    pub consumer: Option<Uuid>,
    /// What is told of them.
    pub tells: Tells,
}

/// What somebody wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tells {
    /// How many there were of each status.
    pub status: bool,
    /// Bytes.
    pub bandwidth: bool,
    /// How long they took.
    pub latency: bool,
    /// Of whom they were.
    pub consumer: bool,
}

impl Tells {
    /// All but the consumer.
    pub const ALL: Self = Self { status: true, bandwidth: true, latency: true, consumer: false };
}

impl Line {
    /// The line of a request.
    pub fn of(request: &Request, summary: &Summary<'_>, tells: Tells) -> Self {
        Self {
            route: request.route.as_ref().map(|route| route.id),
            service: request.service.as_ref().map(|service| service.id),
            status: if tells.status { summary.status.as_u16() } else { 0 },
            source: summary.source,
            consumer: request.consumer.as_ref().map(|consumer| consumer.id).filter(|_| tells.consumer),
            tells,
        }
    }
}

/// How many there were, and how long they took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Requests.
    pub requests: u64,
    /// Bytes of their bodies.
    pub received: u64,
    /// Bytes of the responses' bodies.
    pub sent: u64,
    /// From the first byte to the last, in buckets that hold all below their end.
    pub total: Histogram,
    /// Of that, the gateway's own part before the request went on.
    pub gateway: Histogram,
    /// Of that, the upstream's, until its head.
    pub upstream: Histogram,
}

impl Count {
    /// The two together.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.received += other.received;
        self.sent += other.sent;
        self.total.merge(&other.total);
        self.gateway.merge(&other.gateway);
        self.upstream.merge(&other.upstream);
    }
}

/// Durations by [`BUCKETS`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Histogram {
    /// How many are in each bucket and in no smaller one; the last is for all that are longer.
    pub buckets: [u64; BUCKETS.len() + 1],
    /// Their sum.
    pub microseconds: u64,
}

impl Histogram {
    fn add(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.iter().position(|end| micros <= end * 1000).unwrap_or(BUCKETS.len());
        self.buckets[bucket] += 1;
        self.microseconds = self.microseconds.saturating_add(micros);
    }

    /// The two together.
    pub fn merge(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(a, b)| *a += b);
        self.microseconds = self.microseconds.saturating_add(other.microseconds);
    }
}

/// Counts by line.
#[derive(Debug)]
pub struct Tally(Box<[Shard]>);

type Shard = Mutex<HashMap<Line, Count, BuildHasherDefault<Mix>>>;

impl Default for Tally {
    /// For a thread alone.
    fn default() -> Self {
        Self::shared_by(1)
    }
}

impl Tally {
    /// For so many threads.
    pub fn shared_by(threads: usize) -> Self {
        Self((0..threads.max(1)).map(|_| Shard::default()).collect())
    }

    /// Counts a request.
    pub fn add(&self, line: Line, summary: &Summary<'_>) {
        let shard = &self.0[thread() % self.0.len()];
        let mut lines = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let count = lines.entry(line).or_default();
        count.requests += 1;
        if line.tells.bandwidth {
            count.received += summary.received;
            count.sent += summary.sent;
        }
        if line.tells.latency {
            count.total.add(summary.total);
            count.gateway.add(summary.gateway);
            if let Some(upstream) = summary.upstream {
                count.upstream.add(upstream);
            }
        }
    }

    /// All lines so far, in no order; one may be there several times.
    pub fn lines(&self) -> Vec<(Line, Count)> {
        let lines = |shard: &Shard| -> Vec<_> {
            let lines = shard.lock().unwrap_or_else(PoisonError::into_inner);
            lines.iter().map(|(line, count)| (*line, *count)).collect()
        };
        self.0.iter().flat_map(lines).collect()
    }
}

/// The number of this thread.
pub(crate) fn thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed)));
    OWN.with(Cell::get)
}
