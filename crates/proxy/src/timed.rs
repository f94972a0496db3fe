//! Connections with a time limit for every phase, without a timer for each.
//!
//! Owns: that nothing waits for ever on a peer that is slow on purpose: an idle connection, a head that trickles, a body
//! that stalls, a reader that does not read. Must not know: HTTP. A worker looks over all of its connections a few times
//! a second ([`Watch::tick`]); what a request costs here is a few writes to memory. Because it knows who waits for what, it
//! also ends those that wait for nothing when there is no room for others ([`Watch::shed`]).
//!
//! All of it stays on one thread. It is made of atomics only because a connection that is upgraded must be `Send`.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How often connections are looked over; limits are exact to twice this.
pub(crate) const TICK: Duration = Duration::from_millis(50);

const RELAXED: Ordering = Ordering::Relaxed;

/// What a connection is doing, as far as a limit depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Between two requests. Ends by itself with the first byte.
    Idle,
    /// A head is coming. The limit is for all of it.
    Head,
    /// A body, or an answer, is coming. The limit is from byte to byte, and counts only while we wait for one.
    Body,
    /// Nothing is expected of the peer.
    Quiet,
    /// Nothing has come yet. Ends by itself with the first byte; the limit is the one for a head, from the beginning.
    Opened,
}

const IDLE: u8 = Phase::Idle as u8;
const HEAD: u8 = Phase::Head as u8;
const BODY: u8 = Phase::Body as u8;
const OPENED: u8 = Phase::Opened as u8;
/// Where the limit for writes stands.
const WRITE: usize = 3;

/// Bytes that may come before the head of an answer is complete, other than that head. A peer that sends informational
/// answers for ever ends here: each counts as a sign of life, and hyper reads over them.
const BEFORE_ANSWER: u32 = 2 * 1024 * 1024;
const ANSWERED: u32 = u32::MAX;

/// The limits of a connection, in ticks: idle, head, body, write; 0 is none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits([u32; 4]);

impl Limits {
    /// Between requests, for a head, between bytes of a body, and for the peer to take something.
    pub(crate) fn new(idle: Duration, head: Duration, body: Duration, write: Duration) -> Self {
        Self([idle, head, body, write].map(ticks))
    }

    /// Only the last two.
    pub(crate) fn of_upstream(body: Duration, write: Duration) -> Self {
        Self::new(Duration::ZERO, Duration::ZERO, body, write)
    }

    /// The third.
    pub(crate) fn between_reads(&self) -> Option<Duration> {
        let limit = self.0[Phase::Body as usize];
        (limit > 0).then(|| TICK * limit)
    }
}

/// For how long a connection that was asked to end may take, in ticks, before it is ended: two seconds.
const ENDING: u32 = 40;

/// For how long, in ticks, a drain waits for what a connection without a request may have on its way to us: one second. It is
/// answered with `Connection: close`; a connection that is closed at once may lose a request that its client has sent already.
const GRACE: u32 = 20;

/// At least the duration, in ticks.
fn ticks(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX)
}

/// All connections of a worker.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Ticks since the start.
    now: Arc<AtomicU32>,
    connections: RefCell<Vec<Weak<Timing>>>,
    /// While draining: the tick from which connections that wait for a request are told, too.
    draining: Cell<Option<u32>>,
}

/// The clock of one connection.
#[derive(Debug)]
pub(crate) struct Timing {
    now: Arc<AtomicU32>,
    phase: AtomicU8,
    since: AtomicU32,
    /// Whether somebody waits for a byte.
    reading: AtomicBool,
    /// Whether a write waits, and since when.
    writing: AtomicBool,
    writing_since: AtomicU32,
    limits: [AtomicU32; 4],
    expired: AtomicBool,
    /// Bytes that came while an answer was awaited; [`ANSWERED`] while none is.
    unanswered: AtomicU32,
    /// Streams of HTTP/2 whose client has no room for what it was sent, and since when none has had.
    held: AtomicU32,
    held_since: AtomicU32,
    /// Requests under way.
    requests: AtomicU32,
    /// Whether requests share the connection: then what comes between them need not be the head of one.
    http2: AtomicBool,
    /// Whether it is to end: at once, or, while it waits for a request, from the tick `spared` on.
    drain: AtomicBool,
    spared: AtomicU32,
    /// Whether it was asked to end to make room, and when.
    shed: AtomicBool,
    shed_since: AtomicU32,
    reader: AtomicWaker,
    writer: AtomicWaker,
    task: AtomicWaker,
}

impl Watch {
    /// A clock for a new connection.
    pub(crate) fn timing(&self, phase: Phase, limits: Limits) -> Arc<Timing> {
        let timing = Arc::new(Timing {
            now: Arc::clone(&self.now),
            phase: AtomicU8::new(phase as u8),
            since: AtomicU32::new(self.now.load(RELAXED)),
            reading: AtomicBool::new(false),
            writing: AtomicBool::new(false),
            writing_since: AtomicU32::new(0),
            limits: limits.0.map(AtomicU32::new),
            expired: AtomicBool::new(false),
            unanswered: AtomicU32::new(ANSWERED),
            held: AtomicU32::new(0),
            held_since: AtomicU32::new(0),
            requests: AtomicU32::new(0),
            http2: AtomicBool::new(false),
            shed: AtomicBool::new(false),
            shed_since: AtomicU32::new(0),
            drain: AtomicBool::new(self.draining.get().is_some()),
            spared: AtomicU32::new(self.draining.get().unwrap_or(0)),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            task: AtomicWaker::new(),
        });
        self.connections.borrow_mut().push(Arc::downgrade(&timing));
        timing
    }

    /// Looks all connections over; ends those that took too long.
    pub(crate) fn tick(&self) {
        self.now.fetch_add(1, RELAXED);
        self.connections.borrow_mut().retain(|timing| {
            let Some(timing) = timing.upgrade() else { return false };
            if timing.is_late() {
                timing.expire();
            }
            true
        });
    }

    /// The number of this tick.
    pub(crate) fn now(&self) -> u32 {
        self.now.load(RELAXED)
    }

    /// Asks those connections to end that have waited longest for a request, until so many are `ending`, and `most` at
    /// once; ends those that were asked some time ago. One with a request under way is never among them. How many were
    /// asked or ended.
    pub(crate) fn shed(&self, ending: usize, most: usize) -> usize {
        let now = self.now.load(RELAXED);
        let connections = self.connections.borrow();
        let living = connections.iter().filter_map(Weak::upgrade).enumerate();
        // The longest first; of equals the oldest, for the order is that in which they began.
        let (asked, mut waiting): (Vec<_>, Vec<_>) = living
            .filter_map(|(number, timing)| Some((Reverse(timing.waits_since(now)?), number, timing)))
            .partition(|(.., timing)| timing.shed.load(RELAXED));
        let late = |timing: &Timing| now.wrapping_sub(timing.shed_since.load(RELAXED)) > ENDING;
        let ended = asked.iter().filter(|(.., timing)| late(timing)).inspect(|(.., timing)| timing.expire());
        let ended = ended.count();
        let most = most.min(ending.saturating_sub(asked.len() - ended));
        if waiting.len() > most {
            waiting.select_nth_unstable_by_key(most, |(waited, number, _)| (*waited, *number));
            waiting.truncate(most);
        }
        waiting.iter().for_each(|(.., timing)| timing.make_room(now));
        ended + waiting.len()
    }

    /// Tells every connection, now and later, to end as soon as it can: with the request that is under way or the next one, or
    /// after a while without any. Called in each tick until there are none. How many there are.
    pub(crate) fn drain(&self) -> usize {
        let now = self.now.load(RELAXED);
        let spared = self.draining.get().unwrap_or(now.wrapping_add(GRACE));
        self.draining.set(Some(spared));
        let connections = self.connections.borrow();
        let living: Vec<_> = connections.iter().filter_map(Weak::upgrade).collect();
        for timing in &living {
            if !timing.drain.load(RELAXED) {
                timing.spared.store(spared, RELAXED);
                timing.drain.store(true, RELAXED);
            }
            // Nothing has come, not even what comes before HTTP.
            if now >= spared && timing.is_in(Phase::Opened) && !timing.http2.load(RELAXED) {
                timing.expire();
            }
            timing.task.wake();
        }
        living.len()
    }
}

impl Timing {
    /// Another phase begins.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, RELAXED);
        self.touch();
    }

    /// Other limits from now on.
    pub(crate) fn limit(&self, limits: Limits) {
        for (kept, limit) in self.limits.iter().zip(limits.0) {
            kept.store(limit, RELAXED);
        }
    }

    /// A request begins.
    pub(crate) fn begin(&self) {
        self.requests.fetch_add(1, RELAXED);
        self.enter(Phase::Quiet);
    }

    /// Another phase of a request that is under way. A body may still be read when its request has been answered: what
    /// comes of it then is not waited for, and the connection is idle all the same.
    pub(crate) fn go_on(&self, phase: Phase) {
        if self.requests.load(RELAXED) > 0 {
            self.enter(phase);
        }
    }

    /// A request has ended.
    pub(crate) fn end(&self) {
        if self.requests.fetch_sub(1, RELAXED) == 1 {
            self.enter(Phase::Idle);
        }
    }

    /// It speaks HTTP/2.
    pub(crate) fn speaks_http2(&self) {
        self.http2.store(true, RELAXED);
    }

    /// For how many ticks it has been waiting for a request, with nothing under way.
    fn waits_since(&self, now: u32) -> Option<u32> {
        let waits = matches!(self.phase.load(RELAXED), IDLE | OPENED)
            && !self.writing.load(RELAXED)
            && self.held.load(RELAXED) == 0
            && !self.has_expired();
        waits.then(|| now.wrapping_sub(self.since.load(RELAXED)))
    }

    /// Ends a connection that waits for a request. One that may have a request on its way to us is told first.
    fn make_room(&self, now: u32) {
        self.shed.store(true, RELAXED);
        self.shed_since.store(now, RELAXED);
        match self.is_in(Phase::Opened) && !self.http2.load(RELAXED) {
            true => self.expire(),
            false => self.end_soon(),
        }
    }

    /// A stream waits for room at the client, or no longer does. The limit is the one for writes, and each stream that
    /// gets on counts for all of the connection.
    pub(crate) fn hold(&self, held: bool) {
        match held {
            true => self.held.fetch_add(1, RELAXED),
            false => self.held.fetch_sub(1, RELAXED),
        };
        self.held_since.store(self.now.load(RELAXED), RELAXED);
    }

    /// The connection ends with the request that is under way.
    pub(crate) fn end_soon(&self) {
        self.spared.store(0, RELAXED);
        self.drain.store(true, RELAXED);
        self.task.wake();
    }

    /// From now on the head of an answer is awaited.
    pub(crate) fn ask(&self) {
        self.unanswered.store(0, RELAXED);
    }

    /// It has come.
    pub(crate) fn answered(&self) {
        self.unanswered.store(ANSWERED, RELAXED);
    }

    /// So many bytes have come. Whether they are too many.
    fn count(&self, bytes: usize) -> bool {
        let before = self.unanswered.load(RELAXED);
        if before == ANSWERED {
            return false;
        }
        let now = before.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX)).min(ANSWERED - 1);
        self.unanswered.store(now, RELAXED);
        now > BEFORE_ANSWER
    }

    /// Whether the connection took too long.
    pub(crate) fn has_expired(&self) -> bool {
        self.expired.load(RELAXED)
    }

    /// Whether the connection took too long, or must make room; asked by its task, which is woken when the answer changes.
    pub(crate) fn poll_expired(&self, cx: &Context<'_>) -> Poll<()> {
        self.task.register(cx.waker());
        if self.has_expired() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether the connection is to end; asked by its task, which is woken when the answer changes.
    pub(crate) fn is_draining(&self, cx: &Context<'_>) -> bool {
        self.task.register(cx.waker());
        self.drain.load(RELAXED) && !self.is_spared()
    }

    /// Whether a drain still waits for a request that may be on its way. HTTP/2 has words of its own for that, as soon as it is
    /// spoken.
    fn is_spared(&self) -> bool {
        let may_lose_one = self.is_in(Phase::Opened) || self.is_in(Phase::Idle) && !self.http2.load(RELAXED);
        may_lose_one && self.now.load(RELAXED) < self.spared.load(RELAXED)
    }

    /// Whether it is in this phase.
    pub(crate) fn is_in(&self, phase: Phase) -> bool {
        self.phase.load(RELAXED) == phase as u8
    }

    fn touch(&self) {
        self.since.store(self.now.load(RELAXED), RELAXED);
    }

    fn is_late(&self) -> bool {
        let now = self.now.load(RELAXED);
        let over = |since: &AtomicU32, limit: u32| limit > 0 && now.wrapping_sub(since.load(RELAXED)) > limit;
        let limit = |phase: Phase| self.limits[phase as usize].load(RELAXED);
        let limit = match self.phase.load(RELAXED) {
            IDLE => limit(Phase::Idle),
            OPENED | HEAD => limit(Phase::Head),
            BODY if self.reading.load(RELAXED) => limit(Phase::Body),
            _ => 0,
        };
        over(&self.since, limit)
            || self.writing.load(RELAXED) && over(&self.writing_since, self.limits[WRITE].load(RELAXED))
            || self.held.load(RELAXED) > 0 && over(&self.held_since, self.limits[WRITE].load(RELAXED))
    }

    /// Ends the connection as one that took too long.
    pub(crate) fn expire(&self) {
        self.expired.store(true, RELAXED);
        self.reader.wake();
        self.writer.wake();
        self.task.wake();
    }
}

/// A connection that fails when it takes too long.
#[derive(Debug)]
pub(crate) struct Timed<T> {
    io: T,
    timing: Arc<Timing>,
}

impl<T> Timed<T> {
    pub(crate) fn new(io: T, timing: Arc<Timing>) -> Self {
        Self { io, timing }
    }

    fn check(&self) -> io::Result<()> {
        match self.timing.has_expired() {
            false => Ok(()),
            true => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn written<R>(&self, outcome: &Poll<R>, cx: &Context<'_>) {
        match outcome {
            Poll::Ready(_) => self.timing.writing.store(false, RELAXED),
            Poll::Pending => {
                if !self.timing.writing.swap(true, RELAXED) {
                    self.timing.writing_since.store(self.timing.now.load(RELAXED), RELAXED);
                }
                self.timing.writer.register(cx.waker());
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Timed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.io).poll_read(cx, buf);
        let timing = &self.timing;
        if timing.count(buf.filled().len() - before) {
            return Poll::Ready(Err(io::Error::other("too much before an answer")));
        }
        let waited = timing.reading.swap(outcome.is_pending(), RELAXED);
        if outcome.is_pending() {
            timing.reader.register(cx.waker());
        }
        let is_ready = outcome.is_ready();
        match timing.phase.load(RELAXED) {
            IDLE if is_ready && !timing.http2.load(RELAXED) => timing.enter(Phase::Head),
            OPENED if is_ready && !timing.http2.load(RELAXED) => timing.phase.store(HEAD, RELAXED),
            BODY if is_ready || !waited => timing.touch(),
            _ => {}
        }
        outcome
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Timed<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.written(&outcome, cx);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.written(&outcome, cx);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        self.written(&outcome, cx);
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        let outcome = Pin::new(&mut self.io).poll_shutdown(cx);
        self.written(&outcome, cx);
        outcome
    }
}

#[cfg(test)]
mod tests;
