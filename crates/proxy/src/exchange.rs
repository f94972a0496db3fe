//! The state of one request, from its head to the last byte of its response.
//!
//! Owns: what is known of a request, and what is done when it has ended. Must not know: the order of things (`phases`).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use postern_plugins::plan::Running;
use postern_plugins::view::{Request, Source, Summary, Try};
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::balance::Picked;
use crate::body::Received;
use crate::listen::Connected;
use crate::live::Live;
use crate::worker::Worker;

/// One request.
pub(crate) struct Exchange {
    pub(crate) worker: Rc<Worker>,
    /// The configuration that it began with, and keeps.
    pub(crate) live: Arc<Live>,
    pub(crate) connection: Rc<Connected>,
    pub(crate) view: Request,
    /// Its identifier, as the value of a header.
    pub(crate) id: HeaderValue,
    pub(crate) running: Running,
    /// As the client sent it, for the log.
    pub(crate) target: Uri,
    pub(crate) received: Rc<Received>,
    pub(crate) times: Times,
    pub(crate) upstream: Upstream,
    /// The headers of the response, where somebody wants to know after it has gone.
    pub(crate) answered_with: HeaderMap,
    /// Whether the word of the neighbour counts.
    pub(crate) trusted: bool,
    /// Whether it has come to its end and was told of.
    pub(crate) told: bool,
}

/// When what happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// The head was read.
    pub(crate) started: Instant,
    /// The request was sent on, or answered.
    pub(crate) left: Option<Instant>,
    /// The head of the upstream's response was read.
    pub(crate) answered: Option<Instant>,
}

/// What is known of the upstream's part.
#[derive(Debug, Default)]
pub(crate) struct Upstream {
    /// The peer that was tried last. Held until the end: it counts as busy.
    pub(crate) picked: Option<Picked>,
    /// How often was tried.
    pub(crate) tries: u32,
    /// The same one by one, where somebody wants to know.
    pub(crate) tried: SmallVec<[Try; 1]>,
    /// What it said, or would have said in nginx's words: 502, 504.
    pub(crate) status: Option<StatusCode>,
}

/// What is done when a request has ended: logs, counts, and the connection may end or take another.
pub(crate) struct Finish {
    pub(crate) worker: Rc<Worker>,
    exchange: RefCell<Option<Box<Exchange>>>,
    status: StatusCode,
    source: Source,
    /// The response broke off.
    pub(crate) broken: Cell<bool>,
}

impl Exchange {
    /// From the head to now, and the parts of it that are known.
    pub(crate) fn gateway_time(&self) -> Duration {
        self.times.left.map_or_else(|| self.times.started.elapsed(), |left| left - self.times.started)
    }

    /// How long the upstream thought about it.
    pub(crate) fn upstream_time(&self) -> Option<Duration> {
        Some(self.times.answered?.duration_since(self.times.left?))
    }

    /// What is done when the response has gone out.
    pub(crate) fn finish(self: Box<Self>, status: StatusCode, source: Source) -> Box<Finish> {
        let worker = Rc::clone(&self.worker);
        Box::new(Finish {
            worker,
            exchange: RefCell::new(Some(self)),
            status,
            source,
            broken: Cell::new(false),
        })
    }
}

impl Finish {
    /// The response has ended, after so many bytes of body.
    pub(crate) fn run(&self, sent: u64, complete: bool) {
        let Some(mut exchange) = self.exchange.take() else { return };
        exchange.end(self.status, self.source, sent, complete, self.broken.get());
    }
}

/// The client went away before there was an answer.
impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.told {
            self.end(StatusCode::BAD_REQUEST, Source::Gateway, 0, false, false);
        }
    }
}

impl Exchange {
    /// Tells of what came of it, once.
    fn end(&mut self, status: StatusCode, source: Source, sent: u64, complete: bool, broken: bool) {
        self.told = true;
        let exchange = self;
        exchange.connection.timing.end();
        let gateway = exchange.gateway_time();
        // nginx's word for a client that went away; where the upstream broke off, its own status says more.
        let gone = StatusCode::from_u16(499).unwrap_or(status);
        let summary = Summary {
            status: if complete || broken { status } else { gone },
            source,
            total: exchange.times.started.elapsed(),
            gateway,
            upstream: exchange.upstream_time(),
            received: exchange.received.bytes.get(),
            sent,
            target: &exchange.target,
            headers: &exchange.answered_with,
            tries: &exchange.upstream.tried,
            upstream_status: exchange.upstream.status,
            tls: exchange.connection.tls,
        };
        exchange.worker.observe.request(exchange, &summary);
        exchange.running.log(&exchange.view, &summary);
    }
}
