//! What is told of requests after they have ended: the access log, and counts for metrics.
//!
//! Owns: the two log forms, and that neither logs nor counts hold a request up. Must not know: plugins that log.

mod access_log;

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postern_plugins::view::{Source, Summary};
use uuid::Uuid;

use crate::exchange::Exchange;
use crate::pool::Mix;
pub(crate) use access_log::{Log, Writer};

/// The upper ends of the latency buckets, in milliseconds.
pub const BUCKETS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000, 60_000];

/// What a worker tells.
pub(crate) struct Observe {
    log: Option<Log>,
    counts: Arc<Counts>,
}

/// What a worker counts. Only a reader of metrics ever makes it wait for the lock.
#[derive(Debug, Default)]
pub struct Counts {
    requests: Mutex<HashMap<Line, Count, BuildHasherDefault<Mix>>>,
    /// Connections that were accepted, and that have ended.
    pub(crate) accepted: AtomicU64,
    pub(crate) closed: AtomicU64,
    /// Handshakes that failed.
    pub(crate) handshakes_failed: AtomicU64,
}

/// What requests have in common that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Line {
    /// The route; `None` where none matched.
    pub route: Option<Uuid>,
    /// The service.
    pub service: Option<Uuid>,
    /// The status that the client got.
    pub status: u16,
    /// Whether the upstream answered.
    pub from_upstream: bool,
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

impl Counts {
    /// All lines so far.
    pub fn lines(&self) -> Vec<(Line, Count)> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().map(|(line, count)| (*line, *count)).collect()
    }

    /// Connections that were accepted, of these the ones that have ended, and handshakes that failed.
    pub fn connections(&self) -> (u64, u64, u64) {
        let [accepted, closed, failed] = [&self.accepted, &self.closed, &self.handshakes_failed]
            .map(|count| count.load(Ordering::Relaxed));
        (accepted, closed, failed)
    }
}

impl Observe {
    pub(crate) fn new(log: Option<Log>, counts: Arc<Counts>) -> Self {
        Self { log, counts }
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// A request has ended.
    pub(crate) fn request(&self, exchange: &Exchange, summary: &Summary<'_>) {
        let line = Line {
            route: exchange.view.route.as_ref().map(|route| route.id),
            service: exchange.view.service.as_ref().map(|service| service.id),
            status: summary.status.as_u16(),
            from_upstream: summary.source == Source::Upstream,
        };
        let mut requests = self.counts.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let count = requests.entry(line).or_default();
        count.requests += 1;
        count.received += summary.received;
        count.sent += summary.sent;
        count.total.add(summary.total);
        count.gateway.add(summary.gateway);
        if let Some(upstream) = summary.upstream {
            count.upstream.add(upstream);
        }
        drop(requests);
        if let Some(log) = &self.log {
            log.line(exchange, summary);
        }
    }

    /// Hands on what was written since the last time.
    pub(crate) fn flush(&self) {
        if let Some(log) = &self.log {
            log.flush();
        }
    }
}
