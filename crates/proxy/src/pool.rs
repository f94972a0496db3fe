//! Connections to peers, kept and used again. One pool a worker, so nothing is locked.
//!
//! Owns: which connection may serve a request, for how long an unused one is kept, and how many there are. Must not know:
//! requests.

mod names;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use postern_plugins::mix::Mix;
use tokio::time::Instant;

use crate::body::ToUpstream;
use crate::timed::Timing;
pub(crate) use names::{Names, server_name};

/// Idle HTTP/1 connections of one worker to all peers. Those that were unused for longest make room.
const IDLE: usize = 8192;
/// Peers for which a worker keeps idle HTTP/1 connections.
const PEERS: usize = 8192;
/// HTTP/2 connections that a worker keeps for all.
const SHARED: usize = 4096;
/// What makes room at once, as a share of what there is: looking for it costs as much as there is.
const ROOM: usize = 16;

/// What two requests must share to share connections: all that a connection was made and verified by. HTTP/1 and HTTP/2
/// are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Where.
    pub(crate) address: SocketAddr,
    /// With which TLS settings; 0 without TLS. New settings have a new number, so connections that used an old credential
    /// are not used for new requests.
    pub(crate) tls: u64,
    /// Under which server name, which was sent and which the certificate was checked for; 0 without TLS. The number is
    /// one of [`Names`].
    pub(crate) name: u64,
}

type Map<T> = RefCell<HashMap<Key, T, BuildHasherDefault<Mix>>>;

/// The connections of a worker.
#[derive(Debug)]
pub(crate) struct Pool<C = Connection, S = http2::SendRequest<ToUpstream>> {
    /// The numbers of server names.
    pub(crate) names: Names,
    /// The one that was used last is the last.
    idle: Map<VecDeque<Idle<C>>>,
    /// How many there are in all of these.
    count: Cell<usize>,
    shared: Map<Shared<S>>,
    most: usize,
    longest: Duration,
    /// The time of the last look, which is near enough.
    now: Cell<Instant>,
    bounds: Bounds,
}

/// How many there may be.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    idle: usize,
    peers: usize,
    shared: usize,
}

#[derive(Debug)]
struct Idle<C> {
    connection: C,
    since: Instant,
}

#[derive(Debug)]
struct Shared<S> {
    send: S,
    used: Instant,
}

/// An HTTP/1 connection, for one request at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) send: http1::SendRequest<ToUpstream>,
    pub(crate) timing: Arc<Timing>,
}

/// A connection, as far as a pool needs to know it.
pub(crate) trait Lives {
    /// Whether it can still be used.
    fn lives(&self) -> bool;
}

impl Lives for Connection {
    fn lives(&self) -> bool {
        !self.send.is_closed() && !self.timing.has_expired()
    }
}

impl Lives for http2::SendRequest<ToUpstream> {
    fn lives(&self) -> bool {
        !self.is_closed()
    }
}

impl<C: Lives, S: Lives + Clone> Pool<C, S> {
    /// Keeps so many idle connections to one peer, for so long.
    pub(crate) fn new(most: usize, longest: Duration) -> Self {
        Self {
            names: Names::default(),
            idle: RefCell::default(),
            count: Cell::new(0),
            shared: RefCell::default(),
            most,
            longest,
            now: Cell::new(Instant::now()),
            bounds: Bounds { idle: IDLE, peers: PEERS, shared: SHARED },
        }
    }

    /// The connection that was used last and still lives.
    pub(crate) fn take(&self, key: Key) -> Option<C> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&key)?;
        while let Some(Idle { connection, .. }) = kept.pop_back() {
            self.count.set(self.count.get() - 1);
            if connection.lives() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose response is complete.
    pub(crate) fn put(&self, key: Key, connection: C) {
        if self.most == 0 || !connection.lives() {
            return;
        }
        if self.count.get() >= self.bounds.idle {
            self.make_room();
        }
        let is_full = |idle: &HashMap<_, _, _>| idle.len() >= self.bounds.peers && !idle.contains_key(&key);
        if is_full(&self.idle.borrow()) {
            self.idle.borrow_mut().retain(|_, kept| !kept.is_empty());
            // Clients choose names (`preserve_host`): those of one must not keep out those of all others.
            if is_full(&self.idle.borrow()) {
                self.make_room();
            }
        }
        let mut idle = self.idle.borrow_mut();
        if is_full(&idle) {
            return;
        }
        let kept = idle.entry(key).or_default();
        if kept.len() >= self.most {
            kept.pop_front();
            self.count.set(self.count.get() - 1);
        }
        kept.push_back(Idle { connection, since: self.now.get() });
        self.count.set(self.count.get() + 1);
    }

    /// The HTTP/2 connection to a peer.
    pub(crate) fn shared(&self, key: Key) -> Option<S> {
        let mut shared = self.shared.borrow_mut();
        let kept = shared.get_mut(&key)?;
        if kept.send.lives() {
            kept.used = self.now.get();
            return Some(kept.send.clone());
        }
        shared.remove(&key);
        None
    }

    /// Keeps an HTTP/2 connection for all.
    pub(crate) fn share(&self, key: Key, send: S) {
        let mut shared = self.shared.borrow_mut();
        if shared.len() >= self.bounds.shared && !shared.contains_key(&key) {
            // What has streams under way ends after them.
            let mut oldest = Oldest::of(shared.values().map(|kept| kept.used).collect());
            shared.retain(|_, kept| !oldest.includes(kept.used));
        }
        shared.insert(key, Shared { send, used: self.now.get() });
    }

    /// Lets go of what was not used for long, or has died.
    pub(crate) fn tidy(&self) {
        let now = Instant::now();
        self.now.set(now);
        self.keep(|idle| idle.connection.lives() && now.duration_since(idle.since) < self.longest);
        self.shared
            .borrow_mut()
            .retain(|_, kept| kept.send.lives() && now.duration_since(kept.used) < self.longest);
        self.names.tidy();
    }

    /// Lets go of the connections that were unused for longest: a part of them.
    pub(crate) fn make_room(&self) {
        let mut oldest = Oldest::of(self.idle.borrow().values().flatten().map(|idle| idle.since).collect());
        self.keep(|idle| !oldest.includes(idle.since));
    }

    /// Lets go of everything. Connections with a request under way end after it.
    pub(crate) fn clear(&self) {
        self.keep(|_| false);
        self.shared.borrow_mut().clear();
    }

    fn keep(&self, mut stays: impl FnMut(&Idle<C>) -> bool) {
        let mut count = 0;
        self.idle.borrow_mut().retain(|_, kept| {
            kept.retain(&mut stays);
            count += kept.len();
            !kept.is_empty()
        });
        self.count.set(count);
    }
}

/// Those that make room: what was used least lately.
struct Oldest {
    last: Option<Instant>,
    left: usize,
}

impl Oldest {
    fn of(mut used: Vec<Instant>) -> Self {
        if used.is_empty() {
            return Self { last: None, left: 0 };
        }
        let left = used.len() / ROOM + 1;
        let (_, last, _) = used.select_nth_unstable(left - 1);
        Self { last: Some(*last), left }
    }

    /// Whether it is one of them. Asked once of each.
    fn includes(&mut self, used: Instant) -> bool {
        let includes = self.left > 0 && self.last.is_some_and(|last| used <= last);
        self.left -= usize::from(includes);
        includes
    }
}
