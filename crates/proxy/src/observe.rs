//! What is told of requests after they have ended: the access log, and counts for metrics.
//!
//! Owns: the two log forms, and that neither logs nor counts hold a request up. Must not know: plugins that log.

mod access_log;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use postern_plugins::metrics::{Count, Line, Tally, Tells};
use postern_plugins::view::Summary;

use crate::exchange::Exchange;
pub use access_log::Writer as LogFile;
pub(crate) use access_log::{Log, Writer};

/// What a worker tells.
pub(crate) struct Observe {
    log: Option<Log>,
    counts: Arc<Counts>,
}

/// What a worker counts. Only a reader of metrics ever makes it wait for the lock.
#[derive(Debug, Default)]
pub struct Counts {
    requests: Tally,
    /// Connections that were accepted, and that have ended.
    pub(crate) accepted: AtomicU64,
    pub(crate) closed: AtomicU64,
    /// Handshakes that failed.
    pub(crate) handshakes_failed: AtomicU64,
}

impl Counts {
    /// All lines so far.
    pub fn lines(&self) -> Vec<(Line, Count)> {
        self.requests.lines()
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
        self.counts.requests.add(Line::of(&exchange.view, summary, Tells::ALL), summary);
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
