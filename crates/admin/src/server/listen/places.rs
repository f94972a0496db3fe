//! Bounds on the connections to the Admin API and the status pages.
//!
//! Owns: how many connections there may be, in all and from one peer, and which one is closed to make room. Must not know: sockets, requests.
//!
//! Connections that have never passed the guard share a part of the places only, and of two idle connections theirs is closed
//! first. A connection with a request under way is never closed for another: if all are busy, the new one is refused.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::server::guard::network;

#[cfg(test)]
mod tests;

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// To all listeners.
    pub all: usize,
    /// Of those that never showed that they may come.
    pub strangers: usize,
    /// Of one address; of IPv6, of one network.
    pub peer: usize,
}

impl Default for Bounds {
    /// A quarter is kept for those who showed that they may come, and no peer has more than half.
    fn default() -> Self {
        Self { all: 1024, strangers: 768, peer: 512 }
    }
}

/// All connections.
#[derive(Debug)]
pub(super) struct Places {
    bounds: Bounds,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    connections: HashMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    peer: IpAddr,
    /// Whether the guard let a request of it in.
    admitted: bool,
    is_busy: bool,
    /// Since when it waits for a request.
    since: Instant,
    /// Whether it was asked to end. It has no place any more.
    asked: bool,
    ask: Arc<Notify>,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    ask: Arc<Notify>,
}

impl Places {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, state: Mutex::default(), freed: Notify::new() })
    }

    /// A place for a connection from there, or none: then all that it could have are busy.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let peer = network(Some(address));
        let mut state = self.state();
        let Bounds { all, strangers, peer: of_peer } = self.bounds;
        // Those that were asked end within a second or so; until then they are more than the bounds say.
        if state.connections.len() >= 2 * all
            || state.count(|other| other.peer == peer) >= of_peer && !state.end(|other| other.peer == peer)
            || state.count(|other| !other.admitted) >= strangers && !state.end(|other| !other.admitted)
            || state.count(|_| true) >= all && !state.end(|_| true)
        {
            return None;
        }
        state.last += 1;
        let (number, ask) = (state.last, Arc::new(Notify::new()));
        let connection = Connection {
            peer,
            admitted: false,
            is_busy: false,
            since: Instant::now(),
            asked: false,
            ask: Arc::clone(&ask),
        };
        state.connections.insert(number, connection);
        Some(Place { places: Arc::clone(self), number, ask })
    }

    /// Ends the connection that one can best do without.
    pub(super) fn make_room(&self) {
        self.state().end(|_| true);
    }

    /// Waits until some connection has ended.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Waits until all have ended.
    pub(super) async fn emptied(&self) {
        loop {
            let freed = self.freed.notified();
            if self.state().connections.is_empty() {
                return;
            }
            freed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&self, of: impl Fn(&Connection) -> bool) -> usize {
        self.connections.values().filter(|connection| !connection.asked && of(connection)).count()
    }

    /// Asks one of these to end: a stranger before others, and of them the one that has waited longest for a request.
    /// Whether there is one.
    fn end(&mut self, of: impl Fn(&Connection) -> bool) -> bool {
        let waiting =
            self.connections.iter_mut().filter(|(_, other)| !other.asked && !other.is_busy && of(other));
        let Some((_, connection)) =
            waiting.min_by_key(|(number, other)| (other.admitted, other.since, **number))
        else {
            return false;
        };
        connection.asked = true;
        connection.ask.notify_one();
        true
    }
}

impl Place {
    /// A request has come.
    pub(super) fn begin(&self) {
        self.change(|connection| connection.is_busy = true);
    }

    /// Its answer has gone. Whether the guard had let it in.
    pub(super) fn end(&self, admitted: bool) {
        self.change(|connection| {
            connection.admitted |= admitted;
            connection.is_busy = false;
            connection.since = Instant::now();
        });
    }

    /// Whether a request is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.places.state().connections.get(&self.number).is_some_and(|connection| connection.is_busy)
    }

    /// Waits until the connection is to end.
    pub(super) async fn asked(&self) {
        self.ask.notified().await;
    }

    fn change(&self, change: impl FnOnce(&mut Connection)) {
        if let Some(connection) = self.places.state().connections.get_mut(&self.number) {
            change(connection);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.state().connections.remove(&self.number);
        self.places.freed.notify_waiters();
    }
}
